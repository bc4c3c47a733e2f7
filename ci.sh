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

step_format() {
  cargo fmt --all --check
  cargo fmt --manifest-path fuzz/Cargo.toml --check
}

step_clippy() {
  cargo clippy --workspace --all-targets -- -D warnings
  cargo clippy -p everlink --all-features -- -D warnings
  cargo clippy -p everlink --no-default-features -- -D warnings
}

step_docs() { RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --all-features; }

# Every subset of the core's features.
step_features() {
  local all=(alloc std serde sim defmt deflate) subset mask bit
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

# Cargo for a target that is another machine: `cross TARGET CRATES COMMAND…`, where CRATES are those of the standard library
# that it has. Where rustup cannot download a target, Debian's compiler builds them from Debian's own source.
cross() {
  local target=$1 crates=$2
  shift 2
  if rustup target add "$target" > /dev/null 2>&1; then
    cargo "$@" --target "$target"
    return
  fi
  [ -d /usr/lib/rustlib/src ] || [ -d /usr/src/rustc-web ] || installed rustc-web rust-web-src
  local lld
  lld=$(rustc --print sysroot)/lib/rustlib/$(rustc --print host-tuple)/bin/rust-lld
  RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 CARGO_TARGET_THUMBV7EM_NONE_EABIHF_LINKER=$lld \
    cargo "$@" -Z build-std="$crates" --target "$target"
}

# Debian's packages of these names, installed if they are not.
installed() {
  dpkg -s "$@" > /dev/null 2>&1 && return
  apt-get update -q > /dev/null
  apt-get install -qy --no-install-recommends "$@" > /dev/null
}

# The core for a microcontroller (without an allocator, and with one) and for the browser.
step_targets() {
  local core=(build --target-dir target/targets -p everlink --lib)
  cross thumbv7em-none-eabihf core "${core[@]}" --no-default-features
  cross thumbv7em-none-eabihf core "${core[@]}" --no-default-features --features serde,defmt
  cross thumbv7em-none-eabihf core,alloc "${core[@]}" --no-default-features --features alloc
  cross wasm32-unknown-unknown std,panic_abort "${core[@]}" --features deflate
}

# A link on a Cortex-M4 (docs/bare-metal.md): it cannot panic, and an hour of it is byte for byte that of this machine.
step_metal() {
  local metal=(--quiet --manifest-path metal/Cargo.toml) out=metal/target/thumbv7em-none-eabihf profile features
  installed qemu-system-arm binutils-arm-none-eabi
  board() { cross thumbv7em-none-eabihf core build "${metal[@]}" -p board "$@"; }
  emulate() {
    timeout 60 qemu-system-arm -M mps2-an386 -display none -monitor none -serial none \
      -semihosting-config enable=on,target=native -kernel "$1"
  }
  cargo fmt --manifest-path metal/Cargo.toml --all --check
  cargo clippy "${metal[@]}" -p script --all-features -- -D warnings

  for profile in fast small checked release; do
    board --profile "$profile" --bin inputs
    if arm-none-eabi-nm -C "$out/$profile/inputs" | grep -E 'core::.*(panic|fail)|begin_unwind'; then
      echo "the program can panic ($profile)"
      return 1
    fi
    emulate "$out/$profile/inputs"
    echo "no panic path, and none of its inputs came to harm: $profile"
  done
  if board --bin inputs 2> metal/target/debug.log || ! grep -q this_program_can_panic metal/target/debug.log; then
    echo "a program that can panic (all can without optimisation) should not link"
    return 1
  fi

  board --release --bin carried --features memory
  emulate "$out/release/carried"
  board --release --bin carried
  echo "no bytes that a stream carried brought it to harm"

  cargo run "${metal[@]}" --release -p script --features host > metal/target/host.trace
  for features in "" trace; do
    board --release --bin hour --features "$features,memory"
    emulate "$out/release/hour" > metal/target/board.trace
    board --release --bin hour --bin empty --features "$features"
    cp "$out/release/hour" "metal/target/hour${features:+-with-$features}"
  done
  emulate metal/target/hour-with-trace > metal/target/board.trace
  cmp metal/target/board.trace metal/target/host.trace
  echo "the traces are the same: $(sha256sum < metal/target/board.trace | cut -c 1-16)"
  arm-none-eabi-size "$out/release/"{empty,carried} metal/target/hour{,-with-trace}
}

# What the fuzzer found worth keeping, run once by whatever toolchain is here.
step_corpus() {
  local here=(--manifest-path fuzz/Cargo.toml --no-default-features)
  cargo clippy "${here[@]}" --all-targets -- -D warnings
  cargo test "${here[@]}"
}

# Every fuzz target for FUZZ_SECONDS, from the same seed each time (FUZZ_SEED=0 for chance). New inputs are kept in
# fuzz/target/corpus, those that break a rule in fuzz/artifacts.
step_fuzz() {
  if ! cargo +nightly --version > /dev/null 2>&1; then
    echo "no nightly toolchain, so no fuzzing; the step \`corpus\` replays what was found elsewhere"
    return
  fi
  cargo fuzz --version > /dev/null 2>&1 || cargo install cargo-fuzz --locked
  local target
  for target in fuzz/fuzz_targets/*.rs; do
    target=$(basename "$target" .rs)
    mkdir -p "fuzz/target/corpus/$target"
    cargo +nightly fuzz run -s none "$target" "fuzz/target/corpus/$target" "fuzz/corpus/$target" -- \
      -seed="${FUZZ_SEED:-1}" -max_total_time="${FUZZ_SECONDS:-20}" -timeout=10 -verbosity=0 -print_final_stats=1
  done
}

# Mutation testing (docs/mutation.md). It takes an hour, so only if asked for.
step_mutants() { tests/mutants/run.py; }

steps=("$@")
[ $# -gt 0 ] || steps=(format test vectors clippy docs features examples corpus fuzz targets metal)
for step in "${steps[@]}"; do
  say "$step"
  "step_$step"
done
say "all good"
