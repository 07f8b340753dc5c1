#!/usr/bin/env bash
# Holds the planner against an independent formulation that a solver answers (HiGHS, through `good_lp`): prints for each
# mode how many cases were compared and how far our plan is from the optimum, and fails when one is too far.
# `tests/optimum.sh --cases 50000 --seed 3` compares others.
#
# HiGHS is C++ and built from source, once (about four minutes on two cores). It needs cmake and libclang; where this
# machine has neither, both come from PyPI into target/optimum/tools, so no right to install packages is needed.
set -euo pipefail
cd "$(dirname "$0")/.."
tools="$PWD/target/optimum/tools"
cmake_version=3.31.10
libclang_version=18.1.1

has_libclang() {
    [ -n "${LIBCLANG_PATH:-}" ] || compgen -G '/usr/lib/llvm-*/lib/libclang.so*' >/dev/null ||
        compgen -G '/usr/lib/llvm-*/lib/libclang-[0-9]*.so*' >/dev/null
}

wheels=()
command -v cmake >/dev/null || wheels+=("cmake==$cmake_version")
has_libclang || wheels+=("libclang==$libclang_version")
if [ ${#wheels[@]} -gt 0 ]; then
    if [ "$(cat "$tools/ready" 2>/dev/null)" != "${wheels[*]}" ]; then
        echo "tests/optimum.sh: fetching ${wheels[*]} from PyPI"
        rm -rf "$tools"
        mkdir -p target/optimum
        python3 -m venv "$tools"
        "$tools/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: "${wheels[@]}"
        echo "${wheels[*]}" >"$tools/ready"
    fi
    export PATH="$tools/bin:$PATH"
    if ! has_libclang; then
        LIBCLANG_PATH=$(echo "$tools"/lib/python3*/site-packages/clang/native)
        export LIBCLANG_PATH
        # The wheel is the library alone: the compiler's own headers (stddef.h and the like) are those of gcc.
        export BINDGEN_EXTRA_CLANG_ARGS="${BINDGEN_EXTRA_CLANG_ARGS:-} -I$(${CC:-cc} -print-file-name=include)"
    fi
fi
# The tests' own build is optimised, and shares with them all that they have built.
cargo build --quiet --locked --manifest-path tests/optimum/Cargo.toml --target-dir target
target/debug/rebalanced-optimum "$@"
