//! A link of `Vec<u8>` in virtual time, an adapter that obeys it, and a server that does as it is told.
//!
//! A test moves time with [`Script::until`], changes what the server does through [`Script::server`], and compares what
//! was seen with a table: one line for each action, with the millisecond at which it was asked for.
//!
//! Delays have no jitter unless a test asks for it, so that tables hold whole numbers.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::std_instead_of_alloc,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a test may be blunt"
)]

pub mod books;
pub mod driven;
pub mod far;
mod passing;
pub mod random;
mod seen;
#[cfg(feature = "serde")]
pub mod steps;
pub mod tape;

use core::time::Duration;
use std::collections::BTreeMap;

use everlink::backoff::Jitter;
use everlink::link::{Action, Close, Config, Epoch, Event, Failure, Input, Link, Next, Status};
use everlink::outbox::{Kind, Message, MessageId, Refused, Settlement};
use everlink::requests::Ended;
use everlink::time::Instant;
use everlink::wire::native::Limits;
use everlink::wire::{Opcode, Wire};

pub const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub const fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

pub fn epoch(number: u32) -> Epoch {
    Epoch::new(number).unwrap()
}

/// What the server does with a socket that is being opened.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Door {
    Accepts,
    Refuses(Failure),
    /// Neither yes nor no: packets vanish.
    Silent,
}

/// How the server and the path to it behave.
#[derive(Clone, Copy, Debug)]
pub struct Server {
    pub door: Door,
    /// From asking for a socket to its being open.
    pub connect: Duration,
    pub rtt: Duration,
    /// Pings and closes are answered.
    pub answers: bool,
    /// What is written to the socket leaves it.
    pub drains: bool,
    /// The events of abandoned sockets come all the same.
    pub ghosts: bool,
}

impl Server {
    /// The path swallows everything without a word; the kernel's buffer still takes what is written.
    pub fn black_hole(&mut self) {
        self.door = Door::Silent;
        self.answers = false;
    }

    pub fn heal(&mut self) {
        self.door = Door::Accepts;
        self.answers = true;
    }
}

/// Something on its way to the link.
#[derive(Clone, Debug)]
enum Coming {
    Opened,
    Failed(Failure),
    Pong(u32),
    Written(u64),
    Closed(Option<u16>),
    Frame(Kind, Vec<u8>),
    /// On the native wire: a frame of the link's, on its way to the far end.
    Up(u32, Vec<u8>),
    /// The state of this version is on the disk.
    Stored(u64, Snapshot),
}

/// What is on a disk: the link's state, and how much the application had seen and done when it was stored.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub state: Vec<u8>,
    pub delivered: usize,
    pub settled: usize,
    pub accepted: usize,
    pub cancelled: usize,
}

/// A link, its adapter, its server, and everything that was seen.
pub struct Script {
    pub link: Link<Vec<u8>>,
    pub now: Instant,
    pub server: Server,
    /// The socket takes one frame, and then has no room.
    pub socket_is_full: bool,
    /// Ticks every millisecond besides the deadlines.
    pub chatty: bool,
    /// What the link asked for and told, and when.
    pub actions: Vec<(Instant, Action)>,
    /// What the application got.
    pub delivered: Vec<Vec<u8>>,
    /// What was written to which socket.
    pub written: Vec<(u32, Vec<u8>)>,
    /// Heartbeats in frames that were written.
    pub beats: Vec<(Opcode, Vec<u8>)>,
    /// How many ended, in which way.
    pub settled: Vec<Settlement>,
    /// Requests that ended without an answer.
    pub ended: Vec<Ended>,
    /// How long it takes to store a state; `None` if it always fails.
    pub disk: Option<Duration>,
    /// What is on the disk.
    pub stored: Snapshot,
    /// How many messages were accepted.
    pub accepted: usize,
    /// How many were taken back, as the test counts.
    pub cancelled: usize,
    /// The far end's number of a socket is above its epoch by this.
    base: u32,
    /// On the native wire, the server's end.
    pub far: Option<far::Far>,
    /// What the path keeps back: it will come when the path heals.
    held: Vec<(Epoch, Coming)>,
    /// What the application was told besides messages.
    pub told: Vec<String>,
    /// Payload bytes that were written to each socket.
    totals: BTreeMap<u32, u64>,
    coming: Vec<(Instant, Epoch, Coming)>,
    seen: usize,
    read: usize,
}

impl Script {
    pub fn new(change: impl FnOnce(&mut Config)) -> Script {
        Script::with_seed(7, change)
    }

