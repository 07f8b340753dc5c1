//! What is counted: every metric once, with its unit and help.
//!
//! Labels never hold a user, an account or a symbol: the number of series stays small however many users there are, and
//! the page can be shown to anybody who may see the machine.

use std::fmt;
use std::sync::Arc;

use prometheus::core::Collector;
use prometheus::{
    Encoder, Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use crate::model::environment::Kind;
use crate::model::ids::StrategyName;
use crate::model::intent::IntentState;
use crate::model::money::Fraction;
use crate::model::plan::Side;
use crate::model::time::{Moment, Span};
use crate::model::verdict::{Outcome, RefusalCode};

/// Seconds; a broker that answers slower than ten is down for practical purposes.
const LATENCY_BUCKETS: &[f64] = &[0.01, 0.05, 0.2, 1.0, 5.0, 20.0];

/// Fractions of a portfolio, from a tenth of a percent to half of it.
const DRIFT_BUCKETS: &[f64] = &[0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5];

/// The metrics; clones share them.
#[derive(Clone)]
pub struct Metrics {
    inner: Arc<Inner>,
}

struct Inner {
    registry: Registry,
    runs: IntCounterVec,
    orders: IntCounterVec,
    requests: HistogramVec,
    refusals: IntCounterVec,
    operators: IntCounterVec,
    books: IntCounterVec,
    strategies: Strategies,
    streams: IntCounterVec,
    drift: HistogramVec,
    due_not_done: IntGauge,
    queue_depth: IntGauge,
    in_flight: IntGauge,
    tokens: IntGaugeVec,
    halts: IntGaugeVec,
    missed: IntCounterVec,
    heartbeat: Gauge,
    ledger_ahead: IntGauge,
}

/// What becomes of strategy files while the service runs.
struct Strategies {
    reloads: IntCounterVec,
    refused_files: IntGauge,
}

impl Strategies {
    fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let reloads = IntCounterVec::new(
            Opts::new(
                "rebalanced_strategies_reloaded_total",
                "Strategies that another reading of their folder added, changed, removed, or kept because the file is invalid.",
            ),
            &["change"],
        )?;
        registry.register(Box::new(reloads.clone()))?;
        let refused_files = IntGauge::new(
            "rebalanced_strategy_files_refused",
            "Strategy files that the last reading again refused; earlier versions of them are still followed.",
        )?;
        registry.register(Box::new(refused_files.clone()))?;
        Ok(Self { reloads, refused_files })
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All metrics, at zero.
    ///
    /// # Panics
    /// Never: the names and labels are constants, and every test that makes a `Metrics` checks them.
    #[expect(clippy::expect_used, reason = "names and labels are constants that every test checks")]
    pub fn new() -> Self {
        let inner = Inner::new(Registry::new()).expect("the names and labels of all metrics are valid and distinct");
        Self { inner: Arc::new(inner) }
    }

    /// A run has ended.
    pub fn run_closed(&self, strategy: &StrategyName, environment: Kind, outcome: &Outcome) {
        let labels = [strategy.as_str(), environment.code(), outcome.kind.code(), outcome.reason];
        self.inner.runs.with_label_values(&labels).inc();
    }

    /// The fate of an order is known.
    pub fn order_settled(&self, side: Side, state: IntentState) {
        self.inner.orders.with_label_values(&[side.code(), state.code()]).inc();
    }

    /// A request to the broker was answered with this class of HTTP status, or `lost`.
    pub fn request(&self, endpoint: &'static str, status: &str, seconds: f64) {
        self.inner.requests.with_label_values(&[endpoint, status]).observe(seconds);
    }

    /// So many runs are due and not closed.
    pub fn due_not_done(&self, runs: i64) {
        self.inner.due_not_done.set(runs);
    }

    /// So many runs wait for a worker.
    pub fn queue_depth(&self, runs: i64) {
        self.inner.queue_depth.set(runs);
    }

    /// So many runs are being carried out by this process.
    pub fn in_flight(&self, runs: i64) {
        self.inner.in_flight.set(runs);
    }

    /// How far a portfolio was from its targets, `before` or `after` a run.
    pub fn drift(&self, strategy: &StrategyName, when: &str, drift: Fraction) {
        if let Some(drift) = drift.decimal().to_f64() {
            self.inner.drift.with_label_values(&[strategy.as_str(), when]).observe(drift);
        }
    }

    /// So many grants have this health.
    pub fn tokens(&self, health: &str, grants: i64) {
        self.inner.tokens.with_label_values(&[health]).set(grants);
    }

    /// So many halts of this scope are in force.
    pub fn halts(&self, scope: &str, halts: i64) {
        self.inner.halts.with_label_values(&[scope]).set(halts);
    }

    /// So many moments of a strategy passed before their runs could begin, and are not made up for.
    pub fn moments_missed(&self, strategy: &StrategyName, moments: u64) {
        self.inner.missed.with_label_values(&[strategy.as_str()]).inc_by(moments);
    }

    /// A request at the operators' door was refused: for its token, or for its scope.
    pub fn operator_refused(&self, why: &str) {
        self.inner.operators.with_label_values(&[why]).inc();
    }

    /// The guard, or the wall before the send, refused orders.
    pub fn refusal(&self, code: RefusalCode) {
        self.inner.refusals.with_label_values(&[code.code()]).inc();
    }

    /// An account's books were compared with the broker: `agreed`, `unexplained`, `unseen`.
    pub fn balanced(&self, result: &str) {
        self.inner.books.with_label_values(&[result]).inc();
    }

    /// The strategies were read again: so many were `added`, `changed`, `removed`, or `kept` because their file is invalid now;
    /// so many files are refused.
    pub fn reloaded(&self, changes: &[(&str, usize)], refused_files: usize) {
        for (change, number) in changes {
            self.inner
                .strategies
                .reloads
                .with_label_values(&[*change])
                .inc_by(u64::try_from(*number).unwrap_or(u64::MAX));
        }
        self.inner.strategies.refused_files.set(i64::try_from(refused_files).unwrap_or(i64::MAX));
    }

    /// A stream of order news was `opened`, was `heard` from, or fell `silent`.
    pub fn stream(&self, event: &str) {
        self.inner.streams.with_label_values(&[event]).inc();
    }

    /// The scheduler's bell has rung and was heard.
    pub fn heartbeat(&self, at: Moment) {
        // Microseconds to seconds, exactly: six decimals.
        if let Some(seconds) = Decimal::new(at.micros(), 6).to_f64() {
            self.inner.heartbeat.set(seconds);
        }
    }

    /// How far the ledger of slots lies ahead of the clock: until then nothing comes due.
    pub fn ledger_ahead(&self, ahead: Span) {
        self.inner.ledger_ahead.set(ahead.as_secs());
    }

    /// Everything, in Prometheus's text format.
    pub fn text(&self) -> String {
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.inner.registry.gather(), &mut text) {
            tracing::error!(error = &error as &dyn std::error::Error, "the metrics could not be written");
        }
        String::from_utf8(text).unwrap_or_default()
    }
}

