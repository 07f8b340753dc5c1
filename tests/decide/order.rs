//! The state machine of one order: every status against every state, and what the broker shows against what was sent.

use rebalanced::decide::backoff::{ask_after, poll_after};
use rebalanced::decide::classify::{Fate, classify};
use rebalanced::decide::guard::priced_out;
use rebalanced::decide::order::{apply, disputed, may_move, quarantined, rejected, unknown, withdrawn};
use rebalanced::decide::reconcile::{Finding, reconcile, strangers};
use rebalanced::model::canon;
use rebalanced::model::environment::Kind;
use rebalanced::model::ids::{ClientOrderId, IntentId, OrderId, RunId};
use rebalanced::model::intent::{Intent, IntentState};
use rebalanced::model::mandate::ServicePolicy;
use rebalanced::model::money::{Price, Qty};
use rebalanced::model::plan::{Amount, Phase, Pricing, Side};
use rebalanced::model::report::{OrderReport, OrderStatus, Reply};
use rebalanced::model::snapshot::Quote;
use rebalanced::model::time::Span;
use rebalanced::model::verdict::RefusalCode;

use crate::cast::{account, dec, now, symbol, usd};

const STATES: [IntentState; 9] = [
    IntentState::Recorded,
    IntentState::Open,
    IntentState::Unknown,
    IntentState::Filled,
    IntentState::Ended,
    IntentState::Rejected,
    IntentState::Withdrawn,
    IntentState::Quarantined,
    IntentState::Disputed,
];

pub(crate) fn intent(state: IntentState) -> Intent {
    let run = RunId::parse("run_1").unwrap();
    let owner = account("0").account.id;
    Intent {
        id: IntentId::parse("int_1").unwrap(),
        client_order_id: canon::client_order_id((Kind::Paper, &owner), &run, (Phase::Sell, &symbol("SPY")), 1).unwrap(),
        run,
        account: owner,
        environment: Kind::Paper,
        phase: Phase::Sell,
        symbol: symbol("SPY"),
        amount: Amount::Qty(Qty::new(dec("4"))),
        pricing: Pricing::Market,
        value: usd("2000"),
        attempt: 1,
        state,
        order: None,
        filled_qty: Qty::ZERO,
        filled_avg_price: None,
        note: String::new(),
        recorded_at: now(),
        settled_at: None,
    }
}

fn report(status: &str, filled: &str) -> OrderReport {
    OrderReport {
        id: OrderId::parse("o-1").unwrap(),
        client_order_id: intent(IntentState::Recorded).client_order_id,
        symbol: symbol("SPY"),
        side: Side::Sell,
        kind: "market".to_owned(),
        time_in_force: "day".to_owned(),
        qty: Some(Qty::new(dec("4"))),
        notional: None,
        limit_price: None,
        status: OrderStatus::parse(status),
        filled_qty: Qty::new(dec(filled)),
        filled_avg_price: None,
        submitted_at: None,
    }
}

#[test]
fn s14_every_status_against_every_state() {
    // The seventeen documented statuses (facts 4) and one that nobody has heard of.
    let table = [
        ("new", "0", IntentState::Open),
        ("accepted", "0", IntentState::Open),
        ("pending_new", "0", IntentState::Open),
        ("accepted_for_bidding", "0", IntentState::Open),
        ("partially_filled", "1", IntentState::Open),
        ("held", "0", IntentState::Open),
        ("stopped", "0", IntentState::Open),
        ("suspended", "0", IntentState::Open),
        ("calculated", "0", IntentState::Open),
        ("pending_cancel", "1", IntentState::Open),
        ("pending_replace", "1", IntentState::Open),
        ("done_for_day", "1", IntentState::Open),
        ("filled", "4", IntentState::Filled),
        ("canceled", "1", IntentState::Ended),
        ("expired", "1", IntentState::Ended),
        ("rejected", "0", IntentState::Rejected),
        ("rejected", "1", IntentState::Ended),
        ("replaced", "0", IntentState::Quarantined),
        ("teleported", "0", IntentState::Unknown),
    ];
    for state in STATES {
        for (status, filled, meant) in table {
            let update = apply(&intent(state), &report(status, filled), now());
            let expected = if state.is_terminal() { state } else { meant };
            assert_eq!(update.state, expected, "{state:?} and `{status}`");
            assert!(may_move(state, update.state) || state == update.state);
            assert_eq!(update.settled_at.is_some(), update.state.is_terminal(), "{state:?} and `{status}`");
            if status == "teleported" {
                assert!(state.is_terminal() || !update.state.is_terminal(), "an unknown status ends nothing");
            }
        }
    }
}

