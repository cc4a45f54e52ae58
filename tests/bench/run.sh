#!/usr/bin/env bash
# All figures: size of the filter, nanoseconds per decision, a change of a route step by step, CPU of Envoy per request. On two cores or more.
set -euo pipefail
cd "$(dirname "$0")/../.."
target=${CARGO_TARGET_DIR:-target}
cargo build --locked --quiet --release -p gatewasm-tests --bin bench_change --bin bench_envoy
"$target/release/gatewasm" filter -o - | wc -c | sed 's/^/size of the wasm filter in bytes: /'
tests/bench/engine.sh
"$target/release/bench_change"
# The load and the backend on the second core, Envoy on the first.
taskset -c 1 "$target/release/bench_envoy" "$@"
