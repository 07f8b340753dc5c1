//! Alpaca in a box: Alpaca's OAuth, trading and data interfaces over loopback HTTP or in memory, with a scriptable
//! clock, real daily closes and faults on demand.
//!
//! Always: it shares no type with any client of it; the same seed and the same requests at the same simulated times
//! give the same answers; what happened is in its ledger, whatever was answered.
//!
//! Reading order: `market` (sessions and prices) and `exchange` (accounts and orders) are pure and know no HTTP;
//! `http` speaks the wire; `sim` is the front door. Start with [`Sim`].

pub mod clock;
pub mod exchange;
mod http;
pub mod market;
mod seeded;
mod sim;

pub use exchange::account::Environment;
pub use http::auth::Credential;
pub use http::faults::{Answer, FaultAction, FaultRule, FaultStatus};
pub use http::oauth::{ConsentMode, ConsentRule, GrantRecord, TokenErrorStyle};
pub use http::people::{KeyPair, Person};
pub use http::requests::RequestRecord;
pub use market::PriceSource;
pub use sim::{ApiKey, Dropped, Ledger, NewAccount, OAuthApp, OrderRecord, Sim, SimConfig, SimError};
