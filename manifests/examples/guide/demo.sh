#!/usr/bin/env bash
# The guide, running: backends, `gatewasm run` on a copy of this folder, and curl lines that work. Ctrl-C ends it.
set -euo pipefail
guide=$(cd "$(dirname "$0")" && pwd)
bin=$(cd "$guide/../../../target/release" && pwd)
work=$(mktemp -d)
jobs=()

cleanup() {
    trap - EXIT INT TERM
    for job in ${jobs[@]+"${jobs[@]}"}; do kill "$job" 2>/dev/null || true; done
    wait
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 0' INT TERM

cp -r "$guide" "$work/guide"

"$bin/echo" foo-v1=127.0.0.1:9001 foo-v2=127.0.0.1:9002 bar=127.0.0.1:9003 >"$work/echo.log" &
jobs+=($!)

"$bin/gatewasm" run -f "$work/guide" --ready-file "$work/ready.json" \
    --backend foo-ns/foo-v1=127.0.0.1:9001 \
    --backend foo-ns/foo-v2=127.0.0.1:9002 \
    --backend bar-ns/bar=127.0.0.1:9003 &
jobs+=($!)

for _ in $(seq 300); do
    [ -e "$work/ready.json" ] && break
    kill -0 "${jobs[0]}" 2>/dev/null || { echo "the backends did not start; are the ports 9001 to 9003 in use?" >&2; exit 1; }
    kill -0 "${jobs[1]}" 2>/dev/null || { echo "gatewasm did not start; see above" >&2; exit 1; }
    sleep 0.1
done
[ -e "$work/ready.json" ] || { echo "gatewasm was not ready after 30 seconds; see above" >&2; exit 1; }

read -r address port < <(python3 - "$work/ready.json" <<'PYTHON'
import json, sys
ready = json.load(open(sys.argv[1]))
for listener in ready["listeners"]:
    if listener["listener"] == "http":
        print(listener["address"], listener["port"])
PYTHON
) || { echo "the gateway has no port to serve on; see above" >&2; exit 1; }
to="--connect-to ::$address:$port"
cat <<LINES

The gateway is ready. Try, in another terminal:

  curl -s $to http://foo.example.com/foo                     # foo-v1
  curl -s $to http://foo.example.com/foo -H 'env: canary'    # foo-v2
  curl -s $to http://bar.example.com/bar                     # bar
  curl -si $to http://bar.example.com/foo                    # 404

Edit the files in $work/guide (steps/ has later versions) and see the changes go live.
manifests/examples/guide/README.md walks through it. Ctrl-C ends everything.

LINES
wait "${jobs[1]}"
