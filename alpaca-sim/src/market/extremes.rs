//! Lowest and highest prices of stretches of a session, so that an order that waits need not look at every step.
//!
//! Always: the extremes of a block are those of all its steps; they are forgotten when the session or the changes of
//! the symbol are others than they were computed for. Only the latest session is kept.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};

use super::sessions::Session;
use super::{Market, SymbolId};

/// Steps of a block.
const BLOCK: i64 = 512;

/// What has been computed for one session.
#[derive(Debug, Default)]
pub(super) struct Extremes {
    session: Option<Timestamp>,
    /// By symbol, number of changes of its path, and block.
    known: HashMap<(SymbolId, usize, i64), (i64, i64)>,
}

impl Market {
    /// The first step after `from` and before `to`, within one session, whose price in cents `stops` at. Where `may`
    /// says that nothing between a lowest and a highest price can matter, the whole block is passed over.
    pub(crate) fn first_step(
        &self,
        (symbol, session): (SymbolId, &Session),
        (from, to): (Timestamp, Timestamp),
        may: impl Fn(i64, i64) -> bool,
        mut stops: impl FnMut(i64) -> bool,
    ) -> Option<Timestamp> {
        let step = self.step_seconds();
        let mut number = from.duration_since(session.open).as_secs().div_euclid(step).max(-1) + 1;
        let moment = |number: i64| session.open + SignedDuration::from_secs(number * step);
        let mut cleared = None;
        while moment(number) < to {
            let block = number.div_euclid(BLOCK);
            if cleared != Some(block) {
                let (low, high) = self.extremes(symbol, session, block);
                if !may(low, high) {
                    number = (block + 1) * BLOCK;
                    continue;
                }
                cleared = Some(block);
            }
            let (cents, _) = self.cents(symbol, moment(number));
            if stops(cents) {
                return Some(moment(number));
            }
            number += 1;
        }
        None
    }

    /// Lowest and highest price of a block of a session.
    fn extremes(&self, symbol: SymbolId, session: &Session, block: i64) -> (i64, i64) {
        let changes = self.path(symbol).map_or(0, super::path::Path::changes);
        let key = (symbol, changes, block);
        let mut kept = self.extremes.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if kept.session != Some(session.open) {
            *kept = Extremes { session: Some(session.open), known: HashMap::new() };
        }
        if let Some(found) = kept.known.get(&key) {
            return *found;
        }
        let step = self.step_seconds();
        let steps = session.close.duration_since(session.open).as_secs() / step;
        let prices = (block * BLOCK..((block + 1) * BLOCK).min(steps + 1)).map(|number| {
            let moment = session.open + SignedDuration::from_secs(number * step);
            self.cents(symbol, moment).0
        });
        let found = prices.fold((i64::MAX, 0), |(low, high), cents| (low.min(cents), high.max(cents)));
        kept.known.insert(key, found);
        found
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::super::tests::market;
    use super::*;

    #[test]
    fn passing_over_blocks_finds_the_same_step() {
        let market = market();
        let symbol = market.symbol("XOM").unwrap();
        let session = *market.calendar().on("2022-03-01".parse().unwrap()).unwrap();
        let span = (session.open + SignedDuration::from_secs(77), session.close);
        let (open, _) = market.cents(symbol, span.0);
        for below in [0, 1, 5, 20, 50, 100, 1_000] {
            let bound = open - below;
            let fast = market.first_step((symbol, &session), span, |low, _| low <= bound, |cents| cents <= bound);
            let slow = market.first_step((symbol, &session), span, |_, _| true, |cents| cents <= bound);
            assert_eq!(fast, slow, "{below}");
        }
        let first = market.first_step((symbol, &session), span, |_, _| true, |_| true);
        assert_eq!(first, Some(session.open + SignedDuration::from_secs(78)));
    }
}
