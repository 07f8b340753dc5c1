//! One account and one strategy as plain whole numbers, and the two texts that are made of them: the strategy file and the
//! snapshot in Alpaca's JSON. The planner sees the texts alone, the solver the numbers alone.

use serde_json::{Value, json};

/// A number of billionths, as a decimal text.
fn billionths(number: i128) -> String {
    format!("{}{}.{:09}", if number < 0 { "-" } else { "" }, number.abs() / 1_000_000_000, number.abs() % 1_000_000_000)
}

/// A number of hundredths, as a decimal text.
fn hundredths(number: i128) -> String {
    format!("{}{}.{:02}", if number < 0 { "-" } else { "" }, number.abs() / 100, number.abs() % 100)
}

/// How far a rebalance goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Destination {
    Target,
    BandEdge,
    Halfway,
}

/// Which orders may be sent, and what is made small.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Orders {
    Full,
    BuyOnly,
    SellOnly,
    FewestTrades,
}

/// One symbol.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// Hundredths of a percent.
    pub(crate) weight: i128,
    /// Billionths of a share.
    pub(crate) held: i128,
    /// Billionths of a share that no order holds.
    pub(crate) free: i128,
    pub(crate) bid_cents: i128,
    pub(crate) ask_cents: i128,
    /// Trades in parts of a share.
    pub(crate) split: bool,
    pub(crate) tradable: bool,
    /// An open order of the user's own on it: cents that it reserves, zero for a sale.
    pub(crate) order: Option<i128>,
}

impl Row {
    pub(crate) fn ask(&self) -> f64 {
        self.ask_cents as f64 / 100.0
    }

    pub(crate) fn middle(&self) -> f64 {
        (self.bid_cents + self.ask_cents) as f64 / 200.0
    }

    pub(crate) fn shares(&self) -> f64 {
        self.held as f64 / 1e9
    }

    pub(crate) fn worth(&self) -> f64 {
        self.shares() * self.middle()
    }

    /// What the most that can be sold is worth.
    pub(crate) fn sellable(&self) -> f64 {
        self.free as f64 / 1e9 * self.middle()
    }

    pub(crate) fn open(&self) -> bool {
        self.tradable && self.order.is_none()
    }

    pub(crate) fn target(&self) -> f64 {
        self.weight as f64 / 10_000.0
    }
}

/// One account under one strategy.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) number: u64,
    pub(crate) rows: Vec<Row>,
    /// Hundredths of a percent.
    pub(crate) cash_target: i128,
    pub(crate) cash_cents: i128,
    /// Percentage points.
    pub(crate) absolute: Option<i128>,
    /// Percent of the target.
    pub(crate) relative: Option<i128>,
    pub(crate) destination: Destination,
    pub(crate) invest_cash: bool,
    pub(crate) orders: Orders,
    /// Who moves: only those outside their bands.
    pub(crate) only_outside: bool,
    /// Cents that wait to leave the account.
    pub(crate) aside: i128,
    pub(crate) limit_orders: bool,
    /// How far beyond the quote a limit lies, in hundredths of a percent.
    pub(crate) collar: i128,
    /// Dollars.
    pub(crate) least: i128,
}

impl Case {
    /// Cash that is a part of the portfolio.
    pub(crate) fn cash(&self) -> f64 {
        (self.cash_cents - self.aside) as f64 / 100.0
    }

    /// What a sale of a row brings for a dollar at the middle, at worst.
    pub(crate) fn brings(&self, row: &Row) -> f64 {
        let cents = if self.limit_orders { row.bid_cents * (10_000 - self.collar) / 10_000 } else { row.bid_cents };
        cents as f64 / 100.0 / row.middle()
    }

    /// What a purchase of a row costs for a dollar at the middle, at worst.
    pub(crate) fn costs(&self, row: &Row) -> f64 {
        let up = (row.ask_cents * (10_000 + self.collar) + 9_999) / 10_000;
        let cents = if self.limit_orders { up } else { row.ask_cents };
        cents as f64 / 100.0 / row.middle()
    }

    pub(crate) fn reserved(&self) -> f64 {
        self.rows.iter().filter_map(|row| row.order).sum::<i128>() as f64 / 100.0
    }

    pub(crate) fn value(&self) -> f64 {
        self.cash() + self.rows.iter().map(Row::worth).sum::<f64>()
    }

