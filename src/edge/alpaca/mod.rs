//! The broker: what can be asked of Alpaca and what can be sent to it, for one account at a time.
//!
//! Always: an account's environment is a type, and chooses the host (S5); an order is sent only for the account and the
//! environment that its intent names; nothing is sent twice from here; a token stands in one header of one request and
//! nowhere else. The stream gives hints; polling makes it correct.

pub mod hosts;
pub mod transport;
mod limiter;
pub mod wire;
mod answer;
mod request;
pub mod oauth;
mod memory;
mod data;
mod history;
mod stream;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use jiff::tz::TimeZone;
use url::Url;

pub use answer::{Error, reply_to};
pub use hosts::{Hosts, Streams};
pub use oauth::{AppCredentials, Granted};
pub use request::DataKey;
pub use stream::News;
pub use wire::{SnapshotFault, closes_from_json, snapshot_from_json};

use crate::edge::clock::Clock;
use crate::edge::metrics::Metrics;
use crate::edge::points::Points;
use crate::edge::recorded::Durable;
use crate::model::books::Activity;
use crate::model::environment::{Environment, Kind};
use crate::model::ids::{AccountId, ClientOrderId, OrderId, Symbol};
use crate::model::money::Usd;
use crate::model::report::{OrderReport, Reply};
use crate::model::secret::{AccessToken, Secret};
use crate::model::session::Session;
use crate::model::snapshot::{AccountView, AssetView, Holding, OpenOrder};
use crate::model::time::{Day, Moment, Span};
use crate::model::zoo::{Bug, planted};
use hosts::below;
use limiter::{Limiter, Purse};
use memory::Memory;
use oauth::Courier;
use request::{Credential, Line, Question};
use stream::Listener;
use transport::Transport;
use wire::{Fault, OrderJson};

/// Orders in one page, Alpaca's most (facts 3.6).
const PAGE: usize = 500;

/// Activities in one page, Alpaca's most (facts 4.4).
const ROWS: usize = 100;

/// An account with more orders than fit on so many pages is not read: a run needs those of one day.
const PAGES_MAX: usize = 40;

/// The exchange's zone: its day is how long assets and calendar are remembered, and the calendar's hours are meant in it.
const EXCHANGE_ZONE: &str = "America/New_York";

/// What opens one account.
pub struct Access<E> {
    /// The account that the token was given for.
    pub account: AccountId,
    /// The token.
    pub token: AccessToken<E>,
}

impl<E: Environment> fmt::Debug for Access<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").field("account", &self.account).field("token", &self.token).finish()
    }
}

/// Alpaca; clones share it.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    hosts: Hosts,
    app: AppCredentials,
    data_key: Option<DataKey>,
    line: Arc<Line>,
    memory: Memory,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("hosts", &self.inner.hosts).finish_non_exhaustive()
    }
}

impl Client {
    /// Puts the parts together; nothing is sent.
    #[expect(clippy::too_many_arguments, reason = "one call in the wiring; each part is a type of its own")]
    pub fn new(
        hosts: Hosts,
        app: AppCredentials,
        data_key: Option<DataKey>,
        transport: Arc<dyn Transport>,
        clock: Clock,
        metrics: Metrics,
        points: Points,
    ) -> Self {
        let line = Arc::new(Line { transport, clock, metrics, points, limiter: Limiter::default() });
        Self { inner: Arc::new(Inner { hosts, app, data_key, line, memory: Memory::default() }) }
    }

