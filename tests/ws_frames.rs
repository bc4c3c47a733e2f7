//! Frames as they come in (RFC 6455, sections 5 and 7.4): what is refused, at which byte, and with which close code.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a test may be blunt"
)]

use everlink::outbox::Kind;
use everlink::ws::{Decoder, Error, Event, Limits, Mask, Part, Role, Violation};

/// A frame by its first byte, unmasked, its length as short as can be.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..=125 => bytes.push(length as u8),
        length @ 126..=0xffff => {
            bytes.push(126);
            bytes.extend((length as u16).to_be_bytes());
        }
        length => {
            bytes.push(127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes.extend(payload);
    bytes
}

fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = frame(first, payload);
    let head = bytes.len() - payload.len();
    bytes[1] |= 0x80;
    let key = [0xa1, 0xb2, 0xc3, 0xd4];
    Mask::new(key).apply(&mut bytes[head..]);
    bytes.splice(head..head, key);
    bytes
}

fn client() -> Decoder {
    Decoder::new(Role::Client, Limits::default())
}

fn server() -> Decoder {
    Decoder::new(Role::Server, Limits::default())
}

/// What comes of these bytes, all at once: events as text, and the error.
#[track_caller]
fn all(mut decoder: Decoder, bytes: &[u8]) -> (Vec<String>, Option<Error>) {
    let mut buffer = bytes.to_vec();
    let (mut rest, mut events) = (&mut buffer[..], Vec::new());
    loop {
        match decoder.decode(&mut rest) {
            Ok(Some(event)) => events.push(format!("{event:?}")),
            Ok(None) => return (events, None),
            Err(error) => {
                assert!(decoder.is_over());
                assert_eq!(decoder.decode(&mut rest), Ok(None), "an error is reported once");
                assert!(rest.is_empty(), "what follows is consumed");
                return (events, Some(error));
            }
        }
    }
}

/// These bytes are refused, all at once and one by one, at this byte and with this code.
#[track_caller]
fn refuses(decoder: Decoder, bytes: &[u8], violation: Violation, at: u64, code: u16) {
    let (_, error) = all(decoder.clone(), bytes);
    let error = error.expect("a violation");
    assert_eq!(error, Error { violation, at });
    assert_eq!(error.code().get(), code);
    // One by one, it is known at the latest when the byte after the wrong field has come.
    let (mut decoder, mut buffer) = (decoder, Vec::new());
    for &byte in bytes {
        buffer.push(byte);
        let mut rest = &mut buffer[..];
        match decoder.decode(&mut rest) {
            Ok(_) => {}
            Err(same) => return assert_eq!(same, error),
        }
        let left = rest.len();
        buffer.drain(..buffer.len() - left);
    }
    panic!("not refused byte by byte");
}

/// Exactly so many bytes of these are needed to refuse them.
#[track_caller]
fn known_after(mut decoder: Decoder, bytes: &[u8], needed: usize) {
    let mut early = bytes[..needed - 1].to_vec();
    let mut rest = &mut early[..];
    while let Some(event) = decoder.decode(&mut rest).expect("too early") {
        drop(format!("{event:?}"));
    }
    let mut late = [rest, &bytes[needed - 1..needed]].concat();
    assert!(decoder.decode(&mut &mut late[..]).is_err());
}

