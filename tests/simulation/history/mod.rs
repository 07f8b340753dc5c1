//! One seed, one history: days of a few accounts, with everything going wrong that the seed draws, judged by the broker's
//! own ledger.
//!
//! The engine is the real one: `flow::tick`, `flow::recover`, `flow::rebalance`, store, vault and client. Replaced are the
//! clock, the dice and the wire. A kill drops the whole program where it stands, and a new one is opened on the same file.
//!
//! Always: the same seed gives the same history, to the hash of its audit and of the broker's orders (S18).

pub(crate) mod acts;
pub(crate) mod faults;
pub(crate) mod judge;
pub(crate) mod ledgers;
pub(crate) mod lies;
pub(crate) mod mouth;
pub(crate) mod notes;
pub(crate) mod stage;
pub(crate) mod wire;

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use alpaca_sim::exchange::asset::AssetPatch;
use alpaca_sim::{Environment, NewAccount};
use futures_util::FutureExt;
use rebalanced::edge::points::Points;
use rebalanced::edge::store::{self, AnyClaim};
use rebalanced::flow;
use rebalanced::flow::rebalance;
use rebalanced::model::event::Actor;
use rebalanced::model::session::Session;
use rebalanced::model::time::{Moment, Span};
use rebalanced::model::verdict::{EndReason, Outcome, OutcomeKind};
use rust_decimal::Decimal;
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::sync::{Mutex, Notify};

use acts::{Asked, Gremlin};
use notes::Shared;
use stage::{Process, Stage};

/// What a history left.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub seed: u64,
    pub hash: String,
    pub account_days: u64,
    pub runs: u64,
    pub orders: u64,
    pub requests: u64,
    pub injected: u64,
    pub kills: u64,
    pub rows: BTreeMap<u32, u64>,
    pub per_order: Vec<u64>,
    pub alone: u64,
    /// Orders that were the second or a later try of their leg.
    pub again: u64,
    pub beyond: u64,
    pub outcomes: BTreeMap<String, u64>,
    pub violations: Vec<String>,
    pub lines: Vec<String>,
}

/// A lease, and a bit.
const PAST_THE_LEASE: Span = Span::from_mins(11);

/// However much goes wrong, an order takes at most so many requests (L10): those for it alone, and all those for its run
/// together. One process asks for it nine times with a list and once by its id, sends it up to four times with ten questions
/// after each, polls for five minutes and a minute after its cancellation, and compares: about 120 when everything goes wrong.
/// It may be killed after that, and the next begins again.
const PER_ORDER: u64 = 240;

/// Of these, so many at most name the order itself: its sends, the questions for it by its id, its cancellations (L10).
const ALONE: u64 = 60;

/// Where nothing goes wrong, an order takes at most so many requests (L10) ...
const QUIET_PER_ORDER: u64 = 12;

/// ... and the looks of its run beside them at most so many.
const QUIET_LOOKS: u64 = 20;

/// So many rounds of carrying on are enough for anything; more is a loop.
const ROUNDS: u32 = 60;

/// Tells the history of a seed, on a runtime of its own.
pub(crate) fn tell(seed: u64, verbose: bool) -> Told {
    let notes = Shared::new(seed, verbose);
    let stopped = |why: &str| {
        let mut notes = notes.lock();
        notes.violation(why);
        let (violations, lines) = (std::mem::take(&mut notes.violations), std::mem::take(&mut notes.lines));
        Told { seed, violations, lines, ..Told::default() }
    };
    let told = std::panic::catch_unwind(AssertUnwindSafe(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let history = Box::pin(history(seed, notes.clone()));
            let told = tokio::time::timeout(PATIENCE, history).await;
            told.unwrap_or_else(|_| stopped("L10: nothing moved for a minute of real time"))
        })
    }));
    told.unwrap_or_else(|_| stopped("the history itself stopped: what it relies on does not hold"))
}

/// A history takes a second or two; one that takes a minute hangs.
const PATIENCE: std::time::Duration = std::time::Duration::from_mins(1);

