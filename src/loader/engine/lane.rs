//! A lane: it takes an item, or many at once, fetches, and leaves what came.

use super::super::source::Location;
use super::fetch::{check, failure, fetch_one, plain, sample};
use super::items::{Shared, Ticket};
use super::{Held, Outcome, Starter, Tag, panicked};
use crate::base::sync::lock;
use crate::error::Result;
use crate::{runtime, transfer};
use futures_util::FutureExt;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// However patient one has to be with items, their lateness is looked at so often.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Lane {
    shared: Arc<Shared>,
    /// Its number, unless it takes many items at once.
    number: Option<usize>,
    /// The item that is being fetched, and what it has of the bounds.
    held: Mutex<(u64, Held)>,
}

impl Lane {
    pub(super) fn new(shared: &Arc<Shared>, numbered: bool) -> Arc<Lane> {
        let number = numbered.then(|| lock(&shared.plan).lateness.enter());
        Arc::new(Lane { shared: shared.clone(), number, held: Mutex::default() })
    }

    /// One item after the other.
    pub(super) async fn run(self: Arc<Lane>, mixed: bool) {
        let (mut came, mut tickets) = (Vec::new(), Vec::new());
        while self.next(&mut came, 1, &mut tickets).await {
            while let Some(ticket) = tickets.pop() {
                came.push(self.one(ticket, mixed).await);
            }
        }
    }

    /// Many items at once, for stores that have a way of their own for that.
    pub(super) async fn run_chunks(self: Arc<Lane>, most: usize) {
        let (mut came, mut tickets) = (Vec::new(), Vec::new());
        while self.next(&mut came, most, &mut tickets).await {
            self.chunk(std::mem::take(&mut tickets), &mut came).await;
        }
    }

    /// Waits for work; `false` where there is none any more.
    async fn next(&self, came: &mut Vec<(u64, Outcome)>, most: usize, tickets: &mut Vec<Ticket>) -> bool {
        loop {
            // Most of the time there is work, and nobody has to be told.
            match self.shared.exchange(self.number, came, most, tickets) {
                None => return false,
                Some(true) => return true,
                Some(false) => {}
            }
            let mut room = pin!(self.shared.room.notified());
            room.as_mut().enable();
            match self.shared.exchange(self.number, came, most, tickets) {
                None => return false,
                Some(true) => return true,
                Some(false) => room.await,
            }
        }
    }

    async fn one(self: &Arc<Lane>, mut ticket: Ticket, mixed: bool) -> (u64, Outcome) {
        let (index, location) = self.shared.locate(&mut ticket);
        if mixed && location.as_ref().is_ok_and(|location| location.store.capabilities().blocking_io) {
            let (lane, number, draw) = (self.clone(), ticket.number, ticket.draw);
            let apart =
                runtime::spawn_blocking(async move { lane.fetch(number, draw, index, location).await });
            let came = match apart {
                Ok(task) => task.await.map_err(|_| panicked()),
                Err(error) => Err(error),
            };
            return came.unwrap_or_else(|error| {
                let held = std::mem::take(&mut lock(&self.held).1);
                (number, Outcome { tag: Tag::Item(draw), result: Err(failure(index, error)), held })
            });
        }
        self.fetch(ticket.number, ticket.draw, index, location).await
    }

