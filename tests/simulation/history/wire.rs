//! The wire of a history: into the simulator in this process, with faults on the way; `mouth` judges what leaves.
//!
//! Always: a fault is counted after it had an effect. What could not happen, or changed nothing, is none.

use std::sync::Arc;

use alpaca_sim::Sim;
use alpaca_sim::exchange::order::{OrderFilter, OrderRequest, OrderType, Side, StatusFilter, TimeInForce};
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use rebalanced::edge::alpaca::transport::{Lost, Transport};
use rebalanced::edge::clock::VirtualClock;
use rebalanced::edge::store::Store;
use rebalanced::model::session::Sessions;
use rebalanced::model::time::{Moment, Span};
use rust_decimal::Decimal;
use serde_json::Value;

use super::faults::{self, Fault, Kind};
use super::notes::Shared;

/// What comes back.
pub(crate) type Answer = Result<http::Response<Bytes>, Lost>;

/// How long the real client waits for an answer.
const PATIENCE: Span = Span::from_secs(20);

/// A moment that passes with every request.
const A_MOMENT: Span = Span::from_millis(20);

/// An answer lags behind for so long.
const LAG: Span = Span::from_secs(60);

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

/// What a request is, and whose.
pub(crate) struct Way {
    pub kind: Kind,
    pub path: String,
    pub query: String,
    pub account: Option<String>,
}

impl Way {
    /// Whether it sends an order, cancels it, or asks what became of it; the rest are looks at the account and the market.
    fn is_for_orders(&self) -> bool {
        match self.kind {
            Kind::Submit | Kind::Cancel | Kind::Order => true,
            Kind::Orders => self.query.contains("status=all"),
            _ => false,
        }
    }
}

impl Transport for FaultyWire {
    fn send(&self, request: http::Request<Bytes>) -> BoxFuture<'_, Answer> {
        self.carry(request).boxed()
    }
}

impl FaultyWire {
    async fn carry(&self, request: http::Request<Bytes>) -> Answer {
        let way = Way {
            kind: Kind::of(&request),
            path: request.uri().path().to_owned(),
            query: request.uri().query().unwrap_or_default().replace("%2C", ","),
            account: self.account_of(&request),
        };
        self.pass(A_MOMENT);
        self.notes.lock().requests += 1;
        if way.is_for_orders() {
            let one = self.order_of(&way, &request);
            self.notes.lock().asked_for(one);
        }
        self.notes.lock().fresh_echo = None;
        if way.kind == Kind::Submit {
            self.judge(&request).await;
        }
        let fault = self.draw(way.kind);
        let haunted = way.account.as_ref().is_some_and(|account| self.notes.lock().ghosts.contains_key(account));
        let answer = if way.kind == Kind::Account && haunted {
            self.haunted(request).await.0
        } else {
            match fault.filter(|fault| *fault != Fault::Lag || self.may_lag(&way)) {
                Some(fault) => self.befall(fault, &way, request).await,
                None => self.honestly(&way, request).await,
            }
        };
        self.count_lag(&way, &answer);
        if fault != Some(Fault::Refusal) {
            self.count_gone(&way, &answer);
        }
        self.remember_quotes(&way, &answer);
        answer
    }

    /// The one order that a request is about, by its client id; none of a list, which is about all of a run.
    fn order_of(&self, way: &Way, request: &http::Request<Bytes>) -> Option<String> {
        match way.kind {
            Kind::Submit => client_id(request),
            Kind::Order => Some(way.query.strip_prefix("client_order_id=")?.to_owned()),
            Kind::Cancel => {
                let (account, id) = (way.account.as_deref()?, way.path.rsplit('/').next()?);
                self.sim.with_exchange(|exchange, now| {
                    Some(exchange.order(now, account, id).ok()?.client_order_id.to_string())
                })
            }
            _ => None,
        }
    }

    /// Nothing goes wrong.
    async fn honestly(&self, way: &Way, request: http::Request<Bytes>) -> Answer {
        let answer = self.call(request).await?;
        self.honest(way.kind, &way.path, way.account.as_deref());
        Ok(answer)
    }

    /// Something goes wrong; it is counted when it did.
    async fn befall(&self, fault: Fault, way: &Way, request: http::Request<Bytes>) -> Answer {
        let method = request.method().clone();
        let (answer, happened) = match fault {
            Fault::Slow => {
                let begun = self.clock.now();
                let answer = self.slowly(request).await;
                if answer.is_ok() {
                    self.honest(way.kind, &way.path, way.account.as_deref());
                }
                (answer, self.clock.now().since(begun) >= Span::from_secs(1))
            }
            Fault::Ghost => self.ghost(way, request).await,
            Fault::Planted => {
                let planted = self.plant(&request);
                (self.call(request).await, planted)
            }
            Fault::OverFill => self.overfilled(way, request).await,
            Fault::FillAfterCancel => self.filled_after_cancel(way, request).await,
            Fault::StaleQuote | Fault::WildQuote | Fault::NoQuote => self.lying_quotes(fault, request).await,
            _ => self.by_rule(fault, way, request).await,
        };
        if happened {
            self.notes.lock().inject(fault.row_at(way.kind), format_args!("{fault:?} at {method} {}", way.path));
        }
        answer
    }

