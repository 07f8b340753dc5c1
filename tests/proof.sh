#!/usr/bin/env bash
# Measures the proof of execution and writes TRUST.md: the simulation over many seeds, the hunt for planted bugs, and what
# tests/run.sh left in target/proof. Ends with an error when a figure is not what it must be.
set -euo pipefail
cd "$(dirname "$0")/.."
seeds="${1:-0..3600}"

# What the tests left counts for the commit that they ran on, and for no other.
if [ -s target/proof/tests.log ] && [ "$(cat target/proof/tests.commit 2>/dev/null)" != "$(git rev-parse HEAD)" ]; then
    echo "tests/proof.sh: target/proof/tests.log is of another commit; run tests/run.sh first" >&2
    exit 1
fi
[ -s target/proof/tests.log ] || tests/run.sh
# The tests' own build is optimised; a release build would cost more time than it saves. `trust` asks of it 25 account-days a
# second and core, half the goal: a slow machine must not fail a change. TRUST.md tells what was measured.
cargo build --locked --example simulate --example trust
target/debug/examples/simulate --seeds "$seeds" --report target/proof/simulation.json
cp target/debug/examples/trust target/proof/trust
# The zoo is another build of the same program: planted bugs exist in no other. Two minutes for each are the goal: TRUST.md
# tells how many were found within them, and the slowest. A slow machine gets up to 400 seconds for each before one counts as
# not found.
cargo build --locked --features zoo --example simulate
target/debug/examples/simulate --zoo --within 400 --report target/proof/zoo.json
target/proof/trust
