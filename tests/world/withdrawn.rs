//! Row 78: each flag of a live order withdrawn between plan and send, at every step of the run. Whatever leaves after the
//! withdrawal would be an order that nobody allows any more.
//!
//! A step is a request of the service: the flag is withdrawn while the service waits for it. Every other await of a run lies
//! between two of them. Each flag is tried at every step, and every combination of the seven that people hold at some step. Flags
//! of the configuration change with a restart only, which `live_gate` tries.

use std::sync::{Arc, Mutex};

use alpaca_sim::{Environment, NewAccount};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use rebalanced::edge::store::Connection;
use rebalanced::edge::switch::Switch;
use rebalanced::edge::vault::Owner;
use rebalanced::flow::approve::{self, Desk};
use rebalanced::model::environment::Kind;
use rebalanced::model::event::Actor;
use rebalanced::model::ids::{AccountId, ApprovalId, GrantId, HaltId, StrategyName, SubscriptionId, Symbol, UserId};
use rebalanced::model::limits::Raise;
use rebalanced::model::mandate::{ApprovalKind, Bound, Halt, HaltScope, ServicePolicy};
use rebalanced::model::money::Usd;
use rebalanced::model::secret::Secret;
use rust_decimal::Decimal;

use crate::support::{Keeper, Setup, TestWorld, new_york, on_both_databases, policy};

const SIXTY_FORTY: &str = include_str!("../../strategies/sixty-forty.toml");

/// What is withdrawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flag {
    Consent,
    Strategy,
    Subscription,
    /// The raise without which the orders are too large.
    Limits,
    HaltService,
    HaltAccount,
    HaltSymbol,
    Signal,
    File,
    Connection,
    /// The user leaves and comes back, with another token.
    Reconnection,
    /// The account stops following the strategy.
    Following,
}

/// The first seven are held by people, one by one, and withdrawn in every combination too.
const FLAGS: [Flag; 12] = [
    Flag::Consent,
    Flag::Strategy,
    Flag::Subscription,
    Flag::Limits,
    Flag::HaltService,
    Flag::HaltAccount,
    Flag::HaltSymbol,
    Flag::Signal,
    Flag::File,
    Flag::Connection,
    Flag::Reconnection,
    Flag::Following,
];

struct Prepared {
    service: TestWorld,
    account: AccountId,
    /// Ids of the consent, of the strategy's and of the subscription's approval, and of the raised limit.
    approvals: [ApprovalId; 4],
    folder: tempfile::TempDir,
}

async fn prepared(on: Keeper) -> Prepared {
    let folder = tempfile::tempdir().unwrap();
    let mut allowed = ServicePolicy { live_trading: true, app_approved: true, ..policy() };
    allowed.limits.max_order_notional = Some(usd("5000"));
    let setup = Setup {
        strategies: &[("sixty-forty.toml", SIXTY_FORTY)],
        policy: allowed,
        app_approved_at_broker: true,
        database: on,
        switch: Switch::with_file(Some(folder.path().join("halt"))),
        ..Setup::default()
    };
    let service = TestWorld::new(setup).await;
    let mut new = NewAccount::new("", Environment::Live);
    new.cash = Decimal::from(20_000);
    let account = AccountId::parse(&service.connect("live", "sixty-forty", new).await).unwrap();
    let name = StrategyName::parse("sixty-forty").unwrap();
    let version = service.world.strategies.get(&name).unwrap().version().clone();
    let text_hash = service.world.policy.consent_texts[&name].clone();
    let desk = Desk { store: &service.world.store, clock: &service.world.clock, entropy: &service.world.entropy };
    let mut ids = Vec::new();
    for kind in [
        ApprovalKind::Consent { account: account.clone(), text_hash },
        ApprovalKind::Strategy { name: name.clone(), version },
        ApprovalKind::Subscription { account: account.clone(), name, bound: Bound::default() },
        ApprovalKind::Limits {
            account: account.clone(),
            raise: Raise { max_order_notional: Some(usd("15000")), ..Raise::default() },
        },
    ] {
        ids.push(approve::grant(&desk, kind, ("ada", "test"), None).await.unwrap().id);
    }
    service.ring(new_york("2019-06-03T10:00:00")).await;
    Prepared { service, account, approvals: ids.try_into().unwrap(), folder }
}

fn usd(text: &str) -> Usd {
    Usd::parse(text).unwrap()
}