async fn history(seed: u64, notes: Shared) -> Told {
    let character = notes.lock().character.clone();
    notes.lock().say(format_args!("seed {seed}: {character:?}"));
    let table = rebalanced::edge::sessions::builtin().unwrap();
    let (first, last) = (jiff::civil::date(2019, 1, 2), jiff::civil::date(2020, 12, 31));
    let days: Vec<Session> =
        table.between(first, last).skip(character.first_day).take(character.days + 2).copied().collect();
    let stage = Stage::new(seed, days[0].open - Span::from_hours(2), notes.clone());
    let mut theatre = Theatre::open(stage).await;
    theatre.people(&character).await;
    let (stormy, calm) = days.split_at(character.days);
    for session in stormy {
        theatre.day(session, character.quiet).await;
    }
    // What stood in the way is taken away, and everything must work as if nothing had been.
    for session in calm {
        theatre.day(session, true).await;
        theatre.works_again(session).await;
    }
    judge::whole(&theatre.stage, &theatre.process, character.quiet || character.only_kills).await;
    theatre.told(seed, days.len()).await
}

/// The stage with the process that is on it.
struct Theatre {
    stage: Arc<Stage>,
    process: Arc<Process>,
    death: Arc<Notify>,
    asked: Mutex<UnboundedReceiver<Asked>>,
    runs: u64,
    outcomes: BTreeMap<String, u64>,
}

/// How a piece of work ended.
enum Curtain<T> {
    Done(T),
    /// The process died, or the future was dropped.
    Fell,
}

impl Theatre {
    async fn open(stage: Arc<Stage>) -> Self {
        let (process, death, asked) = start(&stage).await;
        ledgers::watch(&stage).await;
        let asked = Mutex::new(asked);
        Self { stage, process, death, asked, runs: 0, outcomes: BTreeMap::new() }
    }

    async fn people(&mut self, character: &notes::Character) {
        let (paper, live) = character.accounts;
        for number in 0..paper + live {
            let (cash, held, strategy) = {
                let mut notes = self.stage.notes.lock();
                let strategy = notes.one(&["busy", "patient", "busy", "sixty-forty", "three-fund"]).unwrap_or("busy");
                (notes.number(2_000..60_000), notes.number(0..60), strategy)
            };
            let mut new = NewAccount::new("", Environment::Paper);
            new.cash = Decimal::from(cash);
            if held > 20 {
                new.positions = vec![("SPY".to_owned(), Decimal::from(held), None)];
            }
            self.stage.join(&self.process, number, (number >= paper, strategy), new).await;
        }
        // The first bell makes the strategies known; nothing is due yet.
        flow::tick::tick(&self.process.world, self.stage.clock.now()).await.unwrap();
    }

    /// Waits for a piece of work, or for the end of the process in the middle of it.
    async fn until_death<T>(&self, work: impl Future<Output = T>) -> Curtain<T> {
        tokio::pin!(work);
        let mut asked = self.asked.lock().await;
        loop {
            tokio::select! {
                biased;
                () = self.death.notified() => return Curtain::Fell,
                Some(Asked { act, point, done }) = asked.recv() => {
                    acts::perform_asked(&self.stage, &self.process, act, point).await;
                    done.send(()).unwrap_or_default();
                }
                done = &mut work => return Curtain::Done(done),
            }
        }
    }

    async fn day(&mut self, session: &Session, calm: bool) {
        self.morning(session).await;
        let slot = session.close - Span::from_mins(15);
        self.stage.clock.set(slot);
        self.stage.sync();
        self.stage.notes.lock().say(format_args!("== {slot}"));
        self.stage.notes.lock().calm = calm;
        self.carry_on(false).await;
        // Faults stop; everything that is due must come to an end.
        self.stage.notes.lock().calm = true;
        self.stage.sim.clear_faults();
        self.stage.notes.lock().frozen.clear();
        self.stage.clock.set(session.close + Span::from_hours(1));
        self.stage.sync();
        self.carry_on(true).await;
        judge::day(&self.stage, &self.process, session.open).await;
    }

