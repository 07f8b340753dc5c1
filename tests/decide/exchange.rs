//! Shares that are exchanged: what rounding to whole shares leaves over goes where it is missing.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rebalanced::model::money::Fraction;
use rebalanced::model::plan::{Amount, Plan};
use rebalanced::model::strategy::{Destination, OrderType};
use rebalanced::model::tolerance::Mode;
use rust_decimal::Decimal;

use crate::cast::{account, dec, legs, open, parts, strategy, with};

const CASES: u32 = 1_000;

/// So many shares beside ours are tried.
const NEAR: i64 = 8;

#[test]
fn what_is_bought_in_any_amount_gives_for_a_share_of_the_other() {
    let limits = |weights: &[(&str, &str)]| {
        let mut parts = parts(weights);
        parts.orders.kind = OrderType::Limit;
        strategy(parts)
    };
    let snapshot = with(account("1000"), "AAA", "0", ("260", "260"), false);
    let snapshot = with(snapshot, "BBB", "0", ("10", "10"), true);
    // 520 dollars are two shares of 260. A cent is kept back for each order, so two are missing: BBB gives them.
    let plan = open(&limits(&[("AAA", "52"), ("BBB", "48")]), &snapshot);
    assert_eq!(legs(&plan), ["buy AAA 2 @260", "buy BBB 47.998 @10"]);
    // New cash of 800 dollars in a portfolio of 10,000, of which AAA is to be 6% and BBB 4%: four fifths of both, which are
    // 480 and 320. One share of AAA would leave 220, of which BBB could take 80: 140 would be idle and AAA not half full. With
    // two it is 520, and BBB has 280.
    let snapshot = with(with(account("800"), "AAA", "0", ("260", "260"), false), "BBB", "0", ("10", "10"), true);
    let snapshot = with(snapshot, "CCC", "92", ("100", "100"), true);
    let mut invests = parts(&[("AAA", "6"), ("BBB", "4"), ("CCC", "90")]);
    invests.conditions.drift_absolute = Some(Fraction::from_percent(dec("5")));
    // 4% of the 520 stay in cash beside a market order.
    let plan = open(&strategy(invests.clone()), &snapshot);
    assert_eq!(legs(&plan), ["buy AAA 2", "buy BBB $259.2"]);
    invests.orders.kind = OrderType::Limit;
    let plan = open(&strategy(invests), &snapshot);
    assert_eq!(legs(&plan), ["buy AAA 2 @260", "buy BBB 27.998 @10"]);
}

#[test]
fn nobody_gives_up_more_than_a_share_or_a_fiftieth_for_one_that_is_not_the_emptiest() {
    // A share of AAA is more than AAA is to be worth, so it stays empty whatever is exchanged. BBB and CCC are full and 120
    // dollars are left. DDD could have a share of 500, if BBB gave more than half of one of its shares of 600; but BBB and CCC
    // share what they lose, and CCC would lose 190 of 1,000.
    let weights = [("AAA", "0.9"), ("BBB", "1"), ("CCC", "1"), ("DDD", "0.52"), ("ZZZ", "96.58")];
    let mut parts = parts(&weights);
    parts.orders.kind = OrderType::Limit;
    parts.conditions.mode = Mode::BuyOnly;
    let mut snapshot = with(account("2120"), "ZZZ", "97880", ("1", "1"), true);
    for (name, price, split) in
        [("AAA", "1000", false), ("BBB", "600", true), ("CCC", "1", true), ("DDD", "500", false)]
    {
        snapshot = with(snapshot, name, "0", (price, price), split);
    }
    let plan = open(&strategy(parts), &snapshot);
    assert_eq!(legs(&plan), ["buy BBB 1.666666666 @600", "buy CCC 1000 @1"]);
    // AAA and DDD are told apart: a share of the one is too much, for a share of the other the money is missing.
    let skipped: Vec<_> = plan.skipped.iter().map(|skip| (skip.symbol.as_str(), skip.reason.code())).collect();
    assert_eq!(skipped, [("AAA", "less_than_one_share"), ("DDD", "no_cash")]);
}