#[test]
fn row_32_an_order_by_value_that_is_filled_beyond_it_waits_for_a_person() {
    let by_value = |state| Intent { amount: Amount::Notional(usd("1000")), ..intent(state) };
    let shown = |filled: &str, price: &str| OrderReport {
        qty: None,
        notional: Some(usd("1000")),
        filled_avg_price: Some(Price::new(dec(price))),
        ..report("filled", filled)
    };
    // Filled, average price, and whether it is beyond a thousand dollars, a cent and half the step of the average.
    let table = [
        ("4", "250", false),
        ("4", "250.0075", false),
        ("4", "250.01", true),
        ("4.1", "250", true),
        ("8", "250", true),
        ("3.636363636", "275", false),
        ("3.636363637", "275.0027", false),
        ("10000", "0.1", false),
        ("10000", "0.10005", false),
        ("10000", "0.1001", true),
        ("15000", "0.1", true),
    ];
    for (filled, price, is_beyond) in table {
        for state in [IntentState::Recorded, IntentState::Unknown, IntentState::Open] {
            let update = apply(&by_value(state), &shown(filled, price), now());
            let expected = if is_beyond { IntentState::Quarantined } else { IntentState::Filled };
            assert_eq!(update.state, expected, "{filled} at {price}: {}", update.note);
            assert_eq!(update.filled_qty, Qty::new(dec(filled)), "what is known is kept");
        }
    }
}

#[test]
fn row_32_more_filled_than_ordered_waits_for_a_person_with_its_exact_quantity() {
    // Four were ordered.
    for (status, filled) in [("partially_filled", "4.000000001"), ("filled", "5"), ("filled", "3"), ("canceled", "4.5")]
    {
        for state in [IntentState::Recorded, IntentState::Unknown, IntentState::Open] {
            let update = apply(&intent(state), &report(status, filled), now());
            assert_eq!(update.state, IntentState::Quarantined, "{status} {filled}");
            assert_eq!(
                (update.filled_qty, update.order.is_some()),
                (Qty::new(dec(filled)), true),
                "what is known is kept"
            );
        }
    }
    assert_eq!(apply(&intent(IntentState::Open), &report("filled", "4"), now()).state, IntentState::Filled);
}

#[test]
fn row_53_an_order_that_waited_meets_the_market_again() {
    // Four shares reckoned at 500.
    let sale = intent(IntentState::Recorded);
    let quoted = |bid: &str, ask: &str, age: i64| Quote {
        bid: Price::new(dec(bid)),
        ask: Price::new(dec(ask)),
        at: now() - Span::from_secs(age),
    };
    let policy = ServicePolicy { max_quote_age_seconds: 15, ..ServicePolicy::default() };
    let why = |quote: Option<Quote>| priced_out(&sale, quote.as_ref(), &policy, now()).map(|refusal| refusal.code);
    assert_eq!(why(Some(quoted("499", "501", 3))), None);
    assert_eq!(why(Some(quoted("476", "476", 3))), None, "inside the collar of five percent");
    for (quote, code) in [
        (None, RefusalCode::QuoteUnusable),
        (Some(quoted("501", "499", 3)), RefusalCode::QuoteUnusable),
        (Some(quoted("499", "501", 16)), RefusalCode::QuoteStale),
        (Some(quoted("499", "501", -60)), RefusalCode::QuoteStale),
        (Some(quoted("249.5", "250.5", 3)), RefusalCode::PriceCollar),
        (Some(quoted("4999", "5001", 3)), RefusalCode::PriceCollar),
    ] {
        assert_eq!(why(quote), Some(code), "{quote:?}");
    }
    // An order by value does not depend on the price; its quote must be young all the same.
    let bought = Intent { amount: Amount::Notional(usd("2000")), ..sale.clone() };
    assert!(priced_out(&bought, Some(&quoted("249.5", "250.5", 3)), &policy, now()).is_none());
    assert!(priced_out(&bought, Some(&quoted("249.5", "250.5", 99)), &policy, now()).is_some());
}

