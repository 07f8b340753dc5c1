//! Operators in both databases: found by the hash of their token, out at once when they are removed.

use rebalanced::edge::store::Error;
use rebalanced::model::operator::{Change, Operator, OperatorName, Scope};

use crate::cast::{kinds, minutes, operator, raw, texts};
use crate::databases::{self, Database};

fn ann(scopes: &[Scope]) -> Operator {
    Operator {
        name: OperatorName::parse("ann").unwrap(),
        scopes: scopes.iter().copied().collect(),
        made_by: "the founder".to_owned(),
        made_at: minutes(1),
        removed: None,
    }
}

async fn change(db: &Database, change: Change) -> Result<(), Error> {
    db.store.change_operators(&[], minutes(2), |_| Ok((change, operator()))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn d5_an_operator_is_known_by_the_hash_of_their_token_until_it_changes_or_they_are_removed() {
    for db in databases::both().await {
        let both = ann(&[Scope::Read, Scope::Approve]);
        change(&db, Change::Add(both.clone(), "hash-1".to_owned())).await.unwrap();
        assert_eq!(db.store.operator_by_token("hash-1").await.unwrap(), Some(both.clone()), "{}", db.name);
        assert_eq!(db.store.operator_by_token("hash-2").await.unwrap(), None);
        let twice = change(&db, Change::Add(both.clone(), "hash-9".to_owned())).await;
        assert!(matches!(twice, Err(Error::Conflict { .. })), "{twice:?}");
        change(&db, Change::Rotate(both.name.clone(), "hash-2".to_owned())).await.unwrap();
        assert_eq!(db.store.operator_by_token("hash-1").await.unwrap(), None, "the old token is worth nothing");
        assert!(db.store.operator_by_token("hash-2").await.unwrap().unwrap().may(Scope::Approve));
        change(&db, Change::Remove(both.name.clone())).await.unwrap();
        assert_eq!(db.store.operator_by_token("hash-2").await.unwrap(), None, "out at once");
        for gone in [Change::Remove(both.name.clone()), Change::Rotate(both.name.clone(), "hash-3".to_owned())] {
            let refused = change(&db, gone).await;
            assert!(matches!(refused, Err(Error::Conflict { .. })), "{refused:?}");
        }
        change(&db, Change::Add(ann(&[Scope::Read]), "hash-4".to_owned())).await.unwrap();
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

#[tokio::test(flavor = "multi_thread")]
async fn d5_who_decides_sees_who_is_one_and_whose_tokens_are_shown_and_what_is_refused_changes_nothing() {
    for db in databases::both().await {
        let both = ann(&[Scope::Read, Scope::Approve]);
        change(&db, Change::Add(both.clone(), "hash-1".to_owned())).await.unwrap();
        let shown = ["hash-1", "hash-1", "hash-2"].map(str::to_owned);
        let refused = db.store.change_operators(&shown, minutes(3), |circle| {
            assert_eq!((circle.required, circle.operators.len()), (1, 1));
            assert_eq!(circle.agreed(), [&both.name].into(), "once, however often it is shown");
            Err(Error::Conflict { what: "not so".to_owned() })
        });
        let refused = refused.await.unwrap_err();
        assert_eq!(refused.to_string(), "not so", "{}", db.name);
        for number in [2, 2, 1] {
            change(&db, Change::Require(number)).await.unwrap();
            assert_eq!(db.store.operators_required().await.unwrap(), number);
        }
        let required = kinds(&db.store).await.into_iter().filter(|kind| kind == "operators.required").count();
        assert_eq!(required, 2, "what is so already is no event");
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
