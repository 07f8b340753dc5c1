//! What a user agrees to before a strategy may trade their account with real money: made from the strategy itself, in plain
//! words. The same strategy gives the same text, and the text's hash is what a consent is kept under: a strategy that
//! changes what it says here needs a new consent.

use std::collections::BTreeSet;

use rust_decimal::Decimal;

use crate::model::canon;
use crate::model::composition::{Calm, Composition, Glide, Mix};
use crate::model::ids::Symbol;
use crate::model::money::Fraction;
use crate::model::personal::{ExcludedTo, Unavailable};
use crate::model::schedule::{CronRule, Every, On, Roll, Rule, Schedule, SessionPoint, SessionRule};
use crate::model::strategy::{Destination, OnUnfilled, OrderStyle, OrderType, Strategy, Unmanaged};
use crate::model::tolerance::{Cooldowns, Mode, Scope};

/// One part of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// Its headline.
    pub headline: &'static str,
    /// Its sentences, a paragraph each.
    pub paragraphs: Vec<String>,
}

/// The text, part by part. `note` is what the operator adds: their own fees, and what their counsel wants said.
pub fn sections(strategy: &Strategy, note: &str) -> Vec<Section> {
    let mut sections = vec![
        Section { headline: "What it does", paragraphs: what(strategy) },
        Section { headline: "When it trades", paragraphs: when(strategy) },
        Section { headline: "What it may sell", paragraphs: sells(strategy) },
        Section { headline: "What may be different for you", paragraphs: wishes(strategy) },
        Section { headline: "What it never does", paragraphs: texts(&NEVER) },
        Section { headline: "What it costs", paragraphs: texts(&COSTS) },
        Section { headline: "What you can lose", paragraphs: texts(&LOSSES) },
        Section { headline: "Alpaca and this service", paragraphs: texts(&BROKER) },
    ];
    sections.retain(|section| !section.paragraphs.is_empty());
    let note = note.trim();
    if !note.is_empty() {
        sections.push(Section { headline: "From the operator of this service", paragraphs: vec![note.to_owned()] });
    }
    sections
}

/// The whole text as it is kept and hashed: headlines and paragraphs, a blank line after each.
pub fn text(strategy: &Strategy, note: &str) -> String {
    let mut text = format!("{}\n\n", title(strategy));
    for section in sections(strategy, note) {
        for part in std::iter::once(section.headline).chain(section.paragraphs.iter().map(String::as_str)) {
            text.push_str(part);
            text.push_str("\n\n");
        }
    }
    text
}

/// The first line.
pub fn title(strategy: &Strategy) -> String {
    format!("Letting the strategy {} manage your account", strategy.name())
}

/// What a consent to this text is kept under: SHA-256 of the text's bytes.
pub fn hash(text: &str) -> String {
    canon::text_hash(text)
}

const NEVER: [&str; 2] = [
    "It never borrows money, never sells what you do not own, and trades no options and no crypto.",
    "It cannot move money or shares out of your account.",
];

const COSTS: [&str; 3] = [
    "Every trade costs the difference between the price of buyers and the price of sellers at that moment.",
    "Your broker may pass regulatory fees on to you, mostly for sales, and may charge others under its own price list.",
    "A sale can make a gain or a loss that you must tax. Nobody here looks at your taxes.",
];

const LOSSES: [&str; 4] = [
    "What your account holds can lose value, and you can lose all of it. A strategy is no protection from that, and how it \
     did in the past says nothing of what it will do.",
    "An order can be filled at a worse price than expected, in part, late, or not at all. Computers, networks, this service \
     and the broker can fail, also at the worst moment.",
    "The strategy does not know you: not your plans, your other money or your debts. This is no investment advice, and \
     nobody has checked that it suits you.",
    "If you trade by hand in the same account, the strategy may undo it at its next look.",
];

const BROKER: [&str; 4] = [
    "Your account is with Alpaca. This service and its strategies are not Alpaca's. Alpaca has not reviewed, endorsed or \
     recommended them, and is not responsible for them.",
    "By going on you let this service see your account and send orders for it by itself, without asking you each time, \
     until you end it.",
    "You can end it at any time: on Alpaca's page of connected apps, or by telling the operator of this service. Orders \
     that are on their way then may still be filled.",
    "You do not need to agree. Without the second tick below, nothing is ever ordered in an account with real money.",
];

fn texts(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|line| (*line).to_owned()).collect()
}

fn percent(share: Fraction) -> Decimal {
    share.percent().normalize()
}

