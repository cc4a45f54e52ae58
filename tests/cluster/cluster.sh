#!/usr/bin/env bash
# Builds the cluster's programs where they are not built, and calls `cluster` with the arguments; see README.md here.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
"$here/../tools.sh" cluster
exec "$(nice -n 10 "$here/build.sh")/bin/cluster" "$@"
