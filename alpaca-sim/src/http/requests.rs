//! The ledger of requests: who asked what, when, and what came of it.
//!
//! Always: every request to a trading, data or app path is here once per time it was carried out or refused, in the
//! order of handling; never a token, key or secret. The oldest rows go when the ledger is full, and are counted.

use std::collections::VecDeque;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use crate::http::auth::Credential;

/// One request.
#[derive(Debug, Clone, Serialize)]
pub struct RequestRecord {
    /// Running number from 1, in the order of handling.
    pub n: u64,
    /// Simulated time.
    pub at: Timestamp,
    /// `GET`, `POST`, ...
    #[serde(serialize_with = "as_text")]
    pub method: axum::http::Method,
    /// Path with host prefix and query. The query of the consent page is left out.
    pub path: Box<str>,
    /// Account id, or the key id of a data key; absent for callers who proved nothing.
    pub account: Option<Arc<str>>,
    /// How the caller proved who they are.
    pub credential: Option<Credential>,
    /// The client order id in the body of a new order.
    pub client_order_id: Option<Box<str>>,
    /// Status of the answer, or what it would have been had it reached the caller; 0 for a request that a fault
    /// dropped before it could have one.
    pub status: u16,
    /// The fault that met this request.
    pub fault: Option<&'static str>,
    /// Whether the caller got this answer, as far as the script is concerned.
    pub answered: bool,
}

fn as_text<S: Serializer>(method: &axum::http::Method, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(method.as_str())
}

/// All requests that fit.
#[derive(Debug)]
pub(crate) struct Requests {
    rows: VecDeque<RequestRecord>,
    capacity: usize,
    count: u64,
}

impl Requests {
    /// An empty ledger for so many rows.
    pub(crate) fn new(capacity: usize) -> Self {
        Self { rows: VecDeque::new(), capacity, count: 0 }
    }

    /// Appends a row; its number is given here.
    pub(crate) fn push(&mut self, mut row: RequestRecord) {
        self.count += 1;
        row.n = self.count;
        if self.capacity == 0 {
            return;
        }
        if self.rows.len() == self.capacity {
            self.rows.pop_front();
        }
        self.rows.push_back(row);
    }

    /// How many there were, kept or not.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// The kept rows, oldest first.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &RequestRecord> {
        self.rows.iter()
    }
}
