//! Another implementation reads the same messages, refuses the same, and with the same close code.
//!
//! The differences that are deliberate, with the section of RFC 6455:
//!
//! - 5.2: a length in more bytes than it needs is refused here, and read there; so is that of a control frame, which is never
//!   more than one byte.
//! - 7.1.7, 8.1: what is wrong is refused here at the first byte that shows it, there when the frame is complete.
//! - 7.4.1: where two things in one frame are wrong, the first of them is told here; there, a length beyond the limit before the
//!   rest of the head, and a reason that is not UTF-8 before a code that is not for the wire.
//! - 7.4.2: close code 1014, which was registered later, is taken here, and refused there.

use everlink::ws::{Decoder, Limits, Role, Violation};

use crate::pick;
use crate::ws_seen::{Seen, answers_alike, decode, other};

const FRAME: usize = 200;
const MESSAGE: usize = 500;

/// An end; then what its peer sends.
pub fn ws_tungstenite(data: &[u8]) {
    let Some((end, wire)) = data.split_first() else { return };
    let role = pick(&[Role::Client, Role::Server], *end);
    let limits = Limits {
        frame: FRAME as u64,
        message: MESSAGE as u64,
        empty_fragments: u16::MAX,
        controls: u16::MAX,
    };
    let (seen, error) = decode(Decoder::new(role, limits), wire, &[0, wire.len()], None);
    let (others, answer) = other(wire, role, FRAME, MESSAGE);
    if let Some(error) = error
        && (matches!(error.violation, Violation::LongLength | Violation::LongControl)
            || answer.is_none() && ends_inside_a_frame(wire))
    {
        assert!(others.starts_with(&seen), "{error:?}: {seen:?} {others:?}");
        return;
    }
    if let Some(Seen::Close(Some((1014, _)))) = seen.last() {
        assert_eq!(answer, Some(1002));
        assert_eq!(seen[..seen.len() - 1], others);
        return;
    }
    assert!(answers_alike(&seen, error, answer), "{error:?} {answer:?}");
    assert_eq!(seen, others, "{error:?} {answer:?}");
}

fn ends_inside_a_frame(wire: &[u8]) -> bool {
    let mut start = 0;
    while start < wire.len() {
        match end_of_frame(wire, start) {
            Some(end) if end <= wire.len() as u64 => start = end as usize,
            _ => return true,
        }
    }
    false
}

fn end_of_frame(wire: &[u8], start: usize) -> Option<u64> {
    let second = *wire.get(start + 1)?;
    let (long, length) = match second & 0x7f {
        126 => (2, u64::from(u16::from_be_bytes(wire.get(start + 2..start + 4)?.try_into().ok()?))),
        127 => (8, u64::from_be_bytes(wire.get(start + 2..start + 10)?.try_into().ok()?)),
        short => (0, u64::from(short)),
    };
    let mask = if second & 0x80 == 0 { 0 } else { 4 };
    (start as u64 + 2 + long + mask).checked_add(length)
}
