//! The guard: one half of a plan against halts, approvals, limits and the state of the world.
//!
//! Either everything is allowed, and a [`Cleared`] exists, or all refusals come at once. There is no third answer, and
//! only [`guard`] makes a `Cleared`. A check that cannot be made has failed (rule 5).

use std::collections::BTreeSet;
use std::marker::PhantomData;

use rust_decimal::Decimal;

use crate::decide::limits::Measure;
use crate::decide::{drift, limits};
use crate::model::environment::{Environment, Kind};
use crate::model::ids::{AccountId, StrategyName, StrategyVersion, Symbol};
use crate::model::intent::Intent;
use crate::model::mandate::{Approval, ApprovalKind, Bound, HaltScope, Mandate, Past, ServicePolicy};
use crate::model::money::{Fraction, Price, Qty, Usd};
use crate::model::plan::{Amount, Leg, Phase, Plan};
use crate::model::session::Session;
use crate::model::snapshot::{Market, Quote, Snapshot};
use crate::model::strategy::Strategy;
use crate::model::time::{Moment, Span};
use crate::model::verdict::{Refusal, RefusalCode};
use crate::model::zoo::{Bug, planted};

/// Orders are not sent this close to the close: they could end in the next session.
const CLOSING: Span = Span::from_secs(60);

/// Legs that passed the guard, for one environment. Private fields, no clone, no conversion: nothing else makes one.
#[derive(Debug)]
pub struct Cleared<E> {
    account: AccountId,
    phase: Phase,
    legs: Vec<Leg>,
    /// What the limits are held against; an order that is stored already has lost its plan.
    measure: Option<Measure>,
    environment: PhantomData<E>,
}

impl<E: Environment> Cleared<E> {
    /// The account that the legs are for.
    pub fn account(&self) -> &AccountId {
        &self.account
    }

    /// The half of the run.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// The legs.
    pub fn legs(&self) -> &[Leg] {
        &self.legs
    }

    /// The value of all legs together.
    pub fn value(&self) -> Usd {
        self.legs.iter().map(|leg| leg.value).sum()
    }
}

/// A quote may be this much younger than now: clocks differ a little.
const CLOCKS_AGREE: Span = Span::from_secs(-5);

/// What the guard looks at besides the mandate.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// The half that is to be sent.
    pub phase: Phase,
    /// What the plan was made from.
    pub snapshot: &'a Snapshot,
    /// The exchange's session that is on now, if one is.
    pub session: Option<Session>,
    /// Now.
    pub now: Moment,
    /// The strategy, for its limits and its version.
    pub strategy: &'a Strategy,
    /// Trades and volumes beside the quotes; only the dry run, which decides from files alone, has none.
    pub market: Option<&'a Market>,
}

/// Checks one half of a plan.
///
/// # Errors
/// All refusals at once, each with its numbers.
pub fn guard<E: Environment>(facts: &Facts<'_>, mandate: &Mandate) -> Result<Cleared<E>, Vec<Refusal>> {
    let cleared = Cleared {
        account: facts.snapshot.account.id.clone(),
        phase: facts.phase,
        legs: facts.plan.legs_of(facts.phase).cloned().collect(),
        measure: Some(Measure::of(facts.plan, facts.strategy, facts.snapshot)),
        environment: PhantomData,
    };
    let version = (facts.strategy.name(), facts.strategy.version());
    let mut refusals = gate(&cleared, version, mandate, facts.now);
    refusals.extend(world(facts, mandate, &cleared.legs));
    refusals.extend(prices(facts, mandate, &cleared.legs));
    refusals.extend(books(facts, &cleared.legs));
    if refusals.is_empty() { Ok(cleared) } else { Err(refusals) }
}

fn refusal(code: RefusalCode, detail: String) -> Refusal {
    Refusal { code, detail }
}

