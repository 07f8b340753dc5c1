//! Reading orders and activities.
//!
//! Always: a question about open orders costs as much as there are open orders; a question about history walks from
//! its near end and stops at its limit.

use jiff::Timestamp;

use super::Exchange;
use super::account::{Account, OrderCell};
use super::activity::{Activity, ActivityFilter};
use super::order::{Order, OrderFilter, StatusFilter};
use super::refusal::Refusal;

impl Exchange {
    /// `GET /v2/orders`.
    pub fn orders(&mut self, now: Timestamp, account: &str, filter: &OrderFilter) -> Result<Vec<Order>, Refusal> {
        self.advance(now);
        list(self.read(account)?, filter)
    }

    /// `GET /v2/orders/{id}`.
    pub fn order(&mut self, now: Timestamp, account: &str, id: &str) -> Result<Order, Refusal> {
        self.advance(now);
        let account = self.read(account)?;
        let found = account.by_id.get(id).and_then(|ordinal| account.orders.get(*ordinal));
        found.map(|cell| cell.order.clone()).ok_or(Refusal::OrderNotFound)
    }

    /// `GET /v2/orders:by_client_order_id`.
    pub fn order_by_client_id(
        &mut self,
        now: Timestamp,
        account: &str,
        client_order_id: &str,
    ) -> Result<Order, Refusal> {
        self.advance(now);
        let account = self.read(account)?;
        let found = account.by_client_id.get(client_order_id).and_then(|ordinal| account.orders.get(*ordinal));
        found.map(|cell| cell.order.clone()).ok_or(Refusal::OrderNotFound)
    }

    /// `GET /v2/account/activities`.
    pub fn activities(
        &mut self,
        now: Timestamp,
        account: &str,
        filter: &ActivityFilter,
    ) -> Result<Vec<Activity>, Refusal> {
        self.advance(now);
        rows(self.read(account)?, filter)
    }
}

/// Orders by ordinal are orders by submission, so both ends of a range are found by halving.
fn list(account: &Account, filter: &OrderFilter) -> Result<Vec<Order>, Refusal> {
    let near = |id: &Option<String>| match id {
        None => Ok(None),
        Some(id) => account.by_id.get(id.as_str()).copied().map(Some).ok_or(Refusal::OrderNotFound),
    };
    let (before, after) = (near(&filter.before_order_id)?, near(&filter.after_order_id)?);
    let by_time = filter.after.is_some() || filter.until.is_some();
    if (before.is_some() && after.is_some()) || ((before.is_some() || after.is_some()) && by_time) {
        let text = "before_order_id and after_order_id exclude each other, after and until";
        return Err(Refusal::Malformed(text.into()));
    }
    if filter.limit == 0 || filter.limit > 500 {
        return Err(Refusal::Malformed("limit must be between 1 and 500".into()));
    }
    let cut = |at: Timestamp, inclusive: bool| {
        account
            .orders
            .partition_point(|cell| cell.order.submitted_at < at || (inclusive && cell.order.submitted_at == at))
    };
    let first = after.map(|ordinal| ordinal + 1).or(filter.after.map(|at| cut(at, true))).unwrap_or(0);
    let end = before.or(filter.until.map(|at| cut(at, false))).unwrap_or(account.orders.len());
    let wanted = |cell: &&OrderCell| {
        let order = &cell.order;
        (match filter.status {
            StatusFilter::Open => !order.status.is_terminal(),
            StatusFilter::Closed => order.status.is_terminal(),
            StatusFilter::All => true,
        }) && (filter.symbols.is_empty() || filter.symbols.iter().any(|symbol| **symbol == *order.symbol))
            && filter.side.is_none_or(|side| side == order.side)
    };
    if first >= end {
        return Ok(Vec::new());
    }
    let take = |cells: &mut dyn Iterator<Item = &OrderCell>| {
        cells.filter(wanted).take(filter.limit).map(|cell| cell.order.clone()).collect()
    };
    let open = account.open.range(first..end).filter_map(|ordinal| account.orders.get(*ordinal));
    let all = account.orders.get(first..end).unwrap_or_default().iter();
    Ok(match (filter.status, filter.ascending) {
        (StatusFilter::Open, true) => take(&mut open.into_iter()),
        (StatusFilter::Open, false) => take(&mut open.rev()),
        (_, true) => take(&mut all.into_iter()),
        (_, false) => take(&mut all.rev()),
    })
}

fn rows(account: &Account, filter: &ActivityFilter) -> Result<Vec<Activity>, Refusal> {
    let all = &account.activities;
    let mut first = filter.after.map_or(0, |at| all.partition_point(|row| row.at <= at));
    let mut end = filter.until.map_or(all.len(), |at| all.partition_point(|row| row.at < at));
    if let Some(token) = &filter.page_token {
        let place = all.iter().rposition(|row| *row.id == **token);
        let place = place.ok_or_else(|| Refusal::Malformed("invalid page_token".into()))?;
        if filter.ascending {
            first = first.max(place + 1);
        } else {
            end = end.min(place);
        }
    }
    let size = match (filter.page_size, filter.date) {
        (Some(size @ 1..=100), _) => size,
        (Some(_), _) => return Err(Refusal::Malformed("page_size must be between 1 and 100".into())),
        (None, Some(_)) => usize::MAX,
        (None, None) => 100,
    };
    let wanted = |row: &&Activity| {
        let kind = row.activity_type();
        filter.date.is_none_or(|date| date == row.date)
            && filter.trades.is_none_or(|trades| trades == row.is_trade())
            && (filter.types.is_empty()
                || filter.types.iter().any(|wanted| {
                    wanted.eq_ignore_ascii_case(kind)
                        || (wanted.eq_ignore_ascii_case("TRANS") && matches!(kind, "CSD" | "CSW"))
                }))
    };
    let Some(range) = all.get(first..end.max(first)) else { return Ok(Vec::new()) };
    Ok(if filter.ascending {
        range.iter().filter(wanted).take(size).cloned().collect()
    } else {
        range.iter().rev().filter(wanted).take(size).cloned().collect()
    })
}
