#!/usr/bin/env bash
# Builds all that the cluster runs, or with `build.sh images` the images of its pods alone, into a folder outside the
# checkout, and prints that folder: programs in bin/, images in images/. Parts are kept by what they were built from;
# what did not change is not built again.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=tests/cluster/versions.env
. tests/cluster/versions.env
# shellcheck source=manifests/images/images.env
. manifests/images/images.env

cache=${GATEWASM_CACHE:-$HOME/.cache/gatewasm}/cluster
mkdir -p "$cache"
exec 9>"$cache/build.lock"
flock 9
export GOFLAGS="-trimpath -buildvcs=false" CGO_ENABLED=0
toolchain=$(go version)
strip='-s -w'
parts=()

# part NAME INPUT…: the folder of a part is the first argument of the function build_NAME, which fills it. Its key is
# all that it depends on: the inputs (files, folders, or any words), the toolchain, and the function itself.
part() {
    local name=$1 input key folder began=$SECONDS
    shift
    key=$(
        {
            printf '%s\n' "$toolchain" "$(declare -f "build_$name")"
            for input in "$@"; do
                if [ -e "$input" ]; then
                    find "$input" -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
                else
                    printf '%s\n' "$input"
                fi
            done
        } | sha256sum | cut -c1-16
    )
    folder=$cache/$name-$key
    if [ ! -d "$folder" ]; then
        rm -rf "$cache/building"
        mkdir -p "$cache/building"
        "build_$name" "$cache/building" >&2
        mv "$cache/building" "$folder"
        echo "cluster: built $name in $((SECONDS - began)) s" >&2
    fi
    touch "$folder"
    parts+=("$folder")
    last=$folder
}

build_kube() {
    local version minor package flags=$strip
    version=$(cd tests/cluster && go list -m -f '{{.Version}}' k8s.io/kubernetes)
    minor=${version#v1.} minor=${minor%%.*}
    for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
        flags+=" -X $package.gitVersion=$version -X $package.gitMajor=1 -X $package.gitMinor=$minor"
        flags+=" -X $package.gitTreeState=clean"
    done
    (cd tests/cluster && go build -ldflags "$flags" -o "$1/bin/kube" ./kube)
    ln -s kube "$1/bin/kubectl"
}

build_node() {
    local containerd=github.com/containerd/containerd/v2 cni=github.com/containernetworking/plugins/plugins
    export GOBIN=$1/bin
    go install -ldflags "$strip -X $containerd/version.Version=$CONTAINERD_VERSION" \
        $containerd/cmd/{containerd,containerd-shim-runc-v2,ctr}@"$CONTAINERD_VERSION"
    # Every pod's sandbox gets the default seccomp profile, which runc can apply only with libseccomp.
    CGO_ENABLED=1 go install -tags seccomp -ldflags "$strip -X main.version=${RUNC_VERSION#v}" \
        github.com/opencontainers/runc@"$RUNC_VERSION"
    go install -ldflags "$strip" \
        $cni/main/{bridge,loopback}@"$CNI_PLUGINS_VERSION" $cni/ipam/host-local@"$CNI_PLUGINS_VERSION"
}

build_box() {
    (cd tests/cluster && go test ./loadbalancer && go build -ldflags "$strip" -o "$1/bin/cluster" ./box \
        && go test -c -o "$1/bin/smoke.test" ./smoke)
}

build_suite() {
    (cd tests/conformance && go test -c -ldflags "$strip" -o "$1/bin/conformance.test" . \
        && "$1/bin/conformance.test" -test.run='^TestList$' \
        && go build -ldflags "$strip" -o "$1/bin/echo-basic" sigs.k8s.io/gateway-api/conformance/echo-basic)
}

build_live() {
    (cd tests/live && go vet ./... && go test ./load && go build -ldflags "$strip" -o "$1/bin/bench-cluster" ./bench \
        && go test -c -ldflags "$strip" -o "$1/bin/faults.test" ./faults \
        && go test -c -ldflags "$strip" -o "$1/bin/e2e.test" ./e2e)
}

build_images() {
    local pack=$1/pack names=()
    mkdir "$1/images"
    (cd manifests/images/pack && go build -o "$pack" .)
    (cd tests/cluster && go build -ldflags "$strip" -o "$1/pause" ./pause)
    (cd tests/cluster/coredns && go build -ldflags "$strip" -o "$1/coredns" .)
    "$pack" -out "$1/images/pause.tar" -entrypoint /pause -file "$1/pause=/pause" "$PAUSE_IMAGE"
    "$pack" -out "$1/images/coredns.tar" -entrypoint /coredns -file "$1/coredns=/coredns" "$COREDNS_IMAGE"
    read -rd '' -a names <<<"$ECHO_BASIC_IMAGES" || true
    "$pack" -out "$1/images/echo-basic.tar" -entrypoint /echo-basic -file "$suite/bin/echo-basic=/echo-basic" \
        "${names[@]}"
    manifests/images/pack.sh envoy "$pack" "$1/images"
    rm "$pack" "$1/pause" "$1/coredns"
}

module=(tests/cluster/go.mod tests/cluster/go.sum)
part suite tests/conformance/go.mod tests/conformance/go.sum tests/conformance/{conformance_test.go,list_test.go,suite-v1.6.1.txt}
suite=$last
part images "$suite" manifests/images tests/cluster/pause tests/cluster/coredns
if [ "${1:-}" != images ]; then
    part node tests/cluster/versions.env
    part kube "${module[@]}" tests/cluster/kube tests/cluster/loadbalancer
    part live tests/live
    part box "${module[@]}" tests/cluster/box tests/cluster/smoke tests/cluster/loadbalancer
fi

# One folder of all parts. Files of the cache are linked, for they are large.
built=$cache/built-$(printf '%s\n' "${parts[@]##*/}" | sha256sum | cut -c1-16)
if [ ! -d "$built" ]; then
    rm -rf "$cache/building"
    mkdir "$cache/building"
    for folder in "${parts[@]}"; do
        cp -al "$folder"/. "$cache/building"
    done
    mv "$cache/building" "$built"
fi
touch "$built"
# What no checkout asked for in two weeks goes.
find "$cache" -mindepth 1 -maxdepth 1 -name '*-????????????????' -mtime +14 -exec rm -rf {} +
echo "$built"
