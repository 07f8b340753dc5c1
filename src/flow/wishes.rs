//! What a user wishes for their account, written down by an operator: checked against the strategy that the account follows
//! now, and against its approvals.
//!
//! Always: a wish that the strategy does not allow is refused with the key that would allow it, and nothing is stored.

use crate::decide;
use crate::edge::store::{self, WishEnding};
use crate::flow::approve::{self, Desk, said, said_by};
use crate::model::account::Account;
use crate::model::environment::Kind;
use crate::model::event::Actor;
use crate::model::ids::{AccountId, StrategyName, Symbol, WishId};
use crate::model::mandate::ApprovalKind;
use crate::model::money::{Fraction, Usd};
use crate::model::personal::{Said, Wish};
use crate::model::strategy::{Strategy, Unmanaged};
use crate::model::time::Moment;

/// Why a wish was not written down.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Who, why, or the database.
    #[error(transparent)]
    Act(#[from] approve::Error),
    /// There is no such account.
    #[error("no account {0} is connected; `rebalanced users` lists them")]
    Nobody(AccountId),
    /// It follows no strategy, so nothing says what may be wished.
    #[error("account {0} follows no strategy; `rebalanced subscriptions add` makes it follow one")]
    FollowsNone(AccountId),
    /// The number is none that could be wished.
    #[error("{0}")]
    Amount(&'static str),
    /// It would have ended already.
    #[error("the wish would end at {0}, which has passed already; give a later time")]
    Past(Moment),
    /// The strategy does not allow it, or it would change nothing.
    #[error("{0}")]
    NotAllowed(String),
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        Self::Act(error.into())
    }
}

/// The account, and the strategy that it follows.
///
/// # Errors
/// When there is no such account, or it follows none.
pub async fn follows(desk: &Desk<'_>, account: &AccountId) -> Result<(Account, StrategyName), Error> {
    let Some(known) = desk.store.account(account).await? else { return Err(Error::Nobody(account.clone())) };
    let subscriptions = desk.store.subscriptions(true).await?;
    let strategy = subscriptions.into_iter().find(|subscription| subscription.account == *account);
    let strategy = strategy.ok_or_else(|| Error::FollowsNone(account.clone()))?.strategy;
    Ok((known, strategy))
}

/// Writes a wish down: it counts from the next look on.
///
/// # Errors
/// When it is not allowed, or a name or reason is missing, or the database fails.
pub async fn say(
    desk: &Desk<'_>,
    (account, strategy): (&Account, &Strategy),
    wish: Wish,
    (by, reason): (&str, &str),
    until: Option<Moment>,
) -> Result<Said, Error> {
    let now = desk.clock.now();
    let said = Said {
        id: WishId::parse(&desk.entropy.id("wsh_")).map_err(approve::Error::from)?,
        account: account.id.clone(),
        wish,
        by: said_by(by, "--by (who writes it down)")?,
        reason: said(reason, "--reason")?,
        at: now,
        until,
        ended: None,
    };
    possible(&said, strategy)?;
    let mut personal = desk.store.personal(&account.id).await?;
    personal.said.retain(|other| WishEnding::of(&other.wish) != WishEnding::of(&said.wish));
    personal.said.push(said.clone());
    let misfits = decide::personal::misfits(strategy, &personal, now);
    if !misfits.is_empty() {
        return Err(Error::NotAllowed(misfits.join("; ")));
    }
    if account.environment == Kind::Live {
        inside_the_approval(desk, &said, strategy).await?;
    }
    desk.store.say(&said).await?;
    Ok(said)
}

/// Ends wishes; returns those that ended.
///
/// # Errors
/// When a name or reason is missing, or the database fails.
pub async fn clear(
    desk: &Desk<'_>,
    account: &AccountId,
    which: &WishEnding,
    (by, reason): (&str, &str),
) -> Result<Vec<Said>, Error> {
    let by = Actor::operator(&said_by(by, "--by (who clears it)")?);
    let reason = said(reason, "--reason")?;
    Ok(desk.store.clear(account, which, (&by, &reason), desk.clock.now()).await?)
}

/// Whether it means something by itself.
fn possible(said: &Said, strategy: &Strategy) -> Result<(), Error> {
    if let Some(until) = said.until.filter(|until| *until <= said.at) {
        return Err(Error::Past(until));
    }
    let stranger = |symbol: &Symbol, whose: &str| {
        Error::NotAllowed(format!("`{}` {whose} {symbol}, so the wish would change nothing", strategy.name()))
    };
    let is_target = |symbol: &Symbol| strategy.targets().iter().any(|target| target.symbol == *symbol);
    match &said.wish {
        Wish::Exclude(symbol) if !is_target(symbol) && !strategy.universe().contains(symbol) => {
            Err(stranger(symbol, "does not hold"))
        }
        Wish::DoNotBuy(symbol) if !strategy.universe().contains(symbol) => Err(stranger(symbol, "never buys")),
        Wish::DoNotSell(symbol)
            if !strategy.universe().contains(symbol) && strategy.conditions().unmanaged != Unmanaged::Sell =>
        {
            Err(stranger(symbol, "never sells"))
        }
        Wish::Cash(cash) if *cash < Fraction::ZERO || *cash >= Fraction::ONE => {
            Err(Error::Amount("a cash target is 0 percent or more, and below 100"))
        }
        Wish::Cap(amount) | Wish::Withdraw { amount, .. }
            if !amount.is_positive() || amount.floor_cents() != *amount =>
        {
            Err(Error::Amount("the amount is above 0, in whole cents"))
        }
        _ => Ok(()),
    }
}

/// A live account's approval may name symbols: the substitute must be among them before it is needed.
async fn inside_the_approval(desk: &Desk<'_>, said: &Said, strategy: &Strategy) -> Result<(), Error> {
    let Wish::Exclude(symbol) = &said.wish else { return Ok(()) };
    let Some(substitute) = strategy.allowance().substitutes.get(symbol) else { return Ok(()) };
    for approval in desk.store.approvals().await?.iter().filter(|approval| approval.holds_at(said.at)) {
        if let ApprovalKind::Subscription { account, name, bound } = &approval.kind
            && *account == said.account
            && name == strategy.name()
            && bound.symbols.as_ref().is_some_and(|symbols| !symbols.contains(substitute))
        {
            return Err(Error::NotAllowed(format!(
                "{substitute} would stand in for {symbol}, and is not among the symbols of approval {}; approve the \
                 subscription anew with it",
                approval.id
            )));
        }
    }
    Ok(())
}

/// What the bound of an approval leaves out of what the strategy may trade, in words for whoever approves.
pub fn left_out(strategy: &Strategy, symbols: Option<&[Symbol]>) -> Vec<String> {
    let Some(symbols) = symbols else { return Vec::new() };
    let universe = strategy.universe();
    let missing = universe.iter().filter(|symbol| !symbols.contains(symbol));
    missing
        .map(|symbol| {
            let whose = strategy.allowance().substitutes.iter().find(|(_, substitute)| *substitute == symbol);
            whose.map_or_else(|| symbol.to_string(), |(one, _)| format!("{symbol} (stands in for {one})"))
        })
        .collect()
}

/// What is pending of the withdrawals that are in force.
pub fn pending(said: &Said) -> Option<Usd> {
    if let Wish::Withdraw { amount, left } = said.wish { Some(amount - left) } else { None }
}
