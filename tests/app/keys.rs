//! Keys from outside: a rotation that is killed again and again, and the drill for a leak.

use std::pin::pin;
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use rebalanced::edge::clock::Clock;
use rebalanced::edge::entropy::Entropy;
use rebalanced::edge::store::{Connection, RunFilter, Store};
use rebalanced::edge::vault::{Owner, Vault};
use rebalanced::flow::approve::Desk;
use rebalanced::flow::tokens;
use rebalanced::model::account::GrantHealth;
use rebalanced::model::environment::Kind;
use rebalanced::model::ids::{AccountId, GrantId, SubscriptionId, UserId};
use rebalanced::model::secret::Secret;
use rebalanced::model::time::Moment;

use crate::pulled::{SYMBOLS, Service, strategy, wait_until};
use crate::support::Scratch;

const TOKENS: usize = 1_500;

fn account(number: usize) -> AccountId {
    AccountId::parse(&format!("account-{number}")).unwrap()
}

/// Fifteen hundred users with tokens that are sealed with the scratch folder's key.
async fn populate(scratch: &Scratch) -> Store {
    populated(scratch, TOKENS).await
}

/// So many users.
async fn populated(scratch: &Scratch, tokens: usize) -> Store {
    let store = Store::open(&format!("sqlite:{}", scratch.path().join("rebalanced.sqlite").display())).await.unwrap();
    let vault = Vault::open(&scratch.path().join("vault.key")).unwrap();
    let entropy = Entropy::seeded(1);
    for number in 0..tokens {
        let grant = GrantId::parse(&format!("gra_{number:05}")).unwrap();
        let user = UserId::parse(&format!("usr_{number:05}")).unwrap();
        let token = Secret::new(format!("token {number}"));
        let connection = Connection {
            sealed: vault.seal(Owner { grant: &grant, user: &user }, &token, &entropy).unwrap(),
            user,
            grant,
            reference: None,
            account: account(number),
            number: number.to_string(),
            environment: Kind::Paper,
            scopes: vec!["trading".to_owned()],
            strategy: None,
            subscription: SubscriptionId::parse(&format!("sub_{number}")).unwrap(),
            consent: None,
            at: Moment::parse("2019-06-03T14:00:00Z").unwrap(),
        };
        store.connect(&connection).await.unwrap();
    }
    store
}

async fn opened_by(store: &Store, vault: &Vault) -> usize {
    opened_of(store, vault, TOKENS).await
}

async fn opened_of(store: &Store, vault: &Vault, tokens: usize) -> usize {
    let mut opened = 0;
    for number in 0..tokens {
        let kept = store.sealed_token(&account(number)).await.unwrap().expect("no token is ever lost");
        let owner = Owner { grant: &kept.grant, user: &kept.user };
        if let Ok(secret) = vault.open_sealed(owner, &kept.sealed) {
            assert_eq!(secret.expose(), format!("token {number}"));
            opened += 1;
        }
    }
    opened
}

#[tokio::test(flavor = "multi_thread")]
async fn row_81_a_rotation_that_is_killed_again_and_again_ends_with_every_token_under_the_new_key() {
    let scratch = Scratch::new();
    let store = populate(&scratch).await;
    let old = Vault::open(&scratch.path().join("vault.key")).unwrap();
    scratch.secret("new.key", &"a1".repeat(32));
    let rotating = std::fs::read_to_string(scratch.config())
        .unwrap()
        .replace("key_file = \"vault.key\"", "key_file = \"new.key\"\nprevious_key_file = \"vault.key\"");
    scratch.write("rebalanced.toml", &rotating);
    let both = Vault::open(&scratch.path().join("new.key")).unwrap().and_previous(&scratch.path().join("vault.key"));
    let both = both.unwrap();
    let mut stopped = Vec::new();
    for round in 0..6 {
        let before = store.tokens_to_reseal(both.key_id()).await.unwrap();
        let mut rotation = scratch
            .program()
            .args(["keys", "rotate", "--by", "ann", "--config"])
            .arg(scratch.config())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Killed as soon as it has begun to seal, and a little later each time.
        while store.tokens_to_reseal(both.key_id()).await.unwrap() == before && rotation.try_wait().unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::time::sleep(Duration::from_millis(7 * round)).await;
        Command::new("kill").args(["-9", &rotation.id().to_string()]).stderr(Stdio::null()).status().unwrap();
        rotation.wait().unwrap();
        stopped.push(store.tokens_to_reseal(both.key_id()).await.unwrap());
        assert_eq!(opened_by(&store, &both).await, TOKENS, "at every moment one of the two keys opens each");
    }
    assert!(stopped.iter().any(|left| (1..TOKENS).contains(left)), "some kill struck in the middle: {stopped:?}");
    let ran = scratch.line("keys rotate --by ann --json");
    assert_eq!(ran.code, 0, "{ran:?}");
    let new = Vault::open(&scratch.path().join("new.key")).unwrap();
    assert_eq!(opened_by(&store, &new).await, TOKENS);
    assert_eq!(opened_by(&store, &old).await, 0, "the old key is useless");
    println!("rotation: {TOKENS} tokens, left after each kill: {stopped:?}");
}

