//! Traces: foreign, damaged and whole.

use core::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use everlink::time::Instant;
use everlink::trace::{Header, Reader, Record, Recorder, TraceError, replay};

use crate::history::History;
use crate::tape;

/// What a trace begins with; its checks are left out, for no fuzzer would find them.
const UNCHECKED: &[u8] = b"everlink\x01";

/// Bytes that begin as a trace does are read as one, and as one without checks. Others make a history, whose trace replays
/// identically, and does no harm when it is damaged.
pub fn trace(data: &[u8]) {
    if let Some(parts) = data.strip_prefix(UNCHECKED) {
        decode(&checked(parts));
    }
    if data.starts_with(b"everlink") {
        return decode(data);
    }
    let mut bytes = Unstructured::new(data);
    let Ok(damage) = <Option<[(u16, u8); 4]>>::arbitrary(&mut bytes) else { return };
    let Ok(history) = History::take_rest(&mut bytes) else { return };
    let (mut trace, now, report) = tape::record(&history.config, history.seed, &history.steps);
    let replayed = replay(&trace).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((replayed.now, replayed.link.report(now)), (now, report));
    for (place, flip) in damage.into_iter().flatten() {
        let place = usize::from(place) % trace.len();
        trace[place] ^= flip;
    }
    decode(&trace);
}

/// The trace that holds these parts, as far as they are some.
fn checked(parts: &[u8]) -> Vec<u8> {
    let mut trace = Vec::new();
    let Ok((header, mut rest)) = postcard::take_from_bytes::<Header>(parts) else { return trace };
    let mut recorder =
        Recorder::new(&header.config, header.seed, |part: &[u8]| trace.extend_from_slice(part));
    let mut now = Instant::ORIGIN;
    while let Ok((record, behind)) = postcard::take_from_bytes::<Record<'_>>(rest) {
        now = now + Duration::from_micros(record.after);
        recorder.record(now, record.step);
        rest = behind;
    }
    trace
}

fn decode(trace: &[u8]) {
    let sensible = |error: &TraceError| {
        assert!(error.at <= trace.len(), "{error} of {}", trace.len());
        assert!(error.to_string().starts_with(&format!("at byte {}: ", error.at)), "{error}");
    };
    let replayed = replay(trace);
    if let Err(error) = &replayed {
        sensible(error);
    }
    let (header, mut reader) = match Reader::new(trace) {
        Ok(read) => read,
        Err(error) => {
            sensible(&error);
            return assert_eq!(replayed.err(), Some(error));
        }
    };
    // What was read is written again; then it is in its shortest form, and reads and writes the same for ever.
    let mut again = Vec::new();
    let mut recorder =
        Recorder::new(&header.config, header.seed, |part: &[u8]| again.extend_from_slice(part));
    let mut records = Vec::new();
    let (mut now, mut at) = (0_u64, reader.byte());
    let end = loop {
        let Some(record) = reader.next() else { break Ok(records.len() as u64) };
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                sensible(&error);
                assert_eq!(error.at, at);
                break Err(error);
            }
        };
        assert!(reader.byte() > at, "a record takes room");
        at = reader.byte();
        // The end of time is where instants saturate.
        let Some(then) = now.checked_add(record.after).filter(|then| *then < u64::MAX) else { return };
        now = then;
        recorder.record(Instant::from_micros(now), record.step);
        records.push(record);
    };
    if let Ok(replayed) = replayed {
        assert_eq!(Ok(replayed.records), end);
        assert_eq!(replayed.now, Instant::from_micros(now));
    }
    let (same, reader) = Reader::new(&again).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(same, header);
    let same: Result<Vec<_>, _> = reader.collect();
    assert_eq!(same.as_ref(), Ok(&records));
}
