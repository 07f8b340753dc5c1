//! Why each asset is traded or not: one sentence for every target and every holding, with the numbers.
//!
//! Made from a plan that is already decided, so that nothing is decided here: a sentence names the order that the plan has,
//! or the reason for which it has none. The planner itself never calls this file.

use std::collections::BTreeSet;

use rust_decimal::Decimal;

use crate::decide::drift;
use crate::model::ids::Symbol;
use crate::model::money::{Fraction, Usd};
use crate::model::personal::ExcludedTo;
use crate::model::plan::{Amount, Explained, Leg, Plan, Pricing, Side, Skip, SymbolDrift};
use crate::model::snapshot::{Quote, Snapshot};
use crate::model::strategy::{Destination, Strategy, Unmanaged};
use crate::model::time::Span;
use crate::model::tolerance::{Band, Mode, Scope};
use crate::model::verdict::{Reason, SkipReason};

/// One sentence for every target, every holding, and whatever else the plan speaks of, in the order of the symbols.
pub fn reasons(strategy: &Strategy, snapshot: &Snapshot, plan: &Plan) -> Vec<Explained> {
    let look = Look { strategy, snapshot, plan, universe: strategy.composition().universe() };
    let mut symbols: BTreeSet<&Symbol> = strategy.targets().iter().map(|target| &target.symbol).collect();
    symbols.extend(snapshot.holdings.iter().filter(|(_, held)| !held.qty.is_zero()).map(|(symbol, _)| symbol));
    symbols.extend(plan.legs.iter().map(|leg| &leg.symbol));
    symbols.extend(plan.skipped.iter().map(|skip| &skip.symbol));
    symbols.extend(look.universe.iter().filter(|symbol| look.is_left_out(symbol)));
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
    /// All that the strategy's file names.
    universe: BTreeSet<Symbol>,
}

/// What an asset is to the strategy.
enum Role<'a> {
    /// The account's user excludes it.
    Excluded,
    /// It cannot be had now, and this one takes its weight.
    OutOfReach(&'a Symbol),
    /// The file names it.
    Named,
    /// Nobody named it.
    Stranger,
}

