#!/usr/bin/env bash
# Runs the end-to-end tests on the test cluster, which is brought up, with the images of this checkout. Flags are those
# of `go test` with their prefix: run.sh -test.run=Guide
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"

tests/cluster/cluster.sh up
./dev images
built=$(tests/cluster/build.sh)
"$built/bin/cluster" load "${CARGO_TARGET_DIR:-target}/images/gatewasm.tar"
inside=("$built/bin/cluster" run)

crds=$(cd tests/conformance && go list -m -f '{{.Dir}}' sigs.k8s.io/gateway-api)/config/crd/experimental
# Too large for the annotation of a client-side apply.
"${inside[@]}" kubectl apply --server-side -k "$crds" >/dev/null
"${inside[@]}" kubectl wait --for=condition=Established crd --all --timeout=60s >/dev/null

# Tests call `gatewasm` as a person does.
PATH="$PATH:$(realpath "${CARGO_TARGET_DIR:-target}")/release"
export PATH
exec "${inside[@]}" "$built/bin/e2e.test" -test.v -test.timeout=30m "$@"
