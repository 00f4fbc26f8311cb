#!/bin/sh
# Makes a Python environment with pip from this repository for the account that runs it. Needs no root: sh, python3 (its
# own pip is not needed, nor ensurepip), curl or wget, and sha256sum (or shasum, or openssl). Running it again changes
# nothing.
#
#   VENV       where the environment goes    [default: $HOME/.local/share/stage-python]
#   PYTHON     the interpreter               [default: python3]
#   STAGE_URL  address of the repository     [default: as below]
#   STAGE_CA   PEM file of the CA that the repository's certificate comes from
set -eu
umask 022

url=@BASE_URL@
url=${STAGE_URL:-$url}
url=${url%/}
python=${PYTHON:-python3}

say() { printf '%s\n' "$*"; }
fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

if [ -n "${VENV:-}" ]; then
    venv=$VENV
elif [ -n "${HOME:-}" ]; then
    venv=$HOME/.local/share/stage-python
else
    fail "neither VENV nor HOME is set"
fi
case $venv in
/*) ;;
*) venv=$(pwd)/$venv ;;
esac

have "$python" || fail "$python is needed; install it (this repository may carry it for apt), or set PYTHON"
if have sha256sum; then
    sum() { sha256sum "$1"; }
elif have shasum; then
    sum() { shasum -a 256 "$1"; }
elif have openssl; then
    sum() { openssl dgst -sha256 -r "$1"; }
else
    fail "one of sha256sum, shasum or openssl is needed"
fi
if have curl; then
    download() { curl -fsSL ${STAGE_CA:+--cacert "$STAGE_CA"} -o "$2" "$1"; }
elif have wget; then
    download() { wget -q ${STAGE_CA:+"--ca-certificate=$STAGE_CA"} -O "$2" "$1"; }
else
    fail "curl or wget is needed"
fi

installed() {
    "$venv/bin/python" -c 'import importlib.metadata as m, sys; print(m.version(sys.argv[1]))' "$1" 2>/dev/null || :
}

# put NAME VERSION PATH FILE SHA256: downloads a wheel, compares, installs it. The first is pip, which installs itself.
put() {
    if [ "$(installed "$1")" = "$2" ]; then
        say "$1 $2 is there"
        return
    fi
    download "$url/$3" "$work/$4" || fail "cannot download $url/$3"
    found=$(sum "$work/$4" | cut -d ' ' -f 1)
    [ "$found" = "$5" ] || fail "$url/$3 has other bytes than the bundle: expected sha256 $5, found $found"
    [ -n "$pip" ] || pip=$work/$4/pip
    "$venv/bin/python" -I "$pip" --isolated --disable-pip-version-check --no-input install --quiet --no-index --no-deps \
        --no-cache-dir "$work/$4" || fail "cannot install $1 $2"
    say "Installed $1 $2"
}

mkdir -p "$venv" || fail "cannot write to $venv; set VENV to a directory of yours"
if [ ! -x "$venv/bin/python" ]; then
    "$python" -m venv --without-pip "$venv" || fail "$python cannot make an environment at $venv"
fi
work=$(mktemp -d "$venv/.stage.XXXXXX") || fail "cannot write to $venv; set VENV to a directory of yours"
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

pip=
put pip @PIP@
pip=$("$venv/bin/python" -I -c 'import importlib.util as u; print(u.find_spec("pip").submodule_search_locations[0])')
@UV@
# pip's own configuration of this environment.
{
    say "[global]"
    say "index-url = $url/pypi/simple/"
    say "disable-pip-version-check = true"
    case $url in
    http://*)
        host=${url#http://}
        say "trusted-host = ${host%%/*}"
        ;;
    esac
    if [ -n "${STAGE_CA:-}" ]; then
        say "cert = $STAGE_CA"
    fi
} >"$work/pip.conf"
mv -f "$work/pip.conf" "$venv/pip.conf"

"$venv/bin/python" -m pip --version >/dev/null || fail "pip does not start"
say "Ready. Use it:  . '$venv/bin/activate'"
