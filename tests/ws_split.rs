//! The same bytes give the same, however they are split, and the same as another implementation says; and what is encoded
//! is decoded.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a test may be blunt"
)]

use crate::law::proptest_config;
use crate::ws_seen::{Seen, answers_alike, decode, other};
use everlink::outbox::Kind;
use everlink::ws::{CloseBody, Code, Decoder, Encoder, Frame, Limits, Mask, Part, Role};
use proptest::prelude::*;
use proptest::sample::Index;

/// A frame, right or wrong.
fn raw_frame(masked: bool) -> impl Strategy<Value = Vec<u8>> {
    let opcode = prop_oneof![
        8 => prop::sample::select(vec![0x81_u8, 0x82, 0x01, 0x02, 0x00, 0x80, 0x00, 0x80, 0x89, 0x8a]),
        1 => Just(0x88),
        1 => prop::sample::select(vec![0xc1, 0x41, 0xc0, 0x83, 0x8b, 0xa1, 0x09]),
    ];
    let payload = prop_oneof![
        4 => ".{0,40}".prop_map(String::into_bytes),
        2 => prop::collection::vec(any::<u8>(), 0..40),
        1 => (120..140_usize).prop_map(|size| vec![b'x'; size]),
        1 => (1000..1010_u16, ".{0,8}").prop_map(|(code, reason)| [&code.to_be_bytes()[..], reason.as_bytes()].concat()),
        1 => Just(Vec::new()),
    ];
    let mask = prop::option::weighted(if masked { 0.98 } else { 0.02 }, any::<[u8; 4]>());
    (opcode, payload, mask).prop_map(|(first, mut payload, mask)| {
        let bit = if mask.is_some() { 0x80 } else { 0 };
        let mut bytes = vec![first];
        if payload.len() <= 125 {
            bytes.push(bit | payload.len() as u8);
        } else {
            bytes.push(bit | 126);
            bytes.extend((payload.len() as u16).to_be_bytes());
        }
        if let Some(key) = mask {
            bytes.extend(key);
            Mask::new(key).apply(&mut payload);
        }
        bytes.extend(payload);
        bytes
    })
}

fn wire(masked: bool) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(raw_frame(masked), 1..12).prop_map(|frames| frames.concat())
}

fn pieces(cuts: &[Index], length: usize) -> Vec<usize> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(length + 1)).collect();
    cuts.extend([0, length]);
    cuts.sort_unstable();
    cuts
}

proptest! {
    #![proptest_config(proptest_config("proptest-regressions/ws_split.txt", 1000))]

    #[test]
    fn any_split_gives_the_same_events_the_same_error_and_the_same_offset(
        bytes in wire(true),
        cuts in prop::collection::vec(any::<Index>(), 0..20),
        partial in prop::option::of(1..4_usize),
        noise in prop::option::weighted(0.3, (any::<Index>(), any::<u8>())),
        compression in any::<bool>(),
    ) {
        let mut bytes = bytes;
        if let Some((at, byte)) = noise {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let limits = Limits { frame: 138, message: 300, empty_fragments: 2, controls: 2 };
        let mut decoder = Decoder::new(Role::Server, limits);
        if compression {
            decoder = decoder.with_compression();
        }
        let whole = decode(decoder.clone(), &bytes, &[0, bytes.len()], None);
        let each: Vec<usize> = (0..=bytes.len()).collect();
        prop_assert_eq!(&decode(decoder.clone(), &bytes, &each, None), &whole);
        prop_assert_eq!(&decode(decoder.clone(), &bytes, &each, Some(1)), &whole);
        prop_assert_eq!(&decode(decoder, &bytes, &pieces(&cuts, bytes.len()), partial), &whole);
    }

    /// Where both are right, that is: the frames here are whole (we refuse a text before its frame is complete).
    #[test]
    fn another_implementation_reads_the_same_and_refuses_the_same(bytes in wire(true), client in wire(false)) {
        for (bytes, role) in [(bytes, Role::Server), (client, Role::Client)] {
            let decoder = Decoder::new(role, Limits::default());
            let (seen, error) = decode(decoder, &bytes, &[0, bytes.len()], None);
            let (others, answer) = other(&bytes, role, 16 << 20, 64 << 20);
            prop_assert!(answers_alike(&seen, error, answer), "{error:?} {answer:?}");
            prop_assert_eq!(seen, others);
        }
    }

    #[test]
    fn what_is_encoded_is_decoded(
        messages in prop::collection::vec((any::<bool>(), ".{0,300}", 1..5_usize, any::<[u8; 4]>()), 1..8),
        role in prop::sample::select(vec![Role::Client, Role::Server]),
        cuts in prop::collection::vec(any::<Index>(), 0..10),
    ) {
        let mut encoder = Encoder::new(role);
        let (mut bytes, mut expected) = (Vec::new(), Vec::new());
        let mut write = |frame: Frame<'_>, key| {
            let mask = (role == Role::Client).then(|| Mask::new(key));
            let mut out = vec![0; frame.payload().len() + 14];
            let length = encoder.write(frame, mask, &mut out).unwrap();
            bytes.extend_from_slice(&out[..length]);
        };
        for (text, content, fragments, key) in &messages {
            let kind = if *text { Kind::Text } else { Kind::Binary };
            let content = content.as_bytes();
            if *fragments == 1 {
                write(Frame::message(kind, content), *key);
            } else {
                let size = content.len().div_ceil(*fragments).max(1);
                let mut rest = content;
                let mut first = true;
                loop {
                    let (payload, behind) = rest.split_at(size.min(rest.len()));
                    let last = behind.is_empty();
                    write(Frame::part(Part { kind, compressed: false, first, last, payload }), *key);
                    write(Frame::ping(b"between").unwrap(), *key);
                    expected.push(Seen::Ping(b"between".to_vec()));
                    (rest, first) = (behind, false);
                    if last {
                        break;
                    }
                }
                // The last ping came behind the message.
                let ping = expected.pop().unwrap();
                expected.push(Seen::Message(kind, false, content.to_vec()));
                expected.push(ping);
                continue;
            }
            expected.push(Seen::Message(kind, false, content.to_vec()));
        }
        let body = CloseBody::new(Code::GOING_AWAY, "bye");
        write(Frame::close(Some(&body)), [1, 2, 3, 4]);
        expected.push(Seen::Close(Some((1001, "bye".into()))));
        let reader = match role {
            Role::Client => Role::Server,
            Role::Server => Role::Client,
        };
        let decoded = decode(Decoder::new(reader, Limits::default()), &bytes, &pieces(&cuts, bytes.len()), None);
        prop_assert_eq!(decoded, (expected, None));
    }
}

/// The deliberate differences to the other implementation, which the property above steers clear of.
#[test]
fn where_another_implementation_is_laxer_or_later() {
    let refused = |bytes: &[u8]| {
        decode(Decoder::new(Role::Client, Limits::default()), bytes, &[0, bytes.len()], None).1
    };
    let accepted =
        |bytes: &[u8]| !matches!(other(bytes, Role::Client, 999, 999), (_, Some(1002 | 1007 | 1009)));
    // Section 5.2: the minimal number of bytes MUST be used.
    let long = [0x82, 126, 0, 1, b'a'];
    assert!(refused(&long).is_some() && accepted(&long));
    // Section 8.1 allows to fail at once.
    let early = [0x81, 5, 0xff];
    assert!(refused(&early).is_some() && accepted(&early));
    // 1014 was registered later (section 7.4.2 leaves it to the registry).
    let gateway = [0x88, 2, 0x03, 0xf6];
    assert!(refused(&gateway).is_none() && !accepted(&gateway));
}
