#!/usr/bin/env bash
# Runs the README's demo twice with one seed and compares: the same orders, no violation, each within 60 seconds.
# `tests/demo-twice.sh dev` takes the build of the tests instead of the README's release build.
set -euo pipefail
cd "$(dirname "$0")/.."
profile="${1:-release}"
# The build is not what is timed.
cargo build --quiet --profile "$profile" --locked --bin rebalanced
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
for turn in 1 2; do
    begin=$(date +%s.%N)
    cargo run --quiet --profile "$profile" --locked -- demo --seed 7 --json >"$scratch/$turn.json" 2>"$scratch/$turn.log" || {
        tail -n 40 "$scratch/$turn.log" >&2
        echo "demo-twice: the demo failed" >&2
        exit 1
    }
    end=$(date +%s.%N)
    python3 - "$scratch/$turn.json" "$begin" "$end" <<'PY'
import json, sys
summary = json.load(open(sys.argv[1]))
seconds = float(sys.argv[3]) - float(sys.argv[2])
print(f"demo: {len(summary['orders'])} orders, {len(summary['violations'])} violations, {seconds:.1f} s")
assert summary["violations"] == [], summary["violations"]
assert len(summary["orders"]) > 0, "the demo traded nothing"
assert seconds <= 60, f"the demo took {seconds:.1f} s, more than 60"
PY
done
python3 - "$scratch/1.json" "$scratch/2.json" <<'PY'
import json, sys
first, second = (json.load(open(path)) for path in sys.argv[1:])
assert first["orders"] == second["orders"], "the same seed gave other orders"
print(f"demo: the same seed gave the same {len(first['orders'])} orders twice")
PY
