# The project's tools live outside the checkout; tests/tools.sh puts them there.
export PATH := env("GATEWASM_CACHE", env("HOME") / ".cache/gatewasm") / "bin" + ":" + env("PATH")

[private]
default:
    @just --list --unsorted

# Release binary `target/release/gatewasm`, with the filter inside
[group('build')]
build: (tools "build")
    cargo build --release --locked -p gatewasm

# The guide, running: builds, starts the backends and a gateway, prints curl lines
[group('build')]
demo: build
    cargo build --release --locked -p gatewasm-echo
    manifests/examples/guide/demo.sh

# Images of gatewasm and of stock Envoy as OCI archives in target/images; `all`: also those of the test cluster's pods
[group('build')]
images SET="own": (tools "images") build
    manifests/images/build.sh {{ SET }}

# Everything that must pass before a commit: lint, unit, property, golden, request table, real Envoy
[group('test')]
test: (tools "test") lint
    cargo build --locked --workspace
    cargo test --locked --workspace --quiet
    # Once more, with its seed: engine and reference implementation on 300,000 requests.
    cargo test --locked --workspace --quiet --test differential -- --nocapture
    cd manifests/images/pack && go test ./...
    just test-wasm

# The request table on the engine in wasm32, under Node
[group('test')]
test-wasm: (tools "test")
    CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER=wasm-bindgen-test-runner \
        cargo test --locked --target wasm32-unknown-unknown -p gatewasm-request-table --test wasm

# Engine and reference implementation compared: 10 million requests natively (`--pairs N --seed S`), then through Envoy
[group('test')]
differential *ARGUMENTS: (tools "build")
    cargo run --locked --release --quiet -p gatewasm-reference --bin differential -- {{ ARGUMENTS }}
    just differential-envoy

# The same through a real Envoy: 1,000 rule sets with 100 requests each (`[SEED] [RULE SETS] [REQUESTS OF EACH]`)
[group('test')]
differential-envoy *ARGUMENTS: (tools "build")
    cargo run --locked --quiet -p gatewasm-tests --bin differential_envoy -- {{ ARGUMENTS }}

# Checks the check: the comparison must find each of tests/reference/mutants/*.patch (`[PAIRS] [NAME…]`)
[group('test')]
mutants *ARGUMENTS: (tools "build")
    tests/reference/mutants.sh {{ ARGUMENTS }}

# Golden files: write what is generated now, then show what changed
[group('test')]
update-golden:
    UPDATE_EXPECT=1 cargo test --locked -p gatewasm-tests --test golden --test install
    git diff --stat -- tests/golden tests/provision

# The README's first command: `./dev demo`, and every curl line that it prints
[group('test')]
test-demo:
    tests/demo_check.sh

# Fuzz the engine and the filter's parser, for so many seconds in all
[group('test')]
fuzz SECONDS="60": (tools "fuzz")
    tests/fuzz.sh {{ SECONDS }}

# Requests of any bytes through real Envoy, in HTTP/1 and HTTP/2; what a SEED sends it sends again
[group('test')]
fuzz-envoy REQUESTS="200000" SEED="": (tools "build")
    cargo build --locked -p gatewasm
    GATEWASM_FUZZ_REQUESTS={{ REQUESTS }} GATEWASM_FUZZ_SEED={{ SEED }} \
        cargo test --locked -p gatewasm-tests --test byte_fuzz -- --nocapture

# A Kubernetes on this machine alone: `up`, `down`, `status`, `smoke`, `kubectl …`, `run CMD…`; as root
[group('cluster')]
[positional-arguments]
cluster *ARGUMENTS:
    @tests/cluster/cluster.sh "$@"

# The official conformance suite on that cluster, or on yours with `--kubeconfig FILE`; further flags are the suite's
[group('cluster')]
[positional-arguments]
conformance *ARGUMENTS:
    @tests/conformance/run.sh "$@"

# Figures of that cluster: how long changes take and what they cost; `-full` takes at least 30 samples of each, half an hour
[group('cluster')]
[positional-arguments]
bench-cluster *ARGUMENTS:
    @tests/live/run.sh bench-cluster "$@"

# What fails in that cluster, half an hour of it; flags are `go test`'s: `-test.run=Killed`, `-test.short` for a few minutes
[group('cluster')]
[positional-arguments]
test-faults *ARGUMENTS:
    @tests/live/run.sh faults.test -test.v -test.timeout=90m "$@"

# What an owner of a cluster does, on that cluster: the guide, restarts under load; flags are `go test`'s: `-test.run=Guide`
[group('cluster')]
[positional-arguments]
test-cluster *ARGUMENTS:
    @tests/live/run.sh e2e.test -test.v -test.timeout=30m "$@"

# Figures: nanoseconds per decision, CPU per request in Envoy, size of the filter
[group('test')]
bench: (tools "bench") build
    tests/bench/run.sh

# Format, clippy (native and wasm32), documentation
[group('check')]
lint: (tools "build")
    cargo fmt --all --check
    cargo fmt --manifest-path routing/fuzz/Cargo.toml --check
    test -z "$(gofmt -l manifests tests | tee /dev/stderr)"
    cargo clippy --locked --workspace --all-targets --quiet -- -D warnings
    cargo clippy --locked -p gatewasm-routing -p gatewasm-filter --target wasm32-unknown-unknown --quiet -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --quiet

# Licences and sources of the dependencies (needs cargo-deny)
[group('check')]
deny:
    cargo deny --locked check bans licenses sources

# What the other recipes need, into a folder outside the checkout
[group('check')]
tools SET="test":
    @tests/tools.sh {{ SET }}
