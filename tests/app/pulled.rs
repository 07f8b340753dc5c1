//! The kill switch of the shipped program: pulled by HTTP and by a signal while orders leave, and asked to cancel what is
//! open. Judged by the broker's ledger (row 82).

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use alpaca_sim::exchange::asset::AssetPatch;
use alpaca_sim::{ConsentMode, Sim};
use rebalanced::edge::store::{RunFilter, Store};
use rebalanced::model::event::Actor;
use rebalanced::model::ids::AccountId;
use rebalanced::model::run::RunState;
use rebalanced::model::time::Moment;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::broker::{Broker, broker, connects};
use crate::search::Seen;
use crate::support::{Daemon, PATIENCE, Scratch, TOKEN, http};

const PULLS: usize = 20;
pub const SYMBOLS: [&str; 10] = ["KO", "PG", "JNJ", "XOM", "CVX", "WMT", "PFE", "PEP", "MRK", "HD"];

/// The service, its broker and both their ends.
pub struct Service {
    pub runtime: Runtime,
    pub broker: Broker,
    pub sim: Sim,
    pub address: String,
    pub scratch: Scratch,
    pub daemon: Daemon,
    pub store: Store,
}

/// Due once a year, so that a run begins when the test asks for it.
pub fn strategy(symbols: &[&str], orders: &str) -> String {
    let percent = Decimal::from(95) / Decimal::from(symbols.len());
    let weights: Vec<String> =
        symbols.iter().map(|name| format!("[[weights]]\nsymbol = \"{name}\"\npercent = {percent}\n")).collect();
    let schedule = "name = \"sixty-forty\"\n[schedule]\ncron = \"0 45 15 1 1 *\"\n";
    format!("{schedule}{}[cash]\npercent = 5\n{orders}", weights.concat())
}

impl Service {
    pub fn new(strategy: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let state = Broker::default();
        let (sim, address) = runtime.block_on(broker(&state));
        let scratch = Scratch::new();
        let config = std::fs::read_to_string(scratch.config()).unwrap().replace("127.0.0.1:9/", &format!("{address}/"));
        let clock = format!("[clock]\nurl = \"http://{address}/sim/clock\"\n[runs]\norder_wait_seconds = 3600\n");
        // This clock runs sixty times as fast: the default of 15 seconds is a quarter of a second, less than a busy machine takes.
        let clock = format!("{clock}[limits]\nmax_quote_age_seconds = 600\n");
        std::fs::write(scratch.config(), format!("{config}{clock}")).unwrap();
        scratch.write("strategies/sixty-forty.toml", strategy);
        let daemon = scratch.daemon();
        let database = format!("sqlite:{}", scratch.path().join("rebalanced.sqlite").display());
        let store = runtime.block_on(Store::open(&database)).unwrap();
        Self { runtime, broker: state, sim, address, scratch, daemon, store }
    }

    /// A new user, whose run is due; their account and their token.
    fn due(&self, name: &str) -> (AccountId, String) {
        let (account, token) = self.connected(name);
        self.trigger(&account);
        (account, token)
    }

    /// A new user; their account and their token.
    pub fn connected(&self, name: &str) -> (AccountId, String) {
        let known = self.broker.secrets.lock().unwrap().clone();
        connects(
            &self.daemon,
            &self.sim,
            (&self.broker, &self.address),
            (name, ConsentMode::Auto),
            &mut Seen::default(),
        );
        let new = self.broker.secrets.lock().unwrap().clone();
        let environment = alpaca_sim::Environment::Paper;
        let token = new.difference(&known).find(|secret| self.sim.account_of_token(secret, environment).is_some());
        let token = token.unwrap().clone();
        let account = AccountId::parse(&self.sim.account_of_token(&token, environment).unwrap()).unwrap();
        (account, token)
    }

    /// Has a run of the account come due.
    pub fn trigger(&self, account: &AccountId) {
        let now = Moment::from(self.sim.now());
        self.runtime.block_on(async {
            let all = self.store.subscriptions(true).await.unwrap();
            let mine = all.into_iter().find(|subscription| subscription.account == *account).unwrap();
            self.store.trigger(&mine.id, now, &Actor::operator("ann")).await.unwrap();
        });
    }

