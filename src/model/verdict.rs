//! Closed enums of what can be decided, skipped, refused and reached, each with a stable code.
//!
//! The codes stand in audit rows, metrics, answers and documents: a code is never renamed or used for something else.

use crate::model::codes::codes;

codes! {
    /// Why a plan trades or holds.
    Reason {
        // Trade.
        /// A holding left its absolute band.
        DriftAbsolute = "drift_absolute",
        /// A holding left its relative band.
        DriftRelative = "drift_relative",
        /// A holding left the band of its own weight.
        DriftBand = "drift_band",
        /// The portfolio as a whole drifted too far.
        DriftPortfolio = "drift_portfolio",
        /// The strategy has no bands: every due moment trades.
        Scheduled = "scheduled",
        /// Cash above its target buys what is underweight.
        NewCash = "new_cash",
        /// Cash above its target by more than the strategy lets wait buys what is underweight.
        CashAbove = "cash_above",
        /// Cash is below zero, or below its target and what is kept aside for a withdrawal: something must be sold.
        RaiseCash = "raise_cash",
        /// Holdings outside the strategy are sold because it says so.
        UnmanagedSold = "unmanaged_sold",
        /// The strategy's model no longer holds something that the account has.
        LeftModel = "left_model",
        /// The second half of a run whose first half has sold.
        Completing = "completing",
        // Hold.
        /// Everything is inside its band.
        InsideBands = "inside_bands",
        /// The last rebalance is too recent.
        Cooldown = "cooldown",
        /// All that could be traded is below the minimum order value.
        BelowMinimum = "below_minimum",
        /// What is to move cannot be traded now: an order on it is open, the broker or the account's user does not let it.
        Hindered = "hindered",
        /// Every holding is on its target.
        OnTarget = "on_target",
        /// The strategy only buys, and there is no new cash.
        NoNewCash = "no_new_cash",
        /// The strategy only sells, and there is cash enough.
        CashSuffices = "cash_suffices",
        /// The account holds neither cash nor a managed position.
        EmptyAccount = "empty_account",
        // Blocked: a hold because a check could not be made or forbids trading.
        /// A holding or target has no usable price.
        PriceMissing = "price_missing",
        /// A holding outside the strategy blocks it, as the strategy says.
        UnmanagedBlocks = "unmanaged_blocks",
        /// The account holds a short position, which this service never touches.
        ShortPosition = "short_position",
        /// A target cannot be bought, and the strategy says to trade nothing then.
        AssetUnavailable = "asset_unavailable",
        /// The account's user wishes what the strategy does not allow.
        OverridesNotAllowed = "overrides_not_allowed",
        /// The strategy's model asks for closing prices that are not there.
        HistoryMissing = "history_missing",
        /// The strategy's model has no answer for the prices that are there.
        ModelUnsolved = "model_unsolved",
    }
}

impl Reason {
    /// Whether nothing could be decided: a check could not be made, or what is held forbids it.
    pub const fn is_blocked(self) -> bool {
        matches!(
            self,
            Self::PriceMissing
                | Self::UnmanagedBlocks
                | Self::ShortPosition
                | Self::AssetUnavailable
                | Self::OverridesNotAllowed
                | Self::HistoryMissing
                | Self::ModelUnsolved
        )
    }
}

codes! {
    /// Why one symbol is not traded although its weight says so.
    SkipReason {
        /// Below the minimum order value (Alpaca's own name, facts 8.12).
        BelowMinimum = "order_less_than_min_notional",
        /// The asset is not active or not tradable.
        NotTradable = "not_tradable",
        /// An order on this symbol is open already; a second could be a wash trade (facts 3.10).
        OpenOrder = "open_order",
        /// The shares are held by other orders.
        SharesHeld = "shares_held",
        /// No cash is left for it.
        NoCash = "no_cash",
        /// Less than one whole share, and the asset is not fractionable.
        LessThanOneShare = "less_than_one_share",
        /// This run sold it; prices have moved since.
        SoldThisRun = "sold_this_run",
        /// The account's user does not let it be sold.
        DoNotSell = "do_not_sell",
        /// The account's user does not let it be bought.
        DoNotBuy = "do_not_buy",
    }
}

