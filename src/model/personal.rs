//! What a user wishes for their own account, and what a strategy's file allows of it (`[overrides]`).
//!
//! A [`Wish`] is one thing said by somebody, for a reason, from a moment until another or until it is cleared. [`Personal`]
//! is all that was said of one account; only what is in force at the moment asked for counts, to the microsecond.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::model::codes::codes;
use crate::model::ids::{AccountId, Symbol, WishId};
use crate::model::money::{Fraction, Usd};
use crate::model::time::Moment;

codes! {
    /// Where the weight of an excluded symbol goes that has no substitute.
    #[derive(Default)]
    ExcludedTo {
        /// To the others, in proportion to their weights.
        #[default]
        Others = "others",
        /// To cash.
        Cash = "cash",
    }
}

codes! {
    /// What happens when a target cannot be bought and no substitute can stand in for it.
    #[derive(Default)]
    Unavailable {
        /// The rest is traded; what the target lacks stays in cash.
        #[default]
        HoldCash = "hold_cash",
        /// Nothing is traded until it can be bought.
        SkipRun = "skip_run",
    }
}

/// The target years of glide paths that may be chosen, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TargetYears {
    /// The earliest.
    pub first: i16,
    /// The latest.
    pub last: i16,
}

impl TargetYears {
    /// Whether this one may be chosen.
    pub fn contains(self, year: i16) -> bool {
        (self.first..=self.last).contains(&year)
    }
}

impl fmt::Display for TargetYears {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.first, self.last)
    }
}

/// What a strategy's file allows its users to wish, and who may stand in for whom. The default allows nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allowance {
    /// Symbols may be excluded.
    pub exclude: bool,
    /// Symbols may be put on the lists of what is not sold or not bought.
    pub hold: bool,
    /// The account may have its own cap for one order.
    pub cap: bool,
    /// The highest cash target that an account may choose, if it may choose one.
    pub cash_max: Option<Fraction>,
    /// The target years that an account may choose among, if it may choose one.
    pub target_years: Option<TargetYears>,
    /// The largest part of the strategy's weights that may be excluded; absent is no bound.
    pub max_excluded: Option<Fraction>,
    /// Where the weight of an excluded symbol goes that has no substitute.
    pub excluded_to: ExcludedTo,
    /// What happens when a target cannot be bought and nobody stands in for it.
    pub unavailable: Unavailable,
    /// Who stands in for a symbol that is excluded or cannot be bought.
    pub substitutes: BTreeMap<Symbol, Symbol>,
}

/// One thing that a user wishes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// The strategy does without this symbol.
    Exclude(Symbol),
    /// This symbol is not sold.
    DoNotSell(Symbol),
    /// This symbol is not bought.
    DoNotBuy(Symbol),
    /// The cash target is this.
    Cash(Fraction),
    /// No order is larger than this.
    Cap(Usd),
    /// A glide path ends on the first of January of this year.
    TargetYear(i16),
    /// This much is raised and kept aside until it has left the account.
    Withdraw {
        /// What was asked for.
        amount: Usd,
        /// What has left so far; never above the amount.
        left: Usd,
    },
}

impl Wish {
    /// Every stable code.
    pub const CODES: [&str; 7] = ["exclude", "do_not_sell", "do_not_buy", "cash", "cap", "target_year", "withdraw"];

    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Exclude(_) => "exclude",
            Self::DoNotSell(_) => "do_not_sell",
            Self::DoNotBuy(_) => "do_not_buy",
            Self::Cash(_) => "cash",
            Self::Cap(_) => "cap",
            Self::TargetYear(_) => "target_year",
            Self::Withdraw { .. } => "withdraw",
        }
    }

    /// The symbol that it is about, if it is about one.
    pub const fn symbol(&self) -> Option<&Symbol> {
        match self {
            Self::Exclude(symbol) | Self::DoNotSell(symbol) | Self::DoNotBuy(symbol) => Some(symbol),
            Self::Cash(_) | Self::Cap(_) | Self::TargetYear(_) | Self::Withdraw { .. } => None,
        }
    }
}

