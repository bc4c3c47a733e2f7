"""Builds every mutant into one program: each stands beside what it replaces, and the variable MUTANT says which one is on.

With MUTANT_LOG, the program writes to that file the numbers of all mutants that it came by.
"""

import hashlib
import json
import re
import subprocess
from collections import defaultdict

SWITCH = """
#[allow(missing_docs)]
pub mod mutant {
    use std::{env, fs::File, io::Write, sync::LazyLock, sync::atomic::{AtomicBool, Ordering}};
    extern crate std;
    pub enum Either<A, B> { Mutant(A), Real(B) }
    impl<T, A: Iterator<Item = T>, B: Iterator<Item = T>> Iterator for Either<A, B> {
        type Item = T;
        fn next(&mut self) -> Option<T> { match self { Self::Mutant(a) => a.next(), Self::Real(b) => b.next() } }
    }
    static SEEN: [AtomicBool; COUNT] = [const { AtomicBool::new(false) }; COUNT];
    static CHOICE: LazyLock<(usize, Option<File>)> = LazyLock::new(|| {
        let chosen = env::var("MUTANT").ok().and_then(|text| text.parse().ok());
        (chosen.unwrap_or(usize::MAX), env::var_os("MUTANT_LOG").map(|path| File::create(path).unwrap()))
    });
    #[inline]
    pub fn on(id: usize) -> bool {
        let (chosen, log) = &*CHOICE;
        if let Some(mut log) = log.as_ref() && !SEEN[id].swap(true, Ordering::Relaxed) {
            log.write_all(std::format!("{id}\\n").as_bytes()).unwrap();
        }
        *chosen == id
    }
}
"""


NOT_BUILT = r'^( *)#\[cfg\((?:not\(feature|feature = "defmt")[^\n]*\n(?:\1(?:#|//)[^\n]*\n)*\1[^\n]*\{\n.*?^\1\}$'


class Source:
    """A file's text, and where its lines begin."""

    def __init__(self, path):
        self.text = path.read_text()
        self.digest = hashlib.sha256(self.text.encode()).hexdigest()[:8]
        self.lines = [0] + [at + 1 for at, char in enumerate(self.text) if char == "\n"]
        # What the tests' features leave out: an item, formatted as usual, up to the brace in its own column.
        self.absent = [found.span() for found in re.finditer(NOT_BUILT, self.text, re.MULTILINE | re.DOTALL)]

    def at(self, place):
        return self.lines[place["line"] - 1] + place["column"] - 1

    def ends(self, span):
        return self.at(span["start"]), self.at(span["end"])


class File:
    """What becomes of one file: choices between expressions, statements put in, and text cut out."""

    def __init__(self, source):
        self.source = source
        self.choices = defaultdict(list)  # (start, end): [(mutant, instead)]
        self.inserted = defaultdict(str)  # place: text
        self.cuts = set()

    def render(self, start=0, end=None, inside=None):
        text, end = self.source.text, len(self.source.text) if end is None else end
        parts, at = [], start
        regions = [*self.choices, *self.cuts]
        for region in sorted((r for r in regions if start <= r[0] and r[1] <= end and r != inside), key=lambda r: (r[0], -r[1])):
            if region[0] >= at:
                # What stands right before something that is cut is not cut.
                instead = self.inserted.get(region[0], "") if region in self.cuts else self.choice(region)
                parts += [self.plain(at, region[0]), instead]
                at = region[1]
        return "".join(parts) + self.plain(at, end)

    def plain(self, start, end):
        parts = []
        for place in sorted(place for place in self.inserted if start <= place < end):
            parts += [self.source.text[start:place], self.inserted[place]]
            start = place
        return "".join(parts) + self.source.text[start:end]

    def choice(self, region):
        tried = "".join(f"if {on(id)} {{{marked(id, text)}}} else " for id, text in self.choices[region])
        group = ".".join(str(id) for id, _ in self.choices[region])
        return marked(group, f"({tried}{{{self.render(*region, inside=region)}}})")


def put(path, data):
    """Writes a file, if it is not the same already."""
    if not path.exists() or path.read_bytes() != data:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def on(id):
    return f"crate::mutant::on({id})"


def marked(ids, text):
    """So that the compiler's complaints can be traced to mutants."""
    return f"/*<{ids}*/{text}/*{ids}>*/"


