#!/usr/bin/env bash
# Runs the official conformance suite against gatewasm, installed from manifests/install.yaml as a user would.
#
#   run.sh [FLAG…]                      on the test cluster, which is brought up, with the images of this checkout
#   run.sh --kubeconfig FILE [FLAG…]    on a cluster of yours, which has to have the images: docs/conformance.md
#   run.sh --channel standard …         with the CRDs of the standard channel instead of the experimental one; first
#
# Flags are the suite's own and win over those here. The exit code is the test program's: the report cannot be trusted
# for it, because this release's suite reports parallel tests as passed, whatever came of them.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"

channel=experimental
if [ "${1:-}" = --channel ]; then
    channel=${2:-}
    case $channel in
    experimental | standard) ;;
    *) echo "--channel is experimental or standard, not \"$channel\"" >&2 && exit 2 ;;
    esac
    shift 2
fi
usable=() ours=
if [ "${1:-}" = --kubeconfig ]; then
    KUBECONFIG=$(realpath "$2")
    export KUBECONFIG
    shift 2
    built=$(nice -n 10 tests/cluster/build.sh)
    inside=(env "PATH=$built/bin:$PATH")
else
    tests/cluster/cluster.sh up
    ./dev images
    built=$(tests/cluster/build.sh)
    "$built/bin/cluster" load "${CARGO_TARGET_DIR:-target}/images/gatewasm.tar"
    inside=("$built/bin/cluster" run)
    ours=yes
    # One that the load balancer would hand out last, and one of nobody.
    usable=(-usable-address=10.98.0.254 -unusable-address=192.0.2.1)
fi
kubectl() { "${inside[@]}" kubectl "$@"; }

version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
repository=$(sed -n '/^\[workspace.package\]/,/^\[/s/^repository = "\(.*\)"/\1/p' Cargo.toml)
crds=$(cd tests/conformance && go list -m -f '{{.Dir}}' sigs.k8s.io/gateway-api)/config/crd
# The folder with a channel's kustomization: the standard one's is the parent of both.
of_channel() { [ "$1" = standard ] && echo "$crds" || echo "$crds/$1"; }
log=${CARGO_TARGET_DIR:-target}/conformance.log
report=docs/conformance/$channel-$version-default-report.yaml
mkdir -p docs/conformance

# CRDs of the other channel, which the test cluster may have from a run before, would be refused or mixed with these,
# and in a report they have no channel then. A cluster of somebody's keeps what it has.
has=$(kubectl get crd gateways.gateway.networking.k8s.io --ignore-not-found \
    -o "jsonpath={.metadata.annotations['gateway\.networking\.k8s\.io/channel']}")
if [ -n "$ours" ] && [ -n "$has" ] && [ "$has" != "$channel" ]; then
    kubectl delete --ignore-not-found --wait --timeout=120s -k "$(of_channel "$has")"
fi
# Too large for the annotation of a client-side apply.
kubectl apply --server-side -k "$(of_channel "$channel")"
kubectl wait --for=condition=Established crd --all --timeout=60s >/dev/null
kubectl apply --server-side -f manifests/install.yaml
kubectl -n gatewasm-system wait --for=condition=Available deployment --all --timeout=120s
kubectl wait --for=condition=Accepted gatewayclass/gatewasm --timeout=60s

began=$SECONDS code=0
"${inside[@]}" "$built/bin/conformance.test" -test.v -test.timeout=40m \
    -gateway-class=gatewasm -conformance-profiles=GATEWAY-HTTP,GATEWAY-GRPC,GATEWAY-TLS,GATEWAY-TCP,GATEWAY-UDP \
    -organization=gatewasm -project=gatewasm -url="$repository" -version="v$version" -contact="$repository/issues" \
    -report-output="$root/$report" ${usable[@]+"${usable[@]}"} "$@" 2>&1 |
    tee "$log" | grep --line-buffered -E '^ *--- |^panic' || code=${PIPESTATUS[0]}

echo "report: $report, log: $log, $((SECONDS - began)) s"
count() { grep -cE "^ {4}--- $1:" "$log" || true; }
echo "conformance: $(count PASS) passed, $(count FAIL) failed, $(count SKIP) skipped"
exit "$code"
