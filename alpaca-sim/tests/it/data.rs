//! The data host: shapes, numbers, pages, feeds.

use serde_json::{Value, json};

use crate::support::{As, World};

fn members(value: &Value) -> Vec<&str> {
    let mut names: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn latest_quotes_trades_and_bars_have_short_names_and_numbers() {
    let world = World::new();
    let key = World::data_key();
    let get = |what: &'static str| {
        let key = key.clone();
        let world = &world;
        async move {
            let path = format!("/data/v2/stocks/{what}/latest?symbols=SPY,AAPL,NOSUCH");
            world.get(&path, &key).await.expect(200).json()
        }
    };
    let quotes = get("quotes").await;
    assert_eq!(members(&quotes["quotes"]), ["AAPL", "SPY"], "unknown symbols are absent");
    let quote = &quotes["quotes"]["AAPL"];
    assert_eq!(members(quote), ["ap", "as", "ax", "bp", "bs", "bx", "c", "t", "z"]);
    let (bid, ask) = (quote["bp"].as_f64().unwrap(), quote["ap"].as_f64().unwrap());
    assert!(0.0 < bid && bid < ask, "{quote}");
    let trades = get("trades").await;
    let trade = &trades["trades"]["AAPL"];
    assert_eq!(members(trade), ["c", "i", "p", "s", "t", "x", "z"]);
    assert!((f64::midpoint(bid, ask) - trade["p"].as_f64().unwrap()).abs() < 1e-9, "the middle is the last trade");
    let bars = get("bars").await;
    assert_eq!(members(&bars["bars"]["AAPL"]), ["c", "h", "l", "n", "o", "t", "v", "vw"]);
    let one = world.get("/data/v2/stocks/AAPL/quotes/latest", &key).await.expect(200).json();
    assert_eq!((&one["symbol"], &one["quote"]), (&json!("AAPL"), quote));
}

#[tokio::test]
async fn snapshots_are_a_bare_map() {
    let world = World::new();
    let answer = world.get("/data/v2/stocks/snapshots?symbols=AAPL,SPY", &World::data_key()).await.expect(200).json();
    assert_eq!(members(&answer), ["AAPL", "SPY"]);
    assert_eq!(members(&answer["AAPL"]), ["dailyBar", "latestQuote", "latestTrade", "minuteBar", "prevDailyBar"]);
    assert_eq!(answer["AAPL"]["dailyBar"]["t"], "2019-06-03T04:00:00Z");
    assert_eq!(answer["AAPL"]["prevDailyBar"]["t"], "2019-05-31T04:00:00Z");
}

#[tokio::test]
async fn pages_put_together_are_the_whole() {
    let world = World::new();
    let key = World::data_key();
    for (sort, limit) in [("asc", 7), ("desc", 7), ("asc", 21), ("asc", 1)] {
        let base = format!(
            "/data/v2/stocks/bars?symbols=MSFT,AAPL&timeframe=1Day&start=2019-05-01&end=2019-05-31&sort={sort}"
        );
        let whole = world.get(&base, &key).await.expect(200).json();
        assert_eq!(whole["next_page_token"], Value::Null);
        assert_eq!(whole["bars"]["AAPL"].as_array().unwrap().len(), 22);
        let mut joined: std::collections::BTreeMap<String, Vec<Value>> = std::collections::BTreeMap::new();
        let mut token = String::new();
        loop {
            let query = serde_urlencoded::to_string([("page_token", &token)]).unwrap();
            let page = world.get(&format!("{base}&limit={limit}&{query}"), &key).await.expect(200).json();
            let mut count = 0;
            for (symbol, bars) in page["bars"].as_object().unwrap() {
                let bars = bars.as_array().unwrap();
                count += bars.len();
                joined.entry(symbol.clone()).or_default().extend(bars.iter().cloned());
            }
            assert!(count <= limit);
            match page["next_page_token"].as_str() {
                Some(next) => next.clone_into(&mut token),
                None => break,
            }
        }
        assert_eq!(serde_json::to_value(&joined).unwrap(), whole["bars"], "{sort} {limit}");
    }
}

