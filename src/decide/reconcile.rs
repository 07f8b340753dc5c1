//! The broker's ledger against ours. The broker's is the truth; what it does not explain is a finding, never repaired by
//! guessing (rule 4).

use std::collections::BTreeMap;
use std::fmt;

use crate::model::canon;
use crate::model::ids::ClientOrderId;
use crate::model::intent::{Intent, IntentState};
use crate::model::money::Qty;
use crate::model::report::{OrderReport, OrderStatus};

/// A difference between the two ledgers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// Ours says that the broker has it; the broker does not show it.
    Missing(ClientOrderId),
    /// The broker shows an order in our form that nobody recorded (S16).
    Stranger(ClientOrderId),
    /// Ours says that it never reached the broker; the broker shows it.
    Ghost(ClientOrderId),
    /// The filled quantities differ (S15).
    Filled {
        /// Which.
        id: ClientOrderId,
        /// What we have.
        ours: Qty,
        /// What the broker has.
        theirs: Qty,
    },
    /// The broker took back or corrected executions of it (row 32).
    Corrected {
        /// Which.
        id: ClientOrderId,
        /// What we have.
        ours: Qty,
        /// What the broker's rows come to.
        theirs: Qty,
    },
}

impl Finding {
    /// The order whose record the broker's contradicts: it is disputed.
    pub fn disputes(&self) -> Option<&ClientOrderId> {
        match self {
            Self::Ghost(id) | Self::Filled { id, .. } | Self::Corrected { id, .. } => Some(id),
            Self::Missing(_) | Self::Stranger(_) => None,
        }
    }
}

/// The orders that these findings dispute, each with what is said of it.
pub fn disputed(findings: &[Finding]) -> Vec<(ClientOrderId, String)> {
    findings.iter().filter_map(|finding| Some((finding.disputes()?.clone(), finding.to_string()))).collect()
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(id) => write!(f, "the broker does not show order {id}"),
            Self::Stranger(id) => write!(f, "the broker shows order {id}, which nobody recorded"),
            Self::Ghost(id) => write!(f, "the broker shows order {id}, which we thought was never placed"),
            Self::Corrected { id, ours, theirs } => write!(
                f,
                "order {id}: the broker took back or corrected executions of it; we count {ours} filled, its rows come to {theirs}"
            ),
            Self::Filled { id, ours, theirs } => write!(f, "order {id}: we count {ours} filled, the broker {theirs}"),
        }
    }
}

/// Compares the intents of one run with the broker's orders since that run began. Orders of other runs and of the user
/// are none of its business, unless they have our form and the account's own record does not know them.
pub fn reconcile(intents: &[Intent], reports: &[OrderReport]) -> Vec<Finding> {
    let theirs: BTreeMap<&ClientOrderId, &OrderReport> =
        reports.iter().map(|report| (&report.client_order_id, report)).collect();
    let mut findings = Vec::new();
    for intent in intents {
        let id = intent.client_order_id.clone();
        let placed = matches!(intent.state, IntentState::Open | IntentState::Filled | IntentState::Ended);
        match theirs.get(&intent.client_order_id) {
            None if placed => findings.push(Finding::Missing(id)),
            // Refused or taken back by our books, and there all the same: a reply was lost before it, or it came late.
            Some(report) if never_placed(intent) && report.status != OrderStatus::Rejected => {
                findings.push(Finding::Ghost(id));
            }
            Some(report) if placed && report.filled_qty != intent.filled_qty => {
                findings.push(Finding::Filled { id, ours: intent.filled_qty, theirs: report.filled_qty });
            }
            _ => {}
        }
    }
    findings
}

fn never_placed(intent: &Intent) -> bool {
    matches!(intent.state, IntentState::Rejected | IntentState::Withdrawn)
}

/// Orders in our form that no intent of the account knows (S16).
pub fn strangers(known: &[ClientOrderId], reports: &[OrderReport]) -> Vec<Finding> {
    let ours = reports.iter().map(|report| &report.client_order_id).filter(|id| canon::is_ours(id));
    ours.filter(|id| !known.contains(id)).cloned().map(Finding::Stranger).collect()
}