#[test]
fn ends_absorb_whatever_comes_later() {
    for state in STATES.into_iter().filter(|state| state.is_terminal()) {
        let intent = intent(state);
        for update in [
            rejected(&intent, "x", now()),
            unknown(&intent, "x", now()),
            withdrawn(&intent, "x", now()),
            quarantined(&intent, "x", now()),
        ] {
            assert_eq!((update.state, update.note.as_str()), (state, ""));
        }
        let out: Vec<_> = STATES.into_iter().filter(|to| may_move(state, *to)).collect();
        let is_open_to_dispute = !matches!(state, IntentState::Quarantined | IntentState::Disputed);
        assert_eq!(out, if is_open_to_dispute { vec![IntentState::Disputed] } else { Vec::new() }, "{state:?}");
    }
    assert!(!may_move(IntentState::Open, IntentState::Withdrawn), "what the broker has cannot be withdrawn by us");
}

#[test]
fn s14_every_move_between_any_two_states_is_allowed_or_not_as_the_picture_says() {
    use IntentState::{Disputed, Ended, Filled, Open, Quarantined, Recorded, Rejected, Unknown, Withdrawn};
    let allowed = |from: IntentState| match from {
        Recorded => vec![Recorded, Open, Unknown, Filled, Ended, Rejected, Withdrawn, Quarantined],
        Unknown => vec![Open, Unknown, Filled, Ended, Rejected, Withdrawn, Quarantined],
        Open => vec![Open, Unknown, Filled, Ended, Rejected, Quarantined],
        Filled | Ended | Rejected | Withdrawn => vec![Disputed],
        Quarantined | Disputed => Vec::new(),
    };
    for (from, to) in STATES.into_iter().flat_map(|from| STATES.map(|to| (from, to))) {
        assert_eq!(may_move(from, to), allowed(from).contains(&to), "{from:?} to {to:?}");
        assert_eq!(IntentState::parse(to.code()), Some(to));
    }
}

#[test]
fn row_32_s14_only_an_order_that_has_ended_is_disputed_and_it_keeps_what_we_had_counted() {
    for state in STATES {
        let before =
            Intent { filled_qty: Qty::new(dec("3")), settled_at: Some(now() - Span::from_mins(5)), ..intent(state) };
        let update = disputed(&before, "the broker took it back", now());
        let is_disputed = may_move(state, IntentState::Disputed);
        assert_eq!(update.state == IntentState::Disputed, is_disputed || state == IntentState::Disputed, "{state:?}");
        assert_eq!(update.note == "the broker took it back", is_disputed, "{state:?}");
        assert_eq!(update.filled_qty, before.filled_qty, "{state:?}");
        assert!(!state.is_terminal() || update.settled_at == before.settled_at, "{state:?}: it had ended before");
    }
}

#[test]
fn s3_an_order_that_is_not_what_was_sent_is_quarantined() {
    type Change = dyn Fn(&mut OrderReport);
    let changes: [(&str, &Change); 8] = [
        ("client order id", &|it| it.client_order_id = ClientOrderId::parse("another").unwrap()),
        ("symbol", &|it| it.symbol = symbol("QQQ")),
        ("side", &|it| it.side = Side::Buy),
        ("type", &|it| it.kind = "limit".to_owned()),
        ("time in force", &|it| it.time_in_force = "gtc".to_owned()),
        ("value", &|it| it.notional = Some(usd("2000"))),
        ("quantity", &|it| it.qty = Some(Qty::new(dec("40")))),
        ("limit", &|it| it.limit_price = Some(Price::new(dec("1")))),
    ];
    for (field, change) in changes {
        let mut shown = report("new", "0");
        change(&mut shown);
        let update = apply(&intent(IntentState::Recorded), &shown, now());
        assert_eq!(update.state, IntentState::Quarantined, "{field}");
        assert!(update.note.contains(field), "{field}: {}", update.note);
    }
}