#[test]
fn the_examples_of_the_rfc() {
    // Section 5.7.
    let hello = ["Text(\"Hello\")".to_string()];
    assert_eq!(all(client(), b"\x81\x05Hello"), (hello.to_vec(), None));
    assert_eq!(all(server(), b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"), (hello.to_vec(), None));
    let ping = Event::Ping(b"Hello");
    assert_eq!(all(client(), b"\x89\x05Hello").0, [format!("{ping:?}")]);
    let pong = Event::Pong(b"Hello");
    assert_eq!(all(server(), b"\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58").0, [format!("{pong:?}")]);
    for size in [256, 65536] {
        let payload = vec![7; size];
        assert_eq!(all(client(), &frame(0x82, &payload)).0, [format!("{:?}", Event::Binary(&payload))]);
    }
}

#[test]
fn a_fragmented_message_comes_in_parts_with_control_frames_in_between() {
    let part = |first, last, payload| {
        Event::Part(Part { kind: Kind::Text, compressed: false, first, last, payload })
    };
    let bytes = [frame(0x01, b"Hel"), frame(0x89, b"?"), frame(0x00, b""), frame(0x80, b"lo")].concat();
    let expected = [part(true, false, b"Hel"), Event::Ping(b"?"), part(false, true, b"lo")];
    assert_eq!(all(client(), &bytes), (expected.map(|event| format!("{event:?}")).to_vec(), None));
}

#[test]
fn a_payload_is_lent_from_the_buffer_it_came_in() {
    let mut buffer = masked(0x82, b"where it lies");
    let place = buffer.as_ptr().wrapping_add(6);
    let Ok(Some(Event::Binary(payload))) = server().decode(&mut &mut buffer[..]) else { panic!() };
    assert_eq!((payload, payload.as_ptr()), (&b"where it lies"[..], place));
}

#[test]
fn lengths_on_every_border_are_read() {
    for size in
        [0, 1, 2, 7, 8, 9, 63, 64, 65, 124, 125, 126, 127, 128, 129, 1023, 1024, 1025, 65535, 65536, 70001]
    {
        let payload: Vec<u8> = (0..size).map(|at| at as u8).collect();
        for (decoder, bytes) in [(client(), frame(0x82, &payload)), (server(), masked(0x82, &payload))] {
            assert_eq!(all(decoder, &bytes).0, [format!("{:?}", Event::Binary(&payload))], "{size}");
        }
        let text = "x".repeat(size);
        assert_eq!(all(server(), &masked(0x81, text.as_bytes())).0, [format!("Text({text:?})")]);
    }
}

#[test]
fn a_frame_larger_than_the_buffer_is_lent_in_pieces() {
    let payload: Vec<u8> = (0..1000).map(|at| at as u8).collect();
    let wire = masked(0x82, &payload);
    let (mut decoder, mut seen, mut first_seen) = (server(), Vec::new(), 0);
    let mut buffer = Vec::new();
    for chunk in wire.chunks(100) {
        buffer.extend_from_slice(chunk);
        let mut rest = &mut buffer[..];
        if let Some(event) = decoder.decode(&mut rest).unwrap() {
            let Event::Part(part) = event else { panic!("{event:?}") };
            assert!(part.last && !part.first);
            seen.extend_from_slice(part.payload);
            assert_eq!(seen, payload);
            assert_eq!((first_seen, decoder.frame_left()), (1, 0));
            return;
        }
        let part = decoder.partial(&mut rest).expect("some of the payload");
        assert!(rest.is_empty() && !part.last);
        assert_eq!((part.first, part.kind), (seen.is_empty(), Kind::Binary));
        first_seen += u32::from(part.first);
        seen.extend_from_slice(part.payload);
        assert_eq!(decoder.frame_left(), 1000 - seen.len() as u64);
        assert_eq!(decoder.partial(&mut rest), None, "nothing more is there");
        buffer.clear();
    }
    panic!("it never ended");
}

#[test]
fn a_control_frame_is_never_in_pieces() {
    let wire = masked(0x89, &[b'p'; 125]);
    let mut buffer = wire[..130].to_vec();
    let mut decoder = server();
    let mut rest = &mut buffer[..];
    assert_eq!(decoder.decode(&mut rest), Ok(None));
    assert_eq!(decoder.partial(&mut rest), None);
    let mut rest = [rest, &wire[130..]].concat();
    assert_eq!(decoder.decode(&mut &mut rest[..]), Ok(Some(Event::Ping(&[b'p'; 125]))));
}

#[test]
fn what_was_unmasked_and_checked_is_not_looked_at_again() {
    let wire = masked(0x81, &[b'x'; 1000]);
    let (mut decoder, mut buffer) = (server(), wire[..500].to_vec());
    let mut rest = &mut buffer[..];
    assert_eq!(decoder.decode(&mut rest), Ok(None));
    // Were it checked or unmasked again, it would not be text, or not be this.
    rest.fill(0xff);
    let mut all = [rest, &wire[500..]].concat();
    let Ok(Some(Event::Text(text))) = decoder.decode(&mut &mut all[..]) else { panic!("looked at it again") };
    assert_eq!(text.bytes(), [vec![0xff; 492], vec![b'x'; 508]].concat());
}

#[test]
fn reserved_bits_are_refused() {
    for bit in [0x40, 0x20, 0x10] {
        refuses(client(), &[0x82 | bit, 0], Violation::ReservedBit, 0, 1002);
        refuses(client(), &[0x89 | bit, 0], Violation::ReservedBit, 0, 1002);
        known_after(client(), &[0x82 | bit, 0], 1);
    }
}

#[test]
fn rsv1_marks_a_compressed_message_where_that_was_negotiated() {
    let decoder = client().with_compression();
    let part =
        |first, last, payload| Event::Part(Part { kind: Kind::Text, compressed: true, first, last, payload });
    // Compressed bytes are not UTF-8.
    let bytes = [frame(0x41, b"\xff"), frame(0x80, b"\xfe"), frame(0xc1, b"\xf0")].concat();
    let expected = [part(true, false, b"\xff"), part(false, true, b"\xfe"), part(true, true, b"\xf0")];
    assert_eq!(all(decoder.clone(), &bytes), (expected.map(|event| format!("{event:?}")).to_vec(), None));
    // Not on a continuation, not on a control frame, and the other two bits never.
    let bytes = [frame(0x41, b"a"), frame(0xc0, b"b")].concat();
    refuses(decoder.clone(), &bytes, Violation::ReservedBit, 3, 1002);
    refuses(decoder.clone(), &[0xc9, 0], Violation::ReservedBit, 0, 1002);
    refuses(decoder, &[0xe1, 0], Violation::ReservedBit, 0, 1002);
}

#[test]
fn reserved_opcodes_are_refused() {
    for opcode in (3..=7).chain(11..=15) {
        refuses(client(), &[0x80 | opcode, 0], Violation::Opcode(opcode), 0, 1002);
        known_after(client(), &[0x80 | opcode, 0], 1);
    }
}

#[test]
fn a_server_refuses_what_is_not_masked_and_a_client_what_is() {
    refuses(server(), b"\x82\x01a", Violation::Unmasked, 1, 1002);
    refuses(client(), &masked(0x82, b"a"), Violation::Masked, 1, 1002);
    refuses(server(), b"\x88\x00", Violation::Unmasked, 1, 1002);
    known_after(server(), b"\x82\x01a", 2);
}

#[test]
fn a_length_longer_than_needed_is_refused() {
    refuses(client(), &[0x82, 126, 0, 125], Violation::LongLength, 2, 1002);
    refuses(client(), &[0x82, 127, 0, 0, 0, 0, 0, 0, 0, 1], Violation::LongLength, 2, 1002);
    refuses(client(), &[0x82, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff], Violation::LongLength, 2, 1002);
    // Before the key is there.
    known_after(server(), &[0x82, 0x80 | 126, 0, 125], 4);
}

#[test]
fn a_length_with_the_highest_bit_is_refused() {
    refuses(client(), &[0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0], Violation::HugeLength, 2, 1002);
    refuses(
        client(),
        &[0x82, 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        Violation::HugeLength,
        2,
        1002,
    );
}

#[test]
fn a_control_frame_in_fragments_is_refused() {
    for opcode in [8, 9, 10] {
        refuses(client(), &[opcode, 0], Violation::FragmentedControl, 0, 1002);
    }
}

#[test]
fn a_control_frame_of_more_than_125_bytes_is_refused() {
    for opcode in [8, 9, 10] {
        refuses(client(), &frame(0x80 | opcode, &[b'x'; 126]), Violation::LongControl, 1, 1002);
        refuses(client(), &[0x80 | opcode, 127], Violation::LongControl, 1, 1002);
        assert_eq!(all(client(), &frame(0x89, &[b'x'; 125])).1, None);
    }
}

#[test]
fn a_continuation_without_a_message_is_refused() {
    refuses(client(), &frame(0x80, b"a"), Violation::NothingToContinue, 0, 1002);
    let bytes = [frame(0x82, b"whole"), frame(0x00, b"a")].concat();
    refuses(client(), &bytes, Violation::NothingToContinue, 7, 1002);
    let bytes = [frame(0x02, b"a"), frame(0x80, b"b"), frame(0x80, b"c")].concat();
    refuses(client(), &bytes, Violation::NothingToContinue, 6, 1002);
}

#[test]
fn a_message_inside_another_is_refused() {
    for second in [0x01, 0x02, 0x81, 0x82] {
        let bytes = [frame(0x01, b"a"), frame(0x89, b""), frame(second, b"b")].concat();
        refuses(client(), &bytes, Violation::MessageInMessage, 5, 1002);
    }
}

#[test]
fn a_close_says_a_code_and_a_reason_or_nothing() {
    assert_eq!(all(client(), b"\x88\x00").0, ["Close(None)"]);
    assert_eq!(
        all(server(), &masked(0x88, b"\x03\xe9bye \xe2\x9c\x93")).0,
        ["Close(Some(Close { code: Code(1001), reason: \"bye ✓\" }))"]
    );
    let longest = [&[0x03, 0xe8][..], &[b'r'; 123]].concat();
    assert_eq!(all(client(), &frame(0x88, &longest)).1, None);
}

#[test]
fn half_a_close_code_is_refused() {
    refuses(client(), &frame(0x88, b"\x03"), Violation::HalfACode, 1, 1002);
}

#[test]
fn close_codes_that_may_not_be_on_the_wire_are_refused() {
    for code in [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535] {
        refuses(client(), &frame(0x88, &u16::to_be_bytes(code)), Violation::CloseCode(code), 2, 1002);
    }
    for code in (1000..=1003).chain(1007..=1014).chain([3000, 3999, 4000, 4999]) {
        assert_eq!(all(client(), &frame(0x88, &u16::to_be_bytes(code))).1, None, "{code}");
    }
}

#[test]
fn a_close_reason_that_is_not_utf_8_is_refused() {
    refuses(client(), &frame(0x88, b"\x03\xe8ok\xff"), Violation::ReasonNotUtf8, 6, 1007);
    refuses(server(), &masked(0x88, b"\x03\xe8ok\xe2\x9c"), Violation::ReasonNotUtf8, 10, 1007);
}

#[test]
fn nothing_counts_after_a_close_frame() {
    let bytes = [frame(0x88, b""), frame(0x81, b"\xff"), vec![0xff; 50]].concat();
    let mut buffer = bytes.clone();
    let mut rest = &mut buffer[..];
    let mut decoder = client();
    assert_eq!(decoder.decode(&mut rest), Ok(Some(Event::Close(None))));
    assert!(decoder.is_over());
    assert_eq!(decoder.decode(&mut rest), Ok(None));
    assert_eq!((rest.len(), decoder.offset()), (0, bytes.len() as u64));
}

#[test]
fn a_close_frame_may_come_inside_a_message() {
    let bytes = [frame(0x01, b"a"), frame(0x88, b"\x03\xe8")].concat();
    assert_eq!(all(client(), &bytes).1, None);
}

fn limited(limits: Limits) -> Decoder {
    Decoder::new(Role::Client, limits)
}

#[test]
fn a_frame_beyond_the_limit_is_refused_by_its_head() {
    let limits = Limits { frame: 1000, ..Limits::default() };
    assert_eq!(all(limited(limits.clone()), &frame(0x82, &[0; 1000])).1, None);
    let huge = [0x82, 127, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    refuses(limited(limits.clone()), &huge, Violation::FrameTooBig(i64::MAX as u64), 1, 1009);
    refuses(limited(limits.clone()), &frame(0x82, &[0; 1001])[..4], Violation::FrameTooBig(1001), 1, 1009);
    // Also if all of it is there.
    refuses(limited(limits), &frame(0x82, &[0; 1001]), Violation::FrameTooBig(1001), 1, 1009);
}

#[test]
fn a_message_beyond_the_limit_is_refused_by_the_head_of_the_frame_that_exceeds_it() {
    let limits = Limits { message: 1000, ..Limits::default() };
    let fits = [frame(0x02, &[0; 600]), frame(0x80, &[0; 400])].concat();
    assert_eq!(all(limited(limits.clone()), &fits).1, None);
    let bytes = [&frame(0x02, &[0; 600])[..], &frame(0x80, &[0; 401])[..4]].concat();
    refuses(limited(limits.clone()), &bytes, Violation::MessageTooBig(1001), 605, 1009);
    refuses(limited(limits.clone()), &frame(0x82, &[0; 1001]), Violation::MessageTooBig(1001), 1, 1009);
    // Each message is counted by itself.
    assert_eq!(all(limited(limits), &[&fits[..], &fits].concat()).1, None);
}

#[test]
fn a_flood_of_empty_fragments_is_refused() {
    let limits = Limits { empty_fragments: 3, ..Limits::default() };
    let mut bytes = frame(0x02, b"");
    bytes.extend([frame(0x00, b""), frame(0x00, b"")].concat());
    assert_eq!(all(limited(limits.clone()), &bytes).1, None);
    bytes.extend(frame(0x00, b""));
    refuses(limited(limits), &bytes, Violation::EmptyFragments, 7, 1008);
}

#[test]
fn a_flood_of_pings_inside_a_message_is_refused() {
    let limits = Limits { controls: 3, ..Limits::default() };
    let (ping, pong) = (frame(0x89, b""), frame(0x8a, b""));
    let calm = [frame(0x02, b"a"), ping.clone(), pong.clone(), ping.clone()].concat();
    // A fragment that brings the message on makes room for more.
    let on = [&calm[..], &frame(0x00, b"b"), &ping, &ping, &ping, &frame(0x80, b"c")].concat();
    assert_eq!(all(limited(limits.clone()), &on).1, None);
    let flood = [&calm[..], &frame(0x00, b""), &ping].concat();
    refuses(limited(limits.clone()), &flood, Violation::ControlFlood, 11, 1008);
    // Between messages any number may come.
    assert_eq!(all(limited(limits), &ping.repeat(5000)).0.len(), 5000);
}

#[test]
fn limits_that_cannot_work_are_named() {
    assert_eq!(Limits::default().check(), Ok(()));
    let (frame, message) =
        (Limits { frame: 124, ..Limits::default() }, Limits { message: 1, ..Limits::default() });
    assert_eq!(frame.check().unwrap_err().field, "ws.frame");
    assert_eq!(message.check().unwrap_err().field, "ws.message");
}

#[test]
fn each_violation_says_what_it_is() {
    let error = all(client(), &frame(0x83, b"")).1.unwrap();
    assert_eq!(error.to_string(), "opcode 3 is reserved (byte 0)");
    let error = all(client(), &frame(0x88, b"\x03\xed")).1.unwrap();
    assert_eq!(error.to_string(), "close code 1005 is not for the wire (byte 2)");
}

#[test]
fn a_decoder_is_small() {
    assert!(size_of::<Decoder>() <= 144, "{}", size_of::<Decoder>());
}
