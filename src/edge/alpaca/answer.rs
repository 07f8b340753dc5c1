//! What an answer means: the one place that tells an answer, a refusal, a dead token and a loss apart.
//!
//! Only what Alpaca documents counts as a refusal. Everything else after a `POST` is unknown, and unknown is asked about,
//! never guessed (rule 3; rows 1, 3, 5, 8, 10, 13).

use bytes::Bytes;

use super::wire::{Envelope, envelope, order, plain};
use crate::model::intent::Intent;
use crate::model::report::Reply;
use crate::model::time::Moment;

/// The OAuth scope is missing, or the app is not approved for live trading: the token itself is alive (facts 1.3).
const NOT_FOR_THIS_SCOPE: i64 = 40_110_000;

/// Why a question has no usable answer, by what the caller does next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No answer, or one that says nothing (5xx): ask again later.
    #[error("the broker did not answer: {why}")]
    Lost {
        /// What happened.
        why: String,
    },
    /// Too many requests: ask again after the moment.
    #[error("the broker asks for fewer requests")]
    Throttled {
        /// When its window ends, if it said so.
        until: Option<Moment>,
    },
    /// The token was refused.
    #[error("the broker refused the token: {message}")]
    Unauthorized {
        /// The broker's words.
        message: String,
    },
    /// The broker said no.
    #[error("the broker refused ({status}): {message}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// Alpaca's code, if it gave one.
        code: Option<i64>,
        /// The broker's words.
        message: String,
    },
    /// An answer that cannot be read as what it should be.
    #[error("the broker answered nonsense: {why}")]
    Nonsense {
        /// What is wrong with it.
        why: String,
    },
}

/// What an answer to the sending of an order says of it. It sends nothing: this is how answers are read that were kept.
pub fn reply_to(intent: &Intent, status: u16, body: &[u8]) -> Reply {
    Answer { status, body: Bytes::copy_from_slice(body), until: None }.reply(intent)
}

/// An answer as it came.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Bytes,
    /// Until when the broker wants silence, if it said so.
    pub(super) until: Option<Moment>,
}

impl Answer {
    /// The body of a success, or what else this is.
    pub(super) fn success(&self) -> Result<&[u8], Error> {
        match self.status {
            200..=299 => Ok(&self.body),
            429 => Err(Error::Throttled { until: self.until }),
            401 => Err(self.unauthorized()),
            403 if self.is_bare_forbidden() => Err(self.unauthorized()),
            408 | 500.. => Err(Error::Lost { why: self.said() }),
            400..=499 => Err(self.refused()),
            _ => Err(Error::Nonsense { why: self.said() }),
        }
    }

    /// The body, or `None` if the broker itself says that there is no such thing. A page of some proxy with the same
    /// status proves nothing.
    pub(super) fn found(&self) -> Result<Option<&[u8]>, Error> {
        match self.status {
            404 if envelope(&self.body).is_some() => Ok(None),
            404 => Err(Error::Nonsense { why: self.said() }),
            _ => self.success().map(Some),
        }
    }

    /// What came of sending an order.
    pub(super) fn reply(&self, intent: &Intent) -> Reply {
        let said = envelope(&self.body);
        let unknown = || Reply::Unknown { why: self.said() };
        match (self.status, said) {
            (200 | 201, _) => match order(&self.body) {
                Ok(report) if report.client_order_id == intent.client_order_id => Reply::Accepted(Box::new(report)),
                Ok(report) => {
                    Reply::Unknown { why: format!("the broker echoes another id, {}", report.client_order_id) }
                }
                Err(why) => Reply::Unknown { why: format!("the broker took it and answered nonsense: {why}") },
            },
            (429, _) => Reply::Throttled { until: self.until },
            (400 | 403 | 409 | 422, Some(said)) if says_taken(&said) => Reply::Exists,
            (401, Some(said)) if said.code == Some(NOT_FOR_THIS_SCOPE) => refusal(401, said),
            (401, _) => Reply::Unauthorized { message: self.said() },
            (403, Some(_)) if self.is_bare_forbidden() => Reply::Unauthorized { message: self.said() },
            (400 | 403 | 422, Some(said)) => refusal(self.status, said),
            // An asset that does not exist; without Alpaca's code it may be anybody's 404.
            (404, Some(said)) if said.code.is_some() => refusal(404, said),
            _ => unknown(),
        }
    }

    fn is_bare_forbidden(&self) -> bool {
        envelope(&self.body).is_some_and(|said| said.code.is_none() && said.message.starts_with("forbidden"))
    }

    /// A token that lacks a scope is not dead: asking its user to connect again would not help (facts 1.1, 1.3).
    fn unauthorized(&self) -> Error {
        match envelope(&self.body) {
            Some(said) if said.code == Some(NOT_FOR_THIS_SCOPE) && said.message.contains("scope") => self.refused(),
            _ => Error::Unauthorized { message: self.said() },
        }
    }

    /// The same answer where the token is not the user's: it says nothing of the user.
    pub(super) fn refused(&self) -> Error {
        let code = envelope(&self.body).and_then(|said| said.code);
        Error::Refused { status: self.status, code, message: self.said() }
    }

    /// The broker's words, or a few words about an answer without any.
    pub(super) fn said(&self) -> String {
        match envelope(&self.body) {
            Some(said) => said.message,
            None if self.body.is_empty() => format!("status {} without a body", self.status),
            None if self.body.trim_ascii_start().starts_with(b"<") => {
                format!("status {} with an HTML page", self.status)
            }
            None => {
                let start = self.body.get(..80).unwrap_or(&self.body);
                format!("status {} with a body that begins `{}`", self.status, plain(&String::from_utf8_lossy(start)))
            }
        }
    }
}

fn refusal(status: u16, said: Envelope) -> Reply {
    Reply::Refused { status, code: said.code, message: said.message }
}

fn says_taken(said: &Envelope) -> bool {
    said.message.contains("client_order_id must be unique")
}
