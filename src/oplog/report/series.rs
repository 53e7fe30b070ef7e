//! Amounts over time in a bounded number of intervals, for logs of any length and rows in any order.

use super::histogram::Histogram;

/// At most so many intervals: what a picture shows, and a page bears.
pub const MOST: usize = 240;
/// The first width, in nanoseconds; it doubles whenever the intervals become too many.
const NARROWEST: u64 = 1000;

/// Where the intervals lie: `width` nanoseconds each, the first from `first * width`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    pub width: u64,
    pub first: u64,
    pub count: usize,
}

impl Grid {
    /// Of times from `start` to `end`.
    fn over(start: u64, end: u64, mut width: u64) -> Grid {
        loop {
            let (first, last) = (start / width, end / width);
            if last - first < MOST as u64 {
                return Grid { width, first, count: (last - first) as usize + 1 };
            }
            width = width.saturating_mul(2);
        }
    }
}

/// What of one kind happened in each interval.
#[derive(Clone, Debug, Default)]
struct Track {
    amounts: Vec<f64>,
    /// Added to every interval from here on: rows over many intervals cost as much as short ones.
    steps: Vec<f64>,
}

impl Track {
    fn settle(&mut self) {
        let mut level = 0.0;
        for (amount, step) in self.amounts.iter_mut().zip(&mut self.steps) {
            level += std::mem::take(step);
            *amount += level;
        }
    }
}

/// Several kinds of amounts and one of times on the same intervals.
#[derive(Debug)]
pub struct Series {
    grid: Grid,
    start: u64,
    end: u64,
    tracks: Vec<Track>,
    times: Vec<Option<Histogram>>,
    empty: bool,
}

/// To 1/8 of itself: a picture shows no more.
const TIME_BITS: u32 = 3;

impl Series {
    pub fn new(tracks: usize) -> Series {
        Series {
            grid: Grid { width: NARROWEST, first: 0, count: 0 },
            start: u64::MAX,
            end: 0,
            tracks: vec![Track::default(); tracks],
            times: Vec::new(),
            empty: true,
        }
    }

    /// Makes room for a row; call it before the row's amounts are added.
    pub fn cover(&mut self, start: u64, end: u64) {
        let (start, end) = (start.min(self.start), end.max(self.end));
        if !self.empty && (start, end) == (self.start, self.end) {
            return;
        }
        (self.start, self.end) = (start, end);
        let grid = Grid::over(start, end, self.grid.width);
        if self.empty || grid != self.grid {
            self.regrid(grid);
        }
        self.empty = false;
    }

    fn regrid(&mut self, grid: Grid) {
        let old = std::mem::replace(&mut self.grid, grid);
        let place = |index: usize| {
            ((old.first + index as u64).saturating_mul(old.width) / grid.width).saturating_sub(grid.first)
                as usize
        };
        for track in &mut self.tracks {
            track.settle();
            let amounts = std::mem::replace(&mut track.amounts, vec![0.0; grid.count]);
            amounts.into_iter().enumerate().for_each(|(index, amount)| track.amounts[place(index)] += amount);
            track.steps = vec![0.0; grid.count];
        }
        let times = std::mem::replace(&mut self.times, vec![None; grid.count]);
        for (index, times) in times.into_iter().enumerate() {
            let Some(times) = times else { continue };
            match &mut self.times[place(index)] {
                Some(there) => there.merge(&times),
                free => *free = Some(times),
            }
        }
    }

    fn index(&self, at: u64) -> usize {
        let index = (at / self.grid.width).saturating_sub(self.grid.first) as usize;
        index.min(self.grid.count.saturating_sub(1))
    }

    /// All of it at one time, which [`Series::cover`] has covered.
    pub fn add(&mut self, track: usize, at: u64, amount: f64) {
        let index = self.index(at);
        self.tracks[track].amounts[index] += amount;
    }

    /// Evenly over a time, which [`Series::cover`] has covered.
    pub fn spread(&mut self, track: usize, start: u64, end: u64, amount: f64) {
        let (from, to) = (self.index(start), self.index(end));
        if from == to || end <= start {
            return self.add(track, end, amount);
        }
        let (width, first) = (self.grid.width, self.grid.first);
        let rate = amount / (end - start) as f64;
        let track = &mut self.tracks[track];
        track.amounts[from] +=
            rate * (first + from as u64 + 1).saturating_mul(width).saturating_sub(start) as f64;
        track.amounts[to] += rate * end.saturating_sub((first + to as u64).saturating_mul(width)) as f64;
        track.steps[from + 1] += rate * width as f64;
        track.steps[to] -= rate * width as f64;
    }

    /// One time, in nanoseconds, that came to its end at `at`.
    pub fn time(&mut self, at: u64, nanos: u64) {
        let index = self.index(at);
        self.times[index].get_or_insert_with(|| Histogram::new(TIME_BITS)).add(nanos);
    }

    pub fn start(&self) -> u64 {
        if self.empty { 0 } else { self.start }
    }

    pub fn end(&self) -> u64 {
        self.end
    }

