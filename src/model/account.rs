//! Accounts and grants: who is connected, with which health.

use crate::model::environment::Kind;
use crate::model::ids::StrategyName;
use crate::model::ids::{AccountId, GrantId, SubscriptionId, UserId};
use crate::model::time::Moment;

/// The health of a grant, read from the moments in its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GrantHealth {
    /// The token works, as far as is known.
    Active,
    /// The user did not grant `trading`: the token reads, and no order can be sent with it.
    ReadOnly,
    /// The broker refused the token: the user must connect again.
    Reauth(Moment),
    /// The user left; the token is destroyed.
    Gone(Moment),
}

impl GrantHealth {
    /// The stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::ReadOnly => "read_only",
            Self::Reauth(_) => "reauth",
            Self::Gone(_) => "gone",
        }
    }
}

/// A connected account with what is needed to name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The broker's id.
    pub id: AccountId,
    /// Paper or live.
    pub environment: Kind,
    /// The grant whose token opens it.
    pub grant: GrantId,
    /// The person behind it.
    pub user: UserId,
    /// The integrating app's own name for this user, if one was given.
    pub reference: Option<String>,
    /// The broker's account number, for people.
    pub number: String,
    /// The grant's health.
    pub health: GrantHealth,
    /// When it was connected.
    pub connected_at: Moment,
}

/// An account following a strategy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Our id.
    pub id: SubscriptionId,
    /// The account.
    pub account: AccountId,
    /// Paper or live, as the account.
    pub environment: Kind,
    /// The strategy by name; its version is the one loaded when a run begins.
    pub strategy: StrategyName,
    /// Slots before this moment are not for it.
    pub started_at: Moment,
    /// When it ended, if it has.
    pub ended_at: Option<Moment>,
}
