//! What happens at a crossing: the program is killed, or the world goes on behind its back.
//!
//! Always: what needs the database happens only where no transaction is under way; everything else happens anywhere.

use std::sync::Arc;

use alpaca_sim::Sim;
use alpaca_sim::exchange::asset::AssetPatch;
use alpaca_sim::exchange::order::{OrderFilter, OrderStatus, Side};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use rebalanced::edge::clock::VirtualClock;
use rebalanced::edge::points::{Point, Watcher};
use rebalanced::flow;
use rebalanced::flow::approve::{self, Desk};
use rebalanced::model::event::Actor;
use rebalanced::model::ids::AccountId;
use rebalanced::model::mandate::HaltScope;
use rebalanced::model::time::Span;
use rust_decimal::Decimal;
use tokio::sync::{Notify, mpsc, oneshot};

use super::notes::Shared;
use super::stage::{Process, Stage};
use super::wire::by_hand;

macro_rules! acts {
    ($($(#[$doc:meta])* $name:ident = ($row:literal, $needs_database:literal)),+ $(,)?) => {
        /// One kind.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Act { $($(#[$doc])* $name),+ }

        impl Act {
            /// Every kind.
            pub(crate) const ALL: &[Self] = &[$(Self::$name),+];

            /// The row of the fault matrix.
            pub(crate) const fn row(self) -> u32 {
                match self { $(Self::$name => $row),+ }
            }

            /// Whether it writes to the database.
            const fn needs_database(self) -> bool {
                match self { $(Self::$name => $needs_database),+ }
            }
        }
    };
}

acts! {
    /// The process dies here.
    Kill = (14, false),
    /// The run's future is dropped here, and the process lives.
    Drop = (19, false),
    /// The run's code panics here.
    Panic = (20, false),
    /// An order is part filled, and then nothing comes.
    Stuck = (26, false),
    /// A cancellation hangs.
    PendingCancel = (28, false),
    /// A state that is rare.
    RareState = (33, false),
    /// The user trades by hand.
    TradeByHand = (34, false),
    /// The user cancels our order by hand.
    CancelByHand = (34, false),
    /// Prices fall or rise before the buys.
    Price = (31, false),
    /// Trading in a symbol is halted for a while.
    MarketHalt = (52, false),
    /// A split.
    Split = (53, false),
    /// Money comes, goes, or a fee is taken.
    Money = (55, false),
    /// The clock jumps by seconds.
    ClockJump = (49, false),
    /// The process sleeps for minutes to hours.
    Suspended = (50, false),
    /// Another worker takes the run over and finishes it while this one stands still.
    Takeover = (68, true),
    /// The user takes the token back.
    Revoked = (75, false),
    /// A live flag is withdrawn.
    Withdrawn = (78, true),
    /// The kill switch is pulled.
    Halt = (82, true),
    /// The user leaves.
    Left = (84, true),
    /// A person wants a run now.
    Manual = (88, true),
}

/// An act that needs the database: the history performs it while the daemon stands still at its crossing.
#[derive(Debug)]
pub(crate) struct Asked {
    pub act: Act,
    pub point: Point,
    /// Told when it has been done.
    pub done: oneshot::Sender<()>,
}

/// Watches every crossing of one process, and lets things happen.
pub(crate) struct Gremlin {
    pub stage: Arc<Stage>,
    /// Rung when the process is to die.
    pub death: Arc<Notify>,
    /// Where acts that need the database are asked for.
    pub ask: mpsc::UnboundedSender<Asked>,
}

impl Watcher for Gremlin {
    fn crossed(&self, point: Point) -> BoxFuture<'static, ()> {
        let Some(act) = self.draw(point) else { return std::future::ready(()).boxed() };
        let stage = Arc::clone(&self.stage);
        match act {
            Act::Kill | Act::Drop => {
                let mut notes = stage.notes.lock();
                let row = if act == Act::Kill && notes.recovering { 16 } else { act.row() };
                notes.forget_echo();
                notes.inject(row, format_args!("{act:?} at {point}"));
                notes.crashed = act == Act::Kill;
                notes.dropped = act == Act::Drop;
                notes.kills += u64::from(act == Act::Kill);
                self.death.notify_one();
                std::future::pending().boxed()
            }
            Act::Panic => {
                stage.notes.lock().forget_echo();
                stage.notes.lock().inject(act.row(), format_args!("panic at {point}"));
                async { std::panic::resume_unwind(Box::new("drawn")) }.boxed()
            }
            _ if act.needs_database() => {
                let (done, told) = oneshot::channel();
                let asked = self.ask.send(Asked { act, point, done }).is_ok();
                async move {
                    if asked {
                        drop(told.await);
                    }
                }
                .boxed()
            }
            _ => {
                if let Some((row, what)) = perform(&stage, act) {
                    stage.notes.lock().inject(row, format_args!("{act:?} at {point}: {what}"));
                }
                std::future::ready(()).boxed()
            }
        }
    }
}

/// Whether nothing of the daemon's comes between this point and the first byte of an order.
fn is_last(point: Point) -> bool {
    point.name() == "broker.submit.asking"
}

impl Gremlin {
    fn draw(&self, point: Point) -> Option<Act> {
        let mut notes = self.stage.notes.lock();
        if !point.name().starts_with("broker.") && !point.name().starts_with("store.") {
            notes.polling = point.name().ends_with(".polling");
        }
        if notes.calm || notes.crashed || notes.dropped {
            return None;
        }
        let rate = notes.character.act_rate;
        // Between the record and the send is where a flag that is withdrawn must still be seen.
        let last_chance = [".recorded", ".next", ".settled"].iter().any(|end| point.name().ends_with(end));
        if last_chance && notes.chance(rate * 4) {
            let act = if notes.chance(600) { Act::Withdrawn } else { Act::Halt };
            return Some(act).filter(|act| notes.character.acts.contains(act));
        }
        // Between the last look and the first byte is where a process that slept must look again.
        if point.name().ends_with(".leaving") && notes.chance(rate * 2) {
            return Some(Act::Suspended).filter(|act| notes.character.acts.contains(act));
        }
        if !notes.chance(rate) {
            return None;
        }
        let (last, looked) = (is_last(point), point.name().ends_with(".leaving"));
        let is_free = !point.name().starts_with("store.") || point.name().ends_with(".committed");
        // A panic and a dropped run concern a run; outside one there is none to drop.
        let in_run = notes.in_run();
        let able: Vec<Act> = notes
            .character
            .acts
            .iter()
            .copied()
            .filter(|act| is_free || !act.needs_database())
            // The last look has been taken: what comes in the instant before the first byte, nobody can see (S8 allows it
            // a quarter of a second).
            .filter(|act| !last || !matches!(act, Act::Suspended | Act::ClockJump | Act::Takeover))
            .filter(|act| !(last || looked) || !matches!(act, Act::Halt | Act::Withdrawn | Act::Left))
            .filter(|act| in_run || matches!(act, Act::Kill | Act::ClockJump | Act::Money | Act::TradeByHand))
            .collect();
        notes.one(&able)
    }
}

/// Does it; says what and of which row, or that there was nothing to do it to.
fn perform(stage: &Stage, act: Act) -> Option<(u32, String)> {
    if act == Act::ClockJump {
        return Some((act.row(), jump(&stage.clock, &stage.notes, 1..60)));
    }
    let account = stage.notes.lock().current()?;
    match act {
        Act::RareState => rare_state(stage, &account),
        Act::MarketHalt => market_halt(stage, &account),
        _ => in_account(stage, act, &account).map(|what| (act.row(), what)),
    }
}

/// A refusal after the order was accepted is row 11.
fn rare_state(stage: &Stage, account: &str) -> Option<(u32, String)> {
    let states = [
        OrderStatus::Stopped,
        OrderStatus::Calculated,
        OrderStatus::DoneForDay,
        OrderStatus::Held,
        OrderStatus::Rejected,
        OrderStatus::Expired,
    ];
    let state = stage.notes.lock().one(&states)?;
    let row = if state == OrderStatus::Rejected { 11 } else { Act::RareState.row() };
    force(stage, account, state).map(|what| (row, what))
}

fn in_account(stage: &Stage, act: Act, account: &str) -> Option<String> {
    match act {
        Act::Suspended => {
            let most = if stage.notes.lock().chance(500) { 6_000 } else { 600 };
            Some(jump(&stage.clock, &stage.notes, 60..most))
        }
        Act::Stuck => force(stage, account, OrderStatus::Suspended),
        Act::PendingCancel => force(stage, account, OrderStatus::PendingCancel),
        Act::TradeByHand => trade_by_hand(stage, account),
        Act::CancelByHand => cancel_by_hand(stage, account),
        Act::Price => price(stage),
        Act::Split => split(stage),
        Act::Money => money(stage, account),
        Act::Revoked => {
            let person = stage.person_of(account)?;
            stage.sync();
            (!stage.sim.revoke_person(&person).is_empty()).then(|| format!("{person} takes the token back"))
        }
        _ => None,
    }
}

/// Does what needs the database.
pub(crate) async fn perform_asked(stage: &Arc<Stage>, process: &Process, act: Act, point: Point) {
    let Some(account) = stage.notes.lock().current() else { return };
    let before = std::mem::replace(&mut stage.notes.lock().calm, true);
    let did = match act {
        Act::Takeover => takeover(stage, account).await,
        _ => by_person(stage, process, act, &account).await,
    };
    stage.notes.lock().calm = before;
    if let Some(what) = did {
        stage.notes.lock().inject(act.row(), format_args!("{act:?} at {point}: {what}"));
    }
}

fn jump(clock: &VirtualClock, notes: &Shared, seconds: std::ops::Range<i64>) -> String {
    let by = notes.lock().number(seconds);
    clock.set(clock.now() + Span::from_secs(by));
    format!("{by} s")
}

fn open_orders(sim: &Sim, account: &str) -> Vec<alpaca_sim::exchange::order::Order> {
    let all = sim.with_exchange(|exchange, now| exchange.orders(now, account, &OrderFilter::default()));
    all.unwrap_or_default().into_iter().filter(|order| !order.status.is_terminal()).collect()
}

fn force(stage: &Stage, account: &str, state: OrderStatus) -> Option<String> {
    stage.sync();
    let order = open_orders(&stage.sim, account).into_iter().find(|order| order.client_order_id.starts_with("rb1-"))?;
    stage.sim.with_exchange(|exchange, now| exchange.force_status(now, account, &order.id, state)).ok()?;
    Some(format!("{} is {}", order.client_order_id, state.as_str()))
}

fn trade_by_hand(stage: &Stage, account: &str) -> Option<String> {
    stage.sync();
    let (side, dollars, symbol) = {
        let mut notes = stage.notes.lock();
        notes.touched.insert(account.to_owned());
        let side = if notes.chance(500) { Side::Buy } else { Side::Sell };
        (side, Decimal::from(notes.number(5..3_000)), notes.one(&["SPY", "AGG", "IEF", "GLD"])?)
    };
    let order = by_hand(symbol, side, dollars);
    let sent = stage.sim.with_exchange(|exchange, now| exchange.submit(now, account, order));
    sent.ok().map(|_| format!("the user's own {side:?} of {symbol} for {dollars}"))
}

fn cancel_by_hand(stage: &Stage, account: &str) -> Option<String> {
    stage.sync();
    let order = open_orders(&stage.sim, account).pop()?;
    stage.sim.with_exchange(|exchange, now| exchange.cancel(now, account, &order.id)).ok()?;
    Some(format!("{} cancelled by hand", order.client_order_id))
}

fn price(stage: &Stage) -> Option<String> {
    stage.sync();
    let (symbol, percent) = {
        let mut notes = stage.notes.lock();
        (notes.one(&["SPY", "AGG", "GLD"])?, notes.number(88..113))
    };
    let factor = Decimal::new(percent, 2);
    stage.sim.with_exchange(|exchange, now| exchange.scale_price(now, symbol, factor)).ok()?;
    Some(format!("{symbol} is worth {percent}% of what it was"))
}

/// Where a sale is open, it is its symbol, and nothing is sold any more (row 30).
fn market_halt(stage: &Stage, account: &str) -> Option<(u32, String)> {
    stage.sync();
    let sold = open_orders(&stage.sim, account).into_iter().find(|order| order.side == Side::Sell);
    let symbol = stage.notes.lock().one(&["SPY", "AGG", "GLD"])?;
    let (row, symbol) = sold.as_ref().map_or((Act::MarketHalt.row(), symbol), |order| (30, &*order.symbol));
    let patch = AssetPatch { halted: Some(true), ..AssetPatch::default() };
    stage.sim.with_exchange(|exchange, now| exchange.change_asset(now, symbol, patch)).ok()?;
    stage.notes.lock().stopped.insert(symbol.to_owned()).then(|| (row, format!("trading in {symbol} is halted")))
}

fn split(stage: &Stage) -> Option<String> {
    stage.sync();
    let (symbol, (old, new)) = {
        let mut notes = stage.notes.lock();
        let all = stage.accounts();
        notes.touched.extend(all);
        (notes.one(&["SPY", "GLD"])?, notes.one(&[(1, 2), (1, 4), (10, 1), (2, 3)])?)
    };
    stage.sim.with_exchange(|exchange, now| exchange.split(now, symbol, old, new)).ok()?;
    Some(format!("{symbol} is split {new} for {old}"))
}

fn money(stage: &Stage, account: &str) -> Option<String> {
    stage.sync();
    let amount = {
        let mut notes = stage.notes.lock();
        notes.touched.insert(account.to_owned());
        Decimal::from(notes.number(-900..3_000))
    };
    stage.sim.with_exchange(|exchange, now| exchange.transfer(now, account, amount)).ok()?;
    Some(format!("{amount} dollars move"))
}

async fn takeover(stage: &Arc<Stage>, account: String) -> Option<String> {
    // Only one at a time, and only a run that somebody has.
    if stage.notes.lock().superseded.is_some() {
        return None;
    }
    stage.clock.set(stage.clock.now() + Span::from_mins(11));
    let second = Process::open(stage, None, true).await;
    stage.notes.lock().forget_echo();
    stage.notes.lock().superseded = Some(account);
    let now = stage.clock.now();
    let claims = second.world.store.claim(64, now, now + Span::from_mins(10)).await.unwrap_or_default();
    let took = !claims.is_empty();
    for claim in claims {
        let ended = flow::rebalance::rebalance(&second.world, claim).await;
        stage.notes.lock().say(format_args!("the second worker's run: {ended:?}"));
    }
    second.world.store.shut().await;
    took.then(|| "another worker has the run".to_owned())
}

async fn by_person(stage: &Arc<Stage>, process: &Process, act: Act, account: &str) -> Option<String> {
    let world = &process.world;
    let desk = Desk { store: &world.store, clock: &world.clock, entropy: &world.entropy };
    let id = AccountId::parse(account).ok()?;
    match act {
        Act::Halt => {
            let whole = stage.notes.lock().chance(300);
            let scope = if whole { HaltScope::Service } else { HaltScope::Account(id) };
            approve::halt(&desk, scope, ("ada", "drawn")).await.ok()?;
            let what = if whole { "service" } else { account };
            stage.notes.lock().halted.insert(what.to_owned()).then(|| format!("{what} is halted"))
        }
        Act::Left => {
            // The last account stays, or nothing would happen any more.
            if stage.notes.lock().left.len() + 1 >= stage.accounts().len() {
                return None;
            }
            flow::tokens::disconnect(&desk, &id, &Actor::operator("ada")).await.ok()?;
            let mut notes = stage.notes.lock();
            notes.left.insert(account.to_owned());
            notes.left_at.insert(account.to_owned(), stage.clock.now());
            notes.forbidden.insert(account.to_owned(), "its user has left");
            Some("the user leaves".to_owned())
        }
        Act::Withdrawn => {
            if !stage.is_live(account) {
                return None;
            }
            let mut approvals = world.store.approvals().await.ok()?;
            approvals.retain(|approval| approval.revoked.is_none() && stage.concerns(&approval.kind, account));
            let index = stage.notes.lock().number(0..i64::try_from(approvals.len().max(1)).ok()?);
            let chosen = approvals.get(usize::try_from(index).ok()?)?.kind.clone();
            // A strategy is approved once for each account that follows it: all of them go.
            for approval in approvals.iter().filter(|approval| approval.kind == chosen) {
                approve::revoke(&desk, &approval.id, "ada").await.ok()?;
            }
            let whose: Vec<String> = stage.accounts();
            let mut notes = stage.notes.lock();
            for account in whose {
                if stage.concerns(&chosen, &account) {
                    notes.forbidden.insert(account, "an approval of it was withdrawn");
                }
            }
            Some(format!("{} is withdrawn", chosen.code()))
        }
        Act::Manual => {
            let subscriptions = world.store.subscriptions(true).await.ok()?;
            let subscription = subscriptions.iter().find(|it| it.account == id)?;
            let at = stage.clock.now() + Span::from_secs(1);
            world.store.trigger(&subscription.id, at, &Actor::operator("ada")).await.ok()?;
            Some("a person wants a run".to_owned())
        }
        _ => None,
    }
}
