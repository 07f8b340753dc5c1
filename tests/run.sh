#!/usr/bin/env bash
# Runs every test of the project with what they need, on this machine alone.
#
# Needs: a Rust toolchain, PostgreSQL's server binaries (not a running server), Python 3 with venv, and strace. What is
# missing is installed from Debian's packages when this user may install; otherwise a message says what to install, and
# nothing runs.
set -euo pipefail
cd "$(dirname "$0")/.."

missing=()
if ! compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null && ! command -v initdb >/dev/null; then
    missing+=(postgresql)
fi
if ! python3 -c 'import venv, ensurepip' >/dev/null 2>&1; then
    missing+=(python3-venv)
fi
if ! command -v strace >/dev/null; then
    missing+=(strace)
fi

if [ ${#missing[@]} -gt 0 ]; then
    if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
        echo "tests/run.sh: installing ${missing[*]}"
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
    elif command -v apt-get >/dev/null && sudo -n true 2>/dev/null; then
        echo "tests/run.sh: installing ${missing[*]} with sudo"
        sudo -n apt-get update -qq && sudo -n env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
    else
        echo "tests/run.sh: the tests need ${missing[*]}, and this user may not install packages." >&2
        echo "Install them (on Debian: sudo apt-get install ${missing[*]}) and run this again." >&2
        exit 1
    fi
fi

cargo build --workspace --locked --all-targets
# Kept whole for tests/proof.sh, which counts what was really shown. On the screen: each test, and all of it that failed.
mkdir -p target/proof
log=target/proof/tests.log
git rev-parse HEAD > target/proof/tests.commit
# Many tests hold many sockets and files, and some systems allow few unless they are asked.
ulimit -n "$(ulimit -Hn)"
# A test that hangs must fail, and be named, long before whoever waits for the answer gives up.
limit="${TESTS_MINUTES:-45}"
status=0
timeout --kill-after=10 "${limit}m" cargo test --workspace --locked --no-fail-fast "$@" -- --show-output 2>&1 | tee "$log" |
    grep --line-buffered -E '^(test |     Running |   Doc-tests |error|kills tried|restart to ready)' || status=$?
if [ "$status" = 124 ] || [ "$status" = 137 ]; then
    echo "tests/run.sh: not done within $limit minutes (TESTS_MINUTES sets another limit); these run since more than a minute:"
    grep -E 'has been running for over' "$log" || true
fi
if [ "$status" != 0 ]; then
    echo "tests/run.sh: what failed, from $log"
    # Each failed test's own output, without the frames of its backtrace; their names come last, where they are seen.
    awk '/^---- .* stdout ----$/ { name = $2 } /^test .* \.\.\. FAILED$/ { failed[$2] = 1 }
         /^(successes|failures):$/ { name = "" } { lines[NR] = $0; of[NR] = name }
         END { for (i = 1; i <= NR; i++) if (of[i] in failed && lines[i] !~ /^ +[0-9]+: |^ +at /) print substr(lines[i], 1, 400) }' \
        "$log" | tail -n 200
    echo "tests/run.sh: failed:"
    grep -E '^test .* FAILED$|^error' "$log" || true
    exit "$status"
fi
