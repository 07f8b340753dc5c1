//! A stable code to a sentence for a person.

use crate::model::verdict::{EndReason, LintCode, OutcomeKind, Reason, RefusalCode, SkipReason};

/// One sentence for a stable code; `None` when no code of ours is spelled so.
pub fn explain(code: &str) -> Option<&'static str> {
    meanings(code).first().map(|(_, sentence)| *sentence)
}

/// Everything that a code means, each with the place where it is met: a few codes stand in two places.
pub fn meanings(code: &str) -> Vec<(&'static str, &'static str)> {
    [
        Reason::parse(code).map(|it| ("why a plan trades or holds", reason(it))),
        SkipReason::parse(code).map(|it| ("why an asset is not traded", skip(it))),
        RefusalCode::parse(code).map(|it| ("why orders were refused", refusal(it))),
        EndReason::parse(code).map(|it| ("why a run ended", end(it))),
        OutcomeKind::parse(code).map(|it| ("how a run ended", outcome(it))),
        LintCode::parse(code).map(|it| ("what `check` says of a strategy file", lint(it))),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Every code, each once, in the order of the alphabet.
pub fn codes() -> Vec<&'static str> {
    let mut all: Vec<&'static str> = (Reason::ALL.iter().map(|it| it.code()))
        .chain(SkipReason::ALL.iter().map(|it| it.code()))
        .chain(RefusalCode::ALL.iter().map(|it| it.code()))
        .chain(EndReason::ALL.iter().map(|it| it.code()))
        .chain(OutcomeKind::ALL.iter().map(|it| it.code()))
        .chain(LintCode::ALL.iter().map(|it| it.code()))
        .collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn lint(code: LintCode) -> &'static str {
    match code {
        LintCode::InvalidFile => {
            "The file is no strategy; the message says what is wrong with it, and nobody can follow it."
        }
        LintCode::BandNarrow => {
            "A band is narrower than the weight usually moves between two moments, so that nearly every look trades, and \
             what is sold at one is bought back at the next. The usual move is the daily one of `config/usual-moves.csv`, \
             or 1.5% where it has none, times the square root of the sessions between two moments. Widen the band."
        }
        LintCode::CashBelowFees => {
            "The cash target is less than the regulatory fees of a day on which the strategy sells all that it may. They \
             are taken after the day, cash falls below zero, and the next run sells something for it. Keep some cash."
        }
        LintCode::WeightTiny => {
            "At the stated size of the portfolio a weight comes to less than the smallest order, or to less than one share \
             of what does not trade in fractions: it is never bought, and its money stays cash. Raise it or leave it out."
        }
        LintCode::NeverDue => {
            "No moment of the next two years lies in a session of the exchange, so that nothing ever happens. Correct the \
             schedule; `strategies calendar` prints its moments."
        }
        LintCode::AtTheEdge => {
            "Most moments lie in the first or last two minutes of the session, when quotes are wide or no time is left to \
             buy after selling. Move them a quarter of an hour inwards."
        }
        LintCode::RestsTooLong => {
            "The cooldown is at least as long as the time between two moments, so that moments after a rebalance can trade \
             nothing. Rest less, or look less often."
        }
        LintCode::RestUnused => {
            "A rest in [rebalance.cooldown] is that of a trigger that the strategy does not have, so it does nothing. Remove \
             it, or set the trigger that it belongs to."
        }
        LintCode::MinimumAboveBand => {
            "At the stated size of the portfolio a holding that just left its band asks for less than the smallest order, \
             so that it stays outside. Lower `min_notional` or widen the band."
        }
        LintCode::TurnoverBelowBand => {
            "A holding that leaves its band upwards asks for more sales than `max_turnover_percent` allows, so that each \
             such run is refused as a whole. Raise the limit or narrow the band."
        }
        LintCode::FirstInvestmentBlocked => {
            "The first purchase of the largest weight, at the stated size of the portfolio, is above \
             `max_order_notional`, so that the run is refused as a whole and the money is never invested. Raise the limit."
        }
    }
}

fn reason(reason: Reason) -> &'static str {
    match reason {
        Reason::DriftAbsolute => {
            "A holding left its absolute band, so the whole portfolio was brought to its destination."
        }
        Reason::DriftRelative => {
            "A holding left its relative band, so the whole portfolio was brought to its destination."
        }
        Reason::DriftBand => "A holding left the band of its own weight, so the account was rebalanced.",
        Reason::DriftPortfolio => {
            "Half the sum of all deviations was above what the strategy allows, so the account was rebalanced."
        }
        Reason::CashAbove => {
            "Cash was above its target by more than the strategy lets wait and bought what was most underweight; nothing was sold."
        }
        Reason::NoNewCash => "The strategy only buys, and there is no new cash, so nothing was traded.",
        Reason::CashSuffices => "The strategy only sells, and there is cash enough, so nothing was traded.",
        Reason::Scheduled => "The strategy has no bands, so every due moment trades.",
        Reason::NewCash => "Cash above its target bought what was most underweight; nothing was sold.",
        Reason::RaiseCash => {
            "Cash was below zero, or below its target and what is kept aside for a withdrawal, so holdings were sold."
        }
        Reason::UnmanagedSold => "Holdings that the strategy does not name were sold, as it says.",
        Reason::LeftModel => "The strategy's model no longer holds something that the account has, so it was sold.",
        Reason::Completing => "The second half of a run: purchases from the cash that its sales brought.",
        Reason::InsideBands => "Every holding is inside its band, so nothing was traded.",
        Reason::Cooldown => "A holding is outside its band, but the last rebalance is too recent.",
        Reason::BelowMinimum => "Everything that could be traded is below the smallest order worth sending.",
        Reason::Hindered => {
            "What is to move cannot be traded now: an order on it is open, its shares are held, or the broker or the account's \
             user does not let it be traded. The run names the reason for each."
        }
        Reason::OnTarget => "Every holding is exactly on its target.",
        Reason::EmptyAccount => "The account holds neither cash nor anything that the strategy manages.",
        Reason::PriceMissing => "A holding or target has no usable price, so the portfolio could not be valued.",
        Reason::UnmanagedBlocks => "The account holds something that the strategy does not name, and it says to block.",
        Reason::AssetUnavailable => {
            "A target cannot be bought now and nothing stands in for it; the strategy says to trade nothing then."
        }
        Reason::OverridesNotAllowed => {
            "The account's user wishes what the strategy's [overrides] does not allow; change one of the two."
        }
        Reason::ShortPosition => "The account holds a short position, which this service never touches.",
        Reason::HistoryMissing => {
            "The strategy's model asks for closing prices that are not there, so its weights are not known."
        }
        Reason::ModelUnsolved => {
            "The strategy's model has no answer for the closing prices that are there, so its weights are not known."
        }
    }
}

