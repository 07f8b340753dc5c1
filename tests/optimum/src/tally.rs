//! Figures over many cases, in few lines.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// What was found of one mode.
#[derive(Debug, Default)]
pub(crate) struct Found {
    gaps: Vec<(f64, u64)>,
    /// Cases in which the solver gave no proven answer in its time.
    open: usize,
}

/// All modes.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    modes: BTreeMap<String, Found>,
}

impl Tally {
    pub(crate) fn add(&mut self, mode: &str, gap: f64, case: u64) {
        self.modes.entry(mode.to_owned()).or_default().gaps.push((gap, case));
    }

    pub(crate) fn open(&mut self, mode: &str) {
        self.modes.entry(mode.to_owned()).or_default().open += 1;
    }

    pub(crate) fn take(&mut self, other: Self) {
        for (mode, mut found) in other.modes {
            let mine = self.modes.entry(mode).or_default();
            mine.gaps.append(&mut found.gaps);
            mine.open += found.open;
        }
    }

    /// How many cases were compared.
    pub(crate) fn cases(&self) -> usize {
        self.modes.values().map(|found| found.gaps.len()).sum()
    }

    /// A table of the modes whose names begin so, and whether one goes beyond a limit at its share of the cases.
    pub(crate) fn table(&mut self, prefix: &str, limits: &[(f64, f64)]) -> (String, Vec<String>) {
        let (mut text, mut beyond) = (String::new(), Vec::new());
        for (mode, found) in self.modes.iter_mut().filter(|(mode, _)| mode.starts_with(prefix)) {
            found.gaps.sort_by(|a, b| a.0.total_cmp(&b.0));
            let at = |share: f64| {
                let last = found.gaps.len().saturating_sub(1);
                found.gaps.get((last as f64 * share).round() as usize).copied().unwrap_or_default()
            };
            let (median, high, (worst, case)) = (at(0.5).0, at(0.99).0, at(1.0));
            let _ = write!(text, "{:<54} {:>7} {median:>10.1e} {high:>10.1e} {worst:>10.1e}", mode, found.gaps.len());
            let _ = writeln!(
                text,
                "  case {case}{}",
                if found.open > 0 { format!(", {} unproven", found.open) } else { String::new() }
            );
            for (share, limit) in limits {
                if at(*share).0 > *limit {
                    beyond.push(format!(
                        "{mode}: {:.1e} at {}% of the cases, above {limit:.0e}",
                        at(*share).0,
                        share * 100.0
                    ));
                }
            }
        }
        (text, beyond)
    }
}
