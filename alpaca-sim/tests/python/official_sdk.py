"""Runs the unchanged official SDK against a simulator: only its URL overrides are set.

Arguments: base address, key id, secret, OAuth token. Exits non-zero with a traceback when anything differs.
"""

import asyncio
import sys
import threading
import time
from datetime import date, datetime, timedelta, timezone

from alpaca.common.exceptions import APIError
from alpaca.data.historical import StockHistoricalDataClient
from alpaca.data.requests import (
    StockBarsRequest,
    StockLatestBarRequest,
    StockLatestQuoteRequest,
    StockLatestTradeRequest,
    StockSnapshotRequest,
)
from alpaca.data.timeframe import TimeFrame
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import AssetClass, OrderSide, OrderStatus, QueryOrderStatus, TimeInForce
from alpaca.trading.models import AccountConfiguration
from alpaca.trading.requests import (
    ClosePositionRequest,
    GetAssetsRequest,
    GetCalendarRequest,
    GetOrdersRequest,
    GetPortfolioHistoryRequest,
    LimitOrderRequest,
    MarketOrderRequest,
    ReplaceOrderRequest,
)
from alpaca.trading.stream import TradingStream

BASE, KEY, SECRET, TOKEN = sys.argv[1:5]
STREAM = BASE.replace("http://", "ws://") + "/paper/stream"


def until(what, condition, seconds=30.0):
    """Waits for something that happens in its own time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"did not happen in {seconds} s: {what}")


def listen():
    """The SDK's stream in its own thread; returns the stream and the list of what it hears."""
    heard = []
    stream = TradingStream(KEY, SECRET, paper=True, url_override=STREAM)

    async def on_update(update):
        heard.append(update)

    stream.subscribe_trade_updates(on_update)
    thread = threading.Thread(target=stream.run, daemon=True)
    thread.start()
    until("the stream listens", lambda: stream._running)
    time.sleep(0.3)
    return stream, thread, heard


def read_only(trading):
    account = trading.get_account()
    assert account.status.value == "ACTIVE", account
    assert float(account.cash) == 100000 and account.currency == "USD", account

    clock = trading.get_clock()
    assert clock.is_open and clock.timestamp < clock.next_close < clock.next_open, clock

    days = trading.get_calendar(GetCalendarRequest(start=date(2019, 11, 25), end=date(2019, 12, 2)))
    assert [day.date.day for day in days] == [25, 26, 27, 29, 2], days
    assert days[3].close.strftime("%H:%M") == "13:00", days[3]

    asset = trading.get_asset("AAPL")
    assert asset.tradable and asset.fractionable and asset.symbol == "AAPL", asset
    assert trading.get_asset(str(asset.id)).symbol == "AAPL"
    assets = trading.get_all_assets(GetAssetsRequest(asset_class=AssetClass.US_EQUITY))
    assert {"SPY", "AGG", "AAPL"} <= {one.symbol for one in assets}
    try:
        trading.get_asset("NOSUCH")
        raise AssertionError("an unknown asset was found")
    except APIError as error:
        assert error.status_code == 404 and error.code == 40410000, error

    configuration = trading.get_account_configurations()
    assert isinstance(configuration, AccountConfiguration) and configuration.fractional_trading
    configuration.no_shorting = True
    assert trading.set_account_configurations(configuration).no_shorting


def orders(trading, heard):
    bought = trading.submit_order(
        MarketOrderRequest(symbol="AAPL", notional=1000, side=OrderSide.BUY, time_in_force=TimeInForce.DAY)
    )
    assert bought.notional is not None and bought.qty is None, bought
    done = until("the market order fills", lambda: filled(trading, bought.id))
    assert float(done.filled_qty) > 0 and float(done.filled_avg_price) > 0, done
    until("the stream tells of the fill", lambda: any(u.event == "fill" and u.order.id == bought.id for u in heard))
    fill = next(u for u in heard if u.event == "fill" and u.order.id == bought.id)
    assert fill.price > 0 and fill.qty > 0 and fill.position_qty > 0 and fill.execution_id, fill

    limit = trading.submit_order(
        LimitOrderRequest(
            symbol="MSFT",
            qty=2,
            limit_price=1.5,
            side=OrderSide.BUY,
            time_in_force=TimeInForce.DAY,
            client_order_id="my-limit",
        )
    )
    assert trading.get_order_by_client_id("my-limit").id == limit.id
    until("the limit order is new", lambda: trading.get_order_by_id(limit.id).status == OrderStatus.NEW)
    assert [o.id for o in trading.get_orders()] == [limit.id]
    moved = trading.replace_order_by_id(limit.id, ReplaceOrderRequest(limit_price=1.25))
    assert moved.id != limit.id and moved.replaces == limit.id, moved
    until("the new order is new", lambda: trading.get_order_by_id(moved.id).status == OrderStatus.NEW)
    trading.cancel_order_by_id(moved.id)
    until("the order is canceled", lambda: trading.get_order_by_id(moved.id).status == OrderStatus.CANCELED)

    closed = trading.get_orders(GetOrdersRequest(status=QueryOrderStatus.CLOSED, symbols=["AAPL", "MSFT"]))
    assert len(closed) == 3, closed
    try:
        trading.submit_order(
            MarketOrderRequest(symbol="AAPL", qty=100000, side=OrderSide.BUY, time_in_force=TimeInForce.DAY)
        )
        raise AssertionError("bought without money")
    except APIError as error:
        assert error.status_code == 403 and error.code == 40310000, error
        assert error.message == "insufficient buying power", error

    resting = trading.submit_order(
        LimitOrderRequest(symbol="MSFT", qty=1, limit_price=1, side=OrderSide.BUY, time_in_force=TimeInForce.DAY)
    )
    answers = trading.cancel_orders()
    assert [answer.id for answer in answers] == [resting.id] and answers[0].status == 200, answers