/// Rows of the rotation that ends at each of them.
const ROWS: usize = 60;

#[tokio::test(flavor = "multi_thread")]
async fn row_81_a_rotation_that_ends_at_every_single_row_and_inside_it_loses_none() {
    let scratch = Scratch::new();
    drop(populated(&scratch, ROWS).await);
    scratch.secret("new.key", &"a1".repeat(32));
    let old = Vault::open(&scratch.path().join("vault.key")).unwrap();
    let new = Vault::open(&scratch.path().join("new.key")).unwrap();
    let both = Vault::open(&scratch.path().join("new.key")).unwrap().and_previous(&scratch.path().join("vault.key"));
    let both = both.unwrap();
    let url = format!("sqlite:{}", scratch.path().join("rebalanced.sqlite").display());
    let entropy = Entropy::seeded(81);
    let (mut round, mut ends, mut inside) = (0_usize, vec![0; ROWS + 1], 0);
    loop {
        // A process of its own, as far as the database knows.
        let store = Store::open(&url).await.unwrap();
        let left = store.tokens_to_reseal(new.key_id()).await.unwrap();
        ends[left] += 1;
        if left == 0 {
            break;
        }
        let desk = Desk { store: &store, clock: &Clock::System, entropy: &entropy };
        // Every fourth round lives to the end of one row; the others stop at a later await each, in the middle of it.
        let most = if round % 4 == 3 { usize::MAX } else { 1 + round % 29 };
        let (mut polls, one) = (0, std::cell::Cell::new(0));
        let ended = {
            let mut rotation = pin!(tokens::rotate(&desk, &both, "ann", |done, _| one.set(done)));
            std::future::poll_fn(|context| {
                polls += 1;
                if polls > most || one.get() > 0 {
                    return Poll::Ready(false);
                }
                // Whoever is told of a row is not asked again; there is always an await before the next.
                rotation.as_mut().poll(context).map(|rotated| rotated.is_ok())
            })
            .await
        };
        inside += usize::from(!ended && one.get() == 0);
        store.shut().await;
        let again = Store::open(&url).await.unwrap();
        assert_eq!(opened_of(&again, &both, ROWS).await, ROWS, "round {round}: one of the two keys opens each");
        round += 1;
        assert!(round < ROWS * 40, "it goes on: {ends:?}");
    }
    let reached = ends.iter().filter(|times| **times > 0).count();
    let store = Store::open(&url).await.unwrap();
    assert_eq!(opened_of(&store, &new, ROWS).await, ROWS);
    assert_eq!(opened_of(&store, &old, ROWS).await, 0, "the old key is useless");
    println!(
        "rotation of {ROWS} rows: ended {round} times, {inside} of them inside a row, with {reached} numbers of rows left"
    );
    assert!(reached * 2 > ROWS && inside * 4 > round, "{reached} of {ROWS}, {inside} of {round}: {ends:?}");
}

/// Users of the daemon beside which the keys are rotated.
const USERS: usize = 12;

