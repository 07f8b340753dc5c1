//! Slots become runs once, runs are claimed once, and an old claim is worth nothing.

use std::collections::BTreeSet;

use futures_util::StreamExt;
use rebalanced::edge::store::{Error, RecordAnswer, RunFilter};
use rebalanced::model::ids::SubscriptionId;
use rebalanced::model::mandate::HaltScope;
use rebalanced::model::run::{DueMoment, Fate, RunState, Trigger};
use rebalanced::model::time::Span;

use crate::cast::{
    account, claimed, closing, connected, due, enqueued, intent, kinds, minutes, operator, paper, raw, record,
    recording, start, strategy, subscription, texts, update,
};
use crate::databases;

#[tokio::test(flavor = "multi_thread")]
async fn eight_workers_claim_fifty_runs_once_each() {
    for db in databases::both().await {
        connected(&db.store, 50).await;
        assert_eq!(enqueued(&db.store, minutes(5)).await, 50);
        let workers = (0..8).map(|_| {
            let store = db.store.clone();
            tokio::spawn(async move {
                let mut mine = Vec::new();
                loop {
                    let claims = store.claim(3, minutes(6), minutes(8)).await.unwrap();
                    if claims.is_empty() {
                        return mine;
                    }
                    mine.extend(claims.into_iter().map(|claim| (claim.run().id.clone(), claim.epoch())));
                }
            })
        });
        let mut all = Vec::new();
        for worker in workers {
            all.extend(worker.await.unwrap());
        }
        let runs: BTreeSet<_> = all.iter().map(|(run, _)| run.clone()).collect();
        assert_eq!((all.len(), runs.len()), (50, 50), "{}: S12", db.name);
        assert!(all.iter().all(|(_, epoch)| *epoch == 1));
        let queue = db.store.queue(minutes(6)).await.unwrap();
        assert_eq!((queue.due, queue.running, queue.oldest_due), (0, 50, None));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn row_87_an_account_has_at_most_one_running_run_and_the_oldest_goes_first() {
    for db in databases::both().await {
        connected(&db.store, 2).await;
        for slot in [5, 6, 7] {
            assert_eq!(enqueued(&db.store, minutes(slot)).await, 2);
        }
        assert_eq!(db.store.queue(minutes(8)).await.unwrap().oldest_due, Some(minutes(5)));
        let workers = (0..8).map(|_| {
            let store = db.store.clone();
            tokio::spawn(async move { store.claim(10, minutes(8), minutes(10)).await.unwrap() })
        });
        let mut claims = Vec::new();
        for worker in workers {
            claims.extend(worker.await.unwrap());
        }
        assert_eq!(claims.len(), 2, "{}", db.name);
        assert!(claims.iter().all(|claim| claim.run().slot == minutes(5)));
        db.store.close(paper(claims.remove(0)), &closing(false), minutes(9)).await.unwrap();
        assert_eq!(claimed(&db.store, minutes(9)).await.run().slot, minutes(6));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn enqueueing_twice_makes_nothing_twice_and_the_ledger_never_runs_backwards() {
    for db in databases::both().await {
        connected(&db.store, 3).await;
        assert!(db.store.ledger().await.unwrap().is_empty());
        // One before the subscription began, and one after it.
        let (calm, moments) = (strategy("calm"), [due(start() - Span::from_mins(1)), due(minutes(5))]);
        let enqueue = |until| db.store.enqueue(&calm, &moments, until, minutes(6));
        assert_eq!(enqueue(minutes(6)).await.unwrap(), 3, "{}", db.name);
        assert_eq!(enqueue(minutes(2)).await.unwrap(), 0);
        assert_eq!(db.store.ledger().await.unwrap()[&strategy("calm")], minutes(6));
        let kinds = kinds(&db.store).await;
        assert_eq!(kinds.iter().filter(|kind| *kind == "slots.enqueued").count(), 1);
        let together = futures_util::future::join_all((0..8).map(|_| enqueued(&db.store, minutes(9)))).await;
        assert_eq!(together.into_iter().sum::<usize>(), 3, "eight bells, one run for each");
    }
}

/// So many times a person wants a run in the moment in which the bell rings.
const RACES: i64 = 1_000;

#[tokio::test(flavor = "multi_thread")]
async fn row_88_a_person_who_wants_a_run_while_the_bell_rings_makes_no_second_one() {
    for db in databases::both().await {
        connected(&db.store, 1).await;
        let races = futures_util::stream::iter(1..=RACES).for_each_concurrent(8, |slot| {
            let store = &db.store;
            async move {
                let (by, at) = (operator(), minutes(slot));
                let wish = tokio::spawn({
                    let store = store.clone();
                    async move { store.trigger(&subscription(1), at, &by).await.unwrap() }
                });
                let (calm, moments) = (strategy("calm"), [due(at)]);
                let (made, wished) = tokio::join!(store.enqueue(&calm, &moments, at, at), wish);
                let run = store.run(&wished.unwrap()).await.unwrap().unwrap().0;
                assert!(made.unwrap() <= 1 && run.slot == at, "{run:?}");
            }
        });
        races.await;
        let runs = db.store.runs(&RunFilter { limit: 5_000, ..RunFilter::all() }).await.unwrap();
        let slots: BTreeSet<_> = runs.iter().map(|run| run.slot).collect();
        assert_eq!((runs.len(), slots.len()), (1_000, 1_000), "{}: row 88", db.name);
        let by_bell = runs.iter().filter(|run| run.trigger == Trigger::Schedule).count();
        println!("{}: of {RACES} races the bell won {by_bell}", db.name);
        let claims = db.store.claim(64, minutes(RACES), minutes(RACES + 5)).await.unwrap();
        assert_eq!(claims.len(), 1, "{}: S12, one of them at a time", db.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missed_moment_is_a_closed_run_with_its_reason() {
    for db in databases::both().await {
        connected(&db.store, 1).await;
        let missed = DueMoment { fate: Fate::Missed(Span::from_mins(4)), ..due(minutes(5)) };
        let made =
            db.store.enqueue(&strategy("calm"), &[missed, due(minutes(9))], minutes(9), minutes(9)).await.unwrap();
        assert_eq!(made, 2, "{}", db.name);
        let filter = RunFilter { state: Some(RunState::Closed), ..RunFilter::all() };
        let closed = db.store.runs(&filter).await.unwrap();
        let outcome = closed[0].outcome.as_ref().unwrap();
        assert_eq!((closed.len(), outcome.kind.as_str(), outcome.reason.as_str()), (1, "skipped", "missed"));
        assert_eq!(claimed(&db.store, minutes(9)).await.run().slot, minutes(9), "only the other one is claimable");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_epoch_can_neither_record_nor_settle_nor_close() {
    for db in databases::both().await {
        connected(&db.store, 1).await;
        enqueued(&db.store, minutes(5)).await;
        let old = claimed(&db.store, minutes(5)).await;
        assert!(db.store.claim(10, minutes(6), minutes(8)).await.unwrap().is_empty(), "the lease holds");
        let new = claimed(&db.store, minutes(7)).await;
        assert_eq!((old.epoch(), new.epoch(), new.resumed()), (1, 2, true), "{}: S12", db.name);
        assert_eq!(new.run().claimed_at, Some(minutes(5)), "the first worker's moment stays");
        let orders = [intent(&new.run().id, &account(1), "SPY", minutes(7))];
        let answer = record(&db.store, &old, &["SPY"], minutes(7)).await.unwrap();
        assert!(matches!(answer, RecordAnswer::ClaimLost));
        assert!(db.store.intents_of(&new.run().id).await.unwrap().is_empty());
        let answer = record(&db.store, &new, &["SPY"], minutes(7)).await.unwrap();
        assert!(matches!(answer, RecordAnswer::Stored(_)));
        let ends = [update(&orders[0], rebalanced::model::intent::IntentState::Filled, minutes(8))];
        assert!(matches!(db.store.settle(&old, &ends, minutes(8)).await, Err(Error::ClaimLost { .. })));
        assert!(!db.store.renew(&old.held(), minutes(20)).await.unwrap());
        assert!(db.store.renew(&new.held(), minutes(20)).await.unwrap());
        assert!(!db.store.fail_run(&old.held(), "panicked", minutes(8)).await.unwrap());
        assert!(matches!(db.store.close(old, &closing(true), minutes(8)).await, Err(Error::ClaimLost { .. })));
        db.store.settle(&new, &ends, minutes(8)).await.unwrap();
        db.store.close(new, &closing(true), minutes(9)).await.unwrap();
        assert_eq!(db.store.last_rebalanced_at(&subscription(1)).await.unwrap(), Some(minutes(9)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_what_was_running_is_claimable_at_once_and_cannot_be_cancelled() {
    for db in databases::both().await {
        connected(&db.store, 2).await;
        enqueued(&db.store, minutes(5)).await;
        let first = db.store.claim(1, minutes(5), minutes(7)).await.unwrap().remove(0).run().id.clone();
        // A server is shared by many daemons: there another one may still work on it, and only the lease decides.
        let (freed, free) = if db.name == "SQLite" { (1, 6) } else { (0, 7) };
        assert_eq!(db.store.release_all(minutes(6)).await.unwrap(), freed, "{}", db.name);
        assert!(!db.store.cancel_run(&first, &operator(), minutes(6)).await.unwrap(), "it was begun");
        let claims = db.store.claim(10, minutes(free), minutes(9)).await.unwrap();
        let epochs: Vec<_> = claims.iter().map(|claim| (claim.run().id == first, claim.epoch())).collect();
        assert!(epochs.contains(&(true, 2)) && epochs.contains(&(false, 1)), "{epochs:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_triggers_a_run_and_cancels_it_while_it_waits() {
    for db in databases::both().await {
        connected(&db.store, 1).await;
        let run = db.store.trigger(&subscription(1), minutes(5), &operator()).await.unwrap();
        assert_eq!(db.store.trigger(&subscription(1), minutes(5), &operator()).await.unwrap(), run, "{}", db.name);
        assert_eq!(db.store.run(&run).await.unwrap().unwrap().0.trigger, Trigger::Manual);
        assert!(db.store.cancel_run(&run, &operator(), minutes(6)).await.unwrap());
        assert!(!db.store.cancel_run(&run, &operator(), minutes(7)).await.unwrap());
        let closed = db.store.run(&run).await.unwrap().unwrap().0.outcome.unwrap();
        assert_eq!((closed.kind.as_str(), closed.reason.as_str()), ("cancelled", "by_hand"));
        let nobody = SubscriptionId::parse("sub_none").unwrap();
        let refused = db.store.trigger(&nobody, minutes(5), &operator()).await;
        assert!(matches!(refused, Err(Error::Conflict { .. })));
        assert_eq!(kinds(&db.store).await[2..], ["run.triggered", "run.cancelled"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_code_failed_is_quarantined_and_keeps_its_decision() {
    for db in databases::both().await {
        connected(&db.store, 1).await;
        enqueued(&db.store, minutes(5)).await;
        let claim = claimed(&db.store, minutes(5)).await;
        let id = claim.run().id.clone();
        record(&db.store, &claim, &[], minutes(5)).await.unwrap();
        assert!(db.store.fail_run(&claim.held(), "index\0 out of bounds", minutes(6)).await.unwrap());
        let (run, decision) = db.store.run(&id).await.unwrap().unwrap();
        let outcome = run.outcome.unwrap();
        assert_eq!((outcome.kind.as_str(), outcome.reason.as_str()), ("quarantined", "internal_fault"), "{}", db.name);
        assert_eq!(decision.as_deref(), Some(r#"{"decision":"trade"}"#));
        assert_eq!(run.drift_before, Some(recording().drift_before));
        assert_eq!(run.reason, Some(recording().reason));
        let halts = db.store.halts(true).await.unwrap();
        let [halt] = halts.as_slice() else { panic!("one halt, of the account: {halts:?}") };
        assert_eq!(halt.scope, HaltScope::Account(run.account), "{}", db.name);
        assert!(!db.store.fail_run(&claim.held(), "again", minutes(7)).await.unwrap(), "a run closes once");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn older_runs_that_appear_while_workers_claim_fail_no_worker() {
    for db in databases::both().await {
        connected(&db.store, 4).await;
        let people = (1..=4).map(|number| {
            let store = db.store.clone();
            tokio::spawn(async move {
                for slot in (0..25).rev() {
                    store.trigger(&subscription(number), minutes(slot), &operator()).await.unwrap();
                }
            })
        });
        let people: Vec<_> = people.collect();
        let workers = (0..8).map(|_| {
            let store = db.store.clone();
            tokio::spawn(async move {
                let mut done = 0;
                for _ in 0..40 {
                    for claim in store.claim(4, minutes(30), minutes(40)).await.unwrap() {
                        store.close(paper(claim), &closing(false), minutes(31)).await.unwrap();
                        done += 1;
                    }
                }
                done
            })
        });
        let workers: Vec<_> = workers.collect();
        futures_util::future::join_all(people).await.into_iter().for_each(Result::unwrap);
        let mut done = 0;
        for worker in workers {
            done += worker.await.unwrap();
        }
        loop {
            let rest = db.store.claim(10, minutes(30), minutes(40)).await.unwrap();
            if rest.is_empty() {
                break;
            }
            for claim in rest {
                db.store.close(paper(claim), &closing(false), minutes(31)).await.unwrap();
                done += 1;
            }
        }
        assert_eq!(done, 100, "{}: L1", db.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_row_cannot_be_read_is_put_aside_and_holds_up_nobody() {
    for db in databases::both().await {
        connected(&db.store, 3).await;
        enqueued(&db.store, minutes(5)).await;
        // A row as a bad disk or a newer program might leave it.
        let spoil = "UPDATE runs SET reason = 'a reason of tomorrow' WHERE account = (SELECT MIN(account) FROM runs)";
        sqlx::query(spoil).execute(&mut raw(&db.url).await).await.unwrap();
        let claims = db.store.claim(10, minutes(5), minutes(7)).await.unwrap();
        assert_eq!(claims.len(), 2, "{}: L5", db.name);
        let halts = db.store.halts(true).await.unwrap();
        assert_eq!(halts.len(), 1, "its account, and only it, waits for a person");
        let ends = texts(&db.url, "SELECT outcome_reason FROM runs WHERE state = 'closed'").await;
        assert_eq!(ends, ["internal_fault"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn l10_a_run_that_is_taken_up_again_and_again_comes_to_an_end() {
    for db in databases::both().await {
        connected(&db.store, 1).await;
        enqueued(&db.store, minutes(5)).await;
        let mut taken = 0;
        for minute in 5..200 {
            taken += db.store.claim(1, minutes(minute), minutes(minute)).await.unwrap().len();
        }
        assert_eq!(taken, 50, "{}", db.name);
        assert_eq!(db.store.halts(true).await.unwrap().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_failed_after_its_fills_starts_the_cooldown() {
    for db in databases::both().await {
        connected(&db.store, 1).await;
        enqueued(&db.store, minutes(5)).await;
        let claim = claimed(&db.store, minutes(5)).await;
        let orders = [intent(&claim.run().id, &account(1), "SPY", minutes(5))];
        record(&db.store, &claim, &["SPY"], minutes(5)).await.unwrap();
        let mut filled = update(&orders[0], rebalanced::model::intent::IntentState::Filled, minutes(6));
        filled.filled_qty = rebalanced::model::money::Qty::parse("1.5").unwrap();
        db.store.settle(&claim, &[filled], minutes(6)).await.unwrap();
        assert!(db.store.fail_run(&claim.held(), "panicked", minutes(7)).await.unwrap());
        assert_eq!(db.store.last_rebalanced_at(&subscription(1)).await.unwrap(), Some(minutes(7)), "{}", db.name);
    }
}
