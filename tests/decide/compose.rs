//! From what a strategy holds to its weights on one day, held against reckonings of its own: closed forms for two symbols, the
//! conditions of an optimum for many, plain sums and sorts for the rest; on real closing prices and on generated ones.

#![allow(clippy::float_arithmetic, clippy::cast_precision_loss, clippy::needless_range_loop, reason = "statistics")]

use std::collections::{BTreeMap, BTreeSet};

use alpaca_sim::market::{Market, MarketConfig};
use jiff::civil::{Date, date};
use proptest::prelude::*;
use rebalanced::decide::compose::{Inputs, resolve};
use rebalanced::decide::consent;
use rebalanced::decide::personal::Unfit;
use rebalanced::decide::plan::{Stage, plan};
use rebalanced::edge::strategies::load_dir;
use rebalanced::model::closes::{Closes, DailyCloses};
use rebalanced::model::composition::{Calm, Composition, Glide, Mix, Momentum, Sleeve, apportion};
use rebalanced::model::ids::{StrategyName, StrategyVersion, Symbol};
use rebalanced::model::money::{Fraction, Price};
use rebalanced::model::strategy::{Destination, Strategy};
use rebalanced::model::verdict::Reason;
use rust_decimal::Decimal;
use rust_decimal::prelude::{FromPrimitive, ToPrimitive};

use crate::cast::{account, dec, legs, open, parts, symbol, with};

const STOCKS: [&str; 20] = [
    "AAPL", "AMD", "BAC", "BBY", "CVX", "GE", "HD", "JNJ", "JPM", "KO", "LLY", "MRK", "MSFT", "PEP", "PFE", "PG",
    "RRC", "UNH", "WMT", "XOM",
];

fn strategy(composition: Composition, cash: &str) -> Strategy {
    let mut parts = parts(&[]);
    parts.cash = Fraction::from_percent(dec(cash));
    Strategy::composed(parts, composition).unwrap()
}

fn symbols(names: &[&str]) -> BTreeSet<Symbol> {
    names.iter().map(|name| symbol(name)).collect()
}

/// The real closes of the last `count` sessions before a day.
fn real(names: &[&str], day: Date, count: usize) -> (Closes, Date) {
    let market = Market::new(MarketConfig::default()).unwrap();
    let all = market.calendar().all();
    let end = all.partition_point(|session| session.date < day);
    let sessions = &all[end - count..end];
    let closes = names.iter().map(|name| {
        let of = |session: &alpaca_sim::market::sessions::Session| {
            (session.date, Price::new(market.trade(name, session.close).unwrap().price))
        };
        (symbol(name), sessions.iter().map(of).collect::<DailyCloses>())
    });
    (Closes::new(closes.collect::<BTreeMap<_, _>>()), sessions.last().unwrap().date)
}

fn answer(strategy: &Strategy, closes: &Closes, day: Date, before: Option<Date>) -> Result<Mix, Unfit> {
    let inputs = Inputs { day, session_before: before, closes, target_year: None };
    let resolved = resolve(strategy, &inputs)?;
    let sum: Fraction = resolved.targets().iter().map(|target| target.weight).sum();
    assert_eq!(sum + resolved.cash(), Fraction::ONE, "with the cash exactly one");
    assert_eq!(resolved.targets().len(), strategy.universe().len(), "every symbol that may be held has a row");
    Ok(resolved.targets().iter().map(|target| (target.symbol.clone(), target.weight)).collect())
}

fn floats(mix: &Mix) -> Vec<f64> {
    mix.values().map(|weight| weight.decimal().to_f64().unwrap()).collect()
}

fn returns(closes: &Closes, name: &str, window: usize) -> Vec<f64> {
    let prices: Vec<f64> = closes.of(&symbol(name)).unwrap().values().map(|p| p.decimal().to_f64().unwrap()).collect();
    let prices = &prices[prices.len() - window - 1..];
    (1..prices.len()).map(|day| prices[day] / prices[day - 1] - 1.0).collect()
}

fn covariance(a: &[f64], b: &[f64]) -> f64 {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (x, y) = (mean(a), mean(b));
    a.iter().zip(b).map(|(one, other)| (one - x) * (other - y)).sum::<f64>() / a.len() as f64
}

