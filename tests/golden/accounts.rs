//! Accounts for a strategy, made of Alpaca's JSON from its own symbols and weights: the same strategy gives the same
//! accounts, always and everywhere.

use rebalanced::model::strategy::Strategy;
use rust_decimal::Decimal;
use serde_json::{Map, Value, json};

/// What each account is worth before money comes or goes.
const WORTH: i64 = 100_000;

/// A Monday in the session.
const AS_OF: &str = "2026-11-23T20:45:00Z";

/// How far each holding is from its target: one too large, the next too small.
const AWAY: [(i64, i64); 2] = [(125, 80), (70, 130)];

/// A few accounts, each with its name.
pub(crate) fn accounts(strategy: &Strategy) -> Vec<(&'static str, Value)> {
    let kept = Decimal::from(WORTH) * strategy.cash().decimal();
    let on_target = (100, 100);
    vec![
        ("new account", account(strategy, Decimal::from(WORTH), (0, 0), true)),
        ("drifted", account(strategy, kept, AWAY[0], true)),
        ("deposit", account(strategy, kept + Decimal::from(7_500), on_target, true)),
        ("withdrawal", account(strategy, Decimal::from(-2_500), on_target, true)),
        ("whole shares", account(strategy, kept, AWAY[1], false)),
        ("resting", resting(account(strategy, kept, AWAY[0], true))),
        ("not tradable", stuck(account(strategy, kept, AWAY[0], true))),
    ]
}

/// The account, rebalanced an hour ago.
fn resting(mut account: Value) -> Value {
    account["last_rebalanced_at"] = json!("2026-11-23T19:45:00Z");
    account
}

/// The account, whose first symbol the broker does not let it trade.
fn stuck(mut account: Value) -> Value {
    account["assets"][0]["tradable"] = json!(false);
    account
}

/// The exchange's day of the accounts.
pub(crate) fn day() -> jiff::civil::Date {
    jiff::civil::date(2026, 11, 23)
}

/// A price in cents that is the symbol's own: 20 to 420 dollars.
pub(crate) fn cents(symbol: &str) -> i64 {
    let mixed = symbol.bytes().fold(7_u64, |sum, byte| (sum * 31 + u64::from(byte)) % 1_000_003);
    2_000 + i64::try_from(mixed % 40_000).unwrap()
}

/// An account that holds `percent` of what each target says, the first figure for every other symbol; where not all of it
/// is split, the first symbol trades in whole shares only.
fn account(strategy: &Strategy, cash: Decimal, percent: (i64, i64), all_split: bool) -> Value {
    let (mut positions, mut quotes, mut assets) = (Vec::new(), Map::new(), Vec::new());
    let mut equity = cash;
    for (place, target) in strategy.targets().iter().enumerate() {
        let symbol = target.symbol.as_str();
        let cents = cents(symbol);
        let price = Decimal::new(cents, 2);
        let split = all_split || place > 0;
        let percent = Decimal::from(if place % 2 == 0 { percent.0 } else { percent.1 });
        let worth = Decimal::from(WORTH) * target.weight.decimal() * percent / Decimal::ONE_HUNDRED;
        let qty = (worth / price).trunc_with_scale(if split { 6 } else { 0 }).normalize();
        if !qty.is_zero() {
            equity += qty * price;
            positions.push(json!({
                "symbol": symbol,
                "asset_class": "us_equity",
                "qty": qty.to_string(),
                "qty_available": qty.to_string(),
                "side": "long",
                "current_price": price.to_string(),
            }));
        }
        let side = |cents: i64| serde_json::from_str::<Value>(&Decimal::new(cents, 2).to_string()).unwrap();
        let (bid, ask) = (side(cents - 1), side(cents + 1));
        quotes.insert(symbol.to_owned(), json!({ "t": "2026-11-23T20:44:59Z", "bp": bid, "ap": ask }));
        assets.push(json!({ "symbol": symbol, "status": "active", "tradable": true, "fractionable": split }));
    }
    let mut cash_text = cash.normalize();
    if cash_text.scale() < 2 {
        cash_text.rescale(2);
    }
    let spendable = cash_text.max(Decimal::ZERO);
    json!({
        "as_of": AS_OF,
        "account": {
            "id": "904837e3-3b76-47ec-b432-046db621571b",
            "account_number": "PA2XYZ",
            "status": "ACTIVE",
            "currency": "USD",
            "cash": cash_text.to_string(),
            "equity": equity.round_dp(2).to_string(),
            "buying_power": spendable.to_string(),
            "trading_blocked": false,
            "account_blocked": false,
            "transfers_blocked": false,
            "trade_suspended_by_user": false,
        },
        "positions": positions,
        "assets": assets,
        "quotes": { "quotes": quotes },
        "last_rebalanced_at": null,
    })
}
