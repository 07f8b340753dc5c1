//! Why each asset is traded or not: one sentence for every target and every holding, with the numbers.
//!
//! Made from a plan that is already decided, so that nothing is decided here: a sentence names the order that the plan has,
//! or the reason for which it has none. The planner itself never calls this file.

use std::collections::BTreeSet;

use rust_decimal::Decimal;

use crate::decide::drift;
use crate::model::ids::Symbol;
use crate::model::money::{Fraction, Usd};
use crate::model::plan::{Amount, Explained, Leg, Plan, Pricing, Side, Skip, SymbolDrift};
use crate::model::snapshot::{Quote, Snapshot};
use crate::model::strategy::{Destination, Strategy, Unmanaged};
use crate::model::time::Span;
use crate::model::tolerance::{Band, Mode, Scope};
use crate::model::verdict::{Reason, SkipReason};

/// One sentence for every target, every holding, and whatever else the plan speaks of, in the order of the symbols.
pub fn reasons(strategy: &Strategy, snapshot: &Snapshot, plan: &Plan) -> Vec<Explained> {
    let mut symbols: BTreeSet<&Symbol> = strategy.targets().iter().map(|target| &target.symbol).collect();
    symbols.extend(snapshot.holdings.iter().filter(|(_, held)| !held.qty.is_zero()).map(|(symbol, _)| symbol));
    symbols.extend(plan.legs.iter().map(|leg| &leg.symbol));
    symbols.extend(plan.skipped.iter().map(|skip| &skip.symbol));
    let look = Look { strategy, snapshot, plan };
    symbols
        .into_iter()
        .map(|symbol| Explained { symbol: symbol.clone(), sentence: format!("{}.", look.sentence(symbol)) })
        .collect()
}

/// What every sentence of one plan is made from.
struct Look<'a> {
    strategy: &'a Strategy,
    snapshot: &'a Snapshot,
    plan: &'a Plan,
}