    /// What people do before a day: reconnect, approve again, release halts, and bring money.
    async fn morning(&mut self, session: &Session) {
        self.stage.clock.set(session.open - Span::from_mins(30));
        self.stage.sync();
        let stage = Arc::clone(&self.stage);
        let world = &self.process.world;
        let now = stage.clock.now();
        for halt in world.store.halts(true).await.unwrap() {
            world.store.resume(&halt.scope, &Actor::operator("ada"), now).await.unwrap();
        }
        let left = {
            let mut notes = stage.notes.lock();
            notes.halted.clear();
            notes.stopped.clear();
            notes.frozen.clear();
            notes.touched.clear();
            notes.lied_worlds.clear();
            notes.ghosts.clear();
            notes.lied_quotes.clear();
            notes.lied_calendar = false;
            notes.untradable.clear();
            notes.left.clone()
        };
        for symbol in ["SPY", "AGG", "GLD"] {
            let patch = AssetPatch { halted: Some(false), ..AssetPatch::default() };
            stage.sim.with_exchange(|exchange, now| exchange.change_asset(now, symbol, patch)).unwrap();
        }
        let accounts = world.store.accounts().await.unwrap();
        for member in stage.members().into_iter().filter(|member| !left.contains(&member.account)) {
            let health = accounts.iter().find(|it| it.id.as_str() == member.account).map(|it| it.health.code());
            let revoked =
                stage.sim.grants().iter().all(|grant| grant.person != member.person || grant.revoked_at.is_some());
            if health != Some("active") || revoked {
                stage.connect(&self.process, &member).await;
            }
            if stage.notes.lock().forbidden.remove(&member.account).is_some() {
                stage.approve(&self.process, &member).await;
            }
            if stage.notes.lock().chance(150) {
                let amount = stage.notes.lock().number(10..4_000);
                let paid = |exchange: &mut alpaca_sim::exchange::Exchange, now| {
                    exchange.transfer(now, &member.account, Decimal::from(amount)).map(drop)
                };
                stage.sim.with_exchange(paid).unwrap();
            }
        }
    }

    /// Rings the bell and carries runs on, through kills and drops, until nothing is left; or as far as one gets.
    async fn carry_on(&mut self, to_the_end: bool) {
        for _ in 0..ROUNDS {
            let process = Arc::clone(&self.process);
            let worked = Box::pin(self.until_death(self.work(&process))).await;
            match worked {
                Curtain::Done((ended, error)) => {
                    self.learn(ended);
                    if let Some(error) = error {
                        self.stage.notes.lock().say(format_args!("the line stopped: {error}"));
                    }
                    let queue = self.process.world.store.queue(self.stage.clock.now()).await.unwrap();
                    if queue.due + queue.running == 0 {
                        return;
                    }
                    self.stage.clock.set(self.stage.clock.now() + PAST_THE_LEASE);
                }
                Curtain::Fell => self.fell().await,
            }
        }
        if to_the_end {
            self.stage.notes.lock().violation("L1: a run came to no end although nothing goes wrong any more");
        }
    }

    fn learn(&mut self, ended: Vec<Outcome>) {
        for outcome in ended {
            self.runs += 1;
            *self.outcomes.entry(format!("{} {}", outcome.kind.code(), outcome.reason)).or_default() += 1;
        }
    }

    /// The process died or a future was dropped: time passes, and somebody goes on.
    async fn fell(&mut self) {
        let died = {
            let mut notes = self.stage.notes.lock();
            notes.run_of = None;
            notes.superseded = None;
            notes.dropped = false;
            std::mem::take(&mut notes.crashed)
        };
        // What ended before the fall is in the database; the day's judge reads it there.
        if died {
            self.process.world.store.shut().await;
            let down = self.stage.notes.lock().number(1..200);
            self.stage.clock.set(self.stage.clock.now() + Span::from_secs(down));
            let (process, death, asked) = start(&self.stage).await;
            self.process = process;
            self.death = death;
            self.asked = Mutex::new(asked);
        } else {
            self.stage.clock.set(self.stage.clock.now() + PAST_THE_LEASE);
        }
    }

