#!/usr/bin/env bash
# Builds another commit for development, in target/other, and prints where its program is.
set -euo pipefail

commit=${1:?which commit?}
root=$(git rev-parse --show-toplevel)
number=$(git -C "$root" rev-parse --verify "$commit^{commit}")
tree=$root/target/other/tree

if [ ! -e "$tree/.git" ]; then
  mkdir -p "$root/target/other"
  git -C "$root" worktree prune
  git -C "$root" worktree add --quiet --detach "$tree" "$number" >&2
fi
git -C "$tree" checkout --quiet --detach "$number" >&2
CARGO_TARGET_DIR=$root/target/other/target cargo build --quiet --locked --manifest-path "$tree/Cargo.toml" -p nexus >&2
echo "$root/target/other/target/debug/nexus"
