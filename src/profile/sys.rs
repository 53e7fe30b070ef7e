//! What the system knows about SIGPROF.

use crate::error::{Error, Result};
use std::{io, mem, ptr};

/// Whether this process handles SIGPROF.
pub fn has_handler() -> Result<bool> {
    // SAFETY: plain data that the call fills; with no new action nothing changes.
    let (status, action) = unsafe {
        let mut action: libc::sigaction = mem::zeroed();
        (libc::sigaction(libc::SIGPROF, ptr::null(), &mut action), action)
    };
    if status != 0 {
        return Err(Error::from_io("cannot look up the handler of SIGPROF", &io::Error::last_os_error()));
    }
    Ok(action.sa_sigaction != libc::SIG_DFL && action.sa_sigaction != libc::SIG_IGN)
}