    /// One round of the daemon's loop: what is due, and all that can be claimed. An error of the store leaves the rest to
    /// the next round.
    async fn work(&self, process: &Process) -> (Vec<Outcome>, Option<store::Error>) {
        let mut ended = Vec::new();
        let world = &process.world;
        if let Err(error) = flow::tick::tick(world, self.stage.clock.now()).await {
            return (ended, Some(error));
        }
        loop {
            let now = self.stage.clock.now();
            let claims = match world.store.claim(64, now, now + Span::from_mins(10)).await {
                Ok(claims) => claims,
                Err(error) => return (ended, Some(error)),
            };
            if claims.is_empty() {
                return (ended, None);
            }
            for claim in claims {
                match self.run(process, claim).await {
                    Ok(outcome) => ended.push(outcome),
                    Err(error) => self.stage.notes.lock().say(format_args!("the run stopped: {error}")),
                }
            }
        }
    }

    /// One run, as a worker carries it: a panic ends it, and it alone.
    async fn run(&self, process: &Process, claim: AnyClaim) -> Result<Outcome, store::Error> {
        let (held, id) = (claim.held(), claim.run().id.clone());
        let has_books = process.world.store.books(&held.account).await?.is_some();
        let before = {
            let mut notes = self.stage.notes.lock();
            notes.run_of = Some(held.account.to_string());
            notes.has_books = has_books;
            notes.compared = claim.run().reason.is_some();
            notes.at_work = Some(id.to_string());
            notes.requests
        };
        let carried = AssertUnwindSafe(rebalance::rebalance(&process.world, claim)).catch_unwind().await;
        let asked = {
            let mut notes = self.stage.notes.lock();
            notes.run_of = None;
            notes.superseded = None;
            notes.ghosts.values_mut().for_each(|fresh| *fresh = false);
            notes.at_work = None;
            notes.requests - before
        };
        let ended = if let Ok(ended) = carried {
            ended?
        } else {
            let outcome = Outcome::ended(OutcomeKind::Quarantined, EndReason::InternalFault, "its code failed");
            if !rebalance::failed(&process.world, &held, &outcome).await? {
                return Err(store::Error::ClaimLost { run: held.run.to_string() });
            }
            outcome
        };
        let intents = process.world.store.intents_of(&id).await?;
        let orders = intents.len() as u64;
        let mut notes = self.stage.notes.lock();
        let together = notes.for_all.get(id.as_str()).copied().unwrap_or_default();
        for intent in intents {
            let alone = notes.for_one.get(intent.client_order_id.as_str()).copied().unwrap_or_default();
            notes.per_order.push(alone + together);
            notes.alone = notes.alone.max(alone);
            notes.again += u64::from(intent.attempt > 1 && intent.order.is_some());
            if alone > ALONE || alone + together > PER_ORDER {
                let (one, account) = (&intent.client_order_id, &held.account);
                notes.violation(format_args!("L10: {alone} requests for {one} and {together} for its run, {account}"));
            }
        }
        if notes.character.quiet {
            let beyond = asked.saturating_sub(QUIET_PER_ORDER * orders);
            notes.beyond = notes.beyond.max(beyond);
            if beyond > QUIET_LOOKS {
                notes.violation(format_args!(
                    "L10: a quiet run of {} took {asked} requests for {orders} orders",
                    held.account
                ));
            }
        }
        // A look may take a hundred requests when everything goes wrong, and an order that waited looks by itself; beyond that
        // it is a loop (L10).
        if asked > 100 * orders + 120 {
            notes.violation(format_args!("L10: a run of {} took {asked} requests for {orders} orders", held.account));
        }
        // An account is halted for what nobody can explain, and for nothing else.
        if ended.detail.contains("its own rows come to") && !notes.ghosts.contains_key(held.account.as_str()) {
            notes.violation(format_args!("S15: {} is explained, and was halted: {}", held.account, ended.detail));
        }
        if ended.kind == OutcomeKind::Quarantined {
            notes.halted.insert(held.account.to_string());
        }
        notes.say(format_args!("{} ended: {} {} {}", held.account, ended.kind, ended.reason, ended.detail));
        Ok(ended)
    }

