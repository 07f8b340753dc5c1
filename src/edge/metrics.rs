//! Every metric, declared once, with its unit and its help.
//!
//! Labels are strategies, environments, kinds, reasons and endpoints. They never hold a user, an account or a symbol, so
//! the number of series stays bounded with any number of users.

use std::fmt;
use std::sync::Arc;

use prometheus::{
    Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};
use rust_decimal::prelude::ToPrimitive;

use crate::model::environment::Kind;
use crate::model::ids::StrategyName;
use crate::model::intent::IntentState;
use crate::model::money::Fraction;
use crate::model::plan::Side;
use crate::model::time::Moment;
use crate::model::verdict::{Outcome, RefusalCode};

/// What is counted and measured. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Metrics(Arc<Series>);

struct Series {
    registry: Registry,
    runs: IntCounterVec,
    orders: IntCounterVec,
    refusals: IntCounterVec,
    requests: HistogramVec,
    drift: GaugeVec,
    due: IntGauge,
    queue: IntGauge,
    in_flight: IntGauge,
    tokens: IntGaugeVec,
    heartbeat: Gauge,
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

#[expect(clippy::expect_used, reason = "names and labels are constants, and a test declares them all")]
impl Metrics {
    /// A registry of its own with every metric declared.
    pub fn new() -> Self {
        let registry = Registry::new();
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let metric = IntCounterVec::new(Opts::new(name, help), labels).expect("a constant declaration");
            registry.register(Box::new(metric.clone())).expect("declared once");
            metric
        };
        let gauge = |name: &str, help: &str| {
            let metric = IntGauge::new(name, help).expect("a constant declaration");
            registry.register(Box::new(metric.clone())).expect("declared once");
            metric
        };
        let buckets = vec![0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
        let latency = HistogramOpts::new(
            "rebalanced_broker_request_seconds",
            "Latency of requests to the broker, by endpoint and status.",
        );
        let requests =
            HistogramVec::new(latency.buckets(buckets), &["endpoint", "status"]).expect("a constant declaration");
        registry.register(Box::new(requests.clone())).expect("declared once");
        let drift = Opts::new(
            "rebalanced_portfolio_drift_ratio",
            "Portfolio drift of the last run of a strategy, before and after it, as a fraction of one.",
        );
        let drift = GaugeVec::new(drift, &["strategy", "when"]).expect("a constant declaration");
        registry.register(Box::new(drift.clone())).expect("declared once");
        let tokens = Opts::new("rebalanced_tokens", "Delegated tokens by health: active, reauth, gone.");
        let tokens = IntGaugeVec::new(tokens, &["health"]).expect("a constant declaration");
        registry.register(Box::new(tokens.clone())).expect("declared once");
        let heartbeat =
            Gauge::new("rebalanced_heartbeat_timestamp_seconds", "When the scheduler's bell last rang, in Unix time.")
                .expect("a constant declaration");
        registry.register(Box::new(heartbeat.clone())).expect("declared once");
        let series = Series {
            runs: counter(
                "rebalanced_runs_total",
                "Closed runs by strategy, environment, outcome and reason.",
                &["strategy", "environment", "outcome", "reason"],
            ),
            orders: counter(
                "rebalanced_orders_total",
                "Orders that reached an end, by side and outcome.",
                &["side", "outcome"],
            ),
            refusals: counter("rebalanced_refusals_total", "Refusals of the guard, by code.", &["code"]),
            due: gauge("rebalanced_runs_due_not_done", "Runs that are due and not closed."),
            queue: gauge("rebalanced_queue_depth", "Runs that wait for a worker."),
            in_flight: gauge("rebalanced_runs_in_flight", "Runs that a worker of this process carries."),
            requests,
            drift,
            tokens,
            heartbeat,
            registry,
        };
        Self(Arc::new(series))
    }
}

impl Metrics {
    /// A run was closed.
    pub fn run_closed(&self, strategy: &StrategyName, environment: Kind, outcome: &Outcome) {
        let labels = [strategy.as_str(), environment.code(), outcome.kind.code(), outcome.reason];
        self.0.runs.with_label_values(&labels).inc();
    }

    /// An order reached an end.
    pub fn order_settled(&self, side: Side, state: IntentState) {
        self.0.orders.with_label_values(&[side.code(), state.code()]).inc();
    }

    /// The guard or the wall said no.
    pub fn refusal(&self, code: RefusalCode) {
        self.0.refusals.with_label_values(&[code.code()]).inc();
    }

    /// The broker was asked.
    pub fn request(&self, endpoint: &'static str, status: &str, seconds: f64) {
        self.0.requests.with_label_values(&[endpoint, status]).observe(seconds);
    }

    /// Runs that are due and not closed.
    pub fn due_not_done(&self, runs: i64) {
        self.0.due.set(runs);
    }

    /// Runs that wait for a worker.
    pub fn queue_depth(&self, runs: i64) {
        self.0.queue.set(runs);
    }

    /// Runs that a worker of this process carries.
    pub fn in_flight(&self, runs: i64) {
        self.0.in_flight.set(runs);
    }

    /// Portfolio drift `before` or `after` a run.
    pub fn drift(&self, strategy: &StrategyName, when: &'static str, drift: Fraction) {
        let shown = drift.decimal().to_f64().unwrap_or(f64::NAN);
        self.0.drift.with_label_values(&[strategy.as_str(), when]).set(shown);
    }

    /// Tokens of one health.
    pub fn tokens(&self, health: &str, count: i64) {
        self.0.tokens.with_label_values(&[health]).set(count);
    }

    /// The bell rang.
    #[expect(clippy::float_arithmetic, reason = "a time stamp for a dashboard is no money")]
    pub fn heartbeat(&self, at: Moment) {
        self.0.heartbeat.set(at.micros().to_f64().unwrap_or(0.0) / 1e6);
    }

    /// Everything in Prometheus' text format.
    pub fn text(&self) -> String {
        TextEncoder::new().encode_to_string(&self.0.registry.gather()).unwrap_or_default()
    }
}
