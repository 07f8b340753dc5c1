//! What is due when.
//!
//! Always: timers come out in the order of time; at the same moment by account and then by order, so that accounts
//! cannot disturb each other. A timer of an older generation than its order has is void.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use jiff::Timestamp;

/// What happens to an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Action {
    /// Its time in force ends.
    End,
    /// It reaches the venue.
    Route,
    /// Its replacement reaches the venue.
    TakeOver,
    /// It looks at the market.
    Work,
    /// Its cancel reaches the venue.
    Cancel,
    /// The account's fees of the day are booked; concerns no order.
    Fees,
}

/// One thing that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Timer {
    pub(crate) at: Timestamp,
    pub(crate) account: usize,
    pub(crate) order: usize,
    pub(crate) action: Action,
    /// Only `Work` has one; 0 otherwise.
    pub(crate) generation: u32,
}

/// All that is due.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    heap: BinaryHeap<Reverse<Timer>>,
}

impl Timers {
    pub(crate) fn add(&mut self, timer: Timer) {
        self.heap.push(Reverse(timer));
    }

    /// When the next one is due.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.heap.peek().map(|Reverse(timer)| timer.at)
    }

    /// The next one that is due by a moment.
    pub(crate) fn pop_due(&mut self, now: Timestamp) -> Option<Timer> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse(timer)| timer)
    }
}
