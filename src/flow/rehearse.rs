//! The dry run: the same decisions, from files alone. Nothing is read from or written to the outside.

use crate::decide;
use crate::decide::compose::Inputs;
use crate::decide::guard::Facts;
use crate::decide::personal::Unfit;
use crate::decide::plan::Stage;
use crate::model::closes::Closes;
use crate::model::environment::Paper;
use crate::model::mandate::{Mandate, ServicePolicy};
use crate::model::personal::Personal;
use crate::model::plan::{Explained, Phase, Plan};
use crate::model::run::Turns;
use crate::model::schedule::SlotReason;
use crate::model::session::Sessions;
use crate::model::snapshot::Snapshot;
use crate::model::strategy::Strategy;
use crate::model::time::{Day, Moment};
use crate::model::verdict::Refusal;

/// What a run would decide, and what the guard would refuse of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rehearsal {
    /// The plan, both halves, as if every sale filled at the quote.
    pub plan: Plan,
    /// What the guard would refuse on paper at the snapshot's own moment.
    pub refusals: Vec<Refusal>,
    /// Why each asset is traded or not.
    pub explained: Vec<Explained>,
}

/// Decides from a strategy, a snapshot and the closing prices before it, at the snapshot's own moment.
pub fn rehearse(
    strategy: &Strategy,
    snapshot: &Snapshot,
    closes: &Closes,
    sessions: &Sessions,
    policy: &ServicePolicy,
) -> Rehearsal {
    let resolved = on_day(strategy, closes, sessions, snapshot.as_of.day_in(sessions.zone()));
    // From files alone, nobody has wished anything; but what the snapshot shows as unavailable is.
    let effective = match &resolved {
        Ok(resolved) => decide::personal::effective(resolved, &Personal::default(), snapshot),
        Err(unfit) => Err(unfit.clone()),
    };
    let (strategy, plan) = match &effective {
        Ok(effective) => (effective, decide::plan::plan(effective, snapshot, Stage::Opening)),
        Err(unfit) => (strategy, decide::plan::refused(strategy, snapshot, (unfit.reason, &unfit.detail))),
    };
    let mandate = Mandate {
        account: snapshot.account.id.clone(),
        environment: crate::model::environment::Kind::Paper,
        policy: policy.clone(),
        halts: Vec::new(),
        approvals: Vec::new(),
        trading_runs_today: 0,
        today: Vec::new(),
    };
    let mut refusals = Vec::new();
    let phases = [Phase::Sell, Phase::Buy].into_iter().filter(|phase| plan.legs_of(*phase).next().is_some());
    for phase in phases {
        let session = sessions.at(snapshot.as_of).copied();
        let facts = Facts { plan: &plan, phase, snapshot, session, now: snapshot.as_of, strategy, market: None };
        if let Err(found) = decide::guard::guard::<Paper>(&facts, &mandate) {
            let found = found.into_iter().filter(|refusal| phase == Phase::Sell || !is_overspend(&plan, refusal));
            // What refuses both halves is said once.
            for refusal in found {
                if !refusals.contains(&refusal) {
                    refusals.push(refusal);
                }
            }
        }
    }
    let explained = decide::reasons::reasons(strategy, snapshot, &plan);
    Rehearsal { plan, refusals, explained }
}

/// In a dry run the buys are paid with sales that have not happened yet; a real run looks again before it buys.
fn is_overspend(plan: &Plan, refusal: &Refusal) -> bool {
    refusal.code == crate::model::verdict::RefusalCode::Overspend && plan.legs_of(Phase::Sell).next().is_some()
}

/// The strategy with the targets of one day.
///
/// # Errors
/// Why it has none.
pub fn on_day(strategy: &Strategy, closes: &Closes, sessions: &Sessions, day: Day) -> Result<Strategy, Unfit> {
    let session_before = sessions.before(day).map(|session| session.day);
    decide::compose::resolve(strategy, &Inputs { day, session_before, closes, target_year: None })
}

/// A moment at which a strategy looks at its accounts, as its calendar tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// When.
    pub at: Moment,
    /// What it is for.
    pub reason: SlotReason,
    /// When its users have their turns.
    pub turns: Turns,
}

/// The moments in `(after, until]` at which a strategy looks at its accounts.
pub fn calendar(strategy: &Strategy, sessions: &Sessions, after: Moment, until: Moment) -> Vec<Look> {
    let named = decide::due::named(strategy.when(), sessions, after, until);
    let look = |moment: decide::due::Named<'_>| Look {
        at: moment.at,
        reason: moment.schedule.reason.clone(),
        turns: moment.turns(sessions),
    };
    named.into_iter().map(look).collect()
}
