//! Where two operators must approve, two of them change who may approve; in either database, and also at the same moment.

use rebalanced::flow::approve::Desk;
use rebalanced::flow::operators::{self, Changers, Error};
use rebalanced::model::operator::Scope;
use rebalanced::model::secret::Secret;

use crate::support::{Keeper, Setup, TestWorld, on_both_databases};

fn desk(service: &TestWorld) -> Desk<'_> {
    Desk { store: &service.world.store, clock: &service.world.clock, entropy: &service.world.entropy }
}

/// A process that was told that one is enough.
fn by(tokens: &[Secret]) -> Changers<'_> {
    Changers { required: 1, said: None, tokens }
}

fn named(name: &str) -> Changers<'_> {
    Changers { required: 1, said: Some(name), tokens: &[] }
}

fn copies(tokens: &[&Secret]) -> Vec<Secret> {
    tokens.iter().map(|token| Secret::new(token.expose().to_owned())).collect()
}

/// A service where two must approve, and as many who may.
async fn with(on: Keeper, names: &[&str]) -> (TestWorld, Vec<Secret>) {
    let service = TestWorld::new(Setup { database: on, ..Setup::default() }).await;
    let mut tokens = Vec::new();
    for name in names {
        let changers = if tokens.is_empty() { named("founder") } else { by(&tokens) };
        let token = operators::add(&desk(&service), name, [Scope::Approve].into(), &changers).await.unwrap();
        tokens.push(token);
    }
    operators::require(&desk(&service), 2).await.unwrap();
    (service, tokens)
}

async fn approvers(service: &TestWorld) -> Vec<String> {
    let all = service.world.store.operators().await.unwrap();
    all.iter().filter(|one| one.may(Scope::Approve)).map(|one| one.name.to_string()).collect()
}

async fn opens(service: &TestWorld, token: &Secret) -> Option<String> {
    operators::who(&service.world.store, token).await.unwrap().map(|operator| operator.name.to_string())
}

async fn d5_one_approver_alone_holds_no_second_token_and_two_are_named_together(on: Keeper) {
    let (service, tokens) = with(on, &["ann", "ben"]).await;
    let desk = desk(&service);
    let [ann, ben] = tokens.as_slice() else { panic!("two") };
    let dan = operators::add(&desk, "dan", [Scope::Operate].into(), &by(&copies(&[ann]))).await.unwrap();
    let before = service.world.store.chain_end().await.unwrap();
    for alone in [copies(&[ann]), copies(&[ann, ann]), copies(&[ann, &dan]), copies(&[]), copies(&[&dan])] {
        let changers = Changers { said: Some("ben"), ..by(&alone) };
        let refused = operators::add(&desk, "cat", [Scope::Read, Scope::Approve].into(), &changers).await.unwrap_err();
        assert!(matches!(refused, Error::NotAlone { needed: 2, shown: 0 | 1 }), "{refused:?}");
        let refused = operators::rotate(&desk, "ben", &changers).await.unwrap_err();
        assert!(matches!(refused, Error::NotAlone { needed: 2, shown: 0 | 1 }), "{refused:?}");
        for name in ["ann", "ben"] {
            let refused = operators::remove(&desk, name, &changers).await.unwrap_err();
            assert!(matches!(refused, Error::TooFewRemain { needed: 2, required: 2, .. }), "{refused:?}");
        }
    }
    assert_eq!(service.world.store.chain_end().await.unwrap(), before, "nothing happened, so nothing is told");
    assert_eq!(opens(&service, ben).await.as_deref(), Some("ben"), "the token that was not renewed");
    let cat = operators::add(&desk, "cat", [Scope::Approve].into(), &by(&tokens)).await.unwrap();
    let renewed = operators::rotate(&desk, "cat", &by(&tokens)).await.unwrap();
    assert_eq!((opens(&service, &cat).await, opens(&service, &renewed).await.as_deref()), (None, Some("cat")));
    // One's own token is one's own affair.
    let own = operators::rotate(&desk, "ann", &by(&copies(&[ann]))).await.unwrap();
    assert_eq!((opens(&service, ann).await, opens(&service, &own).await.as_deref()), (None, Some("ann")));
    let stale = operators::rotate(&desk, "ann", &by(&copies(&[ann]))).await.unwrap_err();
    assert!(matches!(stale, Error::NotAlone { shown: 0, .. }), "{stale:?}");
    let events = service.world.store.events(before.0, 100).await.unwrap();
    let told: Vec<_> = events.iter().map(|event| (event.kind.as_str(), event.actor.as_str())).collect();
    let both = "operator:ann and ben";
    assert_eq!(told, [("operator.added", both), ("operator.rotated", both), ("operator.rotated", "operator:ann")]);
    let listed = service.world.store.operators().await.unwrap();
    assert_eq!(listed.iter().find(|one| one.name.as_str() == "cat").unwrap().made_by, "ann and ben");
}

