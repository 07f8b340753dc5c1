//! Regulatory fees of live accounts: booked the evening after the trades (facts 9.1). Paper accounts pay none.
//!
//! Always: the totals of one day, each rounded up to a cent; a day without fills has no fees.

use jiff::Timestamp;
use jiff::civil::Time;
use rust_decimal::{Decimal, RoundingStrategy};

use super::Exchange;
use super::account::Environment;
use super::activity::{ActivityDetail, FillRow, NonTradeRow};
use super::order::Side;
use super::timers::{Action, Timer};
use crate::market::sessions::{moment, new_york_date};

/// Dollars of SEC fee per dollar sold.
const SEC: Decimal = Decimal::from_parts(2_060, 0, 0, false, 8);
/// Dollars of TAF per share sold.
const TAF: Decimal = Decimal::from_parts(195, 0, 0, false, 6);
/// The most TAF for one execution.
const TAF_MOST: Decimal = Decimal::from_parts(979, 0, 0, false, 2);
/// Dollars of CAT fee per share bought or sold.
const CAT: Decimal = Decimal::from_parts(3, 0, 0, false, 6);

/// Fees of some fills: regulatory (SEC), trading activity (TAF), audit trail (CAT).
fn fees<'a>(fills: impl Iterator<Item = &'a FillRow>) -> [(&'static str, Decimal); 3] {
    let (mut sec, mut taf, mut cat) = (Decimal::ZERO, Decimal::ZERO, Decimal::ZERO);
    for fill in fills {
        cat += fill.qty * CAT;
        if fill.side == Side::Sell {
            sec += fill.qty * fill.price * SEC;
            taf += (fill.qty * TAF).min(TAF_MOST);
        }
    }
    let up = |amount: Decimal| amount.round_dp_with_strategy(2, RoundingStrategy::AwayFromZero);
    [("REG", up(sec)), ("TAF", up(taf)), ("CAT", up(cat))]
}

impl Exchange {
    /// Remembers to book the fees of a live account's fill at 23:00 of its day, once a day.
    pub(super) fn owe_fees(&mut self, account: usize, at: Timestamp) {
        let today = new_york_date(at);
        let Some(owner) = self.accounts.get_mut(account) else { return };
        if owner.environment == Environment::Paper || owner.fees_due == Some(today) {
            return;
        }
        let Some(due) = moment(today, Time::constant(23, 0, 0, 0)) else { return };
        owner.fees_due = Some(today);
        self.timers.add(Timer { at: due.max(at), account, order: 0, action: Action::Fees, generation: 0 });
    }

    /// Books the fees of the day.
    pub(super) fn book_fees(&mut self, account: usize, at: Timestamp) {
        let today = new_york_date(at);
        let Some(owner) = self.accounts.get(account) else { return };
        let id = owner.id.clone();
        let rows = owner.activities.iter().rev().take_while(|row| row.date == today);
        let fills = rows.filter_map(|row| match &row.detail {
            ActivityDetail::Fill(fill) => Some(fill),
            ActivityDetail::NonTrade(_) => None,
        });
        for (kind, amount) in fees(fills) {
            if amount.is_zero() {
                continue;
            }
            let row = NonTradeRow {
                activity_type: "FEE",
                activity_sub_type: kind,
                net_amount: -amount,
                symbol: None,
                qty: None,
                per_share_amount: None,
                description: format!("{kind} fee of {today}"),
            };
            // The account exists, so nothing can refuse.
            let _booked = self.pay(at, &id, row);
        }
    }
}
