//! What is allowed for an account: halts, approvals with caps and expiry.
//!
//! An approval is valid from its grant until it expires or is revoked; there is no "approved" flag without a moment and
//! a name.

use std::collections::BTreeMap;

use crate::model::environment::Kind;
use crate::model::ids::{AccountId, ApprovalId, HaltId, StrategyName, StrategyVersion, Symbol};
use crate::model::intent::IntentState;
use crate::model::limits::{Raise, ServiceLimits};
use crate::model::money::Usd;
use crate::model::plan::{Amount, Phase, Side};
use crate::model::time::Moment;
use crate::model::zoo::{Bug, planted};

/// What a halt stops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HaltScope {
    /// Everything.
    Service,
    /// One account.
    Account(AccountId),
    /// One symbol, in every account.
    Symbol(Symbol),
}

/// The kill switch, pulled once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Halt {
    /// Our id.
    pub id: HaltId,
    /// What it stops.
    pub scope: HaltScope,
    /// Why, in the author's words.
    pub reason: String,
    /// Who pulled it.
    pub by: String,
    /// When it was pulled.
    pub pulled_at: Moment,
    /// When it was released, and by whom.
    pub released: Option<(Moment, String)>,
}

/// What an approval allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApprovalKind {
    /// The user consented to live trading of this account, to the text with this hash.
    Consent {
        /// The account.
        account: AccountId,
        /// SHA-256 of the text that was agreed to, or of the document that an operator recorded.
        text_hash: String,
    },
    /// This exact version of a strategy may trade live.
    Strategy {
        /// The strategy.
        name: StrategyName,
        /// The version.
        version: StrategyVersion,
    },
    /// Limits of the service are higher for this account.
    Limits {
        /// The account.
        account: AccountId,
        /// Which, and how high.
        raise: Raise,
    },
    /// This account may follow this strategy live, inside the bound.
    Subscription {
        /// The account.
        account: AccountId,
        /// The strategy.
        name: StrategyName,
        /// What every order must stay inside.
        bound: Bound,
    },
}

impl ApprovalKind {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Consent { .. } => "consent",
            Self::Strategy { .. } => "strategy",
            Self::Subscription { .. } => "subscription",
            Self::Limits { .. } => "limits",
        }
    }
}

/// What orders under an approval must stay inside. `None` is no bound of that kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bound {
    /// The symbols that may be traded.
    pub symbols: Option<Vec<Symbol>>,
    /// The sides: purchases, sales, or both.
    pub sides: Option<Vec<Side>>,
    /// The largest value of one order.
    pub max_order_notional: Option<Usd>,
    /// The largest value of all orders of one run together.
    pub max_run_notional: Option<Usd>,
}

/// An approval: who allowed what, why, and until when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// Our id.
    pub id: ApprovalId,
    /// What it allows.
    pub kind: ApprovalKind,
    /// Who granted it.
    pub by: String,
    /// Whether they showed an operator's token for it, or, of a consent, were let in by the broker themselves; a bare name is
    /// only a claim.
    pub proven: bool,
    /// Why, in their words.
    pub reason: String,
    /// From when.
    pub granted_at: Moment,
    /// Until when, if it ends by itself.
    pub expires_at: Option<Moment>,
    /// When it was withdrawn, and by whom.
    pub revoked: Option<(Moment, String)>,
}

impl Approval {
    /// Whether it holds at `now`.
    pub fn holds_at(&self, now: Moment) -> bool {
        self.granted_at <= now
            && (self.revoked.is_none() || planted(Bug::WithdrawnCounts))
            && self.expires_at.is_none_or(|end| now < end)
    }
}

/// What the configuration allows, for every account alike.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServicePolicy {
    /// Live trading is switched on.
    pub live_trading: bool,
    /// Alpaca approved the app for live trading of others.
    pub app_approved: bool,
    /// The developer's own accounts, which Alpaca exempts (facts 1.3).
    pub developer_accounts: Vec<AccountId>,
    /// Most runs with orders per account and exchange day; `None` is no limit of this kind.
    pub max_trading_runs_per_day: Option<u32>,
    /// How many operators must approve a strategy, a subscription or raised limits: one, or two different ones.
    pub operators_required: u32,
    /// Oldest quote to trade on, in seconds.
    pub max_quote_age_seconds: u32,
    /// Sizes, prices, repetitions.
    pub limits: ServiceLimits,
    /// The hash of the text that users agree to, of each strategy as it is loaded: only a consent to it counts.
    pub consent_texts: BTreeMap<StrategyName, String>,
}

/// An order of the account that was recorded on this exchange day, whatever became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Past {
    /// Whether the run that asks recorded it.
    pub of_this_run: bool,
    /// The half of its run.
    pub phase: Phase,
    /// Which try of its leg.
    pub attempt: u32,
    /// What.
    pub symbol: Symbol,
    /// How much.
    pub amount: Amount,
    /// What it was reckoned to be worth.
    pub value: Usd,
    /// Where it stands.
    pub state: IntentState,
    /// When it was recorded.
    pub recorded_at: Moment,
}

impl Past {
    /// Whether it counts against limits: all but what was never placed. One whose fate is unknown counts as sent.
    pub const fn counts(&self) -> bool {
        !matches!(self.state, IntentState::Rejected | IntentState::Withdrawn)
    }
}

/// Everything allowed for one account at one moment, as read from the database and the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mandate {
    /// The account.
    pub account: AccountId,
    /// Its environment.
    pub environment: Kind,
    /// The configuration's part.
    pub policy: ServicePolicy,
    /// Halts that are pulled now, whatever their scope.
    pub halts: Vec<Halt>,
    /// Approvals of this account and of its strategy, valid or not.
    pub approvals: Vec<Approval>,
    /// Runs with orders that this account had on this exchange day, this one not counted.
    pub trading_runs_today: u32,
    /// Orders of this account on this exchange day.
    pub today: Vec<Past>,
}
