//! Draws from a listing while it goes on.

use super::super::sampler::{Origin, Runs, Shard, Shuffle};
use super::super::source::Location;
use super::super::source::prefix::Prefix;
use super::items::{Fed, Shared, fed_ahead};
use std::sync::Arc;

/// Lists, cuts what is listed into windows, and gives a shard's part of it to the lanes.
#[derive(Debug)]
pub struct Feeder {
    pub prefix: Prefix,
    pub shuffle: Shuffle,
    pub seed: u64,
    pub epoch: u64,
    pub origin: Origin,
    pub shard: Shard,
    /// Draws that were delivered before: those below `first`, and these.
    pub first: u64,
    pub also: Runs,
}

impl Feeder {
    /// Ends with the listing, or when the lanes do.
    pub async fn run(self, shared: Arc<Shared>) {
        let ahead = fed_ahead(&shared.bounds);
        let mut listing = self.prefix.list();
        let mut window: Vec<Location> = Vec::new();
        let mut count = Counts::default();
        loop {
            while !shared.is_closed() && (shared.waiting() >= ahead || shared.has_failed()) {
                // Whoever finds little waiting, or takes the failure, says so.
                shared.hungry.notified().await;
            }
            if shared.is_closed() {
                return;
            }
            match listing.next_page().await {
                Ok(Some(page)) => {
                    let mut fed = Vec::new();
                    match self.shuffle {
                        Shuffle::Window(size) => {
                            for location in page.fitting {
                                window.push(location);
                                if window.len() as u64 == size {
                                    self.cut(std::mem::take(&mut window), &mut count, &mut fed);
                                }
                            }
                        }
                        _ => self.cut(page.fitting, &mut count, &mut fed),
                    }
                    shared.push(fed, page.listed);
                }
                Ok(None) => {
                    let mut fed = Vec::new();
                    self.cut(window, &mut count, &mut fed);
                    shared.push(fed, 0);
                    shared.fed(Ok(()));
                    return;
                }
                Err(error) => shared.fed(Err(error)),
            }
        }
    }

    /// What of a window, or of a page, is the shard's.
    fn cut(&self, items: Vec<Location>, count: &mut Counts, fed: &mut Vec<Fed>) {
        let start = count.position;
        let order = match self.shuffle {
            Shuffle::Window(size) => {
                Some(self.shuffle.window(self.seed, self.epoch, 0, start / size, items.len() as u64))
            }
            _ => None,
        };
        let mut items: Vec<Option<Location>> = items.into_iter().map(Some).collect();
        for at in 0..items.len() as u64 {
            let position = count.position;
            count.position += 1;
            if self.origin.contains(position) {
                continue;
            }
            let left = count.left;
            count.left += 1;
            let draw = left / self.shard.of;
            if left % self.shard.of != self.shard.number || draw < self.first || self.also.contains(draw) {
                continue;
            }
            let from = order.as_ref().map_or(at, |order| order.at(at));
            if let Some(location) = items.get_mut(from as usize).and_then(Option::take) {
                fed.push((draw, start + from, location));
            }
        }
    }
}

#[derive(Debug, Default)]
struct Counts {
    /// Of the epoch.
    position: u64,
    /// How many positions so far were left when the run began.
    left: u64,
}