#[tokio::test]
async fn errors_of_the_data_host_have_no_code() {
    let world = World::new();
    for (path, message) in [
        ("/data/v2/stocks/quotes/latest", "symbols is required"),
        ("/data/v2/stocks/quotes/latest?symbols=aapl", "invalid symbol: aapl"),
        ("/data/v2/stocks/quotes/latest?symbols=AAPL&feed=moon", "invalid feed: moon"),
        ("/data/v2/stocks/bars?symbols=AAPL", "timeframe is required"),
        ("/data/v2/stocks/bars?symbols=AAPL&timeframe=1Eon", "invalid timeframe: 1Eon"),
        ("/data/v2/stocks/bars?symbols=AAPL&timeframe=1Day&start=soon", "invalid start: soon"),
        ("/data/v2/stocks/bars?symbols=AAPL&timeframe=1Day&limit=0", "invalid limit: must be between 1 and 10000"),
        ("/data/v2/stocks/bars?symbols=AAPL&timeframe=1Day&page_token=x", "invalid page_token"),
    ] {
        let answer = world.get(path, &World::data_key()).await.expect(400);
        assert_eq!(answer.json(), json!({"message": message}), "{path}");
    }
}

#[tokio::test]
async fn the_free_plan_may_not_ask_the_tape_about_the_last_minutes() {
    let world = World::new();
    let refused = json!({"code": 42_210_000, "message": "subscription does not permit querying recent SIP data"});
    for path in [
        "/data/v2/stocks/quotes/latest?symbols=AAPL&feed=sip",
        "/data/v2/stocks/bars?symbols=AAPL&timeframe=1Min&feed=sip&start=2019-06-03T13:30:00Z&end=2019-06-03T13:50:00Z",
    ] {
        assert_eq!(world.get(path, &world.paper_key()).await.expect(403).json(), refused);
        world.get(path, &World::data_key()).await.expect(200);
    }
    let old =
        "/data/v2/stocks/bars?symbols=AAPL&timeframe=1Min&feed=sip&start=2019-06-03T13:30:00Z&end=2019-06-03T13:45:00Z";
    assert_eq!(
        world.get(old, &world.paper_key()).await.expect(200).json()["bars"]["AAPL"].as_array().unwrap().len(),
        16
    );
    let free = world.get("/data/v2/stocks/AAPL/quotes/latest", &world.paper_key()).await.expect(200).json();
    assert_eq!(free["quote"]["bx"], "V");
}

#[tokio::test]
async fn the_clock_and_the_calendar_know_new_york_and_half_days() {
    let world = World::new();
    let key = world.paper_key();
    assert_eq!(
        world.get("/paper/v2/clock", &key).await.expect(200).json(),
        json!({
            "timestamp": "2019-06-03T10:00:00-04:00", "is_open": true,
            "next_open": "2019-06-04T09:30:00-04:00", "next_close": "2019-06-03T16:00:00-04:00",
        })
    );
    let days = world.get("/paper/v2/calendar?start=2019-11-28&end=2019-12-02", &key).await.expect(200).json();
    assert_eq!(days.as_array().unwrap().len(), 2, "Thanksgiving is no trading day");
    assert_eq!(
        days[0],
        json!({
            "date": "2019-11-29", "open": "09:30", "close": "13:00", "session_open": "0400", "session_close": "1700",
            "settlement_date": "2019-12-02",
        })
    );
    let whole = world.get("/paper/v2/calendar", &key).await.expect(200).json();
    assert!(7_000 < whole.as_array().unwrap().len());
    world.get("/paper/v2/calendar?start=never", &key).await.expect(400);
    let clocks = world.get("/paper/v3/clock?markets=NYSE", &key).await.expect(200).json();
    assert_eq!(clocks["clocks"][0]["phase"], "core");
    assert_eq!(clocks["clocks"][0]["phase_until"], "2019-06-03T16:00:00-04:00");
    let path = "/paper/v3/calendar/NYSE?start=2019-06-03&end=2019-06-03&timezone=America/New_York";
    let days = world.get(path, &key).await.expect(200).json();
    assert_eq!(days["calendar"][0]["core_start"], "2019-06-03T09:30:00-04:00");
}

#[tokio::test]
async fn unknown_paths_and_methods_say_so() {
    let world = World::new();
    world.get("/paper/v2/nothing", &world.paper_key()).await.expect(404);
    world.get("/nowhere", &As::Nobody).await.expect(404);
    world.ask("PUT", "/paper/v2/account", &world.paper_key(), "").await.expect(405);
    world.get("/paper/sim/clock", &world.paper_key()).await.expect(404);
    world.get("/paper/v2/../../sim/clock", &world.paper_key()).await.expect(404);
}