fn what(strategy: &Strategy) -> Vec<String> {
    let mut lines = holdings(strategy);
    if !strategy.description().trim().is_empty() {
        lines.insert(0, strategy.description().trim().to_owned());
    }
    lines.push(format!(
        "{} No order is smaller than {} dollars.",
        order_style(strategy.orders()),
        strategy.orders().min_notional
    ));
    if let Some(most) = strategy.limits().max_order_notional {
        lines.push(format!("No order is larger than {most} dollars, unless a person of the operator raises that."));
    }
    lines
}

/// How it orders.
fn order_style(style: &OrderStyle) -> String {
    if style.kind == OrderType::Market {
        return "It sends market orders: they are filled at the price of the moment, whatever it is.".to_owned();
    }
    let price = if style.collar.is_zero() {
        "at the price of the other side".to_owned()
    } else {
        format!("up to {}% beyond the price of the other side", percent(style.collar))
    };
    let again = match style.reprice_times {
        0 => String::new(),
        1 => " What is left of one is priced anew once.".to_owned(),
        times => format!(" What is left of one is priced anew up to {times} times."),
    };
    let last = match style.on_unfilled {
        OnUnfilled::Leave => "",
        OnUnfilled::Market => " What is left then is sent as a market order, at whatever the price is.",
    };
    format!("It sends limit orders {price}: they may not be filled.{again}{last}")
}

/// What it holds: the shares themselves where they follow from the file, else how they come about and what they are made of.
fn holdings(strategy: &Strategy) -> Vec<String> {
    let composition = strategy.composition();
    let cash = (!strategy.cash().is_zero()).then(|| format!("{}% cash", percent(strategy.cash())));
    if composition.is_fixed() {
        let parts = strategy
            .targets()
            .iter()
            .map(|target| format!("{}% {}", percent(target.weight), target.symbol))
            .chain(cash);
        return vec![format!("It keeps your account at: {}.", parts.collect::<Vec<_>>().join(", "))];
    }
    let mut lines = vec![match cash {
        Some(cash) => format!("It keeps {cash} in your account and invests the rest."),
        None => "It invests all of your account.".to_owned(),
    }];
    lines.extend(model(composition, strategy.cash()));
    let universe = strategy.universe();
    let universe: Vec<&str> = universe.iter().map(Symbol::as_str).collect();
    lines.push(format!("It never buys anything but these: {}.", universe.join(", ")));
    lines.push(
        "The shares change with time, without asking you again. What it no longer wants to hold it sells.".to_owned(),
    );
    lines
}

/// How the shares of a model come about.
pub(super) fn model(composition: &Composition, cash: Fraction) -> Vec<String> {
    let named = |symbols: &BTreeSet<Symbol>| symbols.iter().map(Symbol::as_str).collect::<Vec<_>>().join(", ");
    let mixed = |mix: &Mix| {
        let parts = mix.iter().filter(|(_, weight)| !weight.is_zero());
        parts.map(|(symbol, weight)| format!("{}% {symbol}", percent(*weight))).collect::<Vec<_>>().join(", ")
    };
    let calm = |calm: &Calm, what: &str| {
        let (symbols, days, most) = (named(&calm.symbols), calm.window_days, percent(calm.most));
        vec![format!(
            "It holds {what} {symbols}, by the daily prices of the last {days} days. None is more than {most}%."
        )]
    };
    match composition {
        Composition::Weights(_) | Composition::Equal(_) | Composition::List { .. } => {
            vec![format!("{}.", mixed(&composition.fixed(Fraction::ONE - cash).unwrap_or_default()))]
        }
        Composition::Sleeves(sleeves) => {
            let mut lines = Vec::new();
            for sleeve in sleeves {
                let inside = model(&sleeve.of, sleeve.cash).join(" ");
                lines.push(format!("{}% of it follows the strategy {}: {inside}", percent(sleeve.share), sleeve.name));
            }
            lines
        }
        Composition::Glide(glide) => {
            let mut lines =
                vec!["The shares go evenly, a little each day, from each of these points to the next:".to_owned()];
            match glide {
                Glide::Dates(points) => lines.extend(points.iter().map(|(day, mix)| format!("{day}: {}.", mixed(mix)))),
                Glide::Years { points, default_target_year } => {
                    let year = default_target_year;
                    lines.extend(
                        points
                            .iter()
                            .map(|(years, mix)| format!("{years} years before your target year: {}.", mixed(mix))),
                    );
                    lines.push(format!(
                        "The target year is {year}, unless another one is agreed with you. It counts from 1 January."
                    ));
                }
            }
            lines
        }
        Composition::InverseVolatility(it) => calm(it, "the more of each of these the less its price moved:"),
        Composition::MinVariance(it) => calm(it, "the mix of these whose worth would have moved least:"),
        Composition::Momentum(momentum) => vec![format!(
            "It holds, in equal parts, the {} that rose most in {} days, among these: {}. One whose price is not above its \
             average of {} days is left out, and {} takes its part.",
            momentum.count,
            momentum.window_days,
            named(&momentum.symbols),
            momentum.average_days,
            momentum.defensive
        )],
    }
}

