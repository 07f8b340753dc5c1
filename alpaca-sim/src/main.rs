//! Alpaca in a box, as a program: one listener, some people with accounts, and one registered app.
//!
//! Always: nothing is printed before the listener accepts; the first line on standard output is one JSON object that
//! says where everything is. Everything else can be changed while it runs, under `/sim/`.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use alpaca_sim::exchange::account::NewAccount;
use alpaca_sim::{ApiKey, ConsentMode, ConsentRule, Environment, OAuthApp, PriceSource, Sim, SimConfig};
use anyhow::Context as _;
use clap::Parser;
use jiff::Timestamp;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// Alpaca in a box: OAuth, trading and data interfaces on loopback, with a scriptable clock and faults.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8420")]
    listen: SocketAddr,
    /// CSV file of daily closes (a Date column and one column per ticker), on top of the built-in ones.
    #[arg(long, value_name = "FILE")]
    prices: Option<PathBuf>,
    /// People to start with, each with a paper account.
    #[arg(long, default_value_t = 1, value_name = "N")]
    accounts: u32,
    /// Each of them gets a live account as well.
    #[arg(long)]
    live: bool,
    /// Cash of each account.
    #[arg(long, default_value = "100000", value_name = "DOLLARS")]
    cash: Decimal,
    /// Prices, luck, ids and secrets follow from it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where the clock starts.
    #[arg(long, default_value = "2019-06-03T14:00:00Z", value_name = "RFC3339")]
    clock: Timestamp,
    /// How fast it runs; 0 stands still.
    #[arg(long, default_value_t = 1.0)]
    speed: f64,
    /// Requests a minute and account on the trading hosts; 0 is no limit.
    #[arg(long, default_value_t = 200, value_name = "N")]
    requests_per_minute: u32,
    /// Share of fills that are partial.
    #[arg(long, default_value_t = 10, value_name = "PERCENT")]
    partial_fills: u8,
    /// Key id of the service's market data key.
    #[arg(long, default_value = "SIMDATAKEY")]
    data_key: String,
    /// Its secret.
    #[arg(long, default_value = "sim-data-secret")]
    data_secret: String,
    /// Its plan's requests a minute; 0 is no limit.
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    data_requests_per_minute: u32,
    /// Client id of the registered app.
    #[arg(long, default_value = "sim-client")]
    client_id: String,
    /// Its secret.
    #[arg(long, default_value = "sim-client-secret")]
    client_secret: String,
    /// Its redirect addresses; may be given more than once.
    #[arg(long, default_value = "http://127.0.0.1:8080/oauth/callback")]
    redirect_uri: Vec<String>,
    /// The app is approved for live orders of other people.
    #[arg(long)]
    live_approved: bool,
    /// Consent requests are agreed to at once, by the next person without a grant.
    #[arg(long)]
    auto_consent: bool,
}

impl Arguments {
    fn config(&self) -> SimConfig {
        SimConfig {
            seed: self.seed,
            start: self.clock,
            speed: self.speed,
            partial_fill_percent: self.partial_fills,
            prices: self.prices.clone().map_or(PriceSource::Builtin, PriceSource::File),
            apps: vec![OAuthApp {
                client_id: self.client_id.clone(),
                client_secret: self.client_secret.clone(),
                redirect_uris: self.redirect_uri.clone(),
                live_trading_approved: self.live_approved,
                developer_account_ids: Vec::new(),
                name: self.client_id.clone(),
            }],
            data_keys: vec![ApiKey {
                key_id: self.data_key.clone(),
                secret: self.data_secret.clone(),
                requests_per_minute: self.data_requests_per_minute,
            }],
            requests_per_minute: self.requests_per_minute,
            ..SimConfig::default()
        }
    }

    /// The people and accounts to start with.
    fn populate(&self, sim: &Sim) -> anyhow::Result<()> {
        for _ in 0..self.accounts {
            let person = sim.create_person(None, "")?;
            let live = self.live.then_some(Environment::Live);
            for environment in live.into_iter().chain([Environment::Paper]) {
                sim.create_account(NewAccount { cash: self.cash, ..NewAccount::new(person.as_str(), environment) })?;
            }
        }
        if self.auto_consent {
            sim.set_consent(ConsentRule { mode: ConsentMode::Auto, ..ConsentRule::default() });
        }
        Ok(())
    }

    /// What a newcomer needs to know, in one line.
    fn greeting(&self, sim: &Sim, address: SocketAddr) -> Value {
        let base = format!("http://{address}");
        let stream = format!("ws://{address}");
        let people: Vec<Value> = sim.people().iter().map(|person| keys(sim, person)).collect();
        json!({
            "listening": base,
            "live": format!("{base}/live"),
            "paper": format!("{base}/paper"),
            "data": format!("{base}/data"),
            "authorize": format!("{base}/app/oauth/authorize"),
            "token": format!("{base}/live/oauth/token"),
            "live_stream": format!("{stream}/live/stream"),
            "paper_stream": format!("{stream}/paper/stream"),
            "control": format!("{base}/sim/"),
            "client_id": self.client_id,
            "data_key": self.data_key,
            "people": people,
        })
    }
}

fn keys(sim: &Sim, person: &alpaca_sim::Person) -> Value {
    let pair = |account: &std::sync::Arc<str>| json!({"account": account, "key": sim.key_pair(account)});
    json!({
        "id": person.id,
        "live": person.live.as_ref().map(pair),
        "paper": person.paper.iter().map(pair).collect::<Vec<_>>(),
    })
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let arguments = Arguments::parse();
    let sim = Sim::new(arguments.config())?;
    arguments.populate(&sim)?;
    let listener = tokio::net::TcpListener::bind(arguments.listen)
        .await
        .with_context(|| format!("cannot listen on {}", arguments.listen))?;
    let greeting = arguments.greeting(&sim, listener.local_addr()?);
    writeln!(std::io::stdout(), "{greeting}")?;
    let stop = CancellationToken::new();
    tokio::spawn(stop_on_signal(stop.clone()));
    sim.serve(listener, stop).await.context("the listener failed")
}

async fn stop_on_signal(stop: CancellationToken) {
    let mut terminate = match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(terminate) => terminate,
        Err(error) => return tracing::error!(%error, "cannot listen for signals"),
    };
    tokio::select! {
        biased;
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    stop.cancel();
}
