//! The daemon: open, recover, become ready, then listen to the bell until told to stop, and drain.
//!
//! There is one loop. It asks `tick` what is due, hands claimed runs to workers, and renews their leases. It decides nothing
//! about a trade, and whatever it misses the next ring makes up for.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::time::Instant;

use crate::app::balancer;
use crate::app::checkpoints::Checkpoints;
use crate::app::http::{self, Hooks, Shared, Throttle};
use crate::app::killswitch;
use crate::app::lifecycle::{Lifecycle, stop_if_broken, tell_ready};
use crate::app::present::{self, Present};
use crate::app::readiness::Readiness;
use crate::app::scheduler::{Bell, Scheduler};
use crate::app::settings::{Runs, Settings};
use crate::app::telemetry::chain;
use crate::app::wire;
use crate::app::workers::Workers;
use crate::edge::World;
use crate::edge::clock::Clock;
use crate::edge::store;
use crate::edge::strategies::Catalog;
use crate::flow::approve::Desk;
use crate::flow::operators;
use crate::flow::recover::recover;
use crate::flow::tick::{count, tick};
use crate::model::time::{Moment, Span};

/// How often dead tokens and halts are counted for the metrics.
const COUNT_EVERY: Duration = Duration::from_secs(15);

/// Another daemon's clock may be so far ahead of ours.
const CLOCKS_DIFFER: Span = Span::from_secs(120);

/// On a clock that is not the system's, this much of its time is one ring: such a clock may run a thousand times faster
/// than the bell.
const FAST_RING: Span = Span::from_secs(1);

/// Runs until a signal.
///
/// # Errors
/// When something that the daemon needs does not open, or runs had to be dropped while stopping.
pub async fn run(mut settings: Settings, strategies: Catalog) -> anyhow::Result<()> {
    for warning in settings.warnings() {
        tracing::warn!("{warning}");
    }
    let life = Lifecycle::default();
    life.obey_signals(settings.runs.stop_wait.unsigned_abs()).context("signals cannot be listened for")?;
    let bell = Bell::default();
    let served = serve(&life, &bell, &mut settings, strategies).await;
    life.end().await;
    served
}

async fn serve(life: &Lifecycle, bell: &Bell, settings: &mut Settings, strategies: Catalog) -> anyhow::Result<()> {
    let operators = http::listen(settings.operator_listen, "web.operator_listen").await?;
    let browsers = http::listen(settings.public_listen, "web.public_listen").await?;
    let secure = settings.app.as_ref().is_some_and(|app| app.redirect_uri.starts_with("https:"));
    // From here on a SIGHUP ends nothing; one that comes before everything is ready is obeyed then.
    let hangup = present::listen().context("SIGHUP cannot be listened for")?;
    let mut world = wire::world(settings, strategies).await?;
    // A second daemon on one file would take the first one's runs for what an earlier process left.
    let _writer = world.store.lock_single_writer()?;
    world.policy.operators_required = require(&world).await.context("how many must approve cannot be stored")?;
    let world = Arc::new(world);
    if let Clock::Remote(remote) = &world.clock {
        let remote = remote.clone();
        life.spawn(async move { remote.follow().await });
    }
    let pulled = killswitch::listen().context("SIGUSR1 cannot be listened for")?;
    life.spawn(killswitch::watch(Arc::clone(&world), pulled));
    let present = Present::new(Arc::clone(&world), &settings.strategies);
    let signed =
        wire::notary(settings)?.map(|(notary, file)| Arc::new(Checkpoints::new(Arc::clone(&world), notary, file)));
    if let Some(checkpoints) = &signed {
        life.spawn(Arc::clone(checkpoints).keep());
    }
    let readiness = Readiness::new(bell.clone(), life.soft.clone());
    let operator_token = Arc::new(settings.operator_token.take());
    let throttle = Arc::new(Throttle::new(settings.connects));
    let wrong_tokens = Arc::new(Throttle::new(WRONG_TOKENS));
    let shared = Shared {
        world: Arc::clone(&world),
        present: present.clone(),
        readiness: readiness.clone(),
        operator_token,
        secure,
        throttle,
        wrong_tokens,
        hooks: Hooks {
            secret: settings.hook_secret.take().map(Arc::new),
            throttle: Arc::new(Throttle::new((settings.hooks_per_minute, settings.hooks_per_minute))),
        },
        life: life.clone(),
    };
    tracing::info!(public = %browsers.local_addr()?, operator = %operators.local_addr()?, "listening");
    life.spawn(http::serve(operators, http::operator(shared.clone()), life.hard.clone()));
    let scheduler = Scheduler::start(bell).await.context("the scheduler does not start")?;
    life.feed_watchdog(bell.clone());
    let carried = prepare(&world).await.context("the database cannot be prepared")?;
    life.spawn(http::serve(browsers, http::public(shared), life.soft.clone()));
    readiness.note(None);
    tell_ready();
    tracing::info!(strategies = world.strategies.len(), runs_carried_on = carried, "ready");
    life.spawn(balancer::keep(Arc::clone(&world)));
    life.spawn(present.clone().obey(hangup));
    let dropped = listen(life, bell, &readiness, (&present, settings.runs)).await;
    scheduler.stop().await.context("the scheduler does not stop")?;
    if let Some(checkpoints) = &signed {
        checkpoints.end().await;
    }
    if dropped > 0 {
        bail!("stopped hard: {dropped} runs were dropped where they waited; the next start carries them on");
    }
    tracing::info!("stopped; nothing was left");
    Ok(())
}

