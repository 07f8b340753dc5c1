//! The configuration: layers in, [`Settings`] out, or every fault at once.
//!
//! This is the only place that looks at the process's environment. Values are parsed into the types they stand for, so
//! nobody checks them again. Safety values default to the strictest. Secrets never come from a configuration's text, only
//! from files, and are never shown.

pub mod keys;
pub mod layers;
mod limits;
pub mod reader;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use url::Url;

use crate::app::settings::layers::{Fault, Sources};
use crate::app::settings::reader::{Reader, Shown, is_loopback};
use crate::edge::points::Point;
use crate::model::ids::AccountId;
use crate::model::mandate::ServicePolicy;
use crate::model::secret::Secret;
use crate::model::time::Span;

/// Everything wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, fault) in self.0.iter().enumerate() {
            if place > 0 {
                writeln!(f)?;
            }
            write!(f, "{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

/// The addresses of Alpaca's hosts.
#[derive(Debug, Clone)]
pub struct Addresses {
    /// The consent page.
    pub authorize: Url,
    /// Code to token.
    pub token: Url,
    /// Live trading.
    pub live: Url,
    /// Paper trading.
    pub paper: Url,
    /// Market data.
    pub data: Url,
    /// Live trade updates.
    pub live_stream: Url,
    /// Paper trade updates.
    pub paper_stream: Url,
    /// Whether they are listened to.
    pub trade_updates: bool,
}

/// The app's registration with Alpaca.
#[derive(Debug)]
pub struct App {
    /// Its id.
    pub client_id: String,
    /// Its secret.
    pub client_secret: Secret,
    /// Where the browser comes back to: the very text that is registered with Alpaca, which compares it letter for letter.
    pub redirect_uri: String,
    /// Whether a proof of possession goes with the code.
    pub pkce: bool,
}

/// The service's own key for market data.
#[derive(Debug)]
pub struct DataKey {
    /// Its id.
    pub id: String,
    /// Its secret.
    pub secret: Secret,
}

/// The `runs` section.
#[derive(Debug, Clone, Copy)]
pub struct Runs {
    /// Most runs under way at once.
    pub max_in_flight: usize,
    /// How long a silent worker keeps its run.
    pub lease: Span,
    /// How long one half of a run waits for its orders.
    pub order_wait: Span,
    /// How long a stop waits for runs under way.
    pub stop_wait: Span,
}

/// The format of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines, one object per line.
    Json,
}

/// The `log` section.
#[derive(Debug, Clone)]
pub struct Log {
    /// The format.
    pub format: LogFormat,
    /// The filter.
    pub level: String,
}

/// The configuration, parsed. What a command may do without is an `Option`.
#[derive(Debug)]
pub struct Settings {
    /// `sqlite:PATH` or `postgres://...`; it may hold a password.
    pub database: Option<Secret>,
    /// Alpaca's hosts.
    pub alpaca: Addresses,
    /// The app's registration.
    pub app: Option<App>,
    /// The service's own data key.
    pub data_key: Option<DataKey>,
    /// What the service allows at all.
    pub policy: ServicePolicy,
    /// The file of the key that seals tokens.
    pub vault_key: Option<PathBuf>,
    /// The file of the key before it, for the time of a rotation.
    pub previous_vault_key: Option<PathBuf>,
    /// While this file exists, nothing is sent.
    pub halt_file: Option<PathBuf>,
    /// The key that signs the audit's end.
    pub audit_key: Option<Secret>,
    /// Where signed checkpoints of the audit go.
    pub checkpoint_file: Option<PathBuf>,
    /// Where browsers arrive.
    pub public_listen: SocketAddr,
    /// Where operators arrive.
    pub operator_listen: SocketAddr,
    /// Most connections that may be started a minute: all together, and from one address.
    pub connects: (u32, u32),
    /// What the operator adds to the text that users agree to.
    pub consent_note: String,
    /// What operators must show.
    pub operator_token: Option<Secret>,
    /// What messages to `/hooks/trigger` are signed with.
    pub hook_secret: Option<Secret>,
    /// Most such messages a minute.
    pub hooks_per_minute: u32,
    /// The folder of strategy files.
    pub strategies: PathBuf,
    /// Where time comes from, if not from the system.
    pub clock: Option<Url>,
    /// Where a test has the daemon killed: a point, and which crossing of it.
    pub kill_at: Option<(Point, u32)>,
    /// The `runs` section.
    pub runs: Runs,
    /// The `log` section.
    pub log: Log,
    /// Every key as it may be shown.
    pub shown: BTreeMap<&'static str, Shown>,
    /// What `run` needs and is not there.
    pub missing: Vec<Fault>,
}

