//! Text is UTF-8, across fragments and reads, and what is not is told at the first byte that shows it.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a test may be blunt"
)]

use everlink::ws::{Decoder, Error, Event, Limits, Role, Utf8, Violation};
use proptest::prelude::*;

fn client() -> Decoder {
    Decoder::new(Role::Client, Limits::default())
}

/// A text of these fragments, none longer than 125 bytes.
fn fragments(parts: &[&[u8]]) -> Vec<u8> {
    let last = parts.len() - 1;
    let mut bytes = Vec::new();
    for (place, part) in parts.iter().enumerate() {
        let (opcode, fin) = (u8::from(place == 0), if place == last { 0x80 } else { 0 });
        bytes.extend([opcode | fin, part.len() as u8]);
        bytes.extend_from_slice(part);
    }
    bytes
}

/// How many bytes it takes to refuse these, and where the wrong is.
#[track_caller]
fn refused_after(bytes: &[u8]) -> (usize, u64) {
    let (mut decoder, mut buffer) = (client(), Vec::new());
    for (place, &byte) in bytes.iter().enumerate() {
        buffer.push(byte);
        let mut rest = &mut buffer[..];
        if let Err(Error { violation, at }) = decoder.decode(&mut rest) {
            assert_eq!(violation, Violation::TextNotUtf8);
            assert_eq!(violation.code().get(), 1007);
            return (place + 1, at);
        }
        let left = rest.len();
        buffer.drain(..buffer.len() - left);
    }
    panic!("not refused");
}

fn text(mut bytes: Vec<u8>) -> String {
    let (mut decoder, mut rest, mut text) = (client(), &mut bytes[..], Vec::new());
    while let Some(event) = decoder.decode(&mut rest).unwrap() {
        match event {
            Event::Text(whole) => return whole.as_str().into(),
            Event::Part(part) => text.extend_from_slice(part.payload),
            other => panic!("{other:?}"),
        }
    }
    String::from_utf8(text).unwrap()
}

#[test]
fn a_character_may_be_cut_by_fragments() {
    let word = "κόσμε𐍈";
    for cut in 0..=word.len() {
        for second in cut..=word.len() {
            let (a, rest) = word.as_bytes().split_at(cut);
            let (b, c) = rest.split_at(second - cut);
            assert_eq!(text(fragments(&[a, b, c])), word);
        }
    }
}

#[test]
fn a_byte_that_cannot_be_is_refused_before_the_frame_is_complete() {
    let bytes = fragments(&[b"ok\xffand then a lot more"]);
    assert_eq!(refused_after(&bytes), (5, 4));
    // The second byte of the character shows that the first is no beginning of anything.
    let bytes = fragments(&[b"ok\xf4\x90\x80\x80 more"]);
    assert_eq!(refused_after(&bytes), (6, 4));
    let bytes = fragments(&[b"\xed\xa0\x80"]); // a surrogate
    assert_eq!(refused_after(&bytes), (4, 2));
    let bytes = fragments(&[b"\xc0\x80"]); // too long a form
    assert_eq!(refused_after(&bytes), (3, 2));
}

#[test]
fn a_character_cut_by_fragments_is_refused_where_it_began() {
    assert_eq!(refused_after(&fragments(&[b"ok\xe2", b"\x82", b"x"])), (11, 4));
    assert_eq!(refused_after(&fragments(&[b"ok\xe2", b"", b"\x28"])), (10, 4));
}

#[test]
fn a_text_that_ends_inside_a_character_is_refused() {
    assert_eq!(refused_after(&fragments(&[b"ok\xe2\x82"])), (6, 4));
    assert_eq!(refused_after(&fragments(&[b"ok\xe2\x82", b""])), (8, 4));
    let mut whole = fragments(&[b"ok\xe2\x82"]);
    assert_eq!(client().decode(&mut &mut whole[..]), Err(Error { violation: Violation::TextNotUtf8, at: 4 }));
}

#[test]
fn what_a_message_left_does_not_touch_the_next() {
    let mut decoder = client();
    let mut bytes = [fragments(&[b"\xc3", b"\xa9"]), fragments(&[b"\xa9"])].concat();
    let mut rest = &mut bytes[..];
    assert!(matches!(decoder.decode(&mut rest), Ok(Some(Event::Part(_)))));
    assert!(matches!(decoder.decode(&mut rest), Ok(Some(Event::Part(_)))));
    assert!(decoder.decode(&mut rest).is_err());
}

#[test]
fn binary_is_not_looked_at() {
    let mut bytes = *b"\x82\x02\xff\xfe";
    assert_eq!(client().decode(&mut &mut bytes[..]), Ok(Some(Event::Binary(b"\xff\xfe"))));
}

/// What the standard library says of all of it: where it is wrong for good, or unfinished.
fn oracle(bytes: &[u8]) -> (Result<(), u64>, Result<(), u64>) {
    match core::str::from_utf8(bytes) {
        Ok(_) => (Ok(()), Ok(())),
        Err(error) if error.error_len().is_none() => (Ok(()), Err(error.valid_up_to() as u64)),
        Err(error) => (Err(error.valid_up_to() as u64), Ok(())),
    }
}

fn nearly_text() -> impl Strategy<Value = Vec<u8>> {
    let noise = (any::<prop::sample::Index>(), any::<u8>());
    (".{0,80}", prop::option::weighted(0.6, noise), 0..4_usize).prop_map(|(text, noise, cut)| {
        let mut bytes = text.into_bytes();
        if let (Some((at, byte)), false) = (noise, bytes.is_empty()) {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(bytes.len().saturating_sub(cut));
        bytes
    })
}

proptest! {
    #[test]
    fn any_pieces_give_what_the_standard_library_says(
        bytes in nearly_text(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let mut validator = Utf8::new();
        let pushed = cuts.windows(2).try_for_each(|cut| validator.push(&bytes[cut[0]..cut[1]], cut[0] as u64));
        let (wrong, unfinished) = oracle(&bytes);
        prop_assert_eq!(pushed, wrong);
        if pushed.is_ok() {
            prop_assert_eq!(validator.finish(), unfinished);
        }
    }
}

#[test]
fn a_text_is_compared_and_shown_as_a_string() {
    use everlink::ws::Text;
    let (text, same, other) = (Text::from("caf\u{e9}"), Text::from("caf\u{e9}"), Text::from("cafe"));
    assert!(text == same && text != other);
    assert_eq!((format!("{text:>6}"), format!("{text:?}")), ("  caf\u{e9}".into(), "\"caf\u{e9}\"".into()));
}
