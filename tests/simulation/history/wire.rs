//! The wire of a history: into the simulator in this process, with faults on the way, and the judge at its mouth.
//!
//! What must hold at the instant an order leaves is looked at here, where no belief of the daemon's counts: its intent is
//! durable (S2), nobody has halted it (S8), every live flag is there (S4), the exchange is open and no price of it was a
//! lie (S11), it sells no more than is free (S6) and buys with cash that is there (S7), and its worker has the run (S12).

use std::sync::Arc;

use alpaca_sim::Sim;
use alpaca_sim::exchange::order::{OrderRequest, OrderType, Side, TimeInForce};
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use rebalanced::edge::alpaca::transport::{Lost, Transport};
use rebalanced::edge::clock::VirtualClock;
use rebalanced::edge::store::Store;
use rebalanced::model::environment::Kind as Environment;
use rebalanced::model::ids::AccountId;
use rebalanced::model::session::Sessions;
use rebalanced::model::time::Span;
use rust_decimal::Decimal;
use serde_json::Value;

use super::faults::{self, Fault, Kind};
use super::notes::Shared;

/// How long the real client waits for an answer.
const PATIENCE: Span = Span::from_secs(20);

/// A moment that passes with every request.
const A_MOMENT: Span = Span::from_millis(20);

/// The wire of one process.
pub(crate) struct FaultyWire {
    pub sim: Sim,
    pub clock: VirtualClock,
    pub notes: Shared,
    pub store: Store,
    pub sessions: Arc<Sessions>,
    /// Whether it is the process that took a run over; only the first one can be superseded.
    pub second: bool,
}

impl Transport for FaultyWire {
    fn send(&self, request: http::Request<Bytes>) -> BoxFuture<'_, Result<http::Response<Bytes>, Lost>> {
        self.carry(request).boxed()
    }
}