    async fn fetch(
        self: &Arc<Lane>,
        number: u64,
        draw: u64,
        index: u64,
        location: Result<Location>,
    ) -> (u64, Outcome) {
        *lock(&self.held) = (number, Held::default());
        let work = async {
            let location = location?;
            let data = fetch_one(&location, &self.shared.bounds, &self.shared.sizes, |bytes| {
                self.clone().admit(bytes)
            })
            .await?;
            sample(self.shared.source(), index, location, data)
        };
        let result = AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|_| Err(panicked()));
        let held = std::mem::take(&mut lock(&self.held).1);
        let result = result.map_err(|e| failure(index, e));
        (number, Outcome { tag: Tag::Item(draw), result, held })
    }

    /// Waits until the item under way may have so many bytes.
    async fn admit(self: Arc<Lane>, bytes: u64) {
        loop {
            if self.try_admit(bytes) {
                return;
            }
            let mut room = pin!(self.shared.room.notified());
            room.as_mut().enable();
            if self.try_admit(bytes) {
                return;
            }
            room.await;
        }
    }

    fn try_admit(&self, bytes: u64) -> bool {
        let mut held = lock(&self.held);
        let (number, held) = &mut *held;
        let mut plan = lock(&self.shared.plan);
        let anyway = held.over;
        let mut admitted = plan.closed || plan.room.admit(held, bytes, self.shared.bounds.bytes, anyway);
        if !admitted && plan.is_needed(*number, &self.shared.bounds) {
            plan.over = true;
            held.over = true;
            admitted = plan.room.admit(held, bytes, self.shared.bounds.bytes, true);
        }
        if let Some(lane) = self.number {
            match admitted {
                true => plan.lateness.resume(lane),
                false => plan.lateness.pause(lane),
            }
        }
        admitted
    }

    async fn chunk(self: &Arc<Lane>, tickets: Vec<Ticket>, came: &mut Vec<(u64, Outcome)>) {
        let mut group: Vec<Item> = Vec::new();
        for mut ticket in tickets {
            let (index, location) = self.shared.locate(&mut ticket);
            let (number, draw) = (ticket.number, ticket.draw);
            match location {
                Ok(location) if self.fits_a_group(&location) => {
                    if group.first().is_some_and(|first| !Arc::ptr_eq(&first.location.store, &location.store))
                    {
                        self.group(std::mem::take(&mut group), came).await;
                    }
                    group.push(Item { number, draw, index, location });
                }
                location => {
                    // What is there goes first: it may be what all others wait for.
                    self.group(std::mem::take(&mut group), came).await;
                    self.alone(number, draw, index, location, came).await;
                }
            }
        }
        self.group(group, came).await;
    }

    /// Whether the item may be read together with others: a whole object of which no version is asked for.
    fn fits_a_group(&self, location: &Location) -> bool {
        let pinned = self.shared.bounds.validate && location.etag.is_some();
        location.range.is_none() && !pinned && location.store.capabilities().blocking_io
    }

    /// Fetches an item by itself, which may have to wait for room.
    async fn alone(
        self: &Arc<Lane>,
        number: u64,
        draw: u64,
        index: u64,
        location: Result<Location>,
        came: &mut Vec<(u64, Outcome)>,
    ) {
        self.leave(came);
        came.push(self.fetch(number, draw, index, location).await);
        self.leave(came);
    }

    /// Hands over what came before the lane waits for room.
    fn leave(&self, came: &mut Vec<(u64, Outcome)>) {
        if !came.is_empty() {
            let _ = self.shared.exchange(self.number, came, 0, &mut Vec::new());
        }
    }

    /// Fetches items of one store: together those for which there is room now, the others one by one.
    async fn group(self: &Arc<Lane>, group: Vec<Item>, came: &mut Vec<(u64, Outcome)>) {
        let Some(first) = group.first() else { return };
        let (store, bounds) = (first.location.store.clone(), &self.shared.bounds);
        let keys: Vec<&str> = group.iter().map(|item| item.location.key()).collect();
        let stock = Mutex::new(Stock::new(group.len()));
        let admit = |number: usize, bytes: u64| {
            lock(&stock).admit(number, bytes, |held, bytes| {
                lock(&self.shared.plan).room.admit(held, bytes, bounds.bytes, false)
            })
        };
        let results = AssertUnwindSafe(transfer::get_batch(&store, &keys, &admit)).catch_unwind().await;
        let mut results = match results {
            Ok(Some(results)) => results,
            Ok(None) => Vec::new(),
            Err(_) => group.iter().map(|_| Some(Err(panicked()))).collect(),
        }
        .into_iter();
        let Stock { spare, held } = std::mem::take(&mut *lock(&stock));
        if spare.bytes > 0 {
            lock(&self.shared.plan).room.release(&spare);
            drop(spare);
            self.shared.room.notify_waiters();
        }
        let mut held = held.into_iter();
        let mut refused = Vec::new();
        for item in group {
            let (got, held) = (results.next().flatten(), held.next().flatten().unwrap_or_default());
            let Some(got) = got else {
                lock(&self.shared.plan).room.release(&held);
                refused.push(item);
                continue;
            };
            let Item { number, draw, index, location } = item;
            *lock(&self.held) = (number, held);
            let work = async {
                let data = got?;
                check(&location, &data, None, bounds)?;
                let data = plain(&location, data, bounds, |bytes| self.clone().admit_late(bytes)).await?;
                sample(self.shared.source(), index, location, data)
            };
            let result = AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|_| Err(panicked()));
            let held = std::mem::take(&mut lock(&self.held).1);
            let result = result.map_err(|e| failure(index, e));
            came.push((number, Outcome { tag: Tag::Item(draw), result, held }));
        }
        for Item { number, draw, index, location } in refused {
            self.alone(number, draw, index, Ok(location), came).await;
        }
    }

    /// Counts bytes that are there already.
    async fn admit_late(self: Arc<Lane>, bytes: u64) {
        let mut held = lock(&self.held);
        let mut plan = lock(&self.shared.plan);
        plan.room.admit(&mut held.1, bytes, self.shared.bounds.bytes, true);
    }
}

