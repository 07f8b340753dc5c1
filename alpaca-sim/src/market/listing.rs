//! What is listed: names and exchanges, and the proxies for symbols without published closes.
//!
//! Always: a proxy says in its name that it is one. SPY is the S&P 500 index divided by ten; every other proxy is a
//! seeded path, partly following that index, and ends near the price its namesake had at the end of 2022.
#![expect(clippy::float_arithmetic, reason = "the price path is the one place where floats are at home")]

use super::closes::Series;
use super::dice;

/// Tickers with published closes: ticker, name, listing exchange.
const REAL: &[(&str, &str, &str)] = &[
    ("AAPL", "Apple Inc.", "NASDAQ"),
    ("AMD", "Advanced Micro Devices, Inc.", "NASDAQ"),
    ("BAC", "Bank of America Corporation", "NYSE"),
    ("BBY", "Best Buy Co., Inc.", "NYSE"),
    ("CVX", "Chevron Corporation", "NYSE"),
    ("GE", "General Electric Company", "NYSE"),
    ("HD", "The Home Depot, Inc.", "NYSE"),
    ("JNJ", "Johnson & Johnson", "NYSE"),
    ("JPM", "JPMorgan Chase & Co.", "NYSE"),
    ("KO", "The Coca-Cola Company", "NYSE"),
    ("LLY", "Eli Lilly and Company", "NYSE"),
    ("MRK", "Merck & Co., Inc.", "NYSE"),
    ("MSFT", "Microsoft Corporation", "NASDAQ"),
    ("MTUM", "iShares MSCI USA Momentum Factor ETF", "BATS"),
    ("PEP", "PepsiCo, Inc.", "NASDAQ"),
    ("PFE", "Pfizer Inc.", "NYSE"),
    ("PG", "The Procter & Gamble Company", "NYSE"),
    ("QUAL", "iShares MSCI USA Quality Factor ETF", "BATS"),
    ("RRC", "Range Resources Corporation", "NYSE"),
    ("SIZE", "iShares MSCI USA Size Factor ETF", "ARCA"),
    ("UNH", "UnitedHealth Group Incorporated", "NYSE"),
    ("USMV", "iShares MSCI USA Min Vol Factor ETF", "BATS"),
    ("VLUE", "iShares MSCI USA Value Factor ETF", "BATS"),
    ("WMT", "Walmart Inc.", "NYSE"),
    ("XOM", "Exxon Mobil Corporation", "NYSE"),
];

/// A symbol whose path is made here.
pub(crate) struct Proxy {
    pub(crate) ticker: &'static str,
    name: &'static str,
    exchange: &'static str,
    /// Close on the last day of the data.
    last: f64,
    /// Share of the index's return.
    beta: f64,
    /// Deviation of its own daily return.
    own: f64,
    /// Steady daily return.
    drift: f64,
}

const fn proxy(
    ticker: &'static str,
    name: &'static str,
    exchange: &'static str,
    last: f64,
    (beta, own, drift): (f64, f64, f64),
) -> Proxy {
    Proxy { ticker, name, exchange, last, beta, own, drift }
}

