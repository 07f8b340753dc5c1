//! Wishes: one of a kind at a time, nothing forgotten, and each of the broker's rows counted once.

use rebalanced::edge::store::WishEnding;
use rebalanced::model::books::Activity;
use rebalanced::model::event::Actor;
use rebalanced::model::ids::{Symbol, WishId};
use rebalanced::model::money::{Fraction, Qty, Usd};
use rebalanced::model::personal::{Said, Wish};

use crate::cast::{account, connected, kinds, minutes};
use crate::databases;

fn said(number: u32, wish: Wish, at: i64) -> Said {
    Said {
        id: WishId::parse(&format!("wsh_{number}")).unwrap(),
        account: account(1),
        wish,
        by: "ada".to_owned(),
        reason: "asked".to_owned(),
        at: minutes(at),
        until: Some(minutes(90)),
        ended: None,
    }
}

fn usd(text: &str) -> Usd {
    Usd::parse(text).unwrap()
}

fn row(id: &str, cash: &str, at: i64) -> Activity {
    Activity {
        id: id.to_owned(),
        kind: "CSW".to_owned(),
        at: Some(minutes(at)),
        cash: usd(cash),
        shares: None,
        order: None,
        executed: Qty::ZERO,
        corrects: false,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_wish_comes_back_as_it_was_said_and_a_new_one_takes_the_place_of_the_old() {
    for db in databases::both().await {
        connected(&db.store, 1).await;
        let symbol = |text| Symbol::parse(text).unwrap();
        let all = [
            said(1, Wish::Exclude(symbol("SPY")), 1),
            said(2, Wish::DoNotSell(symbol("SPY")), 2),
            said(3, Wish::DoNotBuy(symbol("BRK.B")), 3),
            said(4, Wish::Cash(Fraction::from_percent("12.34".parse().unwrap())), 4),
            said(5, Wish::Cap(usd("0.01")), 5),
            said(6, Wish::TargetYear(2055), 6),
            said(8, Wish::Withdraw { amount: usd("500"), left: Usd::ZERO }, 8),
        ];
        for said in &all {
            db.store.say(said).await.unwrap();
        }
        assert_eq!(db.store.personal(&account(1)).await.unwrap().said, all, "{}", db.name);
        db.store.say(&said(9, Wish::Cap(usd("900")), 9)).await.unwrap();
        let personal = db.store.personal(&account(1)).await.unwrap();
        assert_eq!((personal.said.len(), personal.cap(minutes(10))), (7, Some(usd("900"))));
        assert_eq!((personal.target_year(minutes(5)), personal.target_year(minutes(6))), (None, Some(2055)));
        let ever = db.store.wishes(Some(&account(1))).await.unwrap();
        assert_eq!(ever[4].ended, Some((minutes(9), "operator:ada".to_owned())), "and the old one is not forgotten");
        let which = WishEnding::One("do_not_sell", Some(symbol("SPY")));
        let by = Actor::operator("bo");
        let ended = db.store.clear(&account(1), &which, (&by, "done"), minutes(11)).await.unwrap();
        assert_eq!(ended.iter().map(|said| said.id.as_str()).collect::<Vec<_>>(), ["wsh_2"]);
        assert_eq!(db.store.clear(&account(1), &which, (&by, "again"), minutes(11)).await.unwrap(), []);
        assert_eq!(db.store.clear(&account(1), &WishEnding::All, (&by, "all"), minutes(12)).await.unwrap().len(), 6);
        assert_eq!(db.store.personal(&account(1)).await.unwrap().said, []);
        let kinds = kinds(&db.store).await;
        assert_eq!(kinds.iter().filter(|kind| *kind == "override.said").count(), 8);
        assert_eq!(kinds.iter().filter(|kind| *kind == "override.cleared").count(), 7);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_counts_once_and_none_from_before_the_withdrawal() {
    for db in databases::both().await {
        connected(&db.store, 1).await;
        let count = async |rows: &[Activity], at| db.store.withdrawn(&account(1), rows, minutes(at)).await.unwrap();
        let pending = async |at| db.store.personal(&account(1)).await.unwrap().aside(minutes(at));
        count(&[row("early", "-50", 1)], 2).await;
        db.store.say(&said(1, Wish::Withdraw { amount: usd("500"), left: Usd::ZERO }, 10)).await.unwrap();
        count(&[row("before", "-100", 9), row("a", "-200", 11)], 12).await;
        assert_eq!(pending(12).await, usd("300"), "{}", db.name);
        for at in 13..16 {
            count(&[row("a", "-200", 11)], at).await;
        }
        assert_eq!(pending(16).await, usd("300"), "the same row again");
        count(&[row("b", "-400", 17), row("c", "-1", 18)], 19).await;
        assert_eq!(pending(19).await, Usd::ZERO);
        let [said] = db.store.wishes(None).await.unwrap().try_into().unwrap();
        assert_eq!(said.wish, Wish::Withdraw { amount: usd("500"), left: usd("500") }, "never more than was asked for");
        assert_eq!(said.ended, Some((minutes(19), "service".to_owned())));
        assert_eq!(kinds(&db.store).await.iter().filter(|kind| *kind == "withdrawal.left").count(), 2);
    }
}
