//! `points`: the named points on the way of an order, where `tests.kill_at` may have the daemon killed.

use serde_json::json;

use crate::app::commands::Context;
use crate::app::failure::Failure;
use crate::edge::points;

/// Lists them, one a line.
///
/// # Errors
/// When standard output is closed.
pub fn obey(context: &Context) -> Result<(), Failure> {
    let names: Vec<&str> = points::all().map(points::Point::name).collect();
    context.print(&json!(names), |_| names.join("\n"))
}
