#!/usr/bin/env bash
# All that must hold before a change lands. Needs Rust (and, for the bare-metal and browser targets, either rustup that can
# download or Debian's packages); installs what else it needs. `./ci.sh` for everything, `./ci.sh STEP…` for single steps.
set -euo pipefail
cd "$(dirname "$0")"

say() { printf '\n== %s\n' "$*"; }

# The README's own command.
step_test() { cargo test --workspace; }

# The test vectors of the native wire, read by a decoder that shares nothing with the crate.
step_vectors() {
  if command -v python3 > /dev/null; then python3 tests/protocol_vectors.py; else echo "no python3: skipped"; fi
}

step_format() { cargo fmt --all --check; }

step_clippy() {
  cargo clippy --workspace --all-targets -- -D warnings
  cargo clippy -p everlink --all-features -- -D warnings
  cargo clippy -p everlink --no-default-features -- -D warnings
}

step_docs() { RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --all-features; }

# Every subset of the core's features.
step_features() {
  local all=(alloc std serde defmt) subset mask bit
  for ((mask = 0; mask < 1 << ${#all[@]}; mask++)); do
    subset=()
    for bit in "${!all[@]}"; do
      if ((mask >> bit & 1)); then subset+=("${all[bit]}"); fi
    done
    echo "features: ${subset[*]:-none}"
    RUSTFLAGS='-D warnings' cargo check --quiet --target-dir target/features -p everlink --lib \
      --no-default-features --features "${subset[*]:-}"
  done
}

step_examples() {
  cargo build --workspace --examples --bins
  cargo run --quiet --example outage > /dev/null
  [ ! -f bench/Cargo.toml ] || cargo build --release --manifest-path bench/Cargo.toml
}

# The core for a microcontroller (without an allocator, and with one) and for the browser. Where rustup cannot download a
# target, Debian's compiler builds the standard library from Debian's own source.
step_targets() {
  local arm=thumbv7em-none-eabihf web=wasm32-unknown-unknown
  if rustup target add "$arm" "$web" > /dev/null 2>&1; then
    build_for() { cargo build --target-dir target/targets -p everlink --lib --target "$1" "${@:3}"; }
  else
    if [ ! -d /usr/lib/rustlib/src ] && [ ! -d /usr/src/rustc-web ] && ! dpkg -s rust-web-src > /dev/null 2>&1; then
      apt-get update -q > /dev/null
      apt-get install -qy --no-install-recommends rustc-web rust-web-src > /dev/null
    fi
    build_for() {
      RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 cargo build -Z build-std="$2" --target-dir target/targets -p everlink --lib \
        --target "$1" "${@:3}"
    }
  fi
  build_for "$arm" core --no-default-features
  build_for "$arm" core --no-default-features --features serde,defmt
  build_for "$arm" core,alloc --no-default-features --features alloc
  build_for "$web" std,panic_abort
}

steps=("$@")
[ $# -gt 0 ] || steps=(format test vectors clippy docs features examples targets)
for step in "${steps[@]}"; do
  say "$step"
  "step_$step"
done
say "all good"
