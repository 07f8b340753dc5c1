//! Who must agree to a change of operators: all that some of them can reach together, searched through.

use std::collections::{BTreeMap, BTreeSet};

use rebalanced::decide::quorum::{Act, Short, agreed, needed};
use rebalanced::model::operator::{Circle, Operator, OperatorName, Scope};

use crate::cast::now;

const NAMES: [&str; 5] = ["ann", "ben", "cat", "dan", "eve"];

/// Who is an operator: whether they may approve, and whether those who conspire hold their token.
type State = BTreeMap<&'static str, (bool, bool)>;

fn name(text: &str) -> OperatorName {
    OperatorName::parse(text).unwrap()
}

fn scopes(approve: bool) -> BTreeSet<Scope> {
    [if approve { Scope::Approve } else { Scope::Operate }].into()
}

fn circle(state: &State, required: u32) -> Circle {
    let made = |(of, (approves, _)): (&&str, &(bool, bool))| Operator {
        name: name(of),
        scopes: scopes(*approves),
        made_by: "x".to_owned(),
        made_at: now(),
        removed: None,
    };
    let shown = state.iter().filter(|(_, (_, held))| *held).map(|(of, _)| name(of)).collect();
    Circle { required, operators: state.iter().map(made).collect(), shown }
}

fn approvers(state: &State) -> usize {
    state.values().filter(|(approves, _)| *approves).count()
}

fn held(state: &State) -> usize {
    state.values().filter(|(approves, held)| *approves && *held).count()
}

/// Every state that who shows all the tokens they hold comes to with one act.
fn next(state: &State, required: u32) -> Vec<State> {
    let circle = circle(state, required);
    let may = |act: Act<'_>| agreed(&circle, required, act).is_ok();
    let mut all = Vec::new();
    for of in NAMES {
        let mut with = |change: Option<(bool, bool)>| {
            let mut after = state.clone();
            match change {
                Some(what) => after.insert(of, what),
                None => after.remove(of),
            };
            all.push(after);
        };
        match state.get(of) {
            None => {
                for approves in [true, false] {
                    if may(Act::Add(&scopes(approves))) {
                        with(Some((approves, true)));
                    }
                }
            }
            Some((approves, _)) => {
                if may(Act::Rotate(&name(of))) {
                    with(Some((*approves, true)));
                }
                if may(Act::Remove(&name(of))) {
                    with(None);
                }
            }
        }
    }
    all
}

#[test]
fn d5_fewer_than_must_approve_never_come_to_hold_enough_tokens_nor_to_too_small_a_circle() {
    let (mut searched, mut emergencies) = (0, 0);
    for required in [2_u32, 3] {
        let several = usize::try_from(required).unwrap();
        for (count, holding) in [(2, 1), (3, 1), (3, 2), (4, 1), (4, 2), (5, 1), (5, 2)] {
            if count < several || holding >= several {
                continue;
            }
            let start: State = NAMES[..count].iter().enumerate().map(|(i, of)| (*of, (true, i < holding))).collect();
            let (mut seen, mut open) = (BTreeSet::from([start.clone()]), vec![start]);
            while let Some(state) = open.pop() {
                assert!(held(&state) < several, "{required}: so many tokens in too few hands: {state:?}");
                assert!(approvers(&state) >= several, "{required}: the circle is open again: {state:?}");
                emergencies += usize::from(approvers(&state) < count);
                open.extend(next(&state, required).into_iter().filter(|after| seen.insert(after.clone())));
            }
            searched += seen.len();
        }
    }
    println!("d5: {searched} states of the circle searched, {emergencies} of them with an approver removed");
    assert!(searched > 100 && emergencies > 10, "{searched} {emergencies}");
}

#[test]
fn d5_in_the_beginning_all_there_are_must_agree_and_where_one_is_enough_nobody() {
    let approve = scopes(true);
    let of = |state: &[(&'static str, (bool, bool))], required| {
        let state: State = state.iter().copied().collect();
        let circle = circle(&state, required);
        let names = agreed(&circle, required, Act::Add(&approve));
        (needed(&circle, required, Act::Add(&approve)), names.map(|names| names.len()))
    };
    assert_eq!(of(&[], 2), (0, Ok(0)), "the first");
    assert_eq!(of(&[("ann", (false, true))], 2), (0, Ok(0)), "who operates is no approver");
    assert_eq!(of(&[("ann", (true, false))], 2), (1, Err(Short::Unproven)));
    assert_eq!(of(&[("ann", (true, true))], 2), (1, Ok(1)));
    assert_eq!(
        of(&[("ann", (true, true)), ("ben", (true, false))], 3),
        (2, Err(Short::TooFew { needed: 2, shown: 1 }))
    );
    assert_eq!(of(&[("ann", (true, false)), ("ben", (true, false))], 1), (0, Ok(0)));
    assert_eq!(of(&[("ann", (true, true)), ("ben", (true, true)), ("cat", (true, true))], 2), (2, Ok(3)));
}
