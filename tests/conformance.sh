#!/usr/bin/env bash
# The Autobahn|Testsuite (some 500 cases, compression among them) against both examples of the tokio adapter, strictly: each case
# must be OK, or INFORMATIONAL where the suite does not judge. `tests/conformance.sh [CASES]`, for example '12.*'; all by default.
#
# Needs `wstest` (PyPI: autobahntestsuite 25.10.1, for Python 2.7, with the versions that its requires.txt names); WSTEST says
# where it is. Takes an hour; `--codec` in place of CASES' first word tests examples/ws_echo.rs, the codec alone.
set -euo pipefail
cd "$(dirname "$0")/.."

wstest=${WSTEST:-wstest}
command -v "$wstest" > /dev/null || { echo "no wstest (WSTEST=$wstest); skipped" >&2; exit 77; }
codec=false
if [ "${1:-}" = --codec ]; then codec=true; shift; fi
cases=${1:-*}
out=$PWD/target/conformance
rm -rf "$out"
mkdir -p "$out"

if $codec; then
  cargo build --release --quiet --example ws_echo
  server() { exec target/release/examples/ws_echo server 127.0.0.1:9001; }
  client() { target/release/examples/ws_echo client ws://127.0.0.1:9002; }
else
  cargo build --release --quiet -p everlink-tokio --example ws_echo_server --example ws_echo_client
  server() { exec target/release/examples/ws_echo_server 127.0.0.1:9001; }
  client() { target/release/examples/ws_echo_client ws://127.0.0.1:9002; }
fi

spec() { printf '{%s, "outdir": "%s", "cases": ["%s"], "exclude-cases": [], "exclude-agent-cases": {}}' "$1" "$out/$2" "$cases"; }
spec '"servers": [{"agent": "everlink", "url": "ws://127.0.0.1:9001"}]' server > "$out/server.json"
spec '"url": "ws://127.0.0.1:9002"' client > "$out/client.json"

trap 'kill $(jobs -p) 2> /dev/null || true' EXIT
listens() { until (: < "/dev/tcp/127.0.0.1/$1") 2> /dev/null; do sleep 0.2; done; }

server > "$out/server.log" 2>&1 &
listens 9001
"$wstest" -m fuzzingclient -s "$out/server.json" > "$out/server.suite.log" 2>&1 &
suite=$!
"$wstest" -m fuzzingserver -u 0 -s "$out/client.json" > "$out/client.suite.log" 2>&1 &
listens 9002
client > "$out/client.log" 2>&1
wait $suite

python3 - "$out" << 'END'
import collections, json, sys
bad = 0
for end in "server", "client":
    (cases,) = json.load(open(f"{sys.argv[1]}/{end}/index.json")).values()
    count = collections.Counter(case["behavior"] for case in cases.values())
    count.update("close: " + case["behaviorClose"] for case in cases.values())
    print(end, len(cases), "cases:", dict(count))
    for name, case in cases.items():
        if not {case["behavior"], case["behaviorClose"]} <= {"OK", "INFORMATIONAL"}:
            print(f"{end}: case {name}: {case['behavior']}, close {case['behaviorClose']}", file=sys.stderr)
            bad += 1
sys.exit(bad > 0)
END
