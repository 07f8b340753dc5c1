//! Whose the executions are that the broker's rows tell of: every new one is looked up among all orders of its account.
//!
//! Always: a row that names an order of ours is held beside our record of it, however long ago that was judged, and an order
//! in our form that nobody recorded is told (S15, S16). What the user trades by hand is the user's.

use std::collections::BTreeSet;

use crate::decide;
use crate::decide::reconcile::Finding;
use crate::edge::World;
use crate::edge::alpaca::Access;
use crate::edge::store;
use crate::flow::observe::{Blind, retried};
use crate::model::books::{Activity, Books};
use crate::model::canon;
use crate::model::environment::Environment;
use crate::model::ids::{ClientOrderId, OrderId};
use crate::model::intent::Intent;
use crate::model::report::OrderReport;
use crate::model::time::Moment;

/// What the new rows tell of our orders that our record of them does not. Orders in `own` are compared
/// by whoever asks.
///
/// # Errors
/// [`Blind`] when the broker's list of orders cannot be seen; the outer error when the database fails.
pub(super) async fn overlooked<E: Environment>(
    world: &World,
    access: &Access<E>,
    (books, since): (Option<&Books>, Moment),
    (rows, own): (&[Activity], &[Intent]),
) -> Result<Result<Vec<Finding>, Blind>, store::Error> {
    let accepted = if books.is_none() { world.store.last_release(&access.account).await? } else { None };
    let mut news = decide::executions::news(rows, books, (accepted, since));
    let of_own = |order: &OrderId| own.iter().any(|intent| intent.order.as_ref() == Some(order));
    news.retain(|row| !row.order.as_ref().is_some_and(of_own));
    let sums = decide::executions::sums(rows);
    let executed = |order: Option<&OrderId>| order.and_then(|order| sums.get(order)).copied().unwrap_or_default();
    let mut findings = Vec::new();
    let known = world.store.intents_by_order(&access.account, &decide::executions::orders(&news)).await?;
    for intent in &known {
        findings.extend(decide::executions::unlike(intent, executed(intent.order.as_ref())));
    }
    news.retain(|row| !known.iter().any(|intent| intent.order == row.order));
    if !news.is_empty() {
        let from = decide::executions::beginning(&news, since);
        let reports = match retried(world, || world.alpaca.orders_since(access, from)).await {
            Ok(reports) => reports,
            Err(blind) => return Ok(Err(blind)),
        };
        let orders = decide::executions::orders(&news);
        for (report, intent) in ours(world, access, &orders, &reports).await? {
            findings.extend(match intent {
                None => Some(Finding::Stranger(report.client_order_id.clone())),
                Some(intent) => decide::executions::unlike(&intent, executed(Some(&report.id))),
            });
        }
    }
    Ok(Ok(findings))
}

/// The orders in our form among these, each with our record of it, if there is one.
async fn ours<'a, E: Environment>(
    world: &World,
    access: &Access<E>,
    orders: &BTreeSet<OrderId>,
    reports: &'a [OrderReport],
) -> Result<Vec<(&'a OrderReport, Option<Intent>)>, store::Error> {
    let in_our_form = |report: &&OrderReport| orders.contains(&report.id) && canon::is_ours(&report.client_order_id);
    let named: Vec<&OrderReport> = reports.iter().filter(in_our_form).collect();
    let ids: BTreeSet<ClientOrderId> = named.iter().map(|report| report.client_order_id.clone()).collect();
    let known = world.store.intents_by_client_id(&access.account, &ids).await?;
    let record = |report: &OrderReport| known.iter().find(|intent| intent.client_order_id == report.client_order_id);
    Ok(named.into_iter().map(|report| (report, record(report).cloned())).collect())
}
