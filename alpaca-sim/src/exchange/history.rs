//! Portfolio history: what the account was worth at moments gone by (facts 4.5).
//!
//! Always: a point is computed from the journal of the account and the path of prices, so it says what
//! `GET /v2/account` said at that moment. Before the account was opened there are no points.

use std::collections::BTreeMap;

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;

use super::Exchange;
use super::account::Account;
use super::activity::ActivityDetail;
use super::figures::cents;
use super::refusal::Refusal;
use crate::market::sessions::new_york_date;
use crate::market::{Market, SymbolId};

/// The most points of one answer: 30 days of minutes in the extended sessions fit.
const MOST_POINTS: usize = 50_000;

/// What `GET /v2/account/portfolio/history` asks for, resolved by the caller to a span (facts 4.5).
#[derive(Debug, Clone)]
pub struct HistoryRequest {
    /// First moment.
    pub start: Timestamp,
    /// Last moment; cut at `now`.
    pub end: Timestamp,
    /// Length of a step.
    pub step: HistoryStep,
    /// Only the regular session (the default) or 04:00 to 20:00; no meaning for days.
    pub extended_hours: bool,
}

/// Length of a step of the portfolio history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HistoryStep {
    /// 1, 5, 15 or 60 minutes.
    Minutes(u32),
    /// Trading days, at their closes.
    Day,
}

/// One point of the portfolio history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryPoint {
    /// Beginning of the step; for days, midnight in New York.
    pub at: Timestamp,
    /// Equity at the end of the step.
    pub equity: Decimal,
    /// Deposits less withdrawals within the step.
    pub deposits: Decimal,
    /// Dividends within the step.
    pub dividends: Decimal,
    /// Fees within the step, negative.
    pub fees: Decimal,
}

/// The answer: points, and the close before the first of them.
#[derive(Debug, Clone)]
pub struct History {
    /// Oldest first.
    pub points: Vec<HistoryPoint>,
    /// Equity to compare with.
    pub base_value: Decimal,
    /// The trading day whose close that is, if it is one.
    pub base_value_asof: Option<Date>,
}

/// What the account held, moved forward along its journal.
struct Holdings<'a> {
    account: &'a Account,
    market: &'a Market,
    next: usize,
    cash: Decimal,
    positions: BTreeMap<SymbolId, Decimal>,
}

impl<'a> Holdings<'a> {
    fn new(account: &'a Account, market: &'a Market) -> Self {
        Self { account, market, next: 0, cash: Decimal::ZERO, positions: BTreeMap::new() }
    }

    /// Equity at a moment; moments must rise.
    fn equity(&mut self, at: Timestamp) -> Decimal {
        while let Some(entry) = self.account.journal.get(self.next).filter(|entry| entry.at <= at) {
            self.cash = entry.cash;
            if let Some((symbol, qty)) = entry.position {
                self.positions.insert(symbol, qty);
            }
            self.next += 1;
        }
        let value = |short: bool| -> Decimal {
            let of = |(symbol, qty): (&SymbolId, &Decimal)| {
                if qty.is_zero() || qty.is_sign_negative() != short {
                    return Decimal::ZERO;
                }
                *qty * self.market.price_of(*symbol, at)
            };
            cents(self.positions.iter().map(of).sum())
        };
        self.cash + value(false) + value(true)
    }
}

impl Exchange {
    /// `GET /v2/account/portfolio/history`.
    pub fn history(&mut self, now: Timestamp, account: &str, request: &HistoryRequest) -> Result<History, Refusal> {
        let now = self.enter(now);
        let index = self.index(account)?;
        self.roll(index, now);
        let account = self.accounts.get(index).ok_or(Refusal::UnknownAccount)?;
        let mut holdings = Holdings::new(account, &self.market);
        let mut points = Vec::new();
        for (begin, end) in self.steps(account, request, now)? {
            let equity = holdings.equity(end.min(now));
            points.push(HistoryPoint {
                at: begin,
                equity,
                deposits: Decimal::ZERO,
                dividends: Decimal::ZERO,
                fees: Decimal::ZERO,
            });
        }
        flows(account, &mut points, request.end.min(now));
        let first = points.first().map_or(request.start, |point| point.at);
        let before = account.balances.iter().rev().find(|balance| balance.date < new_york_date(first));
        let base = before.map(|balance| (balance.equity, Some(balance.date)));
        let (base_value, base_value_asof) = base.unwrap_or((account.opening_equity, None));
        Ok(History { points, base_value, base_value_asof })
    }

    /// Beginnings and ends of the steps.
    fn steps(
        &self,
        account: &Account,
        request: &HistoryRequest,
        now: Timestamp,
    ) -> Result<Vec<(Timestamp, Timestamp)>, Refusal> {
        let start = request.start.max(account.created_at);
        let end = request.end.min(now);
        let mut steps = Vec::new();
        for session in self.market.calendar().between(new_york_date(start), new_york_date(end)) {
            let (open, close) = if request.extended_hours {
                (session.extended_open, session.extended_close)
            } else {
                (session.open, session.close)
            };
            match request.step {
                HistoryStep::Day => {
                    if session.open <= end {
                        steps.push((session.day_start, session.close));
                    }
                }
                HistoryStep::Minutes(minutes) => {
                    let step = SignedDuration::from_mins(i64::from(minutes.max(1)));
                    let mut at = open;
                    while at < close && at <= end {
                        if at + step > start {
                            steps.push((at, at + step));
                        }
                        at += step;
                    }
                }
            }
            if steps.len() > MOST_POINTS {
                return Err(Refusal::Malformed("too many points: choose a longer timeframe".into()));
            }
        }
        Ok(steps)
    }
}

/// Adds the movements of money to the steps they fall into; the first step gets none from before it.
fn flows(account: &Account, points: &mut [HistoryPoint], end: Timestamp) {
    let Some(first) = points.first().map(|point| point.at) else { return };
    for row in account.activities.iter().filter(|row| first <= row.at && row.at <= end) {
        let ActivityDetail::NonTrade(detail) = &row.detail else { continue };
        let step = points.partition_point(|point| point.at <= row.at);
        let Some(point) = step.checked_sub(1).and_then(|step| points.get_mut(step)) else { continue };
        match detail.activity_type {
            "CSD" | "CSW" => point.deposits += detail.net_amount,
            "DIV" => point.dividends += detail.net_amount,
            "FEE" => point.fees += detail.net_amount,
            _ => {}
        }
    }
}
