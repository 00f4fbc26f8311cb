# Sourced by the walks: hands a bundle to the enclave side, an unprivileged account in a namespace with only loopback.
#   hand_over BUNDLE PORT     verified bundle to repository; needs root.json and, as caller, the folder it lies in
#   inside SCRIPT ARGS...     runs a script of scripts/lib there: bash SCRIPT STAGE REPO PORT ARGS...
# The repository is kept in ./enclave/repo for the next run.
RUN_AS=${STAGE_QUICKSTART_UID:-65534}
as_user=()
[ "$(id -u)" != 0 ] || as_user=(setpriv "--reuid=$RUN_AS" "--regid=$RUN_AS" --clear-groups --no-new-privs)

hand_over() {
    local bundle=$1 script; PORT=$2; ENCLAVE=$PWD/enclave
    mkdir -p "$ENCLAVE"
    # The unprivileged account must be able to read the program and the bundle, wherever this checkout lies.
    HAND=$(mktemp -d); REPO=$HAND/repo; trap keep_repo EXIT
    chmod 755 "$HAND"
    ln "$bundle" "$HAND/$bundle" 2>/dev/null || cp "$bundle" "$HAND/$bundle"
    cp "$STAGE" "$HAND/stage"; cp root.json "$HAND/root.json"
    for script in "$ROOT"/scripts/lib/enclave*.sh; do cp "$script" "$HAND/"; chmod 755 "$HAND/${script##*/}"; done
    chmod 644 "$HAND/$bundle" "$HAND/root.json"; chmod 755 "$HAND/stage"
    if [ -d "$ENCLAVE/repo" ]; then mv "$ENCLAVE/repo" "$REPO"; fi
    [ "$(id -u)" != 0 ] || chown "$RUN_AS:$RUN_AS" "$HAND" "$ENCLAVE"
    if [ ! -d "$REPO" ]; then
        # In real life the fingerprint comes by another path than the medium.
        "${as_user[@]}" "$HAND/stage" repo init --repo "$REPO" --trust "$HAND/root.json" \
            --fingerprint "$("$STAGE" trust fingerprint root.json)" --base-url "http://127.0.0.1:$PORT"
    fi
    "${as_user[@]}" "$HAND/stage" import "$HAND/$bundle" --repo "$REPO"
    "${as_user[@]}" "$HAND/stage" repo status --repo "$REPO"
}

keep_repo() {
    rm -rf "$ENCLAVE/repo"
    if [ -d "$REPO" ]; then mv "$REPO" "$ENCLAVE/repo"; fi
    rm -rf "$HAND"
}

# Runs a command in a namespace with nothing but loopback.
sandboxed() {
    local sandbox=(unshare --net); [ "$(id -u)" = 0 ] || sandbox=(unshare --net --map-root-user)
    "${sandbox[@]}" bash -c 'ip link set lo up; exec "$@"' _ "$@"
}

inside() {
    local script=$1; shift
    sandboxed "${as_user[@]}" env -i "PATH=${INSIDE_PATH:-/usr/local/bin:/usr/bin:/bin}" LANG=C.UTF-8 \
        bash "$HAND/$script" "$HAND/stage" "$REPO" "$PORT" "$@"
}
