//! Compressed messages, from a compressor to a decompressor (RFC 7692, sections 6 and 7.2).
#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, reason = "a test may be blunt")]

use crate::law::proptest_config;
use crate::naive_inflate::inflate;
use everlink::outbox::Kind;
use everlink::ws::deflate::{Compressor, Config, Context, Decompressor};
use everlink::ws::{Code, Decoder, Encoder, Error, Event, Frame, Limits, Part, Role, Violation};
use proptest::prelude::*;
use proptest::sample::Index;

const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// A message of one part.
fn whole(kind: Kind, payload: &[u8]) -> Part<'_> {
    Part { kind, compressed: false, first: true, last: true, payload }
}

fn forgetful(window: u8) -> Context {
    Context { window, takeover: false }
}

/// All that a compressor makes of a part, with this much room.
fn compress(
    compressor: &mut Compressor,
    mut part: Part<'_>,
    room: usize,
) -> Vec<(bool, bool, bool, Vec<u8>)> {
    let mut out = vec![0; room];
    let mut pieces = Vec::new();
    while let Some(piece) = compressor.compress(&mut part, &mut out) {
        pieces.push((piece.compressed, piece.first, piece.last, piece.payload.to_vec()));
    }
    assert!(part.payload.is_empty());
    pieces
}

/// The one frame that a compressor makes of a message: whether it is compressed, and its payload.
fn frame(compressor: &mut Compressor, payload: &[u8]) -> (bool, Vec<u8>) {
    let pieces = compress(compressor, whole(Kind::Binary, payload), payload.len() + Compressor::ROOM);
    let [(compressed, true, true, payload)] = &pieces[..] else { panic!("{} pieces", pieces.len()) };
    (*compressed, payload.clone())
}

/// All that a decompressor makes of a part.
fn decompress(decompressor: &mut Decompressor, mut part: Part<'_>, room: usize) -> Result<Vec<u8>, Error> {
    let (mut out, mut all) = (vec![0; room], Vec::new());
    let end = part.payload.len() as u64;
    while let Some(piece) = decompressor.decompress(&mut part, end, &mut out)? {
        assert!(!piece.compressed);
        all.extend_from_slice(piece.payload);
    }
    Ok(all)
}

fn compressed(kind: Kind, payload: &[u8]) -> Part<'_> {
    Part { compressed: true, ..whole(kind, payload) }
}

/// Bytes that nothing can be made of.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

/// Words that come again, near and far.
fn prose(length: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (place, byte) in noise(length).into_iter().enumerate() {
        bytes.extend_from_slice(format!("{} {byte:02x}-{}; ", byte % 7, place / 50).as_bytes());
    }
    bytes.truncate(length);
    bytes
}

#[test]
fn the_examples_of_the_rfc_are_read() {
    let config = Config::default();
    for (name, messages) in [
        ("7.2.3.1 one block", &[&[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00][..]][..]),
        (
            "7.2.3.2 sharing the window",
            &[&[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00], &[0xf2, 0x00, 0x11, 0x00, 0x00]],
        ),
        ("7.2.3.3 no compression", &[&[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00]]),
        ("7.2.3.4 a final block", &[&[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00]]),
        (
            "7.2.3.5 two blocks",
            &[&[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00]],
        ),
        (
            "a final block for each message",
            &[
                &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00],
                &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00],
            ],
        ),
        (
            "a final block and nothing behind it",
            &[&[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00], &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]],
        ),
    ] {
        let mut decompressor = Decompressor::new(&config, Context::default());
        for message in messages {
            let text = decompress(&mut decompressor, compressed(Kind::Text, message), 64);
            assert_eq!(text.as_deref(), Ok(&b"Hello"[..]), "{name}");
        }
        // The same a byte at a time, in and out.
        let mut decompressor = Decompressor::new(&config, Context::default());
        for message in messages {
            let mut text = Vec::new();
            for (place, byte) in message.iter().enumerate() {
                let (first, last) = (place == 0, place + 1 == message.len());
                let part = Part { first, last, ..compressed(Kind::Text, core::slice::from_ref(byte)) };
                text.extend(decompress(&mut decompressor, part, 1).unwrap());
            }
            assert_eq!(text, b"Hello", "{name}");
        }
    }
}

