//! Compressed messages of a peer: the same as a naive inflater makes of them, however they are split, and never more than is
//! allowed.

use everlink::outbox::Kind;
use everlink::ws::deflate::{Config, Context, Decompressor};
use everlink::ws::{Part, Violation};

use crate::naive_inflate::inflate;
use crate::ws_decode::cuts;

const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

type Outcome = (Vec<Vec<u8>>, Option<Violation>);

/// How to split, the room, context and kind; then messages, each with its length before it.
pub fn ws_inflate(data: &[u8]) {
    let Some(([split, room, flags], rest)) = data.split_first_chunk() else { return };
    let (kind, takeover) = (if flags & 1 == 0 { Kind::Binary } else { Kind::Text }, flags & 2 == 0);
    let limit = if flags & 4 == 0 { 1 << 20 } else { 200 };
    let mut messages = Vec::new();
    let mut rest = rest;
    while let Some((length, behind)) = rest.split_first() {
        let (message, behind) = behind.split_at(behind.len().min(usize::from(*length)));
        messages.push(message);
        rest = behind;
    }
    let config = Config { inflated: limit, ..Config::default() };
    let decompressor = || Decompressor::new(&config, Context { window: 15, takeover });
    let whole = run(decompressor(), kind, &messages, None, 4096, limit);
    let pieces = run(decompressor(), kind, &messages, Some(*split), 1 + usize::from(*room), limit);
    assert_eq!(pieces, whole);
    naively(&whole, kind, takeover, &messages, limit as usize);
}

/// The messages that came out whole, and what was then wrong.
fn run(
    mut decompressor: Decompressor,
    kind: Kind,
    messages: &[&[u8]],
    split: Option<u8>,
    room: usize,
    limit: u64,
) -> Outcome {
    let (mut out, mut all) = (vec![0; room], Vec::new());
    for message in messages {
        let cuts = split.map_or_else(|| vec![0, message.len()], |split| cuts(message.len(), split));
        let (mut text, mut ended) = (Vec::new(), false);
        for (place, cut) in cuts.windows(2).enumerate() {
            let (first, last) = (place == 0, place + 2 == cuts.len());
            let mut part = Part { kind, compressed: true, first, last, payload: &message[cut[0]..cut[1]] };
            loop {
                match decompressor.decompress(&mut part, cut[1] as u64, &mut out) {
                    Ok(None) => break,
                    Ok(Some(piece)) => {
                        assert!(
                            !ended && !piece.compressed && piece.first == (text.is_empty() && piece.first)
                        );
                        text.extend_from_slice(piece.payload);
                        ended = piece.last;
                    }
                    Err(error) => {
                        assert!(error.at <= cut[1] as u64 && text.len() as u64 <= limit);
                        return (all, Some(error.violation));
                    }
                }
            }
            assert!(part.payload.is_empty() && ended == last);
        }
        assert!(text.len() as u64 <= limit);
        decompressor.release();
        all.push(text);
    }
    (all, None)
}

/// What the naive inflater makes of a message that is well-formed, this one must make, and nothing else of one that is not, up
/// to what cannot be told (a message that stops short). A final block forgets the context here and not there, so such messages
/// are left out.
fn naively((all, violation): &Outcome, kind: Kind, takeover: bool, messages: &[&[u8]], limit: usize) {
    let mut history = Vec::new();
    for (place, message) in messages.iter().enumerate() {
        if !takeover {
            history.clear();
        }
        if message.is_empty() {
            continue;
        }
        let before = history.len();
        let mut bytes = message.to_vec();
        bytes.extend(TAIL);
        let Some(inflated) = inflate(&bytes, &mut history) else { return };
        if inflated.finals > 0 {
            return;
        }
        let text = &history[before..];
        let valid = kind == Kind::Binary || core::str::from_utf8(text).is_ok();
        match all.get(place) {
            Some(own) => assert!(own == text && valid && text.len() <= limit),
            None if text.len() > limit => {
                // Text up to the limit may be wrong, too, which is then found out first.
                assert!(matches!(violation, Some(Violation::InflatedTooBig(_) | Violation::TextNotUtf8)));
                return;
            }
            // A stored block that stops short takes the tail for its own, and the message has no end.
            None if text.ends_with(&TAIL) => {
                assert!(matches!(violation, Some(Violation::NotDeflate | Violation::TextNotUtf8)));
                return;
            }
            None => {
                assert_eq!(*violation, (!valid).then_some(Violation::TextNotUtf8), "message {place}");
                return;
            }
        }
    }
}
