#!/usr/bin/env bash
# Inside the namespace, as the unprivileged account: serve the repository, bootstrap Node and npm from it, install the
# channel's pins with npm ci (install scripts run), start the gateway and ask its health.
#   enclave.sh STAGE REPO PORT CHANNEL
set -euo pipefail
STAGE=$1 REPO=$2 PORT=$3 CHANNEL=$4
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

if curl -sS -m 3 -o /dev/null https://198.51.100.1/ 2>/dev/null; then echo "error: there is a network here" >&2; exit 1; fi
"$STAGE" repo serve --repo "$REPO" --listen "127.0.0.1:$PORT" & pids+=($!)
for _ in $(seq 50); do curl -sf -o /dev/null "$BASE/bootstrap/" && break; sleep 0.2; done

echo "   bootstrap: Node and npm from the repository" >&2
curl -sf "$BASE/bootstrap/node.sh" -o "$HOME/node.sh"
sh "$HOME/node.sh"
export PATH="$HOME/.local/bin:$PATH"
echo "   node $(node --version), npm $(npm --version)" >&2

echo "   npm ci from the published pins" >&2
serial=$(curl -sf "$BASE/pins/$CHANNEL/latest" || true)
[ -n "$serial" ] || { echo "error: the repository publishes no pins for $CHANNEL" >&2; exit 1; }
mkdir -p "$HOME/app"; cd "$HOME/app"
curl -sf "$BASE/pins/$CHANNEL/$serial/npm/package.json" -o package.json
curl -sf "$BASE/pins/$CHANNEL/$serial/npm/package-lock.json" -o package-lock.json
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
