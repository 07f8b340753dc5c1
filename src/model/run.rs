//! One slot of one subscription, from claim to close.

use crate::model::books::Books;
use crate::model::codes::codes;
use crate::model::environment::Kind;
use crate::model::ids::{AccountId, RunId, StrategyName, StrategyVersion, SubscriptionId};
use crate::model::intent::IntentUpdate;
use crate::model::money::Fraction;
use crate::model::schedule::{Misfire, SlotReason};
use crate::model::snapshot::{Seen, Shares};
use crate::model::time::{Moment, Span};
use crate::model::verdict::{Outcome, Reason};

/// A moment at which a strategy comes due, before it is spread over its subscriptions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueMoment {
    /// The strategy.
    pub strategy: StrategyName,
    /// The scheduled moment.
    pub at: Moment,
    /// What it is for.
    pub reason: SlotReason,
    /// What its schedule does with missed moments.
    pub misfire: Misfire,
    /// Whether to run it, or to record it as missed.
    pub fate: Fate,
    /// When its users have their turns.
    pub turns: Turns,
}

/// What becomes of a moment that has come due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It runs, as it should.
    OnTime,
    /// It passed unnoticed so long ago, and runs all the same.
    MadeUp(Span),
    /// It passed unnoticed so long ago, and is left out.
    Missed(Span),
}

impl Fate {
    /// Whether it is left out.
    pub const fn is_missed(self) -> bool {
        matches!(self, Self::Missed(_))
    }
}

/// When the users of one moment have their turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turns {
    /// Over how long after the moment they are spread.
    pub spread: Span,
    /// A run that has not begun by then is not begun any more.
    pub until: Moment,
}

codes! {
    /// Why a run was made.
    Trigger {
        /// Its schedule came due.
        Schedule = "schedule",
        /// A person asked for it.
        Manual = "manual",
        /// A new version of its strategy was loaded.
        NewVersion = "new_version",
        /// A signed message asked for it.
        Webhook = "webhook",
    }
}

codes! {
    /// Where a run stands.
    RunState {
        /// Waiting for a worker.
        Due = "due",
        /// A worker has it.
        Running = "running",
        /// Ended, with an outcome.
        Closed = "closed",
    }
}

/// One run, as its row tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Ours, derived from the subscription and the slot.
    pub id: RunId,
    /// Whose.
    pub subscription: SubscriptionId,
    /// The account behind it.
    pub account: AccountId,
    /// Paper or live.
    pub environment: Kind,
    /// The strategy by name.
    pub strategy: StrategyName,
    /// The version that decided, once a worker has it.
    pub version: Option<StrategyVersion>,
    /// The scheduled moment.
    pub slot: Moment,
    /// Why it was made.
    pub trigger: Trigger,
    /// What its moment is for: the word of its schedule, or of what asked for it.
    pub slot_reason: SlotReason,
    /// When its turn comes: at the slot itself, or later in a wave.
    pub turn: Moment,
    /// When it is not begun any more; `None` when its strategy's grace alone decides.
    pub begin_until: Option<Moment>,
    /// Where it stands.
    pub state: RunState,
    /// Why the first plan traded, once it has been recorded; the second half of a run needs it.
    pub reason: Option<Reason>,
    /// What the account held at the first look of a run that traded.
    pub held: Option<Shares>,
    /// When a worker first took it.
    pub claimed_at: Option<Moment>,
    /// When it ended.
    pub closed_at: Option<Moment>,
    /// How it ended.
    pub outcome: Option<ClosedAs>,
    /// Portfolio drift before.
    pub drift_before: Option<Fraction>,
    /// Portfolio drift after.
    pub drift_after: Option<Fraction>,
    /// The share of the portfolio that was to be sold.
    pub turnover: Option<Fraction>,
}

/// An outcome as it comes back from a row: the reason is a stored code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClosedAs {
    /// The kind's stable code.
    pub kind: String,
    /// The reason's stable code.
    pub reason: String,
    /// One sentence for a person.
    pub detail: String,
}

/// What a run leaves when it closes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closing {
    /// How it ended.
    pub outcome: Outcome,
    /// Portfolio drift before, if a snapshot could be taken.
    pub drift_before: Option<Fraction>,
    /// Portfolio drift after, if a second snapshot could be taken.
    pub drift_after: Option<Fraction>,
    /// The share of the portfolio that was to be sold.
    pub turnover: Option<Fraction>,
    /// The decision, as it is shown to people and kept: JSON text.
    pub decision: Option<String>,
    /// Whether orders were filled: then the cooldown begins.
    pub rebalanced: bool,
    /// What the account was when the run looked at it, if that is believed.
    pub seen: Option<Seen>,
    /// The account's books, if they agree with the broker's rows.
    pub books: Option<Books>,
    /// Both ledgers, as they are shown to people: JSON text.
    pub ledgers: Option<String>,
    /// Orders that had ended and that the broker's rows contradict, of this run or of an earlier one.
    pub disputed: Vec<IntentUpdate>,
    /// Whether a person must look before the account trades again; a quarantined run always says so.
    pub halts_account: bool,
}
