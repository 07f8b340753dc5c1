//! Tokens: sealed again one by one, destroyed together, and gone from the files when they are gone.

use std::path::Path;

use rebalanced::edge::store::SealedToken;
use rebalanced::model::account::GrantHealth;
use rebalanced::model::ids::HaltId;
use rebalanced::model::mandate::{Halt, HaltScope};
use rebalanced::model::secret::Sealed;

use crate::cast::{account, connected, minutes, operator};
use crate::databases;

/// Whether these bytes lie anywhere in the database's files.
fn lies_in_files(url: &str, bytes: &[u8]) -> bool {
    let path = url.strip_prefix("sqlite:").unwrap();
    ["", "-wal", "-shm", "-journal"].iter().any(|suffix| {
        let name = format!("{path}{suffix}");
        std::fs::read(Path::new(&name)).is_ok_and(|file| file.windows(bytes.len()).any(|window| window == bytes))
    })
}

fn leak() -> Halt {
    Halt {
        id: HaltId::parse("hlt_leak").unwrap(),
        scope: HaltScope::Service,
        reason: "drill".to_owned(),
        by: "ann".to_owned(),
        pulled_at: minutes(1),
        released: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn d3_a_destroyed_token_is_in_no_file_of_the_database() {
    let db = databases::sqlite().await;
    connected(&db.store, 3).await;
    let token = |number: usize| format!("sealed token {number}").into_bytes();
    for number in 1..=3 {
        assert!(lies_in_files(&db.url, &token(number)), "the search finds what is there");
    }
    db.store.disconnect(&account(1), &operator(), minutes(1)).await.unwrap();
    assert!(lies_in_files(&db.url, &token(1)), "the log still remembers it");
    db.store.scrub().await.unwrap();
    assert!(!lies_in_files(&db.url, &token(1)), "and then no longer");
    assert!(lies_in_files(&db.url, &token(2)), "the others are there");
    db.store.revoke_all(&leak(), &operator(), minutes(1)).await.unwrap();
    db.store.scrub().await.unwrap();
    assert!((2..=3).all(|number| !lies_in_files(&db.url, &token(number))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_sealed_again_only_if_it_is_still_the_one_that_was_read() {
    for db in databases::both().await {
        connected(&db.store, 5).await;
        assert_eq!(db.store.tokens_to_reseal("k2").await.unwrap(), 5, "{}", db.name);
        assert_eq!(db.store.tokens_to_reseal("k1").await.unwrap(), 0);
        let page = db.store.next_to_reseal("k2", "", 3).await.unwrap();
        let rest = db.store.next_to_reseal("k2", page[2].grant.as_str(), 3).await.unwrap();
        assert_eq!((page.len(), rest.len()), (3, 2), "{}: page by page, each once", db.name);
        let again = Sealed { key_id: "k2".to_owned(), bytes: b"sealed again".to_vec() };
        assert!(db.store.reseal(&page[0], &again).await.unwrap());
        assert!(!db.store.reseal(&page[0], &again).await.unwrap(), "{}: it has changed", db.name);
        let kept: SealedToken = db.store.sealed_token(&account(1)).await.unwrap().unwrap();
        assert_eq!((kept.sealed, kept.grant), (again, page[0].grant.clone()));
        assert_eq!(db.store.tokens_to_reseal("k2").await.unwrap(), 4);
        db.store.scrub().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn revoke_all_destroys_every_token_and_halts_the_service_at_once() {
    for db in databases::both().await {
        connected(&db.store, 4).await;
        db.store.disconnect(&account(4), &operator(), minutes(1)).await.unwrap();
        assert_eq!(db.store.revoke_all(&leak(), &operator(), minutes(1)).await.unwrap(), 3, "{}", db.name);
        for number in 1..=3 {
            assert_eq!(db.store.sealed_token(&account(number)).await.unwrap(), None);
            let known = db.store.account(&account(number)).await.unwrap().unwrap();
            assert!(matches!(known.health, GrantHealth::Reauth(_)), "{}: they must connect again", db.name);
        }
        assert_eq!(db.store.halts(true).await.unwrap().len(), 1);
        let events = db.store.events(0, 1_000).await.unwrap();
        assert_eq!(events.iter().filter(|event| event.kind == "grant.destroyed").count(), 3, "{}", db.name);
        let mut second = leak();
        second.id = HaltId::parse("hlt_leak2").unwrap();
        assert_eq!(db.store.revoke_all(&second, &operator(), minutes(2)).await.unwrap(), 0, "twice is once");
    }
}
