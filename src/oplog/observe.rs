//! Where every operation passes: it is counted, and becomes a row where a log is being written.

use super::writer;
use crate::base::first_byte::FirstByte;
use crate::base::op::Op;
use crate::base::uri::Uri;
use crate::error::Error;
use crate::metrics::{self, Endpoint};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Where a store is, as logs and statistics have it.
#[derive(Debug)]
pub struct Site {
    /// The URI without its path.
    pub(super) endpoint: String,
    /// Of the keys; ends in a slash unless it is empty.
    pub(super) prefix: String,
    metrics: &'static Endpoint,
}

impl Site {
    pub fn of(root: &Uri) -> Arc<Site> {
        let scheme = root.scheme().name();
        let endpoint = match (root.account(), root.container()) {
            ("", container) => format!("{scheme}://{container}"),
            (account, container) => format!("{scheme}://{account}/{container}"),
        };
        let metrics = metrics::endpoint(&endpoint);
        Arc::new(Site { endpoint, prefix: root.key_prefix(), metrics })
    }

    /// Operations of one kind that ran side by side or in one request, each with its objects, bytes and error.
    pub fn report<'a>(
        self: &Arc<Site>,
        op: Op,
        (started, took): (Instant, Duration),
        each: impl ExactSizeIterator<Item = (&'a str, u64, u64, Option<&'a Error>)> + Clone,
    ) {
        let (mut failed, mut moved) = (0, 0);
        for (_, _, bytes, error) in each.clone() {
            failed += u64::from(error.is_some());
            moved += bytes;
        }
        self.metrics.count(op, took, each.len() as u64, failed, moved);
        if writer::is_on() {
            let times = Times { started, first_byte: None, took };
            for (key, objects, bytes, error) in each {
                writer::push(self, key, op, times, objects, bytes, error);
            }
        }
    }
}

/// When an operation was.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub started: Instant,
    /// After `started`, and not after the end.
    pub first_byte: Option<Duration>,
    pub took: Duration,
}

/// An operation under way. Where it is dropped before [`Watch::end`], it was cancelled.
#[derive(Debug)]
#[must_use = "the operation would count as cancelled"]
pub struct Watch<'a> {
    site: &'a Arc<Site>,
    op: Op,
    key: &'a str,
    started: Instant,
    first_byte: FirstByte,
    open: bool,
}

impl<'a> Watch<'a> {
    pub fn begin(site: &'a Arc<Site>, op: Op, key: &'a str) -> Watch<'a> {
        let started = Instant::now();
        let first_byte = match op {
            Op::Get if writer::is_on() => FirstByte::since(started),
            _ => FirstByte::default(),
        };
        Watch { site, op, key, started, first_byte, open: true }
    }

    /// For the requests of a GET; notes nothing where no log is being written.
    pub fn first_byte(&self) -> &FirstByte {
        &self.first_byte
    }

    /// Notes how it went; of a success `size` tells how many objects and bytes it was about.
    pub fn end<T>(mut self, outcome: &Result<T, Error>, size: impl FnOnce(&T) -> (u64, u64)) {
        self.open = false;
        match outcome {
            Ok(value) => {
                let (objects, bytes) = size(value);
                self.tell(objects, bytes, None);
            }
            Err(error) => self.tell(u64::from(self.op != Op::List), 0, Some(error)),
        }
    }

    fn tell(&self, objects: u64, bytes: u64, error: Option<&Error>) {
        let took = self.started.elapsed();
        self.site.metrics.count(self.op, took, 1, u64::from(error.is_some()), bytes);
        if writer::is_on() {
            // Of an object without bytes none arrived. Requests that were given up may still be answered now.
            let first_byte = self.first_byte.after().filter(|_| bytes > 0 || error.is_some());
            let times = Times { started: self.started, first_byte: first_byte.map(|at| at.min(took)), took };
            writer::push(self.site, self.key, self.op, times, objects, bytes, error);
        }
    }
}

impl Drop for Watch<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.open {
            self.tell(u64::from(self.op != Op::List), 0, Some(&cancelled()));
        }
    }
}

/// What is noted of an operation that nobody waits for any more.
pub fn cancelled() -> Error {
    Error::new(crate::Code::Cancelled, "the operation was given up before it ended")
}
