//! Logs
//!
//! The library logs nothing until it is asked to. Messages carry no credentials; only the library's
//! own messages appear, none of the SDKs inside.

use super::convert::{invalid, optional_text};
use super::error::c_string;
use super::guard;
use super::types::s3dlio_error;
use crate::error::{Error, Result};
use crate::trace::{level_number, set_sink};
use std::ffi::{c_char, c_void};
use std::fs::File;
use std::io::Write as _;
use std::os::fd::BorrowedFd;
use std::time::SystemTime;

/// Receives a log message: level (1 error, 2 warn, 3 info, 4 debug, 5 trace), the part of the
/// library, the text, and the `user` of s3dlio_log_set_callback. The texts live during the call. It
/// runs on any thread, the library's own included, and on several at once; it must return, must not
/// throw or longjmp, and must not set the log. Library calls that would block are refused on the
/// library's threads with S3DLIO_ERR_WOULD_DEADLOCK.
pub type s3dlio_log_callback = Option<
    unsafe extern "C" fn(level: i32, target: *const c_char, message: *const c_char, user: *mut c_void),
>;

/// Writes log messages as lines to a duplicate of the file descriptor `fd`; -1 switches the log off.
/// `level`: off, error, warn, info, debug or trace; NULL takes the option log.level. A line that
/// cannot be written is dropped. There is one log: this replaces a descriptor or callback from
/// before.
/// Errors: INVALID_ARGUMENT (fd is not -1 and no open descriptor), INVALID_OPTION (level),
/// INVALID_STATE (called from a log callback).
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_log_to_fd(fd: i32, level: *const c_char, err: *mut *mut s3dlio_error) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_log_to_fd", err, || {
            let level = level_number(optional_text(level, "level")?)?;
            if fd == -1 {
                return set_sink(None, 0);
            }
            let file = duplicate(fd)?;
            set_sink(Some(Box::new(move |level, target, text| write_line(&file, level, target, text))), level)
        })
    }
}

fn duplicate(fd: i32) -> Result<File> {
    if fd < 0 {
        return Err(invalid(format!("{fd} is no file descriptor")));
    }
    // SAFETY: borrowed for the duplication only, which fails cleanly where nothing is open.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    let owned = borrowed
        .try_clone_to_owned()
        .map_err(|e| Error::from_io("cannot duplicate the descriptor", &e))
        .map_err(|e| e.with_code(crate::Code::InvalidArgument))?;
    Ok(File::from(owned))
}

/// One line, one write, so that lines of several threads do not mix.
fn write_line(mut file: &File, level: u8, target: &str, text: &str) {
    let name = ["OFF", "ERROR", "WARN", "INFO", "DEBUG", "TRACE"][usize::from(level.min(5))];
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let text = text.replace('\n', " ");
    let line = format!("{}.{:06} {name} {target}: {text}\n", now.as_secs(), now.subsec_micros());
    without_sigpipe(|| {
        let _ = file.write(line.as_bytes()); // there is nobody to tell
    });
}

/// Keeps a reader that went away from killing the program with SIGPIPE.
fn without_sigpipe(f: impl FnOnce()) {
    // SAFETY: the sets are initialised before use; only this thread's mask changes, and it is put
    // back; a SIGPIPE that was pending before is left alone.
    unsafe {
        let mut pipe: libc::sigset_t = std::mem::zeroed();
        let mut before: libc::sigset_t = std::mem::zeroed();
        let mut pending: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut pipe);
        libc::sigaddset(&mut pipe, libc::SIGPIPE);
        libc::sigpending(&mut pending);
        let was_pending = libc::sigismember(&raw const pending, libc::SIGPIPE) == 1;
        libc::pthread_sigmask(libc::SIG_BLOCK, &pipe, &mut before);
        f();
        libc::sigpending(&mut pending);
        if !was_pending && libc::sigismember(&raw const pending, libc::SIGPIPE) == 1 {
            let mut taken = 0;
            libc::sigwait(&pipe, &mut taken);
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, &before, std::ptr::null_mut());
    }
}

/// Gives log messages to `callback`; NULL switches the log off. When the call returned, the callback
/// from before is not running any more and its `user` may be freed; so never call this while holding
/// a lock that the callback takes. `level` as for s3dlio_log_to_fd.
/// Errors: INVALID_ARGUMENT, INVALID_OPTION (level), INVALID_STATE (called from a log callback).
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_log_set_callback(
    callback: s3dlio_log_callback,
    user: *mut c_void,
    level: *const c_char,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_log_set_callback", err, || {
            let level = level_number(optional_text(level, "level")?)?;
            let Some(callback) = callback else { return set_sink(None, 0) };
            let user = User(user);
            set_sink(
                Some(Box::new(move |level, target, message| {
                    let (target, message) = (c_string(target), c_string(message));
                    callback(i32::from(level), target.as_ptr(), message.as_ptr(), user.get());
                })),
                level,
            )
        })
    }
}

/// The caller's pointer, which it lets the callback use on any thread.
struct User(*mut c_void);
// SAFETY: never followed here; the header demands a callback that can run on any thread.
unsafe impl Send for User {}
// SAFETY: as above.
unsafe impl Sync for User {}

impl User {
    fn get(&self) -> *mut c_void {
        self.0
    }
}
