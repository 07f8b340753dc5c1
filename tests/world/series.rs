//! D.4 28: a thousand users make no more metrics than one, and no metric names any of them.

use std::collections::BTreeSet;

use crate::support::{Setup, TestWorld, cash, new_york};

const USERS: usize = 1_000;
const SIXTY_FORTY: &str = include_str!("../../strategies/sixty-forty.toml");

#[tokio::test]
async fn d4_28_a_thousand_users_make_at_most_five_hundred_series_and_none_names_them() {
    let files = [("sixty-forty.toml", SIXTY_FORTY)];
    let service = TestWorld::new(Setup { strategies: &files, ..Setup::default() }).await;
    let mut accounts = Vec::new();
    for user in 0..USERS {
        accounts.push(service.connect(&format!("person-{user:04}"), "sixty-forty", cash(20_000)).await);
    }
    service.ring(new_york("2019-06-03T10:00:00")).await;
    // Some of them have trouble of their own.
    for user in (0..USERS).step_by(10) {
        service.sim.revoke_person(&format!("person-{user:04}"));
    }
    let slot = new_york("2019-06-03T15:45:00");
    service.clock.set(slot);
    rebalanced::flow::tick::tick(&service.world, slot).await.unwrap();
    let ends = service.drain().await;
    assert_eq!(ends.len(), USERS);
    assert!(ends.iter().filter(|end| end.reason == "token_dead").count() == USERS / 10, "{:?}", ends[0]);
    assert!(service.sim.ledger().orders.len() > USERS, "the others have traded");
    let text = service.world.metrics.text();
    let series: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let known = service.world.store.accounts().await.unwrap();
    let mut names: BTreeSet<String> = accounts.iter().cloned().collect();
    for account in &known {
        names.extend([account.user.to_string(), account.grant.to_string(), account.number.clone()]);
    }
    let tells = |line: &&&str| line.contains("person-") || names.iter().any(|name| line.contains(name));
    let told: Vec<&&str> = series.iter().filter(tells).collect();
    println!("{USERS} users, {} series, {} names looked for: {} found", series.len(), names.len() + USERS, told.len());
    assert!(told.is_empty(), "{told:?}");
    assert!(series.len() > 20 && series.len() <= 500, "{}", series.len());
    let labels: BTreeSet<&str> = series
        .iter()
        .filter_map(|line| line.split_once('{'))
        .flat_map(|(_, labels)| labels.split("=\"").map(|part| part.rsplit([',', '"']).next().unwrap_or_default()))
        .filter(|label| label.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_') && !label.is_empty())
        .collect();
    for label in ["account", "user", "grant", "token", "reference", "symbol"] {
        assert!(!labels.contains(label), "{label}: {labels:?}");
    }
}
