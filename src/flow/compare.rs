//! Two versions of a strategy beside each other: what changes in words, and what each would trade now for those who follow it.
//!
//! A dry run. Accounts are looked at as a run looks at them, and planned for by the same function with what their users wish;
//! nothing is recorded, and nothing but questions is sent.

use crate::decide;
pub use crate::decide::difference::Change;
use crate::decide::personal::Unfit;
use crate::decide::plan::Stage;
use crate::edge::World;
use crate::edge::alpaca::Access;
use crate::edge::store;
use crate::flow::course::token;
use crate::flow::observe::observe_for;
use crate::flow::weights::of_the_day;
use crate::model::account::{GrantHealth, Subscription};
use crate::model::environment::{Environment, Kind, Live, Paper};
use crate::model::ids::AccountId;
use crate::model::money::{Fraction, Usd};
use crate::model::personal::Personal;
use crate::model::plan::{Phase, Plan};
use crate::model::snapshot::Snapshot;
use crate::model::strategy::Strategy;

/// The old version of a strategy, and the new one.
#[derive(Debug, Clone, Copy)]
pub struct Pair<'a> {
    /// As it is.
    pub old: &'a Strategy,
    /// As it is to be.
    pub new: &'a Strategy,
}

/// What the versions would do with one account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compared {
    /// Whose.
    pub account: AccountId,
    /// Paper or live.
    pub environment: Kind,
    /// What the old one would do and what the new one would do, or why that cannot be said.
    pub plans: Result<Plans, String>,
}

/// What both would do, from one and the same look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plans {
    /// By the old version.
    pub old: Plan,
    /// By the new one.
    pub new: Plan,
}

/// What plans come to together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sum {
    /// How many orders.
    pub orders: usize,
    /// What is sold, in dollars.
    pub sold: Usd,
    /// What is bought.
    pub bought: Usd,
    /// What the portfolios are worth.
    pub value: Usd,
}

impl Sum {
    /// The sum of plans.
    pub fn of<'a>(plans: impl IntoIterator<Item = &'a Plan>) -> Self {
        let mut sum = Self::default();
        for plan in plans {
            let worth = |phase| plan.legs_of(phase).map(|leg| leg.value).sum::<Usd>();
            sum.orders += plan.legs.len();
            sum.sold += worth(Phase::Sell);
            sum.bought += worth(Phase::Buy);
            sum.value += plan.value;
        }
        sum
    }

    /// The share of all portfolios together that is sold.
    pub fn turnover(&self) -> Fraction {
        self.sold.over(self.value)
    }
}

/// Everything that the new version says differently.
pub fn changes(pair: Pair<'_>) -> Vec<Change> {
    decide::difference::changes(pair.old, pair.new)
}

/// Whether live accounts must agree to another text before the new version may trade them.
pub fn asks_anew(pair: Pair<'_>) -> bool {
    decide::difference::asks_anew(pair.old, pair.new)
}

/// What both versions would do now with everybody who follows the old one, or with one of them.
///
/// # Errors
/// When the database cannot be read.
pub async fn compare(world: &World, pair: Pair<'_>, only: Option<&AccountId>) -> Result<Vec<Compared>, store::Error> {
    let mut compared = Vec::new();
    let followers = world.store.subscriptions(true).await?.into_iter().filter(|subscription| {
        subscription.strategy == *pair.old.name() && only.is_none_or(|account| subscription.account == *account)
    });
    // One after the other: the broker's limit is one for all, and the daemon beside this needs its part of it.
    for subscription in followers {
        let plans = match subscription.environment {
            Kind::Paper => Box::pin(of_account::<Paper>(world, &subscription, pair)).await?,
            Kind::Live => Box::pin(of_account::<Live>(world, &subscription, pair)).await?,
        };
        compared.push(Compared { account: subscription.account, environment: subscription.environment, plans });
    }
    Ok(compared)
}

async fn of_account<E: Environment>(
    world: &World,
    subscription: &Subscription,
    pair: Pair<'_>,
) -> Result<Result<Plans, String>, store::Error> {
    let Some(account) = world.store.account(&subscription.account).await? else {
        return Ok(Err("the account is not connected".to_owned()));
    };
    if account.health != GrantHealth::Active {
        return Ok(Err(format!("the user must connect again: the grant is `{}`", account.health.code())));
    }
    let token = match token::<E>(world, &account.id).await? {
        Ok((_, token)) => token,
        Err(outcome) => return Ok(Err(outcome.detail)),
    };
    let access = Access { account: account.id, token };
    let last = world.store.last_rebalanced_at(&subscription.id).await?;
    let personal = world.store.personal(&access.account).await?;
    let now = world.clock.now();
    let of = async |strategy| of_the_day(world, &access, (strategy, &personal), now).await;
    let (old, new) = match (of(pair.old).await, of(pair.new).await) {
        (Ok(old), Ok(new)) => (old, new),
        (Err(blind), _) | (_, Err(blind)) => return Ok(Err(blind.outcome().detail)),
    };
    let snapshot = match observe_for(world, &access, &[pair.old, pair.new], last).await {
        Ok(snapshot) => snapshot,
        Err(blind) => return Ok(Err(blind.outcome().detail)),
    };
    if !snapshot.account.can_trade() {
        return Ok(Err("the broker does not let this account trade now".to_owned()));
    }
    let mut fresh = snapshot.clone();
    if pair.new.when().on_new_version() && pair.new.version() != pair.old.version() {
        // Its first look does not wait for the rest that the old one began (facts 8.9).
        fresh.last_rebalanced_at = None;
    }
    let old = planned((pair.old, old), &personal, &snapshot);
    let new = planned((pair.new, new), &personal, &fresh);
    Ok(Ok(Plans { old, new }))
}

/// The plan of a run's first half, made as a run makes it.
fn planned((file, of_the_day): (&Strategy, Result<Strategy, Unfit>), personal: &Personal, snapshot: &Snapshot) -> Plan {
    match of_the_day.and_then(|it| decide::personal::effective(&it, personal, snapshot)) {
        Ok(made) => decide::plan::plan(&made, snapshot, Stage::Opening),
        Err(unfit) => decide::plan::refused(file, snapshot, (unfit.reason, &unfit.detail)),
    }
}