/// The wall right before sending: halts, the live flags, approvals with their bounds, the limits in force. It is asked again in the transaction that records the intents (design, section 6).
pub fn gate<E: Environment>(
    cleared: &Cleared<E>,
    strategy: (&StrategyName, &StrategyVersion),
    mandate: &Mandate,
    now: Moment,
) -> Vec<Refusal> {
    let mut refusals = flags((cleared, recorded_before(mandate)), strategy, mandate, now);
    refusals.extend(limits::caps(cleared.legs(), mandate, now));
    if let Some(measure) = &cleared.measure {
        refusals.extend(limits::sizes(cleared.legs(), measure, mandate, now));
    }
    refusals
}

/// What the run has recorded already: both of its halves must stay inside one bound.
fn recorded_before(mandate: &Mandate) -> Usd {
    mandate.today.iter().filter(|past| past.of_this_run && past.counts()).map(|past| past.value).sum()
}

/// What must hold for every order, recorded or not. `before` is what the run recorded besides.
fn flags<E: Environment>(
    (cleared, before): (&Cleared<E>, Usd),
    strategy: (&StrategyName, &StrategyVersion),
    mandate: &Mandate,
    now: Moment,
) -> Vec<Refusal> {
    let mut refusals = halts(cleared.legs(), mandate);
    if mandate.account != *cleared.account() || mandate.environment != E::KIND {
        let detail = format!(
            "the mandate is for {} account {}, the orders are for {} account {}",
            mandate.environment,
            mandate.account,
            E::KIND,
            cleared.account()
        );
        refusals.push(refusal(RefusalCode::ClaimLost, detail));
    }
    if let Some(most) = mandate.policy.max_trading_runs_per_day.filter(|most| mandate.trading_runs_today >= *most) {
        let detail = format!(
            "the account had {} runs with orders today and {most} are allowed (limits.max_trading_runs_per_day)",
            mandate.trading_runs_today
        );
        refusals.push(refusal(RefusalCode::MaxRunsPerDay, detail));
    }
    if E::KIND == Kind::Live {
        refusals.extend(live((cleared, before), strategy, mandate, now));
    }
    refusals
}

/// How long a recorded intent may wait for its first byte: a process that died or slept in between may come back much
/// later, and prices, holdings and cash have moved. What is older waits for the next slot.
const SEND_WITHIN: Span = Span::from_mins(15);

/// The same wall for one intent that is stored already, asked right before each send. A restart or a long pause may lie
/// between the record and the send, and every flag may have been withdrawn in it, a raised limit too (S4). What is held against
/// the plan (shares of equity, turnover, counts) was held last in the transaction that recorded it.
pub fn may_still_leave<E: Environment>(
    intent: &Intent,
    strategy: (&StrategyName, &StrategyVersion),
    mandate: &Mandate,
    now: Moment,
) -> Vec<Refusal> {
    let leg = Leg {
        phase: intent.phase,
        symbol: intent.symbol.clone(),
        amount: intent.amount,
        pricing: intent.pricing,
        value: intent.value,
        reference_price: Price::ZERO,
    };
    let cleared: Cleared<E> = Cleared {
        account: intent.account.clone(),
        phase: intent.phase,
        legs: vec![leg],
        measure: None,
        environment: PhantomData,
    };
    let mut refusals = gate(&cleared, strategy, &beside(intent, mandate), now);
    let age = now.since(intent.recorded_at);
    if age > SEND_WITHIN {
        let detail = format!("it was recorded {} s ago, {} are allowed", age.as_secs(), SEND_WITHIN.as_secs());
        refusals.push(refusal(RefusalCode::QuoteStale, detail));
    }
    refusals
}

/// The mandate as it is without the intent itself, which is among those recorded.
fn beside(intent: &Intent, mandate: &Mandate) -> Mandate {
    let mut mandate = mandate.clone();
    let is_it = |past: &Past| {
        past.of_this_run
            && (past.phase, &past.symbol, past.amount) == (intent.phase, &intent.symbol, intent.amount)
            && (past.value, past.recorded_at) == (intent.value, intent.recorded_at)
    };
    if let Some(place) = mandate.today.iter().position(is_it) {
        mandate.today.remove(place);
    }
    mandate
}

/// Up to this age an intent is sent at the price that it was reckoned at; an older one is held beside the market again (S11).
pub const FRESH: Span = Span::from_secs(60);

