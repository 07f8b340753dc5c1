//! What a reply to a sent order means: three outcomes, never two (rule 3).

use crate::model::report::{OrderReport, Reply};
use crate::model::time::Moment;

/// What to do after a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// The broker has an order under this id: compare it and take it over.
    Adopt(Box<OrderReport>),
    /// The broker refused, in words that mean the order does not exist.
    Rejected {
        /// The broker's words.
        message: String,
    },
    /// The order may exist: ask for its id. Never a failure, never a reason for a new id.
    Ask {
        /// What happened.
        why: String,
    },
    /// Proven not taken: the same id may be sent again later.
    Wait {
        /// Not before, if the broker said so.
        until: Option<Moment>,
    },
    /// The token was refused, so the order was not taken.
    TokenDead {
        /// The broker's words.
        message: String,
    },
}

/// Judges a reply.
pub fn classify(reply: Reply) -> Fate {
    match reply {
        Reply::Accepted(report) => Fate::Adopt(report),
        Reply::Refused { status, code, message } => {
            let code = code.map_or_else(String::new, |code| format!(" {code}"));
            Fate::Rejected { message: format!("{status}{code} {message}") }
        }
        Reply::Exists => Fate::Ask { why: "the broker has an order under this id already".to_owned() },
        Reply::Throttled { until } => Fate::Wait { until },
        Reply::Unauthorized { message } => Fate::TokenDead { message },
        Reply::Unknown { why } => Fate::Ask { why },
    }
}