async fn d5_by_removing_nobody_comes_back_to_where_one_is_enough(on: Keeper) {
    let (service, tokens) = with(on, &["ann", "ben", "cat"]).await;
    let desk = desk(&service);
    let alone = copies(&[&tokens[0]]);
    // In an emergency one is enough, as long as two remain.
    operators::remove(&desk, "cat", &by(&alone)).await.unwrap();
    assert_eq!(opens(&service, &tokens[2]).await, None, "out at once");
    for name in ["ben", "ann"] {
        let refused = operators::remove(&desk, name, &by(&alone)).await.unwrap_err();
        assert!(matches!(refused, Error::TooFewRemain { .. }), "{refused:?}");
    }
    let gone = copies(&[&tokens[0], &tokens[2]]);
    let refused = operators::add(&desk, "dan", [Scope::Approve].into(), &by(&gone)).await.unwrap_err();
    assert!(matches!(refused, Error::NotAlone { shown: 1, .. }), "who was removed agrees to nothing: {refused:?}");
    assert_eq!(approvers(&service).await, ["ann", "ben"]);
    // Two may do so; even then a bare name is not enough.
    operators::remove(&desk, "ben", &by(&copies(&[&tokens[0], &tokens[1]]))).await.unwrap();
    let refused = operators::add(&desk, "ben", [Scope::Approve].into(), &named("ben")).await.unwrap_err();
    assert!(matches!(refused, Error::Unproven), "{refused:?}");
    let unknown = operators::remove(&desk, "zoe", &by(&alone)).await.unwrap_err();
    assert!(matches!(unknown, Error::Nobody(_)), "{unknown:?}");
}

async fn d5_of_commands_at_the_same_moment_the_later_sees_what_the_earlier_did(on: Keeper) {
    let (service, _) = with(on, &[]).await;
    let approve = || [Scope::Approve].into();
    let desk = desk(&service);
    // Only the first is made by a bare name.
    let founder = named("founder");
    let [ann, ben, cat] = ["ann", "ben", "cat"].map(|name| operators::add(&desk, name, approve(), &founder));
    let (ann, ben, cat) = tokio::join!(ann, ben, cat);
    let refused = [&ann, &ben, &cat].iter().filter(|made| matches!(made, Err(Error::Unproven))).count();
    assert_eq!((refused, approvers(&service).await.len()), (2, 1), "{ann:?} {ben:?} {cat:?}");
    // Of three that each remove one of four, two come through: then two remain.
    let (service, tokens) = with(on, &["ann", "ben", "cat", "dan"]).await;
    let desk = self::desk(&service);
    let alone = copies(&[&tokens[0]]);
    let changers = by(&alone);
    let [ben, cat, dan] = ["ben", "cat", "dan"].map(|name| operators::remove(&desk, name, &changers));
    let done = tokio::join!(ben, cat, dan);
    let done = [done.0, done.1, done.2];
    assert_eq!(done.iter().filter(|one| one.is_ok()).count(), 2, "{done:?}");
    assert!(done.iter().any(|one| matches!(one, Err(Error::TooFewRemain { .. }))), "{done:?}");
    assert_eq!(approvers(&service).await.len(), 2);
}

on_both_databases!(
    d5_one_approver_alone_holds_no_second_token_and_two_are_named_together,
    d5_by_removing_nobody_comes_back_to_where_one_is_enough,
    d5_of_commands_at_the_same_moment_the_later_sees_what_the_earlier_did,
);
