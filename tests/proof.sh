#!/usr/bin/env bash
# Measures the proof of execution and writes TRUST.md: the simulation over many seeds, the hunt for planted bugs, and what
# tests/run.sh left in target/proof. Ends with an error when a figure is not what it must be.
set -euo pipefail
cd "$(dirname "$0")/.."
seeds="${1:-0..4000}"

# What the tests left counts for the commit that they ran on, and for no other.
if [ -s target/proof/tests.log ] && [ "$(cat target/proof/tests.commit 2>/dev/null)" != "$(git rev-parse HEAD)" ]; then
    echo "tests/proof.sh: target/proof/tests.log is of another commit; run tests/run.sh first" >&2
    exit 1
fi
[ -s target/proof/tests.log ] || tests/run.sh
cargo build --release --locked --example simulate --example trust
target/release/examples/simulate --seeds "$seeds" --report target/proof/simulation.json
cp target/release/examples/trust target/proof/trust
# The zoo is another build of the same program: planted bugs exist in no other.
cargo build --release --locked --features zoo --example simulate
target/release/examples/simulate --zoo --report target/proof/zoo.json
target/proof/trust
