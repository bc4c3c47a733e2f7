#!/usr/bin/env bash
# Mutation testing of the core: breaks it in one place at a time, and looks whether the tests notice.
#
#   tests/mutants.sh              every module: some hours on two cores (add `nice` to taste)
#   tests/mutants.sh ROW…         some of them, by the names below
#   OWN_ONLY=1 tests/mutants.sh…  with the tests of the module alone
#   SHARD=0/8 tests/mutants.sh…   every eighth mutant, from the first on: a sample that spares a busy machine
#   tests/mutants.sh --table      what the last runs found, as rows for docs/mutation.md
#
# Each mutant meets first the tests of its own module, and then, if it survived, those of the machines that use the module. It
# works in a copy of the last commit, target/mutants/tree, and leaves what it found in target/mutants/ROW. A run that was
# interrupted goes on where it ended; `rm -r target/mutants/ROW` forgets it.
set -euo pipefail
cd "$(dirname "$0")/.."
here=$PWD/target/mutants
part=${SHARD:-all}
part=${part//\//-of-}

# What a link does, seen from outside; one program, for linking takes longer than running.
scenarios='background_tab candidate closing flush ledger mobile_switch network_interruption offline_online opening
  server_pings server_restart slow_network suspended transitions'
ws='ws_client_handshake ws_closing ws_encoder ws_frames ws_server_handshake ws_split ws_text'

# row | files | tests of its own | tests of those that use it
rows() {
  cat << ROWS
time | src/time.rs | time |
rng | src/rng.rs | rng |
error | src/error.rs | config |
human | src/human.rs | config |
backoff | src/backoff.rs | backoff config | scenarios
heartbeat | src/heartbeat.rs | heartbeat config | scenarios
quality | src/quality.rs | quality config | scenarios
metrics | src/metrics.rs | metrics | scenarios
outbox | src/outbox/*.rs | outbox outbox_model config | scenarios
delivery | src/delivery.rs src/delivery/*.rs | delivery | delivery_model
wire | src/wire/mod.rs src/wire/raw.rs | wire_raw config | scenarios
native | src/wire/native/*.rs | wire_native |
trace | src/trace.rs | trace |
sim | src/sim/*.rs | sim |
handshake | src/ws/handshake/*.rs | ws_client_handshake ws_server_handshake |
ws | src/ws/*.rs | ws_frames ws_text ws_encoder ws_closing | $ws
link | src/link/*.rs | scenarios | scenarios rules sim config trace
ROWS
}

# Mutants of a row against some tests. Those that were caught before are not tried again.
try() {
  local row=$1 files=$2 tests=$3 file test arguments=()
  # A mutant that never ends, or takes all memory, is stopped by its own CPU time, which other work does not use up.
  local runner="target.'cfg(all())'.runner=['bash', '-c', 'ulimit -t 60 -v 8000000; exec \"\$0\" \"\$@\"']"
  mkdir -p "$here/$row"
  for file in $files; do arguments+=(-f "$file"); done
  for test in $tests; do arguments+=(-C "--test=$test"); done
  [ -z "${SHARD:-}" ] || arguments+=(--shard "$SHARD" --sharding round-robin)
  cargo mutants --in-place --iterate --profile mutants --no-shuffle --colors never --timeout 3600 -C "--config=$runner" \
    -d "$here/tree" -o "$here/$row/$part" -p everlink "${arguments[@]}" < /dev/null ||
    (($? == 2 || $? == 3)) # some survived, some took too long
}

table() {
  echo '| module | mutants | caught | survived | share caught |'
  echo '| --- | --- | --- | --- | --- |'
  local row caught missed all
  rows | while IFS='| ' read -r row _; do
    found() { cat "$here/$row"/*/mutants.out/"$1".txt 2> /dev/null || true; }
    caught=$( (found caught && found timeout && found previously_caught) | sort -u | wc -l)
    missed=$(found missed | sort -u | wc -l)
    all=$((missed + caught))
    ((all == 0)) || echo "| \`$row\` | $all | $caught | $missed | $((100 * caught / all)) % |"
  done
}

if [ "${1:-}" = --table ]; then
  table
  exit
fi
command -v cargo-mutants > /dev/null || cargo install cargo-mutants --locked
if [ -d "$here/tree" ]; then
  git -C "$here/tree" fetch -q "$PWD" HEAD && git -C "$here/tree" checkout -qf FETCH_HEAD
else
  mkdir -p "$here" && git clone -q . "$here/tree"
fi
{
  echo '//! Made by mutants.sh.'
  for test in $scenarios; do printf '#[path = "%s.rs"]\nmod %s;\n' "$test" "$test"; done
} > "$here/tree/tests/scenarios.rs"
export PROPTEST_CASES=${PROPTEST_CASES:-64}
rows | while IFS='|' read -r row files own users; do
  row=${row// /}
  [ $# -eq 0 ] || [[ " $* " == *" $row "* ]] || continue
  printf '\n== %s\n' "$row"
  try "$row" "$files" "$own"
  if [ -s "$here/$row/$part/mutants.out/missed.txt" ] && [ -n "${users// /}" ] && [ -z "${OWN_ONLY:-}" ]; then
    try "$row" "$files" "$own $users"
  fi
done
