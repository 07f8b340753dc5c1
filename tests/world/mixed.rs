//! Row 79: paper and live mixed up in every way that a running service can meet. No order is on a wrong host.
//!
//! Four things name the environment of an order: the token, the row (of account and run), the host and the intent. Each of
//! them is changed alone and with the others, in the database and in the configuration, before a run begins and between the
//! commit of its orders and their sending. Inside the program there is nothing to change: `Access<Paper>`, `Claim<Paper>`,
//! `Cleared<Paper>`, `Recorded<Paper>` and their live twins do not convert, which `tests/types.rs` shows.

use rebalanced::edge::points;
use rebalanced::edge::vault::Owner;
use rebalanced::flow::approve::{self, Desk};
use rebalanced::flow::connect;
use rebalanced::model::environment::Kind;
use rebalanced::model::ids::{AccountId, StrategyName};
use rebalanced::model::mandate::{ApprovalKind, Bound, ServicePolicy};
use rebalanced::model::plan::Phase;
use rebalanced::model::secret::Secret;
use sqlx::Connection;

use crate::halfway::{dies_at, starts_again};
use crate::support::{Keeper, Setup, TestWorld, agreed, callback, new_york, on_both_databases, policy, wish};

const STRATEGY: &str = r#"
name = "mine"
[schedule]
cron = "0 45 10 * * Mon-Fri"
[[weights]]
symbol = "SPY"
percent = 60
[[weights]]
symbol = "AGG"
percent = 35
[cash]
percent = 5
"#;

/// Which of the person's accounts a token opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opens {
    Own,
    Other,
    Both,
}

/// What is not as it was when the account was connected.
#[derive(Debug, Clone, Copy)]
struct Mix {
    token: Opens,
    row: bool,
    host: bool,
    intent: bool,
}

impl Mix {
    fn all() -> impl Iterator<Item = Self> {
        [Opens::Own, Opens::Other, Opens::Both].into_iter().flat_map(|token| {
            (0..8).map(move |bits| Self { token, row: bits & 1 > 0, host: bits & 2 > 0, intent: bits & 4 > 0 })
        })
    }

    /// Whether orders leave all the same: a token that also opens the other account opens this one, and rows that were
    /// exchanged together with the hosts lead to the account's own host again.
    fn is_sound(self) -> bool {
        self.token != Opens::Other && self.row == self.host
    }
}

const fn other(kind: Kind) -> Kind {
    match kind {
        Kind::Paper => Kind::Live,
        Kind::Live => Kind::Paper,
    }
}

/// A person with two accounts, of which the one of this kind is connected and may trade.
async fn connected(on: Keeper, kind: Kind) -> (TestWorld, AccountId) {
    let setup = Setup {
        strategies: &[("mine.toml", STRATEGY)],
        policy: ServicePolicy { live_trading: true, app_approved: true, ..policy() },
        app_approved_at_broker: true,
        database: on,
        ..Setup::default()
    };
    let service = TestWorld::new(setup).await;
    service.sim.create_person(Some("ada"), "ada").unwrap();
    for environment in [alpaca_sim::Environment::Live, alpaca_sim::Environment::Paper] {
        let mut new = alpaca_sim::NewAccount::new("ada", environment);
        new.cash = rust_decimal::Decimal::from(20_000);
        service.sim.create_account(new).unwrap();
    }
    service.sim.set_consent(agreed("ada"));
    let (back, cookie) = service.at_the_broker("mine", Some(kind), "ada").await.unwrap();
    let account = connect::finish(&service.world, callback(&back, cookie)).await.unwrap().accounts.remove(0).account;
    let name = StrategyName::parse("mine").unwrap();
    let version = service.world.strategies.get(&name).unwrap().version().clone();
    let text_hash = service.world.policy.consent_texts[&name].clone();
    let desk = Desk { store: &service.world.store, clock: &service.world.clock, entropy: &service.world.entropy };
    for kind in [
        ApprovalKind::Consent { account: account.clone(), text_hash },
        ApprovalKind::Strategy { name: name.clone(), version },
        ApprovalKind::Subscription { account: account.clone(), name, bound: Bound::default() },
    ] {
        approve::grant(&desk, kind, ("ann", "test"), None).await.unwrap();
    }
    service.ring(new_york("2019-06-03T10:00:00")).await;
    (service, account)
}

