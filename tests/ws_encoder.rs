//! Frames as they go out: their bytes, their order, and the room that they need.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a test may be blunt"
)]

use everlink::outbox::Kind;
use everlink::ws::{CloseBody, Code, Encoder, Frame, Mask, Part, Role, SendError};

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

fn part(first: bool, last: bool, payload: &[u8]) -> Frame<'_> {
    Frame::part(Part { kind: Kind::Text, compressed: false, first, last, payload })
}

fn server(frame: Frame<'_>) -> Vec<u8> {
    let mut out = vec![0xaa; frame.payload().len() + 20];
    let length = Encoder::new(Role::Server).write(frame, None, &mut out).unwrap();
    assert!(out[length..].iter().all(|&byte| byte == 0xaa), "nothing is written behind the frame");
    out.truncate(length);
    out
}

#[test]
fn heads_have_the_shortest_length_that_does() {
    let long = vec![7; 65536];
    for (size, head) in [
        (0, &[0x82, 0][..]),
        (125, &[0x82, 125]),
        (126, &[0x82, 126, 0, 126]),
        (65535, &[0x82, 126, 0xff, 0xff]),
        (65536, &[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
    ] {
        let frame = Frame::binary(&long[..size]);
        assert_eq!(server(frame), [head, &long[..size]].concat());
        let lent = Encoder::new(Role::Server).head(&frame, None).unwrap();
        assert_eq!((lent.bytes(), frame.payload()), (head, &long[..size]));
    }
}

#[test]
fn a_client_masks_while_it_copies() {
    for size in (0..300).chain([1023, 1024, 4000, 65535, 65536, 70000]) {
        let payload: Vec<u8> = (0..size).map(|at| (at * 7) as u8).collect();
        let frame = Frame::binary(&payload);
        let mut out = vec![0; size + 14];
        let length = Encoder::new(Role::Client).write(frame, Some(Mask::new(KEY)), &mut out).unwrap();
        let head = Encoder::new(Role::Client).head(&frame, Some(Mask::new(KEY))).unwrap();
        let expected: Vec<u8> =
            payload.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
        assert_eq!(out[..length], [head.bytes(), &expected].concat());
        assert_eq!(head.bytes()[1] & 0x80, 0x80);
        assert!(head.bytes().ends_with(&KEY));
    }
}

#[test]
fn a_mask_goes_on_where_it_was_left() {
    let whole: Vec<u8> = (0..5000).map(|at| at as u8).collect();
    let mut expected = whole.clone();
    Mask::new(KEY).apply(&mut expected);
    for cut in [0, 1, 2, 3, 4, 5, 63, 64, 65, 2000, 2001] {
        let (mut pieces, mut copied, mut mask, mut copier) =
            (whole.clone(), vec![0; whole.len()], Mask::new(KEY), Mask::new(KEY));
        let (start, rest) = pieces.split_at_mut(cut);
        mask.apply(start);
        mask.apply(rest);
        copier.copy(&whole[..cut], &mut copied[..cut]);
        copier.copy(&whole[cut..], &mut copied[cut..]);
        assert!(pieces == expected && copied == expected, "{cut}");
    }
}

#[test]
fn masking_does_not_depend_on_where_the_bytes_lie() {
    let buffer: Vec<u8> = (0..3000).map(|at| at as u8).collect();
    for offset in 0..70 {
        let mut bytes = buffer.clone();
        Mask::new(KEY).apply(&mut bytes[offset..]);
        for (at, (masked, clear)) in bytes[offset..].iter().zip(&buffer[offset..]).enumerate() {
            assert_eq!(*masked, clear ^ KEY[at % 4]);
        }
    }
}

#[test]
fn a_frame_that_does_not_fit_says_how_much_room_it_needs_and_changes_nothing() {
    let mut encoder = Encoder::new(Role::Client);
    for (size, needed) in [(0, 6), (125, 131), (126, 134), (65536, 65550)] {
        let payload = vec![1; size];
        for room in [0, 1, needed - 1] {
            let mut out = vec![0; room];
            let written = encoder.write(Frame::binary(&payload), Some(Mask::new(KEY)), &mut out);
            assert_eq!(written, Err(SendError::NoRoom(needed)));
        }
        assert_eq!(
            encoder.write(Frame::binary(&payload), Some(Mask::new(KEY)), &mut vec![0; needed]),
            Ok(needed)
        );
    }
    let mut out = [0; 3];
    assert_eq!(encoder.write(Frame::close(None), Some(Mask::new(KEY)), &mut out), Err(SendError::NoRoom(6)));
    assert!(!encoder.is_closed(), "the close frame was not written");
}

#[test]
fn fragments_are_continued_until_the_last() {
    assert_eq!(server(part(true, false, b"Hel")), b"\x01\x03Hel");
    let (mut encoder, mut out) = (Encoder::new(Role::Server), [0; 32]);
    let mut write = |frame: Frame<'_>| {
        let length = encoder.write(frame, None, &mut out)?;
        Ok::<_, SendError>(out[..length].to_vec())
    };
    assert_eq!(write(part(false, true, b"x")), Err(SendError::NothingToContinue));
    assert_eq!(write(part(true, false, b"Hel")).unwrap(), b"\x01\x03Hel");
    assert_eq!(write(Frame::text("no")), Err(SendError::MessageInMessage));
    assert_eq!(write(part(true, false, b"no")), Err(SendError::MessageInMessage));
    assert_eq!(write(Frame::ping(b"?").unwrap()).unwrap(), b"\x89\x01?");
    assert_eq!(write(part(false, false, b"l")).unwrap(), b"\x00\x01l");
    assert_eq!(write(Frame::pong(b"!").unwrap()).unwrap(), b"\x8a\x01!");
    assert_eq!(write(part(false, true, b"o")).unwrap(), b"\x80\x01o");
    assert_eq!(write(part(false, true, b"x")), Err(SendError::NothingToContinue));
    assert_eq!(write(Frame::text("yes")).unwrap(), b"\x81\x03yes");
}

#[test]
fn the_first_frame_of_a_compressed_message_bears_rsv1_and_no_other() {
    let part = |first, last| Part { kind: Kind::Text, compressed: true, first, last, payload: b"z" };
    assert_eq!(server(Frame::part(part(true, true))), b"\xc1\x01z");
    assert_eq!(server(Frame::part(part(true, false))), b"\x41\x01z");
    let (mut encoder, mut out) = (Encoder::new(Role::Server), [0; 8]);
    encoder.write(Frame::part(part(true, false)), None, &mut out).unwrap();
    encoder.write(Frame::part(part(false, true)), None, &mut out).unwrap();
    assert_eq!(out[0], 0x80);
}

#[test]
fn a_client_must_mask_and_a_server_must_not() {
    let mut out = [0; 32];
    let frame = Frame::text("x");
    assert_eq!(Encoder::new(Role::Client).write(frame, None, &mut out), Err(SendError::Mask));
    assert_eq!(Encoder::new(Role::Server).write(frame, Some(Mask::new(KEY)), &mut out), Err(SendError::Mask));
    assert_eq!(Encoder::new(Role::Client).head(&frame, None), Err(SendError::Mask));
}

#[test]
fn control_frames_have_at_most_125_bytes() {
    let bytes = [0; 126];
    assert_eq!((Frame::ping(&bytes), Frame::pong(&bytes)), (None, None));
    assert!(Frame::ping(&bytes[..125]).is_some() && Frame::pong(&bytes[..125]).is_some());
    let longest = CloseBody::new(Code::NORMAL, &"€".repeat(100));
    assert_eq!(longest.bytes().len(), 2 + 123);
    assert!(str::from_utf8(&longest.bytes()[2..]).is_ok());
    assert_eq!(CloseBody::new(Code::NORMAL, &"é".repeat(100)).bytes().len(), 2 + 122, "no half characters");
}

#[test]
fn nothing_follows_a_close_frame() {
    let (mut encoder, mut out) = (Encoder::new(Role::Server), [0; 32]);
    let body = CloseBody::new(Code::NORMAL, "");
    assert_eq!(encoder.write(Frame::close(Some(&body)), None, &mut out), Ok(4));
    assert_eq!(&out[..4], b"\x88\x02\x03\xe8");
    assert!(encoder.is_closed());
    for frame in [Frame::text("x"), Frame::ping(b"").unwrap(), Frame::close(None), part(false, true, b"")] {
        assert_eq!(encoder.write(frame, None, &mut out), Err(SendError::Closed));
    }
}

#[test]
fn a_close_frame_may_cut_a_message_short() {
    let (mut encoder, mut out) = (Encoder::new(Role::Server), [0; 32]);
    encoder.write(part(true, false, b"a"), None, &mut out).unwrap();
    assert_eq!(encoder.write(Frame::close(None), None, &mut out), Ok(2));
}

#[test]
fn errors_and_codes_are_shown() {
    use everlink::ws::{Code, SendError};
    assert_eq!(SendError::NoRoom(9).to_string(), "9 bytes of room are needed");
    assert_eq!(SendError::Closed.to_string(), "a close frame was sent");
    assert_eq!(Code::new(1001).map(|code| code.to_string()).as_deref(), Some("1001"));
}