class Program:
    """The core with its mutants, of which those that do not compile are dropped one after another."""

    def __init__(self, clean, mutants, spans):
        self.mutants = mutants
        self.sources = {name: Source(clean / name) for name in {m["file"] for m in mutants} | {"src/lib.rs"}}
        self.places, self.constant_functions = {}, defaultdict(list)
        for kind, name, *rest in (line.split() for line in spans.splitlines()):
            if name not in self.sources:
                continue
            places = [self.sources[name].at(dict(zip(("line", "column"), map(int, place.split(":"))))) for place in rest if ":" in place]
            if kind == "const":
                self.constant_functions[name].append((places[0], places[1], rest[-1]))
            else:
                self.places[kind, name, places[0]] = places
        self.dropped = {}  # mutant: why
        self.stay_constant = set()  # names of functions that constants are made with

    def edit(self, file, id, mutant):
        """Puts one mutant into a file. Returns why it cannot be, if so."""
        name, text, instead = mutant["file"], file.source.text, mutant["replacement"]
        start, end = file.source.ends(mutant["span"])
        if any(first <= start < last for first, last in file.source.absent):
            return "code for other features"
        if (mutant["function"] or {}).get("span"):
            first, last = file.source.ends(mutant["function"]["span"])
            constant = (at for at, _, called in self.constant_functions[name] if called in self.stay_constant)
            if any(first <= at < last for at in constant):
                return "constant"
        match mutant["genre"]:
            case "FnValue" if instead.startswith("::std::iter::"):
                made = f"Mutant({instead}.collect::<std::vec::Vec<_>>().into_iter())"
                first = not file.inserted[end]
                file.inserted[start] += f"/*<{id}*/if {on(id)} {{ return crate::mutant::Either::{made}; }}"
                file.inserted[start] += "crate::mutant::Either::Real({" if first else ""
                file.inserted[end] = ("})" if first else file.inserted[end]) + f"/*{id}>*/"
            # Of the two iterators inside of something else, the compiler would blame the real one for being another.
            case "FnValue" if "::std::iter::" in instead:
                return "does not compile"
            case "FnValue":
                file.inserted[start] = marked(id, f"if {on(id)} {{ return {instead}; }}") + " " + file.inserted[start]
            case "MatchArmGuard" if "let " in text[start:end]:
                return "let"
            case "MatchArmGuard":
                file.choices[start, end].append((id, instead))
            case genre:
                kind = {"BinaryOperator": "binary", "UnaryOperator": "unary", "MatchArm": "arm", "StructField": "field"}[genre]
                match kind, self.places.get((kind, name, start)):
                    case _, None:
                        return "constant or let"
                    case "binary", [operator, behind, left, right]:
                        file.choices[left, right].append((id, text[left:operator] + instead + text[behind:right]))
                    case "unary", [operator, operand, behind]:
                        file.choices[operator, behind].append((id, text[operand:behind]))
                    case "arm", [_, behind]:
                        file.inserted[behind] += " " + marked(id, f"if !{on(id)}")
                    case "arm", [_, _, guard, behind]:
                        file.choices[guard, behind].append((id, "false"))
                    case "field", [field, following, left, right]:
                        file.choices[left, right].append((id, text[left:field] + text[following:right]))

    def write(self, tree):
        files = {name: File(source) for name, source in self.sources.items()}
        for id, mutant in enumerate(self.mutants):
            if id not in self.dropped and (why := self.edit(files[mutant["file"]], id, mutant)):
                self.dropped[id] = why
        written = {}
        for name, file in files.items():
            file.cuts = {(a, b + 1) for a, b, called in self.constant_functions[name] if called not in self.stay_constant}
            written[name] = file.render()
        switch = SWITCH.replace("COUNT", str(len(self.mutants)))
        written["src/lib.rs"] = "#![allow(warnings, arithmetic_overflow, unconditional_panic)]\n" + written["src/lib.rs"] + switch
        for name, text in written.items():
            put(tree / name, text.encode())
        return written

    def settle(self, tree, check):
        """Writes the program, and drops what does not compile, until it does. `check` is cargo's command for looking."""
        while True:
            written = self.write(tree)
            run = subprocess.run(check, cwd=tree, capture_output=True, text=True)
            if run.returncode == 0:
                return
            culprits, constants, unknown = set(), set(), []
            for line in run.stdout.splitlines():
                message = json.loads(line).get("message")
                if not isinstance(message, dict) or message["level"] != "error":
                    continue
                found = re.search(r"non-const (?:associated )?(?:function|method|fn) `([^`]+)`", message["message"])
                if found and found[1] != "on":
                    constants.add(re.sub(r"::<.*?>", "", found[1]).split("::")[-1])
                elif ids := self.blamed(message, written):
                    culprits |= ids
                elif message["spans"]:
                    unknown.append(message["rendered"])
            print(f"  {len(culprits)} mutants do not compile, {len(constants)} functions must stay constant", flush=True)
            if not culprits and not constants:
                raise SystemExit("\n".join(unknown[:5]) or run.stderr)
            self.dropped |= {id: "does not compile" for id in culprits}
            self.stay_constant |= constants

    def blamed(self, message, written):
        """The mutants that a complaint is about: those of the smallest marked text around it, or on its lines."""
        for span in (span for span in message["spans"] if span["is_primary"] and span["file_name"] in written):
            text = written[span["file_name"]]
            place = len(text.encode()[: span["byte_start"]].decode())
            around = []
            for mark in re.finditer(r"/\*<([\d.]+)\*/", text):
                if mark.start() <= place <= (end := text.find(f"/*{mark[1]}>*/", mark.end())):
                    around.append((end - mark.start(), mark[1]))
            marks = [min(around)[1]] if around else re.findall(r"/\*<([\d.]+)\*/", "".join(t["text"] for t in span["text"]))
            if not marks and "non-exhaustive" in message["message"]:
                marks = [str(id) for id, m in enumerate(self.mutants) if m["genre"] == "MatchArm" and m["file"] == span["file_name"]]
            if marks:
                return {int(id) for mark in marks for id in mark.split(".")}
        return set()