fn skip(reason: SkipReason) -> &'static str {
    match reason {
        SkipReason::BelowMinimum => "The order would be below the smallest order worth sending.",
        SkipReason::NotTradable => "The asset is not active or not tradable at the broker.",
        SkipReason::OpenOrder => "An order on this symbol is open already; a second could count as a wash trade.",
        SkipReason::SharesHeld => "The shares are held by other open orders.",
        SkipReason::NoCash => "No cash is left for it.",
        SkipReason::DoNotSell => "The account's user does not let it be sold (`rebalanced overrides list`).",
        SkipReason::DoNotBuy => "The account's user does not let it be bought (`rebalanced overrides list`).",
        SkipReason::SoldThisRun => {
            "This run sold some of it; that prices have moved since is no reason to buy it back."
        }
        SkipReason::LessThanOneShare => "It would be less than one share, and the asset does not trade in fractions.",
    }
}

fn refusal(code: RefusalCode) -> &'static str {
    match code {
        RefusalCode::HaltedService => {
            "The kill switch for the whole service is pulled; `rebalanced resume` releases it."
        }
        RefusalCode::HaltedAccount => {
            "The kill switch for this account is pulled; `rebalanced resume --account` releases it."
        }
        RefusalCode::HaltedSymbol => {
            "The kill switch for a symbol of this plan is pulled; `rebalanced resume --symbol` releases it."
        }
        RefusalCode::LiveSwitchedOff => "Live trading is not switched on in the configuration.",
        RefusalCode::AppNotApproved => {
            "Alpaca has not approved the app for live trading of others, and the account is not its developer's."
        }
        RefusalCode::ConsentMissing => "The user has not consented to live trading, or has withdrawn the consent.",
        RefusalCode::StrategyNotApproved => {
            "This exact version of the strategy is not approved for live use; an edited file is a new version."
        }
        RefusalCode::SubscriptionNotApproved => "No operator has approved this account with this strategy.",
        RefusalCode::OutsideApproval => "An order leaves the bound of the approval: its symbols or its caps.",
        RefusalCode::MaxOrderNotional => "An order is above the largest value that the strategy allows.",
        RefusalCode::MaxTurnover => "The run would sell a larger share of the portfolio than the strategy allows.",
        RefusalCode::MaxOrders => {
            "The plan has more orders than any sound plan needs; the account is halted until a person has looked."
        }
        RefusalCode::MaxRunsPerDay => "The account has had as many runs with orders today as are allowed.",
        RefusalCode::MaxOrderShare => "A live order is a larger share of the account's equity than is allowed.",
        RefusalCode::MaxVolume => {
            "An order is a larger share of the symbol's average daily volume than is allowed, or that is not known."
        }
        RefusalCode::MaxRunNotional => "The orders of the run are together above what is allowed.",
        RefusalCode::MaxDayNotional => "The account's orders of the day are together above what is allowed.",
        RefusalCode::MaxOrdersPerDay => {
            "The account has had as many orders today as are allowed; it is halted until a person has looked."
        }
        RefusalCode::DuplicateOrder => "Another run of the account recorded the same order just now.",
        RefusalCode::LimitOrdersOnly => "Live orders must be limit orders, unless the configuration allows others.",
        RefusalCode::PriceCollar => "A price is too far away from the last trade.",
        RefusalCode::PriceUnconfirmed => "A large order has a quote that no trade of today confirms.",
        RefusalCode::EmptyWorld => {
            "The account is suddenly empty, or most of its equity is gone; a person must say that this is right."
        }
        RefusalCode::MarketClosed => "The exchange is closed, or about to close.",
        RefusalCode::QuoteStale => "A price is older than the limit.",
        RefusalCode::QuoteUnusable => "A price is missing, zero or crossed.",
        RefusalCode::Oversell => "A sale is above what is held and free.",
        RefusalCode::Overspend => "Purchases are above the cash that is there.",
        RefusalCode::SelfCross => "One symbol would be both sold and bought in one run.",
        RefusalCode::AccountBlocked => "The broker does not let the account trade.",
        RefusalCode::ClaimLost => "The run belongs to another worker, account or environment.",
    }
}

