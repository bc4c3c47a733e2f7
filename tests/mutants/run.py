#!/usr/bin/env python3
"""Mutation testing of the core: breaks it in one place at a time, and looks whether the tests notice (docs/mutation.md).

    tests/mutants/run.py              every module, at the last commit
    tests/mutants/run.py PATH…        what lies below these paths (src/outbox), and what uses it
    tests/mutants/run.py --table      what the last run found, as rows for docs/mutation.md, and the survivors

All mutants are built into one program (switch.py). Each test runs once alone, to see how long it takes and which mutants it comes
by. A mutant then meets only the tests that come by it: first one that caught it before, then those that caught its neighbours, then
the quick ones. What happens is in target/mutants; it takes about an hour on two cores, and minutes if most is known from before.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from switch import Program, put

ROOT = Path(__file__).resolve().parents[2]
HERE = ROOT / "target/mutants"
CLEAN, TREE = HERE / "clean", HERE / "tree"
CARGO = ["--quiet", "--package", "everlink", "--message-format=json", "--target-dir", str(HERE / "build")]
# Where a property's cases come from must not change between runs, nor may a mutant leave cases behind.
ENVIRONMENT = os.environ | {
    "PROPTEST_CASES": "32",
    "PROPTEST_RNG_SEED": "1",
    "PROPTEST_MAX_SHRINK_ITERS": "0",
    "PROPTEST_DISABLE_FAILURE_PERSISTENCE": "true",
    "RUST_BACKTRACE": "0",
}
MEMORY = 2 << 30
# Tests that take longer are not run for each mutant; only quick ones are tried out of turn. All times are seconds of CPU time, for
# others may use the machine.
SLOW, QUICK = 3, 0.05
# Who survived tests of so many seconds, the quick ones first, has survived.
ENOUGH = 10


def output(*command, **options):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, **options).stdout


def remembered(name):
    path = HERE / name
    return json.loads(path.read_text()) if path.exists() else {}


def remember(name, what):
    (HERE / name).write_text(json.dumps(what, indent=0))


def build():
    """The program with all mutants. Returns its path, the mutants, and why some are not in it."""
    if not CLEAN.exists():
        output("git", "clone", "-q", ".", str(CLEAN), cwd=ROOT)
    output("git", "fetch", "-q", str(ROOT), "HEAD", cwd=CLEAN)
    output("git", "checkout", "-qf", "FETCH_HEAD", cwd=CLEAN)
    mutants = json.loads(output("cargo", "mutants", "--list", "--json", "--package", "everlink", cwd=CLEAN))
    spans_in = ["--manifest-path", str(Path(__file__).parent / "spans/Cargo.toml"), "--target-dir", str(HERE / "spans")]
    spans = output("cargo", "run", "--quiet", *spans_in, "--", *sorted({m["file"] for m in mutants}), cwd=CLEAN)
    program = Program(CLEAN, mutants, spans)
    # What did not change is not touched, so that it is not built again; what is no more is no more.
    names = output("git", "ls-files", cwd=CLEAN).splitlines()
    for path in [path for path in TREE.rglob("*") if path.is_file()]:
        if str(path.relative_to(TREE)) not in {*names, "Cargo.lock"}:
            path.unlink()
    for name in names:
        if name not in program.sources:
            put(TREE / name, (CLEAN / name).read_bytes())
    print(f"{len(mutants)} mutants; looking which compile", flush=True)
    keys = [f"{m['name']} in {program.sources[m['file']].digest}" for m in mutants]
    before = remembered("dropped.json")
    program.dropped = {id: before[key] for id, key in enumerate(keys) if key in before}
    program.settle(TREE, ["cargo", "check", "--tests", *CARGO])
    remember("dropped.json", {keys[id]: why for id, why in program.dropped.items()})
    print("building", flush=True)
    built = output("cargo", "test", "--no-run", "--test", "core", *CARGO, cwd=TREE)
    artifacts = (json.loads(line) for line in built.splitlines())
    binary = next(a["executable"] for a in artifacts if a.get("executable") and a["target"]["name"] == "core")
    return binary, mutants, program.dropped


def limited(binary, seconds, arguments, **environment):
    limits = ["prlimit", f"--cpu={seconds}", f"--as={MEMORY}", "--core=0"]
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    command = [*limits, binary, "--test-threads=1", *arguments]
    return subprocess.Popen(command, cwd=TREE, text=True, env=ENVIRONMENT | environment, **pipes)


def alone(binary, test):
    """How many seconds a test takes, and which mutants it comes by; `None` if it is slow."""
    log = HERE / f"log-{test.replace(':', '-')}"
    with limited(binary, SLOW, ["--exact", test], MUTANT_LOG=str(log)) as run:
        run.stdout.read()
        _, status, usage = os.wait4(run.pid, 0)
        run.returncode = os.waitstatus_to_exitcode(status)
    seen = [int(id) for id in log.read_text().split()] if log.exists() else []
    log.unlink(missing_ok=True)
    if run.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        return None
    if run.returncode != 0:
        raise SystemExit(f"{test} fails without any mutant")
    return usage.ru_utime + usage.ru_stime, seen


def first_failure(binary, id, tests, seconds):
    """The first of these tests that does not pass, or takes far too long, with a mutant switched on."""
    run = limited(binary, int(1.5 + 4 * seconds), ["--exact", *tests], MUTANT=str(id))
    last = None
    with run:
        for line in run.stdout:
            if found := re.match(r"test (\S+)", line):
                last = found[1]
            if line.rstrip().endswith("FAILED"):
                run.kill()
                return last
    return None if run.returncode == 0 else last


class Hunt:
    """Tries each mutant against the tests that come by it."""

    def __init__(self, binary, mutants, cost, reach):
        self.binary, self.mutants, self.cost = binary, mutants, cost
        self.tests = defaultdict(list)
        for test in sorted(cost, key=cost.get):
            for id in reach[test]:
                self.tests[id].append(test)
        self.before = {name: test for name, test in remembered("found.json").items() if test}
        self.neighbours = defaultdict(list)  # file: tests that caught something in it, the last one first

    def batches(self, id):
        """Tests to run in one go: likely ones, then quick ones, then the rest."""
        mutant, tests = self.mutants[id], self.tests[id]
        likely = [self.before.get(mutant["name"]), *self.neighbours[mutant["file"]][:6]]
        likely = [test for test in dict.fromkeys(likely) if test in self.cost and test in set(tests)]
        yield from ([test] for test in likely[:1])
        batch, bound = likely[1:], 0.3
        total = 0
        for test in (test for test in tests if test not in likely):
            total += self.cost[test]
            if total > ENOUGH:
                break
            if batch and sum(map(self.cost.get, batch)) + self.cost[test] > bound:
                yield batch
                batch, bound = [], 4 * bound
            batch.append(test)
        yield batch

    def catch(self, id):
        for batch in filter(None, self.batches(id)):
            if test := first_failure(self.binary, id, batch, sum(map(self.cost.get, batch))):
                if self.cost[test] < QUICK:
                    near = self.neighbours[self.mutants[id]["file"]]
                    near[:] = [test, *(other for other in near[:20] if other != test)]
                return test
        return None


def run(paths):
    if subprocess.run(["cargo", "mutants", "--version"], capture_output=True).returncode != 0:
        output("cargo", "install", "cargo-mutants", "--locked")
    HERE.mkdir(parents=True, exist_ok=True)
    binary, mutants, dropped = build()
    tests = [line.removesuffix(": test") for line in output(binary, "--list", "--format=terse", cwd=TREE).splitlines()]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        print(f"{len(tests)} tests, each alone", flush=True)
        measured = dict(zip(tests, pool.map(lambda test: alone(binary, test), tests)))
        if slow := [test for test, pair in measured.items() if pair is None]:
            print("too slow to be run for each mutant:", *slow, sep="\n  ", flush=True)
        measured = {test: pair for test, pair in measured.items() if pair}
        remember("tests.json", {test: [seconds, len(seen)] for test, (seconds, seen) in measured.items()})
        hunt = Hunt(binary, mutants, *({test: pair[at] for test, pair in measured.items()} for at in (0, 1)))
        chosen = [id for id, m in enumerate(mutants) if id not in dropped and m["file"].startswith(tuple(paths or ["src/"]))]
        began, caught, found = time.monotonic(), 0, remembered("found.json") if paths else {}
        for count, (id, test) in enumerate(zip(chosen, pool.map(hunt.catch, chosen)), 1):
            found[mutants[id]["name"]] = test
            caught += test is not None
            if count % 50 == 0 or count == len(chosen):
                print(f"{count} of {len(chosen)}: {caught} caught, {time.monotonic() - began:.0f} s", flush=True)
                remember("found.json", found)
    table()


def table():
    """One row for each module, and below it who survived."""
    found, dropped = remembered("found.json"), remembered("dropped.json")
    module = lambda name: re.match(r"src/(ws/(?:handshake|deflate)|wire/\w+|\w+)", name)[1]
    all_of, caught_of = Counter(map(module, found)), Counter(module(name) for name, test in found.items() if test)
    print("| module | mutants | caught | survived |\n| --- | --- | --- | --- |")
    for name in sorted(all_of):
        print(f"| `{name}` | {all_of[name]} | {caught_of[name]} | {all_of[name] - caught_of[name]} |")
    total, caught = all_of.total(), caught_of.total()
    print(f"| together | {total} | {caught} ({caught / total:.1%}) | {total - caught} |\n")
    print(f"not in it: {dict(Counter(dropped.values()))}\n")
    print("\n".join(name for name, test in found.items() if not test))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="*", metavar="PATH")
    parser.add_argument("--table", action="store_true", help="show what the last run found")
    arguments = parser.parse_args()
    os.chdir(ROOT)
    table() if arguments.table else run(arguments.paths)


if __name__ == "__main__":
    sys.exit(main())