impl Prepared {
    /// Withdraws the flag, and notes how many orders had left by then.
    fn withdrawal(&self, flags: Vec<Flag>, left_by_then: Arc<Mutex<Option<usize>>>) -> BoxFuture<'static, ()> {
        let all: Vec<_> = flags.into_iter().map(|flag| self.one(flag)).collect();
        let sent = Arc::clone(&self.service.sent);
        async move {
            for withdrawal in all {
                withdrawal.await;
            }
            *left_by_then.lock().unwrap() = Some(sent.lock().unwrap().len());
        }
        .boxed()
    }

    fn one(&self, flag: Flag) -> BoxFuture<'static, ()> {
        let (store, switch) = (self.service.world.store.clone(), self.service.world.switch.clone());
        let (account, approvals) = (self.account.clone(), self.approvals.clone());
        let file = self.folder.path().join("halt");
        let again = self.again();
        let now = self.service.clock.now();
        async move {
            let by = Actor::operator("eve");
            let halt = |scope| Halt {
                id: HaltId::parse(&format!("hlt_{flag:?}")).unwrap(),
                scope,
                reason: "withdrawn".to_owned(),
                by: "eve".to_owned(),
                pulled_at: now,
                released: None,
            };
            let [consent, strategy, subscription, limits] = approvals;
            match flag {
                Flag::Consent => assert!(store.revoke(&consent, &by, now).await.unwrap()),
                Flag::Strategy => assert!(store.revoke(&strategy, &by, now).await.unwrap()),
                Flag::Subscription => assert!(store.revoke(&subscription, &by, now).await.unwrap()),
                Flag::Limits => assert!(store.revoke(&limits, &by, now).await.unwrap()),
                Flag::HaltService => store.halt(&halt(HaltScope::Service)).await.unwrap(),
                Flag::HaltAccount => store.halt(&halt(HaltScope::Account(account))).await.unwrap(),
                Flag::HaltSymbol => {
                    // Both symbols of the strategy, so that either order is concerned.
                    store.halt(&halt(HaltScope::Symbol(Symbol::parse("SPY").unwrap()))).await.unwrap();
                    let id = HaltId::parse("hlt_test_2").unwrap();
                    let other = Halt { id, ..halt(HaltScope::Symbol(Symbol::parse("AGG").unwrap())) };
                    store.halt(&other).await.unwrap();
                }
                Flag::Signal => switch.signal(),
                Flag::File => std::fs::write(file, "withdrawn").unwrap(),
                Flag::Connection => store.disconnect(&account, &by, now).await.unwrap(),
                Flag::Reconnection => {
                    store.disconnect(&account, &by, now).await.unwrap();
                    store.connect(&again).await.unwrap();
                }
                Flag::Following => {
                    let all = store.subscriptions(true).await.unwrap();
                    assert!(store.unsubscribe(&all[0].id, &by, now).await.unwrap());
                }
            }
        }
        .boxed()
    }

    /// The account, connected anew with another token.
    fn again(&self) -> Connection {
        let (world, now) = (&self.service.world, self.service.clock.now());
        let (grant, user) = (GrantId::parse("gra_again").unwrap(), UserId::parse("usr_again").unwrap());
        let token = Secret::new("another-token".to_owned());
        Connection {
            sealed: world.vault.seal(Owner { grant: &grant, user: &user }, &token, &world.entropy).unwrap(),
            user,
            grant,
            reference: None,
            account: self.account.clone(),
            number: "again".to_owned(),
            environment: Kind::Live,
            scopes: vec!["trading".to_owned()],
            strategy: Some(StrategyName::parse("sixty-forty").unwrap()),
            subscription: SubscriptionId::parse("sub_again").unwrap(),
            consent: None,
            at: now,
        }
    }
}

async fn row_78_whatever_is_withdrawn_at_whatever_step_no_live_order_leaves_after_it(on: Keeper) {
    let undisturbed = prepared(on).await;
    undisturbed.service.steps.at(0, async {}.boxed());
    undisturbed.service.ring(new_york("2019-06-03T15:45:00")).await;
    let steps = undisturbed.service.steps.seen();
    assert_eq!(undisturbed.service.sent.lock().unwrap().len(), 2, "undisturbed, both live orders leave");
    assert!(steps >= 10, "{steps} requests");
    let stride = if matches!(on, Keeper::Sqlite) { 1 } else { 4 };
    let (mut tried, mut stopped) = (0, 0);
    let mut cases: Vec<(Vec<Flag>, usize)> = Vec::new();
    for (place, flag) in FLAGS.into_iter().enumerate() {
        cases.extend((1..=steps).skip(place % stride).step_by(stride).map(|nth| (vec![flag], nth)));
    }
    for combination in (1_usize..128).step_by(stride) {
        let flags = (0..7).filter(|place| combination >> place & 1 == 1).map(|place| FLAGS[place]).collect();
        cases.push((flags, combination % steps + 1));
    }
    for (flags, nth) in cases {
        let case = prepared(on).await;
        let left_by_then = Arc::default();
        case.service.steps.at(nth, case.withdrawal(flags.clone(), Arc::clone(&left_by_then)));
        case.service.ring(new_york("2019-06-03T15:45:00")).await;
        let left = case.service.sent.lock().unwrap().len();
        let by_then = left_by_then.lock().unwrap().expect("the flags were withdrawn");
        assert_eq!(left, by_then, "{flags:?} withdrawn at step {nth} of {steps}: an order left after it");
        assert!(case.service.sim.ledger().orders.len() <= by_then);
        case.service.settle_accounts().await;
        tried += 1;
        stopped += usize::from(left < 2);
    }
    println!(
        "{tried} withdrawals ({} flags, {steps} steps) on {on:?}: {stopped} stopped orders, 0 left after",
        FLAGS.len()
    );
    assert!(stopped * 2 > tried, "most withdrawals come in time to stop something");
}

on_both_databases!(row_78_whatever_is_withdrawn_at_whatever_step_no_live_order_leaves_after_it,);
