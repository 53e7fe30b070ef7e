//! `direct:///path`: objects as files below a folder, past the page cache (O_DIRECT).
//!
//! Memory of the caller that is aligned goes to the device as it is, other memory through pooled
//! bounce buffers ([`read`], [`write`]); what is large goes as many requests at once through an
//! io_uring ([`super::posix::ring`]). Files have exactly the bytes that were written, whatever
//! their length. Where a file system refuses O_DIRECT, the file is read or written through the page
//! cache, which [`fallbacks`] counts and the log shows, or the operation is refused with
//! `direct.fallback=error`.

mod align;
mod read;
mod write;

use super::posix::ring::{Lease, Op, Rings};
use super::posix::{Io, PosixStore, sys};
use crate::base::uri::Uri;
use crate::error::{Code, Error, Result};
use crate::options::{self, Resolved};
use align::Alignment;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The store of `direct://`.
pub type DirectStore = PosixStore<Direct>;

/// Does no I/O; `InvalidOption` where `direct.alignment` is no power of two.
pub fn open(root: Uri, options: &Resolved) -> Result<DirectStore> {
    let alignment = options.size(&options::DIRECT_ALIGNMENT);
    if alignment != 0 && !alignment.is_power_of_two() {
        return Err(Error::new(
            Code::InvalidOption,
            format!(
                "option direct.alignment cannot be {alignment}; expected a power of two, or 0 to detect it"
            ),
        ));
    }
    let direct = Direct(Arc::new(Settings {
        alignment,
        min_io_size: options.size(&options::DIRECT_MIN_IO_SIZE),
        refuse: options.text(&options::DIRECT_FALLBACK) == Some("error"),
        warned: AtomicBool::new(false),
        rings: Rings::new(options),
    }));
    Ok(PosixStore::with_io(root, options, direct))
}

static FALLBACKS: AtomicU64 = AtomicU64::new(0);

/// How many files of this process were read or written through the page cache because O_DIRECT was
/// refused.
pub fn fallbacks() -> u64 {
    FALLBACKS.load(Ordering::Relaxed)
}

/// Aligned I/O with O_DIRECT.
#[derive(Clone, Debug)]
pub struct Direct(Arc<Settings>);

#[derive(Debug)]
struct Settings {
    /// 0 detects it.
    alignment: usize,
    min_io_size: usize,
    refuse: bool,
    /// One line in the log per store is enough.
    warned: AtomicBool,
    rings: Rings,
}

impl Direct {
    /// Turns O_DIRECT on and says what it asks for; `None`: it is refused, use the page cache.
    fn enable(&self, file: &File) -> Result<Option<Alignment>> {
        match sys::set_direct(file, true) {
            Ok(()) => match align::of(file, self.0.alignment) {
                Some(alignment) => Ok(Some(alignment)),
                None => self.fall_back(file, &io::Error::from_raw_os_error(libc::EINVAL)).map(|()| None),
            },
            Err(e) if is_refusal(&e) => self.fall_back(file, &e).map(|()| None),
            Err(e) => Err(Error::from_io("cannot turn O_DIRECT on", &e)),
        }
    }

    /// Goes on with this file through the page cache, visibly, or refuses to.
    fn fall_back(&self, file: &File, reason: &io::Error) -> Result<()> {
        if self.0.refuse {
            let error = Error::new(Code::Unsupported, format!("the file system refuses O_DIRECT: {reason}"))
                .with_hint("direct.fallback=buffered goes through the page cache instead; so does file://");
            return Err(match reason.raw_os_error() {
                Some(errno) => error.with_errno(errno),
                None => error,
            });
        }
        sys::set_direct(file, false).map_err(|e| Error::from_io("cannot turn O_DIRECT off", &e))?;
        FALLBACKS.fetch_add(1, Ordering::Relaxed);
        if self.0.warned.swap(true, Ordering::Relaxed) {
            tracing::debug!(%reason, "O_DIRECT is refused, so this file goes through the page cache");
        } else {
            tracing::warn!(%reason, "O_DIRECT is refused, so files go through the page cache");
        }
        Ok(())
    }

    /// A ring where `bytes` are worth more than one request.
    fn ring_for(&self, bytes: usize, block: usize) -> Result<Option<Lease>> {
        if bytes <= self.0.rings.request_size(block) { Ok(None) } else { self.0.rings.take() }
    }

    /// The bytes of one request through a bounce buffer, if that many are left.
    fn bounce_size(&self, block: usize) -> usize {
        self.0.min_io_size.max(block).next_multiple_of(block)
    }
}

/// A ring that has less room than its depth says.
fn no_room(_: Op<'_>) -> Error {
    Error::new(Code::Internal, "an io_uring has no room for a request")
}

/// Whether the error says that O_DIRECT is not possible here.
fn is_refusal(e: &io::Error) -> bool {
    matches!(e.raw_os_error(), Some(libc::EINVAL | libc::EOPNOTSUPP))
}

impl Io for Direct {
    type Sink = write::DirectSink;

    fn alignment(&self) -> usize {
        self.0.alignment.max(sys::page_size())
    }

    fn rings(&self) -> &Rings {
        &self.0.rings
    }

    fn open_flags(&self) -> i32 {
        sys::O_DIRECT
    }

    fn read(&self, file: &File, offset: u64, dst: &mut [u8]) -> Result<usize> {
        read::read(self, file, offset, dst)
    }

    fn sink(&self, file: &File) -> Result<write::DirectSink> {
        write::DirectSink::new(self, file)
    }
}