/// Bond funds: low volatility, hardly any index. Stock funds: mostly index. Metals: mostly their own way.
pub(crate) const PROXIES: &[Proxy] = &[
    proxy("AGG", "iShares Core U.S. Aggregate Bond ETF", "ARCA", 97.2, (0.01, 0.0026, 0.000_05)),
    proxy("BIL", "SPDR Bloomberg 1-3 Month T-Bill ETF", "ARCA", 91.5, (0.0, 0.000_1, 0.0)),
    proxy("BND", "Vanguard Total Bond Market Index Fund", "NASDAQ", 72.0, (0.01, 0.0026, 0.000_05)),
    proxy("BNDX", "Vanguard Total International Bond Index Fund", "NASDAQ", 47.5, (0.01, 0.0024, 0.000_04)),
    proxy("DBC", "Invesco DB Commodity Index Tracking Fund", "ARCA", 24.8, (0.25, 0.009, 0.0)),
    proxy("EEM", "iShares MSCI Emerging Markets ETF", "ARCA", 38.0, (0.95, 0.008, -0.000_05)),
    proxy("EFA", "iShares MSCI EAFE ETF", "ARCA", 65.8, (0.85, 0.006, -0.000_05)),
    proxy("GLD", "SPDR Gold Shares", "ARCA", 168.0, (0.0, 0.0085, 0.000_15)),
    proxy("GOVT", "iShares U.S. Treasury Bond ETF", "BATS", 22.8, (-0.02, 0.003, 0.000_03)),
    proxy("HYG", "iShares iBoxx High Yield Corporate Bond ETF", "ARCA", 73.9, (0.3, 0.003, 0.0)),
    proxy("IAU", "iShares Gold Trust", "ARCA", 34.3, (0.0, 0.0085, 0.000_15)),
    proxy("IEF", "iShares 7-10 Year Treasury Bond ETF", "NASDAQ", 95.9, (-0.08, 0.0036, 0.000_05)),
    proxy("IEFA", "iShares Core MSCI EAFE ETF", "BATS", 61.8, (0.85, 0.006, -0.000_05)),
    proxy("IEMG", "iShares Core MSCI Emerging Markets ETF", "ARCA", 46.8, (0.95, 0.008, -0.000_05)),
    proxy("ITOT", "iShares Core S&P Total U.S. Stock Market ETF", "ARCA", 84.0, (1.0, 0.001, 0.0)),
    proxy("IVV", "iShares Core S&P 500 ETF", "ARCA", 379.9, (1.0, 0.000_3, 0.0)),
    proxy("IWM", "iShares Russell 2000 ETF", "ARCA", 171.0, (1.1, 0.006, -0.000_02)),
    proxy("LQD", "iShares iBoxx Investment Grade Corporate Bond ETF", "ARCA", 105.6, (0.05, 0.004, 0.000_05)),
    proxy("MUB", "iShares National Muni Bond ETF", "ARCA", 105.5, (0.01, 0.0022, 0.000_03)),
    proxy("QQQ", "Invesco QQQ Trust", "NASDAQ", 259.8, (1.15, 0.006, 0.000_1)),
    proxy("SCHD", "Schwab US Dividend Equity ETF", "ARCA", 75.8, (0.85, 0.004, 0.0)),
    proxy("SGOV", "iShares 0-3 Month Treasury Bond ETF", "ARCA", 100.3, (0.0, 0.000_1, 0.0)),
    proxy("SHY", "iShares 1-3 Year Treasury Bond ETF", "NASDAQ", 81.2, (-0.005, 0.000_8, 0.0)),
    proxy("SLV", "iShares Silver Trust", "ARCA", 21.6, (0.1, 0.015, 0.0)),
    proxy("TIP", "iShares TIPS Bond ETF", "ARCA", 106.5, (0.0, 0.0035, 0.000_03)),
    proxy("TLT", "iShares 20+ Year Treasury Bond ETF", "NASDAQ", 99.9, (-0.15, 0.008, 0.000_1)),
    proxy("VEA", "Vanguard FTSE Developed Markets ETF", "ARCA", 42.1, (0.85, 0.006, -0.000_05)),
    proxy("VNQ", "Vanguard Real Estate ETF", "ARCA", 82.0, (0.9, 0.008, 0.0)),
    proxy("VOO", "Vanguard S&P 500 ETF", "ARCA", 347.2, (1.0, 0.000_3, 0.0)),
    proxy("VTI", "Vanguard Total Stock Market ETF", "ARCA", 188.9, (1.0, 0.001, 0.0)),
    proxy("VTV", "Vanguard Value ETF", "ARCA", 139.6, (0.95, 0.003, 0.0)),
    proxy("VUG", "Vanguard Growth ETF", "ARCA", 209.3, (1.1, 0.004, 0.0)),
    proxy("VWO", "Vanguard FTSE Emerging Markets ETF", "ARCA", 38.9, (0.9, 0.008, -0.000_05)),
    proxy("VXUS", "Vanguard Total International Stock ETF", "NASDAQ", 51.5, (0.87, 0.006, -0.000_05)),
];

/// Name and listing exchange of a ticker, wherever its closes come from.
pub(crate) fn describe(ticker: &str, from_file: bool) -> (String, &'static str) {
    if from_file {
        return (format!("{ticker} (closes from a file)"), "NYSE");
    }
    if let Some((_, name, exchange)) = REAL.iter().find(|(real, _, _)| *real == ticker) {
        return ((*name).to_owned(), exchange);
    }
    if ticker == "SPY" {
        return ("SPDR S&P 500 ETF Trust (simulated proxy: index / 10)".into(), "ARCA");
    }
    match PROXIES.iter().find(|proxy| proxy.ticker == ticker) {
        Some(proxy) => (format!("{} (simulated proxy: seeded path)", proxy.name), proxy.exchange),
        None => (ticker.to_owned(), "NYSE"),
    }
}

/// SPY: the index divided by ten.
pub(crate) fn spy(index: &Series) -> Series {
    Series { first: index.first, closes: index.closes.iter().map(|close| close / 10.0).collect() }
}

impl Proxy {
    /// The seeded path over the days of the index.
    pub(crate) fn path(&self, seed: u64, index: &Series) -> Series {
        let key = dice::text(seed, self.ticker);
        let mut closes = Vec::with_capacity(index.closes.len());
        let mut level = 1.0;
        let mut before = index.closes.first().copied().unwrap_or(1.0);
        for (day, close) in (0_u64..).zip(&index.closes) {
            let own = self.own * dice::normal(dice::pair(key, day));
            // A floor far below any day that happened keeps the level above zero.
            level *= (1.0 + self.beta * (close / before - 1.0) + own + self.drift).max(0.5);
            before = *close;
            closes.push(level);
        }
        let scale = self.last / level;
        for close in &mut closes {
            *close *= scale;
        }
        Series { first: index.first, closes }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::market::closes;

    #[test]
    fn a_bond_proxy_moves_little_and_ends_where_it_should() {
        let tables = closes::builtin().unwrap();
        for proxy in PROXIES {
            let path = proxy.path(42, &tables.index);
            assert!((path.closes.last().unwrap() / proxy.last - 1.0).abs() < 1e-9, "{}", proxy.ticker);
            assert!(path.closes.iter().all(|close| *close > 0.5 && *close < 5_000.0), "{}", proxy.ticker);
        }
        let agg = PROXIES.iter().find(|proxy| proxy.ticker == "AGG").unwrap().path(42, &tables.index);
        let worst = agg.closes.windows(2).map(|pair| (pair[1] / pair[0] - 1.0).abs()).fold(0.0, f64::max);
        assert!(worst < 0.02, "{worst}");
    }

    #[test]
    fn proxies_are_named_as_such() {
        assert!(describe("AGG", false).0.contains("proxy"));
        assert!(describe("SPY", false).0.contains("proxy"));
        assert!(!describe("AAPL", false).0.contains("proxy"));
    }
}
