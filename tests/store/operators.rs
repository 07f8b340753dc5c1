//! Operators in both databases: found by the hash of their token, out at once when they are removed.

use rebalanced::edge::store::Error;
use rebalanced::model::operator::{Operator, OperatorName, Scope};

use crate::cast::{kinds, minutes, operator, raw, texts};
use crate::databases;

fn ann(scopes: &[Scope]) -> Operator {
    Operator {
        name: OperatorName::parse("ann").unwrap(),
        scopes: scopes.iter().copied().collect(),
        made_by: "the founder".to_owned(),
        made_at: minutes(1),
        removed: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn d5_an_operator_is_known_by_the_hash_of_their_token_until_it_changes_or_they_are_removed() {
    for db in databases::both().await {
        let both = ann(&[Scope::Read, Scope::Approve]);
        db.store.add_operator(&both, "hash-1", &operator()).await.unwrap();
        assert_eq!(db.store.operator_by_token("hash-1").await.unwrap(), Some(both.clone()), "{}", db.name);
        assert_eq!(db.store.operator_by_token("hash-2").await.unwrap(), None);
        let twice = db.store.add_operator(&both, "hash-9", &operator()).await;
        assert!(matches!(twice, Err(Error::Conflict { .. })), "{twice:?}");
        assert!(db.store.rotate_operator(&both.name, "hash-2", (&operator(), minutes(2))).await.unwrap());
        assert_eq!(db.store.operator_by_token("hash-1").await.unwrap(), None, "the old token is worth nothing");
        assert!(db.store.operator_by_token("hash-2").await.unwrap().unwrap().may(Scope::Approve));
        assert!(db.store.remove_operator(&both.name, (&operator(), minutes(3))).await.unwrap());
        assert_eq!(db.store.operator_by_token("hash-2").await.unwrap(), None, "out at once");
        assert!(!db.store.remove_operator(&both.name, (&operator(), minutes(3))).await.unwrap());
        assert!(!db.store.rotate_operator(&both.name, "hash-3", (&operator(), minutes(3))).await.unwrap());
        db.store.add_operator(&ann(&[Scope::Read]), "hash-4", &operator()).await.unwrap();
        let back = db.store.operator_by_token("hash-4").await.unwrap().unwrap();
        assert!(back.may(Scope::Read) && !back.may(Scope::Approve), "back, with what they were given now");
        assert_eq!(db.store.operators().await.unwrap().len(), 1);
        let seen = kinds(&db.store).await;
        let of_operators: Vec<&str> =
            seen.iter().map(String::as_str).filter(|kind| kind.starts_with("operator")).collect();
        assert_eq!(of_operators, ["operator.added", "operator.rotated", "operator.removed", "operator.added"]);
        // Two people never have one token.
        let taken =
            "INSERT INTO operators (name, token_hash, scopes, made_by, made_at) VALUES ('b', 'hash-4', 'read', 'x', 0)";
        assert!(sqlx::query(taken).execute(&mut raw(&db.url).await).await.is_err());
        assert_eq!(texts(&db.url, "SELECT token_hash FROM operators").await, ["hash-4"]);
    }
}

#[test]
fn names_are_plain_and_nobody_is_called_like_the_service() {
    for name in ["ann", "ann.lee@example-1_2", "7"] {
        OperatorName::parse(name).unwrap();
    }
    for name in ["", "Ann", "ann lee", "service", "configured", "user", "a:b", "\u{e4}nn", &"a".repeat(65)] {
        assert!(OperatorName::parse(name).is_err(), "{name}");
    }
}