/// Ledoit and Wolf, written down anew from their paper: day by day, matrix by matrix.
fn shrunk(returns: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let (side, days) = (returns.len(), returns[0].len());
    let sample: Vec<Vec<f64>> = returns.iter().map(|a| returns.iter().map(|b| covariance(a, b)).collect()).collect();
    let level = (0..side).map(|i| sample[i][i]).sum::<f64>() / side as f64;
    let norm = |of: &dyn Fn(usize, usize) -> f64| {
        (0..side).flat_map(|i| (0..side).map(move |j| (i, j))).map(|(i, j)| of(i, j).powi(2)).sum::<f64>() / side as f64
    };
    let target = |i: usize, j: usize| if i == j { level } else { 0.0 };
    let distance = norm(&|i, j| sample[i][j] - target(i, j));
    let means: Vec<f64> = returns.iter().map(|r| r.iter().sum::<f64>() / days as f64).collect();
    let noise = (0..days)
        .map(|t| norm(&|i, j| (returns[i][t] - means[i]) * (returns[j][t] - means[j]) - sample[i][j]))
        .sum::<f64>()
        / (days as f64).powi(2);
    let share = noise.min(distance) / distance;
    (0..side).map(|i| (0..side).map(|j| (1.0 - share) * sample[i][j] + share * target(i, j)).collect()).collect()
}

fn calm(names: &[&str], window_days: u32, most: &str) -> Calm {
    Calm { symbols: symbols(names), window_days, most: Fraction::from_percent(dec(most)) }
}

#[test]
fn inverse_volatility_of_two_is_the_closed_form() {
    for year in 1995..=2022 {
        let day = date(year, 6, 15);
        let (closes, before) = real(&["KO", "AMD"], day, 121);
        let mix = answer(
            &strategy(Composition::InverseVolatility(calm(&["KO", "AMD"], 120, "100")), "0"),
            &closes,
            day,
            Some(before),
        );
        let deviation = |name: &str| {
            let returns = returns(&closes, name, 120);
            covariance(&returns, &returns).sqrt()
        };
        let (amd, ko) = (deviation("AMD"), deviation("KO"));
        let expected = (1.0 / amd) / (1.0 / amd + 1.0 / ko);
        assert!((floats(&mix.unwrap())[0] - expected).abs() < 1e-6, "{year}: AMD {expected}");
    }
}

#[test]
fn inverse_volatility_is_in_proportion_below_the_cap() {
    let day = date(2020, 4, 1);
    let (closes, before) = real(&STOCKS, day, 253);
    let mix =
        answer(&strategy(Composition::InverseVolatility(calm(&STOCKS, 252, "6")), "3"), &closes, day, Some(before))
            .unwrap();
    let most = Fraction::from_percent(dec("6"));
    let mut level: Option<f64> = None;
    let mut capped = 0;
    for (symbol, weight) in &mix {
        assert!(*weight <= most, "{symbol}");
        let returns = returns(&closes, symbol.as_str(), 252);
        let risk = weight.decimal().to_f64().unwrap() * covariance(&returns, &returns).sqrt();
        if *weight == most {
            capped += 1;
            assert!(level.is_none_or(|level| risk <= level + 1e-6), "{symbol} is cut off, not pushed up");
        } else {
            let expected = *level.get_or_insert(risk);
            assert!((risk / expected - 1.0).abs() < 1e-4, "{symbol}: {risk} and {expected}: the same risk each");
        }
    }
    assert!(capped > 0 && capped < mix.len(), "{capped} of {} are at the cap", mix.len());
}

#[test]
fn the_least_variance_of_two_is_the_closed_form() {
    for year in 1992..=2022 {
        let day = date(year, 9, 1);
        for (a, b) in [("JNJ", "XOM"), ("AAPL", "PG"), ("AMD", "KO")] {
            let (closes, before) = real(&[a, b], day, 121);
            let matrix = shrunk(&[returns(&closes, a, 120), returns(&closes, b, 120)]);
            let (aa, bb, ab) = (matrix[0][0], matrix[1][1], matrix[0][1]);
            let expected = ((bb - ab) / (aa + bb - 2.0 * ab)).clamp(0.1, 0.9);
            let both = strategy(Composition::MinVariance(calm(&[a, b], 120, "90")), "0");
            let mix = answer(&both, &closes, day, Some(before)).unwrap();
            assert!((floats(&mix)[0] - expected).abs() < 2e-6, "{year} {a} {b}: {expected} and {mix:?}");
        }
    }
}