#[test]
fn an_empty_message_is_one_byte_or_none() {
    let mut decompressor = Decompressor::new(&Config::default(), Context::default());
    for payload in [&[0][..], &[], &[0x02, 0x00], &[0]] {
        let mut part = compressed(Kind::Text, payload);
        let mut out = [0; 8];
        let piece = decompressor.decompress(&mut part, 0, &mut out).unwrap().expect("a message");
        assert_eq!((piece.payload, piece.first, piece.last), (&b""[..], true, true));
        assert_eq!(decompressor.decompress(&mut part, 0, &mut out), Ok(None));
    }
    // Nothing in two parts, which cannot be known to be nothing when it begins; twice.
    let config = Config { threshold: 0, ..Config::default() };
    let mut compressor = Compressor::new(&config, Context::default());
    for _ in 0..3 {
        let first = Part { last: false, ..whole(Kind::Text, b"") };
        let second = Part { first: false, ..whole(Kind::Text, b"") };
        assert_eq!(compress(&mut compressor, first, 64), []);
        assert_eq!(compress(&mut compressor, second, 64), [(true, true, true, vec![0])]);
    }
    assert_eq!(compress(&mut compressor, whole(Kind::Text, b""), 64), [(false, true, true, vec![])]);
}

#[test]
fn the_tail_is_not_sent() {
    let config = Config { threshold: 0, ..Config::default() };
    let mut compressor = Compressor::new(&config, Context::default());
    let mut decompressor = Decompressor::new(&config, Context::default());
    let text = b"Hello, Hello, Hello, Hello, Hello";
    for _ in 0..3 {
        let (true, payload) = frame(&mut compressor, text) else { panic!("it is not compressed") };
        assert!(!payload.ends_with(&TAIL) && payload.ends_with(&[0]), "{payload:x?}");
        assert_eq!(
            decompress(&mut decompressor, compressed(Kind::Text, &payload), 99).as_deref(),
            Ok(&text[..])
        );
    }
}

#[test]
fn no_window_is_left_whatever_its_size_and_the_level() {
    for window in 8..=15 {
        let text = prose((2 << window) + 3000);
        let (start, rest) = text.split_at(text.len() / 2);
        for level in 1..=9 {
            for takeover in [false, true] {
                let config = Config { level, ..Config::default() };
                let context = Context { window, takeover };
                let mut compressor = Compressor::new(&config, context);
                let mut decompressor = Decompressor::new(&config, context);
                let mut history = Vec::new();
                let mut farthest = 0;
                for message in [start, &text[..300], rest, &text[..1000]] {
                    let (true, mut payload) = frame(&mut compressor, message) else {
                        panic!("it is not compressed")
                    };
                    let again =
                        decompress(&mut decompressor, compressed(Kind::Text, &payload), 4096).unwrap();
                    assert!(again == message);
                    payload.extend(TAIL);
                    if !takeover {
                        history.clear();
                    }
                    farthest = farthest.max(inflate(&payload, &mut history).unwrap().farthest);
                    assert!(history.ends_with(message));
                }
                assert!(farthest <= 1 << window, "{farthest} with window {window}, level {level}");
                assert!(
                    farthest > 1 << (window - 2),
                    "{farthest} is little for window {window}, level {level}"
                );
            }
        }
    }
}

#[test]
fn the_context_is_taken_over_or_not() {
    let text = prose(500);
    let config = Config::default();
    let mut compressor = Compressor::new(&config, Context::default());
    let first = frame(&mut compressor, &text).1;
    let second = frame(&mut compressor, &text).1;
    assert!(second.len() < 20 && first.len() > 10 * second.len(), "{} {}", first.len(), second.len());
    let mut forgetful = Compressor::new(&config, forgetful(15));
    assert_eq!(frame(&mut forgetful, &text), frame(&mut forgetful, &text));
    // A decompressor that keeps nothing can read the one, and not the other.
    let mut decompressor = Decompressor::new(&config, self::forgetful(15));
    for _ in 0..2 {
        let again = decompress(&mut decompressor, compressed(Kind::Text, &first), 4096);
        assert_eq!(again.as_deref(), Ok(&text[..]));
    }
    let error = decompress(&mut decompressor, compressed(Kind::Text, &second), 4096).unwrap_err();
    assert_eq!((error.violation, error.code()), (Violation::NotDeflate, Code::INVALID_DATA));
}

#[test]
fn what_is_small_goes_as_it_is() {
    let config = Config { threshold: 100, ..Config::default() };
    let mut compressor = Compressor::new(&config, Context::default());
    assert_eq!(frame(&mut compressor, &[b'a'; 99]), (false, vec![b'a'; 99]));
    assert!(frame(&mut compressor, &[b'a'; 100]).0);
}

