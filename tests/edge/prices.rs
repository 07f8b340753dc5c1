//! The shared feed, the calendar and the assets: asked once, remembered as long as they hold.

use std::collections::BTreeSet;

use rebalanced::edge::alpaca::Error;
use rebalanced::model::environment::{Live, Paper};
use rebalanced::model::ids::Symbol;
use rebalanced::model::money::Price;
use rebalanced::model::time::Span;

use crate::script::{DATA_SECRET, Stage, TOKEN, access, access_of, at, ok, says, symbol};

fn wanted(symbols: &[&str]) -> BTreeSet<Symbol> {
    symbols.iter().map(|text| symbol(text)).collect()
}

const QUOTES: &str = r#"{"quotes":{
    "SPY":{"ap":500.26,"as":3,"ax":"V","bp":500.2,"bs":2,"bx":"V","c":["R"],"t":"2026-11-23T14:59:59.123456789Z","z":"B"},
    "AGG":{"ap":0,"bp":99.5,"t":"2026-11-23T14:59:58Z"},
    "BAD":{"ap":"many","bp":1,"t":"2026-11-23T14:59:58Z"},
    "OLD":{"ap":1e-7,"bp":1,"t":"yesterday"}},"a_field_of_tomorrow":1}"#;

#[tokio::test]
async fn quotes_are_exact_and_one_bad_row_does_not_touch_the_others() {
    let stage = Stage::new([ok(QUOTES)]);
    let quotes = stage.client.quotes(&access::<Paper>(), &wanted(&["AGG", "BAD", "NONE", "OLD", "SPY"])).await.unwrap();
    assert_eq!(quotes.keys().map(Symbol::as_str).collect::<Vec<_>>(), ["AGG", "SPY"], "row 43");
    let spy = quotes[&symbol("SPY")];
    assert_eq!((spy.bid, spy.ask), (Price::parse("500.2").unwrap(), Price::parse("500.26").unwrap()));
    assert_eq!(spy.at, at("2026-11-23T14:59:59.123456Z"));
    assert!(spy.is_usable() && !quotes[&symbol("AGG")].is_usable(), "row 42: a side that is not active is no price");
    assert_eq!(
        stage.asked(),
        ["GET https://data.example/v2/stocks/quotes/latest?symbols=AGG%2CBAD%2CNONE%2COLD%2CSPY"]
    );
    assert_eq!(stage.header(0, "apca-api-secret-key").unwrap(), DATA_SECRET);
    assert_eq!(stage.header(0, "authorization"), None, "the service's own key, not the user's token");
}

