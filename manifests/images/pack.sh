#!/usr/bin/env bash
# Packs an image that gatewasm is made of from its binary: pack.sh gatewasm|envoy PACK FOLDER, where PACK is the built
# program of ./pack. Both are linked to the C library, which comes from this machine.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=manifests/images/images.env
. manifests/images/images.env
pack=$2 folder=$3
source_label=org.opencontainers.image.title
case $1 in
    gatewasm)
        version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
        [ "$GATEWASM_IMAGE" = "gatewasm/gatewasm:$version" ] || {
            echo "images: GATEWASM_IMAGE is $GATEWASM_IMAGE in images.env, but the workspace's version is $version" >&2
            exit 1
        }
        "$pack" -out "$folder/gatewasm.tar" -entrypoint /usr/local/bin/gatewasm \
            -label $source_label=gatewasm -label "org.opencontainers.image.version=$version" \
            -file "${CARGO_TARGET_DIR:-target}/release/gatewasm=/usr/local/bin/gatewasm" "$GATEWASM_IMAGE"
        ;;
    envoy)
        cache=${GATEWASM_CACHE:-$HOME/.cache/gatewasm}
        version=${ENVOY_IMAGE##*-v}
        # Certificate authorities are for backends whose BackendTLSPolicy says `wellKnownCACertificates: System`.
        "$pack" -out "$folder/envoy.tar" -entrypoint /usr/local/bin/envoy \
            -label $source_label=envoy -label "org.opencontainers.image.version=$version" \
            -file "$cache/bin/envoy-$version=/usr/local/bin/envoy" \
            -file /etc/ssl/certs/ca-certificates.crt=/etc/ssl/certs/ca-certificates.crt "$ENVOY_IMAGE"
        ;;
    *) sed -n '2,3s/^# //p' "$0" >&2; exit 2 ;;
esac
