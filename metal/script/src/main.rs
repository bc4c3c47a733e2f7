//! The hour on this machine: writes its trace to stdout.

use std::io::Write;

use everlink::outbox::Slot;
use everlink::trace;

fn main() {
    let mut bytes = Vec::new();
    let mut slots = [const { Slot::EMPTY }; script::story::MESSAGES];
    let counts = script::hour(&mut slots, |part| bytes.extend_from_slice(part));
    let replayed = trace::replay(&bytes).expect("the trace replays");
    eprintln!("{} records in {} bytes; {counts:?}", replayed.records, bytes.len());
    std::io::stdout().write_all(&bytes).expect("stdout takes the trace");
}
