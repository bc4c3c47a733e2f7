//! Compressed messages over bytes, between both ends.
#![cfg(feature = "deflate")]

use everlink::outbox::Kind;
use everlink::stream::{Config, Event, Heap, Memory, Room, WebSocket};
use everlink::ws::deflate;
use everlink::ws::handshake::{Acceptance, Request};
use everlink::ws::{Code, Violation};

const SECRET: [u8; 32] = [3; 32];

fn compressing() -> Config {
    let mut config = Config::default();
    config.deflate = Some(deflate::Config::default());
    config
}

fn memory(message: usize) -> Memory<Heap> {
    Memory::on_heap(64 << 10, 8 << 20, message)
}

struct Pair {
    client: WebSocket<Heap>,
    server: WebSocket<Heap>,
    /// Bytes that the client has sent.
    sent: usize,
}

impl Pair {
    fn new(client: &Config, server: &Config) -> Pair {
        let request = Request::new("example.org", "/");
        let client = WebSocket::client(memory(4 << 20), client, &request, SECRET).unwrap();
        let mut pair = Pair { client, server: WebSocket::server(memory(4 << 20), server), sent: 0 };
        pair.carry();
        assert!(matches!(pair.server.read(), Some(Event::Request(_))));
        pair.server.accept(&Acceptance::default()).unwrap();
        pair.carry();
        assert!(matches!(pair.client.read(), Some(Event::Opened(_))));
        pair
    }

    /// Carries what both have to say, without reading.
    fn carry(&mut self) {
        self.sent += pour(&mut self.client, &mut self.server);
        pour(&mut self.server, &mut self.client);
    }

    /// Sends a message from the client, and gives what the server gets, and in how many bytes.
    fn send(&mut self, kind: Kind, payload: &[u8]) -> (Vec<u8>, usize) {
        let before = self.sent;
        self.client.send(kind, payload).unwrap();
        let got = self.deliver(kind);
        (got, self.sent - before)
    }

    fn deliver(&mut self, wanted: Kind) -> Vec<u8> {
        loop {
            self.sent += pour(&mut self.client, &mut self.server);
            match self.server.read() {
                Some(Event::Message { kind, data }) => {
                    assert_eq!(kind, wanted);
                    return data.to_vec();
                }
                Some(event) => panic!("{event:?}"),
                None => {}
            }
        }
    }
}

fn pour<A: Room, B: Room>(from: &mut WebSocket<A>, to: &mut WebSocket<B>) -> usize {
    let room = to.fill();
    let bytes = from.transmit();
    let count = bytes.len().min(room.len());
    room[..count].copy_from_slice(&bytes[..count]);
    if count > 0 {
        to.received(count);
        from.sent(count);
    }
    count
}

/// Bytes that do not become smaller.
fn noise(length: usize) -> Vec<u8> {
    let mut rng = everlink::rng::Rng::new(length as u64);
    std::iter::repeat_with(|| rng.bits() as u8).take(length).collect()
}

#[test]
fn messages_are_compressed_if_both_want_it() {
    let text = "a stroke, ".repeat(1000);
    for (client, server, compressed) in [
        (compressing(), compressing(), true),
        (Config::default(), compressing(), false),
        (compressing(), Config::default(), false),
    ] {
        let mut pair = Pair::new(&client, &server);
        let (got, bytes) = pair.send(Kind::Text, text.as_bytes());
        assert!(got == text.as_bytes());
        assert_eq!(bytes < text.len() / 10, compressed, "{bytes}");
    }
}

/// What does not become smaller goes as it is, and what follows must not suffer from the attempt.
#[test]
fn messages_of_every_kind_follow_each_other() {
    let mut pair = Pair::new(&compressing(), &compressing());
    for round in 0..3 {
        for payload in [
            Vec::new(),
            "é".repeat(1000).into_bytes(),
            vec![0; 100_000],
            noise(70_000),
            noise(70_001),
            vec![b'x'; 1 << 20],
            noise(100),
            vec![b'y'; 63],
            noise(1 << 20),
            "hello ".repeat(50 * (round + 1)).into_bytes(),
        ] {
            assert!(pair.send(Kind::Binary, &payload).0 == payload, "{} bytes", payload.len());
        }
    }
}

#[test]
fn a_secret_goes_past_the_compressor() {
    let mut pair = Pair::new(&compressing(), &compressing());
    let secret = "token ".repeat(100);
    let before = pair.sent;
    pair.client.send_plain(Kind::Text, secret.as_bytes()).unwrap();
    assert!(pair.deliver(Kind::Text) == secret.as_bytes());
    assert!(pair.sent - before > secret.len());
    // Nor does a later message refer to it.
    let (_, bytes) = pair.send(
        Kind::Text,
        noise(100).iter().map(|byte| char::from(byte % 64 + 32)).collect::<String>().as_bytes(),
    );
    assert!(bytes > 60, "{bytes}");
}

#[test]
fn a_bomb_is_refused_when_it_has_grown_too_large() {
    let mut pair = Pair::new(&compressing(), &compressing());
    let request = Request::new("example.org", "/");
    pair.client = WebSocket::client(memory(4 << 20), &compressing(), &request, SECRET).unwrap();
    pair.server = WebSocket::server(memory(100_000), &compressing());
    pair.carry();
    assert!(matches!(pair.server.read(), Some(Event::Request(_))));
    pair.server.accept(&Acceptance::default()).unwrap();
    pair.carry();
    assert!(matches!(pair.client.read(), Some(Event::Opened(_))));
    for (length, fits) in [(100_000, true), (4 << 20, false)] {
        pair.client.send(Kind::Binary, &vec![0; length]).unwrap();
        let event = loop {
            pour(&mut pair.client, &mut pair.server);
            if let Some(event) = pair.server.read() {
                break event;
            }
        };
        match event {
            Event::Message { data, .. } => assert!(fits && data.len() == length),
            Event::Failed(error) => {
                assert!(!fits && matches!(error.violation, Violation::MessageTooBig(_)), "{error}");
                assert_eq!(error.code(), Code::TOO_BIG);
            }
            event => panic!("{event:?}"),
        }
    }
}

#[test]
fn text_is_checked_when_it_is_inflated() {
    let mut pair = Pair::new(&compressing(), &compressing());
    pair.client.send(Kind::Text, &[&[b'a'; 1000][..], &[0xC3, 0x28]].concat()).unwrap();
    pair.carry();
    let Some(Event::Failed(error)) = pair.server.read() else { panic!() };
    assert_eq!(error.violation, Violation::TextNotUtf8);
}