/// How far the ledger of slots lies ahead of the clock, if it does: a clock that was wrong has moved it there, and until it is
/// right again nothing comes due (row 49).
async fn ahead_of(world: &World, now: Moment) -> Result<Option<Span>, store::Error> {
    let furthest = world.store.ledger().await?.into_values().max();
    let ahead = furthest.map(|moment| moment.since(now)).filter(|ahead| *ahead > CLOCKS_DIFFER);
    world.metrics.ledger_ahead(ahead.unwrap_or(Span::ZERO));
    if let Some(ahead) = ahead {
        tracing::error!(
            seconds = ahead.as_secs(),
            "the ledger of slots is ahead of the clock: nothing comes due until then"
        );
    }
    Ok(ahead)
}

/// Stores how many operators this daemon requires, for every command beside it; returns how many must approve.
async fn require(world: &World) -> Result<u32, store::Error> {
    let desk = Desk { store: &world.store, clock: &world.clock, entropy: &world.entropy };
    operators::require(&desk, world.policy.operators_required).await
}

/// Remembers the strategies as they are now, and frees what an earlier process left.
async fn prepare(world: &World) -> Result<usize, store::Error> {
    world.store.check().await?;
    if !world.store.may_scrub().await? {
        tracing::error!(
            "destroyed tokens leave traces in the table `grants`, which this role may not maintain: run \
             deploy/postgres-roles.sql as the owner"
        );
    }
    let now = world.clock.now();
    for strategy in world.strategies.iter() {
        let text = world.strategies.text(strategy.name()).unwrap_or_default();
        world.store.remember_strategy((strategy.name(), strategy.version()), text, now).await?;
    }
    recover(world).await
}

/// Wrong tokens a minute that are answered as such: of all together, and of one address.
const WRONG_TOKENS: (u32, u32) = (600, 30);

/// The loop. Returns how many runs had to be dropped.
async fn listen(life: &Lifecycle, bell: &Bell, readiness: &Readiness, (present, runs): (&Present, Runs)) -> usize {
    let world = present.world();
    let mut beat = Beat {
        world: Arc::clone(&world),
        present: present.clone(),
        workers: Workers::new(Arc::clone(&world), runs.max_in_flight),
        readiness: readiness.clone(),
        lease: lease(&world.clock, runs.lease),
        ticked: world.clock.now(),
        renewed: world.clock.now(),
        counted: None,
        ahead: None,
    };
    let mut ear = bell.listen();
    let is_fast = matches!(world.clock, Clock::Remote(_));
    let mut stopping = false;
    loop {
        let mut rang = false;
        let mut ended = None;
        tokio::select! {
            biased;
            () = life.hard.cancelled() => return beat.workers.abandon().await,
            () = life.soft.cancelled(), if !stopping => stopping = true,
            left = beat.workers.next() => ended = Some(left),
            heard = ear.changed() => rang = heard.is_ok(),
            () = world.clock.sleep(FAST_RING), if is_fast => {}
        }
        if let Some(left) = ended {
            beat.workers.learn(left).await;
        }
        if stopping && beat.workers.busy() == 0 {
            return 0;
        }
        beat.go_on(rang, stopping, is_fast).await;
    }
}

/// A lease is counted in the clock's time; one that runs faster than the system's is given more of it.
fn lease(clock: &Clock, configured: Span) -> Span {
    if matches!(clock, Clock::Remote(_)) { configured * 10 } else { configured }
}

/// What the loop carries from ring to ring.
struct Beat {
    /// The world of this beat; the next one may begin in another.
    world: Arc<World>,
    present: Present,
    workers: Workers,
    readiness: Readiness,
    lease: Span,
    ticked: Moment,
    renewed: Moment,
    counted: Option<Instant>,
    /// How far the ledger of slots lies ahead of the clock, if it does.
    ahead: Option<Span>,
}

impl Beat {
    async fn go_on(&mut self, rang: bool, stopping: bool, is_fast: bool) {
        self.world = self.present.world();
        let now = self.world.clock.now();
        if rang {
            self.world.metrics.heartbeat(now);
        }
        // Before claiming: a clock that jumped has ended leases that are ours, and we would take over our own runs.
        if self.workers.busy() > 0 && now.since(self.renewed) * 3 >= self.lease {
            self.renewed = now;
            self.workers.renew(now + self.lease).await;
        }
        let is_due = rang || (is_fast && now.since(self.ticked) >= FAST_RING);
        let looked = self.look((now, is_due), stopping).await;
        // A database that fails makes the service unready until it answers again.
        let trouble = looked.err().map(|error| {
            tracing::error!(error = chain(&error), "what is due cannot be found or claimed");
            stop_if_broken(&error);
            "the database does not answer; the log says why".to_owned()
        });
        let ahead = self.ahead.map(|span| {
            let seconds = span.as_secs();
            format!("the clock was ahead before: nothing comes due for {seconds} s more (docs/execution.md, clocks)")
        });
        self.readiness.note(trouble.or(ahead));
        self.world.metrics.in_flight(i64::try_from(self.workers.busy()).unwrap_or(i64::MAX));
    }

    /// Finds what is due, fills the free places with it, and counts what waits for a person now and then.
    async fn look(&mut self, (now, is_due): (Moment, bool), stopping: bool) -> Result<(), store::Error> {
        if stopping {
            return Ok(());
        }
        if is_due {
            self.ticked = now;
            tick(&self.world, now).await?;
        }
        if self.workers.free() > 0 {
            let claims = self.world.store.claim(self.workers.free(), now, now + self.lease).await?;
            // Looked up after the claim: what was taken over before a run was asked for counts for that run.
            self.workers.move_to(self.present.world());
            for claim in claims {
                self.workers.begin(claim);
            }
        }
        if self.counted.is_none_or(|at| at.elapsed() >= COUNT_EVERY) {
            self.counted = Some(Instant::now());
            self.ahead = ahead_of(&self.world, now).await?;
            count(&self.world).await?;
        }
        Ok(())
    }
}
