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
pub mod random;
#[cfg(feature = "serde")]
pub mod steps;
pub mod tape;

use core::time::Duration;
use std::collections::BTreeMap;

use everlink::backoff::Jitter;
use everlink::link::{
    Action, Close, Config, Delivery, Epoch, Event, Failure, Input, Link, Next, State, Status,
};
use everlink::metrics::Report;
use everlink::outbox::{Kind, Message, MessageId, Outcome, Refused, Settlement};
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

    // Time.

    /// Lets time pass until this millisecond, with every deadline on the way kept to the microsecond.
    pub fn until(&mut self, millis: u64) {
        self.until_instant(at(millis));
    }

    pub fn until_instant(&mut self, end: Instant) {
        self.drain();
        loop {
            if self.server.answers {
                // Before anything that set out later.
                let (held, now) = (std::mem::take(&mut self.held), self.now);
                self.coming.splice(0..0, held.into_iter().map(|(epoch, coming)| (now, epoch, coming)));
            }
            let coming = self.coming.iter().map(|(at, ..)| *at).min();
            let mut next = [coming, self.link.deadline()].into_iter().flatten().min().unwrap_or(end);
            if self.chatty {
                next = next.min(at(self.now.micros() / 1000 + 1));
            }
            if next > end {
                break;
            }
            self.now = self.now.max(next);
            if coming.is_some_and(|at| at <= self.now) {
                self.arrive();
            } else {
                self.link.handle(self.now, Input::Tick);
            }
            self.drain();
            if self.now >= end
                && self.link.deadline().is_none_or(|at| at > end)
                && coming.is_none_or(|at| at > end)
            {
                break;
            }
        }
        self.now = self.now.max(end);
    }

    /// The process does not run until this millisecond: no tick, nothing read. What has come meanwhile is read first.
    pub fn frozen_until(&mut self, millis: u64) {
        self.now = at(millis);
        while self.coming.iter().any(|(at, ..)| *at <= self.now) {
            self.arrive();
        }
        self.link.handle(self.now, Input::Tick);
        self.drain();
    }

    /// Hands over what is due first.
    fn arrive(&mut self) {
        let first = (0..self.coming.len()).min_by_key(|index| self.coming[*index].0).unwrap();
        let (_, epoch, coming) = self.coming.remove(first);
        if self.far.is_some() && !self.server.answers && matches!(coming, Coming::Up(..) | Coming::Frame(..))
        {
            self.held.push((epoch, coming));
            return;
        }
        if let Coming::Up(socket, frame) = coming {
            let answers = self.far().frame(socket, &frame);
            self.down(answers);
            return;
        }
        self.hand_over(epoch, &coming);
    }

    fn hand_over(&mut self, epoch: Epoch, coming: &Coming) {
        let nonce;
        let event = match coming {
            Coming::Opened => Event::Opened,
            Coming::Failed(failure) => Event::Failed(*failure),
            Coming::Pong(number) => {
                nonce = number.to_be_bytes();
                Event::Pong(&nonce)
            }
            Coming::Written(total) => Event::Written(*total),
            Coming::Closed(code) => Event::Closed(closed(*code)),
            Coming::Frame(kind, data) => Event::Frame { kind: *kind, data },
            Coming::Up(..) => return,
            Coming::Stored(version, snapshot) => {
                self.stored.clone_from(snapshot);
                self.link.handle(self.now, Input::Stored(*version));
                return;
            }
        };
        if matches!(coming, Coming::Closed(_) | Coming::Failed(_)) {
            self.forget_socket(epoch);
        }
        self.deliver(epoch, event);
    }

    fn deliver(&mut self, epoch: Epoch, event: Event<'_>) {
        for delivery in self.link.handle(self.now, Input::Socket(epoch, event)) {
            match delivery {
                Delivery::Message { data, .. } => self.delivered.push(data.to_vec()),
                other => self.told.push(format!("{other:?}")),
            }
        }
    }

    /// What the path has kept back will never come.
    pub fn lose_what_is_held(&mut self) {
        self.until_instant(self.now + self.server.rtt);
        self.held.clear();
    }

    /// The process is killed, and started again with what is on the disk. What it had sent may still arrive.
    pub fn kill(&mut self, config: &Config, seed: u64) {
        self.coming.retain(|(_, _, coming)| matches!(coming, Coming::Up(..)));
        self.held.retain(|(_, coming)| matches!(coming, Coming::Up(..)));
        self.base += 1_000;
        let Snapshot { state, delivered, settled, accepted, cancelled } = self.stored.clone();
        self.cancelled = cancelled;
        self.delivered.truncate(delivered);
        self.settled.truncate(settled);
        self.accepted = accepted;
        self.totals.clear();
        self.link = if state.is_empty() {
            Link::new(config.clone(), seed).unwrap()
        } else {
            Link::restore(config.clone(), seed, &state, self.now, Duration::ZERO).unwrap()
        };
        self.input(Input::Start);
    }

    /// Nothing more comes from a socket; what it was given may still be on its way.
    fn forget_socket(&mut self, epoch: Epoch) {
        self.coming.retain(|(_, of, coming)| *of != epoch || matches!(coming, Coming::Up(..)));
        self.held.retain(|(of, coming)| *of != epoch || matches!(coming, Coming::Up(..)));
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

    // What was seen.

    /// Takes what was seen so far as read.
    pub fn forget(&mut self) {
        self.seen = self.actions.len();
        self.read = self.settled.len();
    }

    /// Compares what was seen since the last look, of these kinds of action only (all if empty), with a table.
    #[track_caller]
    pub fn sees(&mut self, kinds: &str, table: &str) {
        let kinds: Vec<_> = kinds.split_whitespace().collect();
        let lines = self.actions[self.seen..].iter().map(|(at, action)| line(*at, action));
        let seen: Vec<_> = lines
            .filter(|line| {
                kinds.is_empty() || line.split(' ').nth(1).is_some_and(|kind| kinds.contains(&kind))
            })
            .collect();
        let wanted: Vec<_> = table.lines().map(words).filter(|line| !line.is_empty()).collect();
        assert!(seen == wanted, "seen:\n    {}\nwanted:\n    {}", seen.join("\n    "), wanted.join("\n    "));
        self.seen = self.actions.len();
    }

    /// Compares how messages ended since the last look, displaced ones included, with `sequence outcome` pairs.
    #[track_caller]
    pub fn settles(&mut self, wanted: &[(u64, Outcome)]) {
        let seen: Vec<_> =
            self.settled[self.read..].iter().map(|end| (end.id.sequence(), end.outcome)).collect();
        assert_eq!(seen, wanted);
        self.read = self.settled.len();
    }

    /// What was written to this socket, as text.
    pub fn wrote(&self, number: u32) -> Vec<&str> {
        let of_it = self.written.iter().filter(|(of, _)| *of == number);
        of_it.map(|(_, payload)| core::str::from_utf8(payload).unwrap()).collect()
    }

    pub fn status(&self) -> Status {
        self.link.status()
    }

    pub fn state(&self) -> State {
        self.link.state()
    }

    pub fn report(&self) -> Report {
        self.link.report(self.now)
    }

    /// The socket that was asked for last; 1 before that.
    pub fn newest(&self) -> u32 {
        let opens = self.actions.iter().rev().filter_map(|(_, action)| match action {
            Action::Open { epoch, .. } => Some(epoch.get()),
            _ => None,
        });
        opens.into_iter().next().unwrap_or(1)
    }

    /// When the sockets were asked for, in milliseconds.
    pub fn opens(&self) -> Vec<u64> {
        let opens = self.actions.iter().filter(|(_, action)| matches!(action, Action::Open { .. }));
        opens.map(|(at, _)| at.micros() / 1000).collect()
    }
}