def filled(trading, order_id):
    order = trading.get_order_by_id(order_id)
    return order if order.status == OrderStatus.FILLED else None


def positions(trading):
    held = trading.get_all_positions()
    assert [position.symbol for position in held] == ["AAPL"], held
    one = trading.get_open_position("AAPL")
    assert one.qty == held[0].qty and one.side.value == "long", one
    part = trading.close_position("AAPL", ClosePositionRequest(percentage="50"))
    until("half is sold", lambda: filled(trading, part.id))
    answers = trading.close_all_positions(cancel_orders=True)
    assert [answer.symbol for answer in answers] == ["AAPL"] and answers[0].status == 200, answers
    until("all is sold", lambda: not trading.get_all_positions())
    history = trading.get_portfolio_history(GetPortfolioHistoryRequest(period="1W", timeframe="1D"))
    assert len(history.timestamp) == len(history.equity) > 0, history


def data(market):
    symbols = ["AAPL", "SPY"]
    quotes = market.get_stock_latest_quote(StockLatestQuoteRequest(symbol_or_symbols=symbols))
    trades = market.get_stock_latest_trade(StockLatestTradeRequest(symbol_or_symbols=symbols))
    bars = market.get_stock_latest_bar(StockLatestBarRequest(symbol_or_symbols=symbols))
    snapshots = market.get_stock_snapshot(StockSnapshotRequest(symbol_or_symbols=symbols))
    for symbol in symbols:
        assert 0 < quotes[symbol].bid_price < quotes[symbol].ask_price, quotes
        assert trades[symbol].price > 0 and bars[symbol].close > 0, (trades, bars)
        assert snapshots[symbol].daily_bar and snapshots[symbol].previous_daily_bar, snapshots
    daily = market.get_stock_bars(
        StockBarsRequest(
            symbol_or_symbols=symbols,
            timeframe=TimeFrame.Day,
            start=datetime(2019, 11, 1, tzinfo=timezone.utc),
            end=datetime(2019, 12, 1, tzinfo=timezone.utc),
        )
    )
    assert len(daily["AAPL"]) == len(daily["SPY"]) == 20, (len(daily["AAPL"]), len(daily["SPY"]))
    assert all(bar.low <= bar.close <= bar.high for bar in daily["AAPL"])
    start = datetime(2019, 12, 2, 14, 30, tzinfo=timezone.utc)
    minutes = market.get_stock_bars(
        StockBarsRequest(
            symbol_or_symbols="AAPL", timeframe=TimeFrame.Minute, start=start, end=start + timedelta(minutes=9)
        )
    )
    assert len(minutes["AAPL"]) == 10, minutes


def main():
    trading = TradingClient(KEY, SECRET, paper=True, url_override=BASE + "/paper")
    read_only(trading)
    stream, thread, heard = listen()
    orders(trading, heard)
    positions(trading)
    asyncio.run_coroutine_threadsafe(stream.stop_ws(), stream._loop).result()
    thread.join(15)
    data(StockHistoricalDataClient(KEY, SECRET, url_override=BASE + "/data"))

    delegated = TradingClient(oauth_token=TOKEN, url_override=BASE + "/paper")
    assert delegated.get_account().account_number, "a delegated token opens the account"
    data(StockHistoricalDataClient(oauth_token=TOKEN, url_override=BASE + "/data"))
    wrong = TradingClient("PKNOBODY", "wrong", paper=True, url_override=BASE + "/paper")
    try:
        wrong.get_account()
        raise AssertionError("a wrong key opened an account")
    except APIError as error:
        assert error.status_code == 401, error
    print("the official SDK works unchanged")


main()
