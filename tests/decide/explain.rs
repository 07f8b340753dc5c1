//! Every stable code has one sentence for a person, and no two codes share one.

use std::collections::BTreeMap;

use rebalanced::decide::explain::explain;
use rebalanced::model::verdict::{EndReason, LintCode, OutcomeKind, Reason, RefusalCode, SkipReason};

#[test]
fn every_code_has_a_sentence_of_its_own() {
    let codes = (Reason::ALL.iter().map(|it| it.code()))
        .chain(SkipReason::ALL.iter().map(|it| it.code()))
        .chain(RefusalCode::ALL.iter().map(|it| it.code()))
        .chain(EndReason::ALL.iter().map(|it| it.code()))
        .chain(OutcomeKind::ALL.iter().map(|it| it.code()))
        .chain(LintCode::ALL.iter().map(|it| it.code()));
    let mut said: BTreeMap<&str, &str> = BTreeMap::new();
    for code in codes {
        let sentence = explain(code).unwrap_or_else(|| panic!("`{code}` has no sentence"));
        assert!(sentence.ends_with('.') && sentence.len() > 15, "{code}: {sentence}");
        let first = *said.entry(sentence).or_insert(code);
        assert_eq!(first, code, "two codes, one sentence: {sentence}");
    }
    for strange in ["", "Scheduled", "scheduled ", "no_such_code"] {
        assert_eq!(explain(strange), None, "`{strange}` is no code of ours");
    }
}