impl Inner {
    fn new(registry: Registry) -> Result<Self, prometheus::Error> {
        let counters = |name: &str, help: &str, labels: &[&str]| {
            registered(&registry, IntCounterVec::new(Opts::new(name, help), labels))
        };
        let histograms = |name: &str, help: &str, buckets: &[f64], labels: &[&str]| {
            registered(&registry, HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), labels))
        };
        let gauge = |name: &str, help: &str| registered(&registry, IntGauge::new(name, help));
        let gauges = |name: &str, help: &str, label: &str| {
            registered(&registry, IntGaugeVec::new(Opts::new(name, help), &[label]))
        };
        tell_version(&registry)?;
        let runs = ["strategy", "environment", "outcome", "reason"];
        Ok(Self {
            runs: counters("rebalanced_runs_total", "Runs that have ended, by how and why.", &runs)?,
            orders: counters("rebalanced_orders_total", "Orders whose fate is known.", &["side", "outcome"])?,
            refusals: counters("rebalanced_refusals_total", "Refusals by the guard, by code.", &["code"])?,
            operators: counters(
                "rebalanced_operator_refusals_total",
                "Requests that the operators' interface refused: a token that nobody has, or a scope that is missing.",
                &["why"],
            )?,
            books: counters(
                "rebalanced_books_total",
                "Accounts whose books were compared with the broker's: agreed, unexplained (halted), unseen.",
                &["result"],
            )?,
            strategies: Strategies::new(&registry)?,
            streams: counters(
                "rebalanced_streams_total",
                "Streams of order news: opened, heard (a frame came), silent (refused or broken; polling goes on).",
                &["event"],
            )?,
            requests: histograms(
                "rebalanced_broker_request_seconds",
                "How long the broker took to answer, by endpoint and HTTP status (`lost`: no answer).",
                LATENCY_BUCKETS,
                &["endpoint", "status"],
            )?,
            drift: histograms(
                "rebalanced_portfolio_drift_ratio",
                "Half the sum of all deviations from target, as a fraction of the portfolio, before and after runs.",
                DRIFT_BUCKETS,
                &["strategy", "when"],
            )?,
            due_not_done: gauge("rebalanced_runs_due_not_done", "Runs that are due and have not ended.")?,
            queue_depth: gauge("rebalanced_queue_depth", "Runs that wait for a worker.")?,
            in_flight: gauge("rebalanced_runs_in_flight", "Runs that this process is carrying out.")?,
            tokens: gauges("rebalanced_tokens", "Delegated tokens by health: active, reauth, gone.", "health")?,
            halts: gauges("rebalanced_halts", "Halts in force, by scope.", "scope")?,
            missed: counters(
                "rebalanced_moments_missed_total",
                "Moments that passed before their runs could begin and are not made up for, as this process saw them.",
                &["strategy"],
            )?,
            heartbeat: heartbeat(&registry)?,
            ledger_ahead: gauge(
                "rebalanced_ledger_ahead_seconds",
                "How far the ledger of slots lies ahead of the clock, because a clock was wrong; nothing comes due until then.",
            )?,
            registry,
        })
    }
}

/// When the bell was last heard.
fn heartbeat(registry: &Registry) -> Result<Gauge, prometheus::Error> {
    let help = "When the scheduler's bell was last heard, in seconds since 1970 by the service's clock.";
    registered(registry, Gauge::new("rebalanced_heartbeat_timestamp_seconds", help))
}

/// A metric that the registry knows.
fn registered<M: Collector + Clone + 'static>(
    registry: &Registry,
    made: Result<M, prometheus::Error>,
) -> Result<M, prometheus::Error> {
    let made = made?;
    registry.register(Box::new(made.clone()))?;
    Ok(made)
}

/// A metric that says which program runs.
fn tell_version(registry: &Registry) -> Result<(), prometheus::Error> {
    let build = GaugeVec::new(Opts::new("rebalanced_build_info", "The version that runs; always 1."), &["version"])?;
    registry.register(Box::new(build.clone()))?;
    build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1.0);
    Ok(())
}
