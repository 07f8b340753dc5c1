//! The named points on the way of an order, where a test may stop the world, and does.
//!
//! A point is crossed: before and after each request to the broker, each transaction of the store, and each step of a
//! run. Nobody watches in service, and a crossing then costs one comparison. Tests watch in two ways: the simulation
//! drops the whole program at a crossing, or lets something happen there; the black box has the daemon kill itself with
//! SIGKILL ([`Killer`]), which a configuration may ask for on loopback hosts alone.
//!
//! Always: crossing a point changes nothing that the program knows. `rebalanced points` lists them.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::future::BoxFuture;

use crate::model::plan::Phase;

/// One named point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Point(&'static str);

impl Point {
    /// Its name, as `rebalanced points` lists it.
    pub const fn name(self) -> &'static str {
        self.0
    }

    /// The point with this name.
    pub fn named(name: &str) -> Option<Self> {
        all().find(|point| point.0 == name)
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// A step that both halves of a run take: a point for each half.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    sell: Point,
    buy: Point,
}

impl Step {
    /// The point of this half.
    pub const fn of(self, phase: Phase) -> Point {
        match phase {
            Phase::Sell => self.sell,
            Phase::Buy => self.buy,
        }
    }
}

/// A transaction that writes: points after it began, before it is committed, and after.
#[derive(Debug, Clone, Copy)]
pub struct Write {
    /// It has begun.
    pub begun: Point,
    /// All is written, nothing is durable.
    pub committing: Point,
    /// All is durable; the caller does not know yet.
    pub committed: Point,
}

/// A request to the broker: points before its first byte leaves, and after its answer has come.
#[derive(Debug, Clone, Copy)]
struct Request {
    name: &'static str,
    asking: Point,
    answered: Point,
}