/// Room of a group of items. That of small ones is taken for many at once: to ask for it each time, in competition
/// with other lanes, would cost a good part of what reading a small file does.
#[derive(Default)]
struct Stock {
    /// What no item has yet.
    spare: Held,
    held: Vec<Option<Held>>,
}

impl Stock {
    /// So much is taken ahead.
    const AHEAD: u64 = 1 << 20;

    fn new(items: usize) -> Stock {
        Stock { spare: Held::default(), held: (0..items).map(|_| None).collect() }
    }

    /// Gives item `number` so many bytes, if it can; `room` makes what is held one of so many.
    fn admit(&mut self, number: usize, bytes: u64, room: impl Fn(&mut Held, u64) -> bool) -> bool {
        let ahead = Stock::AHEAD.min(bytes.saturating_mul(self.held.len() as u64)).max(bytes);
        match self.held.get_mut(number) {
            None => false,
            // It is looked at again, and may be of another size now.
            Some(Some(held)) => room(held, bytes),
            Some(place) => {
                let spare = &mut self.spare;
                let fits = spare.bytes >= bytes || room(spare, ahead) || room(spare, bytes);
                if fits {
                    *place = Some(spare.split(bytes));
                }
                fits
            }
        }
    }
}

/// An item of a chunk.
struct Item {
    number: u64,
    draw: u64,
    index: u64,
    location: Location,
}

/// Starts lanes in the stead of those that are late, while there is work.
pub(super) async fn replace_late(shared: Arc<Shared>, starter: Starter, mixed: bool) {
    let bounds = &shared.bounds;
    loop {
        let pause = {
            let mut plan = lock(&shared.plan);
            if plan.closed || plan.is_drained() {
                return;
            }
            plan.unwatched = plan.in_flight == 0;
            if plan.unwatched { None } else { Some(plan.lateness.patience() / 8) }
        };
        match pause {
            Some(pause) => tokio::time::sleep(pause.min(LONGEST_PAUSE)).await,
            None => shared.busy.notified().await,
        }
        let missing =
            lock(&shared.plan).lateness.missing(Instant::now(), bounds.in_flight, bounds.most_in_flight);
        for _ in 0..missing {
            let lane = || (!shared.is_closed()).then(|| Lane::new(&shared, true).run(mixed));
            if let Err(error) = starter.start(lane) {
                tracing::debug!(%error, "no lane was started in the stead of one that is late");
                return;
            }
        }
    }
}