#[test]
fn what_would_grow_goes_as_it_is_and_is_not_referred_to() {
    let noise = noise(5000);
    let text = prose(5000);
    for takeover in [true, false] {
        let context = Context { window: 15, takeover };
        let config = Config::default();
        let mut compressor = Compressor::new(&config, context);
        let mut decompressor = Decompressor::new(&config, context);
        for _ in 0..3 {
            for (message, expected) in [(&text, true), (&noise, false), (&text, true), (&noise, false)] {
                let (is_compressed, payload) = frame(&mut compressor, message);
                assert_eq!(is_compressed, expected);
                let part = Part { compressed: is_compressed, ..whole(Kind::Binary, &payload) };
                assert!(decompress(&mut decompressor, part, 999).unwrap() == *message);
            }
        }
    }
}

/// Giving up leaves bytes that were not written; that they are left must not add up.
#[test]
fn giving_up_a_thousand_times_is_like_once() {
    let noise = noise(1500);
    let config = Config { level: 1, memory: 1, ..Config::default() };
    for takeover in [true, false] {
        let mut compressor = Compressor::new(&config, Context { window: 9, takeover });
        for _ in 0..1000 {
            assert_eq!(frame(&mut compressor, &noise), (false, noise.clone()));
        }
        // Nor if a message is not compressed to its end.
        for _ in 0..1000 {
            let part = Part { last: false, ..whole(Kind::Binary, &noise) };
            assert!(compressor.compress(&mut { part }, &mut [0; 99]).is_some());
        }
    }
}

#[test]
fn what_is_compressed_already_goes_as_it_is() {
    let mut compressor = Compressor::new(&Config::default(), Context::default());
    let payload = [7; 1000];
    let pieces = compress(&mut compressor, compressed(Kind::Binary, &payload), 64);
    assert_eq!(pieces, [(true, true, true, payload.to_vec())]);
}

#[test]
fn a_bomb_is_refused_before_it_has_grown() {
    let zeros = vec![0; 50 << 20];
    let mut compressor = Compressor::new(&Config { level: 9, ..Config::default() }, Context::default());
    let (true, bomb) = frame(&mut compressor, &zeros) else { panic!("it is not compressed") };
    assert!(bomb.len() < 60_000);
    for (limit, room) in [(1000, 100), (1000, 4096), (100_000, 99_999), (1 << 20, 4096)] {
        let config = Config { inflated: limit, ..Config::default() };
        let mut decompressor = Decompressor::new(&config, Context::default());
        let mut part = compressed(Kind::Binary, &bomb);
        let (mut out, mut inflated) = (vec![0; room], 0);
        let error = loop {
            match decompressor.decompress(&mut part, bomb.len() as u64, &mut out) {
                Ok(piece) => inflated += piece.expect("it ends with an error").payload.len() as u64,
                Err(error) => break error,
            }
        };
        assert_eq!((error.violation, error.code()), (Violation::InflatedTooBig(limit), Code::TOO_BIG));
        assert!(inflated <= limit && inflated + room as u64 >= limit);
        assert!(error.at < 100 + limit / 500, "only at byte {}", error.at);
    }
    // Exactly as much as is allowed.
    let config = Config { inflated: 50 << 20, ..Config::default() };
    let mut decompressor = Decompressor::new(&config, Context::default());
    assert_eq!(
        decompress(&mut decompressor, compressed(Kind::Binary, &bomb), 1 << 16).map(|all| all.len()),
        Ok(50 << 20)
    );
}

#[test]
fn text_is_checked_as_soon_as_it_is_inflated() {
    let config = Config { threshold: 0, ..Config::default() };
    let mut text = prose(4000);
    text[1000] = 0xff;
    let (true, payload) = frame(&mut Compressor::new(&config, Context::default()), &text) else { panic!() };
    let (start, rest) = payload.split_at(payload.len() / 2);
    let mut decompressor = Decompressor::new(&config, Context::default());
    let part = Part { last: false, ..compressed(Kind::Text, start) };
    let error = decompress(&mut decompressor, part, 4096).unwrap_err();
    assert_eq!((error.violation, error.code()), (Violation::TextNotUtf8, Code::INVALID_DATA));
    // Binary data may be anything.
    let mut decompressor = Decompressor::new(&config, Context::default());
    for (part, first) in [(start, true), (rest, false)] {
        assert!(
            decompress(
                &mut decompressor,
                Part { first, last: !first, ..compressed(Kind::Binary, part) },
                4096
            )
            .is_ok()
        );
    }
    // A character that has no end, and one that is cut by the end of the buffer.
    let (_, cut) =
        frame(&mut Compressor::new(&config, Context::default()), "aaaaaaaaaaaaaaaaaaaé".as_bytes());
    for room in 1..9 {
        let mut decompressor = Decompressor::new(&config, Context::default());
        assert!(decompress(&mut decompressor, compressed(Kind::Text, &cut), room).is_ok());
    }
    let (_, cut) = frame(&mut Compressor::new(&config, Context::default()), b"aaaaaaaaaaaaaaaaaaaaaaa\xc3");
    let mut decompressor = Decompressor::new(&config, Context::default());
    let error = decompress(&mut decompressor, compressed(Kind::Text, &cut), 99).unwrap_err();
    assert_eq!(error.violation, Violation::TextNotUtf8);
}

