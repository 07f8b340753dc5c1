//! The budget of requests per minute and account (facts 7).
//!
//! Always: windows are whole minutes of simulated time, so `X-RateLimit-Reset` is the start of the next minute and a
//! run is the same however fast it is played. Trading and data are counted apart. A refused request costs nothing.
//! Whether Alpaca's window is fixed or rolling is not documented; fixed is what its headers describe.

use std::collections::BTreeMap;

use jiff::Timestamp;

/// Seconds of one window.
const WINDOW_SECONDS: i64 = 60;

/// What the three headers say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Requests per window.
    pub(crate) limit: u32,
    /// Requests left in this window.
    pub(crate) remaining: u32,
    /// Unix second at which the next window starts.
    pub(crate) reset: i64,
    /// Whether this request is over the budget.
    pub(crate) exceeded: bool,
    /// How many requests this budget has seen, this one included; names the request in `X-Request-ID`.
    pub(crate) ordinal: u64,
}

#[derive(Debug, Default)]
struct Spent {
    window: i64,
    used: u32,
    ordinal: u64,
}

/// All budgets.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    trading: BTreeMap<String, Spent>,
    data: BTreeMap<String, Spent>,
}

impl Limits {
    /// Counts one request of the account or key `id` at `now`; a limit of zero means no limit.
    pub(crate) fn spend(&mut self, id: &str, data: bool, limit: u32, now: Timestamp) -> Standing {
        let window = now.as_second().div_euclid(WINDOW_SECONDS);
        let table = if data { &mut self.data } else { &mut self.trading };
        if !table.contains_key(id) {
            table.insert(id.to_owned(), Spent::default());
        }
        let Some(spent) = table.get_mut(id) else {
            return Standing {
                limit,
                remaining: limit,
                reset: (window + 1) * WINDOW_SECONDS,
                exceeded: false,
                ordinal: 0,
            };
        };
        // A clock that was set anew starts a new window, in whichever direction it moved.
        if spent.window != window {
            spent.window = window;
            spent.used = 0;
        }
        spent.ordinal += 1;
        let effective = if limit == 0 { u32::MAX } else { limit };
        let exceeded = spent.used >= effective;
        if !exceeded {
            spent.used += 1;
        }
        Standing {
            limit: effective,
            remaining: effective - spent.used,
            reset: (window + 1) * WINDOW_SECONDS,
            exceeded,
            ordinal: spent.ordinal,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn the_third_request_of_a_budget_of_two_is_refused_until_the_next_minute() {
        let mut limits = Limits::default();
        let at: Timestamp = "2024-03-01T15:00:59.5Z".parse().unwrap();
        let first = limits.spend("a", false, 2, at);
        assert_eq!((first.remaining, first.reset, first.exceeded), (1, 1_709_305_260, false));
        assert!(!limits.spend("a", false, 2, at).exceeded);
        let third = limits.spend("a", false, 2, at);
        assert_eq!((third.remaining, third.exceeded), (0, true));
        assert!(!limits.spend("b", false, 2, at).exceeded, "budgets are apart");
        assert!(!limits.spend("a", true, 2, at).exceeded, "data is counted apart");
        let next = limits.spend("a", false, 2, "2024-03-01T15:01:00Z".parse().unwrap());
        assert_eq!((next.remaining, next.exceeded), (1, false));
    }
}
