//! The raw wire: what is a heartbeat, what is a message, and how patterns are written.

use crate::harness::Script;
use crate::law::proptest_config;
use everlink::heartbeat::Mode;
use everlink::link::{Config, Link};
use everlink::outbox::{Kind, Message, RefusedReason};
use everlink::wire::raw::{Pattern, Style};
use everlink::wire::{Opcode, Wire, raw};
use proptest::prelude::*;

fn wire(heartbeat: Style, mode: Mode) -> impl FnOnce(&mut Config) {
    move |config| {
        config.heartbeat.mode = mode;
        config.wire = Wire::Raw(raw::Config { heartbeat, ..raw::Config::default() });
    }
}

/// How many pongs a message was answered with, and whether it was delivered.
fn meets(style: Style, mode: Mode, data: &[u8]) -> (usize, bool) {
    let mut script = Script::connected(wire(style, mode));
    let beats = script.beats.len();
    script.event(1, everlink::link::Event::Frame { kind: Kind::Text, data });
    (script.beats.len() - beats, !script.delivered.is_empty())
}

const ANSWERED: (usize, bool) = (1, false);
const SWALLOWED: (usize, bool) = (0, false);
const DELIVERED: (usize, bool) = (0, true);

type Row = (Style, Mode, &'static [u8], (usize, bool));

#[test]
fn what_is_a_ping_a_pong_and_a_message() {
    use Mode::{Both, Client, Off, Server};
    use Style::{Bytes, Json, Websocket};
    let table: &[Row] = &[
        (Websocket, Client, &[1], DELIVERED),
        (Websocket, Server, br#"{"type":"ping"}"#, DELIVERED),
        (Bytes, Server, &[1], ANSWERED),
        (Bytes, Server, b"1", ANSWERED),
        (Bytes, Client, &[1], SWALLOWED),
        (Bytes, Client, b"1", ANSWERED),
        (Bytes, Off, &[1], SWALLOWED),
        (Bytes, Server, &[1, 1], DELIVERED),
        (Bytes, Server, b"", DELIVERED),
        (Bytes, Server, b"2", DELIVERED),
        (Json, Client, br#"{"type":"ping"}"#, ANSWERED),
        (Json, Client, br#"{"type":"pong"}"#, SWALLOWED),
        (Json, Both, b" { \"type\" :\t\"ping\" }\r\n", ANSWERED),
        (Json, Both, br#"{"type":"pong"}  "#, SWALLOWED),
        (Json, Both, br#"{"type":"pi ng"}"#, DELIVERED),
        (Json, Both, br#"{"ty pe":"ping"}"#, DELIVERED),
        (Json, Both, br#"{"type":"ping","id":1}"#, DELIVERED),
        (Json, Both, br#"{"type":"pin"#, DELIVERED),
        (Json, Both, br#"{"type":"ping"}}"#, DELIVERED),
        (Json, Both, b"", DELIVERED),
    ];
    for (style, mode, data, wanted) in table {
        assert_eq!(
            meets(*style, *mode, data),
            *wanted,
            "{style:?} {mode:?} {:?}",
            String::from_utf8_lossy(data)
        );
    }
}

#[test]
fn each_style_pings_in_its_own_frame() {
    let ping = |style| Script::connected(wire(style, Mode::Client)).beats[0].clone();
    assert_eq!(ping(Style::Websocket), (Opcode::Ping, vec![0, 0, 0, 1]));
    assert_eq!(ping(Style::Bytes), (Opcode::Binary, vec![1]));
    assert_eq!(ping(Style::Json), (Opcode::Text, br#"{"type":"ping"}"#.to_vec()));
}

#[test]
fn an_answer_without_a_nonce_is_measured_too() {
    let mut script = Script::new(wire(Style::Json, Mode::Client));
    script.server.answers = false;
    script.input(everlink::link::Input::Start);
    script.until(160);
    script.text(1, r#"{"type": "pong"}"#);
    assert_eq!(script.report().latency.map(|latency| latency.last), Some(crate::harness::ms(60)));
    assert_eq!(script.report().counts.pongs_received.get(), 1);
}

#[test]
fn a_message_that_equals_a_heartbeat_is_refused_and_handed_back() {
    for (style, payload) in [
        (Style::Bytes, &b"\x01"[..]),
        (Style::Bytes, b"1"),
        (Style::Json, br#"{"type":"ping"}"#),
        (Style::Json, br#"{ "type": "pong" }"#),
    ] {
        let mut script = Script::new(wire(style, Mode::Server));
        let refused = script
            .post(Message::text(payload.to_vec()))
            .map_err(|refused| (refused.reason, refused.message.payload));
        assert_eq!(refused, Err((RefusedReason::Heartbeat, payload.to_vec())));
    }
    let mut script = Script::new(|_| {});
    assert!(script.post(Message::binary(vec![1])).is_ok(), "control frames leave all bytes to the user");
}

#[test]
fn one_byte_both_ways_cannot_work_where_both_ping() {
    let refused = |change: &dyn Fn(&mut raw::Config)| {
        let mut config = Config::default();
        let mut raw = raw::Config { heartbeat: Style::Bytes, ..raw::Config::default() };
        change(&mut raw);
        config.wire = Wire::Raw(raw);
        config.heartbeat.mode = Mode::Both;
        Link::<Vec<u8>>::new(config, 1).err().map(|error| error.field)
    };
    let pattern = |text| Pattern::text(text).unwrap_or(Pattern::NONE);
    assert_eq!(refused(&|_| ()), Some("wire.raw.pong"));
    assert_eq!(refused(&|raw| raw.pong = pattern("1")), Some("wire.raw.pong"), "the other ping counts too");
    assert_eq!(refused(&|raw| raw.pong = pattern("2")), None);
}

#[test]
fn patterns_are_written_as_text_or_as_digits() {
    let table = [
        ("hex:01", Pattern::binary(&[1])),
        ("hex:", Some(Pattern::NONE)),
        ("hex:00ff", Pattern::binary(&[0, 255])),
        ("text:hb", Pattern::text("hb")),
        ("text:", Pattern::text("")),
        ("text:ü", Pattern::text("ü")),
    ];
    for (text, pattern) in table {
        assert_eq!(text.parse::<Pattern>().ok(), pattern, "{text}");
        assert_eq!(pattern.map(|pattern| pattern.to_string()).as_deref(), Some(text));
    }
    assert_eq!("hex:AB".parse::<Pattern>().ok(), Pattern::binary(&[0xAB]));
    let long = "x".repeat(33);
    for bad in [
        "",
        "01",
        "hex:0",
        "hex:0g",
        "hex:+1",
        "Text:1",
        &format!("text:{long}"),
        &format!("hex:{}", "00".repeat(33)),
    ] {
        let error = bad.parse::<Pattern>().expect_err(bad);
        assert!(error.to_string().contains("text:"), "{error}");
    }
}

proptest! {
    #![proptest_config(proptest_config("proptest-regressions/wire_raw.txt", 300))]

    #[test]
    fn a_pattern_survives_its_text(bytes in proptest::collection::vec(any::<u8>(), 0..=32), text in "[ -~äöü]{0,16}") {
        let binary = Pattern::binary(&bytes).expect("it fits");
        prop_assert_eq!(binary.to_string().parse::<Pattern>(), Ok(binary));
        if let Some(text) = Pattern::text(&text) {
            prop_assert_eq!(text.to_string().parse::<Pattern>(), Ok(text));
        }
    }

    #[test]
    fn any_other_bytes_are_a_message(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
        prop_assume!(bytes != [1] && bytes != b"1");
        prop_assert_eq!(meets(Style::Bytes, Mode::Server, &bytes), DELIVERED);
        prop_assert_eq!(meets(Style::Websocket, Mode::Server, &bytes), DELIVERED);
    }
}

#[test]
fn a_frame_is_as_long_as_its_head_and_payload() {
    let mut script = Script::connected(|_| ());
    let nonce = script.link.ping_frame(7);
    assert_eq!((nonce.len(), nonce.head(), nonce.is_empty()), (4, &[0, 0, 0, 7][..], false));
    for (payload, len) in [(&b""[..], 0), (b"x", 1), (b"hello", 5)] {
        script.link.send(script.now, Message::binary(payload.to_vec()), |_, _| ()).expect("there is room");
        let frame = script.link.pull(crate::harness::epoch(1)).expect("it waits");
        assert_eq!((frame.len(), frame.is_empty()), (len, len == 0));
    }
}

#[test]
fn a_pattern_is_shown_as_it_is_written() {
    for text in ["text:hb", "hex:00ff", "hex:a5"] {
        let pattern: Pattern = text.parse().expect("a pattern");
        assert_eq!((format!("{pattern}"), format!("{pattern:?}")), (text.into(), text.into()));
    }
}
