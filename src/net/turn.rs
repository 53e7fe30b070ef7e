//! Whose turn it is on a thread.
//!
//! A server that is near answers before anybody looks, so a task that sends one request after the other never
//! waits. Its thread would ask for news of other sockets only now and then (tokio counts turns, not time, and
//! such a turn is long), and what came for others would lie there for tens of milliseconds: an item that a whole batch
//! waits for, as much as somebody else's request.

use std::cell::Cell;

/// Answers in a row for which a thread did not wait, before others have their turn.
const IN_A_ROW: u32 = 4;

thread_local! {
    static ROW: Cell<u32> = const { Cell::new(0) };
}

/// To be awaited once an answer is there, for which the task `waited` or did not.
pub(super) async fn answered(waited: bool) {
    let row = if waited { 0 } else { ROW.try_with(Cell::get).unwrap_or(0) + 1 };
    let over = row >= IN_A_ROW;
    let _ = ROW.try_with(|cell| cell.set(if over { 0 } else { row })); // at a thread's end nothing is to be counted
    if over {
        // Comes back after the thread has asked for news.
        tokio::task::yield_now().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    /// How many of `n` answers gave others a turn.
    fn turns(n: u32, waited: impl Fn(u32) -> bool) -> usize {
        (0..n).filter(|at| answered(waited(*at)).now_or_never().is_none()).count()
    }

    #[test]
    fn who_never_waits_lets_others_in() {
        assert_eq!(turns(10 * IN_A_ROW, |_| false), 10);
    }

    #[test]
    fn who_waits_has_let_others_in() {
        assert_eq!(turns(100, |_| true), 0);
        assert_eq!(turns(100, |at| at % IN_A_ROW == 0), 0);
    }
}