impl Settings {
    /// What is allowed and unwise.
    pub fn warnings(&self) -> Vec<String> {
        let is_signed = self.audit_key.is_some() && self.checkpoint_file.is_some();
        let unsigned = "live trading is on and no checkpoint of the audit is signed: whoever can write the database could cut or \
                        rewrite what was recorded, and nothing would show it; set `audit.key_file` and `audit.checkpoint_file`";
        (self.policy.live_trading && !is_signed).then(|| unsigned.to_owned()).into_iter().collect()
    }

    /// Reads the layers.
    ///
    /// # Errors
    /// Every fault found, not only the first.
    pub fn load(sources: &Sources) -> Result<Self, Faults> {
        let (merged, faults) = layers::merge(sources);
        let mut reader = Reader::new(&merged, sources, faults);
        let addresses = addresses(&mut reader);
        let settings = Self {
            database: database(&mut reader),
            app: registration(&mut reader),
            data_key: data_key(&mut reader),
            policy: policy(&mut reader),
            vault_key: reader.secret_file("vault.key_file"),
            previous_vault_key: reader.secret_file("vault.previous_key_file"),
            halt_file: file(&mut reader, "runs.halt_file"),
            audit_key: reader.secret("audit.key_file"),
            checkpoint_file: file(&mut reader, "audit.checkpoint_file"),
            public_listen: reader.listen("web.public_listen"),
            operator_listen: reader.listen("web.operator_listen"),
            connects: (
                reader.whole("web.connects_per_minute", (1, 1_000_000)),
                reader.whole("web.connects_per_minute_and_address", (1, 1_000_000)),
            ),
            consent_note: reader.text("web.consent_note").unwrap_or_default(),
            operator_token: long_secret(&mut reader, "web.operator_token_file", "operator token", 16),
            hook_secret: long_secret(&mut reader, "web.hook_secret_file", "secret of the hooks", 32),
            hooks_per_minute: reader.whole("web.hooks_per_minute", (1, 100_000)),
            strategies: reader.path("strategies.dir").unwrap_or_default(),
            clock: clock(&mut reader, addresses.as_ref()),
            kill_at: kill_at(&mut reader, addresses.as_ref()),
            runs: runs(&mut reader),
            log: log(&mut reader),
            alpaca: match addresses {
                Some(addresses) => addresses,
                None => return Err(Faults(reader.faults)),
            },
            shown: BTreeMap::new(),
            missing: Vec::new(),
        };
        if reader.faults.is_empty() {
            let missing = missing(&reader.shown);
            Ok(Self { shown: reader.shown, missing, ..settings })
        } else {
            Err(Faults(reader.faults))
        }
    }
}

/// What `run` cannot do without, and is not there.
fn missing(shown: &BTreeMap<&'static str, Shown>) -> Vec<Fault> {
    const REGISTER: &str = "register an app at https://app.alpaca.markets/connect";
    let is_there = |key: &str| shown.get(key).is_some_and(|shown| shown.value != "missing");
    let needed: [(&[&str], &str); 5] = [
        (
            &["database.url", "database.url_file"],
            "name a database such as sqlite:/var/lib/rebalanced/rebalanced.sqlite",
        ),
        (&["alpaca.client_id"], REGISTER),
        (&["alpaca.client_secret_file"], REGISTER),
        (&["alpaca.redirect_uri"], REGISTER),
        (&["vault.key_file"], "make one with `rebalanced keys new --file PATH`"),
    ];
    needed
        .into_iter()
        .filter(|(keys, _)| !keys.iter().any(|key| is_there(key)))
        .map(|(keys, mend)| {
            let what = format!("`{}` is missing", keys.first().copied().unwrap_or_default());
            Fault { origin: None, what, mend: mend.to_owned() }
        })
        .collect()
}

fn database(reader: &mut Reader<'_>) -> Option<Secret> {
    const MEND: &str = "write sqlite:PATH or postgres://user@host/name";
    let from_file = reader.secret("database.url_file");
    let Some(text) = reader.unshown("database.url") else {
        reader.show("database.url", "missing");
        return from_file;
    };
    if from_file.is_some() {
        reader.fault("database.url", "`database.url` and `database.url_file` are both set", "keep one of them");
    }
    if let Some(path) = text.strip_prefix("sqlite:").filter(|path| !path.is_empty()) {
        let path = path.strip_prefix("//").unwrap_or(path);
        let path = reader.resolved("database.url", Path::new(path));
        let url = format!("sqlite:{}", path.display());
        reader.show("database.url", &url);
        return Some(Secret::new(url));
    }
    match Url::parse(&text) {
        Ok(mut url) if matches!(url.scheme(), "postgres" | "postgresql") => {
            if url.password().is_some() {
                reader.guard_password("database.url");
            }
            reader.no_foreign_passwords("database.url");
            if url.password().is_some() && url.set_password(Some("***")).is_err() {
                url.set_path("***");
            }
            reader.show("database.url", url.as_str());
            Some(Secret::new(text))
        }
        _ => {
            // The text is not repeated: it may hold a password.
            reader.fault("database.url", "`database.url` is no database address", MEND);
            None
        }
    }
}

