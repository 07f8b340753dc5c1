//! A run that stops at a named point, as if its process had died there; what is in the database is all that is left of it.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::{self, BoxFuture};
use rebalanced::edge::points::{Point, Points, Watcher};
use rebalanced::flow;
use rebalanced::model::time::{Moment, Span};
use tokio::sync::watch;

use crate::support::TestWorld;

struct Stopper {
    at: Point,
    reached: watch::Sender<bool>,
}

impl Watcher for Stopper {
    fn crossed(&self, point: Point) -> BoxFuture<'static, ()> {
        if point != self.at {
            return future::ready(()).boxed();
        }
        self.reached.send_replace(true);
        future::pending().boxed()
    }
}

/// Carries what is due at the slot until a run comes to the point; there its process dies.
pub(crate) async fn dies_at(service: &mut TestWorld, point: Point, slot: Moment) {
    let stopper = Arc::new(Stopper { at: point, reached: watch::Sender::new(false) });
    let mut reached = stopper.reached.subscribe();
    service.world.points = Points::watched(stopper);
    tokio::select! {
        outcomes = service.ring(slot) => panic!("no run came to {point}: {outcomes:?}"),
        at = reached.wait_for(|reached| *reached) => drop(at.unwrap()),
    }
    service.world.points = Points::default();
}

/// The next process: leases have ended, and what was left is carried on. What the database refuses stays where it is.
pub(crate) async fn starts_again(service: &TestWorld) {
    let later = service.clock.now() + Span::from_mins(11);
    service.clock.set(later);
    flow::recover::recover(&service.world).await.unwrap();
    for claim in service.world.store.claim(10, later, later + Span::from_mins(10)).await.unwrap() {
        drop(flow::rebalance::rebalance(&service.world, claim).await);
    }
}
