//! The limits of the service: what no order, run or day of any account may exceed, and what a person raised for one.
//!
//! A limit that is `None` is switched off by the configuration. Raising one for an account is an approval like any other:
//! it has a name, a reason, a beginning and an end (reliability 3).

use rust_decimal::Decimal;

use crate::model::money::{Fraction, Usd};
use crate::model::time::Span;

/// Limits for every account alike, from the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceLimits {
    /// The largest live order.
    pub max_order_notional: Option<Usd>,
    /// The largest live order as a share of the account's equity.
    pub max_order_equity: Option<Fraction>,
    /// Whether live orders may be market orders.
    pub live_market_orders: bool,
    /// The largest order as a share of the symbol's average daily volume over 20 days.
    pub max_order_volume: Option<Fraction>,
    /// The largest value of all orders of one run.
    pub max_run_notional: Option<Usd>,
    /// The largest value of all orders of one account on one exchange day.
    pub max_day_notional: Option<Usd>,
    /// The largest share of the portfolio that one run may sell.
    pub max_turnover: Option<Fraction>,
    /// Orders of one run: so many for each holding or target ...
    pub orders_per_holding: u32,
    /// ... and so many more.
    pub orders_beside: u32,
    /// Orders of one account and day: so many runs' worth.
    pub runs_worth_per_day: u32,
    /// How far an order's price may be from the last trade.
    pub price_collar: Option<Fraction>,
    /// Orders above this need a last trade of the same day beside the quote: two sources for one price.
    pub confirm_price_above: Option<Usd>,
    /// The oldest quote by which a holding that is not traded may be valued.
    pub max_valuation_age: Span,
    /// The same order of another run within this time is a repetition.
    pub repeat_within: Span,
    /// The largest fall of the equity since the account was last seen that is believed.
    pub max_equity_drop: Option<Fraction>,
}

impl Default for ServiceLimits {
    /// The defaults of `config/rebalanced.toml`.
    fn default() -> Self {
        let percent = |number: i64| Some(Fraction::from_percent(Decimal::from(number)));
        let dollars = |number: i64| Some(Usd::new(Decimal::from(number)));
        Self {
            max_order_notional: dollars(25_000),
            max_order_equity: percent(20),
            live_market_orders: false,
            max_order_volume: percent(1),
            max_run_notional: None,
            max_day_notional: None,
            max_turnover: percent(35),
            orders_per_holding: 2,
            orders_beside: 10,
            runs_worth_per_day: 3,
            price_collar: percent(5),
            confirm_price_above: dollars(5_000),
            max_valuation_age: Span::from_mins(5),
            repeat_within: Span::from_mins(10),
            max_equity_drop: percent(50),
        }
    }
}

/// Limits that a person raised for one account. What is `None` stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Raise {
    /// The largest live order.
    pub max_order_notional: Option<Usd>,
    /// The largest live order as a share of the equity.
    pub max_order_equity: Option<Fraction>,
    /// The largest value of one run.
    pub max_run_notional: Option<Usd>,
    /// The largest value of one day.
    pub max_day_notional: Option<Usd>,
    /// The largest share of the portfolio that one run may sell; the strategy's own limit gives way to it too.
    pub max_turnover: Option<Fraction>,
    /// The largest believed fall of the equity; all of it also makes an empty list of positions believed.
    pub max_equity_drop: Option<Fraction>,
    /// For one run that sends orders only; after it the approval has ended.
    pub once: bool,
}

/// The words of a stored raise.
mod word {
    pub(super) const ORDER: &str = "max_order_notional";
    pub(super) const EQUITY: &str = "max_order_equity_percent";
    pub(super) const RUN: &str = "max_run_notional";
    pub(super) const DAY: &str = "max_day_notional";
    pub(super) const TURNOVER: &str = "max_turnover_percent";
    pub(super) const DROP: &str = "max_equity_drop_percent";
    pub(super) const ONCE: &str = "once";
}

impl Raise {
    /// Whether nothing is raised.
    pub fn is_empty(&self) -> bool {
        Self { once: false, ..self.clone() } == Self::default()
    }