codes! {
    /// Why the guard or the record wall refused orders.
    RefusalCode {
        // The kill switch.
        /// The whole service is halted.
        HaltedService = "halted_service",
        /// The account is halted.
        HaltedAccount = "halted_account",
        /// The symbol is halted.
        HaltedSymbol = "halted_symbol",
        // The live gate, one for each condition of the design's section 6.
        /// Live trading is not switched on in the configuration.
        LiveSwitchedOff = "live_switched_off",
        /// The app is not approved by Alpaca for live trading of others, and this is not its developer's account.
        AppNotApproved = "app_not_approved",
        /// The user has not consented to live trading, or has withdrawn it.
        ConsentMissing = "consent_missing",
        /// This exact strategy version is not approved for live use.
        StrategyNotApproved = "strategy_not_approved",
        /// No operator approved this account with this strategy.
        SubscriptionNotApproved = "subscription_not_approved",
        /// The order leaves the bound of the approval: symbol, side or cap.
        OutsideApproval = "outside_approval",
        // The limits.
        /// One order is above the limit.
        MaxOrderNotional = "max_order_notional",
        /// One order is a larger share of the equity than the limit.
        MaxOrderShare = "max_order_share",
        /// One order is a larger share of the symbol's volume than the limit, or the volume is not known.
        MaxVolume = "max_order_volume",
        /// All orders of the run are above the limit.
        MaxRunNotional = "max_run_notional",
        /// All orders of the day are above the limit.
        MaxDayNotional = "max_day_notional",
        /// The account has had too many orders today.
        MaxOrdersPerDay = "max_orders_per_day",
        /// The same order was recorded by another run just now.
        DuplicateOrder = "duplicate_order",
        /// Live orders must be limit orders.
        LimitOrdersOnly = "limit_orders_only",
        /// The run sells a larger share than the limit.
        MaxTurnover = "max_turnover",
        /// The run has more orders than the limit.
        MaxOrders = "max_orders",
        /// The account has had too many trading runs today.
        MaxRunsPerDay = "max_runs_per_day",
        // The world.
        /// The exchange is closed, or about to close.
        MarketClosed = "market_closed",
        /// A price is older than the limit.
        QuoteStale = "quote_stale",
        /// A price is crossed, zero, or its two sides are too far apart.
        QuoteUnusable = "quote_unusable",
        /// A price too far from the last trade.
        PriceCollar = "price_collar",
        /// A large order whose quote no trade of today confirms.
        PriceUnconfirmed = "price_unconfirmed",
        /// The account is suddenly empty, or most of its equity is gone.
        EmptyWorld = "empty_world",
        /// A sale above what is held and free.
        Oversell = "oversell",
        /// Purchases above the cash that is there.
        Overspend = "overspend",
        /// A purchase and a sale of one symbol in one run.
        SelfCross = "self_cross",
        /// The account cannot trade: blocked, suspended, or not active.
        AccountBlocked = "account_blocked",
        /// The claim on the run was lost to another worker.
        ClaimLost = "claim_lost",
    }
}

impl RefusalCode {
    /// Whether it says that something asks for more orders than any sound plan needs: the account waits for a person (S10,
    /// row 61).
    pub const fn is_runaway(self) -> bool {
        matches!(self, Self::MaxOrders | Self::MaxOrdersPerDay)
    }
}

codes! {
    /// How a run ended.
    OutcomeKind {
        /// Everything the plan asked for was done, or nothing was to do.
        Completed = "completed",
        /// Some of it was done.
        Partial = "partial",
        /// Nothing was evaluated or traded, for a plain reason.
        Skipped = "skipped",
        /// A check said no.
        Refused = "refused",
        /// A person stopped it.
        Cancelled = "cancelled",
        /// Something is unknown and could not be resolved; the account waits for a person.
        Quarantined = "quarantined",
    }
}