    pub fn with_seed(seed: u64, change: impl FnOnce(&mut Config)) -> Script {
        let mut config = Config::default();
        config.backoff.jitter = Jitter::None;
        config.backoff.online_jitter = Duration::ZERO;
        change(&mut config);
        Script {
            link: Link::new(config, seed).unwrap(),
            now: Instant::ORIGIN,
            server: Server {
                door: Door::Accepts,
                connect: ms(100),
                rtt: ms(40),
                answers: true,
                drains: true,
                ghosts: false,
            },
            socket_is_full: false,
            chatty: false,
            actions: Vec::new(),
            delivered: Vec::new(),
            written: Vec::new(),
            beats: Vec::new(),
            settled: Vec::new(),
            ended: Vec::new(),
            disk: Some(ms(5)),
            stored: Snapshot::default(),
            accepted: 0,
            cancelled: 0,
            base: 0,
            far: None,
            held: Vec::new(),
            told: Vec::new(),
            totals: BTreeMap::new(),
            coming: Vec::new(),
            seen: 0,
            read: 0,
        }
    }

    /// On the native wire, with a far end, started at 0 and connected at 140 ms; what was seen until 1 s is taken as read.
    #[track_caller]
    pub fn native(change: impl FnOnce(&mut Config)) -> Script {
        let mut script = Script::new(|config| {
            config.wire = Wire::Native(Limits::default());
            change(config);
        });
        script.far = Some(far::Far::default());
        script.input(Input::Start);
        script.until(1_000);
        assert_eq!(script.status(), Status::Connected);
        script.forget();
        script
    }

    pub fn far(&mut self) -> &mut far::Far {
        self.far.as_mut().unwrap()
    }

    /// The far end has a message for the application.
    pub fn tell(&mut self, message: &str) {
        let sent = self.far().tell(message);
        self.down(sent);
    }

    /// The far end has an envelope for the client.
    pub fn say(&mut self, envelope: &everlink::wire::native::Envelope<'_>) {
        let sent = self.far().say(envelope);
        self.down(sent);
    }

    pub fn tell_all(&mut self, messages: &[&str]) {
        for message in messages {
            self.tell(message);
        }
    }

    /// Frames of the far end set out.
    pub fn down(&mut self, frames: Vec<(u32, Vec<u8>)>) {
        for (number, data) in frames {
            if let Some(epoch) = number.checked_sub(self.base).and_then(Epoch::new) {
                self.later(self.server.rtt / 2, epoch, Coming::Frame(Kind::Binary, data));
            }
        }
    }

    fn up(&mut self, epoch: Epoch, frame: Vec<u8>) {
        self.later(self.server.rtt / 2, epoch, Coming::Up(self.base + epoch.get(), frame));
    }

    /// Started at 0 and connected at 100 ms; what was seen until 1 s is taken as read.
    #[track_caller]
    pub fn connected(change: impl FnOnce(&mut Config)) -> Script {
        let mut script = Script::new(change);
        script.input(Input::Start);
        script.until(1_000);
        assert_eq!(script.status(), Status::Connected);
        script.forget();
        script
    }

    // Inputs.

    pub fn input(&mut self, input: Input<'_>) {
        self.link.handle(self.now, input);
        self.drain();
    }

    /// Something happens to a socket now.
    pub fn event(&mut self, number: u32, event: Event<'_>) {
        if matches!(event, Event::Closed(_) | Event::Failed(_)) {
            self.forget_socket(epoch(number));
        }
        self.deliver(epoch(number), event);
        self.drain();
    }

    /// A text comes in on a socket now.
    pub fn text(&mut self, number: u32, text: &str) {
        self.event(number, Event::Frame { kind: Kind::Text, data: text.as_bytes() });
    }

    /// The server closes a socket with this code, or without one.
    pub fn close(&mut self, number: u32, code: Option<u16>) {
        self.event(number, Event::Closed(closed(code)));
    }

    /// A text will come in on a socket at this millisecond.
    pub fn text_at(&mut self, millis: u64, number: u32, text: &str) {
        self.coming.push((at(millis), epoch(number), Coming::Frame(Kind::Text, text.into())));
    }

    /// Accepts a text, and acts on it.
    #[track_caller]
    pub fn send(&mut self, text: &str) -> MessageId {
        self.post(Message::text(text.into())).unwrap()
    }

    #[track_caller]
    pub fn send_all(&mut self, texts: &[&str]) {
        for text in texts {
            self.send(text);
        }
    }

    #[track_caller]
    pub fn post(&mut self, message: Message<Vec<u8>>) -> Result<MessageId, Refused<Vec<u8>>> {
        let mut displaced = Vec::new();
        let result = self.link.send(self.now, message, |gone, _| displaced.push(gone));
        self.settled.extend(displaced);
        self.accepted += usize::from(result.is_ok());
        self.drain();
        result
    }

