#!/usr/bin/env bash
# Checks the check: each of mutants/*.patch breaks the engine in one way, and the comparison must find it.
# Works on a copy of the tracked files; a patch that does not apply, or does not build, is a failure too.
# Usage: mutants.sh [PAIRS] [NAME…]
set -euo pipefail
cd "$(dirname "$0")/../.."
here=$PWD
pairs=${1:-300000}
shift || true
patches=()
for name in "${@:-*}"; do
    # shellcheck disable=SC2206 # `*` stands for all of them.
    patches+=("$here"/tests/reference/mutants/$name.patch)
done
[[ -e ${patches[0]} ]] || { echo "there is no ${patches[0]}" >&2; exit 1; }

# Always the same folder, so that one run builds on the last.
export CARGO_TARGET_DIR=$here/target/mutants
copy=$CARGO_TARGET_DIR/tree
rm -rf "$copy"
mkdir -p "$copy"
trap 'rm -rf "$copy" "$copy.out"' EXIT
git ls-files -z | tar --create --null --files-from - --file - | tar --extract --directory "$copy" --touch
cd "$copy"

compare() {
    cargo run --locked --quiet --package gatewasm-reference --bin differential -- --pairs "$pairs" --seed "$1"
}

if ! cargo build --locked --quiet --package gatewasm-reference || ! compare 1 >"$copy.out"; then
    cat "$copy.out" >&2 || true
    echo "the comparison fails without a mutant" >&2
    exit 1
fi
failed=0
for patch in "${patches[@]}"; do
    name=$(basename "$patch" .patch)
    if ! patch --strip 1 --fuzz 0 --silent --batch --input "$patch" >"$copy.out" 2>&1; then
        verdict="FAILED: the patch does not apply"
        failed=1
    elif ! cargo build --locked --quiet --package gatewasm-reference >"$copy.out" 2>&1; then
        verdict="FAILED: does not build"
        failed=1
    else
        status=0
        compare 1 >"$copy.out" 2>&1 || status=$?
        if [[ $status == 1 ]] && grep --quiet '^difference after' "$copy.out"; then
            verdict=$(grep --max-count 1 '^difference after' "$copy.out")
        else
            verdict="FAILED: not found in $pairs pairs"
            failed=1
        fi
    fi
    printf '%-44s %s\n' "$name" "$verdict"
    [[ $verdict == FAILED* ]] && cat "$copy.out"
    # The sources as they were, newer than what was built from the mutant.
    grep --only-matching --perl-regexp '^\+\+\+ b/\K\S+' "$patch" | while read -r file; do
        rm --force "$file" "$file.orig" "$file.rej"
        cp "$here/$file" "$file"
    done
done
exit "$failed"
