//! Orders that may be sent: nothing but the store makes them, so a store is asked here, too.

use rebalanced::edge::recorded::Durable;
use rebalanced::edge::store::{Connection, RecordAnswer, Store};
use rebalanced::model::environment::Paper;
use rebalanced::model::ids::AccountId;
use rebalanced::model::money::{Price, Qty, Usd};
use rebalanced::model::plan::{Amount, Leg, Phase, Pricing};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use crate::cast::{self, claimed, connection, day, enqueued, minutes, policy, recording};
use crate::cleared::cleared;
use crate::script::{ACCOUNT, symbol};

static PURCHASE: OnceCell<Durable<Paper>> = OnceCell::const_new();
static SALE: OnceCell<Durable<Paper>> = OnceCell::const_new();

/// A purchase of SPY for 12.30 dollars at the market, on paper.
pub async fn purchase() -> &'static Durable<Paper> {
    PURCHASE.get_or_init(|| recorded(cast::purchase("SPY", "12.30"))).await
}

/// A sale of a part of a share of SPY at 501.50 dollars or more.
pub async fn sale() -> &'static Durable<Paper> {
    let leg = Leg {
        phase: Phase::Sell,
        symbol: symbol("SPY"),
        amount: Amount::Qty(Qty::parse("0.123456789").unwrap()),
        pricing: Pricing::Limit(Price::parse("501.50").unwrap()),
        value: Usd::parse("61.91").unwrap(),
        reference_price: Price::parse("501.50").unwrap(),
    };
    SALE.get_or_init(|| recorded(leg)).await
}

async fn recorded(leg: Leg) -> Durable<Paper> {
    let folder = TempDir::new().unwrap();
    let store = Store::open(&format!("sqlite:{}", folder.path().join("test.sqlite").display())).await.unwrap();
    let owner = AccountId::parse(ACCOUNT).unwrap();
    store.connect(&Connection { account: owner.clone(), ..connection(1) }).await.unwrap();
    enqueued(&store, minutes(5)).await;
    let claim = claimed(&store, minutes(5)).await;
    let cleared = cleared(&owner, vec![leg]);
    let answer = store.record(&claim, (&cleared, &recording()), (&policy(), day()), minutes(6)).await.unwrap();
    let RecordAnswer::Stored(recorded) = answer else { panic!("{answer:?}") };
    recorded.into_durable().remove(0)
}
