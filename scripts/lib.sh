# shellcheck shell=bash
# Shared by the scripts beside it: where things are, how to speak, which Java and Go will do.

set -euo pipefail

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
TARGET="${CARGO_TARGET_DIR:-$ROOT/target}"
case "$TARGET" in /*) ;; *) TARGET="$ROOT/$TARGET" ;; esac
# Everything fetched or built for the tests on real servers. Deleting the folder only costs the next run a download.
REAL="${DRIFTGATE_TEST_REAL:-$TARGET/real}"
PINS="$ROOT/scripts/real"

JAVA_AT_LEAST=17
GO_AT_LEAST=1.26

say() { printf '==> %s\n' "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

# One loud line for a part that is left out; `make test` counts them at its end. In CI nothing may be left out.
left_out() {
    printf '\nSKIPPED: %s\n\n' "$*" >&2
    if [ -n "${DRIFTGATE_TEST_SKIPS:-}" ]; then printf '%s\n' "$*" >>"$DRIFTGATE_TEST_SKIPS"; fi
    if [ "${CI:-}" = true ]; then die "CI=true, and this part must run: $*"; fi
}

# at_least HAVE WANT: compares dotted versions by number.
at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

java_version() { "$1" -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p' | head -n 1; }

# The first Java that is new enough: JAVA_HOME, the one in PATH, then those of the distribution. Prints its path.
find_java() {
    local java version
    for java in "${JAVA_HOME:-/nonexistent}/bin/java" "$(command -v java || true)" /usr/lib/jvm/*/bin/java; do
        [ -n "$java" ] && [ -x "$java" ] || continue
        version="$(java_version "$java")"
        if [ -n "$version" ] && [ "$version" -ge "$JAVA_AT_LEAST" ]; then
            readlink -f "$java"
            return 0
        fi
    done
    return 1
}

# Any Go: an old one can fetch a new one as a module (see scripts/fetch). Prints its path.
find_go() {
    local go
    for go in "$(command -v go || true)" /usr/local/go/bin/go; do
        if [ -n "$go" ] && [ -x "$go" ] && "$go" version >/dev/null 2>&1; then
            printf '%s\n' "$go"
            return 0
        fi
    done
    return 1
}