    /// One text, in the configuration's own words: `max_order_notional=60000 once`.
    pub fn text(&self) -> String {
        let usd = |name: &str, sum: Option<Usd>| sum.map(|sum| format!("{name}={sum}"));
        let percent =
            |name: &str, share: Option<Fraction>| share.map(|share| format!("{name}={}", share.percent().normalize()));
        let words = [
            usd(word::ORDER, self.max_order_notional),
            percent(word::EQUITY, self.max_order_equity),
            usd(word::RUN, self.max_run_notional),
            usd(word::DAY, self.max_day_notional),
            percent(word::TURNOVER, self.max_turnover),
            percent(word::DROP, self.max_equity_drop),
            self.once.then(|| word::ONCE.to_owned()),
        ];
        words.into_iter().flatten().collect::<Vec<_>>().join(" ")
    }

    /// Reads such a text; `None` when it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let mut raise = Self::default();
        for part in text.split_ascii_whitespace() {
            if part == word::ONCE {
                raise.once = true;
                continue;
            }
            let (name, value) = part.split_once('=')?;
            let usd = || Usd::parse(value).ok();
            let share = || Usd::parse(value).ok().map(|percent| Fraction::from_percent(percent.decimal()));
            match name {
                word::ORDER => raise.max_order_notional = Some(usd()?),
                word::EQUITY => raise.max_order_equity = Some(share()?),
                word::RUN => raise.max_run_notional = Some(usd()?),
                word::DAY => raise.max_day_notional = Some(usd()?),
                word::TURNOVER => raise.max_turnover = Some(share()?),
                word::DROP => raise.max_equity_drop = Some(share()?),
                _ => return None,
            }
        }
        Some(raise)
    }

    /// The wider of two raises of one person.
    pub fn widen(&mut self, other: &Self) {
        self.max_order_notional = self.max_order_notional.max(other.max_order_notional);
        self.max_order_equity = self.max_order_equity.max(other.max_order_equity);
        self.max_run_notional = self.max_run_notional.max(other.max_run_notional);
        self.max_day_notional = self.max_day_notional.max(other.max_day_notional);
        self.max_turnover = self.max_turnover.max(other.max_turnover);
        self.max_equity_drop = self.max_equity_drop.max(other.max_equity_drop);
    }

    /// What two different people agree on: of each limit the second highest raise, one from each person.
    pub fn agreed_by_two<'a>(raises: impl Iterator<Item = &'a Self> + Clone) -> Self {
        fn second<T: Ord + Copy>(raised: impl Iterator<Item = Option<T>>) -> Option<T> {
            let mut raised: Vec<T> = raised.flatten().collect();
            raised.sort_unstable_by(|a, b| b.cmp(a));
            raised.get(1).copied()
        }
        Self {
            max_order_notional: second(raises.clone().map(|raise| raise.max_order_notional)),
            max_order_equity: second(raises.clone().map(|raise| raise.max_order_equity)),
            max_run_notional: second(raises.clone().map(|raise| raise.max_run_notional)),
            max_day_notional: second(raises.clone().map(|raise| raise.max_day_notional)),
            max_turnover: second(raises.clone().map(|raise| raise.max_turnover)),
            max_equity_drop: second(raises.map(|raise| raise.max_equity_drop)),
            once: false,
        }
    }

    /// The limits as they are with this raise: never lower than before.
    pub fn lift(&self, limits: &mut ServiceLimits) {
        fn higher<T: Ord>(limit: &mut Option<T>, raised: Option<T>) {
            if let (Some(now), Some(raised)) = (limit.as_mut(), raised)
                && *now < raised
            {
                *now = raised;
            }
        }
        higher(&mut limits.max_order_notional, self.max_order_notional);
        higher(&mut limits.max_order_equity, self.max_order_equity);
        higher(&mut limits.max_run_notional, self.max_run_notional);
        higher(&mut limits.max_day_notional, self.max_day_notional);
        higher(&mut limits.max_turnover, self.max_turnover);
        higher(&mut limits.max_equity_drop, self.max_equity_drop);
    }
}
