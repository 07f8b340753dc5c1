//! `migrate`: the database's tables, as this version of the program needs them.
//!
//! Every start does the same by itself. The command is for an owner who keeps the right to make tables away from the daemon.

use serde_json::json;

use crate::app::commands::Context;
use crate::app::failure::Failure;
use crate::app::wire;

/// Brings the tables up to date.
///
/// # Errors
/// When the database does not open, is newer than the program, or may not be changed by this role.
pub async fn obey(context: &Context) -> Result<(), Failure> {
    let settings = context.settings()?;
    wire::means(&settings, wire::Database::MayBeNew).await?;
    let version = env!("CARGO_PKG_VERSION");
    context.print(&json!({ "up_to_date": true, "version": version }), |_| {
        format!("the tables are those of rebalanced {version}")
    })
}
