//! Who appears in the tests, and the raw connection that looks behind the store's back.

use rebalanced::edge::store::{AnyClaim, Claim, Connection, Error, RecordAnswer, Recording, Store};
use rebalanced::model::canon;
use rebalanced::model::environment::{Kind, Paper};
use rebalanced::model::event::Actor;
use rebalanced::model::ids::{
    AccountId, GrantId, RunId, StrategyName, StrategyVersion, SubscriptionId, Symbol, UserId,
};
use rebalanced::model::intent::{Intent, IntentState, IntentUpdate};
use rebalanced::model::mandate::ServicePolicy;
use rebalanced::model::money::{Fraction, Price, Qty, Usd};
use rebalanced::model::plan::{Amount, Leg, Phase, Pricing};
use rebalanced::model::run::{Closing, DueMoment, Fate, Turns};
use rebalanced::model::schedule::{Misfire, SlotReason};
use rebalanced::model::secret::Sealed;
use rebalanced::model::time::{Moment, Span};
use rebalanced::model::verdict::{Outcome, Reason};
use sqlx::{AnyConnection, Connection as _, Row};

use crate::cleared::cleared;

/// The moment at which everybody connects.
pub(crate) fn start() -> Moment {
    Moment::parse("2026-03-02T14:00:00Z").unwrap()
}

pub(crate) fn minutes(count: i64) -> Moment {
    start() + Span::from_mins(count)
}

pub(crate) fn account(number: usize) -> AccountId {
    AccountId::parse(&format!("acc-{number:04}")).unwrap()
}

pub(crate) fn strategy(name: &str) -> StrategyName {
    StrategyName::parse(name).unwrap()
}

pub(crate) fn subscription(number: usize) -> SubscriptionId {
    SubscriptionId::parse(&format!("sub_{number:04}")).unwrap()
}

pub(crate) fn grant(number: usize) -> GrantId {
    GrantId::parse(&format!("gra_{number:04}")).unwrap()
}

pub(crate) fn operator() -> Actor {
    Actor::operator("ann")
}

/// A connection of the account with this number, following `calm`.
pub(crate) fn connection(number: usize) -> Connection {
    Connection {
        user: UserId::parse(&format!("usr_{number:04}")).unwrap(),
        grant: grant(number),
        reference: Some(format!("customer {number}")),
        account: account(number),
        number: format!("PA{number:04}"),
        environment: Kind::Paper,
        scopes: vec!["account:write".to_owned(), "trading".to_owned()],
        sealed: Sealed { key_id: "k1".to_owned(), bytes: format!("sealed token {number}").into_bytes() },
        strategy: Some(strategy("calm")),
        subscription: subscription(number),
        consent: None,
        at: start(),
    }
}

/// Accounts 1 to `count`, connected and following `calm`.
pub(crate) async fn connected(store: &Store, count: usize) {
    for number in 1..=count {
        store.connect(&connection(number)).await.unwrap();
    }
}

pub(crate) fn due(at: Moment) -> DueMoment {
    DueMoment {
        strategy: strategy("calm"),
        at,
        reason: SlotReason::scheduled(),
        misfire: Misfire::RunOnce,
        fate: Fate::OnTime,
        turns: Turns { spread: Span::ZERO, until: at + Span::from_mins(30) },
    }
}

/// One due run for every account that follows `calm`.
pub(crate) async fn enqueued(store: &Store, at: Moment) -> usize {
    store.enqueue(&strategy("calm"), &[due(at)], at, at).await.unwrap()
}

/// The one claim that can be had.
pub(crate) async fn claimed(store: &Store, now: Moment) -> Claim<Paper> {
    let mut claims = store.claim(10, now, now + Span::from_mins(2)).await.unwrap();
    assert_eq!(claims.len(), 1, "exactly one run is claimable");
    paper(claims.remove(0))
}

pub(crate) fn paper(claim: AnyClaim) -> Claim<Paper> {
    match claim {
        AnyClaim::Paper(claim) => claim,
        AnyClaim::Live(_) => panic!("the account is a paper account"),
    }
}

