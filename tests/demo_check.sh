#!/usr/bin/env bash
# Runs the README's first command and every curl line that it prints; the answers must be those that the line names.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
log=$(mktemp)
# In a process group of its own, to end it as Ctrl-C in a terminal does.
setsid "$root/dev" demo >"$log" 2>&1 &
demo=$!
trap 'kill -TERM -- "-$demo" 2>/dev/null || true; wait "$demo" 2>/dev/null || true; rm -f "$log"' EXIT

for _ in $(seq 9000); do
    grep -q 'Ctrl-C ends everything' "$log" && break
    kill -0 "$demo" 2>/dev/null || { cat "$log"; echo "demo ended before it was ready" >&2; exit 1; }
    sleep 0.1
done

passed=0 failed=0
while read -r line; do
    command=${line%%#*} expected=${line##*# }
    answer=$(bash -c "$command" || true)
    if grep -qF "$expected" <<<"$answer"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf 'FAILED: %s\n  expected %s, got %s\n' "$command" "$expected" "$answer"
    fi
done < <(grep -E '^ +curl ' "$log")

kill -TERM -- "-$demo"
for _ in $(seq 600); do
    pgrep -g "$demo" >/dev/null || break
    sleep 0.1
done
if pgrep -g "$demo" -l; then
    echo "FAILED: the demo has left the processes above"
    failed=$((failed + 1))
fi
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -ge 4 ]