macro_rules! points {
    (
        single { $($(#[$one_doc:meta])* $one:ident = $one_name:literal;)+ }
        halves { $($(#[$half_doc:meta])* $half:ident = $half_name:literal;)+ }
        writes { $($(#[$write_doc:meta])* $write:ident = $write_name:literal;)+ }
        requests { $($request_name:literal)+ }
    ) => {
        $($(#[$one_doc])* pub const $one: Point = Point($one_name);)+
        $($(#[$half_doc])* pub const $half: Step =
            Step { sell: Point(concat!("sell.", $half_name)), buy: Point(concat!("buy.", $half_name)) };)+
        $($(#[$write_doc])* pub const $write: Write = Write {
            begun: Point(concat!("store.", $write_name, ".begun")),
            committing: Point(concat!("store.", $write_name, ".committing")),
            committed: Point(concat!("store.", $write_name, ".committed")),
        };)+
        const SINGLE: &[Point] = &[$($one),+];
        const HALVES: &[Step] = &[$($half),+];
        const WRITES: &[Write] = &[$($write),+];
        const REQUESTS: &[Request] = &[$(Request {
            name: $request_name,
            asking: Point(concat!("broker.", $request_name, ".asking")),
            answered: Point(concat!("broker.", $request_name, ".answered")),
        }),+];
    };
}

points! {
    single {
        /// The start found what an earlier process left, and frees it.
        RECOVERING = "recover.begun";
        /// The start is done.
        RECOVERED = "recover.done";
        /// The bell was heard.
        RANG = "tick.begun";
        /// What is due has its runs.
        TICKED = "tick.done";
        /// A worker has the run, and has done nothing.
        CLAIMED = "run.claimed";
        /// The token is open.
        SET_OUT = "run.set_out";
        /// Both halves are done, or the run ended before.
        JUDGING = "run.judging";
        /// The broker's ledger was read beside ours.
        COMPARED = "run.compared";
        /// The outcome is known.
        CLOSING = "run.closing";
        /// The portfolio was looked at once more.
        LOOKED_BACK = "run.looked_back";
        /// The run is closed.
        CLOSED = "run.closed";
        /// A run's row is a worker's, in a transaction under way.
        CLAIM_TAKEN = "store.claim.taken";
        /// Flags and limits were read again, in the transaction that records.
        RECORD_READ = "store.record.read";
        /// One intent is written, in the transaction that records.
        RECORD_INSERTED = "store.record.inserted";
        /// The events are written, in the transaction that records.
        RECORD_TOLD = "store.record.told";
        /// What became of one intent is written, in the transaction that settles.
        SETTLE_CHANGED = "store.settle.changed";
        /// The run's row is closed, in the transaction that closes.
        CLOSE_CHANGED = "store.close.changed";
        /// The run's event is written, in the transaction that closes.
        CLOSE_TOLD = "store.close.told";
    }
    halves {
        /// The half begins to look.
        CONSIDERING = "considering";
        /// The snapshot is taken.
        OBSERVED = "observed";
        /// The plan is made.
        PLANNED = "planned";
        /// Trades and volumes beside the quotes are read.
        WEIGHED = "weighed";
        /// The guard has let the plan through.
        CLEARED = "cleared";
        /// The intents are durable.
        RECORDED = "recorded";
        /// One order is next.
        NEXT = "next";
        /// It was allowed to leave a moment ago.
        LEAVING = "leaving";
        /// The broker's reply to it is here.
        REPLIED = "replied";
        /// The broker is about to be asked what became of it.
        ASKING = "asking";
        /// What became of it is known here, and not stored.
        LEARNED = "learned";
        /// It is stored.
        SETTLED = "settled";
        /// All orders of the half have been sent.
        SENT = "sent";
        /// The orders are about to be looked at again.
        POLLING = "polling";
        /// They were looked at.
        POLLED = "polled";
        /// What is left is about to be cancelled.
        CANCELLING = "cancelling";
        /// Every order of the half has ended.
        FOLLOWED = "followed";
    }
    writes {
        /// Runs for what came due.
        ENQUEUE = "enqueue";
        /// A run that a person asked for.
        TRIGGER = "trigger";
        /// Runs are taken into work.
        CLAIM = "claim";
        /// Leases are prolonged.
        RENEW = "renew";
        /// Runs of an earlier process are freed.
        RELEASE = "release";
        /// Intents are recorded.
        RECORD = "record";
        /// What became of intents.
        SETTLE = "settle";
        /// A run is closed.
        CLOSE = "close";
        /// Events without a transaction of their own.
        APPEND = "append";
        /// A strategy's text is kept.
        REMEMBER = "remember";
    }
    requests {
        "account" "positions" "activities" "orders_open" "orders_since" "order_by_client_id" "submit" "cancel" "asset" "calendar"
        "quotes" "trades" "bars"
    }
}

/// Every point, in the order of the lists above.
pub fn all() -> impl Iterator<Item = Point> {
    let halves = HALVES.iter().flat_map(|step| [step.sell, step.buy]);
    let writes = WRITES.iter().flat_map(|write| [write.begun, write.committing, write.committed]);
    let requests = REQUESTS.iter().flat_map(|request| [request.asking, request.answered]);
    SINGLE.iter().copied().chain(halves).chain(writes).chain(requests)
}

/// Who is told of every crossing, and may hold it up for ever.
pub trait Watcher: Send + Sync {
    /// The program has come to this point; it goes on when the future ends.
    fn crossed(&self, point: Point) -> BoxFuture<'static, ()>;
}

/// Where crossings are told; to nobody by default. Clones tell the same watcher.
#[derive(Clone, Default)]
pub struct Points {
    watcher: Option<Arc<dyn Watcher>>,
}

impl fmt::Debug for Points {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Points").field("watched", &self.watcher.is_some()).finish()
    }
}

impl Points {
    /// Crossings are told to this watcher.
    pub fn watched(watcher: Arc<dyn Watcher>) -> Self {
        Self { watcher: Some(watcher) }
    }

    /// The program is at this point.
    pub async fn cross(&self, point: Point) {
        if let Some(watcher) = &self.watcher {
            watcher.crossed(point).await;
        }
    }

    /// A request of this name is about to leave.
    pub async fn asking(&self, name: &str) {
        if let Some(request) = self.request(name) {
            self.cross(request.asking).await;
        }
    }

    /// The answer to a request of this name has come, or is not to come.
    pub async fn answered(&self, name: &str) {
        if let Some(request) = self.request(name) {
            self.cross(request.answered).await;
        }
    }

    fn request(&self, name: &str) -> Option<&'static Request> {
        self.watcher.as_ref()?;
        REQUESTS.iter().find(|request| request.name == name)
    }
}

/// Ends the process at the n-th crossing of one point, in the way in which the system ends one that it must: nothing is
/// flushed, nothing is dropped, nobody is told.
#[derive(Debug)]
pub struct Killer {
    point: Point,
    left: AtomicU32,
}

impl Killer {
    /// Kills at the `nth` crossing of `point`, counted from 1.
    pub fn new(point: Point, nth: u32) -> Self {
        Self { point, left: AtomicU32::new(nth) }
    }
}

impl Watcher for Killer {
    fn crossed(&self, point: Point) -> BoxFuture<'static, ()> {
        if point == self.point && self.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            let killed = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
            if killed.is_err() {
                std::process::abort();
            }
        }
        Box::pin(std::future::ready(()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn row_14_there_are_more_than_a_hundred_points_and_no_two_of_one_name() {
        let names: BTreeSet<&str> = all().map(Point::name).collect();
        assert_eq!(names.len(), all().count());
        assert!(names.len() >= 100, "{}", names.len());
        assert_eq!(Point::named("buy.leaving"), Some(LEAVING.of(Phase::Buy)));
    }
}