#[test]
fn what_is_no_deflate_data_is_refused_at_its_byte() {
    for (payload, at) in [
        (&[0xff, 0xff][..], 1..=2), // a block of the type that does not exist
        (&[0x00, 0x05, 0x00, 0xfa, 0xfe, 1, 2, 3], 5..=5), // a length and another
        (&[0xf2, 0x00, 0x11, 0x00, 0x00], 1..=5), // refers to a window that is empty
        (b"{\"a\":1}", 1..=7),      // not compressed at all
        (&[0xf2, 0x48, 0xcd, 0xc9], 4..=4), // stops short
        (&[0x00, 0x05, 0x00, 0xfa, 0xff, 1, 2, 3], 8..=8), // stops short
    ] {
        let mut decompressor = Decompressor::new(&Config::default(), Context::default());
        let error = decompress(&mut decompressor, compressed(Kind::Binary, payload), 99).unwrap_err();
        assert_eq!((error.violation, error.code()), (Violation::NotDeflate, Code::INVALID_DATA));
        assert!(at.contains(&error.at), "byte {} of {payload:x?}", error.at);
    }
}

#[test]
fn only_the_first_frame_of_a_compressed_message_is_marked_and_control_frames_never_are() {
    let config = Config { level: 6, ..Config::default() };
    let mut compressor = Compressor::new(&config, Context::default());
    let mut encoder = Encoder::new(Role::Server);
    let (mut wire, mut heads) = (Vec::new(), Vec::new());
    let mut write = |frame: Frame<'_>| {
        let mut out = vec![0; frame.payload().len() + 14];
        let length = encoder.write(frame, None, &mut out).unwrap();
        heads.push(out[0]);
        wire.extend_from_slice(&out[..length]);
    };
    let text = prose(4000);
    let mut part = whole(Kind::Text, &text);
    let mut out = [0; 400];
    let ping = [b'a'; 100];
    while let Some(piece) = compressor.compress(&mut part, &mut out) {
        write(Frame::part(piece));
        write(Frame::ping(&ping).unwrap());
    }
    write(Frame::close(None));
    assert_eq!(heads, [0x41, 0x89, 0x00, 0x89, 0x00, 0x89, 0x80, 0x89, 0x88]);

    let mut decoder = Decoder::new(Role::Client, Limits::default()).with_compression();
    let mut decompressor = Decompressor::new(&config, Context::default());
    let (mut rest, mut again, mut pings) = (&mut wire[..], Vec::new(), 0);
    while let Some(event) = decoder.decode(&mut rest).unwrap() {
        match event {
            Event::Part(part) => again.extend(decompress(&mut decompressor, part, 100).unwrap()),
            Event::Ping(payload) => {
                assert_eq!(payload, ping);
                pings += 1;
            }
            Event::Close(None) => break,
            other => panic!("{other:?}"),
        }
    }
    assert!(again == text && pings == 4);
}

#[test]
fn a_message_that_is_given_up_does_not_spoil_the_next() {
    let config = Config { threshold: 0, ..Config::default() };
    let text = prose(3000);
    let mut compressor = Compressor::new(&config, Context::default());
    let _ = compress(&mut compressor, Part { last: false, ..whole(Kind::Text, &text) }, 64);
    let mut decompressor = Decompressor::new(&config, Context::default());
    let (true, payload) = frame(&mut compressor, &text) else { panic!() };
    assert_eq!(
        decompress(&mut decompressor, compressed(Kind::Text, &payload), 999).as_deref(),
        Ok(&text[..])
    );
}

