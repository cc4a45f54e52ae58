#!/usr/bin/env bash
# Packs images into target/images, as OCI archives: build.sh own (gatewasm, whose binary is built already, and Envoy) or
# build.sh all (and those of the test cluster's pods).
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=$(realpath -m "${CARGO_TARGET_DIR:-target}")/images
pack=$folder/.pack
mkdir -p "$folder"
(cd manifests/images/pack && CGO_ENABLED=0 go build -trimpath -buildvcs=false -o "$pack" .)
manifests/images/pack.sh gatewasm "$pack" "$folder"
case ${1:-own} in
    own) manifests/images/pack.sh envoy "$pack" "$folder" ;;
    all) cp "$(nice -n 10 tests/cluster/build.sh images)"/images/*.tar "$folder" && ls "$folder" ;;
    *) sed -n '2,3s/^# //p' "$0" >&2; exit 2 ;;
esac
