#!/usr/bin/env bash
# Fuzzes the targets of routing/fuzz one after the other, SECONDS in all, and prints for each its executions, coverage
# and findings. Fails on a finding, which is left in target/fuzz/findings. What a run has learned is left in
# target/fuzz/corpus, where the next one begins; a fresh one begins with the request table and routing/fuzz/corpus.
#
#   tests/fuzz.sh SECONDS
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:?usage: tests/fuzz.sh SECONDS}
targets=(config request pairs)
# Of the time: the parser of header maps is small.
shares=(5 6 1)

target=$PWD/target/fuzz
host=$(rustc -vV | sed -n 's/^host: //p')
binaries=$target/$host/release

# Without a sanitizer cargo-fuzz needs no nightly compiler; what is not `unsafe` has nothing for one to find. Overflows
# and other debug assertions are on.
cargo fuzz build --fuzz-dir routing/fuzz --sanitizer none --target-dir "$target"

mkdir -p "$target/findings"
"$binaries/seeds" "$target/seeds"
found=0
printf '%-8s %12s %10s %9s %8s  %s\n' target executions per-second coverage inputs findings
for index in "${!targets[@]}"; do
    name=${targets[$index]}
    time=$((seconds * shares[index] / 12))
    log=$target/$name.log
    mkdir -p "$target/corpus/$name" "$target/seeds/$name"
    status=0
    "$binaries/$name" "$target/corpus/$name" "$target/seeds/$name" "routing/fuzz/corpus/$name" \
        -max_total_time="$((time > 0 ? time : 1))" -max_len=16384 -timeout=10 -rss_limit_mb=1024 \
        -print_final_stats=1 -artifact_prefix="$target/findings/$name-" >"$log" 2>&1 || status=$?
    finding=none
    if [ "$status" -ne 0 ]; then
        found=1
        finding="exit status $status: $log, $(ls -t "$target/findings/$name-"* 2>/dev/null | head -1)"
    fi
    last=$(grep -E '^#[0-9]+.* cov: ' "$log" | tail -1 || true)
    printf '%-8s %12s %10s %9s %8s  %s\n' "$name" \
        "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")" \
        "$(sed -n 's/^stat::average_exec_per_sec: *//p' "$log")" \
        "$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' <<<"$last")" \
        "$(sed -n 's/.* corp: \([0-9]*\)\/.*/\1/p' <<<"$last")" "$finding"
    [ "$status" -eq 0 ] || grep -m1 -A20 -E 'panicked at|ERROR: libFuzzer' "$log" || true
done
exit "$found"
