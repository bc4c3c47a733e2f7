//! What the JSON wire costs beside `serde_json`: reading the messages that servers and clients of it send, and writing them.
//!
//! The peers read into structs that know which message it is (`serde_json`), into one struct of all fields, from which they find that
//! out as a receiver must (`serde_json-any`), or into a `Value`. In structs, payloads are lent as they are written, as everlink lends
//! them, and so are strings without escapes. All of them write to the end of a vector that has room.

use std::borrow::Cow;
use std::hint::black_box;

use everlink::wire::json::{Message, Payload, Raw};
use everlink::wire::native::Form;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::measure::{Contender, interleaved, print_beside};

/// An event or a command.
#[derive(Deserialize, Serialize)]
struct Request<'a, P> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    timestamp: u64,
    payload: P,
}

#[derive(Deserialize, Serialize)]
struct EventPayload<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow)]
    data: &'a RawValue,
}

#[derive(Deserialize, Serialize)]
struct CommandPayload<'a> {
    #[serde(borrow)]
    action: Cow<'a, str>,
    #[serde(borrow)]
    parameters: &'a RawValue,
}

#[derive(Deserialize, Serialize)]
struct Response<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    timestamp: u64,
    #[serde(borrow)]
    payload: &'a RawValue,
    #[serde(borrow, rename = "requestId")]
    request: Cow<'a, str>,
}

#[derive(Deserialize, Serialize)]
struct Publish<'a> {
    #[serde(borrow)]
    action: Cow<'a, str>,
    #[serde(borrow)]
    channel: Cow<'a, str>,
    #[serde(borrow)]
    data: &'a RawValue,
}

#[derive(Deserialize, Serialize)]
struct Confirm<'a> {
    #[serde(borrow)]
    channel: Cow<'a, str>,
    #[serde(borrow)]
    data: ConfirmData<'a>,
}

#[derive(Deserialize, Serialize)]
struct ConfirmData<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    channel: Cow<'a, str>,
}

/// Whatever it is.
#[derive(Deserialize)]
struct Any<'a> {
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "type")]
    kind: Option<Cow<'a, str>>,
    timestamp: Option<u64>,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
    #[serde(borrow, rename = "requestId")]
    request: Option<Cow<'a, str>>,
    #[serde(borrow)]
    action: Option<Cow<'a, str>>,
    #[serde(borrow)]
    channel: Option<Cow<'a, str>>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

/// What an application is told: how much of it there is, so that nothing is left out.
fn told_any(frame: &[u8]) -> usize {
    let any: Any<'_> = serde_json::from_slice(frame).expect("it is one");
    let len = |text: &Option<Cow<'_, str>>| text.as_deref().map_or(0, str::len);
    let base = len(&any.id) + len(&any.request) + any.timestamp.unwrap_or(0) as usize;
    match (any.action.as_deref(), any.kind.as_deref(), any.channel.as_deref()) {
        (Some("publish"), ..) => len(&any.channel) + any.data.expect("it has").get().len(),
        (_, Some("event"), _) => {
            let payload: EventPayload<'_> =
                serde_json::from_str(any.payload.expect("it has").get()).expect("it is one");
            base + payload.event.len() + payload.data.get().len()
        }
        (_, Some("command"), _) => {
            let payload: CommandPayload<'_> =
                serde_json::from_str(any.payload.expect("it has").get()).expect("it is one");
            base + payload.action.len() + payload.parameters.get().len()
        }
        (_, Some("response"), _) => base + any.payload.expect("it has").get().len(),
        (.., Some("system")) => {
            let data: ConfirmData<'_> =
                serde_json::from_str(any.data.expect("it has").get()).expect("it is one");
            assert_eq!(data.kind, "subscription_confirm");
            data.channel.len()
        }
        _ => unreachable!("no such message here"),
    }
}

fn told(frame: &[u8]) -> usize {
    let id = |id: everlink::wire::json::Id<'_>| match id {
        everlink::wire::json::Id::Number(number) => 1 + number.checked_ilog10().unwrap_or(0) as usize,
        everlink::wire::json::Id::Raw(raw) => raw.text().map_or(0, |text| text.as_str().map_or(0, str::len)),
    };
    match Message::decode(frame).expect("it is one") {
        Message::Request { form, id: own, timestamp, payload } => {
            let (name, data) = payload.named(form).expect("it has a name");
            let data = data.map_or(0, |data| data.as_str().len());
            id(own) + timestamp.unwrap_or(0) as usize + name.to_cow().len() + data
        }
        Message::Response { id: own, timestamp, request, payload } => {
            let payload = payload.map_or(0, |payload| payload.as_str().len());
            id(own) + id(request) + timestamp.unwrap_or(0) as usize + payload
        }
        Message::Publish { channel, data } => channel.to_cow().len() + data.as_str().len(),
        Message::Confirmation { channel } => channel.to_cow().len(),
        _ => unreachable!("no such message here"),
    }
}

/// One message: its text, what a struct is told of it, and who writes it.
struct Sample<'a> {
    name: &'static str,
    text: String,
    message: Message<'a>,
    by_struct: fn(&[u8]) -> usize,
    struct_writes: Box<dyn Fn(&mut Vec<u8>) + 'a>,
}