#[test]
fn memory_can_be_released_between_messages_and_is_not_inside_one() {
    let text = prose(500);
    for takeover in [true, false] {
        let context = Context { window: 15, takeover };
        let mut compressor = Compressor::new(&Config::default(), context);
        let mut decompressor = Decompressor::new(&Config::default(), context);
        let mut lengths = Vec::new();
        for release in [false, false, true, false] {
            if release {
                compressor.release();
                decompressor.release();
            }
            let (mut wire, mut again) = (Vec::new(), Vec::new());
            for (part, first) in [(&text[..200], true), (&text[200..], false)] {
                let part = Part { first, last: !first, ..whole(Kind::Text, part) };
                for (_, _, _, payload) in compress(&mut compressor, part, 800) {
                    wire.extend(payload);
                }
                if first {
                    compressor.release();
                }
            }
            for (place, byte) in wire.iter().enumerate() {
                let (first, last) = (place == 0, place + 1 == wire.len());
                let part = Part { first, last, ..compressed(Kind::Text, core::slice::from_ref(byte)) };
                again.extend(decompress(&mut decompressor, part, 800).unwrap());
                if !last {
                    decompressor.release();
                }
            }
            assert!(again == text);
            lengths.push(wire.len());
        }
        let [first, second, third, fourth] = lengths[..] else { panic!("{lengths:?}") };
        assert_eq!((first, second), (third, fourth));
        assert_eq!(second < first, takeover);
    }
}

#[test]
fn a_configuration_that_cannot_work_is_named() {
    let fine = Config::default();
    assert_eq!(fine.check(), Ok(()));
    for (config, field) in [
        (Config { level: 0, ..fine.clone() }, "ws.deflate.level"),
        (Config { level: 10, ..fine.clone() }, "ws.deflate.level"),
        (Config { memory: 0, ..fine.clone() }, "ws.deflate.memory"),
        (Config { inflated: 124, ..fine.clone() }, "ws.deflate.inflated"),
        (Config { own: forgetful(7), ..fine.clone() }, "ws.deflate.own.window"),
        (Config { peer: forgetful(16), ..fine.clone() }, "ws.deflate.peer.window"),
    ] {
        assert_eq!(config.check().unwrap_err().field, field);
        // And does no harm if nobody asked.
        let mut compressor = Compressor::new(&config, config.own);
        assert!(frame(&mut compressor, &[b'a'; 1000]).0);
    }
}

proptest! {
    #![proptest_config(proptest_config("proptest-regressions/ws_deflate.txt", 100))]

    /// Any messages, in any parts, with any room on both sides, whatever was negotiated.
    #[test]
    fn what_is_compressed_is_inflated(
        messages in prop::collection::vec(
            (prop_oneof![
                prop::collection::vec(any::<u8>(), 0..3000),
                (any::<u8>(), 0..40_000_usize).prop_map(|(byte, length)| vec![byte; length]),
                (1..20_000_usize).prop_map(prose),
            ], prop::collection::vec(any::<Index>(), 0..4)), 1..6),
        (window, takeover) in (8..=15_u8, any::<bool>()),
        (level, memory, threshold) in (1..=9_u8, 1..=9_u8, 0..200_u32),
        (room, other_room) in (Compressor::ROOM..9000, 1..9000_usize),
    ) {
        let config = Config { level, memory, threshold, ..Config::default() };
        let context = Context { window, takeover };
        let mut compressor = Compressor::new(&config, context);
        let mut decompressor = Decompressor::new(&config, context);
        let (mut out, mut other_out) = (vec![0; room], vec![0; other_room]);
        let (mut history, mut naive) = (Vec::new(), true);
        for (message, cuts) in &messages {
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(message.len() + 1)).collect();
            cuts.extend([0, message.len()]);
            cuts.sort_unstable();
            let (mut again, mut wire, mut begun, mut ended) = (Vec::new(), Vec::new(), false, false);
            let mut is_compressed = false;
            for (place, cut) in cuts.windows(2).enumerate() {
                let (first, last) = (place == 0, place + 2 == cuts.len());
                let mut part = Part { first, last, ..whole(Kind::Binary, &message[cut[0]..cut[1]]) };
                while let Some(mut piece) = compressor.compress(&mut part, &mut out) {
                    prop_assert_eq!(piece.first, wire.is_empty() && !begun);
                    begun = true;
                    is_compressed |= piece.first && piece.compressed;
                    piece.compressed = is_compressed;
                    wire.extend_from_slice(piece.payload);
                    while let Some(piece) = decompressor.decompress(&mut piece, 0, &mut other_out).unwrap() {
                        prop_assert!(!ended && piece.first == (again.is_empty() && piece.first));
                        again.extend_from_slice(piece.payload);
                        ended = piece.last;
                    }
                }
            }
            prop_assert!(ended && again == *message);
            prop_assert!(wire.len() <= message.len() + 100 + message.len() / 10);
            if is_compressed {
                wire.extend(TAIL);
                if !takeover {
                    history.clear();
                }
                naive &= inflate(&wire, &mut history).is_some_and(|inflated| inflated.farthest <= 1 << window && inflated.finals == 0);
                prop_assert!(naive && history.ends_with(message));
            }
        }
    }
}
