//! A budget of requests per account, below the broker's own and obedient to its headers (facts 7).
//!
//! Alpaca gives each account 200 requests a minute, shared with the user's own programs. We take at most 150, fewer when
//! the headers say that little is left, and none before the reset after a 429.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::edge::clock::Clock;
use crate::model::time::{Moment, Span};

/// Requests in any minute that we allow ourselves per account (reliability: message throttle).
const PER_MINUTE: usize = 150;

/// What is left to the user's own programs at the end of a window.
const LEFT_TO_OTHERS: i64 = 20;

const MINUTE: Span = Span::from_secs(60);

/// Accounts that have not asked for this long are forgotten.
const FORGET: Span = Span::from_mins(5);

/// Budgets of all accounts.
#[derive(Debug, Default)]
pub(super) struct Limiter {
    budgets: Mutex<BTreeMap<String, Budget>>,
}

#[derive(Debug, Default)]
struct Budget {
    sent: std::collections::VecDeque<Moment>,
    not_before: Option<Moment>,
}

impl Limiter {
    /// Waits until this account may send one more request.
    pub(super) async fn admit(&self, account: &str, clock: &Clock) {
        loop {
            let now = clock.now();
            match self.next(account, now) {
                None => return,
                Some(later) => clock.sleep_until(later).await,
            }
        }
    }

    /// Takes a place in the budget, or says when to come again.
    fn next(&self, account: &str, now: Moment) -> Option<Moment> {
        let mut budgets = self.budgets.lock().unwrap_or_else(PoisonError::into_inner);
        if budgets.len() > 10_000 {
            budgets.retain(|_, budget| budget.sent.back().is_some_and(|last| now.since(*last) < FORGET));
        }
        let budget = budgets.entry(account.to_owned()).or_default();
        if let Some(later) = budget.not_before.filter(|later| *later > now) {
            return Some(later);
        }
        while budget.sent.front().is_some_and(|first| now.since(*first) >= MINUTE) {
            budget.sent.pop_front();
        }
        match budget.sent.front() {
            Some(first) if budget.sent.len() >= PER_MINUTE => Some(*first + MINUTE),
            _ => {
                budget.sent.push_back(now);
                None
            }
        }
    }

    /// Learns from an answer's headers.
    pub(super) fn learn(&self, account: &str, remaining: Option<i64>, reset: Option<Moment>, throttled: bool) {
        let scarce = remaining.is_some_and(|remaining| remaining <= LEFT_TO_OTHERS);
        let Some(reset) = reset.filter(|_| scarce || throttled) else { return };
        let mut budgets = self.budgets.lock().unwrap_or_else(PoisonError::into_inner);
        // A second past the reset: clocks differ (facts 7).
        budgets.entry(account.to_owned()).or_default().not_before = Some(reset + Span::from_secs(1));
    }
}