/// Why an intent that waited may not leave at the market's price of now: there is none, it is old, or it is not near the one
/// that the quantity was reckoned at, as after a split (row 53).
pub fn priced_out(intent: &Intent, quote: Option<&Quote>, policy: &ServicePolicy, now: Moment) -> Option<Refusal> {
    let symbol = &intent.symbol;
    let Some(quote) = quote.filter(|quote| quote.is_usable()) else {
        return Some(refusal(RefusalCode::QuoteUnusable, format!("{symbol} has no usable price any more")));
    };
    let (age, most) = (now.since(quote.at), Span::from_secs(i64::from(policy.max_quote_age_seconds)));
    if age > most || age < CLOCKS_AGREE {
        let (age, most) = (age.as_secs(), most.as_secs());
        return Some(refusal(
            RefusalCode::QuoteStale,
            format!("the quote of {symbol} is {age} s old, {most} are allowed"),
        ));
    }
    let Amount::Qty(qty) = intent.amount else { return None };
    let (then, shown) = (intent.value.per(qty), quote.middle());
    let most = policy.limits.price_collar.unwrap_or_else(|| Fraction::from_percent(Decimal::TEN));
    ((shown - then).abs() > then * most).then(|| {
        let detail = format!("{symbol} is at {shown} now, and was reckoned at {}", then.decimal().round_dp(4));
        refusal(RefusalCode::PriceCollar, detail)
    })
}

fn halts(legs: &[Leg], mandate: &Mandate) -> Vec<Refusal> {
    let in_force = mandate.halts.iter().filter(|halt| halt.released.is_none());
    in_force
        .filter_map(|halt| {
            let why = format!("by {}: {}", halt.by, halt.reason);
            match &halt.scope {
                HaltScope::Service if planted(Bug::ServiceHaltIgnored) => None,
                HaltScope::Account(_) if planted(Bug::AccountHaltIgnored) => None,
                HaltScope::Service => Some(refusal(RefusalCode::HaltedService, format!("the service is halted {why}"))),
                HaltScope::Account(account) if *account == mandate.account => {
                    Some(refusal(RefusalCode::HaltedAccount, format!("the account is halted {why}")))
                }
                HaltScope::Symbol(symbol) if legs.iter().any(|leg| leg.symbol == *symbol) => {
                    Some(refusal(RefusalCode::HaltedSymbol, format!("{symbol} is halted {why}")))
                }
                HaltScope::Account(_) | HaltScope::Symbol(_) => None,
            }
        })
        .collect()
}

