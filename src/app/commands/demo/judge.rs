//! The judge: what the broker's own ledger says of the demo, not what the daemon believes.
//!
//! It names every violation: a client order id used twice, an order without a recorded intent, an order that differs
//! from its intent, a short position, cash below the target by more than rounding, and a traded portfolio that is not
//! where it should be: after a full rebalance, further from a target than one minimum order; after new cash was invested,
//! cash left over, or a purchase beyond its target, by more than one minimum order.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;
use rust_decimal::Decimal;

use super::cast::User;
use super::models;
use super::stage::Stage;
use crate::model::ids::Symbol;
use crate::model::intent::Intent;
use crate::model::plan::Amount;
use crate::model::run::Run;
use crate::model::strategy::{Destination, Strategy};
use crate::model::tolerance::{Mode, Scope};
use crate::model::verdict::{OutcomeKind, Reason};

/// What one look found.
#[derive(Debug, Default)]
pub(super) struct Judged {
    /// How many portfolios were held against their targets.
    pub(super) checked: usize,
    /// What must never be seen.
    pub(super) violations: Vec<String>,
}

/// What the broker says of one account.
struct Books {
    cash: Decimal,
    positions: BTreeMap<String, (Decimal, Decimal)>,
}

/// Holds every account that traded at one moment against its strategy, while prices still stand still.
pub(super) fn after_slot(stage: &Stage, users: &[User], runs: &[Run]) -> anyhow::Result<Judged> {
    let mut judged = Judged::default();
    for run in runs {
        let Some(user) = users.iter().find(|user| user.account == run.account.as_str()) else {
            judged.violations.push(format!("run {} is for an account of nobody", run.id));
            continue;
        };
        let strategy = stage.catalog.get(&run.strategy).context("a run without a strategy")?;
        let strategy = &models::on_day(stage, strategy, run.slot)?;
        let books = read_books(stage, user)?;
        for (symbol, (qty, _)) in &books.positions {
            if *qty < Decimal::ZERO {
                judged.violations.push(format!("{} is short {qty} {symbol}", user.name));
            }
        }
        let outcome = run.outcome.as_ref().context("a closed run without an outcome")?;
        let done = outcome.kind == OutcomeKind::Completed.code();
        let reason = Reason::parse(&outcome.reason);
        let traded = matches!(
            reason,
            Some(
                Reason::DriftAbsolute
                    | Reason::DriftRelative
                    | Reason::DriftBand
                    | Reason::DriftPortfolio
                    | Reason::Scheduled
                    | Reason::NewCash
                    | Reason::CashAbove
                    | Reason::RaiseCash
                    | Reason::LeftModel
            )
        );
        if !done || !traded {
            continue;
        }
        judged.violations.extend(cash_below_target(&user.name, strategy, &books));
        if matches!(reason, Some(Reason::NewCash | Reason::CashAbove)) {
            judged.checked += 1;
            judged.violations.extend(ill_invested(&user.name, strategy, &books, &bought(stage, run)));
        } else if goes_to_targets(strategy) {
            judged.checked += 1;
            judged.violations.extend(off_target(&user.name, strategy, &books));
        }
    }
    Ok(judged)
}

/// Whether a whole rebalance brings every holding to its target.
fn goes_to_targets(strategy: &Strategy) -> bool {
    let conditions = strategy.conditions();
    (conditions.destination, conditions.scope, conditions.mode) == (Destination::Target, Scope::All, Mode::Full)
}

fn read_books(stage: &Stage, user: &User) -> anyhow::Result<Books> {
    stage.sim.with_exchange(|exchange, now| {
        let cash = exchange.account(now, &user.account).with_context(|| format!("no books of {}", user.name))?.cash;
        let positions = exchange
            .positions(now, &user.account)
            .with_context(|| format!("no positions of {}", user.name))?
            .into_iter()
            .map(|position| (position.symbol.to_string(), (position.qty, position.current_price)))
            .collect();
        Ok(Books { cash, positions })
    })
}

fn worth(strategy: &Strategy, books: &Books) -> Decimal {
    let managed = strategy.targets().iter().filter_map(|target| books.positions.get(target.symbol.as_str()));
    books.cash + managed.map(|(qty, price)| qty * price).sum::<Decimal>()
}

