//! Parallel reads, then the outside is shut: one account becomes one immutable snapshot.
//!
//! Nothing is guessed. What cannot be seen is an answer of its own, [`Blind`], and blind means no order (rule 5).

use std::collections::{BTreeMap, BTreeSet};

use crate::decide;
use crate::edge::World;
use crate::edge::alpaca::{self, Access};
use crate::model::environment::Environment;
use crate::model::ids::Symbol;
use crate::model::session::Session;
use crate::model::snapshot::{AccountView, AssetView, Holding, Market, OpenOrder, Snapshot};
use crate::model::strategy::{Strategy, Unmanaged};
use crate::model::time::{Moment, Span};
use crate::model::verdict::{EndReason, Outcome, OutcomeKind};
use crate::model::zoo::{Bug, planted};

/// Reads are tried this often before the run gives up: a run is due again, a hot loop is not (L10).
const TRIES: u32 = 4;

/// Why an account could not be seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Blind {
    /// The broker did not answer, or answered nonsense, several times.
    Unreachable(String),
    /// The broker refuses the token, also when asked again.
    TokenDead(String),
    /// The token opens another account than the one it was given for.
    WrongAccount(String),
    /// The broker's calendar and ours differ, or one of them does not know the day.
    CalendarUnknown(String),
}

impl Blind {
    /// How a run that could not see ends.
    pub fn outcome(self) -> Outcome {
        let skipped = |reason, detail| Outcome::ended(OutcomeKind::Skipped, reason, detail);
        match self {
            Self::Unreachable(why) => skipped(EndReason::BrokerUnreachable, why),
            Self::TokenDead(why) => skipped(EndReason::TokenDead, why),
            Self::CalendarUnknown(why) => skipped(EndReason::CalendarUnknown, why),
            Self::WrongAccount(why) => Outcome::ended(OutcomeKind::Quarantined, EndReason::WrongAccount, why),
        }
    }
}

/// One moment of one account.
///
/// # Errors
/// [`Blind`] when any part of it cannot be seen.
pub async fn observe<E: Environment>(
    world: &World,
    access: &Access<E>,
    strategy: &Strategy,
    last_rebalanced_at: Option<Moment>,
) -> Result<Snapshot, Blind> {
    observe_for(world, access, &[strategy], last_rebalanced_at).await
}

/// One moment of one account, with everything that any of these strategies looks at.
///
/// # Errors
/// [`Blind`] when any part of it cannot be seen.
pub(super) async fn observe_for<E: Environment>(
    world: &World,
    access: &Access<E>,
    strategies: &[&Strategy],
    last_rebalanced_at: Option<Moment>,
) -> Result<Snapshot, Blind> {
    agree_on_today(world, access).await?;
    let (account, holdings, open_orders) = read_account(world, access).await?;
    if account.id != access.account {
        return Err(Blind::WrongAccount(format!(
            "the token of account {} opens account {}; the user must connect again",
            access.account, account.id
        )));
    }
    let wanted = strategies.iter().flat_map(|strategy| symbols(strategy, &holdings)).collect();
    let assets = read_assets(world, access, &wanted).await?;
    let quotes = retried(world, || world.alpaca.quotes(access, &wanted)).await?;
    let as_of = world.clock.now();
    Ok(Snapshot { as_of, account, holdings, open_orders, assets, quotes, last_rebalanced_at })
}

/// What the market says of symbols that are to be traded, besides their quotes.
///
/// # Errors
/// [`Blind`] when it cannot be seen.
pub async fn market<E: Environment>(
    world: &World,
    access: &Access<E>,
    symbols: &BTreeSet<Symbol>,
) -> Result<Market, Blind> {
    Ok(Market {
        trades: retried(world, || world.alpaca.trades(access, symbols)).await?,
        volumes: retried(world, || world.alpaca.volumes(access, symbols)).await?,
    })
}

/// The exchange's session of today, if both calendars agree that there is one.
///
/// # Errors
/// [`Blind::CalendarUnknown`] when they differ, or when ours does not reach this day (fault rows 47 and 48).
async fn agree_on_today<E: Environment>(world: &World, access: &Access<E>) -> Result<(), Blind> {
    let today = world.clock.now().day_in(world.sessions.zone());
    if !world.sessions.covers(today) {
        return Err(Blind::CalendarUnknown(format!("our session table does not reach {today}; update the service")));
    }
    let theirs = retried(world, || world.alpaca.sessions(access, today, today)).await?;
    let theirs: Option<&Session> = theirs.iter().find(|session| session.day == today);
    if theirs == world.sessions.on(today) || planted(Bug::CalendarNotCompared) {
        Ok(())
    } else {
        // One wrong answer must not stand for the rest of the day.
        world.alpaca.forget_calendar();
        Err(Blind::CalendarUnknown(format!(
            "the broker's calendar and ours differ for {today}: {} there, {} here; nothing is traded until they agree",
            hours(theirs),
            hours(world.sessions.on(today))
        )))
    }
}