#[tokio::test]
async fn one_question_serves_all_users_for_a_second() {
    let stage = Stage::new([ok(QUOTES), ok(r#"{"quotes":{}}"#)]);
    let spy = wanted(&["SPY"]);
    stage.client.quotes(&access_of::<Paper>("one"), &spy).await.unwrap();
    stage.client.quotes(&access_of::<Live>("two"), &spy).await.unwrap();
    assert_eq!(stage.asked().len(), 1);
    stage.clock.set(at("2026-11-23T15:00:01Z"));
    let later = stage.client.quotes(&access_of::<Paper>("three"), &spy).await.unwrap();
    assert_eq!(stage.asked().len(), 2);
    assert!(later.is_empty(), "an old price never stands in for a missing one");
}

#[tokio::test]
async fn many_symbols_are_asked_for_in_parts() {
    let names: BTreeSet<Symbol> = (0..250).map(|number| symbol(&format!("S{number:03}"))).collect();
    let stage = Stage::new([ok("{}"), ok(r#"{"quotes":null}"#), ok(r#"{"quotes":{}}"#)]);
    assert!(stage.client.quotes(&access::<Paper>(), &names).await.unwrap().is_empty());
    assert_eq!(stage.asked().len(), 3);
}

#[tokio::test]
async fn a_data_host_that_says_no_does_not_make_a_users_token_dead() {
    let spy = wanted(&["SPY"]);
    for status in [401, 403] {
        let stage = Stage::new([says(status, r#"{"message":"forbidden."}"#)]);
        let error = stage.client.quotes(&access::<Paper>(), &spy).await.unwrap_err();
        assert!(matches!(error, Error::Refused { .. }), "the service's own key: {error}");
    }
    let licence = r#"{"code":40110000,"message":"token is not authorized for this scope"}"#;
    for said in [says(401, licence), says(403, r#"{"message":"forbidden."}"#)] {
        let stage = Stage::with_key([said], None);
        let error = stage.client.quotes(&access::<Paper>(), &spy).await.unwrap_err();
        assert!(matches!(error, Error::Refused { .. }), "a licence or a scope: {error}");
        assert_eq!(stage.header(0, "authorization").unwrap(), format!("Bearer {TOKEN}"));
    }
    let stage = Stage::with_key([says(401, r#"{"message":"unauthorized."}"#)], None);
    let error = stage.client.quotes(&access::<Paper>(), &spy).await.unwrap_err();
    assert!(matches!(error, Error::Unauthorized { .. }), "{error}");
}

#[tokio::test]
async fn the_calendar_is_in_the_exchanges_own_time_and_remembered_for_its_day() {
    let body = r#"[{"date":"2026-11-27","open":"09:30","close":"13:00","session_open":"0400","session_close":"2000"}]"#;
    let stage = Stage::new([ok(body), ok(body), ok("[]"), ok(body)]);
    let day = jiff::civil::date(2026, 11, 27);
    let sessions = stage.client.sessions(&access::<Paper>(), day, day).await.unwrap();
    assert_eq!((sessions[0].open, sessions[0].close), (at("2026-11-27T14:30:00Z"), at("2026-11-27T18:00:00Z")));
    assert_eq!(stage.asked()[0], "GET https://paper.example/v2/calendar?start=2026-11-27&end=2026-11-27");
    stage.client.sessions(&access_of::<Paper>("two"), day, day).await.unwrap();
    assert_eq!(stage.asked().len(), 1, "remembered for everybody");
    stage.client.sessions(&access::<Live>(), day, day).await.unwrap();
    assert_eq!(stage.asked().len(), 2, "the live host answers for itself");
    stage.clock.set(at("2026-11-24T04:59:59Z"));
    stage.client.sessions(&access::<Paper>(), day, day).await.unwrap();
    assert_eq!(stage.asked().len(), 2, "still the same day in New York");
    stage.clock.set(at("2026-11-24T05:00:00Z"));
    let today = stage.client.sessions(&access::<Paper>(), day, day).await.unwrap();
    assert!(today.is_empty() && stage.asked().len() == 3, "a new day asks again");
    for odd in [
        r#"[{"date":"2026-11-31","open":"09:30","close":"13:00"}]"#,
        r#"[{"date":"2026-11-27","open":"9.30","close":"13:00"}]"#,
        r#"[{"date":"2026-11-27","open":"16:00","close":"09:30"}]"#,
        r#"[{"date":"2026-11-27","open":"09:30"}]"#,
    ] {
        let stage = Stage::new([ok(odd)]);
        assert!(
            matches!(stage.client.sessions(&access::<Paper>(), day, day).await, Err(Error::Nonsense { .. })),
            "{odd}"
        );
    }
}

#[tokio::test]
async fn assets_are_remembered_for_the_exchanges_day_but_not_their_absence() {
    let body = |status: &str, fractionable: bool| {
        format!(
            r#"{{"id":"b","class":"us_equity","symbol":"BRK.B","status":"{status}","tradable":true,"fractionable":{fractionable}}}"#
        )
    };
    let missing = || says(404, r#"{"code":40410000,"message":"asset not found for BRK.B"}"#);
    let stage = Stage::new([missing(), ok(body("active", true)), ok(body("inactive", false))]);
    let name = symbol("BRK.B");
    let paper = access::<Paper>();
    assert_eq!(stage.client.asset(&paper, &name).await.unwrap(), None);
    let asset = stage.client.asset(&paper, &name).await.unwrap().unwrap();
    assert!(asset.tradable && asset.fractionable);
    stage.client.asset(&access_of::<Paper>("two"), &name).await.unwrap();
    assert_eq!(stage.asked().len(), 2);
    assert_eq!(stage.asked()[1], "GET https://paper.example/v2/assets/BRK.B");
    stage.clock.set(stage.clock.now() + Span::from_hours(24));
    let asset = stage.client.asset(&paper, &name).await.unwrap().unwrap();
    assert!(!asset.tradable && !asset.fractionable, "inactive is not tradable, whatever else it says");
    let page = Stage::new([says(404, "<html>")]);
    assert!(page.client.asset(&paper, &name).await.is_err(), "a page proves nothing");
}

#[tokio::test]
async fn trades_are_exact_and_shared_for_a_second() {
    let body = r#"{"trades":{"SPY":{"c":["@"],"i":1,"p":500.2301,"s":3,"t":"2026-11-23T14:59:59.5Z","x":"V","z":"B"},
        "BAD":{"p":"many","t":"2026-11-23T14:59:58Z"},"OLD":{"p":1,"t":"yesterday"}}}"#;
    let stage = Stage::new([ok(body), ok(r#"{"trades":{}}"#)]);
    let trades = stage.client.trades(&access::<Paper>(), &wanted(&["BAD", "OLD", "SPY"])).await.unwrap();
    assert_eq!(trades.keys().map(Symbol::as_str).collect::<Vec<_>>(), ["SPY"], "one bad row does not touch the others");
    assert_eq!(trades[&symbol("SPY")].price, Price::parse("500.2301").unwrap());
    assert_eq!(trades[&symbol("SPY")].at, at("2026-11-23T14:59:59.5Z"));
    assert_eq!(stage.asked(), ["GET https://data.example/v2/stocks/trades/latest?symbols=BAD%2COLD%2CSPY"]);
    stage.client.trades(&access::<Live>(), &wanted(&["SPY"])).await.unwrap();
    assert_eq!(stage.asked().len(), 1, "one question serves all users for a second");
}

#[tokio::test]
async fn volumes_are_averaged_over_twenty_sessions_and_remembered_for_the_day() {
    let bars: Vec<String> =
        (1..=22).map(|day| format!(r#"{{"c":1,"v":{},"t":"2026-10-{day:02}T04:00:00Z"}}"#, day * 100)).collect();
    let body = format!(
        r#"{{"bars":{{"SPY":[{}],"NEW":[{{"v":7}},{{"v":10}}],"NIL":[],"BAD":[{{"v":"x"}}]}},"next_page_token":null}}"#,
        bars.join(",")
    );
    let stage = Stage::new([ok(&body), ok(r#"{"bars":{}}"#), ok(&body)]);
    let names = wanted(&["BAD", "NEW", "NIL", "SPY"]);
    let volumes = stage.client.volumes(&access::<Paper>(), &names).await.unwrap();
    let texts: Vec<(&str, String)> = volumes.iter().map(|(name, of)| (name.as_str(), of.to_string())).collect();
    assert_eq!(texts, [("NEW", "8".to_owned()), ("SPY", "1250".to_owned())], "the last twenty: 300 to 2200");
    assert_eq!(
        stage.asked(),
        [
            "GET https://data.example/v2/stocks/bars?timeframe=1Day&start=2026-10-22&end=2026-11-22&adjustment=split&feed=sip&limit=10000&symbols=BAD%2CNEW%2CNIL%2CSPY"
        ]
    );
    stage.client.volumes(&access::<Live>(), &wanted(&["SPY"])).await.unwrap();
    assert_eq!(stage.asked().len(), 1, "remembered for everybody");
    stage.client.volumes(&access::<Paper>(), &names).await.unwrap();
    assert_eq!(stage.asked().len(), 2, "what was missing is asked for again");
    stage.clock.set(at("2026-11-24T05:00:00Z"));
    stage.client.volumes(&access::<Paper>(), &wanted(&["SPY"])).await.unwrap();
    assert_eq!(stage.asked().len(), 3, "a new day in New York asks again");
}
