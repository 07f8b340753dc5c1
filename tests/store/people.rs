//! People come, come back and leave.

use rebalanced::edge::store::{Error, OAuthState, RunFilter, SealedToken};
use rebalanced::model::account::GrantHealth;
use rebalanced::model::environment::Kind;
use rebalanced::model::ids::{AccountId, SubscriptionId};
use rebalanced::model::run::RunState;
use rebalanced::model::secret::Sealed;
use rebalanced::model::time::Span;

use crate::cast::{
    account, connected, connection, enqueued, grant, kinds, minutes, operator, start, strategy, subscription, texts,
    version,
};
use crate::databases;

#[tokio::test(flavor = "multi_thread")]
async fn a_connected_account_is_known_with_its_sealed_token_and_its_strategy() {
    for db in databases::both().await {
        connected(&db.store, 1).await;
        let account = db.store.account(&account(1)).await.unwrap().expect(db.name);
        assert_eq!((account.reference.as_deref(), account.health), (Some("customer 1"), GrantHealth::Active));
        let SealedToken { grant: owner, sealed, .. } = db.store.sealed_token(&account.id).await.unwrap().unwrap();
        assert_eq!((owner, sealed), (grant(1), connection(1).sealed));
        let subscriptions = db.store.subscriptions(true).await.unwrap();
        assert_eq!(subscriptions.len(), 1);
        assert_eq!((&subscriptions[0].strategy, subscriptions[0].started_at), (&strategy("calm"), start()));
        assert_eq!(kinds(&db.store).await, ["account.connected", "subscription.started"]);
        assert_eq!(db.store.account(&AccountId::parse("nobody").unwrap()).await.unwrap(), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reconnects_keeps_user_and_subscription_and_the_old_token_is_destroyed() {
    for db in databases::both().await {
        connected(&db.store, 1).await;
        db.store.mark_reauth(&grant(1), minutes(1), "401").await.unwrap();
        db.store.mark_reauth(&grant(1), minutes(2), "401 again").await.unwrap();
        let health = db.store.token_health().await.unwrap();
        assert_eq!((health["active"], health["reauth"], health["gone"]), (0, 1, 0), "{}", db.name);
        let mut again = connection(2);
        again.account = account(1);
        again.at = minutes(3);
        db.store.connect(&again).await.unwrap();
        let account = db.store.account(&account(1)).await.unwrap().unwrap();
        assert_eq!((account.user.as_str(), &account.grant), ("usr_0001", &grant(2)));
        assert_eq!(account.health, GrantHealth::Active);
        assert_eq!(db.store.subscriptions(false).await.unwrap().len(), 1, "the same strategy goes on");
        let kept = texts(&db.url, "SELECT id FROM grants WHERE sealed IS NOT NULL OR key_id IS NOT NULL").await;
        assert_eq!(kept, ["gra_0002"], "the old token is gone from the database");
        // The old grant is no news any more.
        db.store.mark_reauth(&grant(1), minutes(4), "late").await.unwrap();
        assert_eq!(db.store.account(&account.id).await.unwrap().unwrap().health, GrantHealth::Active);
        let kinds = kinds(&db.store).await;
        assert_eq!(kinds, ["account.connected", "subscription.started", "grant.reauth", "account.connected"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_grant_may_open_two_accounts_and_lives_until_both_have_left() {
    for db in databases::both().await {
        let paper = connection(1);
        let mut live = connection(2);
        (live.user, live.grant, live.environment) = (paper.user.clone(), paper.grant.clone(), Kind::Live);
        db.store.connect(&paper).await.unwrap();
        db.store.connect(&live).await.unwrap();
        let accounts = db.store.accounts().await.unwrap();
        assert_eq!(accounts.iter().map(|account| account.user.as_str()).collect::<Vec<_>>(), ["usr_0001"; 2]);
        db.store.disconnect(&paper.account, &operator(), minutes(1)).await.unwrap();
        assert_eq!(db.store.sealed_token(&paper.account).await.unwrap(), None, "{}", db.name);
        assert!(db.store.sealed_token(&live.account).await.unwrap().is_some());
        db.store.disconnect(&live.account, &operator(), minutes(2)).await.unwrap();
        db.store.disconnect(&live.account, &operator(), minutes(3)).await.unwrap();
        assert!(texts(&db.url, "SELECT id FROM grants WHERE sealed IS NOT NULL").await.is_empty());
        assert_eq!(db.store.token_health().await.unwrap()["gone"], 2);
        assert!(db.store.subscriptions(true).await.unwrap().is_empty());
        let left = kinds(&db.store).await.into_iter().filter(|kind| kind == "account.disconnected").count();
        assert_eq!(left, 2, "leaving twice is one event");
        let mut back = connection(3);
        (back.account, back.at) = (paper.account, minutes(4));
        db.store.connect(&back).await.unwrap();
        assert_eq!(
            db.store.sealed_token(&back.account).await.unwrap().unwrap().grant,
            grant(3),
            "who comes back is back"
        );
        assert_eq!(db.store.subscriptions(true).await.unwrap()[0].started_at, minutes(4));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_returning_user_with_a_shared_grant_replaces_it_account_by_account() {
    for db in databases::both().await {
        let paper = connection(1);
        let mut live = connection(2);
        (live.grant, live.environment) = (paper.grant.clone(), Kind::Live);
        for account in [&paper, &live] {
            db.store.connect(account).await.unwrap();
        }
        for (mut again, name) in [(paper.clone(), "paper"), (live.clone(), "live")] {
            again.grant = grant(9);
            again.sealed = Sealed { key_id: "k1".to_owned(), bytes: name.into() };
            db.store.connect(&again).await.unwrap();
        }
        assert_eq!(texts(&db.url, "SELECT id FROM grants WHERE sealed IS NOT NULL").await, ["gra_0009"], "{}", db.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_never_changes_its_environment() {
    for db in databases::both().await {
        connected(&db.store, 1).await;
        let mut wrong = connection(1);
        wrong.environment = Kind::Live;
        let refused = db.store.connect(&wrong).await;
        assert!(matches!(refused, Err(Error::Conflict { .. })), "{}: {refused:?}", db.name);
        assert_eq!(db.store.account(&account(1)).await.unwrap().unwrap().environment, Kind::Paper);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_strategy_ends_the_old_subscription_and_its_waiting_runs() {
    for db in databases::both().await {
        connected(&db.store, 1).await;
        assert_eq!(enqueued(&db.store, minutes(5)).await, 1);
        let mut other = connection(1);
        other.strategy = Some(strategy("bold"));
        other.subscription = subscription(2);
        other.at = minutes(6);
        db.store.connect(&other).await.unwrap();
        let active = db.store.subscriptions(true).await.unwrap();
        assert_eq!((active.len(), &active[0].strategy), (1, &strategy("bold")), "{}", db.name);
        let runs = db.store.runs(&RunFilter::default()).await.unwrap();
        assert_eq!(runs[0].state, RunState::Closed);
        assert_eq!(runs[0].outcome.as_ref().unwrap().reason, "unsubscribed");
        let third = SubscriptionId::parse("sub_0003").unwrap();
        db.store.subscribe(&third, (&account(1), &strategy("calm")), &operator(), minutes(7)).await.unwrap();
        assert!(db.store.unsubscribe(&third, &operator(), minutes(8)).await.unwrap());
        assert!(!db.store.unsubscribe(&third, &operator(), minutes(9)).await.unwrap());
        let stranger = db.store.subscribe(&third, (&account(7), &strategy("calm")), &operator(), minutes(9)).await;
        assert!(matches!(stranger, Err(Error::Conflict { .. })));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_started_connection_is_taken_once_and_only_in_time() {
    for db in databases::both().await {
        let state = |hash: &str| OAuthState {
            hash: hash.to_owned(),
            browser_hash: "browser".to_owned(),
            strategy: Some(strategy("calm")),
            environment: Some(Kind::Paper),
            reference: None,
            account: Some(account(3)),
            text_hash: Some("0".repeat(64)),
            live_agreed: true,
            created_at: start(),
            expires_at: start() + Span::from_mins(10),
        };
        db.store.save_oauth_state(&state("one")).await.unwrap();
        db.store.save_oauth_state(&state("two")).await.unwrap();
        assert_eq!(db.store.take_oauth_state("one", minutes(9)).await.unwrap(), Some(state("one")), "{}", db.name);
        assert_eq!(db.store.take_oauth_state("one", minutes(9)).await.unwrap(), None, "a second use");
        assert_eq!(db.store.take_oauth_state("two", minutes(10)).await.unwrap(), None, "too late");
        assert_eq!(db.store.take_oauth_state("two", minutes(1)).await.unwrap(), None, "too late stays too late");
        let takers = (0..8).map(|_| {
            let store = db.store.clone();
            async move { store.take_oauth_state("three", minutes(1)).await.unwrap().is_some() }
        });
        db.store.save_oauth_state(&state("three")).await.unwrap();
        let taken = futures_util::future::join_all(takers).await.into_iter().filter(|taken| *taken).count();
        assert_eq!(taken, 1, "eight browsers, one use");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strategy_text_is_kept_under_its_version() {
    for db in databases::both().await {
        for _ in 0..2 {
            db.store.remember_strategy((&strategy("calm"), &version()), "name = \"calm\"", start()).await.unwrap();
        }
        assert_eq!(
            db.store.strategy_text(&version()).await.unwrap().as_deref(),
            Some("name = \"calm\""),
            "{}",
            db.name
        );
        assert_eq!(kinds(&db.store).await, ["strategy.loaded"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_accounts_of_one_grant_that_leave_at_the_same_instant_destroy_its_token() {
    for db in databases::both().await {
        for round in 0..10_usize {
            let pair = [connection(2 * round + 1), connection(2 * round + 2)].map(|mut account| {
                account.grant = grant(round);
                account
            });
            for account in &pair {
                db.store.connect(account).await.unwrap();
            }
            let leave = pair.map(|account| {
                let store = db.store.clone();
                tokio::spawn(async move { store.disconnect(&account.account, &operator(), minutes(1)).await.unwrap() })
            });
            futures_util::future::join_all(leave).await.into_iter().for_each(Result::unwrap);
        }
        let left = texts(&db.url, "SELECT id FROM grants WHERE sealed IS NOT NULL OR gone_at IS NULL").await;
        assert!(left.is_empty(), "{}: {left:?}", db.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_who_unsubscribes_while_runs_are_made_keeps_one() {
    for db in databases::both().await {
        connected(&db.store, 20).await;
        let leave = (1..=20).map(|number| {
            let store = db.store.clone();
            tokio::spawn(
                async move { store.unsubscribe(&subscription(number), &operator(), minutes(4)).await.map(drop) },
            )
        });
        let leave: Vec<_> = leave.collect();
        let enqueue = (5..15).map(|slot| {
            let store = db.store.clone();
            tokio::spawn(async move { enqueued(&store, minutes(slot)).await })
        });
        futures_util::future::join_all(enqueue).await.into_iter().for_each(|made| assert!(made.unwrap() <= 20));
        futures_util::future::join_all(leave).await.into_iter().for_each(|left| left.unwrap().unwrap());
        assert!(db.store.claim(100, minutes(20), minutes(22)).await.unwrap().is_empty(), "{}", db.name);
    }
}
