//! Fault rows that need a place of their own: tokens that are never refreshed, a database that cannot be read.

use std::sync::{Arc, Mutex};

use futures_util::FutureExt;
use rebalanced::edge::store::RunFilter;
use sqlx::Connection;

use crate::support::{Keeper, Setup, TestWorld, agreed, callback, cash, new_york, on_both_databases};

const SIXTY_FORTY: &str = include_str!("../../strategies/sixty-forty.toml");

async fn service(on: Keeper) -> TestWorld {
    let files = [("sixty-forty.toml", SIXTY_FORTY)];
    let service = TestWorld::new(Setup { strategies: &files, database: on, ..Setup::default() }).await;
    service.connect("ada", "sixty-forty", cash(20_000)).await;
    service.connect("bob", "sixty-forty", cash(20_000)).await;
    service.ring(new_york("2019-06-03T10:00:00")).await;
    service
}

/// Alpaca's tokens do not expire and cannot be refreshed (facts 1.1): there is no refresh that could be lost (row 76) or made
/// twice (row 77). The token endpoint sees the exchange of each code, once, and nothing else, whatever happens.
async fn rows_76_77_no_token_is_ever_refreshed(on: Keeper) {
    let service = service(on).await;
    service.ring(new_york("2019-06-03T15:45:00")).await;
    service.sim.revoke_person("ada");
    for day in ["2019-06-04", "2019-06-05", "2019-06-06"] {
        service.ring(new_york(&format!("{day}T15:45:00"))).await;
    }
    let asked = |service: &TestWorld| {
        service.sim.ledger().requests.iter().filter(|request| request.path.contains("/oauth/token")).count()
    };
    assert_eq!(asked(&service), 2, "one exchange for each of two people");
    service.sim.set_consent(agreed("ada"));
    let paper = Some(rebalanced::model::environment::Kind::Paper);
    let (back, cookie) = service.at_the_broker("sixty-forty", paper, "ada").await.unwrap();
    rebalanced::flow::connect::finish(&service.world, callback(&back, cookie)).await.unwrap();
    service.ring(new_york("2019-06-07T15:45:00")).await;
    assert_eq!(asked(&service), 3, "one more for the one who connected again");
    let reauth = service.world.store.runs(&RunFilter::all()).await.unwrap();
    let dead = reauth.iter().filter(|run| run.outcome.as_ref().is_some_and(|end| end.reason == "token_dead")).count();
    assert_eq!(dead, 3, "a dead token is never a loop: one end for each day");
}

/// At each step of the runs the halts become unreadable: from there on nothing leaves, for what cannot be read is pulled.
async fn row_83_when_the_halts_cannot_be_read_nothing_is_sent(on: Keeper) {
    let undisturbed = service(on).await;
    undisturbed.steps.at(0, async {}.boxed());
    undisturbed.ring(new_york("2019-06-03T15:45:00")).await;
    let steps = undisturbed.steps.seen();
    assert_eq!(undisturbed.sent.lock().unwrap().len(), 4);
    let mut tried = 0;
    for nth in (1..=steps).step_by(if matches!(on, Keeper::Sqlite) { 2 } else { 5 }) {
        let service = service(on).await;
        let left_by_then = Arc::new(Mutex::new(None));
        let (sent, url, noted) = (Arc::clone(&service.sent), service.url.clone(), Arc::clone(&left_by_then));
        let act = async move {
            let mut link = sqlx::AnyConnection::connect(&url).await.unwrap();
            sqlx::query("ALTER TABLE halts RENAME TO halts_out_of_reach").execute(&mut link).await.unwrap();
            *noted.lock().unwrap() = Some(sent.lock().unwrap().len());
        };
        service.steps.at(nth, act.boxed());
        service.clock.set(new_york("2019-06-03T15:45:00"));
        let now = service.clock.now();
        rebalanced::flow::tick::tick(&service.world, now).await.unwrap();
        let later = now + rebalanced::model::time::Span::from_mins(10);
        for claim in service.world.store.claim(10, now, later).await.unwrap() {
            // A run that the database fails stays claimed; the others are tried all the same.
            drop(rebalanced::flow::rebalance::rebalance(&service.world, claim).await);
        }
        let left = service.sent.lock().unwrap().len();
        assert_eq!(Some(left), *left_by_then.lock().unwrap(), "step {nth}: an order left with the halts unread");
        tried += 1;
    }
    println!("{tried} steps at which the halts could not be read any more on {on:?}: 0 orders left after");
}

on_both_databases!(rows_76_77_no_token_is_ever_refreshed, row_83_when_the_halts_cannot_be_read_nothing_is_sent,);
