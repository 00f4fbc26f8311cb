# Shared by the scripts of this folder; sourced, not run. One target directory and one profile for all of them.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$ROOT/target}"
# STAGE_BIN names a built program that is taken instead of building one.
STAGE="${STAGE_BIN:-$CARGO_TARGET_DIR/debug/stage}"
LAB="${STAGE_LAB:-$ROOT/../shared/lab}"
# The version of uv that tests, comparisons and measurements run against.
UV_VERSION=0.13.9

say() { printf '\n== %s\n' "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# need COMMAND PACKAGE: installs a Debian package when the command is missing and we may.
need() {
    have "$1" && return 0
    if [ "$(id -u)" = 0 ] && have apt-get; then
        say "installing $2 (for $1)"
        [ -n "${APT_FRESH:-}" ] || { apt-get update -qq; APT_FRESH=1; }
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$2" >/dev/null
    fi
    have "$1" || die "$1 is missing; install the Debian package $2 and run this again"
}

# venv NAME PACKAGE...: a Python environment below the target directory with these packages; prints its python.
venv() {
    local name=$1 dir; shift
    dir="$CARGO_TARGET_DIR/venv/$name"
    if [ ! -f "$dir/.done" ] || [ "$(cat "$dir/.done")" != "$*" ]; then
        rm -rf "$dir"
        python3 -m venv "$dir" >&2 2>/dev/null || { need python3 python3-venv; apt_venv; python3 -m venv "$dir" >&2; }
        "$dir/bin/pip" install --quiet --disable-pip-version-check "$@" >&2
        printf '%s' "$*" > "$dir/.done"
    fi
    printf '%s\n' "$dir/bin/python"
}

apt_venv() {
    if [ "$(id -u)" = 0 ] && have apt-get; then
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3 python3-venv >/dev/null
    fi
}

build() {
    [ -z "${STAGE_BIN:-}" ] || return 0
    need cc build-essential
    (cd "$ROOT" && cargo build --locked --quiet --bin stage)
}
