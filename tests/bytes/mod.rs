//! A link over bytes, in virtual time, and a server that says bytes as it is told.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::collections::BTreeMap;
use std::time::Duration;

use everlink::link::{self, Config, Delivery, Epoch, Input, Link, Status};
use everlink::outbox::{Kind, Message};
use everlink::stream::{self, Action, Heap, Next, Room, Stream};
use everlink::time::Instant;
use everlink::ws::handshake::{Acceptance, HeadLimits, Incoming, Request, RequestReader};
use everlink::ws::{Decoder, Event, Limits, Role};

pub const SECRET: [u8; 32] = [7; 32];

pub type Told = Action<link::Action>;

/// What the client said, unmasked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>),
}

/// A link that is not disturbed by heartbeats.
pub fn quiet() -> Config {
    let mut config = Config::default();
    config.heartbeat.mode = everlink::heartbeat::Mode::Off;
    config.backoff.base = Duration::from_millis(100);
    config
}

pub struct Rig<B = Heap> {
    pub link: Link<Vec<u8>>,
    pub stream: Stream<B>,
    pub now: Instant,
    /// Everything that was told or asked, in order.
    pub told: Vec<Told>,
    /// Sockets that the stream wants or has, and how many bytes of each were heard by the server.
    pub sockets: Vec<Epoch>,
    /// All that each socket has sent.
    pub sent: BTreeMap<Epoch, Vec<u8>>,
    pub messages: Vec<(Kind, Vec<u8>)>,
    /// The largest piece that is moved at once.
    pub piece: usize,
}

impl Rig {
    pub fn new(config: Config) -> Rig {
        Rig::with(config, stream::Config::default())
    }

    pub fn with(config: Config, limits: stream::Config) -> Rig {
        let link = Link::new(config, 1).unwrap();
        let stream = Stream::on_heap(limits, &link);
        Rig::over(link, stream)
    }

    /// Connected, by a server that accepts.
    pub fn open(config: Config) -> Rig {
        let mut rig = Rig::new(config);
        rig.connect();
        rig
    }
}

impl<B: Room> Rig<B> {
    pub fn over(link: Link<Vec<u8>>, stream: Stream<B>) -> Rig<B> {
        let mut rig = Rig {
            link,
            stream,
            now: Instant::ORIGIN,
            told: Vec::new(),
            sockets: Vec::new(),
            sent: BTreeMap::new(),
            messages: Vec::new(),
            piece: usize::MAX,
        };
        rig.say(Input::Start);
        rig
    }

    pub fn say(&mut self, input: Input<'_>) {
        self.link.handle(self.now, input).for_each(drop);
        self.settle();
    }

    /// Polls until there is nothing to do; gives the deadline.
    #[track_caller]
    pub fn settle(&mut self) -> Option<Instant> {
        for _ in 0..10_000 {
            match self.stream.poll(&mut self.link) {
                Next::Do(action) => {
                    match action {
                        Action::Connect { epoch, .. } => self.sockets.push(epoch),
                        Action::Disconnect { epoch } => {
                            let before = self.sockets.len();
                            self.sockets.retain(|other| *other != epoch);
                            assert_eq!(self.sockets.len() + 1, before, "each is disconnected once");
                        }
                        _ => {}
                    }
                    assert!(self.sockets.len() <= 2, "two sockets at most");
                    self.told.push(action);
                }
                Next::Wait(at) => return Some(at),
                Next::Idle => return None,
            }
        }
        panic!("it never comes to rest");
    }

    pub fn epoch(&self) -> Epoch {
        *self.sockets.last().expect("a socket")
    }

    /// The bytes' way of the newest socket is there.
    pub fn reach(&mut self, request: &Request<'_>) {
        let epoch = self.epoch();
        self.stream.connected(&mut self.link, self.now, epoch, request, SECRET);
        self.settle();
        self.take(epoch);
    }

    /// The newest socket is opened by a server that accepts.
    pub fn connect(&mut self) -> Epoch {
        self.reach(&Request::new("example.org", "/chat"));
        let epoch = self.epoch();
        let answer = self.acceptance(epoch);
        self.feed(epoch, &answer);
        assert_eq!(self.link.status(), Status::Connected);
        epoch
    }