    /// When the orders of a token came.
    pub fn orders_of(&self, token: &str) -> Vec<Instant> {
        let orders = self.broker.orders.lock().unwrap();
        orders.iter().filter(|(_, with)| with == token).map(|(at, _)| *at).collect()
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let bearer = format!("Bearer {TOKEN}");
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
        let answer = http("POST", &self.daemon.operator, path, &headers, &body.to_string());
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    pub fn is_closed(&self, account: &AccountId) -> bool {
        let filter = RunFilter { account: Some(account.clone()), ..RunFilter::all() };
        let runs = self.runtime.block_on(self.store.runs(&filter)).unwrap();
        runs.iter().all(|run| run.state == RunState::Closed)
    }

    fn is_halted(&self) -> bool {
        !self.runtime.block_on(self.store.halts(true)).unwrap().is_empty()
    }
}

pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < until, "never came: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn row_82_the_shipped_program_sends_its_last_order_at_most_250_ms_after_an_http_call_or_a_signal() {
    let service = Service::new(&strategy(&SYMBOLS, ""));
    service.broker.slow.store(1, Ordering::SeqCst);
    for pull in ["http", "signal"] {
        let (mut latencies, mut cut_short) = (Vec::new(), 0);
        for trial in 0..PULLS {
            let (account, token) = service.due(&format!("{pull}-{trial}"));
            let before = 1 + trial % (SYMBOLS.len() - 2);
            wait_until("orders that leave", || service.orders_of(&token).len() >= before);
            let pulled = Instant::now();
            if pull == "http" {
                service.post("/api/v1/halts", &json!({ "by": "ann", "reason": "drill" }));
            } else {
                let process = rustix::process::Pid::from_raw(i32::try_from(service.daemon.id()).unwrap()).unwrap();
                rustix::process::kill_process(process, rustix::process::Signal::USR1).unwrap();
            }
            wait_until("the halt", || service.is_halted());
            wait_until("the end of the run", || service.is_closed(&account));
            let orders = service.orders_of(&token);
            cut_short += usize::from(orders.len() < SYMBOLS.len());
            latencies.push(orders.last().unwrap().saturating_duration_since(pulled));
            service.post("/api/v1/halts/resume", &json!({ "by": "ann" }));
        }
        let slowest = latencies.iter().max().unwrap();
        println!("the shipped program halted by {pull}: {PULLS} pulls, {cut_short} in the middle, p99 {slowest:?}");
        assert!(*slowest <= Duration::from_millis(250), "{pull}: {latencies:?}");
        assert!(cut_short >= PULLS / 2, "{pull}: the pulls strike while orders leave: {cut_short}");
    }
}

/// Whether these bytes lie anywhere in the database's files, as they are or in a text form.
fn lie_in_files(scratch: &Scratch, bytes: &[u8]) -> bool {
    use base64::Engine;
    let base64 = base64::engine::general_purpose::STANDARD_NO_PAD.encode(bytes);
    let all =
        [bytes.to_vec(), hex::encode(bytes).into_bytes(), hex::encode_upper(bytes).into_bytes(), base64.into_bytes()];
    ["", "-wal", "-shm", "-journal"].iter().any(|suffix| {
        let file = std::fs::read(scratch.path().join(format!("rebalanced.sqlite{suffix}"))).unwrap_or_default();
        all.iter().any(|form| file.windows(form.len()).any(|window| window == form))
    })
}

#[test]
fn rows_82_84_open_orders_are_cancelled_by_command_and_http_and_a_leaving_user_leaves_nothing_behind() {
    let service = Service::new(&strategy(&["SPY", "AGG"], "[orders]\ntype = \"limit\"\n"));
    for symbol in ["SPY", "AGG"] {
        let stopped = AssetPatch { halted: Some(true), ..AssetPatch::default() };
        service.sim.with_exchange(|exchange, now| exchange.change_asset(now, symbol, stopped)).unwrap();
    }
    let users: Vec<(AccountId, String)> = (0..4).map(|number| service.due(&format!("user-{number}"))).collect();
    let unsettled = || service.runtime.block_on(service.store.unsettled()).unwrap();
    wait_until("eight open orders", || unsettled().iter().filter(|intent| intent.order.is_some()).count() == 8);
    let cancelled = |answer: &Value, account: Option<&AccountId>| {
        let orders = answer["orders"].as_array().unwrap();
        assert!(orders.iter().all(|order| order["fate"] == "cancelled"), "{answer}");
        assert!(account.is_none_or(|id| orders.iter().all(|order| order["account"] == id.as_str())), "{answer}");
        orders.len()
    };
    // A user leaves by a command, beside the daemon that waits for their orders.
    let (leaver, token) = &users[0];
    let kept = |account: &AccountId| service.runtime.block_on(service.store.sealed_token(account)).unwrap();
    let (theirs, others) = (kept(leaver).unwrap().sealed.bytes, kept(&users[1].0).unwrap().sealed.bytes);
    assert!(lie_in_files(&service.scratch, &theirs) && lie_in_files(&service.scratch, &others), "the search finds");
    let sent = service.orders_of(token).len();
    let left = service.scratch.line(&format!("users disconnect {leaver} --by ann --json")).ok().json();
    assert_eq!(cancelled(&left, Some(leaver)), 2);
    assert!(kept(leaver).is_none());
    assert!(!lie_in_files(&service.scratch, &theirs), "the sealed token is in no file any more");
    assert!(!lie_in_files(&service.scratch, token.as_bytes()), "and the token itself never was");
    assert!(lie_in_files(&service.scratch, &others), "the others' are");
    // One account by command, then all by HTTP.
    let one = &users[1].0;
    let halt = format!("halt --account {one} --by ann --reason drill --cancel-orders --json");
    assert_eq!(cancelled(&service.scratch.line(&halt).ok().json(), Some(one)), 2);
    // An order whose end the daemon has not seen yet is asked for once more.
    wait_until("four ends on record", || unsettled().len() == 4);
    let all = service.post("/api/v1/halts", &json!({ "by": "ann", "reason": "drill", "cancel_orders": true }));
    assert_eq!(cancelled(&all, None), 4, "those that were open still");
    let orders = service.sim.ledger().orders;
    assert!(orders.len() == 8 && orders.iter().all(|record| record.order.status.as_str() == "canceled"));
    for (account, _) in &users {
        wait_until("the end of every run", || service.is_closed(account));
    }
    assert_eq!(service.orders_of(token).len(), sent, "0 orders after a user has left");
    assert_eq!(service.sim.ledger().orders.len(), 8, "nothing was sent again");
}
