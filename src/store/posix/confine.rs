//! Opening paths that cannot leave the root. The kernel confines where it can (`openat2`); a walk of
//! our own does it elsewhere, and for absolute links that lead back into the root, which the kernel
//! refuses. What leads out is `EXDEV` from both.

use super::sys::{self, Kind};
use std::io::{Error, Result};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// How many links one path may have before it counts as a cycle: the kernel's own limit.
const MAX_LINKS: usize = 40;
/// How often a lookup that raced with a rename is repeated in the kernel.
const MAX_RACES: usize = 16;

/// Opens `path` (empty: the root itself) below the folder `root`, whose own path is `root_path`.
pub(super) fn open(root: BorrowedFd, root_path: &Path, path: &str, flags: i32) -> Result<OwnedFd> {
    let name = sys::name(if path.is_empty() { "." } else { path })?;
    for _ in 0..MAX_RACES {
        match sys::open_beneath(root, &name, flags) {
            Err(error) => match error.raw_os_error() {
                Some(libc::EAGAIN) => {}
                Some(libc::ENOSYS | libc::EPERM | libc::EXDEV) => break,
                _ => return Err(error),
            },
            opened => return opened,
        }
    }
    walk(root, root_path, path, flags)
}

/// The portable way: one name at a time, links read and followed here.
fn walk(root: BorrowedFd, root_path: &Path, path: &str, flags: i32) -> Result<OwnedFd> {
    let mut pending: Vec<Vec<u8>> = Vec::new();
    push(&mut pending, path.as_bytes());
    let mut folders: Vec<OwnedFd> = Vec::new();
    let mut links = 0;
    loop {
        let here = folders.last().map_or(root, OwnedFd::as_fd);
        let Some(component) = pending.pop() else {
            return sys::open_at(here, c".", flags, 0);
        };
        if component == b".." {
            if folders.pop().is_none() {
                return Err(Error::from_raw_os_error(libc::EXDEV));
            }
            continue;
        }
        let name = sys::name(component)?;
        match sys::stat_at(here, &name)?.kind {
            Kind::Link => {
                links += 1;
                if links > MAX_LINKS {
                    return Err(Error::from_raw_os_error(libc::ELOOP));
                }
                let target = sys::read_link(here, &name)?;
                if target.first() == Some(&b'/') {
                    let inside = below_root(&target, root_path)?;
                    folders.clear();
                    push(&mut pending, &inside);
                } else {
                    push(&mut pending, &target);
                }
            }
            Kind::Folder => {
                let look = sys::O_PATH | libc::O_DIRECTORY | libc::O_NOFOLLOW;
                folders.push(sys::open_at(here, &name, look, 0)?);
            }
            Kind::File | Kind::Special if pending.is_empty() => {
                return sys::open_at(here, &name, flags | libc::O_NOFOLLOW, 0);
            }
            Kind::File | Kind::Special => return Err(Error::from_raw_os_error(libc::ENOTDIR)),
        }
    }
}

/// The rest of an absolute link below the root, or `EXDEV`.
fn below_root(target: &[u8], root_path: &Path) -> Result<Vec<u8>> {
    let target = Path::new(std::ffi::OsStr::from_bytes(target));
    let real = std::fs::canonicalize(root_path)?;
    let inside = target.strip_prefix(&real).or_else(|_| target.strip_prefix(root_path));
    let inside = inside.map_err(|_| Error::from_raw_os_error(libc::EXDEV))?;
    Ok(inside.as_os_str().as_bytes().to_vec())
}

/// Puts the components of `path` on top of those that are still to be walked.
fn push(pending: &mut Vec<Vec<u8>>, path: &[u8]) {
    let components = path.split(|b| *b == b'/').filter(|c| !c.is_empty() && *c != b".");
    pending.extend(components.map(<[u8]>::to_vec).rev());
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    type Way = fn(BorrowedFd, &Path, &str, i32) -> Result<OwnedFd>;

    #[test]
    fn s4_both_ways_follow_links_inside_and_refuse_links_out() {
        let outer = tempfile::tempdir().unwrap();
        let path = outer.path().join("root");
        std::fs::create_dir_all(path.join("a/b")).unwrap();
        std::fs::write(path.join("a/b/file"), "x").unwrap();
        std::fs::write(outer.path().join("secret"), "x").unwrap();
        for (target, link) in [
            ("a/b/file", "inside"),
            ("../b/../../a/b/file", "a/b/winding"),
            ("../secret", "out"),
            ("../../../secret", "a/b/out"),
            ("..", "up"),
            ("cycle", "cycle"),
            ("missing", "dangling"),
            ("/etc/passwd", "absolute"),
        ] {
            symlink(target, path.join(link)).unwrap();
        }
        symlink(path.join("a/b"), path.join("absolute_inside")).unwrap();
        symlink("/proc/self/root", path.join("magic")).unwrap();

        let root = OwnedFd::from(std::fs::File::open(&path).unwrap());
        let expected = [
            ("a/b/file", Ok(())),
            ("inside", Ok(())),
            ("a/b/winding", Ok(())),
            ("absolute_inside/file", Ok(())),
            ("out", Err(libc::EXDEV)),
            ("a/b/out", Err(libc::EXDEV)),
            ("up/secret", Err(libc::EXDEV)),
            ("absolute", Err(libc::EXDEV)),
            ("magic/etc/passwd", Err(libc::EXDEV)),
            ("cycle", Err(libc::ELOOP)),
            ("dangling", Err(libc::ENOENT)),
            ("a/b/file/x", Err(libc::ENOTDIR)),
            ("a/none", Err(libc::ENOENT)),
        ];
        for (name, way) in [("open", open as Way), ("walk", walk as Way)] {
            for (key, result) in &expected {
                let got = way(root.as_fd(), &path, key, libc::O_RDONLY).map(drop);
                assert_eq!(got.map_err(|e| e.raw_os_error().unwrap()), *result, "{name} {key}");
            }
        }
    }
}