    // The adapter.

    /// Does what the link asks for until it asks for nothing.
    pub fn drain(&mut self) {
        for _ in 0..10_000 {
            match self.link.poll() {
                Next::Do(action) => self.obey(action),
                Next::Wait(_) | Next::Idle => return,
            }
        }
        panic!("the link never comes to rest: {:?}", self.actions.last());
    }

    fn obey(&mut self, action: Action) {
        self.actions.push((self.now, action));
        let server = self.server;
        match action {
            Action::Open { epoch, .. } => match server.door {
                Door::Accepts => self.later(server.connect, epoch, Coming::Opened),
                Door::Refuses(failure) => self.later(server.connect, epoch, Coming::Failed(failure)),
                Door::Silent => {}
            },
            Action::Ping { epoch, nonce } => {
                let frame = self.link.ping_frame(nonce);
                let beat = (frame.opcode, [frame.head(), frame.payload()].concat());
                if self.far.is_some() {
                    self.up(epoch, beat.1.clone());
                }
                self.beats.push(beat);
                if server.answers && self.far.is_none() {
                    let pong = match self.link.config().wire {
                        Wire::Json(_) => Coming::Frame(Kind::Text, br#"{"type":"pong"}"#.into()),
                        _ => Coming::Pong(nonce),
                    };
                    self.later(server.rtt, epoch, pong);
                }
            }
            Action::Pong { epoch } => {
                let frame = self.link.pong_frame();
                let beat = (frame.opcode, [frame.head(), frame.payload()].concat());
                if self.far.is_some() {
                    self.up(epoch, beat.1.clone());
                }
                self.beats.push(beat);
            }
            Action::Close { epoch, .. } => {
                if server.answers {
                    // Behind whatever else the far end has to say.
                    let behind = if self.far.is_some() { ms(1) } else { Duration::ZERO };
                    self.later(server.rtt + behind, epoch, Coming::Closed(Some(1000)));
                }
            }
            Action::Abandon { epoch } => {
                if !server.ghosts {
                    self.forget_socket(epoch);
                }
            }
            Action::Store { version } => {
                let mut state = Vec::new();
                self.link.store(self.now, |part| state.extend_from_slice(part));
                let (delivered, settled) = (self.delivered.len(), self.settled.len());
                let (accepted, cancelled) = (self.accepted, self.cancelled);
                let snapshot = Snapshot { state, delivered, settled, accepted, cancelled };
                match self.disk {
                    Some(takes) => self.later(takes, epoch(u32::MAX), Coming::Stored(version, snapshot)),
                    None => {
                        self.link.handle(self.now, Input::StoreFailed(version));
                    }
                }
            }
            Action::Flush { epoch } => self.flush(epoch),
            Action::Settled(settlement) => self.settled.push(settlement),
            Action::Ended(ended) => self.ended.push(ended),
            Action::Status { .. } | Action::RetryScheduled { .. } | Action::Quality { .. } => {}
        }
    }

    fn flush(&mut self, epoch: Epoch) {
        while let Some(frame) = self.link.pull(epoch) {
            let payload = frame.payload().to_vec();
            let total = self.totals.entry(epoch.get()).or_default();
            *total += payload.len() as u64;
            let total = *total;
            if self.far.is_some() {
                let frame = [frame.head(), frame.payload()].concat();
                self.up(epoch, frame);
            }
            self.written.push((epoch.get(), payload));
            if self.server.drains {
                self.later(Duration::ZERO, epoch, Coming::Written(total));
            }
            if self.socket_is_full {
                return;
            }
        }
    }

    fn later(&mut self, delay: Duration, epoch: Epoch, coming: Coming) {
        // Nothing overtakes what is on its way on the same socket in the same direction.
        let is_up = matches!(coming, Coming::Up(..));
        let on_its_way = self.coming.iter().filter(|(_, of, coming)| {
            *of == epoch
                && matches!(coming, Coming::Up(..) | Coming::Frame(..))
                && matches!(coming, Coming::Up(..)) == is_up
        });
        let last = on_its_way.map(|(at, ..)| *at).max().filter(|_| self.far.is_some());
        let at = (self.now + delay).max(last.unwrap_or(self.now));
        self.coming.push((at, epoch, coming));
    }
}

/// How a socket ends with this code, or by a drop.
pub const fn closed(code: Option<u16>) -> Close<'static> {
    Close { code, reason: "", clean: code.is_some(), retry_after: None }
}