fn when(strategy: &Strategy) -> Vec<String> {
    let conditions = strategy.conditions();
    let mut lines: Vec<String> = strategy.when().schedules().map(look).collect();
    if strategy.when().on_new_version() {
        lines.push(
            "When this strategy is changed, it looks at your account at the next opportunity too, also while it rests."
                .to_owned(),
        );
    }
    let bands = bands(strategy);
    lines.push(match conditions.mode {
        Mode::BuyOnly => "It buys from new cash and never sells.".to_owned(),
        Mode::SellOnly => "It sells when cash is wanted and never buys.".to_owned(),
        _ if bands.is_empty() => "It trades at every such moment at which something is not at its share.".to_owned(),
        Mode::Full | Mode::FewestTrades => {
            format!("It trades when something is away from its share {}.", bands.join(", or "))
        }
    });
    if matches!(conditions.mode, Mode::Full | Mode::FewestTrades) {
        lines.extend(how_far(strategy));
    }
    if conditions.invest_cash && conditions.mode != Mode::SellOnly {
        lines.push("New cash is invested at its next look, also when nothing else would be traded.".to_owned());
        if let Some(above) = conditions.tolerance.cash_above {
            lines.push(format!("It waits until there are more than {above} dollars of it."));
        }
    }
    if conditions.cooldown_days > 0 {
        lines.push(format!("After it has traded it rests for {} days.", conditions.cooldown_days));
    }
    let Cooldowns { drift, portfolio, scheduled } = conditions.tolerance.cooldowns;
    for (days, what) in
        [(drift, "single holdings"), (portfolio, "the whole account"), (scheduled, "the schedule alone")]
    {
        lines.extend(days.map(|days| format!("Where {what} would make it trade it rests for {days} days instead.")));
    }
    lines
}

/// What must be passed before it trades.
fn bands(strategy: &Strategy) -> Vec<String> {
    let conditions = strategy.conditions();
    let points = |band: Fraction| format!("{} percentage points", percent(band));
    let own = conditions.tolerance.bands.iter().map(|(symbol, band)| {
        let sides = [(band.below, "below"), (band.above, "above")];
        let sides = sides.into_iter().filter_map(|(side, word)| Some(format!("{} {word}", points(side?))));
        format!("by more than {} for {symbol}", sides.collect::<Vec<_>>().join(" or "))
    });
    let absolute = conditions.drift_absolute.map(|band| format!("by more than {} of the account", points(band)));
    let relative = conditions.drift_relative.map(|band| format!("by more than {}% of its own share", percent(band)));
    let portfolio = conditions.tolerance.drift_portfolio;
    let portfolio =
        portfolio.map(|limit| format!("so that half of all distances together is more than {}", points(limit)));
    absolute.into_iter().chain(relative).chain(own).chain(portfolio).collect()
}

/// How far it goes then, and who moves.
fn how_far(strategy: &Strategy) -> Vec<String> {
    let conditions = strategy.conditions();
    if conditions.mode == Mode::FewestTrades {
        return texts(&["Then it sends as few orders as bring everything back inside those bounds."]);
    }
    let mut lines = texts(&[match conditions.destination {
        Destination::Target => "Then it goes all the way to the shares above.",
        Destination::BandEdge => "Then it goes only as far as those bounds.",
        Destination::Halfway => "Then it goes half of the way.",
    }]);
    if conditions.scope == Scope::OutOfBand {
        lines.push("What is inside its bounds moves only as far as the money for the others asks.".to_owned());
    }
    lines
}

/// When one schedule looks.
fn look(schedule: &Schedule) -> String {
    let later = match schedule.spread_minutes {
        0 => String::new(),
        minutes => format!(", or up to {minutes} minutes later when your turn comes"),
    };
    format!("It looks at your account {}{later}.", rule(&schedule.rule))
}

/// Which moments a rule means.
pub(super) fn rule(rule: &Rule) -> String {
    match rule {
        Rule::Cron(rule) => cron(rule),
        Rule::Session(rule) => {
            let day = day(rule);
            match rule.at {
                SessionPoint::AfterOpen(0) => format!("{day}, at the opening of the exchange"),
                SessionPoint::AfterOpen(minutes) => format!("{day}, {minutes} minutes after the exchange opens"),
                SessionPoint::BeforeClose(minutes) => format!("{day}, {minutes} minutes before the exchange closes"),
            }
        }
    }
}

