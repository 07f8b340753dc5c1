//! The judge at the mouth: what must hold at the instant an order leaves, where no belief of the daemon's counts.
//!
//! Its intent is durable (S2), nobody has halted it (S8), every live flag is there (S4), the exchange is open, no price of
//! it was a lie or is an old one (S11), it sells no more than is free (S6) and buys with cash that is there (S7), and its
//! worker has the run (S12).

use bytes::Bytes;
use rebalanced::model::environment::Kind as Environment;
use rebalanced::model::intent::Intent;
use rebalanced::model::plan::{Amount, Pricing};
use rebalanced::model::time::{Moment, Span};
use rust_decimal::Decimal;
use serde_json::Value;

use super::notes::Notes;
use super::wire::FaultyWire;

/// The oldest quote that a plan of a history takes (`stage::policy`).
const QUOTE_AGE: Span = Span::from_secs(15);

/// An order older than this must have met the market again.
const WAITED: Span = Span::from_secs(60);

impl FaultyWire {
    /// Everything that must hold at the instant an order leaves.
    pub(super) async fn judge(&self, request: &http::Request<Bytes>) {
        let now = self.clock.now();
        let body: Value = serde_json::from_slice(request.body()).unwrap_or_default();
        let id = body["client_order_id"].as_str().unwrap_or_default().to_owned();
        let found = self.store.intent_named(&id).await;
        let mut notes = self.notes.lock();
        notes.say(format_args!(
            "{now} POST {} {} {body}",
            request.uri().path(),
            if self.second { "(second)" } else { "" }
        ));
        let Ok(Some(intent)) = found else {
            notes.violation(format_args!("S2: an order leaves under {id}, which nobody has recorded"));
            return;
        };
        let account = intent.account.as_str().to_owned();
        let symbol = intent.symbol.as_str();
        let live = request.uri().path().starts_with("/live");
        if live != (intent.environment == Environment::Live) {
            notes.violation(format_args!("S5: {id} of a {} account goes to {}", intent.environment, request.uri()));
        }
        if self.account_of(request).is_some_and(|whose| whose != account) {
            notes.violation(format_args!("S9: {id} of {account} leaves with another account's token"));
        }
        if body["symbol"] != symbol {
            notes.violation(format_args!("S3: {id} was recorded for {symbol} and is sent as {}", body["symbol"]));
        }
        if intent.state.is_terminal() {
            notes.violation(format_args!("S14: {id} leaves although it is {}", intent.state.code()));
        }
        for scope in ["service", account.as_str()] {
            if notes.halted.contains(scope) {
                notes.violation(format_args!("S8: {id} leaves although `{scope}` is halted"));
            }
        }
        if let Some(why) = notes.forbidden.get(&account).copied() {
            notes.violation(format_args!("S4: {id} leaves although {why}"));
        }
        if !self.second && notes.superseded.as_deref() == Some(&account) {
            notes.violation(format_args!("S12: {id} leaves from a worker whose run was taken over"));
        }
        if self.sessions.at(now).is_none() {
            notes.violation(format_args!("S11: {id} leaves at {now}, when the exchange is closed"));
        }
        if notes.lied_quotes.contains(symbol) {
            notes.violation(format_args!("S11: {id} leaves although the last quote of {symbol} was a lie"));
        }
        if notes.lied_calendar {
            notes.violation(format_args!("S20: {id} leaves although the calendars differ"));
        }
        if notes.untradable.contains(&(live, symbol.to_owned())) {
            notes.violation(format_args!("S20: {id} leaves although {symbol} was shown as not tradable"));
        }
        if body["side"] != intent.phase.side().code() {
            notes.violation(format_args!(
                "S3: {id} is to {} and is sent to {}",
                intent.phase.side().code(),
                body["side"]
            ));
        }
        if body["qty"].is_string() != matches!(intent.amount, Amount::Qty(_)) {
            notes.violation(format_args!("S3: {id} is sent with another kind of amount: {body}"));
        }
        if notes.ghosts.get(&account) == Some(&false) {
            notes.violation(format_args!("S15: {id} leaves although cash of {account} is not explained"));
        }
        if notes.lied_worlds.contains(&account) {
            notes.violation(format_args!("S11: {id} leaves although {account} was shown empty"));
        }
        fresh(&mut notes, &intent, now);
        drop(notes);
        self.judge_amount(&intent, &body);
    }

    fn judge_amount(&self, intent: &Intent, body: &Value) {
        let (account, id) = (intent.account.as_str(), intent.client_order_id.as_str());
        if self.notes.lock().touched.contains(account) {
            return; // Somebody else moved cash or shares since the daemon looked.
        }
        let amount = |name: &str| body[name].as_str().and_then(|text| text.parse::<Decimal>().ok());
        self.sim.set_clock(self.clock.now().timestamp());
        let (free, cash) = self.sim.with_exchange(|exchange, now| {
            let positions = exchange.positions(now, account).unwrap_or_default();
            let held = positions.iter().find(|held| body["symbol"] == *held.symbol);
            let view = exchange.account(now, account);
            (held.map_or(Decimal::ZERO, |held| held.qty_available), view.map_or(Decimal::ZERO, |view| view.cash))
        });
        // A broker that has this very order already has reserved for it.
        if self.sim.with_exchange(|exchange, now| exchange.order_by_client_id(now, account, id)).is_ok() {
            return;
        }
        let mut notes = self.notes.lock();
        match (body["side"].as_str(), amount("qty"), amount("notional")) {
            (Some("sell"), Some(qty), _) if qty > free => {
                notes.violation(format_args!("S6: {id} sells {qty} where {free} are free"));
            }
            (Some("buy"), _, Some(notional)) if notional > cash => {
                notes.violation(format_args!("S7: {id} buys for {notional} where {cash} is there"));
            }
            (Some("buy"), Some(qty), _) if worth(intent, qty) > cash => {
                let worth = worth(intent, qty);
                notes.violation(format_args!("S7: {id} buys {qty} for up to {worth} where {cash} is there"));
            }
            _ => {}
        }
    }
}

/// What a purchase by quantity may cost: its limit, or at the market what it was reckoned at.
fn worth(intent: &Intent, qty: Decimal) -> Decimal {
    match intent.pricing {
        Pricing::Limit(price) => price.decimal() * qty,
        Pricing::Market => intent.value.decimal(),
    }
}

/// The last quote of its symbol was no older than the limit when it was read; and who waited has read one since.
fn fresh(notes: &mut Notes, intent: &Intent, now: Moment) {
    let (id, symbol) = (&intent.client_order_id, intent.symbol.as_str());
    let Some((read, of)) = notes.quotes.get(symbol).copied() else {
        notes.violation(format_args!("S11: {id} leaves although {symbol} has no quote"));
        return;
    };
    if read.since(of) > QUOTE_AGE {
        let age = read.since(of).as_secs();
        notes.violation(format_args!("S11: {id} leaves although the last quote of {symbol} was {age} s old"));
    }
    let (waited, known) = (now.since(intent.recorded_at), now.since(read));
    if waited > WAITED && (read < intent.recorded_at || known > WAITED) {
        let (waited, known) = (waited.as_secs(), known.as_secs());
        notes.violation(format_args!(
            "S11: {id} leaves {waited} s after it was recorded, and {symbol} was looked at {known} s ago"
        ));
    }
}