/// A wish, with who said it, why, and how long it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Our id.
    pub id: WishId,
    /// Whose account.
    pub account: AccountId,
    /// What.
    pub wish: Wish,
    /// Who said it.
    pub by: String,
    /// Why, in their words.
    pub reason: String,
    /// From when.
    pub at: Moment,
    /// Until when, if it ends by itself: at this moment it counts no more.
    pub until: Option<Moment>,
    /// When it was cleared, and by whom.
    pub ended: Option<(Moment, String)>,
}

impl Said {
    /// Whether it counts at `now`.
    pub fn holds_at(&self, now: Moment) -> bool {
        self.at <= now
            && self.until.is_none_or(|until| now < until)
            && self.ended.as_ref().is_none_or(|(end, _)| now < *end)
    }
}

/// All that was said of one account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Personal {
    /// In the order in which it was said.
    pub said: Vec<Said>,
}

impl Personal {
    /// What counts at `now`.
    pub fn in_force(&self, now: Moment) -> impl Iterator<Item = &Said> {
        self.said.iter().filter(move |said| said.holds_at(now))
    }

    fn symbols(&self, now: Moment, of: fn(&Wish) -> Option<&Symbol>) -> BTreeSet<Symbol> {
        self.in_force(now).filter_map(|said| of(&said.wish)).cloned().collect()
    }

    /// The symbols that the strategy does without.
    pub fn excluded(&self, now: Moment) -> BTreeSet<Symbol> {
        self.symbols(now, |wish| if let Wish::Exclude(symbol) = wish { Some(symbol) } else { None })
    }

    /// The symbols that are not sold.
    pub fn do_not_sell(&self, now: Moment) -> BTreeSet<Symbol> {
        self.symbols(now, |wish| if let Wish::DoNotSell(symbol) = wish { Some(symbol) } else { None })
    }

    /// The symbols that are not bought.
    pub fn do_not_buy(&self, now: Moment) -> BTreeSet<Symbol> {
        self.symbols(now, |wish| if let Wish::DoNotBuy(symbol) = wish { Some(symbol) } else { None })
    }

    /// The account's own cash target.
    pub fn cash(&self, now: Moment) -> Option<Fraction> {
        self.in_force(now).filter_map(|said| if let Wish::Cash(cash) = said.wish { Some(cash) } else { None }).last()
    }

    /// The account's own cap for one order: the lowest one.
    pub fn cap(&self, now: Moment) -> Option<Usd> {
        self.in_force(now).filter_map(|said| if let Wish::Cap(cap) = said.wish { Some(cap) } else { None }).min()
    }

    /// The account's own target year.
    pub fn target_year(&self, now: Moment) -> Option<i16> {
        self.in_force(now)
            .filter_map(|said| if let Wish::TargetYear(year) = said.wish { Some(year) } else { None })
            .last()
    }

    /// What is kept aside for withdrawals that have not left the account yet.
    pub fn aside(&self, now: Moment) -> Usd {
        let pending = |said: &Said| {
            if let Wish::Withdraw { amount, left } = said.wish { (amount - left).max(Usd::ZERO) } else { Usd::ZERO }
        };
        self.in_force(now).map(pending).sum()
    }
}

/// What an account's own wishes add to its strategy, as the planner sees it. The default adds nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Own {
    /// Dollars that are no part of the portfolio: they are raised, and wait to leave the account.
    pub aside: Usd,
    /// The largest value of one order.
    pub cap: Option<Usd>,
    /// Symbols that the account does without.
    pub excluded: BTreeSet<Symbol>,
    /// Symbols that are not sold.
    pub do_not_sell: BTreeSet<Symbol>,
    /// Symbols that are not bought.
    pub do_not_buy: BTreeSet<Symbol>,
    /// Who takes the weight of a target that is excluded, or that cannot be bought now.
    pub stand_ins: BTreeMap<Symbol, Symbol>,
}
