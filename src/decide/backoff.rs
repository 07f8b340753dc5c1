//! How long to wait before asking again: every loop has a growing pause and an end (L10).

use crate::model::time::Span;
use crate::model::zoo::{Bug, planted};

/// The longest pause between two polls of an order that is under way (L9 asks for at most 30 s).
const POLL_MAX_MS: i64 = 15_000;

/// How long news of an order are gathered before it is looked at.
pub const AFTER_NEWS: Span = Span::from_millis(250);

/// Pauses before each question for an order whose fate is unknown. Together they are a quiet period of two minutes, for
/// orders may land up to that much later (row 4).
const ASKS_MS: [i64; 9] = [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000];

/// How often an account that does not show what it must is looked at again, by the pauses of polls: a minute, which is how
/// long the broker's figures may lag behind its fills (row 36).
pub const LOOKS_FOR_LAG: u32 = 8;

/// A difference between what is shown and what must be there, from look to look. It is believed when it has been looked at
/// for as long as figures may lag behind, and stood still: one that changed between the last two looks is of something under
/// way, such as a deposit that is booked but not yet in the cash.
#[derive(Debug, Default)]
pub struct Difference {
    looks: u32,
    last: Vec<String>,
}

impl Difference {
    /// Another look shows these differences: the pause before the next one, or `None` when they are to be believed. At most
    /// twice [`LOOKS_FOR_LAG`] pauses.
    pub fn again(&mut self, shown: &[String]) -> Option<Span> {
        let stands_still = self.last == shown;
        if self.looks >= 2 * LOOKS_FOR_LAG || (self.looks >= LOOKS_FOR_LAG && stands_still) {
            return None;
        }
        self.last = shown.to_vec();
        self.looks += 1;
        Some(poll_after(self.looks - 1))
    }
}

/// The pause before the next poll: half a second first, doubling.
pub fn poll_after(polls_so_far: u32) -> Span {
    if planted(Bug::PollsWithoutPause) {
        return Span::from_millis(1);
    }
    let doubled = 500_i64.saturating_mul(1_i64 << polls_so_far.min(10));
    Span::from_millis(doubled.min(POLL_MAX_MS))
}

/// The pause before the next question for an unknown order; `None` when it has been asked for long enough.
pub fn ask_after(asks_so_far: u32) -> Option<Span> {
    if planted(Bug::AsksForEver) && asks_so_far < 500 {
        return Some(Span::from_millis(300));
    }
    let place = usize::try_from(asks_so_far).ok()?;
    ASKS_MS.get(place).copied().map(Span::from_millis)
}
