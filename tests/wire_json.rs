//! The JSON messages: exactly as clients and servers of this protocol write them, and what hostile text does.

#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test may be blunt")]

use crate::law::proptest_config;
use everlink::error::NoRoom;
use everlink::wire::json::{
    DEPTH_MAX, DecodeError, Id, Message, Payload, Problem, Raw, Reason, Secret, Text,
};
use everlink::wire::native::Form;
use proptest::prelude::*;
use serde_json::{Value, json};

fn raw(text: &str) -> Raw<'_> {
    Raw::new(text).unwrap()
}

fn decode(text: &str) -> Message<'_> {
    Message::decode(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn named<'a>(name: &'a str, data: &'a str) -> Payload<'a> {
    Payload::Named { name: name.into(), data: Some(raw(data)) }
}

/// Each message as it goes over the wire.
fn messages() -> Vec<(&'static str, Message<'static>)> {
    let (id, timestamp) = (Id::from(17), Some(1_700_000_000_000));
    let theirs = Id::Raw(raw(r#""x7k2j""#));
    vec![
        (r#"{"type":"ping"}"#, Message::Ping),
        (r#"{"type":"pong"}"#, Message::Pong),
        (
            r#"{"id":"17","type":"auth","timestamp":1700000000000,"payload":{"token":"t"}}"#,
            Message::Auth { id, timestamp, payload: Some(Secret::new(raw(r#"{"token":"t"}"#))) },
        ),
        (
            r#"{"id":"17","type":"event","timestamp":1700000000000,"payload":{"event":"moved","data":[1,2]}}"#,
            Message::Request { form: Form::Event, id, timestamp, payload: named("moved", "[1,2]") },
        ),
        (
            r#"{"id":"17","type":"command","timestamp":1700000000000,"payload":{"action":"save","parameters":{}}}"#,
            Message::Request { form: Form::Command, id, timestamp, payload: named("save", "{}") },
        ),
        (
            r#"{"id":"17","type":"query","timestamp":1700000000000,"payload":{"resource":"users","parameters":{"n":1}}}"#,
            Message::Request { form: Form::Query, id, timestamp, payload: named("users", r#"{"n":1}"#) },
        ),
        (
            r#"{"id":"17","type":"response","timestamp":1700000000000,"payload":{"ok":true},"requestId":"x7k2j"}"#,
            Message::Response { id, timestamp, request: theirs, payload: Some(raw(r#"{"ok":true}"#)) },
        ),
        (
            r#"{"id":"17","type":"error","timestamp":1700000000000,"requestId":"x7k2j","error":"no \"users\""}"#,
            Message::Error {
                id,
                timestamp,
                request: Some(theirs),
                error: Some(Reason::Text("no \"users\"".into())),
            },
        ),
        (
            r#"{"id":"17","type":"error","timestamp":1700000000000,"error":{"code":5}}"#,
            Message::Error { id, timestamp, request: None, error: Some(Reason::Raw(raw(r#"{"code":5}"#))) },
        ),
        (
            r#"{"id":"17","type":"presence","timestamp":1700000000000,"payload":1,"requestId":"x7k2j"}"#,
            Message::Other {
                kind: "presence".into(),
                id,
                timestamp,
                request: Some(theirs),
                payload: Some(raw("1")),
            },
        ),
        (r#"{"action":"subscribe","channel":"news"}"#, Message::Subscribe { channel: "news".into() }),
        (r#"{"action":"unsubscribe","channel":"news"}"#, Message::Unsubscribe { channel: "news".into() }),
        (
            r#"{"action":"publish","channel":"news","data":{"n":1}}"#,
            Message::Publish { channel: "news".into(), data: raw(r#"{"n":1}"#) },
        ),
        (
            r#"{"channel":"news","data":{"n":1}}"#,
            Message::Broadcast { channel: "news".into(), data: raw(r#"{"n":1}"#) },
        ),
        (
            r#"{"channel":"system","data":{"type":"subscription_confirm","channel":"news"}}"#,
            Message::Confirmation { channel: "news".into() },
        ),
        (
            r#"{"channel":"system","data":{"type":"error","message":"no"}}"#,
            Message::SystemError { message: "no".into(), channel: None },
        ),
        (
            r#"{"channel":"system","data":{"type":"error","message":"no","channel":"news"}}"#,
            Message::SystemError { message: "no".into(), channel: Some("news".into()) },
        ),
    ]
}

/// A decoded payload is always raw: the same with its name, if it has one.
fn with_name(message: Message<'_>) -> Message<'_> {
    match message {
        Message::Request { form, id, timestamp, payload } => {
            let payload = payload.named(form).map_or(payload, |(name, data)| Payload::Named { name, data });
            Message::Request { form, id, timestamp, payload }
        }
        other => other,
    }
}

#[test]
fn messages_are_written_and_read_as_the_protocol_has_them() {
    for (text, message) in messages() {
        assert_eq!(message.to_string(), text);
        assert_eq!(with_name(decode(text)), message, "{text}");
        let mut out = vec![0; text.len()];
        assert_eq!(message.encoded_len(), text.len());
        assert_eq!(message.encode(&mut out), Ok(text.len()));
        assert_eq!(out, text.as_bytes());
        assert_eq!(message.encode(&mut out[1..]), Err(NoRoom));
    }
}

#[test]
fn white_space_order_and_unknown_fields_do_not_matter() {
    let text = " {\n \"payload\" : [ 1 , 2 ] ,\t\"extra\": {\"type\": \"ping\"}, \"t\\u0079pe\":\"quer\\u0079\",\r\n\"id\":\"a\\\"b\" } ";
    let Message::Request { form: Form::Query, id, timestamp: None, payload: Payload::Raw(payload) } =
        decode(text)
    else {
        panic!("{:?}", decode(text))
    };
    assert_eq!(id.to_string(), r#""a\"b""#);
    assert_eq!(payload.unwrap().as_str(), "[ 1 , 2 ]");
}

#[test]
fn of_two_fields_with_one_name_the_last_one_counts() {
    assert_eq!(decode(r#"{"type":"ping","type":"pong"}"#), Message::Pong);
    assert_eq!(raw(r#"{"a":1,"b":2,"a":3}"#).field("a").unwrap().integer(), Some(3));
}

#[test]
fn what_decides_is_action_then_type_then_channel() {
    let both = r#"{"type":"ping","id":"1","action":"subscribe","channel":"a"}"#;
    assert_eq!(decode(both), Message::Subscribe { channel: "a".into() });
    assert_eq!(decode(r#"{"channel":"a","data":1,"type":"ping"}"#), Message::Ping);
}

#[test]
fn an_error_may_be_about_no_request_and_have_its_reason_where_others_have_a_payload() {
    let (why, list) = (Reason::Text("why".into()), Reason::Raw(raw("[1]")));
    for (fields, about, reason) in [
        ("", None, None),
        (r#","requestId":null"#, None, None),
        (r#","payload":"why""#, None, Some(why)),
        (r#","requestId":7,"payload":"why","error":[1]"#, Some("7"), Some(list)),
    ] {
        let text = format!(r#"{{"type":"error","id":"1"{fields}}}"#);
        let Message::Error { request, error, .. } = decode(&text) else { panic!("{text}") };
        assert_eq!((request.map(|id| id.to_string()).as_deref(), error), (about, reason));
    }
}

#[test]
fn an_id_has_at_most_256_bytes_as_it_is_written() {
    for (len, good) in [(254, true), (255, false)] {
        let text = format!(r#"{{"type":"a","id":"{}"}}"#, "i".repeat(len));
        assert_eq!(Message::decode(text.as_bytes()).is_ok(), good, "{len} and two quotes");
    }
    assert!(Message::decode(format!(r#"{{"type":"a","id":{}}}"#, "1".repeat(256)).as_bytes()).is_ok());
    assert!(Message::decode(format!(r#"{{"type":"a","id":{}}}"#, "1".repeat(257)).as_bytes()).is_err());
}

#[test]
fn numbers_are_those_of_json() {
    for good in ["0", "-0", "10", "-1.5", "1e5", "1E5", "1e+5", "1e-5", "0.25e00"] {
        assert_eq!(raw(good).as_str(), good);
    }
    for bad in ["01", "+1", "1.", ".5", "1e", "1e+-5", "-", "0x1", "1e5.0"] {
        assert!(Raw::new(bad).is_err(), "{bad}");
    }
}

#[test]
fn an_answer_finds_its_request_by_the_number_it_was_given() {
    let id = |text: &str| match decode(&format!(r#"{{"type":"response","id":"1","requestId":{text}}}"#)) {
        Message::Response { request, .. } => request.number(),
        other => panic!("{other:?}"),
    };
    assert_eq!(id(r#""17""#), Some(17));
    assert_eq!(id("17"), Some(17));
    assert_eq!(id(r#""0""#), Some(0));
    assert_eq!(id(r#""4294967295""#), Some(u32::MAX));
    for other in
        [r#""017""#, r#""+17""#, r#""17 ""#, r#""4294967296""#, "17.0", "-17", r#""\u0031""#, r#""x""#]
    {
        assert_eq!(id(other), None, "{other}");
    }
}

#[test]
fn what_is_wrong_is_told_with_the_byte() {
    use Problem::{Depth, Field, Missing, NotObject, Syntax, Truncated};
    let cases: &[(&str, usize, Problem)] = &[
        ("", 0, Truncated),
        ("  ", 2, Truncated),
        ("{", 1, Truncated),
        (r#"{"type""#, 7, Truncated),
        (r#"{"type":"ping""#, 14, Truncated),
        (r#"{"type":"ping}"#, 14, Truncated),
        (r#"{"type":"pi\"#, 12, Truncated),
        (r#"{"type":"ping"}x"#, 15, Syntax),
        (r#"{"type":"ping",}"#, 15, Syntax),
        (r#"{"type":"ping" "id":1}"#, 15, Syntax),
        (r#"{type:"ping"}"#, 1, Syntax),
        (r#"{"type":'ping'}"#, 8, Syntax),
        (r#"{"type":"p\xng"}"#, 11, Syntax),
        (r#"{"type":"\u12g4"}"#, 13, Syntax),
        ("{\"type\":\"a\nb\"}", 10, Syntax),
        (r#"{"n":01}"#, 6, Syntax),
        (r#"{"n":.5}"#, 5, Syntax),
        (r#"{"n":1.}"#, 7, Syntax),
        (r#"{"n":1e}"#, 7, Syntax),
        (r#"{"n":-}"#, 6, Syntax),
        (r#"{"n":+1}"#, 5, Syntax),
        (r#"{"n":nul}"#, 8, Syntax),
        (r#"{"n":NaN}"#, 5, Syntax),
        (r#"{"n":[1,]}"#, 8, Syntax),
        (r#"{"n":[1}}"#, 7, Syntax),
        (r#"{"n":{"a":1]}"#, 11, Syntax),
        ("\u{feff}{}", 0, Syntax),
        ("[]", 0, NotObject),
        (" \"ping\"", 1, NotObject),
        ("{}", 0, Missing("type")),
        (r#"{"type":1}"#, 8, Field("type")),
        (r#"{"type":""}"#, 8, Field("type")),
        (r#"{"type":"query"}"#, 0, Missing("id")),
        (r#"{"type":"query","id":""}"#, 21, Field("id")),
        (r#"{"type":"query","id":null}"#, 21, Field("id")),
        (r#"{"type":"response","id":"1"}"#, 0, Missing("requestId")),
        (r#"{"type":"response","id":"1","requestId":[]}"#, 40, Field("requestId")),
        (r#"{"type":"error","id":"1","requestId":true}"#, 37, Field("requestId")),
        (r#"{"action":"dance","channel":"c"}"#, 10, Field("action")),
        (r#"{"action":"unsubscribed","channel":"c"}"#, 10, Field("action")),
        (r#"{"action":"subscribe"}"#, 0, Missing("channel")),
        (r#"{"action":"subscribe","channel":""}"#, 32, Field("channel")),
        (r#"{"action":"publish","channel":"c"}"#, 0, Missing("data")),
        (r#"{"channel":"c"}"#, 0, Missing("data")),
        (r#"{"channel":{},"data":1}"#, 11, Field("channel")),
        (r#"{"channel":"system","data":{"type":"subscription_confirm","channel":7}}"#, 68, Field("channel")),
    ];
    for (text, at, problem) in cases {
        assert_eq!(Message::decode(text.as_bytes()).unwrap_err(), error(*at, *problem), "{text}");
    }
    assert_eq!(Message::decode(b"{\"type\":\"\xff\"}").unwrap_err(), error(9, Problem::Text));

    let deep = |depth: u32| format!("{}{}", "[".repeat(depth as usize), "]".repeat(depth as usize));
    assert!(Raw::new(&deep(DEPTH_MAX)).is_ok());
    assert_eq!(Raw::new(&deep(DEPTH_MAX + 1)).unwrap_err(), error(128, Depth));
    assert_eq!(Raw::new(&"[".repeat(1_000_000)).unwrap_err(), error(128, Depth));
}

fn error(at: usize, problem: Problem) -> DecodeError {
    // It is not exhaustive, so it is made by failing, and changed.
    let mut error = Raw::new("").unwrap_err();
    (error.at, error.problem) = (at, problem);
    error
}

#[test]
fn an_error_says_where_and_what() {
    let told = |text: &str| Message::decode(text.as_bytes()).unwrap_err().to_string();
    assert_eq!(told(r#"{"type":"query"}"#), "byte 0: no field \"id\"");
    assert_eq!(told(r#"{"type":7}"#), "byte 8: an impossible value of \"type\"");
    assert_eq!(told(r#"{"type":"#), "byte 8: it ends too soon");
}

#[test]
fn credentials_are_not_shown() {
    let shown = format!("{:?}", decode(r#"{"type":"auth","id":"1","payload":{"token":"hunter2"}}"#));
    assert!(shown.contains("Secret(19 bytes)") && !shown.contains("hunter2"), "{shown}");
}

#[test]
fn what_a_server_says_on_the_system_channel_and_is_neither_is_a_broadcast() {
    for data in ["1", "{}", r#"{"type":7}"#, r#"{"type":"maintenance","at":5}"#] {
        let text = format!(r#"{{"channel":"system","data":{data}}}"#);
        assert_eq!(decode(&text), Message::Broadcast { channel: "system".into(), data: raw(data) });
    }
}

#[test]
fn half_a_surrogate_pair_is_a_replacement_character() {
    for (text, says) in [
        (r#""\ud83d\ude00""#, "😀"),
        (r#""\ud83d""#, "\u{fffd}"),
        (r#""\ude00\ud83dx""#, "\u{fffd}\u{fffd}x"),
        (r#""\ud83d\u0041""#, "\u{fffd}A"),
        (r#""\ud83d\ud83d\ude00""#, "\u{fffd}😀"),
        (r#""\"\\\/\b\f\n\r\t\u00e9é""#, "\"\\/\u{8}\u{c}\n\r\téé"),
    ] {
        let found = raw(text).text().unwrap();
        assert_eq!(found.to_string(), says, "{text}");
        assert_eq!(found, Text::from(says));
        assert_eq!(found.to_cow(), says);
    }
    assert_eq!(raw(r#""\u0061bc""#).text().unwrap().unescape(&mut [0; 2]), None);
}

/// Any JSON, as a text with white space and escapes here and there.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i32>().prop_map(|quarters| Value::from(f64::from(quarters) / 4.0)),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((any::<String>(), inner), 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// Something like JSON.
fn nearly() -> impl Strategy<Value = String> {
    let token = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\"a\"",
        "\"type\"",
        "\"id\"",
        "\"channel\"",
        "\"data\"",
        "1",
        "0",
        "-",
        ".5",
        "e3",
        "true",
        "null",
        " ",
        "\n",
        "\\",
        "\\u00e9",
        "\\n",
        "é",
        "\u{1}",
    ]);
    let soup = prop::collection::vec(token, 0..30).prop_map(|tokens| tokens.concat());
    let damaged = (value(), any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<char>())
        .prop_map(|(value, at, to, char)| {
            let mut chars: Vec<char> = serde_json::to_string_pretty(&value).unwrap().chars().collect();
            let at = at.index(chars.len());
            match to.index(3) {
                0 => chars[at] = char,
                1 => chars.truncate(at),
                _ => chars.insert(at, ','),
            }
            chars.into_iter().collect()
        });
    prop_oneof![soup, damaged]
}

fn message() -> impl Strategy<Value = Value> {
    let id = prop_oneof![
        "[a-z0-9]{1,12}".prop_map(Value::from),
        any::<u32>().prop_map(|id| Value::from(id.to_string())),
        any::<u32>().prop_map(Value::from),
    ];
    let name = ".{1,20}";
    prop_oneof![
        (name, id.clone(), value(), value(), id).prop_map(|(kind, id, payload, error, request)| {
            json!({"type": kind, "id": id, "payload": payload, "error": error, "requestId": request, "timestamp": 5})
        }),
        (name, value()).prop_map(|(channel, data)| json!({"channel": channel, "data": data})),
        (name, value()).prop_map(|(channel, data)| json!({"action": "publish", "channel": channel, "data": data})),
    ]
}

proptest! {
    #![proptest_config(proptest_config("proptest-regressions/wire_json.txt", 500))]

    /// Another parser agrees on what is JSON.
    #[test]
    fn what_is_json_is_taken_and_what_is_not_is_not(text in prop_oneof![3 => nearly(), 1 => any::<String>()]) {
        let theirs = serde_json::from_str::<Value>(&text);
        let ours = Raw::new(&text);
        match (&theirs, &ours) {
            (Ok(_), Ok(raw)) => prop_assert_eq!(raw.as_str(), text.trim_matches([' ', '\t', '\n', '\r'])),
            (Err(_), Err(error)) => prop_assert!(error.at <= text.len()),
            // It does not take numbers that no float can hold, and halves of surrogate pairs.
            (Err(error), Ok(_)) => prop_assert!(error.to_string().contains("number out of range")
                || error.to_string().contains("surrogate") || error.to_string().contains("unexpected end of hex escape"), "{}", error),
            (Ok(_), Err(error)) => prop_assert!(false, "{}: {}", text, error),
        }
    }

    #[test]
    fn values_are_lent_as_they_are_and_say_what_they_say(value in value(), pretty: bool) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        let raw = Raw::new(&text).unwrap();
        prop_assert_eq!(raw.as_str(), &text);
        prop_assert_eq!(raw.text().map(|text| text.to_string()), value.as_str().map(str::to_owned));
        prop_assert_eq!(raw.integer(), value.as_u64());
        for (key, field) in value.as_object().into_iter().flatten() {
            prop_assert_eq!(serde_json::from_str::<Value>(raw.field(key).unwrap().as_str()).unwrap(), field.clone());
        }
    }

    /// What was decoded, written and decoded again is the same, and says what the first text says.
    #[test]
    fn a_message_survives_being_written(value in message()) {
        let text = value.to_string();
        let Ok(message) = Message::decode(text.as_bytes()) else {
            return Err(TestCaseError::fail(text));
        };
        let again = message.to_string();
        prop_assert_eq!(Message::decode(again.as_bytes()).unwrap(), message);
        let written: Value = serde_json::from_str(&again).unwrap();
        for (key, field) in written.as_object().unwrap() {
            prop_assert_eq!(field, &value[key]);
        }
    }

    #[test]
    fn any_string_can_be_a_name(name in any::<String>(), slashes in "[\"\\\\\u{0}-\u{1f}a]{0,9}") {
        for name in [name.as_str(), slashes.as_str()] {
            if name.is_empty() {
                continue;
            }
            let text = Message::Subscribe { channel: name.into() }.to_string();
            prop_assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), json!({"action": "subscribe", "channel": name}));
            prop_assert_eq!(decode(&text), Message::Subscribe { channel: name.into() });
        }
    }

    #[test]
    fn no_bytes_do_harm(bytes in prop::collection::vec(any::<u8>(), 0..200), text in nearly()) {
        for frame in [&bytes[..], text.as_bytes()] {
            if let Err(error) = Message::decode(frame) {
                prop_assert!(error.at <= frame.len());
            }
        }
    }
}

/// The shortest and the longest of each number of bytes, and the ends of what UTF-16 cuts out.
const CHARS: [char; 11] = [
    '\0',
    'a',
    '\u{7f}',
    '\u{80}',
    'é',
    '\u{7ff}',
    '\u{800}',
    '\u{d7ff}',
    '\u{ffff}',
    '\u{10000}',
    '\u{10ffff}',
];

#[test]
fn a_text_with_escapes_is_unescaped_into_a_buffer() {
    let mut buffer = [0xff; 16];
    for char in CHARS {
        let says = format!("\n{char}.");
        let units: Vec<u16> = says.encode_utf16().collect();
        let escaped: String = units.iter().map(|unit| format!("\\u{unit:04x}")).collect();
        let plain = if char < ' ' { escaped.clone() } else { format!("\\n{char}.") };
        for written in [escaped, plain] {
            let quoted = format!("\"{written}\"");
            let text = raw(&quoted).text().unwrap();
            assert_eq!(text.unescape(&mut buffer), Some(&*says), "{char:?}");
            assert_eq!(text.unescape(&mut buffer[..says.len()]), Some(&*says), "{char:?}");
            assert_eq!(text.unescape(&mut buffer[..says.len() - 1]), None, "{char:?}");
        }
    }
    let plain = raw("\"no escapes\"").text().unwrap();
    assert_eq!(plain.unescape(&mut []), Some("no escapes"));
}