fn addresses(reader: &mut Reader<'_>) -> Option<Addresses> {
    let http = ("https", "http");
    let socket = ("wss", "ws");
    let authorize = reader.url("alpaca.authorize_url", http);
    let token = reader.url("alpaca.token_url", http);
    let live = reader.url("alpaca.live_url", http);
    let paper = reader.url("alpaca.paper_url", http);
    let data = reader.url("alpaca.data_url", http);
    let live_stream = reader.url("alpaca.live_stream_url", socket);
    let paper_stream = reader.url("alpaca.paper_stream_url", socket);
    apart(reader, ("alpaca.live_url", live.as_ref()), ("alpaca.paper_url", paper.as_ref()));
    apart(reader, ("alpaca.live_stream_url", live_stream.as_ref()), ("alpaca.paper_stream_url", paper_stream.as_ref()));
    Some(Addresses {
        authorize: authorize?,
        token: token?,
        live: live?,
        paper: paper?,
        data: data?,
        live_stream: live_stream?,
        paper_stream: paper_stream?,
        trade_updates: reader.flag("alpaca.trade_updates"),
    })
}

/// Alpaca's own hosts: `(live, paper)`.
const HOSTS: (&str, &str) = ("api.alpaca.markets", "paper-api.alpaca.markets");

/// The live and the paper side must be two places, and Alpaca's own hosts must be on their own side: a live account that
/// passed for a paper one would trade without any approval (S5).
fn apart(reader: &mut Reader<'_>, (live_key, live): (&str, Option<&Url>), (paper_key, paper): (&str, Option<&Url>)) {
    let place = |url: &Url| {
        let path = url.path().trim_end_matches('/').to_owned();
        (url.host_str().map(str::to_ascii_lowercase), url.port_or_known_default(), path)
    };
    let is_at = |url: Option<&Url>, host: &str| {
        url.and_then(Url::host_str).is_some_and(|name| name.trim_end_matches('.').eq_ignore_ascii_case(host))
    };
    if live.map(place).is_some_and(|live| paper.map(place) == Some(live)) {
        let what = format!("`{paper_key}` is the same place as `{live_key}`");
        reader.fault(paper_key, what, "give paper trading a place of its own");
    }
    if is_at(paper, HOSTS.0) {
        reader.fault(paper_key, format!("`{paper_key}` is Alpaca's live host"), format!("use {}", HOSTS.1));
    }
    if is_at(live, HOSTS.1) {
        reader.fault(live_key, format!("`{live_key}` is Alpaca's paper host"), format!("use {}", HOSTS.0));
    }
}

