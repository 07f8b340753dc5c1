//! An order that waited, held beside the account of now: what is not covered stays here (S6, S7).

use std::collections::BTreeMap;

use rebalanced::decide::cover::uncovered;
use rebalanced::model::ids::{ClientOrderId, OrderId};
use rebalanced::model::intent::{Intent, IntentState};
use rebalanced::model::money::Qty;
use rebalanced::model::plan::{Amount, Phase, Side};
use rebalanced::model::snapshot::{Holding, OpenOrder};
use rebalanced::model::verdict::RefusalCode;

use crate::cast::{account, dec, symbol, usd};
use crate::order::intent;

fn holding(qty: &str, available: &str) -> Holding {
    Holding { qty: Qty::new(dec(qty)), available: Qty::new(dec(available)), last_price: None }
}

fn open(side: Side, reserves: Option<&str>) -> OpenOrder {
    OpenOrder {
        id: OrderId::parse("o-9").unwrap(),
        client_order_id: ClientOrderId::parse("theirs").unwrap(),
        symbol: symbol("KO"),
        side,
        reserves: reserves.map(usd),
        remaining: None,
    }
}

#[test]
fn rows_34_and_55_what_an_account_does_not_cover_any_more_does_not_leave() {
    // Four shares are to be sold.
    let sale = intent(IntentState::Recorded);
    let sales = [
        (Some(("4", "4")), None),
        (Some(("9", "4")), None),
        (Some(("9", "3.999999999")), Some(RefusalCode::Oversell)),
        (Some(("3.999999999", "4")), Some(RefusalCode::Oversell)),
        (Some(("-4", "4")), Some(RefusalCode::Oversell)),
        (None, Some(RefusalCode::Oversell)),
    ];
    for (held, expected) in sales {
        let holdings = held.map(|(qty, available)| (symbol("SPY"), holding(qty, available)));
        let holdings: BTreeMap<_, _> = holdings.into_iter().collect();
        let found = uncovered(&sale, &account("0").account, (&holdings, &[]));
        assert_eq!(found.map(|refusal| refusal.code), expected, "{held:?}");
    }
    // Two thousand dollars are to be spent.
    let buy = Intent { phase: Phase::Buy, amount: Amount::Notional(usd("2000")), ..sale.clone() };
    let buys = [
        ("2000", vec![], None),
        ("1999.99", vec![], Some(RefusalCode::Overspend)),
        ("2100", vec![open(Side::Buy, Some("100"))], None),
        ("2100", vec![open(Side::Buy, Some("60")), open(Side::Buy, Some("40.01"))], Some(RefusalCode::Overspend)),
        ("2000", vec![open(Side::Sell, Some("0"))], None),
        ("9999", vec![open(Side::Buy, None)], Some(RefusalCode::Overspend)),
        ("-1", vec![], Some(RefusalCode::Overspend)),
    ];
    for (cash, orders, expected) in buys {
        let found = uncovered(&buy, &account(cash).account, (&BTreeMap::new(), &orders));
        assert_eq!(found.map(|refusal| refusal.code), expected, "{cash} {orders:?}");
    }
    let mut blocked = account("9999").account;
    blocked.blocks = vec!["trading_blocked"];
    let found = uncovered(&buy, &blocked, (&BTreeMap::new(), &[]));
    assert_eq!(found.map(|refusal| refusal.code), Some(RefusalCode::AccountBlocked));
}
