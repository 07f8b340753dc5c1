//! A budget of requests for each account: never more than Alpaca allows, and less than that of our own accord.
//!
//! Alpaca counts 200 requests a minute for an account (facts 7), and the user's own programs spend from the same purse. We
//! spend at most 150 in any minute, and when the rate headers or a 429 say that the purse is empty, nothing is sent for
//! that account until the broker's window ends (row 56). Other accounts do not notice (L5).

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::edge::clock::Clock;
use crate::model::time::{Moment, Span};

/// Of Alpaca's 200 a minute, 50 are left to the user's own programs.
const REQUESTS_PER_MINUTE: usize = 150;

const MINUTE: Span = Span::from_secs(60);

/// Added to the end of the broker's window: its clock and ours differ a little.
const AFTER_RESET: Span = Span::from_secs(1);

/// A broker's clock that is far off must not lock an account for hours: its window is a minute long.
const LONGEST_WAIT: Span = Span::from_secs(65);

/// Budgets that were not used for a while are forgotten whenever so many are kept.
const SWEEP_AT: usize = 1024;

/// Whose purse a request is paid from, and whether we keep our own ceiling for it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Purse {
    /// One account in one environment.
    Account(String),
    /// The service's own market data key: its plan may allow thousands a minute, so only the headers limit it.
    Data,
    /// No budget is known: the token endpoint.
    None,
}

/// What the broker's headers said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Rate {
    /// Requests left in the window.
    pub(super) remaining: Option<u64>,
    /// When the window ends.
    pub(super) reset: Option<Moment>,
    /// Seconds to wait, where a proxy says so.
    pub(super) retry_after: Option<i64>,
}

#[derive(Debug, Default)]
struct Budget {
    sent: VecDeque<Moment>,
    closed_until: Option<Moment>,
}

/// All budgets.
#[derive(Debug, Default)]
pub(super) struct Limiter {
    budgets: Mutex<BTreeMap<Purse, Budget>>,
}

impl Limiter {
    /// Waits until a request may be sent, and counts it.
    pub(super) async fn admit(&self, purse: &Purse, clock: &Clock) {
        while let Err(until) = self.try_admit(purse, clock.now()) {
            clock.sleep_until(until).await;
        }
    }

    /// Counts a request if it may be sent now; otherwise says when to ask again.
    pub(super) fn try_admit(&self, purse: &Purse, now: Moment) -> Result<(), Moment> {
        if *purse == Purse::None {
            return Ok(());
        }
        let mut budgets = self.locked();
        if budgets.len() >= SWEEP_AT {
            budgets.retain(|_, budget| budget.is_needed(now));
        }
        let budget = budgets.entry(purse.clone()).or_default();
        if let Some(until) = budget.closed_until.filter(|until| *until > now) {
            return Err(until);
        }
        if matches!(purse, Purse::Account(_)) {
            while budget.sent.front().is_some_and(|sent| now.since(*sent) >= MINUTE) {
                budget.sent.pop_front();
            }
            if let Some(oldest) = budget.sent.front().filter(|_| budget.sent.len() >= REQUESTS_PER_MINUTE) {
                return Err(*oldest + MINUTE);
            }
            budget.sent.push_back(now);
        }
        Ok(())
    }

    /// Takes to heart what the broker said of its window; answers until when nothing may be sent, if so.
    pub(super) fn learn(&self, purse: &Purse, (throttled, rate): (bool, Rate), now: Moment) -> Option<Moment> {
        if !throttled && rate.remaining != Some(0) {
            return None;
        }
        let told = rate.reset.or_else(|| rate.retry_after.map(|seconds| now + Span::from_secs(seconds)));
        let until = match told {
            Some(told) => told + AFTER_RESET,
            // A 429 that does not say when: the whole window is the only span that is surely enough.
            None if throttled => now + MINUTE,
            None => return None,
        };
        let until = until.max(now + AFTER_RESET).min(now + LONGEST_WAIT);
        if *purse != Purse::None {
            self.locked().entry(purse.clone()).or_default().closed_until = Some(until);
        }
        Some(until)
    }

    fn locked(&self) -> MutexGuard<'_, BTreeMap<Purse, Budget>> {
        self.budgets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Budget {
    fn is_needed(&self, now: Moment) -> bool {
        self.closed_until.is_some_and(|until| until > now)
            || self.sent.back().is_some_and(|sent| now.since(*sent) < MINUTE)
    }
}