    /// After the storm: every connected account's run of a normal day is completed, or says that there was nothing to do.
    async fn works_again(&mut self, session: &Session) {
        let runs = self.process.world.store.runs(&store::RunFilter::all()).await.unwrap();
        let slot = session.close - Span::from_mins(15);
        let left = self.stage.notes.lock().left.clone();
        for run in runs.iter().filter(|run| run.slot == slot && !left.contains(run.account.as_str())) {
            let ended = run.outcome.as_ref();
            let fine = ended.is_some_and(|ended| {
                // Whose user sold everything by hand waits for a person, as long as that is so (row 44).
                let is_bare = || judge::holds_nothing(&self.stage, run.account.as_str());
                ended.kind == "completed"
                    || ["max_turnover", "price_missing"].contains(&ended.reason.as_str())
                    || (ended.reason == "empty_world" && is_bare())
            });
            if !fine {
                self.stage.notes.lock().violation(format_args!("after the storm {} ends as {ended:?}", run.account));
            }
        }
        let members = self.stage.members();
        for member in members.iter().filter(|member| !left.contains(&member.account)) {
            let mine = runs.iter().filter(|run| run.slot == slot && run.account.as_str() == member.account);
            // At a quarter to four a half day has closed.
            let daily = member.strategy != "three-fund" && session.close.since(session.open) > Span::from_hours(6);
            if daily && mine.count() != 1 {
                self.stage.notes.lock().violation(format_args!("L4: {} has no run at {slot}", member.account));
            }
            let done = runs.iter().any(|run| {
                let ended = run.outcome.as_ref().is_some_and(|ended| ended.kind == "completed");
                ended && run.slot == slot && run.account.as_str() == member.account
            });
            if done && matches!(member.strategy, "busy" | "patient") {
                judge::on_target(&self.stage, &member.account);
            }
        }
    }

    async fn told(self, seed: u64, days: usize) -> Told {
        let hash = judge::trace(&self.stage, &self.process).await;
        let orders = self.stage.sim.ledger().orders.len() as u64;
        self.process.world.store.shut().await;
        let members = self.stage.members().len();
        let mut notes = self.stage.notes.lock();
        Told {
            seed,
            hash,
            account_days: (days * members) as u64,
            runs: self.runs,
            orders,
            requests: notes.requests,
            injected: notes.injected,
            kills: notes.kills,
            rows: std::mem::take(&mut notes.rows),
            per_order: std::mem::take(&mut notes.per_order),
            alone: notes.alone,
            again: notes.again,
            beyond: notes.beyond,
            outcomes: self.outcomes,
            violations: std::mem::take(&mut notes.violations),
            lines: std::mem::take(&mut notes.lines),
        }
    }
}

/// Starts processes until one has come through its own start.
async fn start(stage: &Arc<Stage>) -> (Arc<Process>, Arc<Notify>, UnboundedReceiver<Asked>) {
    loop {
        let death = Arc::new(Notify::new());
        let (ask, asked) = mpsc::unbounded_channel();
        let gremlin = Gremlin { stage: Arc::clone(stage), death: Arc::clone(&death), ask };
        let process = Arc::new(Process::open(stage, Some(Points::watched(Arc::new(gremlin))), false).await);
        stage.notes.lock().recovering = true;
        let recovered = tokio::select! {
            biased;
            () = death.notified() => None,
            recovered = flow::recover::recover(&process.world) => Some(recovered),
        };
        stage.notes.lock().recovering = false;
        if let Some(recovered) = recovered {
            if let Err(error) = recovered {
                stage.notes.lock().violation(format_args!("L3: the start failed: {error}"));
            }
            return (process, death, asked);
        }
        stage.notes.lock().crashed = false;
        process.world.store.shut().await;
        later(stage, Span::from_secs(3));
    }
}

fn later(stage: &Stage, by: Span) -> Moment {
    let moment = stage.clock.now() + by;
    stage.clock.set(moment);
    moment
}
