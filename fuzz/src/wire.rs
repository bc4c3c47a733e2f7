//! The raw wire: what is a heartbeat for one end is one for the other, and nothing else is.

use everlink::heartbeat::Mode;
use everlink::link::{Action, Config, Delivery, Epoch, Event, Input, Link, Next};
use everlink::outbox::{Kind, Message, RefusedReason};
use everlink::time::Instant;
use everlink::wire::Wire;
use everlink::wire::raw::{self, Pattern, Style};

use crate::pick;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Meaning {
    Ping,
    Pong,
    Message,
}

/// A mode and a style, three patterns and a frame, with bytes between them that no text holds.
pub fn wire(data: &[u8]) {
    let Some(([mode, style], rest)) = data.split_first_chunk() else { return };
    let mut parts = rest.splitn(4, |byte| *byte == 0xff);
    let mut part = || parts.next().unwrap_or_default();
    let parse = |bytes: &[u8]| {
        let text = core::str::from_utf8(bytes).ok()?;
        let pattern = text.parse::<Pattern>().ok()?;
        assert_eq!(pattern.to_string().parse(), Ok(pattern), "{text}");
        Some(pattern)
    };
    let usual = raw::Config::default();
    let raw = raw::Config {
        heartbeat: pick(&[Style::Bytes, Style::Json, Style::Websocket], *style),
        ping: parse(part()).unwrap_or(usual.ping),
        also_ping: parse(part()).unwrap_or(usual.also_ping),
        pong: parse(part()).unwrap_or(usual.pong),
    };
    let mode = pick(&[Mode::Client, Mode::Server, Mode::Both, Mode::Off], *mode);
    let mut config = Config { wire: Wire::Raw(raw.clone()), ..Config::default() };
    config.heartbeat.mode = mode;
    let Ok(mut link) = connected(config) else { return };
    meet(&mut link, &raw, mode, part());
    if raw.heartbeat != Style::Websocket {
        let ping = link.ping_frame(1).payload().to_vec();
        let pong = link.pong_frame().payload().to_vec();
        for frame in [ping, pong] {
            assert_ne!(meaning(&raw, mode, &frame), Meaning::Message);
            meet(&mut link, &raw, mode, &frame);
        }
    }
}

fn connected(config: Config) -> Result<Link<Vec<u8>>, everlink::error::ConfigError> {
    let mut link = Link::new(config, 7)?;
    link.handle(Instant::ORIGIN, Input::Start);
    while let Next::Do(action) = link.poll() {
        if let Action::Open { epoch, .. } = action {
            link.handle(Instant::ORIGIN, Input::Socket(epoch, Event::Opened));
        }
    }
    Ok(link)
}

/// A frame arrives, and is sent.
fn meet(link: &mut Link<Vec<u8>>, raw: &raw::Config, mode: Mode, frame: &[u8]) {
    let now = Instant::from_millis(10);
    let epoch = Epoch::new(1).expect("it is not zero");
    for kind in [Kind::Text, Kind::Binary] {
        let event = Event::Frame { kind, data: frame };
        let delivered: Vec<_> = link.handle(now, Input::Socket(epoch, event)).collect();
        let mut ponged = false;
        while let Next::Do(action) = link.poll() {
            ponged |= matches!(action, Action::Pong { .. });
        }
        let sent = link.send(now, Message { kind, ..Message::binary(frame.to_vec()) }, |_, _| ());
        let means = meaning(raw, mode, frame);
        assert_eq!(ponged, means == Meaning::Ping, "{means:?} {frame:?} {raw:?}");
        if means == Meaning::Message {
            assert_eq!(delivered, [Delivery::Message { kind, data: frame }]);
            assert_eq!(link.pull(epoch).map(|frame| frame.payload().to_vec()).as_deref(), Some(frame));
            assert!(sent.is_ok());
        } else {
            assert_eq!(delivered, []);
            assert_eq!(sent.err().map(|refused| refused.reason), Some(RefusedReason::Heartbeat));
        }
    }
}

/// What the documentation of the wire says that a frame is.
fn meaning(raw: &raw::Config, mode: Mode, frame: &[u8]) -> Meaning {
    let is = |pattern: Pattern| !pattern.is_empty() && pattern.as_bytes() == frame;
    let (ping, pong) = match raw.heartbeat {
        Style::Websocket => (false, false),
        Style::Bytes => (is(raw.ping) || is(raw.also_ping), is(raw.pong)),
        Style::Json => (json(frame).as_deref() == Some("ping"), json(frame).as_deref() == Some("pong")),
    };
    match (ping, pong) {
        (true, true) if mode == Mode::Server => Meaning::Ping,
        (_, true) => Meaning::Pong,
        (true, false) => Meaning::Ping,
        (false, false) => Meaning::Message,
    }
}

/// `T` of `{"type":"T"}`, white space between the tokens apart.
fn json(frame: &[u8]) -> Option<String> {
    let text = core::str::from_utf8(frame).ok()?;
    let white = [' ', '\t', '\n', '\r'];
    let after =
        |text: &'_ str, token: &str| text.trim_start_matches(white).strip_prefix(token).map(str::to_owned);
    let rest = after(&after(&after(text, "{")?, "\"type\"")?, ":")?;
    let (word, rest) =
        after(&rest, "\"")?.split_once('"').map(|(word, rest)| (word.to_owned(), rest.to_owned()))?;
    after(&rest, "}")?.trim_matches(white).is_empty().then_some(word)
}