    /// The band of a row, as a fraction of the portfolio: the tighter of the two.
    pub(crate) fn band(&self, row: &Row) -> Option<f64> {
        let absolute = self.absolute.map(|points| points as f64 / 100.0);
        let relative = self.relative.map(|percent| percent as f64 / 100.0 * row.target());
        match (absolute, relative) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (one, other) => one.or(other),
        }
    }

    /// Whether every symbol can be traded in any amount.
    pub(crate) fn unhindered(&self) -> bool {
        self.rows.iter().all(|row| row.open() && row.free == row.held)
    }

    /// The same account with so many times the shares and the money.
    pub(crate) fn times(&self, factor: i128) -> Self {
        let mut large = self.clone();
        large.cash_cents *= factor;
        large.aside *= factor;
        for row in &mut large.rows {
            row.held *= factor;
            row.free *= factor;
            row.order = row.order.map(|cents| cents * factor);
        }
        large
    }

    pub(crate) fn symbol(place: usize) -> String {
        format!("S{place:03}")
    }

    /// The strategy file.
    pub(crate) fn strategy(&self) -> String {
        let mut file = String::from("name = \"case\"\n[schedule]\nevery = \"session\"\nat = \"close-15m\"\n");
        for (place, row) in self.rows.iter().enumerate() {
            let (symbol, percent) = (Self::symbol(place), hundredths(row.weight));
            file += &format!("[[weights]]\nsymbol = \"{symbol}\"\npercent = {percent}\n");
        }
        file += &format!("[cash]\npercent = {}\n[rebalance]\n", hundredths(self.cash_target));
        for (key, band) in [("absolute", self.absolute), ("relative", self.relative)] {
            if let Some(band) = band {
                file += &format!("drift_{key}_percent = {band}\n");
            }
        }
        let destination = match self.destination {
            Destination::Target => "target",
            Destination::BandEdge => "band_edge",
            Destination::Halfway => "halfway",
        };
        let mode = match self.orders {
            Orders::Full => "full",
            Orders::BuyOnly => "buy_only",
            Orders::SellOnly => "sell_only",
            Orders::FewestTrades => "fewest_trades",
        };
        let scope = if self.only_outside { "out_of_band" } else { "all" };
        file += &format!("destination = \"{destination}\"\nmode = \"{mode}\"\nscope = \"{scope}\"\n");
        file += &format!("invest_cash = {}\n[orders]\nmin_notional = {}\n", self.invest_cash, self.least);
        if self.limit_orders {
            file += &format!("type = \"limit\"\ncollar_percent = {}\n", hundredths(self.collar));
        }
        file
    }

    /// The snapshot.
    pub(crate) fn snapshot(&self) -> String {
        let (mut positions, mut assets, mut orders) = (Vec::new(), Vec::new(), Vec::new());
        let mut quotes = serde_json::Map::new();
        for (place, row) in self.rows.iter().enumerate() {
            let symbol = Self::symbol(place);
            if row.held > 0 {
                positions.push(json!({
                    "symbol": symbol, "asset_class": "us_equity", "side": "long",
                    "qty": billionths(row.held), "qty_available": billionths(row.free),
                }));
            }
            assets.push(json!({
                "symbol": symbol, "status": "active", "tradable": row.tradable, "fractionable": row.split,
            }));
            let price = |cents: i128| serde_json::from_str::<Value>(&hundredths(cents)).unwrap_or_default();
            let (bid, ask) = (price(row.bid_cents), price(row.ask_cents));
            quotes.insert(symbol.clone(), json!({ "t": "2026-11-23T20:44:59Z", "bp": bid, "ap": ask }));
            if let Some(cents) = row.order {
                let side = if cents > 0 { "buy" } else { "sell" };
                let notional = (cents > 0).then(|| hundredths(cents));
                let qty = (cents == 0).then_some("1");
                orders.push(json!({
                    "id": format!("o-{place}"), "client_order_id": "by-hand", "symbol": symbol, "side": side,
                    "notional": notional, "qty": qty, "filled_qty": "0", "type": "market", "status": "new",
                }));
            }
        }
        json!({
            "as_of": "2026-11-23T20:45:00Z",
            "account": { "cash": hundredths(self.cash_cents) },
            "positions": positions, "open_orders": orders, "assets": assets, "quotes": quotes,
        })
        .to_string()
    }
}
