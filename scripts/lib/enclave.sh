#!/usr/bin/env bash
# Inside the namespace, as the unprivileged account: serve the repository and let the real clients install from it.
#   enclave.sh STAGE REPO PORT CHANNEL STEP...
# Steps: openclaw (bootstrap Node and npm, npm ci of the pins with install scripts, gateway /health),
#   pip, uv (nanobot from the hashed pins; it answers --help), cargo (builds ripgrep by source replacement).
set -euo pipefail
STAGE=$1 REPO=$2 PORT=$3 CHANNEL=$4; shift 4
HOME=$(mktemp -d); export HOME
BASE=http://127.0.0.1:$PORT
GATEWAY=18789
started=$SECONDS
pids=()
stop() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    sleep 1
    for pid in "${pids[@]}"; do kill -9 "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    chmod -R u+w "$HOME"; rm -rf "$HOME"
}
trap stop EXIT

openclaw() {
    echo "   bootstrap: Node and npm from the repository" >&2
    curl -sf "$BASE/bootstrap/node.sh" -o "$HOME/node.sh"
    sh "$HOME/node.sh"
    export PATH="$HOME/.local/bin:$PATH"
    echo "   node $(node --version), npm $(npm --version)" >&2

    echo "   npm ci from the published pins" >&2
    mkdir -p "$HOME/app"; cd "$HOME/app"
    curl -sf "$PINS/npm/package.json" -o package.json
    curl -sf "$PINS/npm/package-lock.json" -o package-lock.json
    npm ci --registry "$BASE/npm/" --no-audit --no-fund
    echo "   installed after $((SECONDS - started)) s; starting the gateway" >&2

    OPENCLAW_GATEWAY_TOKEN=$(head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \n') \
        ./node_modules/.bin/openclaw gateway --allow-unconfigured --bind loopback > "$HOME/gateway.log" 2>&1 & pids+=($!)
    asked=$SECONDS
    until answer=$(curl -sf -m 2 "http://127.0.0.1:$GATEWAY/health"); do
        if [ $((SECONDS - asked)) -gt 90 ]; then cat "$HOME/gateway.log" >&2; echo "error: no answer on /health" >&2; exit 1; fi
        sleep 0.5
    done
    code=$(curl -s -o /dev/null -w '%{http_code}' "http://127.0.0.1:$GATEWAY/health")
    echo "   /health says HTTP $code $answer, $((SECONDS - asked)) s after start" >&2
    [ "$code" = 200 ]
}

# The configuration of every client, as the repository itself writes it for this account.
configure() { "$STAGE" repo client-config --repo "$REPO" --install-to "$HOME" > /dev/null; }

answers() { # answers COMMAND: it prints its help
    "$1" --help > "$HOME/help" 2>&1 || { cat "$HOME/help" >&2; exit 1; }
    echo "   $2: $(basename "$1") --help answers: $(grep -m1 '[[:alnum:]]' "$HOME/help")" >&2
}

pip() {
    configure
    python3 -m venv "$HOME/pip"
    curl -sf "$PINS/pypi/requirements.txt" -o "$HOME/requirements.txt"
    "$HOME/pip/bin/pip" install --quiet --require-hashes -r "$HOME/requirements.txt"
    echo "   pip: $("$HOME/pip/bin/pip" list 2>/dev/null | tail -n +3 | wc -l) packages installed" >&2
    answers "$HOME/pip/bin/nanobot" pip
}

uv() {
    configure
    command uv venv --quiet --python "$(command -v python3)" --no-python-downloads "$HOME/uv"
    curl -sf "$PINS/pypi/requirements.txt" -o "$HOME/requirements.txt"
    VIRTUAL_ENV="$HOME/uv" command uv pip install --quiet --require-hashes -r "$HOME/requirements.txt"
    echo "   uv: $(VIRTUAL_ENV="$HOME/uv" command uv pip list 2>/dev/null | tail -n +3 | wc -l) packages installed" >&2
    answers "$HOME/uv/bin/nanobot" uv
}

cargo() {
    configure
    command cargo install --quiet --locked ripgrep@15.2.0 --root "$HOME/rg"
    echo "   cargo: $("$HOME/rg/bin/rg" --version | sed -n 1p), built from the repository" >&2
}

if curl -sS -m 3 -o /dev/null https://198.51.100.1/ 2>/dev/null; then echo "error: there is a network here" >&2; exit 1; fi
"$STAGE" repo serve --repo "$REPO" --listen "127.0.0.1:$PORT" & pids+=($!)
for _ in $(seq 50); do curl -sf -o /dev/null "$BASE/repository.json" && break; sleep 0.2; done
serial=$(curl -sf "$BASE/pins/$CHANNEL/latest" || true)
[ -n "$serial" ] || { echo "error: the repository publishes no pins for $CHANNEL" >&2; exit 1; }
PINS=$BASE/pins/$CHANNEL/$serial
for step in "$@"; do
    case "$step" in openclaw|pip|uv|cargo) "$step" ;; *) echo "error: no step $step" >&2; exit 2 ;; esac
done