    /// In at most `most` intervals, as few operations say little of many.
    pub fn finish(mut self, most: usize) -> Finished {
        while self.grid.count > most.max(1) {
            // No interval is wider than all of time.
            let Some(width) = self.grid.width.checked_mul(2) else { break };
            self.regrid(Grid::over(self.start, self.end, width));
        }
        self.tracks.iter_mut().for_each(Track::settle);
        let (grid, start, end) = (self.grid, self.start(), self.end);
        let intervals = (0..grid.count as u64).map(|index| {
            let from = (grid.first + index).saturating_mul(grid.width).max(start);
            let to = (grid.first + index + 1).saturating_mul(grid.width).min(end).max(from);
            Interval { start: from - start, nanos: (to - from).max(1) }
        });
        let mut finished = Finished {
            intervals: intervals.collect(),
            amounts: self.tracks.into_iter().map(|track| track.amounts).collect(),
            times: self.times,
        };
        // At the ends, where the log covers little of an interval, one operation would be a huge rate.
        let short = |interval: Option<&Interval>| interval.is_some_and(|i| i.nanos < grid.width / 2);
        if short(finished.intervals.last()) {
            finished.join(finished.intervals.len() - 1);
        }
        if short(finished.intervals.first()) {
            finished.join(1);
        }
        finished
    }
}

/// A part of the log's time: from `start` nanoseconds after its beginning; only what the log covers.
#[derive(Clone, Copy, Debug)]
pub struct Interval {
    pub start: u64,
    pub nanos: u64,
}

#[derive(Debug)]
pub struct Finished {
    pub intervals: Vec<Interval>,
    /// By track, then by interval.
    pub amounts: Vec<Vec<f64>>,
    pub times: Vec<Option<Histogram>>,
}

impl Finished {
    /// Joins an interval to the one before; nothing where there is none.
    fn join(&mut self, index: usize) {
        if index == 0 || index >= self.intervals.len() {
            return;
        }
        let gone = self.intervals.remove(index);
        let kept = &mut self.intervals[index - 1];
        kept.nanos = gone.start.saturating_add(gone.nanos).saturating_sub(kept.start);
        for amounts in &mut self.amounts {
            let more = amounts.remove(index);
            amounts[index - 1] += more;
        }
        if let Some(more) = self.times.remove(index) {
            self.times[index - 1].get_or_insert_with(|| Histogram::new(TIME_BITS)).merge(&more);
        }
    }

    /// A track's amounts per second.
    pub fn rates(&self, track: usize) -> Vec<f64> {
        let pairs = self.amounts[track].iter().zip(&self.intervals);
        pairs.map(|(amount, interval)| (amount / interval.nanos as f64 * 1e9).max(0.0)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same rows in any order give the same, and nothing of them is lost.
    #[test]
    fn o2_amounts_are_kept_whatever_the_order_and_the_length() {
        for length in [1u64, 1_000, 1_000_000, 3_000_000_000, 86_400_000_000_000] {
            let base = 1_700_000_000_000_000_000;
            let rows: Vec<_> = (0..500u64).map(|n| base + n * 7919 % 500 * length / 500).collect();
            let total = |rows: &mut dyn Iterator<Item = &u64>| {
                let mut series = Series::new(2);
                for start in rows {
                    let end = start + length / 3;
                    series.cover(*start, end);
                    series.spread(0, *start, end, 10.0);
                    series.add(1, end, 1.0);
                    series.time(end, 5);
                }
                series.finish(MOST)
            };
            let (one, two) = (total(&mut rows.iter()), total(&mut rows.iter().rev()));
            assert!(one.intervals.len() <= MOST);
            for found in [&one, &two] {
                assert!((found.amounts[0].iter().sum::<f64>() - 5000.0).abs() < 1e-3, "{length}");
                assert_eq!(found.amounts[1].iter().sum::<f64>(), 500.0);
                assert_eq!(found.times.iter().flatten().map(Histogram::count).sum::<u64>(), 500);
            }
            for (a, b) in one.amounts[0].iter().zip(&two.amounts[0]) {
                assert!((a - b).abs() < 1e-3, "{length}: {a} and {b}");
            }
        }
    }

    #[test]
    fn o2_an_even_load_has_an_even_rate_to_both_ends() {
        let mut series = Series::new(1);
        let (base, second) = (1_700_000_000_123_456_789, 1_000_000_000);
        for n in 0..100 {
            let start = base + n * second / 10;
            series.cover(start, start + second / 10);
            series.spread(0, start, start + second / 10, 1000.0);
        }
        let finished = series.finish(MOST);
        assert!(finished.intervals.len() > MOST / 3);
        for rate in finished.rates(0) {
            assert!((rate - 10_000.0).abs() < 1.0, "{rate}");
        }
    }
    /// Where the last operation ends just after an interval began, that is no spike.
    #[test]
    fn o2_few_operations_and_short_ends_make_no_spikes() {
        for (ends, most) in [(&[1_000_000u64][..], 1), (&[256_000, 512_001, 1_024_001], 3)] {
            let mut series = Series::new(1);
            for end in ends {
                series.cover(1_024_000_000, 1_024_000_000 + end);
                series.add(0, 1_024_000_000 + end, 1.0);
                series.time(1_024_000_000 + end, *end);
            }
            let finished = series.finish(ends.len());
            assert!(finished.intervals.len() <= most);
            assert!(finished.rates(0).iter().all(|rate| *rate < 20_000.0), "{:?}", finished.rates(0));
            assert_eq!(finished.amounts[0].iter().sum::<f64>(), ends.len() as f64);
            assert_eq!(finished.times.iter().flatten().map(Histogram::count).sum::<u64>(), ends.len() as u64);
        }
    }
}
