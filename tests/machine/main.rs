//! The machine under the daemon fails: signals, crash loops, power cuts, old and damaged copies of the database, a full
//! disk, I/O errors, limits of the system. The shipped program runs against the simulator over HTTP and is judged by the
//! simulator's ledger (fault rows 15, 17, 18, 21 to 23, 60, 62 to 65).
//!
//! Each test takes a sample of its points with a fixed seed, and says how many. `REBALANCED_MACHINE_TIMES=N` takes N times
//! as many; `REBALANCED_MACHINE_SEED=S` takes others. Rows 15 and 63 need `strace`, row 62 needs root for its small disk:
//! `tests/run.sh` installs the one, and CI is the other.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop")]

#[path = "../app/support.rs"]
#[allow(unreachable_pub, reason = "another test's tools")]
mod support;

mod copies;
mod disk;
mod errors;
mod flips;
mod judge;
mod limits;
mod locks;
mod signals;
mod stage;
mod stops;
mod strace;
mod syscalls;
