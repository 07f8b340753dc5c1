//! Keys from outside: a rotation that is killed again and again, and the drill for a leak.

use std::process::{Command, Stdio};
use std::time::Duration;

use rebalanced::edge::entropy::Entropy;
use rebalanced::edge::store::{Connection, Store};
use rebalanced::edge::vault::{Owner, Vault};
use rebalanced::model::environment::Kind;
use rebalanced::model::ids::{AccountId, GrantId, SubscriptionId, UserId};
use rebalanced::model::secret::Secret;
use rebalanced::model::time::Moment;

use crate::support::Scratch;

const TOKENS: usize = 1_500;

fn account(number: usize) -> AccountId {
    AccountId::parse(&format!("account-{number}")).unwrap()
}

/// Fifteen hundred users with tokens that are sealed with the scratch folder's key.
async fn populate(scratch: &Scratch) -> Store {
    let store = Store::open(&format!("sqlite:{}", scratch.path().join("rebalanced.sqlite").display())).await.unwrap();
    let vault = Vault::open(&scratch.path().join("vault.key")).unwrap();
    let entropy = Entropy::seeded(1);
    for number in 0..TOKENS {
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
    let mut opened = 0;
    for number in 0..TOKENS {
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
