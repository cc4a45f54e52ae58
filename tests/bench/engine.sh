#!/usr/bin/env bash
# Figures of the routing engine, natively and in wasm32 (Node's V8), and whether they meet the gates.
set -euo pipefail
cd "$(dirname "$0")/../.."
target=${CARGO_TARGET_DIR:-target}
cargo build --locked --quiet --release -p gatewasm-bench --bin bench-engine
cargo build --locked --quiet --profile filter -p gatewasm-bench --lib --target wasm32-unknown-unknown
{
    "$target/release/bench-engine"
    node tests/bench/engine.mjs "$target/wasm32-unknown-unknown/filter/gatewasm_bench.wasm"
} | node tests/bench/gates.mjs