impl Look<'_> {
    fn sentence(&self, symbol: &Symbol) -> String {
        if let Some(row) = self.plan.drift.symbols.iter().find(|row| row.symbol == *symbol) {
            return format!("{}: {}", self.stands(row), self.act(row));
        }
        let held = self.snapshot.holdings.get(symbol).map_or_else(|| "0".to_owned(), |held| held.qty.to_string());
        let named = self.strategy.targets().iter().find(|target| target.symbol == *symbol);
        let held = format!("{symbol} ({held} shares held)");
        match (named, self.strategy.conditions().unmanaged) {
            (Some(target), _) => {
                let target = percent(target.weight);
                format!("{held} has a target of {target}% and is not traded: {}", self.unknown(symbol))
            }
            (None, Unmanaged::Ignore) => {
                format!(
                    "{held} is not named by the strategy, which ignores such holdings: it is neither traded nor counted"
                )
            }
            (None, Unmanaged::Block) => {
                format!(
                    "{held} is not named by the strategy, which trades nothing while the account holds such a thing"
                )
            }
            (None, Unmanaged::Sell) => {
                format!(
                    "{held} is not named by the strategy, which sells such holdings, and is not traded: {}",
                    self.unknown(symbol)
                )
            }
        }
    }

    /// Where the asset stands.
    fn stands(&self, row: &SymbolDrift) -> String {
        let (symbol, actual) = (&row.symbol, percent(row.actual));
        if row.target.is_zero() {
            return format!(
                "{symbol} is {actual}% of the portfolio and not named by the strategy, which sells such holdings"
            );
        }
        let target = percent(row.target);
        let off = percent(row.absolute.abs());
        let distance = match (off.is_zero(), row.absolute < Fraction::ZERO) {
            (true, _) => format!("on its target of {target}%"),
            (false, true) => format!("{off} points below its target of {target}%"),
            (false, false) => format!("{off} points above its target of {target}%"),
        };
        let band = self.band(row);
        let low = band.below.map(|below| percent((row.target - below).max(Fraction::ZERO)));
        let high = band.above.map(|above| percent(row.target + above));
        let band = match (low, high) {
            (Some(low), Some(high)) => format!("band {low}% to {high}%"),
            (Some(low), None) => format!("band from {low}%"),
            (None, Some(high)) => format!("band up to {high}%"),
            (None, None) => "no band".to_owned(),
        };
        format!("{symbol} is {actual}% of the portfolio, {distance} ({band})")
    }

    fn band(&self, row: &SymbolDrift) -> Band {
        if row.target.is_zero() { Band::default() } else { self.strategy.conditions().band(&row.symbol, row.target) }
    }

    fn is_outside(&self, row: &SymbolDrift) -> bool {
        !self.band(row).holds(row.absolute)
    }

    /// What is ordered, or why nothing is.
    fn act(&self, row: &SymbolDrift) -> String {
        let legs: Vec<String> = self.plan.legs.iter().filter(|leg| leg.symbol == row.symbol).map(order).collect();
        if !legs.is_empty() {
            return format!("{}, because {}", legs.join(" and "), self.cause(row));
        }
        let skips: Vec<String> =
            self.plan.skipped.iter().filter(|skip| skip.symbol == row.symbol).map(|skip| self.left_out(skip)).collect();
        if skips.is_empty() { self.idle(row) } else { skips.join(" and ") }
    }

    /// Why there is an order.
    fn cause(&self, row: &SymbolDrift) -> String {
        match self.plan.reason {
            _ if row.target.is_zero() => "the strategy does not name it and says to sell".to_owned(),
            Reason::DriftAbsolute | Reason::DriftRelative | Reason::DriftBand => {
                let goal = self.goal();
                match self.plan.drift.symbols.iter().find(|other| self.is_outside(other)) {
                    _ if self.is_outside(row) => format!("it left its band, and then {goal}"),
                    Some(other) => format!("{} left its band, and then {goal}", other.symbol),
                    None => goal.to_owned(),
                }
            }
            Reason::Scheduled => "the strategy has no bands, and every due moment trades".to_owned(),
            Reason::DriftPortfolio => {
                format!("all distances together are beyond the strategy's limit, and then {}", self.goal_of_all())
            }
            Reason::NewCash | Reason::CashAbove => {
                "cash above its target buys what is furthest below its target".to_owned()
            }
            Reason::RaiseCash if self.snapshot.account.cash < Usd::ZERO => "cash is below zero".to_owned(),
            Reason::RaiseCash => "cash is below its target and what is kept aside for a withdrawal".to_owned(),
            Reason::UnmanagedSold => {
                "what the strategy does not name is sold, and the rest goes to its target".to_owned()
            }
            Reason::Completing => "the sales of this run have ended, and their cash is there".to_owned(),
            other => format!("of `{other}`"),
        }
    }

    /// Where a rebalance goes that a band called for.
    fn goal(&self) -> &'static str {
        let conditions = self.strategy.conditions();
        match (conditions.mode, conditions.scope, conditions.destination) {
            (Mode::FewestTrades, _, _) => "as few orders as bring everything inside its band are sent",
            (_, Scope::OutOfBand, Destination::Target) => {
                "what left its band goes to its target, and the rest makes room"
            }
            (_, Scope::OutOfBand, Destination::Halfway) => {
                "what left its band goes half the way to its target, and the rest makes room"
            }
            _ => self.goal_of_all(),
        }
    }

    fn goal_of_all(&self) -> &'static str {
        match self.strategy.conditions().destination {
            Destination::Target => "the whole portfolio goes to its targets",
            Destination::BandEdge => "what left its band goes back to its edge, and the rest makes room",
            Destination::Halfway => "everything goes half the way to its target",
        }
    }

    /// Why an order that the weights ask for is left out.
    fn left_out(&self, skip: &Skip) -> String {
        let value = dollars(skip.value);
        let wish = match skip.side {
            Side::Buy => format!("{value} dollars of it are not bought"),
            Side::Sell => format!("{value} dollars of it are not sold"),
        };
        let why = match skip.reason {
            SkipReason::BelowMinimum => {
                format!(
                    "the order would be below the smallest one, {} dollars",
                    dollars(self.strategy.orders().min_notional)
                )
            }
            SkipReason::NotTradable => "the broker does not let it be traded".to_owned(),
            SkipReason::OpenOrder => "an order on it is open already".to_owned(),
            SkipReason::SharesHeld => "its shares are held by other orders".to_owned(),
            SkipReason::NoCash => "no cash is left for it".to_owned(),
            SkipReason::LessThanOneShare => {
                let price = self.snapshot.quotes.get(&skip.symbol).map(|quote| match skip.side {
                    Side::Buy => quote.ask,
                    Side::Sell => quote.bid,
                });
                let price = price.map_or_else(String::new, |price| format!(" at {price} dollars"));
                format!("that is less than one share{price}, and it does not trade in fractions")
            }
            SkipReason::SoldThisRun => "this run sold some of it".to_owned(),
            SkipReason::DoNotSell => "the account's user does not let it be sold".to_owned(),
            SkipReason::DoNotBuy => "the account's user does not let it be bought".to_owned(),
        };
        format!("{wish}, because {why}")
    }

    /// Why nothing is wanted of it.
    fn idle(&self, row: &SymbolDrift) -> String {
        let outside = self.is_outside(row);
        match self.plan.reason {
            Reason::InsideBands if row.absolute.is_zero() => "not traded, because it is on its target".to_owned(),
            Reason::InsideBands => "not traded, because it is inside its band".to_owned(),
            Reason::OnTarget => "not traded, because it is on its target".to_owned(),
            Reason::Cooldown => format!("not traded, because {}", self.rest()),
            Reason::BelowMinimum => {
                let least = dollars(self.strategy.orders().min_notional);
                format!(
                    "not traded, because nothing of it is to move, and no order reaches the smallest one, {least} dollars"
                )
            }
            Reason::UnmanagedBlocks => self.blocked(),
            Reason::NewCash | Reason::CashAbove if row.absolute >= Fraction::ZERO => {
                "not bought, because new cash buys only what is below its target".to_owned()
            }
            Reason::NewCash | Reason::CashAbove => {
                "not bought, because the new cash goes to what is further below its target".to_owned()
            }
            Reason::NoNewCash => "not traded, because the strategy only buys, and there is no new cash".to_owned(),
            Reason::CashSuffices => "not traded, because the strategy only sells, and there is cash enough".to_owned(),
            Reason::Completing if row.absolute > Fraction::ZERO => {
                "not bought, because it is not below its target; sales belong to the first half of the run".to_owned()
            }
            Reason::DriftAbsolute | Reason::DriftRelative | Reason::DriftBand if !outside && self.stays() => {
                "not traded, because it is inside its band".to_owned()
            }
            _ => "not traded, because it already is where this run brings it".to_owned(),
        }
    }

    /// Whether a rebalance leaves alone what is inside its band.
    fn stays(&self) -> bool {
        let conditions = self.strategy.conditions();
        conditions.destination == Destination::BandEdge
            || conditions.scope == Scope::OutOfBand
            || conditions.mode == Mode::FewestTrades
    }

    fn rest(&self) -> String {
        let days = self.strategy.conditions().cooldown_days;
        match self.snapshot.last_rebalanced_at {
            Some(last) => {
                let until = last + Span::from_hours(24 * i64::from(days));
                format!("the account was rebalanced at {last} and rests {days} days, until {until}")
            }
            None => format!("the account rests {days} days after a rebalance"),
        }
    }

    fn blocked(&self) -> String {
        let strangers: Vec<&str> = drift::unmanaged(self.strategy, self.snapshot).map(Symbol::as_str).collect();
        format!("not traded, because the account holds {}, which the strategy does not name", strangers.join(", "))
    }

    /// Why the portfolio could not be valued.
    fn unknown(&self, symbol: &Symbol) -> String {
        let has_price = |symbol: &Symbol| self.snapshot.quotes.get(symbol).is_some_and(Quote::is_usable);
        match self.plan.reason {
            Reason::PriceMissing if !has_price(symbol) => "it has no usable price".to_owned(),
            Reason::PriceMissing => {
                let targets = self.strategy.targets().iter().map(|target| &target.symbol);
                let sold = self.strategy.conditions().unmanaged == Unmanaged::Sell;
                let strangers = drift::unmanaged(self.strategy, self.snapshot).filter(|_| sold);
                let unpriced = targets.chain(strangers).filter(|other| !has_price(other));
                let missing: Vec<&str> = unpriced.map(Symbol::as_str).collect();
                match missing.as_slice() {
                    [] => "an open order cannot be priced".to_owned(),
                    missing => format!("there is no usable price of {}", missing.join(", ")),
                }
            }
            Reason::ShortPosition => "the account holds a short position".to_owned(),
            Reason::EmptyAccount => "the account holds neither cash nor anything that the strategy manages".to_owned(),
            other => format!("`{other}`"),
        }
    }
}

/// An order in words.
fn order(leg: &Leg) -> String {
    let (verb, limit) = match leg.phase.side() {
        Side::Buy => ("buys", "or less"),
        Side::Sell => ("sells", "or more"),
    };
    let price = match leg.pricing {
        Pricing::Market => "at the market".to_owned(),
        Pricing::Limit(price) => format!("at {price} dollars {limit}"),
    };
    match leg.amount {
        Amount::Qty(qty) => format!("{verb} {qty} shares {price}, about {} dollars", dollars(leg.value)),
        Amount::Notional(notional) => format!("{verb} {} dollars of it {price}", dollars(notional)),
    }
}

fn percent(fraction: Fraction) -> Decimal {
    fraction.percent().round_dp(2).normalize()
}

fn dollars(amount: Usd) -> String {
    format!("{:.2}", amount.decimal())
}
