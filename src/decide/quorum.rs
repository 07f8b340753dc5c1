//! Who must agree before somebody becomes an operator, gets a new token, or ceases to be one.
//!
//! Always, where several operators must approve and there are so many: fewer than that come neither to hold so many tokens
//! that approve, nor to a circle so small that it is open to fewer. Who may not approve is one approver's affair.

use std::collections::BTreeSet;

use crate::model::operator::{Circle, OperatorName, Scope};

/// What is to be done to the circle of operators.
#[derive(Debug, Clone, Copy)]
pub enum Act<'a> {
    /// Make somebody an operator with these scopes.
    Add(&'a BTreeSet<Scope>),
    /// Give them a new token, which somebody else sees.
    Rotate(&'a OperatorName),
    /// End their rights.
    Remove(&'a OperatorName),
}

/// Too few agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Short {
    /// One approver would be enough, and none showed their token.
    Unproven,
    /// Several must agree.
    TooFew {
        /// How many.
        needed: usize,
        /// How many showed their token.
        shown: usize,
    },
    /// One alone may remove an approver only where enough remain.
    TooFewRemain {
        /// How many must agree.
        needed: usize,
        /// How many showed their token.
        shown: usize,
        /// How many must remain for one to be enough.
        required: u32,
    },
}

/// How many approvers must agree, where `required` must approve. Where there are fewer, as in the beginning, all there are:
/// none before the first.
pub fn needed(circle: &Circle, required: u32, act: Act<'_>) -> usize {
    let approvers = circle.approvers();
    if required < 2 {
        return 0;
    }
    let several = usize::try_from(required).unwrap_or(usize::MAX);
    let alone = match act {
        Act::Add(scopes) => !scopes.contains(&Scope::Approve),
        // Who renews their own token holds one before and one after.
        Act::Rotate(name) => !approvers.contains(name) || circle.shown.contains(name),
        // To take a right away is the safe direction, until so few remain that the next could be made by one alone.
        Act::Remove(name) => !approvers.contains(name) || approvers.len() > several,
    };
    approvers.len().min(if alone { 1 } else { several })
}

/// Who agrees to an act where `required` must approve; nobody, where a name that nobody proves is enough.
///
/// # Errors
/// [`Short`] when too few approvers show their tokens.
pub fn agreed<'a>(circle: &'a Circle, required: u32, act: Act<'_>) -> Result<BTreeSet<&'a OperatorName>, Short> {
    let agreed = circle.agreed();
    let (needed, shown) = (needed(circle, required, act), agreed.len());
    if shown >= needed {
        return Ok(agreed);
    }
    Err(match act {
        _ if needed < 2 => Short::Unproven,
        Act::Remove(_) => Short::TooFewRemain { needed, shown, required },
        Act::Add(_) | Act::Rotate(_) => Short::TooFew { needed, shown },
    })
}