fn hours(session: Option<&Session>) -> String {
    session.map_or_else(|| "closed".to_owned(), |session| format!("{} to {}", session.open, session.close))
}

/// Account, positions and open orders.
pub(super) type AccountParts = (AccountView, BTreeMap<Symbol, Holding>, Vec<OpenOrder>);

/// Account, positions and open orders. The account and its positions must fit together; while they do not, one of them lags
/// behind, and both are asked again (row 36). What never fits is not believed (row 44).
pub(super) async fn read_account<E: Environment>(world: &World, access: &Access<E>) -> Result<AccountParts, Blind> {
    let mut looks = 0;
    loop {
        let doubt = Doubt::default();
        let (account, positions, orders) = tokio::join!(
            retried_in(world, &doubt, || world.alpaca.account(access)),
            retried_in(world, &doubt, || world.alpaca.positions(access)),
            retried_in(world, &doubt, || world.alpaca.open_orders(access)),
        );
        let (account, (holdings, worth)) = (account?, positions?);
        let Some(why) = decide::books::unfit(&account, worth) else { return Ok((account, holdings, orders?)) };
        if looks >= decide::backoff::LOOKS_FOR_LAG {
            return Err(Blind::Unreachable(format!("the broker's figures do not fit together: {why}")));
        }
        world.clock.sleep(decide::backoff::poll_after(looks)).await;
        looks += 1;
    }
}

/// Whether the token opens the account that it was given for, on the host of its environment. What cannot be seen is no (S5).
pub(super) async fn opens_its_own<E: Environment>(world: &World, access: &Access<E>) -> bool {
    retried(world, || world.alpaca.account(access)).await.is_ok_and(|view| view.id == access.account)
}

/// What must be priced: the targets, who may stand in for them, and what is to be sold because the strategy does not name
/// it.
fn symbols(strategy: &Strategy, holdings: &BTreeMap<Symbol, Holding>) -> BTreeSet<Symbol> {
    let mut symbols = strategy.universe();
    match strategy.conditions().unmanaged {
        Unmanaged::Sell => symbols.extend(holdings.keys().cloned()),
        Unmanaged::Ignore | Unmanaged::Block => {}
    }
    symbols
}

async fn read_assets<E: Environment>(
    world: &World,
    access: &Access<E>,
    wanted: &BTreeSet<Symbol>,
) -> Result<BTreeMap<Symbol, AssetView>, Blind> {
    let mut assets = BTreeMap::new();
    for symbol in wanted {
        if let Some(asset) = retried(world, || world.alpaca.asset(access, symbol)).await? {
            assets.insert(symbol.clone(), asset);
        }
    }
    Ok(assets)
}

/// Whether the token that questions of one look share was refused twice. Whoever is refused first confirms it while the
/// others wait, so a dead token is asked with once more and not once for each of them (L8).
type Doubt = tokio::sync::Mutex<Option<String>>;

/// Asks until there is an answer, a few times. Only reads go through here: asking twice changes nothing. A refused token
/// is confirmed by one more call before it counts as dead (L8).
pub(super) async fn retried<T, F>(world: &World, ask: impl Fn() -> F) -> Result<T, Blind>
where
    F: Future<Output = Result<T, alpaca::Error>>,
{
    retried_in(world, &Doubt::default(), ask).await
}

async fn retried_in<T, F>(world: &World, doubt: &Doubt, ask: impl Fn() -> F) -> Result<T, Blind>
where
    F: Future<Output = Result<T, alpaca::Error>>,
{
    let mut last = String::new();
    for attempt in 0..TRIES {
        let mut answer = ask().await;
        if matches!(answer, Err(alpaca::Error::Unauthorized { .. })) {
            let mut dead = doubt.lock().await;
            if let Some(message) = &*dead {
                return Err(Blind::TokenDead(message.clone()));
            }
            answer = ask().await;
            if let Err(alpaca::Error::Unauthorized { message }) = answer {
                *dead = Some(message.clone());
                return Err(Blind::TokenDead(message));
            }
        }
        match answer {
            Ok(answer) => return Ok(answer),
            Err(alpaca::Error::Throttled { until }) => {
                let pause = world.clock.now() + Span::from_secs(5);
                world.clock.sleep_until(until.unwrap_or(pause).max(pause)).await;
                "the broker asks for fewer requests".clone_into(&mut last);
            }
            Err(error) => {
                last = error.to_string();
                world.clock.sleep(Span::from_secs(i64::from(1_u32 << attempt))).await;
            }
        }
    }
    Err(Blind::Unreachable(last))
}
