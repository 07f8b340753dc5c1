//! The shipped program reads its strategies again while it runs, by a signal and by HTTP: the next run goes by the new
//! version, a run under way by the one that it began with, and a broken file changes nothing.

use std::fs;
use std::sync::atomic::Ordering;

use rebalanced::edge::store::RunFilter;
use rebalanced::model::ids::AccountId;
use rebalanced::model::run::Run;
use serde_json::json;

use crate::pulled::{SYMBOLS, Service, strategy, wait_until};
use crate::support::{TOKEN, get, http};

/// The versions of the account's runs, the oldest first.
fn versions(service: &Service, account: &AccountId) -> Vec<String> {
    let filter = RunFilter { account: Some(account.clone()), ..RunFilter::all() };
    let mut runs: Vec<Run> = service.runtime.block_on(service.store.runs(&filter)).unwrap();
    runs.sort_by_key(|run| run.slot);
    runs.into_iter().map(|run| run.version.map_or_else(String::new, |version| version.as_str().to_owned())).collect()
}

/// Sends the signal and waits until it is obeyed.
fn hang_up(service: &mut Service, number: usize) {
    service.daemon.signal("HUP");
    service.daemon.wait_for_lines("the strategies were read again", number);
}

fn run(service: &Service, account: &AccountId) {
    service.trigger(account);
    wait_until("the end of the run", || service.is_closed(account));
}

/// By which version somebody's first run trades, who comes now.
fn comes(service: &Service, name: &str) -> String {
    let (account, token) = service.connected(name);
    run(service, &account);
    assert!(!service.orders_of(&token).is_empty(), "{name} has all in cash");
    versions(service, &account).remove(0)
}

#[test]
fn a_hangup_takes_over_what_is_valid_and_keeps_what_is_not() {
    let four = strategy(&SYMBOLS[..4], "");
    let mut service = Service::new(&four);
    let file = service.scratch.path().join("strategies/sixty-forty.toml");
    let (account, token) = service.connected("ann");
    service.broker.slow.store(800, Ordering::SeqCst);
    service.trigger(&account);
    wait_until("an order that leaves", || !service.orders_of(&token).is_empty());
    // In the middle of the run the file changes: it goes on with the version that it began with, all four orders.
    fs::write(&file, strategy(&SYMBOLS[..5], "")).unwrap();
    hang_up(&mut service, 1);
    assert!(service.orders_of(&token).len() < 4, "the signal came in the middle");
    wait_until("the end of the run", || service.is_closed(&account));
    assert_eq!(service.orders_of(&token).len(), 4);
    service.broker.slow.store(0, Ordering::SeqCst);
    run(&service, &account);
    let [first, second] = versions(&service, &account).try_into().unwrap();
    assert_ne!(first, second, "the next run goes by the new version");
    assert_eq!(service.orders_of(&token).len(), 4 + 5, "of four something is sold, a fifth is bought");
    // A broken file: the version before it stays.
    fs::write(&file, "name = \"sixty-forty\"\n[schedul]\n").unwrap();
    hang_up(&mut service, 2);
    assert_eq!(comes(&service, "ben"), second, "the version before the broken one is followed");
    let metrics = get(&service.daemon.operator, "/metrics").body;
    for line in [
        "rebalanced_strategies_reloaded_total{change=\"changed\"} 1",
        "rebalanced_strategies_reloaded_total{change=\"kept\"} 1",
        "rebalanced_strategy_files_refused 1",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    // An operator asks for it by HTTP, and is told.
    let bearer = format!("Bearer {TOKEN}");
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
    let ask = || {
        let body = json!({ "by": "ann" }).to_string();
        http("POST", &service.daemon.operator, "/api/v1/strategies/reload", &headers, &body)
    };
    let kept = ask();
    assert_eq!((kept.status, &kept.json()["kept"]), (200, &json!(["sixty-forty"])), "{kept:?}");
    assert!(kept.json()["refused"].to_string().contains("sixty-forty.toml:2:2: unknown key"), "{kept:?}");
    fs::write(&file, &four).unwrap();
    service.scratch.write("strategies/more.toml", &four.replace("sixty-forty", "more"));
    let changed = ask().json();
    assert_eq!((&changed["changed"], &changed["added"]), (&json!(["sixty-forty"]), &json!(["more"])), "{changed}");
    assert_eq!(get(&service.daemon.public, "/connect?strategy=more&env=paper").status, 303, "users find it at once");
    assert_eq!(comes(&service, "cid"), first, "the old text is the old version");
    fs::remove_file(service.scratch.path().join("strategies/more.toml")).unwrap();
    assert_eq!(ask().json()["removed"], json!(["more"]));
    // A folder that is gone changes nothing.
    fs::rename(service.scratch.path().join("strategies"), service.scratch.path().join("elsewhere")).unwrap();
    let gone = ask();
    assert!(gone.status == 500 && gone.body.contains("everything stays as it is"), "{gone:?}");
    service.daemon.signal("HUP");
    service.daemon.wait_for_lines("everything stays as it is", 1);
    fs::rename(service.scratch.path().join("elsewhere"), service.scratch.path().join("strategies")).unwrap();
    assert_eq!(comes(&service, "dan"), first);
    let events = service.runtime.block_on(service.store.events(0, 100_000)).unwrap();
    let events = events.iter().filter(|event| event.kind == "strategies.reloaded");
    let by: Vec<&str> = events.map(|event| event.actor.as_str()).collect();
    assert_eq!(by, ["service", "service", "operator:ann", "operator:ann", "operator:ann"]);
    let Service { daemon, .. } = service;
    let (status, log) = daemon.stop();
    assert!(status.success());
    for line in
        ["a strategy was changed", "its file is invalid: the version before it is kept", "a strategy was removed"]
    {
        assert!(log.iter().any(|logged| logged.contains(line)), "{line}");
    }
}
