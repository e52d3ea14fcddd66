#!/usr/bin/env bash
# Runs buf, the linter of the contracts, installing it from npm below target/ when it is not there.
#   lint      style, comments, form, and that nothing breaks who was built against the released contracts
#   release   makes the contracts as they are now those that nothing may break
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
released=proto/released.binpb
case "${1:-}" in
lint)
  "$buf" lint --path proto/nexus
  "$buf" format --diff --exit-code --path proto/nexus
  "$buf" breaking --against "$released" || {
    echo "error: programs built against the released contracts would break; add instead of changing (buf.build/docs/breaking)" >&2
    exit 1
  }
  ;;
release) "$buf" build --exclude-source-info -o "$released" ;;
*) "$buf" "$@" ;;
esac
