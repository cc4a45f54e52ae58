#!/usr/bin/env bash
# Nanoseconds per decision of the routing engine, natively and in wasm32 (Node's V8); a JSON line for each row.
set -euo pipefail
cd "$(dirname "$0")/../.."
target=${CARGO_TARGET_DIR:-target}
cargo build --locked --quiet --release -p gatewasm-bench --bin bench-engine
cargo build --locked --quiet --profile filter -p gatewasm-bench --lib --target wasm32-unknown-unknown
"$target/release/bench-engine"
node tests/bench/engine.mjs "$target/wasm32-unknown-unknown/filter/gatewasm_bench.wasm"
