#!/usr/bin/env bash
# Runs checkout.yaml against two Python servers and a `nexus dev` of its own, and fails when its result is not as it
# should be. NEXUS=PATH takes another binary, VENV=PATH another place for the Python packages.
set -euo pipefail
cd "$(dirname "$0")"

root=$(cd ../.. && pwd)
nexus=${NEXUS:-}
for built in release debug; do
  [ -n "$nexus" ] || [ ! -x "$root/target/$built/nexus" ] || nexus=$root/target/$built/nexus
done
[ -n "$nexus" ] || { echo "error: build NEXUS first (cargo build -p nexus), or set NEXUS" >&2; exit 1; }

work=$(mktemp -d)
venv=${VENV:-$root/target/examples-venv}
pids=()
cleanup() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT

if [ ! -x "$venv/bin/python" ]; then
  echo "==> installing what requirements.txt names into $venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check -r requirements.txt
fi

# Waits for a line in a file and prints it.
line() {
  for _ in $(seq 300); do
    if grep -m 1 "$2" "$1" 2>/dev/null; then return; fi
    sleep 0.1
  done
  echo "error: $1 did not say $2" >&2
  cat "$1" >&2
  return 1
}

mkfifo "$work/stay"
"$venv/bin/python" servers.py <"$work/stay" >"$work/servers" 2>&1 &
pids+=($!)
exec 9>"$work/stay"
read -r stock offers < <(line "$work/servers" '^[0-9]* [0-9]*$')
(cd "$work" && exec "$nexus" dev --no-sample --listen 127.0.0.1:0) 2>"$work/dev" &
pids+=($!)
address=$(line "$work/dev" 'ready in' | grep -oE 'http://[0-9.:]+')
export NEXUS_ADDRESS=$address

"$nexus" apply -f shipping.yaml
# Runs the workflow with NEXUS's API at $1 and checks that its output is $2.
check() {
  printf '{"sku":"tea","amount":3,"stock":"http://127.0.0.1:%s","offers":"http://127.0.0.1:%s","nexus":"%s"}' \
    "$stock" "$offers" "$1" >"$work/params.json"
  "$nexus" run -f checkout.yaml --params "$work/params.json" --wait --output json >"$work/result" || {
    cat "$work/result"
    exit 1
  }
  "$venv/bin/python" - "$work/result" "$2" <<'PYTHON'
import json, sys
output, wanted = json.load(open(sys.argv[1]))["output"], json.loads(sys.argv[2])
assert output == wanted, f"{output} instead of {wanted}"
print("==> as it should be:", output)
PYTHON
}

check "$address" '{"reservation": "r1", "left": 7, "carrier": "barge", "label": "\"barge/r1\""}'
# Nobody listens there: shipping fails, and what was reserved is given back.
check http://127.0.0.1:1 '{"reservation": "r2", "left": 7, "carrier": "barge", "label": null}'
