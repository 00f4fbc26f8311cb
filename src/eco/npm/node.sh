#!/bin/sh
# Installs Node.js and npm from this repository for the account that runs it. Needs no root: sh, tar, gzip, curl or
# wget, and sha256sum (or shasum, or openssl). Running it again changes nothing.
#
#   PREFIX     where to install              [default: $HOME/.local]
#   STAGE_URL  address of the repository     [default: as below]
#   STAGE_CA   PEM file of the CA that the repository's certificate comes from
set -eu
umask 022

url=@BASE_URL@
url=${STAGE_URL:-$url}
url=${url%/}
npm_version=@NPM_VERSION@
npm_path=@NPM_PATH@
npm_sha256=@NPM_SHA256@

say() { printf '%s\n' "$*"; }
fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

[ "$(uname -s)" = Linux ] || fail "this repository carries Node.js for Linux, not for $(uname -s)"
case $(uname -m) in
@MACHINES@    *) fail "this repository carries no Node.js for $(uname -m)" ;;
esac

if [ -n "${PREFIX:-}" ]; then
    prefix=$PREFIX
elif [ -n "${HOME:-}" ]; then
    prefix=$HOME/.local
else
    fail "neither PREFIX nor HOME is set"
fi
case $prefix in
/*) ;;
*) prefix=$(pwd)/$prefix ;;
esac
case $prefix in
*\'*) fail "the path $prefix has a quote in it" ;;
esac

installed_node() { "$prefix/bin/node" -p process.versions.node 2>/dev/null || :; }
installed_npm() {
    "$prefix/bin/node" -p 'require(process.argv[1]).version' "$prefix/lib/node_modules/npm/package.json" 2>/dev/null || :
}

have tar || fail "tar is needed"
have gzip || fail "gzip is needed"
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

# get PATH SHA256 NAME: downloads, compares, unpacks into $work/NAME.
get() {
    download "$url/$1" "$work/$3.tgz" || fail "cannot download $url/$1"
    found=$(sum "$work/$3.tgz" | cut -d ' ' -f 1)
    [ "$found" = "$2" ] || fail "$url/$1 has other bytes than the bundle: expected sha256 $2, found $found"
    mkdir "$work/$3"
    tar -xzf "$work/$3.tgz" -C "$work/$3" || fail "cannot unpack $3"
}

mkdir -p "$prefix/bin" "$prefix/lib/node_modules" "$prefix/include" "$prefix/share" "$prefix/etc" ||
    fail "cannot write to $prefix; set PREFIX to a directory of yours"
work=$(mktemp -d "$prefix/.stage.XXXXXX") || fail "cannot write to $prefix; set PREFIX to a directory of yours"
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

if [ "$(installed_node)" = "$node_version" ]; then
    say "Node.js $node_version is there"
else
    get "$node_path" "$node_sha256" node
    [ -f "$work/node/package/bin/node" ] || fail "$node_path holds no bin/node"
    chmod 755 "$work/node/package/bin/node"
    found=$("$work/node/package/bin/node" -p process.versions.node) ||
        fail "Node.js $node_version does not run on this host (is $prefix mounted noexec, or the C library too old?)"
    [ "$found" = "$node_version" ] || fail "expected Node.js $node_version, the package holds $found"
    if [ -d "$work/node/package/include/node" ]; then
        rm -rf "$prefix/include/node"
        mv "$work/node/package/include/node" "$prefix/include/node"
    fi
    if [ -d "$work/node/package/share" ]; then
        cp -R "$work/node/package/share/." "$prefix/share/"
    fi
    mv -f "$work/node/package/bin/node" "$prefix/bin/node"
    say "Installed Node.js $node_version"
fi

if [ "$(installed_npm)" = "$npm_version" ]; then
    say "npm $npm_version is there"
else
    get "$npm_path" "$npm_sha256" npm
    [ -f "$work/npm/package/bin/npm-cli.js" ] || fail "$npm_path holds no bin/npm-cli.js"
    rm -rf "$prefix/lib/node_modules/npm"
    mv "$work/npm/package" "$prefix/lib/node_modules/npm"
    say "Installed npm $npm_version"
fi

# Launchers: they find Node without any PATH, and the scripts that npm runs find it too.
for name in npm npx; do
    cat >"$work/launcher" <<LAUNCHER
#!/bin/sh
PATH='$prefix/bin':\$PATH
export PATH
exec '$prefix/bin/node' '$prefix/lib/node_modules/npm/bin/$name-cli.js' "\$@"
LAUNCHER
    chmod 755 "$work/launcher"
    mv -f "$work/launcher" "$prefix/bin/$name"
done

# npm's own configuration of this prefix. What ~/.npmrc says goes first.
{
    say "registry=$url/npm/"
    say "audit=false"
    say "fund=false"
    say "update-notifier=false"
    if [ -n "${STAGE_CA:-}" ]; then
        say "cafile=$STAGE_CA"
    fi
} >"$work/npmrc"
mv -f "$work/npmrc" "$prefix/etc/npmrc"

"$prefix/bin/npm" --version >/dev/null || fail "npm does not start"
case :${PATH:-}: in
*":$prefix/bin:"*) say "Ready: node and npm" ;;
*) say "Ready. Put it on your path:  export PATH='$prefix/bin':\$PATH" ;;
esac