#[test]
fn what_is_left_over_asks_for_nothing_and_so_nothing_of_it_is_said_to_be_missing() {
    // AAA goes down to its edge at 35%, which brings 276 dollars; BBB should come up to its own, but a share is 278. CCC, DDD and
    // FFF are where they belong, inside their bands. FFF takes what is left. CCC may not: a share is 250, its target 200 away.
    let weights = [("AAA", "30"), ("BBB", "30"), ("CCC", "12"), ("DDD", "16"), ("FFF", "12")];
    let mut parts = parts(&weights);
    parts.conditions.drift_absolute = Some(Fraction::from_percent(dec("5")));
    parts.conditions.destination = Destination::BandEdge;
    let mut snapshot = account("0");
    let rows =
        [("AAA", "3776", "1"), ("BBB", "8", "278"), ("CCC", "4", "250"), ("DDD", "2000", "1"), ("FFF", "1000", "1")];
    for (name, shares, price) in rows {
        snapshot = with(snapshot, name, shares, (price, price), price == "1");
    }
    let plan = open(&strategy(parts), &snapshot);
    assert_eq!(legs(&plan), ["sell AAA 276", "buy FFF $200"]);
    let skipped: Vec<_> = plan.skipped.iter().map(|skip| (skip.symbol.as_str(), skip.reason.code())).collect();
    assert_eq!(skipped, [("BBB", "less_than_one_share")]);
}

/// Whole shares of four symbols, of which A alone is outside its band. With odd prices what the others should be worth differs
/// from what they are by the last digit of a division, and that is no wish to trade.
#[test]
fn as_few_orders_as_possible_stay_few_whatever_whole_shares_leave() {
    let mut traded = 0;
    for seed in 0..CASES {
        let dice = &mut StdRng::seed_from_u64(seed.into());
        let mut few = parts(&[("AAA", "40"), ("BBB", "20"), ("CCC", "20"), ("DDD", "20")]);
        few.conditions.mode = Mode::FewestTrades;
        few.conditions.drift_absolute = Some(Fraction::from_percent(dec("5")));
        if seed % 2 == 0 {
            few.orders.kind = OrderType::Limit;
        }
        let mut snapshot = account(&Decimal::new(dice.random_range(1..100), 2).to_string());
        let parts_of_all = [470_i64, 175, 180, 175];
        for (name, part) in ["AAA", "BBB", "CCC", "DDD"].iter().zip(parts_of_all) {
            let cents = dice.random_range(1_001..20_000);
            let shares = (part * 1_000_000 + dice.random_range(0..cents)) / cents;
            let price = Decimal::new(cents, 2).to_string();
            snapshot = with(snapshot, name, &shares.to_string(), (&price, &price), false);
        }
        let plan = open(&strategy(few), &snapshot);
        traded += usize::from(!plan.legs.is_empty());
        // A sells, and one helper takes the money: it could take all of it, and nobody else is asked.
        assert!(plan.legs.len() <= 2, "{seed}: {:?}", legs(&plan));
    }
    assert!(traded > 900, "{traded}");
}

const NAMES: [&str; 3] = ["AAA", "BBB", "CCC"];

/// Shares of each row that a plan buys.
type Shares = Vec<i64>;

/// An account that holds too much of something that is not sold, and has cash for a part of what the others lack.
struct Account {
    /// Cents, and those of one share of each of the others.
    cash: i64,
    prices: Vec<i64>,
    held: Vec<i64>,
    /// Percent of each of the others.
    target: i64,
    /// Dollars of what there is too much of.
    surplus: i64,
}

impl Account {
    fn draw(seed: u64) -> Self {
        let dice = &mut StdRng::seed_from_u64(seed);
        let count = dice.random_range(2..=3_usize);
        let target = dice.random_range(5..20);
        let surplus = 10_i64.pow(dice.random_range(3..=5)) * dice.random_range(5..40);
        let prices: Vec<i64> = (0..count).map(|_| dice.random_range(1_000..40_000)).collect();
        let held = prices.iter().map(|price| dice.random_range(0..=surplus * target / 2 / price)).collect();
        let cash = surplus * dice.random_range(2..=target);
        Self { cash, prices, held, target, surplus }
    }