codes! {
    /// Why a run ended as it did, where no [`Reason`] and no [`RefusalCode`] says it.
    EndReason {
        /// The moment passed while the daemon was down.
        Missed = "missed",
        /// The exchange is closed at this moment.
        MarketClosed = "market_closed",
        /// The broker's calendar and ours differ, or ours does not know the day.
        CalendarUnknown = "calendar_unknown",
        /// The broker could not be reached or answered nonsense.
        BrokerUnreachable = "broker_unreachable",
        /// The token no longer works; the user must connect again.
        TokenDead = "token_dead",
        /// The vault has not the key that sealed the token; the operator must give it back.
        VaultLocked = "vault_locked",
        /// The user did not grant trading; they must connect again and agree to it.
        TradingNotGranted = "trading_not_granted",
        /// The account behind the token is not the one that was connected.
        WrongAccount = "wrong_account",
        /// The broker blocked or suspended the account.
        AccountBlocked = "account_blocked",
        /// Orders were refused by the broker.
        OrdersRejected = "orders_rejected",
        /// Orders were not filled before the deadline.
        OrdersUnfilled = "orders_unfilled",
        /// An order's fate is unknown.
        OrderUnknown = "order_unknown",
        /// The broker's ledger and ours differ.
        LedgerMismatch = "ledger_mismatch",
        /// The strategy's file is gone or invalid.
        StrategyUnavailable = "strategy_unavailable",
        /// The subscription ended before the run.
        Unsubscribed = "unsubscribed",
        /// A person cancelled it.
        ByHand = "by_hand",
        /// The code of the run failed; the account waits for a person.
        InternalFault = "internal_fault",
        /// Somebody else traded in the account, or a split came, while the run was under way.
        AccountChanged = "account_changed",
        /// The session ended before the run could.
        SessionEnded = "session_ended",
        /// The broker asks for fewer requests and the session ended meanwhile.
        RateLimited = "rate_limited",
        /// A quote could not be had.
        PriceMissing = "price_missing",
    }
}

codes! {
    /// What `check` says of a strategy file.
    LintCode {
        // A fault: the file is no strategy.
        /// The file cannot be used.
        InvalidFile = "invalid_file",
        // Warnings: the file is a strategy, but perhaps not the one that was meant.
        /// A band that a usual move of the price leaves between two moments.
        BandNarrow = "band_narrow",
        /// Less cash than a day's fees.
        CashBelowFees = "cash_below_fees",
        /// A weight that can never be bought.
        WeightTiny = "weight_tiny",
        /// No moment lies in a session.
        NeverDue = "never_due",
        /// Moments at the open or in the last minutes.
        AtTheEdge = "at_the_edge",
        /// A cooldown that swallows moments.
        RestsTooLong = "rests_too_long",
        /// A rest of a trigger that is not there.
        RestUnused = "rest_unused",
        /// A smallest order above the width of a band.
        MinimumAboveBand = "minimum_above_band",
        /// A turnover limit below what a breach of the bands needs.
        TurnoverBelowBand = "turnover_below_band",
        /// An order limit below the first purchase.
        FirstInvestmentBlocked = "first_investment_blocked",
    }
}

/// One refusal: what, and with which numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The stable code.
    pub code: RefusalCode,
    /// One sentence for a person: what was refused, the numbers, and who can change it.
    pub detail: String,
}

/// How a run ended: a kind, a stable reason code, and a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The kind of end.
    pub kind: OutcomeKind,
    /// The stable reason code: of a [`Reason`], [`RefusalCode`] or [`EndReason`].
    pub reason: &'static str,
    /// One sentence for a person.
    pub detail: String,
}

impl Outcome {
    /// The plan's own answer, carried out in full.
    pub fn completed(reason: Reason, detail: impl Into<String>) -> Self {
        Self { kind: OutcomeKind::Completed, reason: reason.code(), detail: detail.into() }
    }

    /// An end for a reason outside the plan.
    pub fn ended(kind: OutcomeKind, reason: EndReason, detail: impl Into<String>) -> Self {
        Self { kind, reason: reason.code(), detail: detail.into() }
    }

    /// A refusal: the first code leads, the sentence names all.
    pub fn refused(refusals: &[Refusal]) -> Self {
        let detail = refusals.iter().map(|refusal| refusal.detail.as_str()).collect::<Vec<_>>().join("; ");
        // What halts the account is told first.
        let runaway = refusals.iter().find(|refusal| refusal.code.is_runaway());
        let first = runaway.or(refusals.first());
        let reason = first.map_or(RefusalCode::ClaimLost.code(), |refusal| refusal.code.code());
        Self { kind: OutcomeKind::Refused, reason, detail }
    }
}
