#!/usr/bin/env bash
# Runs the fuzz targets under libFuzzer: so many seconds each, all of them or those that are named.
#   scripts/fuzz.sh SECONDS [TARGET…]
# Starts from tests/fuzz/corpus and keeps what it finds on the way in target/fuzz-corpus. An input that breaks a target
# is left in tests/fuzz/libfuzzer/artifacts and ends the run.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-60}
shift || true
targets=("$@")
((${#targets[@]})) || targets=(parser expressions durations redactor decoder)

command -v cargo-fuzz >/dev/null || { echo "==> installing cargo-fuzz"; cargo install cargo-fuzz --locked; }

# The versions of the workspace, which this package is no member of.
cp Cargo.lock tests/fuzz/libfuzzer/Cargo.lock
# The coverage that libFuzzer needs is behind a switch of the compiler's; no sanitizer, since nothing here is unsafe.
export RUSTC_BOOTSTRAP=1
for target in "${targets[@]}"; do
  echo "==> $target, $seconds s"
  found="target/fuzz-corpus/$target"
  mkdir -p "$found"
  cargo fuzz run --fuzz-dir tests/fuzz/libfuzzer --sanitizer none "$target" \
    "$found" "tests/fuzz/corpus/$target" -- \
    -max_total_time="$seconds" -max_len=4096 -timeout=10 -rss_limit_mb=2048 -print_final_stats=1
done
