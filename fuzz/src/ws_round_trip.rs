//! What one end writes, the other reads: messages in fragments or not, compressed or not, pings between, and a close.

use arbitrary::{Arbitrary, Unstructured};
use everlink::outbox::Kind;
use everlink::ws::deflate::{Compressor, Config, Context, Decompressor};
use everlink::ws::{Close, CloseBody, Code, Decoder, Encoder, Event, Frame, Limits, Mask, Part, Role};

use crate::ws_decode::cuts;

#[derive(Arbitrary, Debug)]
struct Script {
    client: bool,
    compression: Option<Compression>,
    messages: Vec<Message>,
    close: Option<(u16, String)>,
    split: u8,
}

#[derive(Arbitrary, Debug)]
struct Compression {
    window: u8,
    takeover: bool,
    level: u8,
    memory: u8,
    threshold: u8,
    room: u8,
}

#[derive(Arbitrary, Debug)]
struct Message {
    text: bool,
    content: String,
    /// How often the content is repeated, so that there is something to compress.
    times: u8,
    fragments: Vec<u8>,
    ping: Option<[u8; 3]>,
    key: [u8; 4],
    /// Whether it goes past the compressor.
    secret: bool,
}

#[derive(Debug, PartialEq)]
enum Seen {
    Message(Kind, Vec<u8>),
    Ping(Vec<u8>),
    Close(Option<(u16, String)>),
}

pub fn ws_round_trip(data: &[u8]) {
    let Ok(script) = Script::arbitrary_take_rest(Unstructured::new(data)) else { return };
    let (wire, said) = write(&script);
    assert_eq!(read(&script, &wire), said);
}

fn ends(script: &Script) -> Option<(Compressor, Decompressor)> {
    let compression = script.compression.as_ref()?;
    let config = Config {
        level: compression.level,
        memory: compression.memory,
        threshold: compression.threshold.into(),
        ..Config::default()
    };
    let context = Context { window: 8 + compression.window % 8, takeover: compression.takeover };
    Some((Compressor::new(&config, context), Decompressor::new(&config, context)))
}

fn write(script: &Script) -> (Vec<u8>, Vec<Seen>) {
    let role = if script.client { Role::Client } else { Role::Server };
    let mut compressor = ends(script).map(|(compressor, _)| compressor);
    let room = Compressor::ROOM
        + script.compression.as_ref().map_or(0, |compression| 40 * usize::from(compression.room));
    let (mut encoder, mut wire, mut said) = (Encoder::new(role), Vec::new(), Vec::new());
    let mut send = |frame: Frame<'_>, key| {
        let mask = script.client.then(|| Mask::new(key));
        let mut out = vec![0; frame.payload().len() + 14];
        let length = encoder.write(frame, mask, &mut out).expect("it is in order");
        wire.extend_from_slice(&out[..length]);
    };
    for message in &script.messages {
        let kind = if message.text { Kind::Text } else { Kind::Binary };
        let content = message.content.repeat(1 + usize::from(message.times) % 64);
        let content = content.as_bytes();
        let mut cuts: Vec<usize> =
            message.fragments.iter().map(|at| usize::from(*at) * content.len() / 255).collect();
        cuts.extend([0, content.len()]);
        cuts.sort_unstable();
        let mut out = vec![0; room];
        for (place, cut) in cuts.windows(2).enumerate() {
            let (first, last) = (place == 0, place + 2 == cuts.len());
            let mut part = Part { kind, compressed: false, first, last, payload: &content[cut[0]..cut[1]] };
            match &mut compressor {
                Some(compressor) if !message.secret => {
                    while let Some(piece) = compressor.compress(&mut part, &mut out) {
                        send(Frame::part(piece), message.key);
                    }
                }
                _ => send(Frame::part(part), message.key),
            }
            if let Some(ping) = &message.ping {
                send(Frame::ping(ping).expect("it is short"), message.key);
                said.push(Seen::Ping(ping.to_vec()));
            }
        }
        // A ping behind the last fragment is seen behind the message.
        let place = said.len() - usize::from(message.ping.is_some());
        said.insert(place, Seen::Message(kind, content.to_vec()));
        if message.secret
            && let Some(compressor) = &mut compressor
        {
            compressor.release();
        }
    }
    if let Some((code, reason)) = &script.close {
        let code = Code::new(*code);
        let body = code.map(|code| CloseBody::new(code, reason));
        send(Frame::close(body.as_ref()), [1, 2, 3, 4]);
        let reason = &reason[..reason.floor_char_boundary(123)];
        said.push(Seen::Close(code.map(|code| (code.get(), reason.to_owned()))));
    }
    (wire, said)
}

fn read(script: &Script, wire: &[u8]) -> Vec<Seen> {
    let role = if script.client { Role::Server } else { Role::Client };
    // Compressed messages are in as many fragments as the compressor had to fill.
    let mut decoder = Decoder::new(role, Limits { empty_fragments: u16::MAX, ..Limits::default() });
    let mut decompressor = ends(script).map(|(_, decompressor)| decompressor);
    if decompressor.is_some() {
        decoder = decoder.with_compression();
    }
    let (mut seen, mut message, mut left) = (Vec::new(), Vec::new(), Vec::new());
    let (cuts, mut out) = (cuts(wire.len(), script.split), [0; 999]);
    for cut in cuts.windows(2) {
        left.extend_from_slice(&wire[cut[0]..cut[1]]);
        let mut rest = &mut left[..];
        loop {
            let event = match decoder.decode(&mut rest).expect("it is as it must be") {
                Some(event) => event,
                None => match decoder.partial(&mut rest) {
                    Some(part) => Event::Part(part),
                    None => break,
                },
            };
            let mut collect = |part: Part<'_>| {
                message.extend_from_slice(part.payload);
                if part.last {
                    seen.push(Seen::Message(part.kind, core::mem::take(&mut message)));
                }
            };
            match event {
                Event::Text(text) => seen.push(Seen::Message(Kind::Text, text.bytes().to_vec())),
                Event::Binary(bytes) => seen.push(Seen::Message(Kind::Binary, bytes.to_vec())),
                Event::Part(mut part) => match &mut decompressor {
                    Some(decompressor) => {
                        while let Some(part) = decompressor
                            .decompress(&mut part, decoder.offset(), &mut out)
                            .expect("it is as it must be")
                        {
                            collect(part);
                        }
                    }
                    None => collect(part),
                },
                Event::Ping(payload) => seen.push(Seen::Ping(payload.to_vec())),
                Event::Pong(_) => unreachable!("nobody sent one"),
                Event::Close(close) => seen
                    .push(Seen::Close(close.map(|Close { code, reason }| (code.get(), reason.to_owned())))),
            }
        }
        let behind = rest.len();
        left.drain(..left.len() - behind);
    }
    seen
}
