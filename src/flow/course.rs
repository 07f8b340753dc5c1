//! What a run sets out with, and what it comes to know on its way.
//!
//! Always: a run whose strategy, user or token is not there, or whose moment is long past, ends before it looks at anything.

use std::sync::Arc;

use crate::decide;
use crate::edge::World;
use crate::edge::alpaca::Access;
use crate::edge::decisions;
use crate::edge::store::{self, Claim};
use crate::edge::vault::{self, Owner};
use crate::model::account::GrantHealth;
use crate::model::books::{Activity, Books};
use crate::model::environment::Environment;
use crate::model::ids::{AccountId, ClientOrderId, GrantId};
use crate::model::intent::Intent;
use crate::model::money::Fraction;
use crate::model::plan::Plan;
use crate::model::secret::AccessToken;
use crate::model::snapshot::{Seen, Shares, Snapshot};
use crate::model::strategy::Strategy;
use crate::model::verdict::{EndReason, Outcome, OutcomeKind, Reason};

/// What a run has come to know on its way.
pub(super) struct Course<E> {
    /// The strategy as its file is now.
    pub(super) strategy: Arc<Strategy>,
    /// The strategy of this account, by which the first half was decided; known also after a restart.
    pub(super) made: Option<Arc<Strategy>>,
    /// The broker's rows that were not counted before.
    pub(super) moved: Vec<Activity>,
    pub(super) grant: GrantId,
    pub(super) access: Access<E>,
    /// Why the first plan trades; known from the first record on, also after a restart.
    pub(super) reason: Option<Reason>,
    pub(super) detail: String,
    pub(super) decisions: Vec<String>,
    pub(super) drift_before: Option<Fraction>,
    pub(super) turnover: Option<Fraction>,
    /// The first plan and what it was made from, when it sells nothing: the buys need no second look.
    pub(super) carried: Option<(Plan, Snapshot)>,
    pub(super) intents: Vec<Intent>,
    /// Why what was left unfilled was not tried again, where something stopped that.
    pub(super) not_tried: Vec<String>,
    /// What the account was at the first look.
    pub(super) seen: Option<Seen>,
    /// What it held then; known also after a restart.
    pub(super) held: Option<Shares>,
    /// The books as they agreed the last time, or none yet.
    pub(super) books: Option<Books>,
    /// Both ledgers, of the last comparison.
    pub(super) ledgers: Option<String>,
    /// Orders, of this run or an earlier one, that the broker's rows contradict, each with what they say.
    pub(super) disputed: Vec<(ClientOrderId, String)>,
}

impl<E> Course<E> {
    /// The strategy by which this account is traded.
    pub(super) fn effective(&self) -> &Strategy {
        self.made.as_ref().unwrap_or(&self.strategy)
    }
}

/// The strategy by which an earlier process decided the first half of a run; what that was must be known (rule 5).
async fn decided_by<E: Environment>(
    world: &World,
    claim: &Claim<E>,
    file: &Strategy,
) -> Result<Result<Option<Arc<Strategy>>, Outcome>, store::Error> {
    let run = claim.run();
    if run.reason.is_none() {
        return Ok(Ok(None));
    }
    let kept = world.store.run(&run.id).await?.and_then(|(_, decisions)| decisions);
    Ok(match kept.and_then(|decisions| decisions::decided_by(&decisions, file)) {
        Some(made) => Ok(Some(Arc::new(made))),
        None => Err(Outcome::ended(
            OutcomeKind::Skipped,
            EndReason::InternalFault,
            "what its first half decided cannot be read; nothing more was sent, and the next moment looks anew",
        )),
    })
}

/// Opens what the run needs: the strategy as it is loaded now, and the token of the account.
pub(super) async fn set_out<E: Environment>(
    world: &World,
    claim: &Claim<E>,
) -> Result<Result<Course<E>, Outcome>, store::Error> {
    let run = claim.run();
    let skipped = |reason, detail: String| Ok(Err(Outcome::ended(OutcomeKind::Skipped, reason, detail)));
    let Some(strategy) = world.strategies.get(&run.strategy) else {
        return skipped(
            EndReason::StrategyUnavailable,
            format!("no valid strategy file is named `{}`; restore the file or end the subscription", run.strategy),
        );
    };
    let now = world.clock.now();
    let until = run.begin_until.unwrap_or(run.slot + decide::due::valid_for(strategy.when(), &run.slot_reason));
    if run.reason.is_none() && now > until {
        return skipped(
            EndReason::Missed,
            format!(
                "it waited {} minutes for its turn, longer than the strategy's grace; it was not begun",
                now.since(run.slot).as_secs() / 60
            ),
        );
    }
    let Some(account) = world.store.account(&run.account).await? else {
        return skipped(EndReason::Unsubscribed, format!("account {} is not connected", run.account));
    };
    match account.health {
        GrantHealth::Active => {}
        GrantHealth::ReadOnly => {
            return skipped(
                EndReason::TradingNotGranted,
                "the user did not grant `trading`; they must connect again and agree to it".to_owned(),
            );
        }
        GrantHealth::Reauth(since) => {
            return skipped(
                EndReason::TokenDead,
                format!("the broker refuses the token since {since}; the user must connect again"),
            );
        }
        GrantHealth::Gone(since) => return skipped(EndReason::Unsubscribed, format!("the user left at {since}")),
    }
    let (grant, token) = match token(world, &run.account).await? {
        Ok(opened) => opened,
        Err(outcome) => return Ok(Err(outcome)),
    };
    let made = match decided_by(world, claim, strategy).await? {
        Ok(made) => made,
        Err(outcome) => return Ok(Err(outcome)),
    };
    Ok(Ok(Course {
        strategy: Arc::clone(strategy),
        made,
        moved: Vec::new(),
        grant,
        access: Access { account: run.account.clone(), token },
        reason: run.reason,
        detail: String::new(),
        decisions: Vec::new(),
        drift_before: run.drift_before,
        turnover: run.turnover,
        carried: None,
        intents: Vec::new(),
        not_tried: Vec::new(),
        seen: None,
        held: run.held.clone(),
        books: world.store.books(&run.account).await?,
        ledgers: None,
        disputed: Vec::new(),
    }))
}

/// The token of an account, opened.
pub(super) async fn token<E: Environment>(
    world: &World,
    account: &AccountId,
) -> Result<Result<(GrantId, AccessToken<E>), Outcome>, store::Error> {
    let skipped = |reason, detail: String| Ok(Err(Outcome::ended(OutcomeKind::Skipped, reason, detail)));
    let Some(kept) = world.store.sealed_token(account).await? else {
        return skipped(
            EndReason::TokenDead,
            "no token is kept for this account; the user must connect again".to_owned(),
        );
    };
    match world.vault.open_sealed(Owner { grant: &kept.grant, user: &kept.user }, &kept.sealed) {
        Ok(secret) => Ok(Ok((kept.grant, AccessToken::new(secret)))),
        // The service's fault, not the account's: with the right key everything goes on.
        Err(error @ vault::Error::OtherKey { .. }) => {
            skipped(EndReason::VaultLocked, format!("the sealed token does not open: {error}"))
        }
        Err(error) => {
            let why = format!("the sealed token does not open: {error}");
            Ok(Err(Outcome::ended(OutcomeKind::Quarantined, EndReason::TokenDead, why)))
        }
    }
}