    fn plan(&self) -> Plan {
        let (target, rest) =
            (self.target.to_string(), (100 - self.target * i64::try_from(self.prices.len()).unwrap()).to_string());
        let mut weights = vec![("ZZZ", rest.as_str())];
        weights.extend(NAMES.iter().take(self.prices.len()).map(|name| (*name, target.as_str())));
        let mut parts = parts(&weights);
        parts.orders.kind = OrderType::Limit;
        parts.conditions.mode = Mode::BuyOnly;
        let mut snapshot = account(&Decimal::new(self.cash, 2).to_string());
        snapshot = with(snapshot, "ZZZ", &self.surplus.to_string(), ("1", "1"), true);
        for (name, (price, held)) in NAMES.iter().zip(self.prices.iter().zip(&self.held)) {
            let price = Decimal::new(*price, 2).to_string();
            snapshot = with(snapshot, name, &held.to_string(), (&price, &price), false);
        }
        open(&strategy(parts), &snapshot)
    }

    /// What each is to be worth, and is with so many shares more: hundredths of cents.
    fn rows(&self, bought: &Shares) -> Vec<(i64, i64)> {
        let held = self.prices.iter().zip(&self.held).map(|(price, held)| price * held);
        let desired = self.target * (self.cash + self.surplus * 100 + held.sum::<i64>());
        let worth = |((price, held), more): ((&i64, &i64), &i64)| (desired, price * (held + more) * 100);
        self.prices.iter().zip(&self.held).zip(bought).map(worth).collect()
    }

    fn spent(&self, bought: &Shares) -> i64 {
        self.prices.iter().zip(bought).map(|(price, shares)| price * shares).sum()
    }

    /// Money that is not where it should be: hundredths of cents.
    fn astray(&self, bought: &Shares) -> i64 {
        let missing: i64 = self.rows(bought).iter().map(|(desired, worth)| (desired - worth).max(0)).sum();
        (self.cash - self.spent(bought)) * 100 + missing
    }

    /// What the emptiest is worth: all are to be worth the same.
    fn emptiest(&self, bought: &Shares) -> i64 {
        self.rows(bought).iter().map(|(desired, worth)| *worth.min(desired)).min().unwrap_or_default()
    }

    /// Every purchase that is paid for, passes no target, takes from each one share or a fiftieth of what it should be worth at
    /// most, gives it a few, and leaves nobody further behind than the emptiest of ours.
    fn others(&self, ours: &Shares) -> Vec<Shares> {
        let mut all: Vec<Shares> = vec![Vec::new()];
        for (place, (desired, _)) in self.rows(ours).iter().enumerate() {
            let (price, held) = (self.prices[place] * 100, self.held[place]);
            let slack = (desired / 50 / price).clamp(1, NEAR);
            let most = (desired / price - held).min(ours[place] + NEAR);
            let shares = (ours[place] - slack).max(0)..=most.max(0);
            all = all.iter().flat_map(|some| shares.clone().map(|more| [some.as_slice(), &[more]].concat())).collect();
        }
        let emptiest = self.emptiest(ours);
        // A cent is kept back for the rounding of each order.
        let cents = i64::try_from(self.prices.len()).unwrap();
        all.retain(|some| self.cash - self.spent(some) >= cents && self.emptiest(some) >= emptiest);
        all
    }
}

#[test]
fn roundings_that_put_a_share_of_the_cheapest_more_where_it_belongs_are_rare() {
    let (mut bought, mut best, mut beyond, mut compared) = (0, 0_u32, 0_u32, 0);
    for seed in 0..CASES {
        let case = Account::draw(seed.into());
        let plan = case.plan();
        let mut ours = vec![0; case.prices.len()];
        for leg in &plan.legs {
            let place = NAMES.iter().position(|name| *name == leg.symbol.as_str()).unwrap();
            let Amount::Qty(qty) = leg.amount else { panic!("{seed}: {leg:?}") };
            ours[place] = i64::try_from(qty.decimal()).unwrap();
        }
        bought += usize::from(!plan.legs.is_empty());
        let others = case.others(&ours);
        assert!(others.contains(&ours), "{seed}: {ours:?} is no rounding: {plan:?}");
        compared += others.len() - 1;
        let least = others.iter().map(|some| case.astray(some)).min().unwrap();
        let gap = (case.astray(&ours) - least).max(0);
        best += u32::from(gap == 0);
        let cheapest = case.prices.iter().min().unwrap() * 100;
        beyond += u32::from(gap > cheapest);
    }
    println!(
        "{bought} of {CASES} accounts bought, against {compared} other roundings: for {best} none is better, for {beyond} one \
         is by more than a share of the cheapest"
    );
    assert!(bought > 900 && compared > 2_000, "{bought} {compared}");
    assert!(best * 100 >= CASES * 95 && beyond * 200 <= CASES, "{best} {beyond}");
}
