//! What the guard lets through, for tests that begin after it: orders by hand, in a world in which everything is allowed.
//! Nothing else makes a `Cleared`, so the guard is asked here, too.

use rebalanced::decide::guard::{Cleared, Facts, guard};
use rebalanced::edge::sessions;
use rebalanced::model::environment::{Kind, Paper};
use rebalanced::model::ids::AccountId;
use rebalanced::model::mandate::{Mandate, ServicePolicy};
use rebalanced::model::plan::{Leg, Phase, Plan};

use crate::portfolio::{account, now, open, parts, strategy, unlimited, with};

/// These orders of one half, cleared for a paper account that is rich enough for them.
pub(crate) fn cleared(owner: &AccountId, legs: Vec<Leg>) -> Cleared<Paper> {
    let strategy = strategy(parts(&[("SPY", "100")]));
    let mut snapshot = with(account("1000000"), "SPY", "0", ("500", "500"), true);
    for leg in &legs {
        let held = if leg.phase == Phase::Sell { "100" } else { "0" };
        snapshot = with(snapshot, leg.symbol.as_str(), held, ("500", "500"), true);
    }
    snapshot.account.id = owner.clone();
    let phase = legs.first().map_or(Phase::Buy, |leg| leg.phase);
    let plan = Plan { legs, ..open(&strategy, &snapshot) };
    let mandate = Mandate {
        account: owner.clone(),
        environment: Kind::Paper,
        policy: ServicePolicy { max_quote_age_seconds: 15, limits: unlimited(), ..ServicePolicy::default() },
        halts: Vec::new(),
        approvals: Vec::new(),
        trading_runs_today: 0,
        today: Vec::new(),
    };
    let sessions = sessions::builtin().unwrap();
    let (session, now) = (sessions.at(now()).copied(), now());
    guard(&Facts { plan: &plan, phase, snapshot: &snapshot, session, now, strategy: &strategy, market: None }, &mandate)
        .unwrap()
}
