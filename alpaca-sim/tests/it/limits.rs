//! The budget of requests, and what its headers say.

use alpaca_sim::SimConfig;

use crate::support::{World, config};

#[tokio::test]
async fn the_two_hundred_and_first_request_of_a_minute_is_refused_until_the_next() {
    let world = World::new();
    let key = world.paper_key();
    for n in 1..=200 {
        let answer = world.get("/paper/v2/clock", &key).await.expect(200);
        assert_eq!(answer.header("x-ratelimit-limit"), "200");
        assert_eq!(answer.header("x-ratelimit-remaining"), (200 - n).to_string());
        assert_eq!(answer.header("x-ratelimit-reset"), "1559570460");
    }
    let refused = world.get("/paper/v2/account", &key).await.expect(429);
    assert_eq!(refused.text(), r#"{"code":42910000,"message":"rate limit exceeded"}"#);
    assert_eq!((refused.header("x-ratelimit-remaining"), refused.header("x-ratelimit-reset")), ("0", "1559570460"));
    world.get("/live/v2/account", &world.live_key()).await.expect(200);
    world.get("/data/v2/stocks/quotes/latest?symbols=AAPL", &key).await.expect(200);
    world.step(59);
    world.get("/paper/v2/account", &key).await.expect(429);
    world.step(1);
    let fresh = world.get("/paper/v2/account", &key).await.expect(200);
    assert_eq!((fresh.header("x-ratelimit-remaining"), fresh.header("x-ratelimit-reset")), ("199", "1559570520"));
}

#[tokio::test]
async fn the_data_host_counts_apart_and_in_its_own_words() {
    let world = World::with(SimConfig { data_requests_per_minute: 1, ..config() });
    let path = "/data/v2/stocks/quotes/latest?symbols=AAPL";
    world.get(path, &world.paper_key()).await.expect(200);
    let refused = world.get(path, &world.paper_key()).await.expect(429);
    assert_eq!(refused.text(), r#"{"code":42910000,"message":"too many requests."}"#);
    for _ in 0..300 {
        world.get(path, &World::data_key()).await.expect(200);
    }
}

#[tokio::test]
async fn an_account_has_one_budget_for_all_its_credentials_and_every_reply_an_id() {
    let world = World::new();
    let token = world.connect(Some("paper"), "").await;
    let first = world.get("/paper/v2/account", &token).await.expect(200);
    let second = world.get("/paper/v2/account", &world.paper_key()).await.expect(200);
    assert_eq!(second.header("x-ratelimit-remaining"), "198");
    assert_eq!(first.header("x-request-id").len(), 32);
    assert_ne!(first.header("x-request-id"), second.header("x-request-id"));
}