/// How a socket ends with this code, or by a drop.
pub const fn closed(code: Option<u16>) -> Close<'static> {
    Close { code, reason: "", clean: code.is_some(), retry_after: None }
}

fn words(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// An action as a line of a table.
fn line(at: Instant, action: &Action) -> String {
    let millis = |at: Instant| {
        let (whole, rest) = (at.micros() / 1000, at.micros() % 1000);
        if rest == 0 { whole.to_string() } else { format!("{whole}.{rest:03}") }
    };
    let what = match action {
        Action::Abandon { epoch } => format!("abandon {epoch}"),
        Action::Close { epoch, code } => format!("close {epoch} {code}"),
        Action::Open { epoch, attempt, .. } => format!("open {epoch} attempt {attempt}"),
        Action::Pong { epoch } => format!("pong {epoch}"),
        Action::Ping { epoch, nonce } => format!("ping {epoch} nonce {nonce}"),
        Action::Store { version } => format!("store {version}"),
        Action::Flush { epoch } => format!("flush {epoch}"),
        Action::Status { to, .. } => format!("status {to}"),
        Action::RetryScheduled { at, attempt, cause } => {
            format!("retry {attempt} at {}: {cause}", millis(*at))
        }
        Action::Quality { to, .. } => format!("quality {to}"),
        Action::Ended(Ended { id, end }) => format!("ended {id} {end:?}").to_lowercase(),
        Action::Settled(Settlement { id, outcome }) => format!("settled {id} {outcome:?}").to_lowercase(),
    };
    format!("{} {what}", millis(at))
}