fn samples<'a>(data: &'a str) -> Vec<Sample<'a>> {
    let raw = || Raw::new(data).expect("it is JSON");
    let lent = || serde_json::from_str::<&RawValue>(data).expect("it is JSON");
    let timestamp = 1_700_000_000_000;
    let event = Request {
        id: "17".into(),
        kind: "event".into(),
        timestamp,
        payload: EventPayload { event: "stroke".into(), data: lent() },
    };
    let command = Request {
        id: "18".into(),
        kind: "command".into(),
        timestamp,
        payload: CommandPayload { action: "draw".into(), parameters: lent() },
    };
    let response = Response {
        id: "21".into(),
        kind: "response".into(),
        timestamp,
        payload: lent(),
        request: "18".into(),
    };
    let publish = Publish { action: "publish".into(), channel: "drawing/7".into(), data: lent() };
    let confirm = Confirm {
        channel: "system".into(),
        data: ConfirmData { kind: "subscription_confirm".into(), channel: "drawing/7".into() },
    };
    let named = |name: &'static str| Payload::Named { name: name.into(), data: Some(raw()) };
    let timestamp = Some(timestamp);
    let write = |value: &dyn Fn(&mut Vec<u8>)| {
        let mut text = Vec::new();
        value(&mut text);
        String::from_utf8(text).expect("it is text")
    };
    macro_rules! sample {
        ($name:literal, $type:ty, $value:expr, $message:expr, |$read:ident| $told:expr) => {{
            let value = $value;
            let writes = move |out: &mut Vec<u8>| serde_json::to_writer(out, &value).expect("there is room");
            Sample {
                name: $name,
                text: write(&writes),
                message: $message,
                by_struct: |frame| {
                    let $read: $type = serde_json::from_slice(frame).expect("it is one");
                    $told
                },
                struct_writes: Box::new(writes),
            }
        }};
    }
    vec![
        sample!(
            "event",
            Request<'_, EventPayload<'_>>,
            event,
            Message::Request { form: Form::Event, id: 17.into(), timestamp, payload: named("stroke") },
            |it| it.id.len() + it.timestamp as usize + it.payload.event.len() + it.payload.data.get().len()
        ),
        sample!(
            "command",
            Request<'_, CommandPayload<'_>>,
            command,
            Message::Request { form: Form::Command, id: 18.into(), timestamp, payload: named("draw") },
            |it| it.id.len()
                + it.timestamp as usize
                + it.payload.action.len()
                + it.payload.parameters.get().len()
        ),
        sample!(
            "response",
            Response<'_>,
            response,
            Message::Response { id: 21.into(), timestamp, request: 18.into(), payload: Some(raw()) },
            |it| it.id.len() + it.request.len() + it.timestamp as usize + it.payload.get().len()
        ),
        sample!(
            "publish",
            Publish<'_>,
            publish,
            Message::Publish { channel: "drawing/7".into(), data: raw() },
            |it| it.channel.len() + it.data.get().len()
        ),
        sample!(
            "subscribe_confirm",
            Confirm<'_>,
            confirm,
            Message::Confirmation { channel: "drawing/7".into() },
            |it| it.data.channel.len()
        ),
    ]
}

/// JSON of this length: a list of points, or one string.
fn payload(len: usize, is_text: bool) -> String {
    let mut text = String::from(if is_text { "\"" } else { "[" });
    let mut number = 0;
    while text.len() + 16 < len {
        if is_text {
            text.push_str("a few words, so ");
        } else {
            text.push_str(&format!("[{},{}.5],", 100 + number % 900, 100 + number * 7 % 900));
        }
        number += 1;
    }
    let rest = len - text.len() - 1;
    text.push_str(&(if is_text { "z" } else { "1" }).repeat(rest));
    text.push(if is_text { '"' } else { ']' });
    text
}

pub fn run() {
    for (len, is_text) in [(64, false), (64, true), (1024, false), (1024, true)] {
        let data = payload(len, is_text);
        let what = if is_text { "text" } else { "numbers" };
        for sample in samples(&data) {
            // It has no payload.
            let is_short = sample.name == "subscribe_confirm";
            if is_short && (len > 64 || is_text) {
                continue;
            }
            let size = if is_short { String::new() } else { format!("_{len}B_{what}") };
            one(&sample, &size);
        }
    }
}

fn one(sample: &Sample<'_>, size: &str) {
    let frame = sample.text.as_bytes();
    assert_eq!(sample.message.to_string(), sample.text, "both write the same");
    let all = [told(frame), (sample.by_struct)(frame), told_any(frame)];
    assert!(all.iter().all(|told| *told == all[0]), "all read the same: {all:?}");
    let mut contenders = [
        Contender::new("everlink", || _ = black_box(told(black_box(frame)))),
        Contender::new("serde_json", || _ = black_box((sample.by_struct)(black_box(frame)))),
        Contender::new("serde_json-any", || _ = black_box(told_any(black_box(frame)))),
        Contender::new("serde_json-Value", || {
            _ = black_box(serde_json::from_slice::<Value>(black_box(frame)).expect("it is JSON"));
        }),
    ];
    let values = interleaved(1, &mut contenders);
    print_beside(&format!("json_decode_{}{size}", sample.name), &contenders, &values, "ns");

    let value: Value = serde_json::from_slice(frame).expect("it is JSON");
    let (mut first, mut second, mut third) =
        (vec![0; 4096], Vec::with_capacity(4096), Vec::with_capacity(4096));
    let mut contenders = [
        Contender::new("everlink", || {
            let len = black_box(&sample.message).encode(black_box(&mut first)).expect("there is room");
            black_box(len);
        }),
        Contender::new("serde_json", || {
            second.clear();
            (sample.struct_writes)(black_box(&mut second));
            black_box(second.len());
        }),
        Contender::new("serde_json-Value", || {
            third.clear();
            serde_json::to_writer(black_box(&mut third), black_box(&value)).expect("there is room");
            black_box(third.len());
        }),
    ];
    let values = interleaved(1, &mut contenders);
    print_beside(&format!("json_encode_{}{size}", sample.name), &contenders, &values, "ns");
}
