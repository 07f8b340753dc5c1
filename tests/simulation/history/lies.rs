//! Answers that are changed on their way back, where the simulator's own fault script has no word for it. Each says whether
//! it really happened.

use alpaca_sim::Sim;
use alpaca_sim::exchange::asset::AssetPatch;
use alpaca_sim::exchange::order::{OrderRequest, OrderStatus, Side};
use bytes::Bytes;
use rebalanced::model::plan::Amount;
use rebalanced::model::time::Span;
use rust_decimal::Decimal;
use serde_json::Value;

use super::faults::{self, Fault, Kind};
use super::wire::{Answer, FaultyWire, Way, by_hand, client_id, is_whole};

impl FaultyWire {
    /// The account with a bit more cash than anything explains, and whether it has.
    pub(super) async fn haunted(&self, request: http::Request<Bytes>) -> (Answer, bool) {
        let (parts, body) = match self.call(request).await {
            Ok(answer) => answer.into_parts(),
            Err(lost) => return (Err(lost), false),
        };
        let Ok(mut account) = serde_json::from_slice::<Value>(&body) else {
            return (Ok(http::Response::from_parts(parts, body)), false);
        };
        let mut changed = false;
        for field in ["cash", "equity"] {
            let more = account[field].as_str().and_then(|text| text.parse::<Decimal>().ok());
            if let Some(more) = more {
                account[field] = (more + Decimal::new(1234, 2)).to_string().into();
                changed = true;
            }
        }
        (Ok(http::Response::from_parts(parts, Bytes::from(account.to_string()))), changed)
    }

    /// A ghost moves in. Without books there is nothing to explain yet. The database is not asked here: requests of one look
    /// are under way together, and its answer takes real time (S18).
    pub(super) async fn ghost(&self, way: &Way, request: http::Request<Bytes>) -> (Answer, bool) {
        let moved_in = way.account.as_ref().is_some_and(|account| {
            let mut notes = self.notes.lock();
            let fresh = notes.compared;
            let explainable = notes.has_books && notes.run_of.as_ref() == Some(account);
            if explainable {
                notes.ghosts.insert(account.clone(), fresh);
            }
            explainable
        });
        if !moved_in {
            return (self.call(request).await, false);
        }
        self.haunted(request).await
    }

    pub(super) async fn lying_quotes(&self, fault: Fault, request: http::Request<Bytes>) -> (Answer, bool) {
        let (parts, body) = match self.call(request).await {
            Ok(answer) => answer.into_parts(),
            Err(lost) => return (Err(lost), false),
        };
        let mut notes = self.notes.lock();
        notes.lied_quotes.clear();
        match faults::lie_about_quotes(fault, &body, &mut notes) {
            Some((lie, whose)) => {
                let changed = *lie != *body;
                notes.lied_quotes.extend(whose);
                (Ok(http::Response::from_parts(parts, Bytes::from(lie))), changed)
            }
            None => (Ok(http::Response::from_parts(parts, body)), false),
        }
    }

    /// The broker shows more filled than was ordered, of an order of ours that has not ended in our books. Only where what
    /// is shown is taken over: in the answer to the order, to the question for it, and to a poll.
    pub(super) async fn overfilled(&self, way: &Way, request: http::Request<Bytes>) -> (Answer, bool) {
        let polled = way.query.contains("status=all") && self.notes.lock().polling;
        let answer = self.call(request).await;
        let is_read = answer.as_ref().is_ok_and(is_whole) && (way.kind != Kind::Orders || polled);
        let read = answer.as_ref().ok().filter(|_| is_read).and_then(|said| serde_json::from_slice(said.body()).ok());
        let Some(mut body): Option<Value> = read else { return (answer, false) };
        let rows: Vec<&mut Value> = match &mut body {
            Value::Array(rows) => rows.iter_mut().collect(),
            one => vec![one],
        };
        let mut whose = None;
        for row in rows {
            let id = row["client_order_id"].as_str().unwrap_or_default().to_owned();
            let known = self.store.intent_named(&id).await.ok().flatten().filter(|it| !it.state.is_terminal());
            let Some(known) = known.filter(|_| !self.notes.lock().must_quarantine.contains_key(&id)) else { continue };
            let number = |field: &str| row[field].as_str().and_then(|text| text.parse::<Decimal>().ok());
            let more = match known.amount {
                Amount::Qty(_) => number("qty").map(|ordered| (ordered + Decimal::new(5, 1), None)),
                // Half as much again as was ordered, at the price that the answer shows, or at one that it could show.
                Amount::Notional(_) => number("notional").map(|ordered| {
                    let price = number("filled_avg_price").unwrap_or(Decimal::from(50));
                    let filled = (ordered * Decimal::new(15, 1) / price).round_dp(9);
                    (filled, Some(price))
                }),
            };
            if let Some((filled, price)) = more {
                row["filled_qty"] = filled.to_string().into();
                if let Some(price) = price {
                    row["filled_avg_price"] = price.to_string().into();
                }
                whose = Some(id);
                break;
            }
        }
        let Some(id) = whose else { return (answer, false) };
        let mut notes = self.notes.lock();
        notes.must_quarantine.insert(id.clone(), "more was shown filled than was ordered");
        notes.fresh_echo = Some(id);
        let lie = answer.map(|said| {
            let (mut parts, _) = said.into_parts();
            parts.headers.remove("content-length");
            http::Response::from_parts(parts, Bytes::from(body.to_string()))
        });
        (lie, true)
    }

    /// The cancellation was acknowledged, and the venue filled the order all the same.
    pub(super) async fn filled_after_cancel(&self, way: &Way, request: http::Request<Bytes>) -> (Answer, bool) {
        let answer = self.call(request).await;
        let acknowledged = answer.as_ref().is_ok_and(|answer| answer.status() == 204);
        let (Some(account), true) = (&way.account, acknowledged) else { return (answer, false) };
        let id = way.path.rsplit('/').next().unwrap_or_default();
        let filled = |sim: &Sim| {
            sim.with_exchange(|exchange, now| exchange.order(now, account, id).map(|order| order.filled_qty))
        };
        let before = filled(&self.sim);
        let begun = self.sim.with_exchange(|exchange, now| {
            let symbol = exchange.order(now, account, id)?.symbol.clone();
            exchange.change_asset(now, &symbol, AssetPatch { halted: Some(false), ..AssetPatch::default() })?;
            exchange.force_status(now, account, id, OrderStatus::New)
        });
        if begun.is_err() {
            return (answer, false);
        }
        self.pass(Span::from_secs(2));
        self.sim.set_clock(self.clock.now().timestamp());
        let after = filled(&self.sim);
        (answer, matches!((before, after), (Ok(before), Ok(after)) if after > before))
    }

    /// Somebody else has an order under this very id: another symbol's. Whether they have.
    pub(super) fn plant(&self, request: &http::Request<Bytes>) -> bool {
        let (Some(id), Some(account)) = (client_id(request), self.account_of(request)) else { return false };
        let order = OrderRequest { client_order_id: Some(id.clone()), ..by_hand("IEF", Side::Buy, Decimal::from(5)) };
        self.sim.set_clock(self.clock.now().timestamp());
        let planted = self.sim.with_exchange(|exchange, now| exchange.submit(now, &account, order)).is_ok();
        let mut notes = self.notes.lock();
        if planted {
            notes.touched.insert(account);
            notes.must_quarantine.insert(id, "another order stood under its id");
        }
        planted
    }
}
