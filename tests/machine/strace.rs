//! The program under a tracer that lets one system call fail, or that kills at one.
//!
//! The tracer counts each thread's calls by themselves. All writes to the database are one thread's, so the n-th write of
//! the database is a point of its own; of the calls to the network it is the first thread that comes to its n-th.

use std::collections::BTreeMap;
use std::fs;

use crate::stage::Stage;

/// What a daemon did to its files, by call: the most of one thread.
pub(crate) fn reference(stage: &mut Stage, calls: &[&str]) -> BTreeMap<String, usize> {
    stage.reason_to_trade();
    let log = stage.scratch.path().join("strace.log");
    let mut daemon = stage.start_as(&words(calls, None, Some(&log.display().to_string())), &[]);
    let since = rebalanced::model::time::Moment::from(stage.sim.now());
    assert!(stage.carried_through(&mut daemon, since), "it ended under the tracer: {}", daemon.log());
    daemon.signal("KILL");
    assert!(daemon.wait(crate::stage::PATIENCE).is_some());
    let text = fs::read_to_string(log).unwrap();
    let mut counts: BTreeMap<(String, String), usize> = BTreeMap::new();
    for line in text.lines() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let Some((call, _)) = rest.trim_start().split_once('(') else { continue };
        if calls.contains(&call) {
            *counts.entry((call.to_owned(), thread.to_owned())).or_default() += 1;
        }
    }
    let mut most: BTreeMap<String, usize> = BTreeMap::new();
    for ((call, _), count) in counts {
        let entry = most.entry(call).or_default();
        *entry = count.max(*entry);
    }
    most
}

/// The tracer's words before the program: which calls it looks at, and what it does at one of them.
pub(crate) fn words(calls: &[&str], inject: Option<&str>, log: Option<&str>) -> Vec<String> {
    let mut words: Vec<String> = ["strace", "-f", "-y", "-qqq"].map(str::to_owned).into();
    // The quick way of tracing loses signals that it is to deliver.
    if inject.is_none_or(|inject| !inject.contains("signal=")) {
        words.push("--seccomp-bpf".to_owned());
    }
    words.push("-o".to_owned());
    words.push(log.unwrap_or("/dev/null").to_owned());
    words.extend(["-e".to_owned(), format!("trace={}", calls.join(",")), "-e".to_owned(), "signal=none".to_owned()]);
    if let Some(inject) = inject {
        words.extend(["-e".to_owned(), format!("inject={inject}")]);
    }
    words
}
