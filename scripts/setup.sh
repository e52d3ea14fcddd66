#!/usr/bin/env bash
# Installs what building, running and testing NEXUS needs and the machine lacks: a C compiler, Python 3, Bash,
# Postgres, MariaDB and Redis from Debian's packages, and a Rust toolchain. Says what it does; does nothing when nothing is missing.
set -euo pipefail

need_rust=1.95

say() { printf '==> %s\n' "$*"; }

packages=()
command -v cc >/dev/null || packages+=(gcc libc6-dev)
command -v python3 >/dev/null || packages+=(python3)
command -v git >/dev/null || packages+=(git)
# Tests start private Postgres, MariaDB and Redis servers of their own, so only the programs are needed, no running service.
servers=()
command -v postgres >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || servers+=(postgresql)
command -v redis-server >/dev/null || servers+=(redis-server)
command -v mariadbd >/dev/null || [ -x /usr/sbin/mariadbd ] || servers+=(mariadb-server)
packages+=(${servers[@]+"${servers[@]}"})
# Gives the processes of a mesh under test clocks of their own.
compgen -G '/usr/lib/*/faketime/libfaketime.so.1' >/dev/null || packages+=(libfaketime)

# Installs the packages in "$@" and keeps Debian from starting anything. Its packages would create and start a database
# cluster, a MariaDB and a Redis of the machine's own, on the well-known ports, now and at every boot.
install_packages() {
  local run=() policy=/usr/sbin/policy-rc.d clusters=/etc/postgresql-common/createcluster.conf written=
  [ "$(id -u)" -eq 0 ] || run=(sudo)
  if [[ " $* " == *" postgresql "* ]] && [ ! -e "$clusters" ]; then
    say "writing $clusters, so that installing Postgres creates no database cluster"
    "${run[@]}" mkdir -p "$(dirname "$clusters")"
    echo 'create_main_cluster = false' | "${run[@]}" tee "$clusters" >/dev/null
  fi
  if [ ! -e "$policy" ]; then
    say "writing $policy for the time of the installation, so that no service is started"
    printf '#!/bin/sh\nexit 101\n' | "${run[@]}" tee "$policy" >/dev/null
    "${run[@]}" chmod 755 "$policy"
    written=$policy
  fi
  say "installing $*"
  local status=0
  "${run[@]}" apt-get update -qq || status=$?
  # Configuration files that are there already (the one above) are kept without a question.
  ((status)) || "${run[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    -o Dpkg::Options::=--force-confold "$@" || status=$?
  [ -z "$written" ] || "${run[@]}" rm -f "$written"
  ((status == 0)) || exit "$status"
  command -v systemctl >/dev/null || return 0
  local service
  for service in redis-server:redis-server mariadb-server:mariadb; do
    if [[ " $* " == *" ${service%%:*} "* ]]; then
      say "switching ${service##*:}.service off, so that it does not start at boot"
      "${run[@]}" systemctl disable --quiet "${service##*:}.service" 2>/dev/null || true
    fi
  done
}

if ((${#packages[@]})); then
  if ! command -v apt-get >/dev/null; then
    echo "error: please install: ${packages[*]}" >&2
    exit 1
  fi
  install_packages "${packages[@]}"
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