/// Which days a session rule means.
fn day(rule: &SessionRule) -> String {
    let every = rule.every.code();
    let moved = match rule.roll {
        Roll::Preceding => "or the trading day before it",
        Roll::Following => "or the trading day after it",
    };
    match (rule.every, rule.on) {
        (Every::Session, _) => "on every trading day".to_owned(),
        (_, On::First) => format!("on the first trading day of each {every}"),
        (_, On::Last) => format!("on the last trading day of each {every}"),
        (_, On::Weekday(weekday)) => format!("on each {weekday:?}, {moved}"),
        (Every::Quarter, On::Day(day)) => format!("on day {day} of each quarter's first month, {moved}"),
        (_, On::Day(day)) => format!("on day {day} of each {every}, {moved}"),
        (_, On::Date { month, day }) => format!("on {month:02}-{day:02} of each year, {moved}"),
    }
}

/// The plain rules in plain words; any other as it is written.
fn cron(rule: &CronRule) -> String {
    let fields: Vec<&str> = rule.text().split_whitespace().collect();
    if let [_, minute, hour, "*", "*", days] = fields.as_slice()
        && let (Ok(minute), Ok(hour)) = (minute.parse::<u8>(), hour.parse::<u8>())
    {
        let days = if *days == "*" { "every day".to_owned() } else { (*days).to_owned() };
        return format!("at {hour:02}:{minute:02} ({}), {days}, if the exchange is open then", rule.zone_name());
    }
    format!(
        "at the moments of this rule, if the exchange is open then: {} (second, minute, hour, day, month, weekday; {})",
        rule.text(),
        rule.zone_name()
    )
}

fn sells(strategy: &Strategy) -> Vec<String> {
    let unmanaged = match strategy.conditions().unmanaged {
        Unmanaged::Ignore => "What your account holds besides is left alone.",
        Unmanaged::Sell => "Everything that your account holds besides is sold. If you want to keep it, do not go on.",
        Unmanaged::Block => "While your account holds anything besides, nothing is traded.",
    };
    let sells = match strategy.conditions().mode {
        Mode::BuyOnly => "It sells nothing.",
        Mode::SellOnly => {
            "It sells what has grown furthest above its share, as much as brings the cash that is wanted."
        }
        Mode::Full | Mode::FewestTrades => "It sells what has grown above its share, to buy what has fallen below it.",
    };
    let mut lines = texts(&[sells, unmanaged]);
    if strategy.conditions().mode != Mode::BuyOnly {
        lines.push(
            "When you tell the operator of this service that you want to withdraw money, it sells what is furthest above \
             its share until that much is there in cash, and keeps it until it has left."
                .to_owned(),
        );
    }
    if let Some(most) = strategy.limits().max_turnover {
        lines.push(format!(
            "One look sells at most {}% of the account, unless a person of the operator raises that.",
            percent(most)
        ));
    }
    lines
}

/// What the file lets the user of one account change, and who stands in for what cannot be bought.
fn wishes(strategy: &Strategy) -> Vec<String> {
    let allowed = strategy.allowance();
    let mut lines = Vec::new();
    if allowed.exclude {
        let most = allowed.max_excluded.map_or_else(String::new, |most| {
            format!(", as long as together they are at most {}% of the account", percent(most))
        });
        let to = match allowed.excluded_to {
            ExcludedTo::Others => "goes to the others in proportion",
            ExcludedTo::Cash => "stays in cash",
        };
        lines.push(format!("You may exclude what you do not want to hold{most}. Its share {to}, unless a substitute is named below. What you hold of it already is treated as what your account holds besides."));
    }
    if allowed.hold {
        lines.push("You may name what is never sold, and what is never bought, for good or until a day.".to_owned());
    }
    if allowed.cap {
        lines.push("You may set a size that no order for your account exceeds.".to_owned());
    }
    if let Some(most) = allowed.cash_max {
        lines.push(format!(
            "You may keep more or less in cash, up to {}%; the other shares change in proportion.",
            percent(most)
        ));
    }
    if let Some(years) = allowed.target_years {
        lines.push(format!("You may choose a target year of your own, from {years}."));
    }
    for (symbol, substitute) in &allowed.substitutes {
        lines.push(format!("Where {symbol} cannot be bought, or you exclude it, {substitute} is bought instead. What you hold of either counts as its share."));
    }
    if allowed.unavailable == Unavailable::SkipRun {
        lines.push("While something cannot be bought and nothing stands in for it, nothing is traded.".to_owned());
    }
    let has_bounds = allowed.cash_max.is_some() || allowed.target_years.is_some();
    if allowed.exclude || allowed.hold || allowed.cap || has_bounds {
        lines.push("You say so to the operator of this service, who writes down what you said and when.".to_owned());
    }
    lines
}
