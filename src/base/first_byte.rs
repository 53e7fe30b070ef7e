//! When the first byte of an operation's answer arrived.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Notes when the first answer to an operation began to arrive, however many requests and tasks that has; clones
/// share the note. The default notes nothing and costs nothing: nobody wants to know.
#[derive(Clone, Debug, Default)]
pub struct FirstByte(Option<Arc<Note>>);

#[derive(Debug)]
struct Note {
    began: Instant,
    /// Nanoseconds since `began`.
    after: AtomicU64,
}

const NOTHING: u64 = u64::MAX;

impl FirstByte {
    /// Of an operation that began then.
    pub fn since(began: Instant) -> FirstByte {
        FirstByte(Some(Arc::new(Note { began, after: AtomicU64::new(NOTHING) })))
    }

    /// An answer has begun to arrive. The earliest one counts.
    pub fn mark(&self) {
        let Some(note) = &self.0 else { return };
        if note.after.load(Ordering::Relaxed) == NOTHING {
            let after = u64::try_from(note.began.elapsed().as_nanos()).unwrap_or(NOTHING);
            note.after.fetch_min(after, Ordering::Relaxed);
        }
    }

    /// How long after the operation's beginning that was; `None` without an answer so far.
    pub fn after(&self) -> Option<Duration> {
        let after = self.0.as_ref()?.after.load(Ordering::Relaxed);
        (after != NOTHING).then(|| Duration::from_nanos(after))
    }
}

/// Whether they share the note.
impl PartialEq for FirstByte {
    fn eq(&self, other: &FirstByte) -> bool {
        match (&self.0, &other.0) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (one, other) => one.is_none() && other.is_none(),
        }
    }
}

impl Eq for FirstByte {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn o1_the_earliest_answer_of_all_clones_counts() {
        let hour = Duration::from_secs(3600);
        let first = FirstByte::since(Instant::now().checked_sub(hour).unwrap());
        assert_eq!(first.after(), None);
        let other = first.clone();
        std::thread::spawn(move || other.mark()).join().unwrap();
        let noted = first.after().unwrap();
        assert!(noted >= hour, "{noted:?}");
        first.mark();
        assert_eq!(first.after(), Some(noted));
    }

    #[test]
    fn o1_who_does_not_ask_is_told_nothing() {
        let nobody = FirstByte::default();
        nobody.mark();
        assert_eq!(nobody.after(), None);
        let one = FirstByte::since(Instant::now());
        assert!(nobody == FirstByte::default() && one == one.clone() && one != nobody);
        assert!(one != FirstByte::since(Instant::now()));
    }
}