    /// The account.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn account<E: Environment>(&self, access: &Access<E>) -> Result<AccountView, Error> {
        let answer = self.get(access, "account", self.trading::<E>(&["v2", "account"])).await?;
        wire::account(answer.success()?).map_err(|fault| nonsense(&fault))
    }

    /// The account that a token opens in this environment, before anything is known of it.
    ///
    /// # Errors
    /// [`Error::Unauthorized`] also when the token was not given for this environment.
    pub async fn whoami<E: Environment>(&self, token: &AccessToken<E>) -> Result<AccountView, Error> {
        let question = Question::get("account", self.trading::<E>(&["v2", "account"]));
        let answer = self.inner.line.ask(question, &Credential::token(token.expose()), &Purse::None).await?;
        wire::account(answer.success()?).map_err(|fault| nonsense(&fault))
    }

    /// All positions, and what the broker says they are worth together, if it says so of each.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn positions<E: Environment>(
        &self,
        access: &Access<E>,
    ) -> Result<(BTreeMap<Symbol, Holding>, Option<Usd>), Error> {
        let answer = self.get(access, "positions", self.trading::<E>(&["v2", "positions"])).await?;
        wire::positions(answer.success()?).map_err(|fault| nonsense(&fault))
    }

    /// What moved the account's cash and shares after a moment, oldest first (facts 4.4).
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn activities<E: Environment>(&self, access: &Access<E>, after: Moment) -> Result<Vec<Activity>, Error> {
        let mut all: Vec<Activity> = Vec::new();
        for _ in 0..PAGES_MAX {
            let mut url = self.trading::<E>(&["v2", "account", "activities"]);
            url.query_pairs_mut()
                .append_pair("after", &after.to_string())
                .append_pair("direction", "asc")
                .append_pair("page_size", &ROWS.to_string())
                .extend_pairs(all.last().map(|row| ("page_token", row.id.clone())));
            let answer = self.get(access, "activities", url).await?;
            let page = wire::activities(answer.success()?).map_err(|fault| nonsense(&fault))?;
            let is_last = page.len() < ROWS;
            all.extend(page);
            if is_last {
                return Ok(all);
            }
        }
        Err(Error::Nonsense { why: format!("more than {} activities", ROWS * PAGES_MAX) })
    }

    /// All orders that may still trade, ours and the user's own.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn open_orders<E: Environment>(&self, access: &Access<E>) -> Result<Vec<OpenOrder>, Error> {
        let mut open = Vec::new();
        for order in self.orders(access, ("orders_open", "open"), None).await? {
            open.extend(order.open().map_err(|fault| nonsense(&fault))?);
        }
        Ok(open)
    }

    /// All orders submitted after a moment, oldest first, whatever became of them.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn orders_since<E: Environment>(
        &self,
        access: &Access<E>,
        after: Moment,
    ) -> Result<Vec<OrderReport>, Error> {
        let mut reports = Vec::new();
        for order in self.orders(access, ("orders_since", "all"), Some(after)).await? {
            match order.report() {
                Ok(report) => reports.push(report),
                Err(fault) if order.is_ours() => return Err(nonsense(&fault)),
                // The user's own orders may be of kinds that we do not know.
                Err(_) => {}
            }
        }
        Ok(reports)
    }

    /// The order that was sent under this id; `None` if the broker says that there is none.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn order_by_client_id<E: Environment>(
        &self,
        access: &Access<E>,
        id: &ClientOrderId,
    ) -> Result<Option<OrderReport>, Error> {
        let mut url = self.trading::<E>(&["v2", "orders:by_client_order_id"]);
        url.query_pairs_mut().append_pair("client_order_id", id.as_str());
        let answer = self.get(access, "order_by_client_id", url).await?;
        let Some(body) = answer.found()? else { return Ok(None) };
        let report = wire::order(body).map_err(|fault| nonsense(&fault))?;
        if report.client_order_id != *id {
            return Err(Error::Nonsense { why: format!("asked for order {id}, answered {}", report.client_order_id) });
        }
        Ok(Some(report))
    }

    /// What may be done with an asset; `None` if the broker does not know it. Remembered for the exchange's day.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn asset<E: Environment>(&self, access: &Access<E>, symbol: &Symbol) -> Result<Option<AssetView>, Error> {
        let today = self.inner.line.clock.now().day_in(&exchange_zone()?);
        if let Some(asset) = self.inner.memory.asset(E::KIND, symbol, today) {
            return Ok(Some(asset));
        }
        let answer = self.get(access, "asset", self.trading::<E>(&["v2", "assets", symbol.as_str()])).await?;
        let Some(body) = answer.found()? else { return Ok(None) };
        let asset = wire::asset(body).map_err(|fault| nonsense(&fault))?;
        self.inner.memory.keep_asset(E::KIND, symbol, today, asset);
        Ok(Some(asset))
    }

    /// The exchange's sessions of `first..=last`, as the broker knows them. Remembered for the exchange's day.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn sessions<E: Environment>(
        &self,
        access: &Access<E>,
        first: Day,
        last: Day,
    ) -> Result<Vec<Session>, Error> {
        let zone = exchange_zone()?;
        let today = self.inner.line.clock.now().day_in(&zone);
        let key = (E::KIND, first, last);
        if let Some(sessions) = self.inner.memory.calendar(key, today) {
            return Ok(sessions);
        }
        let mut url = self.trading::<E>(&["v2", "calendar"]);
        url.query_pairs_mut().append_pair("start", &first.to_string()).append_pair("end", &last.to_string());
        let answer = self.get(access, "calendar", url).await?;
        let sessions = wire::calendar(answer.success()?, &zone).map_err(|fault| nonsense(&fault))?;
        self.inner.memory.keep_calendar(key, today, &sessions);
        Ok(sessions)
    }

    /// Forgets what the broker said of its calendar: the next question for it is asked anew.
    pub fn forget_calendar(&self) {
        self.inner.memory.forget_calendar();
    }

    /// Sends one order, once.
    pub async fn submit<E: Environment>(&self, access: &Access<E>, durable: &Durable<E>) -> Reply {
        let intent = durable.intent();
        if intent.environment != E::KIND || intent.account != access.account {
            // S5: the row, the token and the host must agree; this is ours to refuse, and nothing was sent.
            let message = format!(
                "order for {} account {} was not sent: the access is for another",
                intent.environment, intent.account
            );
            return Reply::Refused { status: 0, code: None, message };
        }
        let line = &self.inner.line;
        let purse = purse_of(access);
        // Not waited for here: whoever waits must look at the halts again before the order leaves (S8).
        if let Err(until) = line.limiter.try_admit(&purse, line.clock.now()) {
            return Reply::Throttled { until: Some(until) };
        }
        let mut url = self.trading::<E>(&["v2", "orders"]);
        if planted(Bug::LiveOnPaperHost) {
            url = below(&self.inner.hosts.paper, &["v2", "orders"]);
        }
        let question = Question::post("submit", url, wire::new_order(intent));
        match line.send(question, &Credential::token(access.token.expose()), &purse).await {
            Ok(answer) => answer.reply(intent),
            Err(why) => Reply::Unknown { why },
        }
    }

    /// Asks for an order to be cancelled; whether it was is seen by looking it up.
    ///
    /// # Errors
    /// [`Error::Refused`] also when it has ended already.
    pub async fn cancel<E: Environment>(&self, access: &Access<E>, order: &OrderId) -> Result<(), Error> {
        let question = Question::delete("cancel", self.trading::<E>(&["v2", "orders", order.as_str()]));
        let credential = Credential::token(access.token.expose());
        let answer = self.inner.line.ask(question, &credential, &purse_of(access)).await?;
        answer.success().map(|_| ())
    }

    /// News of the account's orders, for somebody who waits for so many; there are none where no stream is configured.
    pub fn news<E: Environment>(&self, access: &Access<E>, orders: usize) -> News {
        let listener = self.inner.hosts.stream::<E>().map(|url| Listener {
            line: Arc::clone(&self.inner.line),
            purse: purse_of(access),
            url,
            token: Secret::new(access.token.expose().to_owned()),
        });
        News::of(listener, orders)
    }

    /// The consent page for one user; without an environment the page asks.
    pub fn authorize_url(&self, state: &Secret, environment: Option<Kind>, verifier: &Secret) -> Url {
        oauth::authorize_url(&self.inner.hosts.authorize, &self.inner.app, (state, verifier), environment)
    }

    /// Exchanges a code for a token. The verifier is the one that the consent page was asked with; it counts where PKCE is
    /// switched on.
    ///
    /// # Errors
    /// [`Error::Refused`] for a code or an app that the broker does not accept.
    pub async fn exchange_code(&self, code: &Secret, verifier: &Secret) -> Result<Granted, Error> {
        let Inner { hosts, app, line, .. } = &*self.inner;
        oauth::exchange((app, &hosts.token), (code, verifier), &Courier(Arc::clone(line))).await
    }

    fn trading<E: Environment>(&self, segments: &[&str]) -> Url {
        below(self.inner.hosts.trading::<E>(), segments)
    }

    async fn get<E: Environment>(
        &self,
        access: &Access<E>,
        endpoint: &'static str,
        url: Url,
    ) -> Result<answer::Answer, Error> {
        let credential = Credential::token(access.token.expose());
        self.inner.line.ask(Question::get(endpoint, url), &credential, &purse_of(access)).await
    }

    /// All orders of a kind, page by page, oldest first. A page begins a microsecond before the last order of the page
    /// before it, because `after` is exclusive and several orders may have one time; what comes twice is dropped.
    async fn orders<E: Environment>(
        &self,
        access: &Access<E>,
        (endpoint, status): (&'static str, &str),
        mut after: Option<Moment>,
    ) -> Result<Vec<OrderJson>, Error> {
        let mut all: Vec<OrderJson> = Vec::new();
        let mut seen = BTreeSet::new();
        for _ in 0..PAGES_MAX {
            let mut url = self.trading::<E>(&["v2", "orders"]);
            url.query_pairs_mut()
                .append_pair("status", status)
                .append_pair("direction", "asc")
                .append_pair("limit", &PAGE.to_string())
                .extend_pairs(after.map(|moment| ("after", moment.to_string())));
            let answer = self.get(access, endpoint, url).await?;
            let page = wire::orders(answer.success()?, status == "all").map_err(|fault| nonsense(&fault))?;
            let newest = page.orders.last().and_then(OrderJson::submitted_at);
            let before = all.len();
            let is_last = page.rows < PAGE;
            all.extend(page.orders.into_iter().filter(|order| seen.insert(order.id().to_owned())));
            if is_last {
                return Ok(all);
            }
            match newest {
                Some(newest) if all.len() > before => after = Some(newest - Span::from_micros(1)),
                // A whole page of one moment that brings nothing new: the pages do not move on.
                _ => return Err(Error::Nonsense { why: "the pages of orders do not move on".to_owned() }),
            }
        }
        Err(Error::Nonsense { why: format!("more than {} orders", PAGE * PAGES_MAX) })
    }
}

fn purse_of<E: Environment>(access: &Access<E>) -> Purse {
    Purse::Account(format!("{}/{}", E::KIND, access.account))
}

fn nonsense(fault: &Fault) -> Error {
    Error::Nonsense { why: fault.to_string() }
}

fn exchange_zone() -> Result<TimeZone, Error> {
    TimeZone::get(EXCHANGE_ZONE).map_err(|_| Error::Nonsense { why: format!("{EXCHANGE_ZONE} is unknown here") })
}