fn end(reason: EndReason) -> &'static str {
    match reason {
        EndReason::Missed => "The moment passed before the run could begin, and its strategy does not make up for it.",
        EndReason::MarketClosed => "The exchange is closed at this moment.",
        EndReason::CalendarUnknown => "The broker's calendar and ours differ, or ours does not reach this day.",
        EndReason::BrokerUnreachable => "The broker did not answer, or answered nonsense, several times.",
        EndReason::TokenDead => "The broker refuses the token; the user must connect again.",
        EndReason::TradingNotGranted => "The user did not grant trading; they must connect again and agree to it.",
        EndReason::WrongAccount => "The token opens another account than the one that was connected.",
        EndReason::AccountBlocked => "The broker blocked or suspended the account.",
        EndReason::OrdersRejected => "The broker refused at least one order.",
        EndReason::OrdersUnfilled => "At least one order was not completely filled before the deadline.",
        EndReason::OrderUnknown => {
            "The fate of an order is not known; the account is halted until a person has looked."
        }
        EndReason::LedgerMismatch => {
            "The broker's ledger and ours differ; the account is halted until a person has looked."
        }
        EndReason::StrategyUnavailable => "The strategy's file is gone or invalid.",
        EndReason::Unsubscribed => "The subscription or the connection ended before the run.",
        EndReason::ByHand => "A person cancelled the run.",
        EndReason::InternalFault => "The run's own code failed; nothing more is sent for it until it is carried on.",
        EndReason::AccountChanged => {
            "Somebody else traded in the account, or a split came, while the run was under way; the next moment looks anew."
        }
        EndReason::SessionEnded => "The session ended before the run could finish.",
        EndReason::RateLimited => "The broker asked for fewer requests until the session ended.",
        EndReason::PriceMissing => "A quote could not be had.",
        EndReason::VaultLocked => {
            "The vault has not the key that sealed the token. Name it in `vault.previous_key_file`."
        }
    }
}

fn outcome(kind: OutcomeKind) -> &'static str {
    match kind {
        OutcomeKind::Completed => "Everything the plan asked for was done, or nothing was to do.",
        OutcomeKind::Partial => "Some of the plan was done; the reason says why not all.",
        OutcomeKind::Skipped => "Nothing was traded, for a plain reason.",
        OutcomeKind::Refused => "A check said no; nothing was sent.",
        OutcomeKind::Cancelled => "A person stopped it.",
        OutcomeKind::Quarantined => "Something is unknown; the account waits for a person.",
    }
}
