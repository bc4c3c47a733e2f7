//! What errors and ids say to people.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test may be blunt")]

use everlink::acceptor::Full;
use everlink::error::NoRoom;
use everlink::link::{Codes, RestoreError};
use everlink::requests::{End, Unwelcome};
use everlink::stream::Fault;
use everlink::wire::json::{Raw, Text};
use everlink::wire::native::{EncodeError, Limit};
use everlink::wire::serial::Damage;
use everlink::ws::handshake::WriteError;
use everlink::ws::{CloseBody, Code, Encoder, Frame, Role, Violation};
use everlink::{channels, dialogue};

#[test]
fn what_went_wrong_is_said_in_words() {
    let refused = |reason| channels::Refused { reason, name: "news" }.to_string();
    let table = [
        (NoRoom.to_string(), "the buffer is too short"),
        (Full::Sessions.to_string(), "too many sessions"),
        (RestoreError::Foreign.to_string(), "not a stored state of this version"),
        (RestoreError::Damaged.to_string(), "a stored state that is damaged, cut off or too large"),
        (End::TimedOut.to_string(), "no answer came in time"),
        (End::InDoubt.to_string(), "the session was lost: whether it was done is unknown"),
        (Unwelcome::TooMany { limit: 3 }.to_string(), "3 requests wait to be answered, and no more may"),
        (Unwelcome::Twice.to_string(), "a request with this id waits already"),
        (dialogue::Refused::NoDialogue.to_string(), "no dialogue is kept here"),
        (dialogue::Refused::NameTooLong { limit: 8 }.to_string(), "the name is longer than 8 bytes"),
        (dialogue::Refused::NotAsked.to_string(), "nothing with this id awaits a confirmation"),
        (refused(channels::RefusedReason::NameEmpty), "the name of the channel is empty"),
        (
            refused(channels::RefusedReason::NameTooLong { limit: 8 }),
            "the name of the channel is longer than 8 bytes",
        ),
        (EncodeError::NoRoom.to_string(), "the buffer is too short"),
        (EncodeError::TooLong(Limit::Reason).to_string(), "the reason is too long"),
        (Damage::TooLong.to_string(), "a packet that is too long"),
        (Damage::Checksum.to_string(), "a packet whose checksum does not fit"),
        (Violation::Opcode(11).to_string(), "opcode 11 is reserved"),
        (Violation::HalfACode.to_string(), "a close frame has one byte"),
        (WriteError::Host.to_string(), "the host cannot be one"),
        (Fault::Status(503).to_string(), "HTTP 503 instead of 101"),
        (Fault::HungUp.to_string(), "the connection ended in the opening handshake"),
    ];
    for (said, words) in table {
        assert_eq!(said, words);
    }
}

#[test]
fn bytes_are_shown_as_what_they_are() {
    let close = CloseBody::new(Code::NORMAL, "ok");
    let ping = Encoder::new(Role::Server).head(&Frame::ping(b"x").unwrap(), None).unwrap();
    let table = [
        (format!("{:?}", Raw::new("[1]").unwrap()), "[1]"),
        (format!("{:?}", Text::from("a\"b")), r#""a\"b""#),
        (format!("{close:?}"), "CloseBody([3, 232, 111, 107])"),
        (format!("{ping:?}"), "Head([137, 1])"),
    ];
    for (shown, wanted) in table {
        assert_eq!(shown, wanted);
    }
}

#[test]
fn a_list_of_codes_says_how_long_it_may_be() {
    let many: Vec<_> = (0..=Codes::MAX).map(|code| 4000 + code).collect();
    let error = serde_json::from_value::<Codes>(many.into()).expect_err("it is too long").to_string();
    let (found, most) = (Codes::MAX + 1, Codes::MAX);
    assert_eq!(error, format!("invalid length {found}, expected a list of at most {most} codes"));
    assert_eq!(format!("{:?}", Codes::of(&[1008, 1002])), "{1008, 1002}");
}
