#!/usr/bin/env bash
# Runs buf, the linter of the contracts, installing it from npm below target/ when it is not there.
set -euo pipefail
cd "$(dirname "$0")/.."
version=1.75.0
if command -v buf >/dev/null; then
  buf=buf
else
  if ! command -v npm >/dev/null; then
    echo "note: buf is not installed and there is no npm to install it with; the contracts are not linted" >&2
    exit 0
  fi
  home=target/tools/buf
  if [ ! -x "$home/node_modules/.bin/buf" ]; then
    mkdir -p "$home"
    echo "==> installing buf $version"
    npm install --silent --no-save --prefix "$home" "@bufbuild/buf@$version" >/dev/null
  fi
  buf="$home/node_modules/.bin/buf"
fi
if [ "${1:-}" = lint ]; then
  "$buf" lint --path proto/nexus
  "$buf" format --diff --exit-code --path proto/nexus
else
  "$buf" "$@"
fi
