//! The section `[limits]`: what no order, run or day may exceed. What cannot be read is a fault, never "no limit".

use std::str::FromStr;

use rust_decimal::Decimal;

use crate::app::settings::reader::Reader;
use crate::model::limits::ServiceLimits;
use crate::model::money::{Fraction, Usd};
use crate::model::time::Span;

/// The word that switches a limit off.
const NONE: &str = "none";

/// A limit, or the word that switches it off.
enum Bound {
    Off,
    At(Decimal),
}

impl FromStr for Bound {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if text == NONE {
            return Ok(Self::Off);
        }
        let amount = Usd::parse(text).map_err(|_| ())?;
        if amount.is_positive() { Ok(Self::At(amount.decimal())) } else { Err(()) }
    }
}

/// Reads the section.
pub(super) fn limits(reader: &mut Reader<'_>) -> ServiceLimits {
    let seconds = |number: u32| Span::from_secs(i64::from(number));
    ServiceLimits {
        max_order_notional: dollars(reader, "limits.max_order_notional"),
        max_order_equity: percent(reader, "limits.max_order_equity_percent"),
        live_market_orders: reader.flag("limits.live_market_orders"),
        max_order_volume: percent(reader, "limits.max_order_volume_percent"),
        max_run_notional: dollars(reader, "limits.max_run_notional"),
        max_day_notional: dollars(reader, "limits.max_day_notional"),
        max_turnover: percent(reader, "limits.max_turnover_percent"),
        orders_per_holding: reader.whole("limits.orders_per_holding", (1, 100)),
        orders_beside: reader.whole("limits.orders_beside", (0, 10_000)),
        runs_worth_per_day: reader.whole("limits.runs_worth_of_orders_per_day", (1, 1_000)),
        price_collar: percent(reader, "limits.price_collar_percent"),
        confirm_price_above: dollars(reader, "limits.confirm_price_above"),
        max_valuation_age: seconds(reader.whole("limits.max_valuation_age_seconds", (1, 86_400))),
        repeat_within: seconds(reader.whole("limits.repeat_minutes", (0, 1440)) * 60),
        max_equity_drop: percent(reader, "limits.max_equity_drop_percent"),
    }
}

/// What cannot be read is the smallest limit there is; the fault stops the start anyway.
fn bound(reader: &mut Reader<'_>, key: &'static str, wanted: &str) -> Option<Decimal> {
    match reader.parsed::<Bound>(key, wanted) {
        Some(Bound::Off) => None,
        Some(Bound::At(limit)) => Some(limit),
        None => Some(Decimal::ZERO),
    }
}

fn dollars(reader: &mut Reader<'_>, key: &'static str) -> Option<Usd> {
    bound(reader, key, "an amount of dollars above 0, or \"none\"").map(Usd::new)
}

fn percent(reader: &mut Reader<'_>, key: &'static str) -> Option<Fraction> {
    bound(reader, key, "a percentage above 0, or \"none\"").map(Fraction::from_percent)
}