    /// What the simulator's own fault script can do.
    async fn by_rule(&self, fault: Fault, way: &Way, request: http::Request<Bytes>) -> (Answer, bool) {
        let submitted = (way.kind == Kind::Submit).then(|| client_id(&request)).flatten();
        let account = &way.account;
        let rule = faults::rule(fault, way.kind, &way.path, &mut self.notes.lock());
        let Some(mut rule) = rule else { return (self.call(request).await, false) };
        let holds = account.as_ref().is_some_and(|account| self.holds_something(account));
        let lied_before = self.notes.lock().lied_calendar;
        match (fault, account) {
            (Fault::Lag, _) => {
                rule.until = (self.clock.now() + LAG).timestamp().into();
                rule.account.clone_from(account);
            }
            (Fault::EmptyWorld, Some(account)) if holds => {
                self.notes.lock().lied_worlds.insert(account.clone());
            }
            (Fault::Calendar, _) if !rule.set.is_empty() => self.notes.lock().lied_calendar = true,
            (Fault::Untradable, _) => {
                self.notes.lock().untradable.insert(asset_of(&way.path));
            }
            _ => {}
        }
        // An echo under another id is no answer about this order: it is asked for, and found as it was sent.
        if let (Fault::Echo, Some(id)) = (fault, &submitted)
            && !rule.set.contains_key("/client_order_id")
        {
            let mut notes = self.notes.lock();
            notes.must_quarantine.insert(id.clone(), "the echo of its order was another");
            notes.fresh_echo = Some(id.clone());
        }
        self.sim.add_fault(rule.clone());
        let answer = self.call(request).await;
        if fault == Fault::Lag {
            // A look at a minute ago is a look at something.
            self.notes.lock().lied_worlds.retain(|lied| Some(lied) != account.as_ref());
            self.freeze(way);
            return (answer, false); // It counts when it hides something.
        }
        self.sim.clear_faults();
        self.notes.lock().frozen.clear();
        // What lags behind shows what was there, and not that nothing is.
        let empty = answer.as_ref().is_ok_and(shows_nothing);
        if fault == Fault::EmptyWorld && !empty {
            self.notes.lock().lied_worlds.retain(|lied| Some(lied) != account.as_ref());
        }
        // An answer that is no echo, because the broker refused, is none that lies.
        if fault == Fault::Echo && answer.as_ref().map_or(true, |answer| answer.status() != 200) {
            self.notes.lock().forget_echo();
        }
        // Who is refused, as by a token that was taken back, is not lied to.
        if fault == Fault::Calendar && answer.as_ref().map_or(true, |answer| answer.status() != 200) {
            self.notes.lock().lied_calendar = lied_before;
        }
        // What was to be cut further on than it is long came whole.
        if fault == Fault::Cut && answer.as_ref().is_ok_and(is_whole) {
            self.honest(way.kind, &way.path, account.as_deref());
        }
        let happened = match fault {
            Fault::EmptyWorld => empty && (holds || way.kind == Kind::Account),
            Fault::Cut => answer.as_ref().map_or(true, |answer| !is_whole(answer)),
            Fault::TwiceFirst | Fault::TwiceLast => answer.is_ok(),
            _ if !rule.set.is_empty() => answer.as_ref().is_ok_and(|answer| shows(answer, &rule.set)),
            _ => answer.as_ref().map_or(true, |answer| !answer.status().is_success()),
        };
        (answer, happened)
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
    fn may_lag(&self, way: &Way) -> bool {
        let now = self.clock.now();
        let key = (way.path.clone(), way.account.clone().unwrap_or_default());
        let mut notes = self.notes.lock();
        let may = notes.lagging.get(&key).is_none_or(|until| *until <= now);
        if may {
            notes.lagging.insert(key, now + LAG);
        }
        may
    }

    pub(super) fn pass(&self, span: Span) {
        self.clock.set(self.clock.now() + span);
    }

    pub(super) async fn call(&self, request: http::Request<Bytes>) -> Answer {
        self.sim.set_clock(self.clock.now().timestamp());
        let answer = self.sim.call(request).await.map_err(|dropped| Lost::new(dropped.to_string()))?;
        // A body that was cut is a lost answer to a client that counts its bytes.
        let told = answer.headers().get("content-length").and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
        if told.is_some_and(|told| told > answer.body().len()) && self.notes.lock().chance(500) {
            return Err(Lost::new("the connection was closed in the middle of the answer"));
        }
        Ok(answer)
    }

    async fn slowly(&self, request: http::Request<Bytes>) -> Answer {
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

    /// What an answer would show now.
    fn truth(&self, way: &Way) -> Option<String> {
        let account = way.account.as_deref()?;
        self.sim.set_clock(self.clock.now().timestamp());
        self.sim.with_exchange(|exchange, now| match way.kind {
            Kind::Account => Some(format!("{}", exchange.account(now, account).ok()?.cash)),
            Kind::Positions => {
                let held = exchange.positions(now, account).ok()?;
                let held: Vec<_> = held.iter().map(|held| (&held.symbol, held.qty)).collect();
                Some(format!("{held:?}"))
            }
            Kind::Orders => {
                let filter = OrderFilter { status: StatusFilter::All, limit: 500, ..OrderFilter::default() };
                let orders = exchange.orders(now, account, &filter).ok()?;
                let orders: Vec<_> = orders.iter().map(|it| (&it.id, it.status.as_str(), it.filled_qty)).collect();
                Some(format!("{orders:?}"))
            }
            _ => None,
        })
    }

    fn freeze(&self, way: &Way) {
        let (Some(account), Some(truth)) = (&way.account, self.truth(way)) else { return };
        let until = self.clock.now() + LAG;
        self.notes.lock().frozen.insert((way.path.clone(), account.clone()), (until, truth));
    }

    /// An answer that lags behind counts where it hides what is there by now.
    fn count_lag(&self, way: &Way, answer: &Answer) {
        let Some(account) = way.account.as_ref().filter(|_| answer.is_ok()) else { return };
        let key = (way.path.clone(), account.clone());
        let kept = self.notes.lock().frozen.get(&key).cloned();
        let Some((_, shown)) = kept.filter(|(until, _)| *until > self.clock.now()) else { return };
        if self.truth(way).is_some_and(|truth| truth != shown) {
            self.notes.lock().inject(Fault::Lag.row(), format_args!("an answer of before at {}", way.path));
        }
    }

    /// A cancellation of what is gone already (row 29).
    fn count_gone(&self, way: &Way, answer: &Answer) {
        let calm = self.notes.lock().calm;
        if way.kind == Kind::Cancel
            && !calm
            && answer.as_ref().is_ok_and(|it| matches!(it.status().as_u16(), 404 | 422))
        {
            self.notes
                .lock()
                .inject(29, format_args!("the cancellation of an order that cannot be cancelled: {}", way.path));
        }
    }

    /// When the quote of each symbol was read, and how old it was then.
    fn remember_quotes(&self, way: &Way, answer: &Answer) {
        let Some(said) = answer.as_ref().ok().filter(|said| way.kind == Kind::Quotes && said.status() == 200) else {
            return;
        };
        let Ok(body) = serde_json::from_slice::<Value>(said.body()) else { return };
        let asked = way.query.split('&').find_map(|pair| pair.strip_prefix("symbols=")).unwrap_or_default();
        let now = self.clock.now();
        let mut notes = self.notes.lock();
        for symbol in asked.split(',') {
            let at = body["quotes"][symbol]["t"].as_str().and_then(|text| Moment::parse(text).ok());
            match at {
                Some(at) => drop(notes.quotes.insert(symbol.to_owned(), (now, at))),
                None => drop(notes.quotes.remove(symbol)),
            }
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

    pub(crate) fn account_of(&self, request: &http::Request<Bytes>) -> Option<String> {
        let token = request.headers().get("authorization")?.to_str().ok()?.strip_prefix("Bearer ")?.to_owned();
        let live = request.uri().path().starts_with("/live");
        let environment = if live { alpaca_sim::Environment::Live } else { alpaca_sim::Environment::Paper };
        self.sim.account_of_token(&token, environment).map(|account| account.to_string())
    }
}

fn shows_nothing(answer: &http::Response<Bytes>) -> bool {
    let body: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
    body.as_array().is_some_and(Vec::is_empty) || body["equity"] == "0"
}

pub(super) fn is_whole(answer: &http::Response<Bytes>) -> bool {
    let told = answer.headers().get("content-length").and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    answer.status() == 200 && told.is_none_or(|told| told <= answer.body().len())
}

/// Whether a success shows what was set in it.
fn shows(answer: &http::Response<Bytes>, set: &serde_json::Map<String, Value>) -> bool {
    let body: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
    answer.status() == 200 && set.iter().any(|(pointer, value)| body.pointer(pointer) == Some(value))
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

pub(super) fn client_id(request: &http::Request<Bytes>) -> Option<String> {
    let body: Value = serde_json::from_slice(request.body()).ok()?;
    Some(body["client_order_id"].as_str()?.to_owned())
}
