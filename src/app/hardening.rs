//! The process keeps its memory to itself: tokens and keys are in it while it works.

use anyhow::Context;
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// No core dump is written, and no other process of the same user can trace this one or read its memory.
///
/// # Errors
/// When the system refuses; then nothing secret may be loaded.
pub fn keep_memory_private() -> anyhow::Result<()> {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    setrlimit(Resource::Core, none).context("core dumps could not be switched off")?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable).context("the process could not be made undumpable")
}

#[cfg(test)]
mod tests {
    use rustix::process::{Resource, dumpable_behavior, getrlimit};

    use super::*;

    #[test]
    fn d5_no_core_dump_and_no_tracer() {
        keep_memory_private().unwrap_or_else(|error| unreachable!("{error:#}"));
        assert_eq!(getrlimit(Resource::Core).current, Some(0));
        assert!(matches!(dumpable_behavior(), Ok(DumpableBehavior::NotDumpable)));
    }
}