/// Conditions 1 to 5 of the design's section 6; the limits are the sixth.
fn live<E: Environment>(
    (cleared, before): (&Cleared<E>, Usd),
    (name, version): (&StrategyName, &StrategyVersion),
    mandate: &Mandate,
    now: Moment,
) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    let account = cleared.account();
    let mut missing = |code, detail: String| refusals.push(refusal(code, detail));
    if !mandate.policy.live_trading {
        missing(RefusalCode::LiveSwitchedOff, "live trading is not switched on in the configuration".to_owned());
    }
    if !mandate.policy.app_approved && !mandate.policy.developer_accounts.contains(account) {
        let detail = "the app is not approved by Alpaca for live trading of others (alpaca.live_trading_approved), and this is not its developer's account";
        missing(RefusalCode::AppNotApproved, detail.to_owned());
    }
    let holds = |wanted: &dyn Fn(&ApprovalKind) -> bool| {
        let in_force = |approval: &&Approval| approval.holds_at(now) && wanted(&approval.kind);
        mandate.approvals.iter().filter(in_force).collect::<Vec<_>>()
    };
    let wanted = mandate.policy.consent_texts.get(name);
    let consents = holds(&|kind| matches!(kind, ApprovalKind::Consent { account: a, .. } if a == account));
    let to_this = |approval: &&Approval| matches!(&approval.kind, ApprovalKind::Consent { text_hash, .. } if Some(text_hash) == wanted);
    let required = mandate.policy.operators_required;
    // Where two must approve, nobody consents for a user under a name that nobody has proven.
    let counts = |approval: &&&Approval| required < 2 || approval.proven;
    if !consents.iter().filter(counts).any(to_this) && !planted(Bug::ConsentIgnored) {
        let detail = if consents.iter().any(to_this) {
            format!(
                "the consent of the user of account {account} was entered under a name that nobody has proven, which does not \
                 count here: the user gives it on the page, or an operator shows their token"
            )
        } else if consents.is_empty() {
            format!("the user of account {account} has not consented to live trading")
        } else {
            format!(
                "the user of account {account} consented to another text than that of `{name}` now; they must read it"
            )
        };
        missing(RefusalCode::ConsentMissing, detail);
    }
    let this_version =
        holds(&|kind| matches!(kind, ApprovalKind::Strategy { name: n, version: v } if n == name && v == version));
    if let Some(who) = too_few(&this_version, required).filter(|_| !planted(Bug::StrategyApprovalIgnored)) {
        let detail = format!("version {version} of `{name}` is not approved for live use ({who})");
        missing(RefusalCode::StrategyNotApproved, detail);
    }
    let subscription = holds(
        &|kind| matches!(kind, ApprovalKind::Subscription { account: a, name: n, .. } if a == account && n == name),
    );
    if let Some(who) = too_few(&subscription, required).filter(|_| !planted(Bug::SubscriptionApprovalIgnored)) {
        let detail = format!("account {account} with `{name}` is not approved ({who})");
        missing(RefusalCode::SubscriptionNotApproved, detail);
    }
    // Every bound in force binds: a wide approval does not widen a narrow one.
    for approval in subscription {
        if let ApprovalKind::Subscription { bound, .. } = &approval.kind {
            refusals.extend(outside((cleared, before), bound));
        }
    }
    refusals
}

/// Who is missing, where so many operators must approve; `None` when enough have. Where two must, a name counts only with
/// the token of an operator behind it, and the same one never twice.
fn too_few(approvals: &[&Approval], required: u32) -> Option<String> {
    if required < 2 {
        return approvals.is_empty().then(|| "by nobody".to_owned());
    }
    let names: BTreeSet<String> =
        approvals.iter().filter(|approval| approval.proven).map(|it| it.by.trim().to_lowercase()).collect();
    let unproven = approvals.iter().filter(|approval| !approval.proven).count();
    if names.len() >= usize::try_from(required).unwrap_or(usize::MAX) {
        return None;
    }
    let who = names.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    let mut text = format!("{} of {required} operators approved", names.len());
    if !names.is_empty() {
        text = format!("{text}: {who}");
    }
    if unproven > 0 {
        text = format!("{text}; {unproven} more without an operator's token, which do not count");
    }
    Some(text)
}

fn outside<E: Environment>((cleared, before): (&Cleared<E>, Usd), bound: &Bound) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    for leg in cleared.legs() {
        if bound.symbols.as_ref().is_some_and(|allowed| !allowed.contains(&leg.symbol)) {
            let detail = format!("{} is not among the symbols of the approval", leg.symbol);
            refusals.push(refusal(RefusalCode::OutsideApproval, detail));
        }
        if bound.sides.as_ref().is_some_and(|allowed| !allowed.contains(&leg.phase.side())) {
            let detail = format!("the approval does not allow to {} {}", leg.phase.side().code(), leg.symbol);
            refusals.push(refusal(RefusalCode::OutsideApproval, detail));
        }
        if let Some(most) = bound.max_order_notional.filter(|most| leg.value > *most) {
            let detail = format!("the order for {} is {} dollars, the approval allows {most}", leg.symbol, leg.value);
            refusals.push(refusal(RefusalCode::OutsideApproval, detail));
        }
    }
    let run = before + cleared.value();
    if let Some(most) = bound.max_run_notional.filter(|most| run > *most) {
        let detail = format!("the orders of the run are {run} dollars together, the approval allows {most}");
        refusals.push(refusal(RefusalCode::OutsideApproval, detail));
    }
    refusals
}

