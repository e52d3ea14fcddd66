#!/usr/bin/env bash
# Installs what building and running NEXUS needs and the machine lacks: a C compiler, Python 3 and Bash from Debian's
# packages, and a Rust toolchain. Says what it does; does nothing when nothing is missing.
set -euo pipefail

need_rust=1.95

say() { printf '==> %s\n' "$*"; }

packages=()
command -v cc >/dev/null || packages+=(gcc libc6-dev)
command -v python3 >/dev/null || packages+=(python3)
command -v git >/dev/null || packages+=(git)
# The tests of SQL tasks speak to a real Postgres when one is installed.
if ((${#packages[@]})); then
  if ! command -v apt-get >/dev/null; then
    echo "error: please install: ${packages[*]}" >&2
    exit 1
  fi
  run=()
  [ "$(id -u)" -eq 0 ] || run=(sudo)
  say "installing ${packages[*]}"
  "${run[@]}" apt-get update -qq
  "${run[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}"
fi

if ! command -v cargo >/dev/null && [ -x "$HOME/.cargo/bin/cargo" ]; then
  echo "error: cargo is installed but not on PATH; run: export PATH=\"\$HOME/.cargo/bin:\$PATH\"" >&2
  exit 1
fi
if ! command -v cargo >/dev/null; then
  if ! command -v rustup >/dev/null; then
    echo "error: NEXUS is built with Rust $need_rust or newer; install it from https://rustup.rs and run make again" >&2
    exit 1
  fi
  say "installing Rust"
  rustup toolchain install stable --profile minimal --component clippy --component rustfmt
fi
have=$(rustc --version | sed -E 's/rustc ([0-9]+\.[0-9]+).*/\1/')
if [ "$(printf '%s\n%s\n' "$need_rust" "$have" | sort -V | head -n 1)" != "$need_rust" ]; then
  echo "error: NEXUS is built with Rust $need_rust or newer, this is $have; run: rustup update stable" >&2
  exit 1
fi