impl Look<'_> {
    fn role(&self, symbol: &Symbol) -> Role<'_> {
        let own = self.strategy.own();
        if own.excluded.contains(symbol) {
            Role::Excluded
        } else if let Some(substitute) = own.stand_ins.get(symbol) {
            Role::OutOfReach(substitute)
        } else if self.universe.contains(symbol) || self.strategy.names(symbol) {
            Role::Named
        } else {
            Role::Stranger
        }
    }

    /// Whether the file names it, and it is no target of this account now.
    fn is_left_out(&self, symbol: &Symbol) -> bool {
        !self.strategy.is_resolved() || !matches!(self.role(symbol), Role::Named)
    }

    fn sentence(&self, symbol: &Symbol) -> String {
        if let Some(row) = self.plan.drift.symbols.iter().find(|row| row.symbol == *symbol) {
            return format!("{}: {}", self.stands(row), self.act(row));
        }
        let held = self.snapshot.holdings.get(symbol).map_or_else(|| "0".to_owned(), |held| held.qty.to_string());
        let held = format!("{symbol} ({held} shares held)");
        match self.role(symbol) {
            Role::Excluded => {
                let goes = match (self.strategy.own().stand_ins.get(symbol), self.strategy.allowance().excluded_to) {
                    (Some(substitute), _) => format!("{substitute} takes its weight"),
                    (None, ExcludedTo::Others) => "its weight goes to the others".to_owned(),
                    (None, ExcludedTo::Cash) => "its weight stays cash".to_owned(),
                };
                format!(
                    "{held} is excluded by the account's user: {goes}, and what is held of it is neither traded nor counted"
                )
            }
            Role::OutOfReach(substitute) => {
                format!("{held} cannot be bought now, and {substitute} takes its weight: not traded")
            }
            Role::Named => {
                let target = self.strategy.targets().iter().find(|target| target.symbol == *symbol);
                let what = target.map_or_else(
                    || "may be held by the strategy".to_owned(),
                    |target| format!("has a target of {}%", percent(target.weight)),
                );
                format!("{held} {what} and is not traded: {}", self.unknown(symbol))
            }
            Role::Stranger => self.stranger(&held, symbol),
        }
    }

    fn stranger(&self, held: &str, symbol: &Symbol) -> String {
        match self.strategy.conditions().unmanaged {
            Unmanaged::Ignore => {
                format!(
                    "{held} is not named by the strategy, which ignores such holdings: it is neither traded nor counted"
                )
            }
            Unmanaged::Block => {
                format!(
                    "{held} is not named by the strategy, which trades nothing while the account holds such a thing"
                )
            }
            Unmanaged::Sell => {
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
            let what = match self.role(symbol) {
                Role::Excluded => {
                    "excluded by the account's user, and the strategy sells what it does not name".to_owned()
                }
                Role::OutOfReach(substitute) => format!("cannot be bought now, and {substitute} takes its weight"),
                Role::Named => "the strategy's model holds none of it now".to_owned(),
                Role::Stranger => "not named by the strategy, which sells such holdings".to_owned(),
            };
            return format!("{symbol} is {actual}% of the portfolio and {what}");
        }
        let target = percent(row.target);
        let off = percent(row.absolute.abs());
        let points = if off == Decimal::ONE { "point" } else { "points" };
        let distance = match (off.is_zero(), row.absolute < Fraction::ZERO) {
            (true, _) => format!("on its target of {target}%"),
            (false, true) => format!("{off} {points} below its target of {target}%"),
            (false, false) => format!("{off} {points} above its target of {target}%"),
        };
        let band = self.band(row);
        let low = band.below.map(|below| percent((row.target - below).max(Fraction::ZERO)));
        let high = band.above.map(|above| percent((row.target + above).min(Fraction::ONE)));
        let band = match (low, high) {
            (Some(low), Some(high)) => format!("band {low}% to {high}%"),
            (Some(low), None) => format!("band from {low}%"),
            (None, Some(high)) => format!("band up to {high}%"),
            (None, None) => "no band".to_owned(),
        };
        format!("{symbol} is {actual}% of the portfolio, {distance} ({band}){}", self.shared(symbol))
    }

    /// With whom its weight is shared now.
    fn shared(&self, symbol: &Symbol) -> String {
        let stand_ins = &self.strategy.own().stand_ins;
        if let Some(substitute) = stand_ins.get(symbol) {
            return format!(", cannot be bought now, and {substitute} takes the rest of its weight");
        }
        let of: Vec<&str> = stand_ins.iter().filter(|(_, it)| *it == symbol).map(|(out, _)| out.as_str()).collect();
        if of.is_empty() { String::new() } else { format!(", and takes the weight of {}", of.join(", ")) }
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
            _ if row.target.is_zero() => match self.role(&row.symbol) {
                Role::Excluded => {
                    "the account's user excludes it, and the strategy says to sell such holdings".to_owned()
                }
                Role::Named | Role::OutOfReach(_) => "the strategy's model holds none of it now".to_owned(),
                Role::Stranger => "the strategy does not name it and says to sell".to_owned(),
            },
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
                let (all, limit) = self.portfolio_drift();
                let goal = self.goal_of_all();
                format!(
                    "half of all distances together is {all} points, beyond the strategy's limit of {limit}, and then {goal}"
                )
            }
            Reason::NewCash | Reason::CashAbove => {
                "cash above its target buys what is furthest below its target".to_owned()
            }
            Reason::RaiseCash if self.snapshot.account.cash < Usd::ZERO => "cash is below zero".to_owned(),
            Reason::RaiseCash => "cash is below its target and what is kept aside for a withdrawal".to_owned(),
            Reason::UnmanagedSold => {
                "what the strategy does not name is sold, and the rest goes to its target".to_owned()
            }
            Reason::LeftModel => {
                "what the strategy's model holds no longer is sold, and the rest goes to its target".to_owned()
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
            _ if row.target.is_zero() && row.actual.is_zero() => "not traded, because nothing of it is held".to_owned(),
            reason if reason.is_blocked() && reason != Reason::UnmanagedBlocks => {
                format!("not traded, because {}", self.plan.detail)
            }
            Reason::InsideBands | Reason::OnTarget if row.absolute.is_zero() => {
                "not traded, because it is on its target".to_owned()
            }
            Reason::InsideBands if self.band(row).is_open() => {
                let (all, limit) = self.portfolio_drift();
                let within = "half of all distances together is";
                format!(
                    "not traded, because {within} {all} points, inside the strategy's limit of {limit}{}",
                    self.waiting(row)
                )
            }
            Reason::InsideBands => format!("not traded, because it is inside its band{}", self.waiting(row)),
            Reason::OnTarget => "not traded, because it is on its target".to_owned(),
            Reason::Cooldown => format!("not traded, because {}{}", self.rest(), self.waiting(row)),
            Reason::Hindered => {
                "not traded, because nothing of it is to move, and what is to move cannot be traded now".to_owned()
            }
            Reason::RaiseCash if row.absolute > Fraction::ZERO => {
                "not sold, because what is further above its target brings the cash".to_owned()
            }
            Reason::RaiseCash => "not sold, because what is above its target brings the cash".to_owned(),
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

    /// Half of all distances together, and the limit, both in points.
    fn portfolio_drift(&self) -> (Decimal, String) {
        let limit = self.strategy.conditions().tolerance.drift_portfolio;
        (
            percent(self.plan.drift.portfolio),
            limit.map_or_else(|| "none".to_owned(), |limit| percent(limit).to_string()),
        )
    }

    /// Cash that would buy some of it, and why it waits.
    fn waiting(&self, row: &SymbolDrift) -> String {
        let excess = self.plan.cash_after - self.strategy.aside() - self.plan.value * self.strategy.cash();
        if row.absolute >= Fraction::ZERO || excess < self.strategy.orders().min_notional {
            return String::new();
        }
        let conditions = self.strategy.conditions();
        let excess = dollars(excess);
        match conditions.tolerance.cash_above {
            _ if !conditions.invest_cash => {
                format!("; {excess} dollars of cash above its target stay, because the strategy does not invest cash")
            }
            Some(above) => {
                let above = dollars(above);
                format!("; {excess} dollars of cash above its target wait until they are more than {above}")
            }
            None => String::new(),
        }
    }

    /// The rest of the trigger that would act: a holding outside its band, else the whole portfolio, else the schedule.
    fn rest(&self) -> String {
        let conditions = self.strategy.conditions();
        let own = conditions.tolerance.cooldowns;
        let is_outside = self.plan.drift.symbols.iter().any(|row| row.target.is_positive() && self.is_outside(row));
        let days = if conditions.is_bandless() {
            own.scheduled
        } else if is_outside {
            own.drift
        } else {
            own.portfolio
        };
        let days = days.unwrap_or(conditions.cooldown_days);
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
            _ => self.plan.detail.clone(),
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
