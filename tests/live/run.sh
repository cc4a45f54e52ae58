#!/usr/bin/env bash
# Installs gatewasm on the test cluster, which is brought up, from this checkout and as a user would, and runs a program
# of this folder there:
#
#   run.sh e2e.test [FLAG…]       flags of `go test`, with their prefix
#   run.sh faults.test [FLAG…]
#   run.sh bench-cluster [-full] [-only NAMES] [-idle TIME]
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
# By force: an earlier test may have been ended while it had changed something.
kubectl apply --server-side --force-conflicts -f manifests/install.yaml >/dev/null
kubectl -n gatewasm-system rollout status deployment/gatewasm-controller --timeout=120s

# Tests call `gatewasm` as a person does.
PATH="$PATH:$(realpath "${CARGO_TARGET_DIR:-target}")/release"
export PATH
program=$1
shift
exec "$built/bin/cluster" run "$built/bin/$program" "$@"