/// Another token of the same person, sealed as if it were the account's own.
async fn replace_token(service: &TestWorld, account: &AccountId, opens: Option<Kind>) {
    let (back, _) = service.wishing(wish("mine", opens, "ada")).await.unwrap();
    let code = back.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned();
    let verifier = Secret::new("unused".to_owned());
    let token = service.world.alpaca.exchange_code(&Secret::new(code), &verifier).await.unwrap().token;
    let old = service.world.store.sealed_token(account).await.unwrap().unwrap();
    let owner = Owner { grant: &old.grant, user: &old.user };
    let sealed = service.world.vault.seal(owner, &token, &service.world.entropy).unwrap();
    assert!(service.world.store.reseal(&old, &sealed).await.unwrap());
}

async fn mix_up(service: &mut TestWorld, (account, kind): (&AccountId, Kind), mix: Mix) {
    match mix.token {
        Opens::Own => {}
        Opens::Other => replace_token(service, account, Some(other(kind))).await,
        Opens::Both => replace_token(service, account, None).await,
    }
    let mut link = sqlx::AnyConnection::connect(&service.url).await.unwrap();
    let rows = mix.row.then_some(["accounts", "runs"]).into_iter().flatten();
    for table in rows.chain(mix.intent.then_some("intents")) {
        let text = sqlx::AssertSqlSafe(format!("UPDATE {table} SET environment = $1"));
        sqlx::query(text).bind(other(kind).code()).execute(&mut link).await.unwrap();
    }
    if mix.host {
        service.exchange_hosts();
    }
}

async fn row_79_however_paper_and_live_are_mixed_up_no_order_is_on_a_wrong_host(on: Keeper) {
    let stride = if matches!(on, Keeper::Sqlite) { 1 } else { 5 };
    let (mut tried, mut sound, mut wrong) = (0, 0, Vec::new());
    let slot = new_york("2019-06-03T10:45:00");
    let cases = [Kind::Paper, Kind::Live]
        .into_iter()
        .flat_map(|kind| Mix::all().flat_map(move |mix| [true, false].map(|in_mid_run| (kind, mix, in_mid_run))));
    // Before a run there is no intent that could be changed.
    for (kind, mix, in_mid_run) in cases.filter(|(_, mix, in_mid_run)| *in_mid_run || !mix.intent).step_by(stride) {
        let (mut service, account) = connected(on, kind).await;
        if in_mid_run {
            dies_at(&mut service, points::RECORDED.of(Phase::Buy), slot).await;
            mix_up(&mut service, (&account, kind), mix).await;
        } else {
            mix_up(&mut service, (&account, kind), mix).await;
            service.clock.set(slot);
            rebalanced::flow::tick::tick(&service.world, slot).await.unwrap();
        }
        starts_again(&service).await;
        let orders = service.sim.ledger().orders;
        let elsewhere = orders.iter().any(|record| record.account.as_ref() != account.as_str());
        let right = mix.is_sound() && mix.intent == (mix.row && in_mid_run);
        if elsewhere || orders.len() != if right { 2 } else { 0 } {
            wrong.push(format!(
                "{kind}, {mix:?}, in mid-run: {in_mid_run}: {} orders, elsewhere: {elsewhere}",
                orders.len()
            ));
        }
        tried += 1;
        sound += usize::from(right);
    }
    println!(
        "{tried} mixes of token, row, host and intent on {on:?}, {sound} of them lead to the own host: orders on a wrong one: {}",
        wrong.len()
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(stride > 1 || (tried == 72 && sound == 16), "{tried} {sound}");
}

on_both_databases!(row_79_however_paper_and_live_are_mixed_up_no_order_is_on_a_wrong_host,);