impl FaultyWire {
    async fn carry(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, Lost> {
        let kind = Kind::of(&request);
        self.pass(A_MOMENT);
        self.notes.lock().requests += 1;
        self.notes.lock().fresh_echo = None;
        if kind == Kind::Submit {
            self.judge(&request).await;
        }
        let path = request.uri().path().to_owned();
        let account = self.account_of(&request);
        let fault = self.draw(kind);
        let haunted = account.as_ref().is_some_and(|account| self.notes.lock().ghosts.contains_key(account));
        if kind == Kind::Account && haunted {
            return self.haunted(request).await;
        }
        let Some(fault) = fault.filter(|fault| *fault != Fault::Lag || self.may_lag(&path, account.as_deref())) else {
            let answer = self.call(request).await?;
            self.honest(kind, &path, account.as_deref());
            return Ok(answer);
        };
        self.notes.lock().inject(fault.row(), format_args!("{fault:?} at {} {path}", request.method()));
        match fault {
            Fault::Slow => {
                let answer = self.slowly(request).await?;
                self.honest(kind, &path, account.as_deref());
                return Ok(answer);
            }
            Fault::Ghost => {
                let Some(account) = account else { return self.call(request).await };
                // Without books there is nothing to explain yet.
                let kept = AccountId::parse(&account).ok();
                let books = match kept {
                    Some(id) => self.store.books(&id).await.ok().flatten(),
                    None => None,
                };
                if books.is_none() {
                    return self.call(request).await;
                }
                let fresh = self.notes.lock().compared;
                self.notes.lock().ghosts.insert(account, fresh);
                return self.haunted(request).await;
            }
            Fault::Planted => {
                self.plant(&request);
                return self.call(request).await;
            }
            Fault::StaleQuote | Fault::WildQuote | Fault::NoQuote => return self.lying_quotes(fault, request).await,
            _ => {}
        }
        let submitted = (kind == Kind::Submit).then(|| client_id(&request)).flatten();
        let rule = faults::rule(fault, kind, &path, &mut self.notes.lock());
        if let Some(mut rule) = rule {
            if fault == Fault::Lag {
                rule.until = (self.clock.now() + Span::from_secs(60)).timestamp().into();
                rule.account.clone_from(&account);
            }
            if fault == Fault::EmptyWorld
                && let Some(account) = account.as_ref().filter(|account| self.holds_something(account))
            {
                self.notes.lock().lied_worlds.insert(account.clone());
            }
            // An echo under another id is no answer about this order: it is asked for, and found as it was sent.
            match fault {
                Fault::Calendar if !rule.set.is_empty() => self.notes.lock().lied_calendar = true,
                Fault::Untradable => {
                    self.notes.lock().untradable.insert(asset_of(&path));
                }
                _ => {}
            }
            if let (Fault::Echo, Some(id)) = (fault, &submitted)
                && !rule.set.contains_key("/client_order_id")
            {
                let mut notes = self.notes.lock();
                notes.must_quarantine.insert(id.clone(), "the echo of its order was another");
                notes.fresh_echo = Some(id.clone());
            }
            self.sim.add_fault(rule);
        }
        let answer = self.call(request).await;
        if fault == Fault::Lag {
            // A look at a minute ago is a look at something.
            self.notes.lock().lied_worlds.retain(|lied| Some(lied) != account.as_ref());
        } else {
            self.sim.clear_faults();
        }
        // What lags behind shows what was there, and not that nothing is.
        if fault == Fault::EmptyWorld && !answer.as_ref().is_ok_and(shows_nothing) {
            self.notes.lock().lied_worlds.retain(|lied| Some(lied) != account.as_ref());
        }
        // An answer that is no echo, because the broker refused, is none that lies.
        if fault == Fault::Echo && answer.as_ref().map_or(true, |answer| answer.status() != 200) {
            self.notes.lock().forget_echo();
        }
        // What was to be cut further on than it is long came whole.
        if fault == Fault::Cut && answer.as_ref().is_ok_and(is_whole) {
            self.honest(kind, &path, account.as_deref());
        }
        answer
    }

    fn draw(&self, kind: Kind) -> Option<Fault> {
        let mut notes = self.notes.lock();
        if notes.calm || kind == Kind::Other {
            return None;
        }
        let rate = notes.character.fault_rate;
        if !notes.chance(rate) {
            return None;
        }
        let able: Vec<Fault> =
            notes.character.faults.iter().copied().filter(|fault| faults::befalls(*fault, kind)).collect();
        notes.one(&able)
    }

    /// Whether this answer may begin to lag behind now: one that does already would do so for longer than a minute.
    fn may_lag(&self, path: &str, account: Option<&str>) -> bool {
        let now = self.clock.now();
        let key = (path.to_owned(), account.unwrap_or_default().to_owned());
        let mut notes = self.notes.lock();
        let may = notes.lagging.get(&key).is_none_or(|until| *until <= now);
        if may {
            notes.lagging.insert(key, now + Span::from_secs(60));
        }
        may
    }

    fn pass(&self, span: Span) {
        self.clock.set(self.clock.now() + span);
    }

    async fn call(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, Lost> {
        self.sim.set_clock(self.clock.now().timestamp());
        let answer = self.sim.call(request).await.map_err(|dropped| Lost::new(dropped.to_string()))?;
        // A body that was cut is a lost answer to a client that counts its bytes.
        let told = answer.headers().get("content-length").and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
        if told.is_some_and(|told| told > answer.body().len()) && self.notes.lock().chance(500) {
            return Err(Lost::new("the connection was closed in the middle of the answer"));
        }
        Ok(answer)
    }

    async fn slowly(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, Lost> {
        let (there, back) = {
            let mut notes = self.notes.lock();
            (Span::from_secs(notes.number(0..30)), Span::from_secs(notes.number(0..30)))
        };
        // Nobody waits longer than the client does, but the request may still arrive.
        self.pass(there.min(PATIENCE));
        let answer = self.call(request).await;
        if there + back > PATIENCE {
            self.pass(PATIENCE - there.min(PATIENCE));
            return Err(Lost::new("no answer within 20 s"));
        }
        self.pass(back);
        answer
    }

    /// The account with a bit more cash than anything explains.
    async fn haunted(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, Lost> {
        let (parts, body) = self.call(request).await?.into_parts();
        let Ok(mut account) = serde_json::from_slice::<Value>(&body) else {
            return Ok(http::Response::from_parts(parts, body));
        };
        for field in ["cash", "equity"] {
            let more = account[field].as_str().and_then(|text| text.parse::<Decimal>().ok());
            if let Some(more) = more {
                account[field] = (more + Decimal::new(1234, 2)).to_string().into();
            }
        }
        Ok(http::Response::from_parts(parts, Bytes::from(account.to_string())))
    }

    async fn lying_quotes(&self, fault: Fault, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, Lost> {
        let answer = self.call(request).await?;
        let (parts, body) = answer.into_parts();
        let mut notes = self.notes.lock();
        notes.lied_quotes.clear();
        Ok(match faults::lie_about_quotes(fault, &body, &mut notes) {
            Some((lie, whose)) => {
                notes.lied_quotes.extend(whose);
                http::Response::from_parts(parts, Bytes::from(lie))
            }
            None => http::Response::from_parts(parts, body),
        })
    }

    /// Somebody else has an order under this very id: another symbol's.
    fn plant(&self, request: &http::Request<Bytes>) {
        let (Some(id), Some(account)) = (client_id(request), self.account_of(request)) else { return };
        let order = OrderRequest { client_order_id: Some(id.clone()), ..by_hand("IEF", Side::Buy, Decimal::from(5)) };
        self.sim.set_clock(self.clock.now().timestamp());
        let planted = self.sim.with_exchange(|exchange, now| exchange.submit(now, &account, order));
        let mut notes = self.notes.lock();
        if planted.is_ok() {
            notes.touched.insert(account);
            notes.must_quarantine.insert(id, "another order stood under its id");
        }
    }

    /// What was answered honestly is not a lie any more.
    fn honest(&self, kind: Kind, path: &str, account: Option<&str>) {
        let mut notes = self.notes.lock();
        match (kind, account) {
            (Kind::Quotes, _) => notes.lied_quotes.clear(),
            (Kind::Calendar, _) => notes.lied_calendar = false,
            (Kind::Asset, _) => {
                notes.untradable.remove(&asset_of(path));
            }
            (Kind::Activities, _) => notes.compared = true,
            (Kind::Account | Kind::Positions, Some(account)) => {
                notes.lied_worlds.remove(account);
            }
            _ => {}
        }
    }

    fn holds_something(&self, account: &str) -> bool {
        self.sim.with_exchange(|exchange, now| exchange.positions(now, account)).is_ok_and(|held| !held.is_empty())
    }

    fn account_of(&self, request: &http::Request<Bytes>) -> Option<String> {
        let token = request.headers().get("authorization")?.to_str().ok()?.strip_prefix("Bearer ")?.to_owned();
        let live = request.uri().path().starts_with("/live");
        let environment = if live { alpaca_sim::Environment::Live } else { alpaca_sim::Environment::Paper };
        self.sim.account_of_token(&token, environment).map(|account| account.to_string())
    }

    /// Everything that must hold at the instant an order leaves.
    async fn judge(&self, request: &http::Request<Bytes>) {
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
        if body["qty"].is_string() != matches!(intent.amount, rebalanced::model::plan::Amount::Qty(_)) {
            notes.violation(format_args!("S3: {id} is sent with another kind of amount: {body}"));
        }
        if notes.ghosts.get(&account) == Some(&false) {
            notes.violation(format_args!("S15: {id} leaves although cash of {account} is not explained"));
        }
        if notes.lied_worlds.contains(&account) {
            notes.violation(format_args!("S11: {id} leaves although {account} was shown empty"));
        }
        drop(notes);
        self.judge_amount(&account, &body, &id);
    }

    fn judge_amount(&self, account: &str, body: &Value, id: &str) {
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
            _ => {}
        }
    }
}

fn shows_nothing(answer: &http::Response<Bytes>) -> bool {
    let body: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
    body.as_array().is_some_and(Vec::is_empty) || body["equity"] == "0"
}

fn is_whole(answer: &http::Response<Bytes>) -> bool {
    let told = answer.headers().get("content-length").and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    answer.status() == 200 && told.is_none_or(|told| told <= answer.body().len())
}

/// An order of the user's own, in dollars, at the market.
pub(crate) fn by_hand(symbol: &str, side: Side, dollars: Decimal) -> OrderRequest {
    OrderRequest {
        symbol: Some(symbol.to_owned()),
        notional: Some(dollars),
        side: Some(side),
        order_type: Some(OrderType::Market),
        time_in_force: Some(TimeInForce::Day),
        ..OrderRequest::default()
    }
}

/// Whether the path of an asset is the live host's, and which asset.
fn asset_of(path: &str) -> (bool, String) {
    (path.starts_with("/live"), path.rsplit('/').next().unwrap_or_default().to_owned())
}

fn client_id(request: &http::Request<Bytes>) -> Option<String> {
    let body: Value = serde_json::from_slice(request.body()).ok()?;
    Some(body["client_order_id"].as_str()?.to_owned())
}