#[test]
fn row_81_keys_are_rotated_beside_a_daemon_that_trades_and_nothing_fails() {
    let service = Service::new(&strategy(&SYMBOLS, ""));
    let users: Vec<_> = (0..USERS).map(|number| service.connected(&format!("user-{number}"))).collect();
    let Service { runtime, broker, sim, address, scratch, daemon, store } = service;
    assert!(daemon.stop().0.success());
    scratch.secret("new.key", &"a1".repeat(32));
    let config = std::fs::read_to_string(scratch.config()).unwrap();
    let rotating =
        config.replace("key_file = \"vault.key\"", "key_file = \"new.key\"\nprevious_key_file = \"vault.key\"");
    scratch.write("rebalanced.toml", &rotating);
    let daemon = scratch.daemon();
    let service = Service { runtime, broker, sim, address, scratch, daemon, store };
    service.broker.slow.store(20, Ordering::SeqCst);
    let (early, late) = users.split_at(USERS / 2);
    for (account, _) in early {
        service.trigger(account);
    }
    wait_until("orders that leave", || {
        let runs = service.runtime.block_on(service.store.runs(&RunFilter::all())).unwrap();
        let closed = runs.iter().find_map(|run| run.outcome.as_ref());
        let left = early.iter().map(|(_, token)| service.orders_of(token).len()).sum::<usize>();
        assert!(closed.is_none() || left >= 2, "a run ended without orders: {closed:?}");
        left >= 2
    });
    let mut rotation = service.scratch.program();
    rotation.args(["keys", "rotate", "--by", "ann", "--config"]).arg(service.scratch.config());
    let mut rotation = rotation.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    for (account, _) in late {
        service.trigger(account);
    }
    let joined = service.connected("joins");
    assert!(rotation.wait().unwrap().success());
    let under_way = users.iter().filter(|(account, _)| !service.is_closed(account)).count();
    service.trigger(&joined.0);
    for (account, token) in users.iter().chain([&joined]) {
        wait_until("the end of every run", || service.is_closed(account));
        let runs = service.runtime.block_on(service.store.runs(&RunFilter::all())).unwrap();
        let theirs: Vec<_> = runs.iter().filter(|run| run.account == *account).map(|run| &run.outcome).collect();
        assert_eq!(service.orders_of(token).len(), SYMBOLS.len(), "{account}: {theirs:?}");
    }
    assert!(under_way > 0, "runs were under way when the rotation ended");
    let vault = |name: &str| Vault::open(&service.scratch.path().join(name)).unwrap();
    let (old, new) = (vault("vault.key"), vault("new.key"));
    service.runtime.block_on(async {
        let runs = service.store.runs(&RunFilter::all()).await.unwrap();
        let outcomes: Vec<_> = runs.iter().map(|run| run.outcome.as_ref().unwrap().kind.as_str()).collect();
        assert_eq!(outcomes, ["completed"; USERS + 1]);
        assert!(service.store.halts(true).await.unwrap().is_empty());
        for (account, token) in users.iter().chain([&joined]) {
            let known = service.store.account(account).await.unwrap().unwrap();
            assert!(matches!(known.health, GrantHealth::Active), "{:?}", known.health);
            let kept = service.store.sealed_token(account).await.unwrap().unwrap();
            let owner = Owner { grant: &kept.grant, user: &kept.user };
            assert_eq!(new.open_sealed(owner, &kept.sealed).unwrap().expose(), token);
            assert!(old.open_sealed(owner, &kept.sealed).is_err(), "the old key opens none");
        }
    });
    println!("keys rotated beside a daemon: {} runs, {under_way} under way at its end, 0 failed", USERS + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_does_not_open_the_tokens_rotates_nothing_and_says_which_is_missing() {
    let scratch = Scratch::new();
    let store = populate(&scratch).await;
    scratch.secret("new.key", &"a1".repeat(32));
    let config = std::fs::read_to_string(scratch.config()).unwrap().replace("\"vault.key\"", "\"new.key\"");
    scratch.write("rebalanced.toml", &config);
    let ran = scratch.line("keys rotate --by ann");
    assert_ne!(ran.code, 0);
    assert!(ran.err.contains("vault.previous_key_file"), "{}", ran.err);
    let old = Vault::open(&scratch.path().join("vault.key")).unwrap();
    assert_eq!(opened_by(&store, &old).await, TOKENS, "nothing is lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn d4_the_drill_for_a_leak_destroys_every_token_with_one_command() {
    let scratch = Scratch::new();
    let store = populate(&scratch).await;
    let ran = scratch.run(&["keys", "revoke-all", "--by", "ann", "--reason", "drill", "--json"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.contains(&TOKENS.to_string()), "{}", ran.out);
    for number in 0..TOKENS {
        assert_eq!(store.sealed_token(&account(number)).await.unwrap(), None);
    }
    assert!(scratch.line("halts").out.contains("drill"));
    assert_eq!(scratch.line("audit verify").code, 0);
}
