//! The bug zoo: faults that others have made, planted here on purpose to show that the tests can find them.
//!
//! Always: without the build feature `zoo`, which nothing but `examples/simulate` is ever built with, [`planted`] is the
//! constant `false` and none of this is in the program. With it, one thread at a time lets one bug out.

macro_rules! bugs {
    ($($(#[$doc:meta])* $name:ident = $text:literal),+ $(,)?) => {
        /// One bug.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Bug { $($(#[$doc])* $name),+ }

        impl Bug {
            /// The whole zoo.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// Its name.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text),+ }
            }
        }
    };
}

bugs! {
    // Sending.
    /// A lost reply is taken for a failure.
    TimeoutIsFailure = "timeout-is-failure",
    /// A lost reply is answered by sending again, without asking.
    SendsAgainWithoutAsking = "sends-again-without-asking",
    /// Each send has an id of its own.
    FreshIdOnRetry = "fresh-id-on-retry",
    /// The id is taken, so the order is taken for refused.
    TakenIdIsRefusal = "taken-id-is-refusal",
    /// The intent is not durable when its order leaves.
    IntentAfterSend = "intent-after-send",
    /// Halts are not read again before a send.
    LostHalt = "lost-halt",
    /// Approvals are not read again before a send.
    LostApproval = "lost-approval",
    /// The claim is not looked at before a send.
    LostClaim = "lost-claim",
    /// The session is not looked at before a send.
    SendsAfterTheClose = "sends-after-the-close",
    /// A process that slept after its last look sends all the same.
    SleepsBeforeTheSend = "sleeps-before-the-send",
    /// Buys are sent as sales and the other way round.
    SidesSwapped = "sides-swapped",
    /// A value in dollars is sent as a quantity.
    DollarsAsShares = "dollars-as-shares",
    /// A day order is sent to stand until it is cancelled.
    GoodTillCancelled = "good-till-cancelled",
    /// Live orders go to the paper host.
    LiveOnPaperHost = "live-on-paper-host",
    /// After a restart the run is planned anew.
    RecoveryPlansAnew = "recovery-plans-anew",
    /// After a restart intents count as never sent, and are given up.
    RecoveryWithdraws = "recovery-withdraws",
    // Following.
    /// An unknown status is an end.
    UnknownIsEnd = "unknown-is-end",
    /// The broker's order is not compared with what was sent.
    EchoNotCompared = "echo-not-compared",
    /// What was filled before a cancellation is forgotten.
    PartialFillForgotten = "partial-fill-forgotten",
    /// A fill that is shown twice counts twice.
    FillCountedTwice = "fill-counted-twice",
    /// Filled quantities are rounded.
    FillRounded = "fill-rounded",
    /// A part is taken for the whole.
    PartIsWhole = "part-is-whole",
    /// A cancellation under way is taken for done.
    CancellingIsCancelled = "cancelling-is-cancelled",
    /// What cannot be resolved is taken for ended.
    MissingQuarantine = "missing-quarantine",
    /// Buys are sent before the sales are filled.
    BuysBeforeSalesFill = "buys-before-sales-fill",
    /// Orders are looked at once and then given up.
    OneLook = "one-look",
    /// Cancelled orders end in our books before they do at the broker.
    CancelIsEnd = "cancel-is-end",
    /// Questions for an unknown order have no end in sight.
    AsksForEver = "asks-for-ever",
    /// Polls have no pause.
    PollsWithoutPause = "polls-without-pause",
    // Closing and keeping.
    /// A quarantined run leaves its account trading.
    QuarantineWithoutHalt = "quarantine-without-halt",
    /// Orders of a run whose code failed are forgotten.
    FailedRunForgetsOrders = "failed-run-forgets-orders",
    /// What became of an order leaves no event.
    SettledUntold = "settled-untold",
    /// An order leaves no event when it is recorded.
    RecordedUntold = "recorded-untold",
    /// The chain of events forks.
    ChainForks = "chain-forks",
    /// Whose run it is does not matter to whoever writes.
    EpochIgnored = "epoch-ignored",
    /// The last subscription of a strategy is left out.
    SlotLost = "slot-lost",
    /// Who leaves keeps their token with us and goes on.
    LeavingKeepsToken = "leaving-keeps-token",
    /// A restart releases halts.
    RestartReleasesHalts = "restart-releases-halts",
    // Deciding.
    /// A halt of the account is not a refusal.
    AccountHaltIgnored = "account-halt-ignored",
    /// A halt of the service is not a refusal.
    ServiceHaltIgnored = "service-halt-ignored",
    /// Live orders need no consent.
    ConsentIgnored = "consent-ignored",
    /// Live orders need no approval of the strategy.
    StrategyApprovalIgnored = "strategy-approval-ignored",
    /// Live orders need no approval of the subscription.
    SubscriptionApprovalIgnored = "subscription-approval-ignored",
    /// An approval that was withdrawn counts.
    WithdrawnCounts = "withdrawn-counts",
    /// A quote of any age is a price.
    StaleQuote = "stale-quote",
    /// What nobody can explain is believed.
    BooksNotCompared = "books-not-compared",
    /// Figures that do not fit together are believed.
    EmptyWorldBelieved = "empty-world-believed",
    /// The broker's calendar is not compared with ours.
    CalendarNotCompared = "calendar-not-compared",
    /// An asset that is not tradable is traded.
    UntradableTraded = "untradable-traded",
    /// Buys are sized with what the sales were to bring.
    StaleCash = "stale-cash",
    /// What the run sold it buys back.
    BuysBack = "buys-back",
    /// Only what is too much is traded.
    NothingIsBought = "nothing-is-bought",
}

#[cfg(feature = "zoo")]
thread_local! {
    static OUT: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
}

/// Lets one bug out on this thread, or none.
#[cfg(feature = "zoo")]
pub fn let_out(bug: Option<Bug>) {
    OUT.set(bug);
}

/// Whether this bug is out: never, in a program that is built to be used.
#[cfg(feature = "zoo")]
pub fn planted(bug: Bug) -> bool {
    OUT.get() == Some(bug)
}

/// Whether this bug is out: never, in a program that is built to be used.
#[cfg(not(feature = "zoo"))]
pub const fn planted(_bug: Bug) -> bool {
    false
}