#[test]
fn a_filled_quantity_never_shrinks() {
    let mut known = intent(IntentState::Open);
    known.filled_qty = Qty::new(dec("2"));
    assert_eq!(apply(&known, &report("partially_filled", "3"), now()).filled_qty, Qty::new(dec("3")));
    let stale = apply(&known, &report("partially_filled", "1"), now());
    assert_eq!((stale.state, stale.filled_qty), (IntentState::Open, Qty::new(dec("2"))), "row 36: an old reading");
    let shrunk = apply(&known, &report("canceled", "1"), now());
    assert_eq!((shrunk.state, shrunk.filled_qty), (IntentState::Quarantined, Qty::new(dec("2"))));
}

#[test]
fn s22_a_reply_has_three_meanings_and_unknown_is_never_a_failure() {
    let ask = |reply| matches!(classify(reply), Fate::Ask { .. });
    assert!(ask(Reply::Unknown { why: "timed out".to_owned() }));
    assert!(ask(Reply::Exists));
    let refused = classify(Reply::Refused { status: 403, code: Some(40_310_000), message: "no funds".to_owned() });
    assert_eq!(refused, Fate::Rejected { message: "403 40310000 no funds".to_owned() });
    assert!(matches!(classify(Reply::Throttled { until: None }), Fate::Wait { until: None }));
    assert!(matches!(classify(Reply::Unauthorized { message: String::new() }), Fate::TokenDead { .. }));
}

#[test]
fn l10_every_pause_grows_and_every_asking_ends() {
    let polls: Vec<Span> = (0..20).map(poll_after).collect();
    assert!(polls.windows(2).all(|pair| pair[0] <= pair[1]));
    assert_eq!((polls[0], polls[19]), (Span::from_millis(500), Span::from_secs(15)));
    let quiet: i64 = (0..).map_while(ask_after).map(|pause| pause.as_secs()).sum();
    assert!((120..=180).contains(&quiet), "two minutes of asking before an order counts as absent: {quiet} s");
}

#[test]
fn s15_s16_the_brokers_ledger_against_ours() {
    let with = |state, filled: &str| {
        let mut it = intent(state);
        it.filled_qty = Qty::new(dec(filled));
        [it]
    };
    let id = intent(IntentState::Open).client_order_id;
    assert_eq!(reconcile(&with(IntentState::Filled, "4"), &[report("filled", "4")]), []);
    assert_eq!(reconcile(&with(IntentState::Filled, "4"), &[]), [Finding::Missing(id.clone())]);
    let filled = |ours: &str, theirs: &str| Finding::Filled {
        id: id.clone(),
        ours: Qty::new(dec(ours)),
        theirs: Qty::new(dec(theirs)),
    };
    assert_eq!(reconcile(&with(IntentState::Ended, "1"), &[report("canceled", "2")]), [filled("1", "2")]);
    assert_eq!(reconcile(&with(IntentState::Withdrawn, "0"), &[report("filled", "4")]), [Finding::Ghost(id.clone())]);
    for state in [IntentState::Rejected, IntentState::Withdrawn] {
        assert_eq!(reconcile(&with(state, "0"), &[report("new", "0")]), [Finding::Ghost(id.clone())], "{state:?}");
        assert_eq!(reconcile(&with(state, "0"), &[report("rejected", "0")]), [], "{state:?}");
    }
    assert_eq!(strangers(&[], &[report("filled", "4")]), [Finding::Stranger(id.clone())]);
    assert_eq!(strangers(&[id], &[report("filled", "4")]), []);
    let mut by_hand = report("filled", "4");
    by_hand.client_order_id = ClientOrderId::parse("my-own-order").unwrap();
    assert_eq!(strangers(&[], &[by_hand]), [], "the user's own orders are none of our business");
}