/// The conditions of Karush, Kuhn and Tucker: what is between its bounds has the same marginal variance, what is at zero a larger
/// one, what is at the cap a smaller one. For a convex problem they hold at the optimum and nowhere else.
fn is_optimal(matrix: &[Vec<f64>], weights: &[f64], most: f64) -> (f64, usize, usize) {
    let side = weights.len();
    let marginal: Vec<f64> = (0..side).map(|i| (0..side).map(|j| matrix[i][j] * weights[j]).sum::<f64>()).collect();
    let variance: f64 = (0..side).map(|i| weights[i] * marginal[i]).sum();
    let (low, high) = (|w: f64| w < 1e-6, |w: f64| w > most - 1e-6);
    let inside: Vec<f64> =
        (0..side).filter(|i| !low(weights[*i]) && !high(weights[*i])).map(|i| marginal[i] / variance).collect();
    // With nothing between the bounds any level will do that is above those at the cap.
    let at_cap = (0..side).filter(|i| high(weights[*i])).map(|i| marginal[i] / variance);
    let level =
        if inside.is_empty() { at_cap.fold(0.0, f64::max) } else { inside.iter().sum::<f64>() / inside.len() as f64 };
    let mut worst: f64 = 0.0;
    for i in 0..side {
        let gap = marginal[i] / variance - level;
        worst = worst.max(if low(weights[i]) {
            -gap
        } else if high(weights[i]) {
            gap
        } else {
            gap.abs()
        });
    }
    (worst, weights.iter().filter(|w| low(**w)).count(), weights.iter().filter(|w| high(**w)).count())
}

#[test]
fn the_least_variance_of_many_meets_the_conditions_of_an_optimum_on_real_prices() {
    let (mut tried, mut worst, mut at_zero, mut at_cap) = (0, 0.0_f64, 0, 0);
    for year in (1994..=2022).step_by(2) {
        for (window, most) in [(60_u32, "15"), (252, "20"), (252, "100")] {
            let day = date(year, 5, 2);
            let count = usize::try_from(window).unwrap();
            let (closes, before) = real(&STOCKS, day, count + 1);
            let least = strategy(Composition::MinVariance(calm(&STOCKS, window, most)), "0");
            let mix = answer(&least, &closes, day, Some(before)).unwrap();
            let matrix = shrunk(&STOCKS.map(|name| returns(&closes, name, count)));
            let most = dec(most).to_f64().unwrap() / 100.0;
            let (gap, zero, cap) = is_optimal(&matrix, &floats(&mix), most);
            (tried, worst, at_zero, at_cap) = (tried + 1, worst.max(gap), at_zero + zero, at_cap + cap);
            assert!(gap < 1e-4, "{year} {window} {most}: {gap}");
        }
    }
    println!(
        "{tried} real mixes of least variance: worst relative gap of a condition {worst:.1e}, {at_zero} at zero, {at_cap} at the cap"
    );
    assert!(at_zero > 0 && at_cap > 0);
}

#[test]
fn momentum_holds_what_a_plain_sort_says() {
    let mut defensive = 0;
    for month in 0..120_i16 {
        let day = date(2010 + month / 12, i8::try_from(month % 12 + 1).unwrap(), 15);
        let (closes, before) = real(&STOCKS, day, 220);
        let momentum = Momentum {
            symbols: symbols(&STOCKS),
            count: 6,
            window_days: 126,
            average_days: 200,
            defensive: symbol("SHY"),
        };
        let mix = answer(&strategy(Composition::Momentum(momentum), "4"), &closes, day, Some(before)).unwrap();
        let prices = |name: &str| -> Vec<Decimal> {
            closes.of(&symbol(name)).unwrap().values().map(|price| price.decimal()).collect()
        };
        let mut ranked: Vec<(Decimal, &str)> =
            STOCKS.iter().map(|name| (prices(name)[219] / prices(name)[219 - 126], *name)).collect();
        ranked.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(b.1)));
        let mut expected: BTreeMap<&str, u32> = BTreeMap::new();
        for (_, name) in &ranked[..6] {
            let all = prices(name);
            let average = all[20..].iter().sum::<Decimal>() / Decimal::from(200);
            *expected.entry(if all[219] > average { name } else { "SHY" }).or_default() += 1;
        }
        for (symbol, weight) in &mix {
            let parts = expected.get(symbol.as_str()).copied().unwrap_or(0);
            assert_eq!(*weight, Fraction::from_percent(Decimal::from(16 * parts)), "{day} {symbol}");
        }
        defensive += expected.get("SHY").copied().unwrap_or(0);
    }
    println!("120 months of momentum as a plain sort says; {defensive} of 720 parts were defensive");
    assert!(defensive > 0);
}

