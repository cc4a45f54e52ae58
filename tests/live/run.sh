#!/usr/bin/env bash
# Runs a program of this folder on the test cluster, which is brought up, with the images of this checkout:
#
#   run.sh bench-cluster [-full] [-only NAMES] [-idle TIME]
#   run.sh faults.test [FLAG…]                               flags of `go test`, with their prefix
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"

tests/cluster/cluster.sh up
./dev images
built=$(tests/cluster/build.sh)
"$built/bin/cluster" load "${CARGO_TARGET_DIR:-target}/images/gatewasm.tar"
kubectl() { "$built/bin/cluster" run kubectl "$@"; }

crds=$(cd tests/conformance && go list -m -f '{{.Dir}}' sigs.k8s.io/gateway-api)/config/crd/experimental
# Too large for the annotation of a client-side apply.
kubectl apply --server-side -k "$crds" >/dev/null
kubectl wait --for=condition=Established crd --all --timeout=60s >/dev/null
kubectl apply --server-side -f manifests/install.yaml >/dev/null
kubectl -n gatewasm-system wait --for=condition=Available deployment --all --timeout=120s

program=$1
shift
exec "$built/bin/cluster" run "$built/bin/$program" "$@"