    /// What a server answers that accepts what this socket asked for.
    pub fn acceptance(&self, epoch: Epoch) -> Vec<u8> {
        let Ok(Some(Incoming::Upgrade(upgrade))) =
            RequestReader::new(HeadLimits::default()).read(&self.sent[&epoch])
        else {
            panic!("a request to upgrade")
        };
        let mut answer = vec![0; 1024];
        let length = Acceptance::default().write(&upgrade, &mut answer).unwrap();
        answer.truncate(length);
        answer
    }

    /// The server says these bytes.
    #[track_caller]
    pub fn feed(&mut self, epoch: Epoch, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = self.stream.fill(epoch);
            let count = room.len().min(bytes.len()).min(self.piece);
            if count == 0 {
                assert!(!self.stream.epochs().any(|other| other == epoch), "nothing more is taken");
                return;
            }
            let (piece, rest) = bytes.split_at(count);
            room[..count].copy_from_slice(piece);
            bytes = rest;
            self.stream.received(&mut self.link, self.now, epoch, count);
            self.read(epoch);
        }
    }

    pub fn read(&mut self, epoch: Epoch) {
        while let Some(deliveries) = self.stream.read(&mut self.link, self.now, epoch) {
            for delivery in deliveries {
                let Delivery::Message { kind, data } = delivery else { panic!("{delivery:?}") };
                self.messages.push((kind, data.to_vec()));
            }
        }
        self.settle();
        self.take(epoch);
    }

    /// The server closes the connection.
    pub fn end(&mut self, epoch: Epoch) {
        self.stream.received(&mut self.link, self.now, epoch, 0);
        self.read(epoch);
    }

    /// The network takes all that is to go out, piece by piece.
    pub fn take(&mut self, epoch: Epoch) {
        while self.take_some(epoch, self.piece) > 0 {}
    }

    /// The network takes at most so many bytes.
    pub fn take_some(&mut self, epoch: Epoch, most: usize) -> usize {
        let bytes = self.stream.transmit(epoch);
        let count = bytes.len().min(most);
        self.sent.entry(epoch).or_default().extend_from_slice(&bytes[..count]);
        if count > 0 {
            self.stream.sent(&mut self.link, self.now, epoch, count);
            self.settle();
        }
        count
    }

    pub fn send(&mut self, text: &str) {
        self.give(text);
        for epoch in self.sockets.clone() {
            self.take(epoch);
        }
    }

    /// The same, and the network takes nothing.
    pub fn give(&mut self, text: &str) {
        self.link.send(self.now, Message::text(text.into()), |_, _| ()).unwrap();
        self.settle();
    }

    pub fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.settle().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.stream.tick(&mut self.link, self.now);
        }
        self.now = end;
        self.stream.tick(&mut self.link, self.now);
        self.settle();
    }

    /// What this socket has said after its request.
    pub fn said(&self, epoch: Epoch) -> Vec<Said> {
        let bytes = &self.sent[&epoch];
        let head = bytes.windows(4).position(|window| window == b"\r\n\r\n").map_or(0, |at| at + 4);
        let mut bytes = bytes[head..].to_vec();
        let mut rest = &mut bytes[..];
        let mut decoder = Decoder::new(Role::Server, Limits::default());
        let mut said = Vec::new();
        while let Some(event) = decoder.decode(&mut rest).expect("a client keeps the rules") {
            said.push(match event {
                Event::Text(text) => Said::Text(text.as_str().into()),
                Event::Binary(data) => Said::Binary(data.into()),
                Event::Ping(data) => Said::Ping(data.into()),
                Event::Pong(data) => Said::Pong(data.into()),
                Event::Close(close) => Said::Close(close.map(|close| close.code.get())),
                Event::Part(part) => panic!("{part:?}"),
            });
        }
        said
    }

    pub fn count(&self, wanted: impl Fn(&Told) -> bool) -> usize {
        self.told.iter().filter(|told| wanted(told)).count()
    }

    pub fn has(&self, wanted: impl Fn(&Told) -> bool) -> bool {
        self.count(wanted) > 0
    }
}

/// A server's frame.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
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

pub fn text(text: &str) -> (Kind, Vec<u8>) {
    (Kind::Text, text.into())
}