fn mix(weights: &[(&str, &str)]) -> Mix {
    weights.iter().map(|(name, percent)| (symbol(name), Fraction::from_percent(dec(percent)))).collect()
}

#[test]
fn a_glide_path_goes_evenly_with_each_day() {
    let years = |default_target_year| {
        let points = vec![(20, mix(&[("VTI", "90"), ("BND", "10")])), (0, mix(&[("VTI", "30"), ("BND", "70")]))];
        strategy(Composition::Glide(Glide::Years { points, default_target_year }), "0")
    };
    let stocks = |strategy: &Strategy, day, target_year| {
        let inputs = Inputs { day, session_before: None, closes: &Closes::default(), target_year };
        resolve(strategy, &inputs).unwrap().targets()[1].weight.percent().normalize().to_string()
    };
    let glide = years(2045);
    assert_eq!(stocks(&glide, date(2020, 1, 1), None), "90", "before the first point it stands still");
    assert_eq!(stocks(&glide, date(2025, 1, 1), None), "90");
    // 2025-01-01 to 2045-01-01 are 7,305 days; one of them is 60 / 7305 = 0.00821355 points.
    assert_eq!(stocks(&glide, date(2025, 1, 2), None), "89.9918");
    // 3,652 days on: 90 - 60 * 3652 / 7305 = 60.0041067...
    assert_eq!(stocks(&glide, date(2035, 1, 1), None), "60.0041");
    assert_eq!(stocks(&glide, date(2045, 1, 1), None), "30");
    assert_eq!(stocks(&glide, date(2050, 1, 1), None), "30", "after the last one too");
    assert_eq!(stocks(&glide, date(2035, 1, 1), Some(2055)), "90", "a user's own year");
    assert_eq!(stocks(&glide, date(2035, 1, 1), Some(2035)), "30");
    let points = vec![
        (date(2030, 1, 1), mix(&[("A", "60"), ("C", "38")])),
        (date(2030, 1, 4), mix(&[("B", "98")])),
        (date(2031, 1, 4), mix(&[("A", "49"), ("B", "49")])),
    ];
    let dated = strategy(Composition::Glide(Glide::Dates(points)), "2");
    let on = |day| {
        let mix = answer(&dated, &Closes::default(), day, None).unwrap();
        mix.values().map(|weight| weight.percent().normalize().to_string()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(on(date(2030, 1, 2)), "40 32.6667 25.3333", "a third of the way");
    assert_eq!(on(date(2030, 1, 3)), "20 65.3333 12.6667");
    assert_eq!(on(date(2030, 1, 4)), "0 98 0");
}

#[test]
fn a_history_that_is_missing_short_or_old_holds_and_says_whose() {
    let day = date(2019, 6, 3);
    let (closes, before) = real(&["JNJ", "KO"], day, 61);
    let calm = strategy(Composition::InverseVolatility(calm(&["JNJ", "KO"], 60, "100")), "0");
    assert!(answer(&calm, &closes, day, Some(before)).is_ok());
    let said = |closes: &Closes, before: Option<Date>| {
        let why = answer(&calm, closes, day, before).unwrap_err();
        assert_eq!(why.reason, Reason::HistoryMissing);
        why.detail
    };
    assert_eq!(said(&Closes::default(), Some(before)), "JNJ has no closing price of 2019-05-31, the session before");
    assert_eq!(said(&closes, None), "no session before 2019-06-03 is known");
    let (short, _) = real(&["JNJ", "KO"], day, 60);
    assert_eq!(said(&short, Some(before)), "JNJ has 60 closing prices before 2019-06-03, the model asks for 61");
    let (old, _) = real(&["JNJ", "KO"], date(2019, 5, 31), 61);
    assert_eq!(said(&old, Some(before)), "JNJ has no closing price of 2019-05-31, the session before");
    // A halted day stands still; the future is not looked at.
    let without = |name: &str, gone: Date, more: bool| {
        let mut all: BTreeMap<Symbol, DailyCloses> =
            ["JNJ", "KO"].iter().map(|name| (symbol(name), closes.of(&symbol(name)).unwrap().clone())).collect();
        all.get_mut(&symbol(name)).unwrap().remove(&gone);
        if more {
            all.get_mut(&symbol(name)).unwrap().insert(day, Price::parse("1").unwrap());
        }
        Closes::new(all)
    };
    assert!(answer(&calm, &without("KO", date(2019, 5, 10), false), day, Some(before)).is_ok());
    let today = without("KO", date(1999, 1, 1), true);
    assert_eq!(answer(&calm, &today, day, Some(before)), answer(&calm, &closes, day, Some(before)));
    let still: DailyCloses =
        closes.of(&symbol("KO")).unwrap().keys().map(|day| (*day, Price::parse("7").unwrap())).collect();
    let jnj = closes.of(&symbol("JNJ")).unwrap().clone();
    let still = Closes::new([(symbol("JNJ"), jnj), (symbol("KO"), still)]);
    let why = answer(&calm, &still, day, Some(before)).unwrap_err();
    assert_eq!(
        (why.reason, why.detail.as_str()),
        (Reason::ModelUnsolved, "the price of KO stood still for 60 days: it has no volatility")
    );
}

#[test]
fn sleeves_add_up_what_their_models_say() {
    let day = date(2019, 6, 3);
    let (closes, before) = real(&["JNJ", "KO", "PG"], day, 121);
    let inside = Composition::InverseVolatility(calm(&["JNJ", "KO"], 120, "100"));
    let alone = answer(&strategy(inside.clone(), "2"), &closes, day, Some(before)).unwrap();
    let sleeve = |name: &str, share: &str, cash: &str, of: Composition| Sleeve {
        name: StrategyName::parse(name).unwrap(),
        version: StrategyVersion::parse(&"0".repeat(64)).unwrap(),
        share: Fraction::from_percent(dec(share)),
        cash: Fraction::from_percent(dec(cash)),
        of,
    };
    let both = Composition::Sleeves(vec![
        sleeve("calm", "60", "2", inside),
        sleeve("equal", "40", "0", Composition::Equal(symbols(&["KO", "PG"]))),
    ]);
    let sum = answer(&strategy(both, "1.2"), &closes, day, Some(before)).unwrap();
    let part = |percent: &str, of: Fraction| Fraction::from_percent(dec(percent)) * of;
    assert_eq!(sum[&symbol("JNJ")], part("60", alone[&symbol("JNJ")]));
    assert_eq!(sum[&symbol("KO")], part("60", alone[&symbol("KO")]) + part("20", Fraction::ONE));
    assert_eq!(sum[&symbol("PG")], part("20", Fraction::ONE));
}

#[test]
fn what_a_model_no_longer_holds_is_sold_whatever_the_bands() {
    let momentum =
        Momentum { symbols: symbols(&["A", "B"]), count: 1, window_days: 5, average_days: 5, defensive: symbol("C") };
    for destination in [Destination::Target, Destination::BandEdge] {
        let mut parts = parts(&[]);
        parts.cash = Fraction::ZERO;
        parts.conditions.drift_absolute = Some(Fraction::from_percent(dec("10")));
        parts.conditions.destination = destination;
        let strategy = Strategy::composed(parts, Composition::Momentum(momentum.clone())).unwrap();
        let account = account("0");
        let account = with(account, "A", "5", ("10", "10"), true);
        let account = with(with(account, "B", "95", ("10", "10"), true), "C", "0", ("10", "10"), true);
        let held = open(&strategy, &account);
        assert_eq!(held.reason, Reason::HistoryMissing, "what has no targets is never traded");
        assert!(held.legs.is_empty());
        let holds_b = strategy.resolved(&mix(&[("B", "100")])).unwrap();
        let sold = plan(&holds_b, &account, Stage::Opening);
        assert_eq!(
            (sold.reason, &legs(&sold)[..1]),
            (Reason::LeftModel, &["sell A 5".to_owned()][..]),
            "{destination:?}"
        );
    }
}

#[test]
fn weights_that_are_no_whole_or_name_a_stranger_are_not_taken() {
    let strategy = strategy(
        Composition::Momentum(Momentum {
            symbols: symbols(&["A", "B"]),
            count: 1,
            window_days: 5,
            average_days: 5,
            defensive: symbol("C"),
        }),
        "2",
    );
    assert!(strategy.resolved(&mix(&[("A", "98")])).is_some());
    assert!(strategy.resolved(&mix(&[("A", "97.9999")])).is_none());
    assert!(strategy.resolved(&mix(&[("D", "98")])).is_none());
    assert!(strategy.resolved(&mix(&[("A", "99"), ("B", "-1")])).is_none());
}

#[test]
fn the_text_for_users_names_everything_that_may_be_bought() {
    let (catalog, _) = load_dir(std::path::Path::new("strategies")).unwrap();
    for strategy in catalog.iter() {
        let text = consent::text(strategy, "");
        for symbol in strategy.universe() {
            assert!(text.contains(symbol.as_str()), "{}: {symbol}", strategy.name());
        }
    }
    let said = |name: &str| consent::text(catalog.get(&StrategyName::parse(name).unwrap()).unwrap(), "");
    assert!(said("momentum-four").contains("in equal parts, the 4 that rose most in 126 days"));
    assert!(said("glide-2045").contains("30 years before your target year: 9.9% BND, 59.4% VTI, 29.7% VXUS."));
    assert!(said("core-and-factors").contains("It keeps your account at:"), "fixed sleeves are told as plain shares");
}

/// Prices that wander, from a seed.
fn wandering(seed: u64, names: usize, days: usize) -> (Closes, Vec<String>, Date, Date) {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut dice = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1_u64 << 53) as f64 - 0.5
    };
    let names: Vec<String> = (0..names).map(|n| format!("X{n:02}")).collect();
    let first = date(2001, 1, 1);
    let day = |n: usize| first.saturating_add(jiff::Span::new().days(i64::try_from(n).unwrap()));
    let mut prices = vec![100.0; names.len()];
    let mut closes: BTreeMap<Symbol, DailyCloses> = BTreeMap::new();
    for n in 0..days {
        let market = dice() * 0.02;
        for (place, name) in names.iter().enumerate() {
            prices[place] *= 1.0 + market * (0.5 + place as f64 / 10.0) + dice() * 0.01 * (1.0 + place as f64);
            let price = Price::new(Decimal::from_f64(prices[place]).unwrap().round_dp(2));
            closes.entry(symbol(name)).or_default().insert(day(n), price);
        }
    }
    (Closes::new(closes), names, day(days), day(days - 1))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn generated_prices_give_an_optimum_twice_the_same(seed in 1_u64..u64::MAX, side in 2_usize..14, cap in 0_u32..4) {
        let (closes, names, day, before) = wandering(seed, side, 90);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let most = Decimal::from(100) / Decimal::from(u32::try_from(side).unwrap()) * (Decimal::ONE + Decimal::from(cap) / Decimal::from(2));
        let most = most.ceil().min(Decimal::ONE_HUNDRED);
        let least = strategy(Composition::MinVariance(calm(&names, 80, &most.to_string())), "0");
        let mix = answer(&least, &closes, day, Some(before)).unwrap();
        prop_assert_eq!(&mix, &answer(&least, &closes, day, Some(before)).unwrap());
        let cap = most.to_f64().unwrap() / 100.0;
        let matrix = shrunk(&names.iter().map(|name| returns(&closes, name, 80)).collect::<Vec<_>>());
        let weights = floats(&mix);
        prop_assert!(weights.iter().all(|weight| (0.0..=cap + 1e-12).contains(weight)));
        let (gap, ..) = is_optimal(&matrix, &weights, cap);
        prop_assert!(gap < 1e-3, "{}", gap);
    }

    #[test]
    fn parts_always_make_the_whole_and_differ_by_less_than_a_unit(shares in prop::collection::vec(0_u64..1_000_000_000_000, 1..60), cash in 0_i64..1_000_000) {
        let whole = Fraction::new(Decimal::ONE - Decimal::new(cash, 6));
        prop_assume!(shares.iter().any(|share| *share > 0));
        let shares: Vec<Decimal> = shares.into_iter().map(|share| Decimal::new(i64::try_from(share).unwrap(), 12)).collect();
        let parts = apportion(&shares, whole, 6, None);
        prop_assert_eq!(parts.iter().copied().sum::<Fraction>(), whole);
        let total: Decimal = shares.iter().sum();
        for (share, part) in shares.iter().zip(&parts) {
            let exact = share * whole.decimal() / total;
            prop_assert!((part.decimal() - exact).abs() < Decimal::new(1, 6));
        }
    }
}
