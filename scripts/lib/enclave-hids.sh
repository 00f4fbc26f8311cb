#!/usr/bin/env bash
# Inside the namespace, as the unprivileged account: the real clients install everything below a prefix.
#   enclave-hids.sh STAGE REPO PORT CHANNEL PREFIX
# PREFIX/node_modules by npm ci with install scripts, PREFIX/venv by pip.
set -euo pipefail
STAGE=$1 REPO=$2 PORT=$3 CHANNEL=$4 PREFIX=$5
umask 022
HOME=$(mktemp -d); export HOME
"$STAGE" repo serve --repo "$REPO" --listen "127.0.0.1:$PORT" > "$HOME/serve.log" 2>&1 & server=$!
trap 'kill "$server" 2>/dev/null || true; wait 2>/dev/null || true; chmod -R u+w "$HOME"; rm -rf "$HOME"' EXIT
BASE=http://127.0.0.1:$PORT
for _ in $(seq 50); do curl -sf -o /dev/null "$BASE/repository.json" && break; sleep 0.2; done
PINS=$BASE/pins/$CHANNEL/$(curl -sf "$BASE/pins/$CHANNEL/latest")
"$STAGE" repo client-config --repo "$REPO" --install-to "$HOME" > /dev/null

curl -sf "$BASE/bootstrap/node.sh" -o "$HOME/node.sh"; sh "$HOME/node.sh" >&2
export PATH="$HOME/.local/bin:$PATH"
cd "$PREFIX"
for file in package.json package-lock.json; do curl -sf "$PINS/npm/$file" -o "$file"; done
npm ci --registry "$BASE/npm/" --no-audit --no-fund >&2
python3 -m venv "$PREFIX/venv"
curl -sf "$PINS/pypi/requirements.txt" -o "$HOME/requirements.txt"
"$PREFIX/venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes -r "$HOME/requirements.txt"
