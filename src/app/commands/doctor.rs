//! `doctor`: try everything that the daemon needs, and say of each thing whether it is well.
//!
//! It sends no token: an answer of any kind shows that a host can be reached.

use anyhow::anyhow;
use bytes::Bytes;
use serde_json::{Value, json};
use url::Url;

use crate::app::commands::Context;
use crate::app::failure::Failure;
use crate::app::settings::Settings;
use crate::app::{shown, wire};
use crate::edge::alpaca::transport::{Transport, Wire};
use crate::edge::clock::Clock;
use crate::model::time::Moment;

/// A clock that differs from the broker's by more than this trades at wrong moments and misjudges the age of prices.
const SKEW_SECONDS_MAX: i64 = 5;

/// One thing that was tried.
struct Finding {
    what: String,
    state: State,
    detail: String,
}

/// How a thing is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Well,
    /// The daemon runs all the same, and a promise is not kept.
    Unwise,
    Sick,
}

impl State {
    const fn word(self) -> &'static str {
        match self {
            Self::Well => "well",
            Self::Unwise => "unwise",
            Self::Sick => "not well",
        }
    }
}

impl Finding {
    fn of(what: impl Into<String>, result: Result<String, String>) -> Self {
        let (state, detail) = match result {
            Ok(detail) => (State::Well, detail),
            Err(detail) => (State::Sick, detail),
        };
        Self { what: what.into(), state, detail }
    }
}

/// Tries everything and prints what is well and what is not.
///
/// # Errors
/// When the configuration has faults, or something is not well.
pub async fn obey(context: &Context) -> Result<(), Failure> {
    let settings = context.settings()?;
    let mut findings = vec![configuration(&settings), strategies(&settings), key(&settings)];
    let (database, clock) = database(&settings).await;
    findings.push(database);
    let unwise = |detail| Finding { what: "audit".to_owned(), state: State::Unwise, detail };
    findings.extend(settings.warnings().into_iter().map(unwise));
    findings.extend(hosts(&settings, clock.as_ref()).await);
    let sick = findings.iter().filter(|finding| finding.state == State::Sick).count();
    let rows: Vec<Value> = findings
        .iter()
        .map(|finding| json!({ "what": finding.what, "state": finding.state.word(), "detail": finding.detail }))
        .collect();
    context.print(&json!({ "well": sick == 0, "findings": rows }), |_| {
        shown::table(&rows, &["what", "state", "detail"])
    })?;
    if sick == 0 { Ok(()) } else { Err(Failure::Other(anyhow!("{sick} things are not well"))) }
}

fn configuration(settings: &Settings) -> Finding {
    let missing: Vec<String> = settings.missing.iter().map(ToString::to_string).collect();
    let result = if missing.is_empty() { Ok("complete".to_owned()) } else { Err(missing.join("\n")) };
    Finding::of("configuration", result)
}

fn strategies(settings: &Settings) -> Finding {
    let result = match wire::strategies(&settings.strategies) {
        Ok((catalog, faults)) if faults.is_empty() && !catalog.is_empty() => Ok(format!("{} valid", catalog.len())),
        Ok((_, faults)) if faults.is_empty() => Err(format!("{} holds no strategy", settings.strategies.display())),
        Ok((_, faults)) => Err(wire::lines(&faults)),
        Err(failure) => Err(failure.to_string()),
    };
    Finding::of("strategies", result)
}

fn key(settings: &Settings) -> Finding {
    let result = wire::vault(settings).map(|_| "opens".to_owned()).map_err(|error| format!("{error:#}"));
    Finding::of("vault key", result)
}

async fn database(settings: &Settings) -> (Finding, Option<Clock>) {
    match wire::means(settings, wire::Database::MustExist).await {
        Err(failure) => (Finding::of("database", Err(failure.to_string())), None),
        Ok(means) => {
            let queue = means.store.queue(means.clock.now()).await;
            let audit = match means.store.could_rewrite_events().await {
                Ok(true) => {
                    "this address could rewrite the audit: ship its checkpoints, or give the daemon a role of its own"
                }
                Ok(false) => "this role can only add to the audit",
                Err(_) => "whether this address could rewrite the audit is not known",
            };
            let traces = match means.store.may_scrub().await {
                Ok(true) => "it can remove the traces of destroyed tokens".to_owned(),
                Ok(false) => {
                    let what = "this role cannot remove the traces of destroyed tokens from the table `grants`: run \
                                deploy/postgres-roles.sql as the owner";
                    return (Finding::of("database", Err(what.to_owned())), Some(means.clock));
                }
                Err(error) => format!("{:#}", anyhow::Error::new(error)),
            };
            let result =
                queue.map(|queue| format!("{} runs due, {} running; {audit}; {traces}", queue.due, queue.running));
            (
                Finding::of("database", result.map_err(|error| format!("{:#}", anyhow::Error::new(error)))),
                Some(means.clock),
            )
        }
    }
}

async fn hosts(settings: &Settings, clock: Option<&Clock>) -> Vec<Finding> {
    let transport = match Wire::new(&wire::hosts(settings)) {
        Ok(transport) => transport,
        Err(error) => return vec![Finding::of("hosts", Err(format!("{:#}", anyhow::Error::new(error))))],
    };
    let mut findings = Vec::new();
    // Only hosts that the service speaks to: the consent page is for browsers, and nothing depends on a stream alone.
    let addresses = &settings.alpaca;
    let spoken = [
        ("alpaca.paper_url", &addresses.paper),
        ("alpaca.live_url", &addresses.live),
        ("alpaca.data_url", &addresses.data),
        ("alpaca.token_url", &addresses.token),
    ];
    for (key, address) in spoken {
        findings.push(Finding::of(key, ask(&transport, address, clock).await));
    }
    findings
}

async fn ask(transport: &impl Transport, address: &Url, clock: Option<&Clock>) -> Result<String, String> {
    let request = http::Request::get(address.as_str()).body(Bytes::new()).map_err(|error| error.to_string())?;
    let answer = transport.send(request).await.map_err(|lost| format!("{address} does not answer: {lost}"))?;
    let said = answer.headers().get(http::header::DATE).and_then(|value| value.to_str().ok());
    let theirs =
        said.and_then(|text| jiff::fmt::rfc2822::parse(text).ok()).map(|zoned| Moment::from(zoned.timestamp()));
    let reached = format!("{address} answers {}", answer.status());
    match (theirs, clock) {
        (Some(theirs), Some(Clock::System) | None) => {
            let skew = Clock::System.now().since(theirs).as_secs();
            if skew.abs() <= SKEW_SECONDS_MAX {
                return Ok(format!("{reached}; the clocks agree"));
            }
            Err(format!("{reached}, but this machine's clock differs by {skew} seconds; set it with NTP"))
        }
        _ => Ok(reached),
    }
}
