//! The wall before the send, the ends that absorb, what is allowed, and the chain of events.

use rebalanced::edge::store::{Error, IntentFilter, RecordAnswer};
use rebalanced::model::canon::{GENESIS, chain_hash};
use rebalanced::model::event::{Actor, Event};
use rebalanced::model::ids::{ApprovalId, HaltId, Symbol};
use rebalanced::model::intent::IntentState;
use rebalanced::model::mandate::{Approval, ApprovalKind, Bound, Halt, HaltScope};
use rebalanced::model::money::Usd;
use rebalanced::model::verdict::RefusalCode;

use crate::cast::{
    account, claimed, closing, connected, day, enqueued, intent, kinds, minutes, operator, paper, policy, raw, record,
    recording, strategy, texts, update, version,
};
use crate::databases;

fn halt(name: &str, scope: HaltScope) -> Halt {
    Halt {
        id: HaltId::parse(name).unwrap(),
        scope,
        reason: "looks wrong".to_owned(),
        by: "ann".to_owned(),
        pulled_at: minutes(6),
        released: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_halt_between_plan_and_record_refuses_and_stores_only_the_refusal() {
    for db in databases::both().await {
        connected(&db.store, 1).await;
        enqueued(&db.store, minutes(5)).await;
        let claim = claimed(&db.store, minutes(5)).await;
        let limits = (&policy(), day());
        let before = db.store.mandate(claim.run(), limits).await.unwrap();
        assert!(before.halts.is_empty());
        db.store.halt(&halt("hlt_1", HaltScope::Account(account(1)))).await.unwrap();
        let answer = record(&db.store, &claim, &["SPY"], minutes(7)).await.unwrap();
        let RecordAnswer::Refused(refusals) = answer else { panic!("{}: {answer:?}", db.name) };
        assert_eq!(refusals[0].code, RefusalCode::HaltedAccount);
        assert!(db.store.intents(&IntentFilter::all()).await.unwrap().is_empty(), "S2: nothing to send");
        let last = db.store.events(0, i64::MAX).await.unwrap().pop().unwrap();
        assert_eq!((last.kind.as_str(), last.run.as_str()), ("run.refused", claim.run().id.as_str()));
        assert!(last.facts.contains(r#""codes":"halted_account""#), "{}", last.facts);
        let released = db.store.resume(&HaltScope::Account(account(1)), &operator(), minutes(8)).await.unwrap();
        assert_eq!(released, 1);
        let answer = record(&db.store, &claim, &["SPY"], minutes(9)).await.unwrap();
        assert!(matches!(answer, RecordAnswer::Stored(_)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_recorded_comes_back_as_it_was() {
    for db in databases::both().await {
        connected(&db.store, 1).await;
        enqueued(&db.store, minutes(5)).await;
        let claim = claimed(&db.store, minutes(5)).await;
        let run = claim.run().id.clone();
        let orders: Vec<_> =
            ["ZZZ", "AAA", "MMM"].map(|symbol| intent(&run, &account(1), symbol, minutes(6))).into_iter().collect();
        record(&db.store, &claim, &["ZZZ", "AAA", "MMM"], minutes(6)).await.unwrap();
        assert_eq!(db.store.intents_of(&run).await.unwrap(), orders, "{}: in the order of the plan", db.name);
        assert_eq!(db.store.unsettled().await.unwrap(), orders);
        let stored = db.store.run(&run).await.unwrap().unwrap().0;
        assert_eq!((stored.reason, stored.version), (Some(recording().reason), Some(version())));
        // The second record of the same legs is refused whole.
        let again = record(&db.store, &claim, &["ZZZ", "AAA", "MMM"], minutes(6)).await;
        assert!(matches!(again, Err(Error::Conflict { .. })), "S1: {again:?}");
        let recorded = kinds(&db.store).await.into_iter().filter(|kind| kind == "intent.recorded").count();
        assert_eq!(recorded, 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_intent_that_has_ended_absorbs_every_later_word() {
    for db in databases::both().await {
        connected(&db.store, 1).await;
        enqueued(&db.store, minutes(5)).await;
        let claim = claimed(&db.store, minutes(5)).await;
        let orders: Vec<_> =
            ["AAA", "BBB"].map(|symbol| intent(&claim.run().id, &account(1), symbol, minutes(6))).into_iter().collect();
        record(&db.store, &claim, &["AAA", "BBB"], minutes(6)).await.unwrap();
        let open = update(&orders[0], IntentState::Open, minutes(7));
        let filled = update(&orders[0], IntentState::Filled, minutes(7));
        db.store.settle(&claim, std::slice::from_ref(&open), minutes(7)).await.unwrap();
        db.store.settle(&claim, &[filled], minutes(7)).await.unwrap();
        // One impossible update takes the whole transaction with it.
        let other = update(&orders[1], IntentState::Filled, minutes(8));
        let refused = db.store.settle(&claim, &[other, open], minutes(8)).await;
        assert!(matches!(refused, Err(Error::Inconsistent { table: "intents", .. })), "{}: S14 {refused:?}", db.name);
        let states: Vec<_> = db.store.intents_of(&claim.run().id).await.unwrap();
        assert_eq!((states[0].state, states[1].state), (IntentState::Filled, IntentState::Recorded));
        let settled = kinds(&db.store).await.into_iter().filter(|kind| kind == "intent.settled").count();
        assert_eq!(settled, 1, "an event for each end, and for nothing else");
        let behind = sqlx::query("UPDATE intents SET state = 'open', settled_at = NULL WHERE state = 'filled'");
        assert!(behind.execute(&mut raw(&db.url).await).await.is_err(), "the database itself refuses");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_days_runs_count_only_other_runs_of_this_account_inside_the_day() {
    for db in databases::both().await {
        connected(&db.store, 2).await;
        for (slot, expected, symbols) in [(5, 0, ["AAA", "BBB"]), (6, 1, ["CCC", "DDD"]), (7, 2, ["EEE", "FFF"])] {
            enqueued(&db.store, minutes(slot)).await;
            for claim in db.store.claim(10, minutes(slot), minutes(slot + 2)).await.unwrap() {
                let claim = paper(claim);
                let before = db.store.mandate(claim.run(), (&policy(), day())).await.unwrap();
                assert_eq!(before.trading_runs_today, expected);
                let answer = record(&db.store, &claim, &symbols, minutes(slot)).await.unwrap();
                assert!(matches!(answer, RecordAnswer::Stored(_)), "{answer:?}");
                let tomorrow = (day().1, day().1);
                assert_eq!(db.store.mandate(claim.run(), (&policy(), tomorrow)).await.unwrap().trading_runs_today, 0);
                db.store.close(claim, &closing(true), minutes(slot)).await.unwrap();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn halts_hold_until_exactly_their_scope_is_released() {
    for db in databases::both().await {
        let scopes = [
            HaltScope::Service,
            HaltScope::Account(account(1)),
            HaltScope::Symbol(Symbol::parse("SPY").unwrap()),
            HaltScope::Service,
        ];
        for (number, scope) in scopes.iter().enumerate() {
            db.store.halt(&halt(&format!("hlt_{number}"), scope.clone())).await.unwrap();
        }
        let twice = db.store.halt(&halt("hlt_0", HaltScope::Service)).await;
        assert!(matches!(twice, Err(Error::Conflict { .. })), "{}", db.name);
        assert_eq!(db.store.resume(&HaltScope::Service, &operator(), minutes(9)).await.unwrap(), 2);
        assert_eq!(db.store.resume(&HaltScope::Service, &operator(), minutes(9)).await.unwrap(), 0);
        let left = db.store.halts(true).await.unwrap();
        assert_eq!(left.iter().map(|halt| &halt.scope).collect::<Vec<_>>(), [&scopes[1], &scopes[2]]);
        let all = db.store.halts(false).await.unwrap();
        assert_eq!(all[0].released, Some((minutes(9), "operator:ann".to_owned())));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn approvals_come_back_with_their_bounds_and_are_withdrawn_once() {
    for db in databases::both().await {
        let bound = Bound {
            sides: Some(vec![rebalanced::model::plan::Side::Sell]),
            symbols: Some(["SPY", "BRK.B"].map(|symbol| Symbol::parse(symbol).unwrap()).to_vec()),
            max_order_notional: Some(Usd::parse("1000.01").unwrap()),
            max_run_notional: None,
        };
        let nothing = Bound { symbols: Some(Vec::new()), ..Bound::default() };
        let kinds = [
            ApprovalKind::Consent { account: account(1), text_hash: "0".repeat(64) },
            ApprovalKind::Strategy { name: strategy("calm"), version: version() },
            ApprovalKind::Subscription { account: account(1), name: strategy("calm"), bound },
            ApprovalKind::Subscription { account: account(1), name: strategy("bold"), bound: nothing },
        ];
        let mut all = Vec::new();
        for (number, kind) in kinds.into_iter().enumerate() {
            let approval = Approval {
                proven: true,
                id: ApprovalId::parse(&format!("apr_{number}")).unwrap(),
                kind,
                by: "ann".to_owned(),
                reason: "reviewed".to_owned(),
                granted_at: minutes(1),
                expires_at: (number == 3).then(|| minutes(2)),
                revoked: None,
            };
            db.store.grant(&approval).await.unwrap();
            all.push(approval);
        }
        assert_eq!(db.store.approvals().await.unwrap(), all, "{}", db.name);
        assert!(db.store.revoke(&all[0].id, &operator(), minutes(5)).await.unwrap());
        assert!(!db.store.revoke(&all[0].id, &operator(), minutes(6)).await.unwrap(), "withdrawn already");
        assert!(!db.store.revoke(&all[3].id, &operator(), minutes(6)).await.unwrap(), "expired already");
        let revoked = &db.store.approvals().await.unwrap()[0];
        assert_eq!(revoked.revoked, Some((minutes(5), "operator:ann".to_owned())));
        connected(&db.store, 2).await;
        enqueued(&db.store, minutes(5)).await;
        for claim in db.store.claim(2, minutes(5), minutes(7)).await.unwrap() {
            let mandate = db.store.mandate(claim.run(), (&policy(), day())).await.unwrap();
            let seen = if claim.run().account == account(1) { 4 } else { 1 };
            assert_eq!(mandate.approvals.len(), seen, "an account's own, and its strategy's");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_chain_holds_whoever_writes_and_nobody_changes_it() {
    for db in databases::both().await {
        let writers = (0..8).map(|writer| {
            let store = db.store.clone();
            tokio::spawn(async move {
                for number in 0..10 {
                    let event = |place| {
                        Event::new(minutes(number), Actor::operator("zero\0byte"), "test.written")
                            .with("writer", writer)
                            .with("place", place)
                            .with("text", "quote \" and \u{0} and \u{1F600}")
                    };
                    store.append(&[event(1), event(2)]).await.unwrap();
                }
            })
        });
        for writer in writers {
            writer.await.unwrap();
        }
        let all = db.store.events(0, i64::MAX).await.unwrap();
        assert_eq!(all.len(), 160, "{}", db.name);
        let mut previous = GENESIS.to_owned();
        for (place, event) in (1..).zip(&all) {
            assert_eq!((event.sequence, &event.previous), (place, &previous), "S13");
            assert_eq!(event.hash, chain_hash(event), "S13");
            previous.clone_from(&event.hash);
        }
        assert_eq!(db.store.events(150, 4).await.unwrap(), all[150..154]);
        for sql in ["UPDATE events SET actor = 'x' WHERE sequence = 1", "DELETE FROM events WHERE sequence = 160"] {
            let refused = sqlx::query(sql).execute(&mut raw(&db.url).await).await.unwrap_err();
            assert!(refused.to_string().contains("append-only"), "{refused}");
        }
        if db.name == "PostgreSQL" {
            assert!(sqlx::query("TRUNCATE events").execute(&mut raw(&db.url).await).await.is_err());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn d8_what_was_recorded_for_good_is_not_replaced_by_an_insert_either() {
    let db = databases::sqlite().await;
    connected(&db.store, 1).await;
    enqueued(&db.store, minutes(5)).await;
    let claim = claimed(&db.store, minutes(5)).await;
    let orders = [intent(&claim.run().id, &account(1), "SPY", minutes(6))];
    record(&db.store, &claim, &["SPY"], minutes(6)).await.unwrap();
    db.store.settle(&claim, &[update(&orders[0], IntentState::Filled, minutes(7))], minutes(7)).await.unwrap();
    db.store.close(claim, &closing(true), minutes(8)).await.unwrap();
    db.store.keep_consent_text("hash", "the text", minutes(9)).await.unwrap();
    db.store.keep_consent_text("hash", "the text", minutes(10)).await.unwrap();
    let everything = async || {
        let mut all = Vec::new();
        for sql in [
            "SELECT facts || actor || hash FROM events ORDER BY sequence",
            "SELECT id || state || filled_qty FROM intents",
            "SELECT id || state || outcome FROM runs",
            "SELECT hash || text || first_shown_at FROM consent_texts",
        ] {
            all.push(texts(&db.url, sql).await);
        }
        all
    };
    let before = everything().await;
    assert!(before.iter().all(|rows| !rows.is_empty()), "{before:?}");
    for (sql, is_refused) in [
        ("INSERT OR REPLACE INTO events SELECT sequence, at, 'eve', kind, account, run, facts, previous, hash FROM events", true),
        ("REPLACE INTO events SELECT 900, at, 'eve', kind, account, run, facts, 'x', hash FROM events LIMIT 1", true),
        ("REPLACE INTO events SELECT 900, at, 'eve', kind, account, run, facts, previous, 'x' FROM events LIMIT 1", true),
        ("REPLACE INTO events (rowid, sequence, at, actor, kind, account, run, facts, previous, hash)
              VALUES (1, 900, 0, 'eve', 'x', '', '', '{}', 'x', 'y')", true),
        ("INSERT INTO events SELECT sequence, at, 'eve', kind, account, run, facts, 'x', 'y' FROM events WHERE sequence = 1
              ON CONFLICT (sequence) DO UPDATE SET actor = 'eve'", true),
        ("CREATE TEMP TABLE other AS SELECT * FROM intents; UPDATE other SET state = 'recorded', filled_qty = '0', settled_at = NULL;
              INSERT OR REPLACE INTO intents SELECT * FROM other", true),
        ("CREATE TEMP TABLE other AS SELECT * FROM runs; UPDATE other SET state = 'due';
              INSERT OR REPLACE INTO runs SELECT * FROM other", false),
        ("INSERT OR REPLACE INTO consent_texts (hash, text, first_shown_at) VALUES ('hash', 'another', 0)", false),
        ("UPDATE consent_texts SET text = 'another'", true),
        ("DELETE FROM consent_texts", true),
    ] {
        let tried = sqlx::raw_sql(sql).execute(&mut raw(&db.url).await).await;
        assert_eq!(tried.is_err(), is_refused, "{sql}: {tried:?}");
        assert_eq!(everything().await, before, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_intent_enters_the_chain_after_a_halt_that_it_did_not_see() {
    for db in databases::both().await {
        connected(&db.store, 40).await;
        enqueued(&db.store, minutes(5)).await;
        let claims = db.store.claim(100, minutes(5), minutes(9)).await.unwrap();
        let records = claims.into_iter().map(|claim| {
            let store = db.store.clone();
            tokio::spawn(async move {
                let claim = paper(claim);
                record(&store, &claim, &["SPY"], minutes(6)).await.map(drop)
            })
        });
        let records: Vec<_> = records.collect();
        db.store.halt(&halt("hlt_1", HaltScope::Service)).await.unwrap();
        futures_util::future::join_all(records).await.into_iter().for_each(|done| done.unwrap().unwrap());
        let kinds = kinds(&db.store).await;
        let halted = kinds.iter().position(|kind| kind == "halt.pulled").unwrap();
        assert!(!kinds[halted..].contains(&"intent.recorded".to_owned()), "{}", db.name);
        assert!(!kinds[..halted].contains(&"run.refused".to_owned()), "{}", db.name);
    }
}
