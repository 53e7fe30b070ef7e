//! What the tests ask of the system: mounts, other users, refused system calls. They need root.

use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

/// A file system that is mounted while this lives.
pub struct Mount<'a>(&'a Path);

impl Mount<'_> {
    pub fn new<'a>(kind: &str, options: &str, at: &'a Path) -> Mount<'a> {
        let made = Command::new("mount").args(["-t", kind, "-o", options, "none"]).arg(at).status().unwrap();
        assert!(made.success(), "cannot mount {kind}: these tests must run as root");
        Mount(at)
    }
}

impl Drop for Mount<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).stderr(Stdio::null()).status();
    }
}

/// Runs `f` on a thread of its own that is the user `nobody`; the rest of the process is not.
pub fn as_nobody<R: Send>(f: impl FnOnce() -> R + Send) -> R {
    on_a_thread(f, || {
        let nobody = 65_534;
        // SAFETY: plain numbers; the raw calls change this thread only, unlike those of the C library.
        unsafe {
            assert_eq!(libc::syscall(libc::SYS_setgroups, 0, std::ptr::null::<libc::gid_t>()), 0);
            assert_eq!(libc::syscall(libc::SYS_setresgid, nobody, nobody, nobody), 0);
            assert_eq!(libc::syscall(libc::SYS_setresuid, nobody, nobody, nobody), 0);
        }
    })
}

/// Runs `f` on a thread of its own on which `calls` fail.
pub fn with_refused<R: Send>(calls: &[Refusal], f: impl FnOnce() -> R + Send) -> R {
    on_a_thread(f, || refuse(calls).unwrap())
}

fn on_a_thread<R: Send>(f: impl FnOnce() -> R + Send, first: impl FnOnce() + Send) -> R {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            first();
            f()
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// The errno of a [`Refusal`] that kills the process instead.
pub const KILL: i32 = -1;

/// A system call that fails with an errno.
#[derive(Clone, Copy)]
pub struct Refusal {
    pub call: libc::c_long,
    pub errno: i32,
    /// Only where this argument has this bit.
    pub bit: Option<(u32, u32)>,
}

/// Makes the calls fail on this thread and on everything it starts, for good.
pub fn refuse(calls: &[Refusal]) -> io::Result<()> {
    let op = |code: u32, jt: u8, jf: u8, k: u32| libc::sock_filter { code: code as u16, jt, jf, k };
    let load = |offset| op(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, offset);
    let ret = |k| op(libc::BPF_RET | libc::BPF_K, 0, 0, k);
    let mut program = Vec::new();
    for refusal in calls {
        program.push(load(0)); // seccomp_data.nr
        let steps = if refusal.bit.is_some() { 3 } else { 1 };
        program.push(op(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, steps, refusal.call as u32));
        if let Some((argument, bit)) = refusal.bit {
            program.push(load(16 + 8 * argument)); // the low half of seccomp_data.args[argument]
            program.push(op(libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K, 0, 1, bit));
        }
        program.push(ret(match refusal.errno {
            KILL => libc::SECCOMP_RET_KILL_PROCESS,
            errno => libc::SECCOMP_RET_ERRNO | errno as u32,
        }));
    }
    program.push(ret(libc::SECCOMP_RET_ALLOW));
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: `filter` describes `program`, which lives until after the calls.
    let set = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter) == 0
    };
    if set { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// What an old kernel or a plain file system does not have: unnamed files, confined opening, copies
/// inside the kernel.
pub const OLD_SYSTEM: [Refusal; 3] = [
    Refusal { call: libc::SYS_openat, errno: libc::EOPNOTSUPP, bit: Some((2, 0o20_000_000)) }, // O_TMPFILE
    Refusal { call: libc::SYS_openat2, errno: libc::ENOSYS, bit: None },
    Refusal { call: libc::SYS_copy_file_range, errno: libc::ENOSYS, bit: None },
];
