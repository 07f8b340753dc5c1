//! Trades that are taken back or corrected: the order, the account, the rows and the stream change together.

use super::*;
use crate::exchange::activity::{ActivityDetail, ActivityFilter, FillRow};
use crate::exchange::event::TradeUpdate;

fn rows(desk: &mut Desk) -> Vec<FillRow> {
    let filter = ActivityFilter { ascending: true, ..ActivityFilter::default() };
    let rows = desk.exchange.activities(desk.now, &desk.account, &filter).unwrap();
    let fills = rows.into_iter().filter_map(|row| match row.detail {
        ActivityDetail::Fill(fill) => Some(fill),
        ActivityDetail::NonTrade(_) => None,
    });
    fills.collect()
}

fn last_news(desk: &mut Desk) -> TradeUpdate {
    desk.exchange.take_updates().pop().unwrap()
}

#[test]
fn a_bust_takes_an_execution_back_and_leaves_the_account_as_it_was() {
    let mut desk = Desk::new();
    let cash = desk.view().cash;
    let order = desk.submit(market(Side::Buy, "AAPL", "10")).unwrap();
    desk.wait(1);
    assert!(desk.view().cash < cash);
    let (account, now) = (desk.account.clone(), desk.now);
    let after = desk.exchange.bust(now, &account, &order.id).unwrap();
    assert_eq!((after.status, after.filled_qty, after.filled_avg_price), (OrderStatus::Filled, Decimal::ZERO, None));
    assert_eq!(desk.view().cash, cash);
    assert!(desk.exchange.positions(now, &account).unwrap().is_empty());
    let told = rows(&mut desk);
    assert_eq!(told.iter().map(|row| row.qty).collect::<Vec<_>>(), [dec("10"), dec("-10")]);
    assert_eq!((told[1].event, told[1].cum_qty), (TradeEvent::TradeBust, Decimal::ZERO));
    let news = last_news(&mut desk);
    assert_eq!(
        (news.event, news.qty, news.position_qty),
        (TradeEvent::TradeBust, Some(dec("10")), Some(Decimal::ZERO))
    );
    assert!(desk.exchange.bust(now, &account, &order.id).is_err(), "nothing is left to take back");
}

#[test]
fn a_correction_is_the_execution_as_it_should_have_been() {
    let mut desk = Desk::holding("AAPL", "10");
    let cash = desk.view().cash;
    let order = desk.submit(market(Side::Sell, "AAPL", "10")).unwrap();
    desk.wait(1);
    let (account, now) = (desk.account.clone(), desk.now);
    let after = desk.exchange.correct(now, (&account, &order.id), (dec("8"), dec("100"))).unwrap();
    assert_eq!((after.filled_qty, after.filled_avg_price), (dec("8"), Some(dec("100"))));
    assert_eq!(desk.view().cash, cash + dec("800"));
    assert_eq!(desk.qty("AAPL"), dec("2"));
    let told = rows(&mut desk);
    assert_eq!(told.iter().map(|row| row.qty).collect::<Vec<_>>(), [dec("10"), dec("-10"), dec("8")]);
    assert!(told[1..].iter().all(|row| row.event == TradeEvent::TradeCorrect));
    let news = last_news(&mut desk);
    assert_eq!((news.event, news.qty, news.price), (TradeEvent::TradeCorrect, Some(dec("8")), Some(dec("100"))));
}