pub(crate) fn policy() -> ServicePolicy {
    ServicePolicy { max_trading_runs_per_day: Some(3), max_quote_age_seconds: 15, ..ServicePolicy::default() }
}

pub(crate) fn day() -> (Moment, Moment) {
    (start() - Span::from_hours(9), start() + Span::from_hours(15))
}

pub(crate) fn version() -> StrategyVersion {
    StrategyVersion::parse(&"a".repeat(64)).unwrap()
}

pub(crate) fn recording() -> Recording {
    Recording {
        attempt: 1,
        decision: r#"{"decision":"trade"}"#.to_owned(),
        reason: Reason::DriftAbsolute,
        version: version(),
        drift_before: Fraction::parse("0.0731").unwrap(),
        turnover: Fraction::parse("0.05").unwrap(),
        held: rebalanced::model::snapshot::Shares::default(),
    }
}

/// A purchase at the market.
pub(crate) fn purchase(symbol: &str, dollars: &str) -> Leg {
    let value = Usd::parse(dollars).unwrap();
    Leg {
        phase: Phase::Buy,
        symbol: Symbol::parse(symbol).unwrap(),
        amount: Amount::Notional(value),
        pricing: Pricing::Market,
        value,
        reference_price: Price::parse("500").unwrap(),
    }
}

/// Records purchases of 123.45 dollars each.
pub(crate) async fn record(
    store: &Store,
    claim: &Claim<Paper>,
    symbols: &[&str],
    at: Moment,
) -> Result<RecordAnswer<Paper>, Error> {
    let legs = symbols.iter().map(|symbol| purchase(symbol, "123.45")).collect();
    let cleared = cleared(&claim.run().account, legs);
    store.record(claim, (&cleared, &recording()), (&policy(), day()), at).await
}

/// What [`record`] stores for one symbol.
pub(crate) fn intent(run: &RunId, account: &AccountId, symbol: &str, at: Moment) -> Intent {
    let symbol = Symbol::parse(symbol).unwrap();
    Intent {
        id: canon::intent_id(run, Phase::Buy, &symbol, 1).unwrap(),
        run: run.clone(),
        account: account.clone(),
        environment: Kind::Paper,
        phase: Phase::Buy,
        attempt: 1,
        client_order_id: canon::client_order_id((Kind::Paper, account), run, (Phase::Buy, &symbol), 1).unwrap(),
        symbol,
        amount: Amount::Notional(Usd::parse("123.45").unwrap()),
        pricing: Pricing::Market,
        value: Usd::parse("123.45").unwrap(),
        state: IntentState::Recorded,
        order: None,
        filled_qty: Qty::ZERO,
        filled_avg_price: None,
        note: String::new(),
        recorded_at: at,
        settled_at: None,
    }
}

pub(crate) fn update(intent: &Intent, state: IntentState, at: Moment) -> IntentUpdate {
    IntentUpdate {
        id: intent.id.clone(),
        state,
        order: None,
        filled_qty: Qty::parse("0.123456789").unwrap(),
        filled_avg_price: None,
        note: "as the broker says".to_owned(),
        settled_at: state.is_terminal().then_some(at),
    }
}

pub(crate) fn closing(rebalanced: bool) -> Closing {
    Closing {
        outcome: Outcome::completed(Reason::DriftAbsolute, "done"),
        drift_before: None,
        drift_after: Some(Fraction::parse("0.001").unwrap()),
        turnover: None,
        decision: None,
        rebalanced,
        seen: None,
        books: None,
        ledgers: None,
        disputed: Vec::new(),
        halts_account: false,
    }
}

/// A connection past the store, to see what it would hide and to try what it would not do.
pub(crate) async fn raw(url: &str) -> AnyConnection {
    AnyConnection::connect(url).await.unwrap()
}

/// The first column of every row, as texts.
pub(crate) async fn texts(url: &str, sql: &'static str) -> Vec<String> {
    let rows = sqlx::query(sql).fetch_all(&mut raw(url).await).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// What kinds of events there are, in order.
pub(crate) async fn kinds(store: &Store) -> Vec<String> {
    store.events(0, i64::MAX).await.unwrap().into_iter().map(|event| event.kind).collect()
}
