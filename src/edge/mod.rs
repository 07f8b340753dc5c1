//! The outside: the database, Alpaca, the vault, the clock, dice, metrics and files. No decision about money is made here.
//!
//! `clock`, `entropy`, `metrics`, `points` and `recorded` are the ground of this room, and the others may use them; `alpaca`, `store`, `vault`,
//! `switch`, `notary`, `sessions`, `decisions` and `strategies` do not know each other and meet in one [`World`].

pub mod clock;
pub mod entropy;
pub mod metrics;
pub mod points;
pub mod recorded;
pub mod vault;
pub mod switch;
pub mod notary;
pub mod sessions;
pub mod decisions;
pub mod strategies;
pub mod alpaca;
pub mod store;

use std::collections::BTreeMap;

use crate::edge::alpaca::Client;
use crate::edge::clock::Clock;
use crate::edge::entropy::Entropy;
use crate::edge::metrics::Metrics;
use crate::edge::points::Points;
use crate::edge::store::Store;
use crate::edge::strategies::Catalog;
use crate::edge::switch::Switch;
use crate::edge::vault::Vault;
use crate::model::ids::StrategyName;
use crate::model::mandate::ServicePolicy;
use crate::model::session::Sessions;
use crate::model::time::Span;

/// The whole outside, in one place. A test replaces the clock, the dice and the wire in here, and nothing else. Clones share
/// everything that is open; each has strategies and a policy of its own.
#[derive(Clone)]
pub struct World {
    /// What is remembered.
    pub store: Store,
    /// The broker.
    pub alpaca: Client,
    /// Keeper of the tokens.
    pub vault: Vault,
    /// The only source of time.
    pub clock: Clock,
    /// The only source of chance.
    pub entropy: Entropy,
    /// What is counted.
    pub metrics: Metrics,
    /// Where tests may stop the world.
    pub points: Points,
    /// The strategies that may be followed.
    pub strategies: Catalog,
    /// The exchange's sessions, as we know them; the broker's calendar must agree before anything is traded.
    pub sessions: Sessions,
    /// What the configuration allows.
    pub policy: ServicePolicy,
    /// The kill switch that needs no database.
    pub switch: Switch,
    /// What the operator adds to the text that users agree to.
    pub consent_note: String,
    /// How long one half of a run waits for its orders before it cancels what is left.
    pub order_wait: Span,
}

impl World {
    /// The same outside with other strategies, and the texts that users agree to for them. Whoever holds the old world goes
    /// on with the old ones.
    #[must_use]
    pub fn with_strategies(&self, strategies: Catalog, consent_texts: BTreeMap<StrategyName, String>) -> Self {
        let mut world = self.clone();
        world.strategies = strategies;
        world.policy.consent_texts = consent_texts;
        world
    }
}