/// The exchange is open, the account can trade, the prices are young and make sense.
fn world(facts: &Facts<'_>, mandate: &Mandate, legs: &[Leg]) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    match facts.session {
        Some(session) if session.contains(facts.now) && facts.now + CLOSING < session.close => {}
        Some(session) => {
            let detail = format!("the session ends at {}, less than {} s away", session.close, CLOSING.as_secs());
            refusals.push(refusal(RefusalCode::MarketClosed, detail));
        }
        None => refusals.push(refusal(RefusalCode::MarketClosed, "the exchange is closed".to_owned())),
    }
    let account = &facts.snapshot.account;
    if !account.can_trade() {
        let why = if account.blocks.is_empty() { account.status.clone() } else { account.blocks.join(", ") };
        refusals
            .push(refusal(RefusalCode::AccountBlocked, format!("the broker does not let the account trade: {why}")));
    }
    let most = Span::from_secs(i64::from(mandate.policy.max_quote_age_seconds));
    for leg in legs {
        match facts.snapshot.quotes.get(&leg.symbol) {
            Some(quote) if quote.is_usable() => {
                let age = facts.now.since(quote.at);
                // A quote from the future shows a clock that cannot be trusted: its age is unknown.
                if (age > most || age < CLOCKS_AGREE) && !planted(Bug::StaleQuote) {
                    let detail = format!(
                        "the quote of {} is {} s old, {} are allowed",
                        leg.symbol,
                        age.as_secs(),
                        most.as_secs()
                    );
                    refusals.push(refusal(RefusalCode::QuoteStale, detail));
                }
            }
            _ => refusals.push(refusal(RefusalCode::QuoteUnusable, format!("{} has no usable quote", leg.symbol))),
        }
    }
    refusals
}

/// The prices by which all was reckoned.
fn prices(facts: &Facts<'_>, mandate: &Mandate, legs: &[Leg]) -> Vec<Refusal> {
    let in_force = limits::in_force(mandate, facts.now);
    let mut refusals = limits::valuation_ages(facts.plan, facts.snapshot, &in_force, facts.now);
    if let Some(market) = facts.market {
        refusals.extend(limits::market(legs, facts.snapshot, market, &in_force));
    }
    refusals
}

/// Never short, never margin, never both sides of one symbol (S6, S7, S21).
fn books(facts: &Facts<'_>, legs: &[Leg]) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    for leg in legs.iter().filter(|leg| leg.phase == Phase::Sell) {
        let free =
            facts.snapshot.holdings.get(&leg.symbol).map_or(Qty::ZERO, |holding| holding.available.min(holding.qty));
        let Amount::Qty(qty) = leg.amount else {
            refusals.push(refusal(RefusalCode::Oversell, format!("the sale of {} has no quantity", leg.symbol)));
            continue;
        };
        if qty > free {
            let detail = format!("the sale of {qty} {} is above the {free} that are held and free", leg.symbol);
            refusals.push(refusal(RefusalCode::Oversell, detail));
        }
    }
    if facts.phase == Phase::Buy {
        let bought: Usd = legs.iter().map(|leg| leg.value).sum();
        match drift::reserved(facts.snapshot).map(|reserved| facts.snapshot.account.cash - reserved) {
            Ok(there) if bought <= there => {}
            Ok(there) => {
                let detail =
                    format!("purchases of {bought} dollars are above the {there} dollars of cash that are there");
                refusals.push(refusal(RefusalCode::Overspend, detail));
            }
            Err(_) => {
                let detail = "what an open purchase may still take is not known, so neither is the cash".to_owned();
                refusals.push(refusal(RefusalCode::Overspend, detail));
            }
        }
    }
    let sold: BTreeSet<&Symbol> = facts.plan.legs_of(Phase::Sell).map(|leg| &leg.symbol).collect();
    for leg in facts.plan.legs_of(Phase::Buy).filter(|leg| sold.contains(&leg.symbol)) {
        refusals
            .push(refusal(RefusalCode::SelfCross, format!("{} would be both sold and bought in one run", leg.symbol)));
    }
    refusals
}