impl Addresses {
    /// Every address with its key.
    pub fn all(&self) -> [(&'static str, &Url); 7] {
        [
            ("alpaca.authorize_url", &self.authorize),
            ("alpaca.token_url", &self.token),
            ("alpaca.live_url", &self.live),
            ("alpaca.paper_url", &self.paper),
            ("alpaca.data_url", &self.data),
            ("alpaca.live_stream_url", &self.live_stream),
            ("alpaca.paper_stream_url", &self.paper_stream),
        ]
    }
}

fn registration(reader: &mut Reader<'_>) -> Option<App> {
    let client_id = reader.text("alpaca.client_id");
    let client_secret = reader.secret("alpaca.client_secret_file");
    let pkce = reader.flag("alpaca.pkce");
    reader.url("alpaca.redirect_uri", ("https", "http"))?;
    let redirect_uri = reader.unshown("alpaca.redirect_uri");
    Some(App { client_id: client_id?, client_secret: client_secret?, redirect_uri: redirect_uri?, pkce })
}

fn data_key(reader: &mut Reader<'_>) -> Option<DataKey> {
    let id = reader.text("alpaca.data_key_id");
    let secret = reader.secret("alpaca.data_secret_file");
    match (&id, &secret) {
        (Some(_), None) => {
            reader.fault("alpaca.data_key_id", "the data key has no secret", "set `alpaca.data_secret_file`");
        }
        (None, Some(_)) => {
            reader.fault("alpaca.data_secret_file", "the data key has no id", "set `alpaca.data_key_id`");
        }
        _ => {}
    }
    Some(DataKey { id: id?, secret: secret? })
}

fn policy(reader: &mut Reader<'_>) -> ServicePolicy {
    let mut developer_accounts = Vec::new();
    for text in reader.list("alpaca.developer_account_ids") {
        match AccountId::parse(&text) {
            Ok(id) => developer_accounts.push(id),
            Err(error) => {
                reader.fault("alpaca.developer_account_ids", error.to_string(), "give the broker's account ids");
            }
        }
    }
    ServicePolicy {
        live_trading: reader.flag("alpaca.live_trading"),
        app_approved: reader.flag("alpaca.live_trading_approved"),
        developer_accounts,
        max_trading_runs_per_day: Some(reader.whole("limits.max_trading_runs_per_day", (0, 1000))),
        max_quote_age_seconds: reader.whole("limits.max_quote_age_seconds", (1, 3600)),
        operators_required: reader.whole("approvals.operators_required", (1, 2)),
        limits: limits::limits(reader),
        // The strategies are not read yet.
        consent_texts: BTreeMap::new(),
    }
}

/// A secret that is long enough not to be guessed.
fn long_secret(reader: &mut Reader<'_>, key: &'static str, name: &str, least: usize) -> Option<Secret> {
    let secret = reader.secret(key)?;
    if secret.expose().len() < least {
        reader.fault(key, format!("the {name} is shorter than {least} characters"), "make a longer one");
        return None;
    }
    Some(secret)
}

/// A clock that is not the system's is for tests: with a real broker it would trade at wrong hours.
fn clock(reader: &mut Reader<'_>, addresses: Option<&Addresses>) -> Option<Url> {
    let text = reader.text("clock.url")?;
    let Ok(url) = Url::parse(&text) else {
        reader.fault(
            "clock.url",
            format!("`clock.url` is `{text}`"),
            "it must be an address such as http://127.0.0.1:9000/sim/clock",
        );
        return None;
    };
    only_on_loopback(reader, "clock.url", addresses);
    Some(url)
}

/// A daemon that is to be killed at a point is a test's; beside a real broker nobody wants that.
fn kill_at(reader: &mut Reader<'_>, addresses: Option<&Addresses>) -> Option<(Point, u32)> {
    let text = reader.text("tests.kill_at")?;
    let (name, nth) = text.split_once(':').unwrap_or((&text, "1"));
    let (Some(point), Some(nth)) = (Point::named(name), nth.parse().ok().filter(|nth| *nth > 0)) else {
        reader.fault(
            "tests.kill_at",
            format!("`tests.kill_at` is `{text}`"),
            "it must be POINT or POINT:N, the N-th time from 1; `rebalanced points` lists the points",
        );
        return None;
    };
    only_on_loopback(reader, "tests.kill_at", addresses);
    Some((point, nth))
}

/// Refuses a key that is for tests beside any broker that is not on this machine.
fn only_on_loopback(reader: &mut Reader<'_>, test_key: &'static str, addresses: Option<&Addresses>) {
    for (key, address) in addresses.iter().flat_map(|addresses| addresses.all()) {
        if !is_loopback(address) {
            let what = format!("`{test_key}` is refused: `{key}` is {address}, which is not on this machine");
            reader.fault(test_key, what, format!("remove `{test_key}`; it is only for tests and the demo"));
        }
    }
}

fn file(reader: &mut Reader<'_>, key: &'static str) -> Option<PathBuf> {
    let text = reader.text(key)?;
    Some(reader.resolved(key, Path::new(&text)))
}

fn runs(reader: &mut Reader<'_>) -> Runs {
    let seconds = |number: u32| Span::from_secs(i64::from(number));
    Runs {
        max_in_flight: usize::try_from(reader.whole("runs.max_in_flight", (1, 10_000))).unwrap_or(1),
        lease: seconds(reader.whole("runs.lease_seconds", (5, 3600))),
        order_wait: seconds(reader.whole("runs.order_wait_seconds", (1, 3600))),
        stop_wait: seconds(reader.whole("runs.stop_wait_seconds", (0, 3600))),
    }
}

fn log(reader: &mut Reader<'_>) -> Log {
    let format = match reader.text("log.format").as_deref() {
        Some("text") | None => LogFormat::Text,
        Some("json") => LogFormat::Json,
        Some(other) => {
            reader.fault("log.format", format!("`log.format` is `{other}`"), "it must be text or json");
            LogFormat::Text
        }
    };
    let level = reader.text("log.level").unwrap_or_else(|| "info".to_owned());
    if let Err(error) = level.parse::<tracing_subscriber::EnvFilter>() {
        reader.fault(
            "log.level",
            format!("`log.level` is `{level}`: {error}"),
            "it must be a level such as info, or a filter",
        );
    }
    Log { format, level }
}
