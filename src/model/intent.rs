//! One order we mean to place: stored before its first byte leaves (rule 2), and followed until its fate is known.

use crate::model::codes::codes;
use crate::model::environment::Kind;
use crate::model::ids::{AccountId, ClientOrderId, IntentId, OrderId, RunId, Symbol};
use crate::model::money::{Price, Qty, Usd};
use crate::model::plan::{Amount, Phase, Pricing};
use crate::model::time::Moment;

codes! {
    /// Where an intent stands. The last six are ends; the one way out of an end is to be disputed (S14).
    IntentState {
        /// Stored; sent or not, nothing is known of it yet.
        Recorded = "recorded",
        /// Sent without a usable answer, or in a state that no document knows: ask the broker for its id.
        Unknown = "unknown",
        /// The broker has it and it may still trade.
        Open = "open",
        /// Completely filled.
        Filled = "filled",
        /// Ended without being completely filled; what was filled is known exactly.
        Ended = "ended",
        /// Refused by the broker; nothing was filled.
        Rejected = "rejected",
        /// Proven never to have reached the broker, and not to be sent any more.
        Withdrawn = "withdrawn",
        /// Could not be resolved, or differs from what was sent: a person must look.
        Quarantined = "quarantined",
        /// It had ended, and the broker's own rows say something else of it since: a person must look. What it had filled is what
        /// we had counted; the broker's count is in the note.
        Disputed = "disputed",
    }
}

impl IntentState {
    /// Whether nothing more can come of it.
    pub const fn is_terminal(self) -> bool {
        !matches!(self, Self::Recorded | Self::Unknown | Self::Open)
    }
}

/// One order we mean to place, with where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// Ours, derived from the run and the leg.
    pub id: IntentId,
    /// The run that wants it.
    pub run: RunId,
    /// The account.
    pub account: AccountId,
    /// Paper or live.
    pub environment: Kind,
    /// The half of the run.
    pub phase: Phase,
    /// The try: 1 for the first; a second exists only after the first is proven to have ended (rule 3 of reliability).
    pub attempt: u32,
    /// The id it is sent under.
    pub client_order_id: ClientOrderId,
    /// What.
    pub symbol: Symbol,
    /// How much.
    pub amount: Amount,
    /// At which price.
    pub pricing: Pricing,
    /// What it was reckoned to be worth.
    pub value: Usd,
    /// Where it stands.
    pub state: IntentState,
    /// The broker's id, once known.
    pub order: Option<OrderId>,
    /// Shares filled.
    pub filled_qty: Qty,
    /// Their average price.
    pub filled_avg_price: Option<Price>,
    /// The broker's last word on it, or why it ended.
    pub note: String,
    /// When it was stored.
    pub recorded_at: Moment,
    /// When its fate was known.
    pub settled_at: Option<Moment>,
}

/// What is left of a limit order that ended without being filled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfilled {
    /// Which half of the run.
    pub phase: Phase,
    /// What.
    pub symbol: Symbol,
    /// Shares that are left of it.
    pub qty: Qty,
    /// Dollars that are left of its value: a purchase spends no more.
    pub value: Usd,
}

/// What became of an intent: made by the order's state machine, stored as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntentUpdate {
    /// Which intent.
    pub id: IntentId,
    /// Where it stands now.
    pub state: IntentState,
    /// The broker's id, once known.
    pub order: Option<OrderId>,
    /// Shares filled.
    pub filled_qty: Qty,
    /// Their average price.
    pub filled_avg_price: Option<Price>,
    /// The broker's last word on it, or why it ended.
    pub note: String,
    /// When its fate was known; set exactly when the state is an end.
    pub settled_at: Option<Moment>,
}

impl Intent {
    /// The first attempt of every leg. A further one needs the one before it to be proven to have ended.
    pub const FIRST: u32 = 1;

    /// The intent with what became of it.
    #[must_use]
    pub fn after(mut self, update: &IntentUpdate) -> Self {
        self.state = update.state;
        self.order.clone_from(&update.order);
        self.filled_qty = update.filled_qty;
        self.filled_avg_price = update.filled_avg_price;
        self.note.clone_from(&update.note);
        self.settled_at = update.settled_at;
        self
    }

    /// Whether the broker may have it without our knowing what it made of it.
    pub const fn is_in_doubt(&self) -> bool {
        matches!(self.state, IntentState::Recorded | IntentState::Unknown)
    }
}