/// Cents that rounding may cost: one for each symbol, and one for the target itself.
fn cash_below_target(name: &str, strategy: &Strategy, books: &Books) -> Option<String> {
    let target = worth(strategy, books) * strategy.cash().decimal();
    let rounding = Decimal::new(i64::try_from(strategy.targets().len()).unwrap_or(0) + 1, 2);
    (books.cash < target - rounding)
        .then(|| format!("{name} has {} dollars of cash, below the target of {}", books.cash, target.round_dp(2)))
}

/// What is further from its target than the smallest order, and than what others lack or have too much of by less than that:
/// a sale that is not worth an order leaves its cash missing for a purchase.
fn off_target(name: &str, strategy: &Strategy, books: &Books) -> Vec<String> {
    let worth = worth(strategy, books);
    let least = strategy.orders().min_notional.decimal();
    let off = |symbol: &Symbol, weight: Decimal| {
        let (qty, price) = books.positions.get(symbol.as_str()).copied().unwrap_or_default();
        (qty * price - worth * weight).abs()
    };
    let all: Vec<(&Symbol, Decimal)> = strategy
        .targets()
        .iter()
        .map(|target| (&target.symbol, off(&target.symbol, target.weight.decimal())))
        .collect();
    let unsent: Decimal = all.iter().map(|(_, off)| *off).filter(|off| *off <= least).sum();
    all.iter()
        .filter(|(_, off)| *off > least + unsent)
        .map(|(symbol, off)| {
            format!("{name} is {} dollars off its target for {symbol} after a full rebalance", off.round_dp(2))
        })
        .collect()
}

/// What the broker sold to one account since a run's slot.
fn bought(stage: &Stage, run: &Run) -> BTreeSet<String> {
    let ours = |record: &alpaca_sim::OrderRecord| {
        record.account.as_ref() == run.account.as_str() && record.order.created_at >= run.slot.timestamp()
    };
    let orders = stage.sim.ledger().orders.into_iter().filter(ours);
    orders.map(|record| record.order.symbol.to_string()).collect()
}

/// New cash goes to what is underweight and is used up; without a sale more cannot be asked.
fn ill_invested(name: &str, strategy: &Strategy, books: &Books, bought: &BTreeSet<String>) -> Vec<String> {
    let worth = worth(strategy, books);
    let least = strategy.orders().min_notional.decimal();
    let mut wrong = Vec::new();
    let left = books.cash - worth * strategy.cash().decimal();
    if left > least {
        wrong.push(format!("{name} has {} dollars of new cash left over", left.round_dp(2)));
    }
    for target in strategy.targets().iter().filter(|target| bought.contains(target.symbol.as_str())) {
        let (qty, price) = books.positions.get(target.symbol.as_str()).copied().unwrap_or_default();
        let beyond = qty * price - worth * target.weight.decimal();
        if beyond > least {
            wrong.push(format!("{name} bought {} to {} dollars beyond its target", target.symbol, beyond.round_dp(2)));
        }
    }
    wrong
}

/// Holds the broker's whole order book against the recorded intents.
pub(super) fn at_the_end(stage: &Stage, intents: &[Intent]) -> Vec<String> {
    let by_id: BTreeMap<&str, &Intent> =
        intents.iter().map(|intent| (intent.client_order_id.as_str(), intent)).collect();
    let mut used = BTreeSet::new();
    let mut violations = Vec::new();
    for record in stage.sim.ledger().orders {
        let order = &record.order;
        let id = order.client_order_id.as_ref();
        if !used.insert((record.account.to_string(), id.to_owned())) {
            violations.push(format!("client order id {id} was used twice"));
        }
        let Some(intent) = by_id.get(id) else {
            violations.push(format!("order {id} has no recorded intent"));
            continue;
        };
        let (qty, notional) = match intent.amount {
            Amount::Qty(qty) => (Some(qty.decimal()), None),
            Amount::Notional(notional) => (None, Some(notional.decimal())),
        };
        let same = intent.account.as_str() == record.account.as_ref()
            && intent.symbol.as_str() == order.symbol.as_ref()
            && qty == order.qty
            && notional == order.notional
            && intent.filled_qty.decimal() == order.filled_qty;
        if !same {
            violations.push(format!("order {id} differs from its recorded intent"));
        }
    }
    violations
}
