//! Which lanes wait for an item that takes far longer than others, so that more can be started in their stead: a
//! slow object delays itself, not those behind it.

use std::time::{Duration, Instant};

/// Nothing is late before.
const LEAST: Duration = Duration::from_millis(4);
/// Before anything came.
const UNKNOWN: Duration = Duration::from_millis(100);
/// An item is late once it takes longer than half of them do and half as long again. Until then it keeps a lane from
/// working: where 5 % come late, each moment of it is felt. Those that are only a bit slow cost a request more each.
fn late_after(median: Duration) -> Duration {
    (median + median / 2).max(LEAST)
}

/// What the lanes of an engine are at.
#[derive(Debug, Default)]
pub(super) struct Lateness {
    lanes: Vec<Lane>,
    running: usize,
    late: usize,
    /// Half of the items take longer than this: it follows them in small steps, so that a few that are late leave it
    /// where it is and a service that became slow is not late for long.
    median: Duration,
}

#[derive(Clone, Copy, Debug, Default)]
struct Lane {
    runs: bool,
    /// When its item was begun; `None` where it has none, or waits for memory.
    since: Option<Instant>,
    late: bool,
}

impl Lateness {
    /// Number of a lane that starts.
    pub(super) fn enter(&mut self) -> usize {
        self.running += 1;
        let new = Lane { runs: true, ..Lane::default() };
        match self.lanes.iter().position(|lane| !lane.runs) {
            Some(free) => {
                self.lanes[free] = new;
                free
            }
            None => {
                self.lanes.push(new);
                self.lanes.len() - 1
            }
        }
    }

    pub(super) fn leave(&mut self, lane: usize) {
        self.pause(lane);
        if let Some(lane) = self.lanes.get_mut(lane).filter(|lane| lane.runs) {
            lane.runs = false;
            self.running -= 1;
        }
    }

    /// The lane goes to work on an item.
    pub(super) fn begin(&mut self, lane: usize, now: Instant) {
        if let Some(lane) = self.lanes.get_mut(lane) {
            lane.since = Some(now);
        }
    }

    /// The lane's item waits for something that is not its store's matter.
    pub(super) fn pause(&mut self, lane: usize) {
        if let Some(lane) = self.lanes.get_mut(lane) {
            lane.since = None;
            self.late -= usize::from(std::mem::take(&mut lane.late));
        }
    }

    /// And goes on.
    pub(super) fn resume(&mut self, lane: usize) {
        if let Some(lane) = self.lanes.get_mut(lane) {
            lane.since.get_or_insert_with(Instant::now);
        }
    }

    /// The lane has its item.
    pub(super) fn end(&mut self, lane: usize, now: Instant) {
        if let Some(since) = self.lanes.get(lane).and_then(|lane| lane.since) {
            let took = now.saturating_duration_since(since);
            let step = self.median / 32 + Duration::from_micros(10);
            self.median =
                if took > self.median { self.median + step } else { self.median.saturating_sub(step) };
        }
        self.pause(lane);
    }

    /// How many items are late.
    pub(super) fn late(&self) -> usize {
        self.late
    }

    /// Whether more lanes than `wanted` have items that are not late.
    pub(super) fn too_many(&self, wanted: usize) -> bool {
        self.running - self.late > wanted
    }

    /// Looks who is late by now; how many lanes are to be started for there to be `wanted` that are not, and at most
    /// `most` of all kinds.
    pub(super) fn missing(&mut self, now: Instant, wanted: usize, most: usize) -> usize {
        let patience = self.patience();
        for lane in &mut self.lanes {
            if !lane.late && lane.since.is_some_and(|since| now.saturating_duration_since(since) > patience) {
                lane.late = true;
                self.late += 1;
            }
        }
        wanted.saturating_sub(self.running - self.late).min(most.saturating_sub(self.running))
    }

    /// What an item may take.
    pub(super) fn patience(&self) -> Duration {
        if self.median.is_zero() { UNKNOWN } else { late_after(self.median) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Lanes that run, after so many items that took so long.
    fn lanes(count: usize, items: usize, took: Duration) -> (Lateness, Instant) {
        let (mut all, start) = (Lateness::default(), Instant::now());
        (0..count).for_each(|n| assert_eq!(all.enter(), n));
        for _ in 0..items {
            all.begin(0, start);
            all.end(0, start + took);
        }
        (all, start)
    }

    #[test]
    fn who_is_late_is_replaced_and_one_too_many_leaves() {
        let (mut all, start) = lanes(4, 1000, 10 * MS);
        (0..4).for_each(|lane| all.begin(lane, start));
        assert_eq!(all.missing(start + 13 * MS, 4, 16), 0, "10 ms are usual");
        all.end(0, start + 16 * MS);
        all.begin(0, start + 16 * MS);
        assert_eq!(all.missing(start + 60 * MS, 4, 16), 4, "all are late");
        assert_eq!(all.late(), 4);
        assert_eq!(all.missing(start + 60 * MS, 4, 6), 2, "but no more than that");
        assert_eq!((all.enter(), all.enter()), (4, 5));
        assert!(!all.too_many(4));
        all.end(1, start + 70 * MS);
        all.end(2, start + 70 * MS);
        assert!(!all.too_many(4) && all.late() == 2);
        all.end(3, start + 70 * MS);
        assert!(all.too_many(4));
        all.leave(3);
        assert!(!all.too_many(4));
        assert_eq!(all.enter(), 3, "its number is free");
    }

    #[test]
    fn who_waits_for_memory_is_not_late() {
        let (mut all, start) = lanes(1, 1000, MS);
        all.begin(0, start);
        all.pause(0);
        assert_eq!(all.missing(start + 10_000 * MS, 1, 8), 0);
        all.begin(0, start + 10_000 * MS);
        all.resume(0);
        assert_eq!(all.missing(start + 10_030 * MS, 1, 8), 1);
        all.pause(0);
        assert_eq!(all.late(), 0);
    }

    #[test]
    fn patience_follows_the_service_and_not_the_few() {
        let (mut all, start) = lanes(1, 1000, 10 * MS);
        for n in 0..1000 {
            all.begin(0, start);
            all.end(0, start + if n % 20 == 0 { 500 * MS } else { 10 * MS });
        }
        assert!(all.patience() < 60 * MS, "{:?}", all.patience());
        for _ in 0..200 {
            all.begin(0, start);
            all.end(0, start + 500 * MS);
        }
        assert!(all.patience() > 600 * MS, "{:?}", all.patience());
    }
}
