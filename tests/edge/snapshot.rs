//! The dry run's file: Alpaca's own answers pasted together, and what is said when they do not fit.

use rebalanced::edge::alpaca::snapshot_from_json;
use rebalanced::model::money::{Price, Usd};

use crate::script::{at, symbol};

const WHOLE: &str = include_str!("../data/sixty-forty.snapshot.json");

#[test]
fn a_whole_snapshot_is_read() {
    let snapshot = snapshot_from_json(WHOLE).unwrap();
    assert_eq!(snapshot.as_of, at("2026-11-20T20:45:00Z"));
    assert_eq!(snapshot.account.cash, Usd::parse("1000").unwrap());
    assert_eq!(snapshot.holdings.len(), 2);
    assert_eq!(snapshot.quotes[&symbol("SPY")].bid, Price::parse("500").unwrap());
    assert!(snapshot.assets[&symbol("AGG")].fractionable);
    assert_eq!(snapshot.last_rebalanced_at, None);
}

#[test]
fn what_may_be_absent_may_be_absent() {
    let least = r#"{"as_of":"2026-11-20T15:45:00-05:00","account":{"cash":100.25,"trading_blocked":null},
        "positions":[{"symbol":"AGG","qty":3}],"quotes":{"SPY":{"t":"2026-11-20T20:45:00Z","bp":1,"ap":2}}}"#;
    let snapshot = snapshot_from_json(least).unwrap();
    assert_eq!(snapshot.as_of, at("2026-11-20T20:45:00Z"));
    assert!(snapshot.account.can_trade() && snapshot.open_orders.is_empty());
    assert_eq!(snapshot.account.cash, Usd::parse("100.25").unwrap());
    for name in ["AGG", "SPY"] {
        let asset = snapshot.assets[&symbol(name)];
        assert!(asset.tradable && asset.fractionable, "{name}");
    }
    let listed = least.replacen(
        '{',
        r#"{"assets":[{"symbol":"SPY","status":"active","tradable":true,"fractionable":false}],"#,
        1,
    );
    assert!(!snapshot_from_json(&listed).unwrap().assets[&symbol("SPY")].fractionable);
}

#[test]
fn every_fault_names_its_place_and_its_mend() {
    for (from, to, path, what) in [
        ("\"as_of\"", "\"as_off\"", "as_off", "is no key of a snapshot"),
        ("\"quotes\": {\n    \"quotes\"", "\"quotes\": {\n    \"quote\"", "quotes.quote", "missing field `t`"),
        ("2026-11-20T20:45:00Z", "yesterday", "as_of", "`yesterday` is not a time"),
        ("\"cash\": \"1000.00\"", "\"cash\": \"lots\"", "account.cash", "`lots` is not a plain decimal"),
        ("\"cash\": \"1000.00\",", "", "account.cash", "is missing"),
        ("\"qty\": \"50\"", "\"qty\": \"5O\"", "positions[1].qty", "`5O` is not a plain decimal"),
        ("\"symbol\": \"AGG\",\n      \"exchange\"", "\"exchange\"", "positions[1].symbol", "is missing"),
        ("\"bp\": 500.00", "\"bp\": \"x\"", "quotes.quotes.SPY.bp", "`x` is not a plain decimal"),
        ("\"positions\": [", "\"positions\": {", "positions", ""),
        ("\"last_rebalanced_at\": null", "\"last_rebalanced_at\": \"never\"", "last_rebalanced_at", "`never`"),
    ] {
        let text = WHOLE.replacen(from, to, 1);
        assert_ne!(text, WHOLE, "{from} is in the file");
        let fault = snapshot_from_json(&text).unwrap_err();
        assert!(fault.path.starts_with(path) && fault.what.contains(what), "{from}: {fault}");
        assert!(!fault.mend.is_empty());
    }
    let fault = snapshot_from_json("not json").unwrap_err();
    assert!(fault.what.contains("line 1 column 2"), "{fault}");
    let fault = snapshot_from_json(&format!("{WHOLE} again")).unwrap_err();
    assert!(fault.what.contains("trailing"), "{fault}");
}

#[test]
fn no_cut_of_a_snapshot_is_one_and_none_panics() {
    let text = WHOLE.trim_end();
    for end in (0..text.len()).filter(|end| text.is_char_boundary(*end)) {
        assert!(snapshot_from_json(&text[..end]).is_err(), "cut at {end}");
    }
}
