//! Random operations on a link, with drains at random points, and an adapter that keeps the books on them.

use core::time::Duration;
use std::collections::BTreeMap;

use everlink::backoff::Jitter;
use everlink::heartbeat::Mode;
use everlink::link::{
    Action, Candidate, Close, Config, Deliveries, Epoch, Event, Failure, Input, Link, Next, State,
};
use everlink::metrics::Report;
use everlink::outbox::{Key, Kind, Message, MessageId, Outcome, Policy, Priority, Refused, Settlement};
use everlink::time::Instant;
use everlink::wire::Wire;
use everlink::wire::raw::{self, Style};
use proptest::prelude::*;

/// What random operations are done to: a link, recorded or not.
pub trait Driven {
    fn handle<'f>(&mut self, now: Instant, input: Input<'f>) -> Deliveries<'f>;
    fn poll(&mut self) -> Next;
    fn send(
        &mut self,
        now: Instant,
        message: Message<Vec<u8>>,
        displaced: &mut dyn FnMut(Settlement),
    ) -> Result<MessageId, Refused<Vec<u8>>>;
    fn cancel(&mut self, id: MessageId) -> bool;
    /// The payload of the frame.
    fn pull(&mut self, epoch: Epoch) -> Option<Vec<u8>>;
    fn deadline(&self) -> Option<Instant>;
    fn report(&self, now: Instant) -> Report;
}

impl Driven for Link<Vec<u8>> {
    fn handle<'f>(&mut self, now: Instant, input: Input<'f>) -> Deliveries<'f> {
        Link::handle(self, now, input)
    }

    fn poll(&mut self) -> Next {
        Link::poll(self)
    }

    fn send(
        &mut self,
        now: Instant,
        message: Message<Vec<u8>>,
        displaced: &mut dyn FnMut(Settlement),
    ) -> Result<MessageId, Refused<Vec<u8>>> {
        Link::send(self, now, message, |gone, _| displaced(gone))
    }

    fn cancel(&mut self, id: MessageId) -> bool {
        Link::cancel(self, id).is_some()
    }

    fn pull(&mut self, epoch: Epoch) -> Option<Vec<u8>> {
        Link::pull(self, epoch).map(|frame| frame.payload().to_vec())
    }

    fn deadline(&self) -> Option<Instant> {
        Link::deadline(self)
    }

    fn report(&self, now: Instant) -> Report {
        Link::report(self, now)
    }
}

/// Which socket an event is of.
#[derive(Clone, Copy, Debug)]
pub enum Of {
    /// The one that was asked for last.
    Newest,
    /// The one before it.
    Previous,
    /// One of this number, whether there ever was such a socket or not.
    Number(u32),
}

/// Something that happens to a socket, owned.
#[derive(Clone, Debug)]
pub enum Happening {
    Failed(Failure),
    Opened,
    Frame(Kind, Vec<u8>),
    Received(u32),
    Ping,
    Pong(Vec<u8>),
    /// Answers the ping that was sent last.
    Answer,
    /// So many bytes more than before were written.
    Wrote(u64),
    /// A total as absurd as it may be.
    Written(u64),
    Writable,
    Paused,
    Resumed,
    Violation(u16),
    Closed(Option<u16>, Option<Duration>),
}

/// One step of a random history.
#[derive(Clone, Debug)]
pub enum Step {
    /// Time passes and nobody looks.
    Pass(Duration),
    /// The caller's clock runs backwards by this much, for one tick.
    Back(Duration),
    /// A tick right at the deadline, then a drain.
    Deadline,
    Start,
    Stop(Duration),
    Tick,
    Online,
    Offline,
    Visible,
    Hidden,
    Suspended(Duration),
    WallClock(Duration),
    Socket(Of, Happening),
    Send {
        len: usize,
        priority: Priority,
        ttl: Option<Duration>,
        key: Option<u64>,
    },
    /// Takes back the message that was accepted as the nth before the last.
    Cancel(usize),
    /// Pulls at most so many frames.
    Pull(Of, usize),
    Poll,
    Drain,
}

fn durations() -> impl Strategy<Value = Duration> {
    prop_oneof![
        1 => Just(Duration::ZERO),
        4 => (1..2_000_u64).prop_map(Duration::from_micros),
        6 => (1..3_000_u64).prop_map(Duration::from_millis),
        4 => (1..90_u64).prop_map(Duration::from_secs),
        1 => (1..100 * 365 * 86_400_u64).prop_map(Duration::from_secs),
    ]
}

fn failures() -> impl Strategy<Value = Failure> {
    prop_oneof![
        4 => Just(Failure::Connect),
        1 => Just(Failure::Dns),
        1 => Just(Failure::Tls),
        1 => Just(Failure::Credentials),
        1 => Just(Failure::Certificate),
        1 => Just(Failure::Handshake),
        1 => (100..600_u16, proptest::option::of(durations()))
            .prop_map(|(status, retry_after)| Failure::Http { status, retry_after }),
    ]
}

fn codes() -> impl Strategy<Value = u16> {
    prop_oneof![
        Just(1000),
        Just(1001),
        Just(1006),
        Just(1009),
        Just(1011),
        Just(1012),
        Just(1013),
        any::<u16>()
    ]
}

fn frames() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(b"hello".to_vec()),
        Just(vec![1]),
        Just(b"1".to_vec()),
        Just(br#"{"type":"ping"}"#.to_vec()),
        Just(br#"{ "type": "pong" }"#.to_vec()),
        proptest::collection::vec(any::<u8>(), 0..40),
    ]
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![Just(Kind::Text), Just(Kind::Binary)]
}

fn happenings() -> impl Strategy<Value = Happening> {
    prop_oneof![
        2 => failures().prop_map(Happening::Failed),
        8 => Just(Happening::Opened),
        3 => (kinds(), frames()).prop_map(|(kind, data)| Happening::Frame(kind, data)),
        2 => any::<u32>().prop_map(Happening::Received),
        1 => Just(Happening::Ping),
        1 => proptest::collection::vec(any::<u8>(), 0..8).prop_map(Happening::Pong),
        6 => Just(Happening::Answer),
        5 => (0..300_u64).prop_map(Happening::Wrote),
        1 => any::<u64>().prop_map(Happening::Written),
        2 => Just(Happening::Writable),
        1 => Just(Happening::Paused),
        2 => Just(Happening::Resumed),
        1 => codes().prop_map(Happening::Violation),
        3 => (proptest::option::of(codes()), proptest::option::of(durations()))
            .prop_map(|(code, retry_after)| Happening::Closed(code, retry_after)),
    ]
}

fn sockets() -> impl Strategy<Value = Of> {
    prop_oneof![7 => Just(Of::Newest), 2 => Just(Of::Previous), 1 => (1..=6_u32).prop_map(Of::Number)]
}

fn priorities() -> impl Strategy<Value = Priority> {
    prop_oneof![Just(Priority::High), Just(Priority::Normal), Just(Priority::Low)]
}

pub fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => durations().prop_map(Step::Pass),
        1 => durations().prop_map(Step::Back),
        10 => Just(Step::Deadline),
        4 => Just(Step::Start),
        1 => prop_oneof![Just(Duration::ZERO), durations()].prop_map(Step::Stop),
        4 => Just(Step::Tick),
        2 => Just(Step::Online),
        1 => Just(Step::Offline),
        1 => Just(Step::Visible),
        1 => Just(Step::Hidden),
        1 => durations().prop_map(Step::Suspended),
        1 => durations().prop_map(Step::WallClock),
        24 => (sockets(), happenings()).prop_map(|(of, what)| Step::Socket(of, what)),
        10 => (0..60_usize, priorities(), proptest::option::of(durations()), proptest::option::of(0..3_u64))
            .prop_map(|(len, priority, ttl, key)| Step::Send { len, priority, ttl, key }),
        2 => (0..10_usize).prop_map(Step::Cancel),
        6 => (sockets(), 1..8_usize).prop_map(|(of, most)| Step::Pull(of, most)),
        6 => Just(Step::Poll),
        14 => Just(Step::Drain),
    ]
}

/// Histories that begin with a start, so that few are spent on a link that nobody wants.
pub fn histories(longest: usize) -> impl Strategy<Value = Vec<Step>> {
    proptest::collection::vec(steps(), 1..longest).prop_map(|mut steps| {
        steps.insert(0, Step::Start);
        steps
    })
}

/// Configurations that work, small enough for every bound to bite.
pub fn configs() -> impl Strategy<Value = Config> {
    let modes = prop_oneof![
        5 => Just(Mode::Client), 2 => Just(Mode::Server), 1 => Just(Mode::Both), 1 => Just(Mode::Off)
    ];
    let styles = prop_oneof![3 => Just(Style::Websocket), 1 => Just(Style::Bytes), 1 => Just(Style::Json)];
    let candidates = prop_oneof![Just(Candidate::On), Just(Candidate::Off)];
    let policies = prop_oneof![Just(Policy::DropOldest), Just(Policy::DropLowest), Just(Policy::Refuse)];
    let jitters =
        prop_oneof![Just(Jitter::None), Just(Jitter::Equal), Just(Jitter::Full), Just(Jitter::Decorrelated)];
    (
        modes,
        styles,
        candidates,
        policies,
        jitters,
        1..12_u32,
        proptest::option::of(1..12_u32),
        any::<[bool; 3]>(),
    )
        .prop_map(
            |(mode, style, candidate, policy, jitter, messages, attempts, [adaptive, any, open])| {
                let mut config = Config::default();

                // The same byte both ways cannot work where both ends ping.
                let heartbeat = if mode == Mode::Both && style == Style::Bytes { Style::Json } else { style };
                config.wire = Wire::Raw(raw::Config { heartbeat, ..raw::Config::default() });
                config.heartbeat.mode = mode;
                config.heartbeat.adaptive = adaptive;
                config.heartbeat.any_inbound = any;
                config.heartbeat.on_open = open;
                config.candidate = candidate;
                config.outbox.policy = policy;
                config.outbox.messages = messages;
                config.outbox.bytes = 200;
                config.outbox.message_bytes = 50;
                config.backoff.jitter = jitter;
                config.backoff.attempts = attempts;
                config
            },
        )
}

/// An adapter that applies steps and keeps the books: sockets that it knows, messages and their ends.
pub struct Books<L> {
    pub link: L,
    /// The clock of the caller; the link's own is never behind it.
    pub now: Instant,
    /// What was polled, and when.
    pub answers: Vec<(Instant, Next)>,
    /// Sockets that the adapter holds.
    pub sockets: Vec<u32>,
    /// Sockets that have ended, so that whatever they still say is stale.
    pub gone: Vec<u32>,
    newest: u32,
    previous: u32,
    nonce: u32,
    totals: BTreeMap<u32, u64>,
    /// Every accepted message, in order; `None` as long as it has no end.
    pub ledger: Vec<(MessageId, Option<Outcome>)>,
    /// A number in each payload tells which message it is, where there is room for one.
    count: u32,
    /// Which payload belongs to which message.
    payloads: BTreeMap<Vec<u8>, MessageId>,
}

impl<L: Driven> Books<L> {
    pub const fn new(link: L) -> Books<L> {
        Books {
            link,
            now: Instant::ORIGIN,
            answers: Vec::new(),
            sockets: Vec::new(),
            gone: Vec::new(),
            newest: 0,
            previous: 0,
            nonce: 0,
            totals: BTreeMap::new(),
            ledger: Vec::new(),
            count: 0,
            payloads: BTreeMap::new(),
        }
    }

    fn epoch(&self, of: Of) -> Epoch {
        let number = match of {
            Of::Newest => self.newest,
            Of::Previous => self.previous,
            Of::Number(number) => number,
        };
        Epoch::new(number.max(1)).unwrap()
    }

    pub fn apply(&mut self, step: &Step) {
        match step {
            Step::Pass(by) => self.now = self.now + *by,
            Step::Back(by) => {
                let earlier = Instant::from_micros(
                    self.now.micros().saturating_sub(u64::try_from(by.as_micros()).unwrap()),
                );
                self.link.handle(earlier, Input::Tick);
            }
            Step::Deadline => {
                if let Some(deadline) = self.link.deadline() {
                    self.now = self.now.max(deadline);
                }
                self.handle(Input::Tick);
                self.drain();
                let next = self.link.deadline();
                assert!(
                    next.is_none_or(|next| next > self.now),
                    "after a tick and a drain at {:?} the deadline is {next:?}",
                    self.now
                );
            }
            Step::Start => self.handle(Input::Start),
            Step::Stop(linger) => self.handle(Input::Stop { linger: *linger }),
            Step::Tick => self.handle(Input::Tick),
            Step::Online => self.handle(Input::Online),
            Step::Offline => self.handle(Input::Offline),
            Step::Visible => self.handle(Input::Visible),
            Step::Hidden => self.handle(Input::Hidden),
            Step::Suspended(by) => self.handle(Input::Suspended(*by)),
            Step::WallClock(time) => self.handle(Input::WallClock(*time)),
            Step::Socket(of, what) => self.happen(self.epoch(*of), what),
            Step::Send { len, priority, ttl, key } => self.send(*len, *priority, *ttl, *key),
            Step::Cancel(back) => {
                if let Some((id, _)) = self.ledger.iter().rev().nth(*back).copied()
                    && self.link.cancel(id)
                {
                    self.settle(Settlement { id, outcome: Outcome::Cancelled });
                }
            }
            Step::Pull(of, most) => self.pull(self.epoch(*of), *most),
            Step::Poll => drop(self.poll()),
            Step::Drain => self.drain(),
        }
    }

    pub fn handle(&mut self, input: Input<'_>) {
        self.link.handle(self.now, input);
    }

    fn happen(&mut self, epoch: Epoch, what: &Happening) {
        let nonce = self.nonce.to_be_bytes();
        let event = match what {
            Happening::Failed(failure) => Event::Failed(*failure),
            Happening::Opened => Event::Opened,
            Happening::Frame(kind, data) => Event::Frame { kind: *kind, data },
            Happening::Received(bytes) => Event::Received(*bytes),
            Happening::Ping => Event::Ping,
            Happening::Pong(data) => Event::Pong(data),
            Happening::Answer => Event::Pong(&nonce),
            Happening::Wrote(more) => {
                let total = self.totals.entry(epoch.get()).or_default();
                *total += more;
                Event::Written(*total)
            }
            Happening::Written(total) => Event::Written(*total),
            Happening::Writable => Event::Writable,
            Happening::Paused => Event::Paused,
            Happening::Resumed => Event::Resumed,
            Happening::Violation(code) => Event::Violation(*code),
            Happening::Closed(code, retry_after) => Event::Closed(Close {
                code: *code,
                reason: "because",
                clean: code.is_some(),
                retry_after: *retry_after,
            }),
        };
        if matches!(event, Event::Closed(_) | Event::Failed(_)) {
            if self.sockets.contains(&epoch.get()) && matches!(event, Event::Closed(_)) {
                self.gone.push(epoch.get());
            }
            self.sockets.retain(|known| *known != epoch.get());
        }
        self.handle(Input::Socket(epoch, event));
    }

    fn send(&mut self, len: usize, priority: Priority, ttl: Option<Duration>, key: Option<u64>) {
        self.count += 1;
        // Four bytes tell them apart; none is a heartbeat.
        let mut payload = self.count.to_be_bytes().to_vec();
        payload.resize(len.max(4), b'.');
        let known = payload.clone();
        let message = Message { kind: Kind::Binary, payload, priority, ttl, key: key.map(Key::new) };
        let mut displaced = Vec::new();
        let sent = self.link.send(self.now, message, &mut |gone| displaced.push(gone));
        for gone in displaced {
            self.settle(gone);
        }
        match sent {
            Ok(id) => {
                assert!(self.ledger.last().is_none_or(|(last, _)| *last < id), "ids grow");
                self.ledger.push((id, None));
                self.payloads.insert(known, id);
            }
            Err(refused) => assert_eq!(refused.message.payload, known, "a refused message is handed back"),
        }
    }

    fn settle(&mut self, settlement: Settlement) {
        let index = self.ledger.binary_search_by_key(&settlement.id, |(id, _)| *id);
        let (_, end) = &mut self.ledger[index.expect("only what was accepted is settled")];
        assert_eq!(*end, None, "{settlement:?} was settled before");
        *end = Some(settlement.outcome);
    }

    fn pull(&mut self, epoch: Epoch, most: usize) {
        for _ in 0..most {
            let Some(payload) = self.link.pull(epoch) else { break };
            let id = self.payloads[&payload];
            let (_, end) = self.ledger[self.ledger.binary_search_by_key(&id, |(id, _)| *id).unwrap()];
            assert_eq!(end, None, "{id} was settled and is sent all the same");
            assert!(self.sockets.contains(&epoch.get()), "frames are for a socket that exists");
        }
    }

    pub fn poll(&mut self) -> Next {
        let next = self.link.poll();
        self.answers.push((self.now, next));
        if let Next::Do(action) = next {
            match action {
                Action::Open { epoch, .. } => {
                    self.previous = self.newest;
                    self.newest = epoch.get();
                    self.sockets.push(epoch.get());
                    assert!(self.sockets.len() <= 2, "more than two sockets: {:?}", self.sockets);
                }
                Action::Abandon { epoch } => {
                    self.sockets.retain(|known| *known != epoch.get());
                    self.gone.push(epoch.get());
                }
                Action::Ping { nonce, .. } => self.nonce = nonce,
                Action::Settled(settlement) => self.settle(settlement),
                Action::Close { .. }
                | Action::Pong { .. }
                | Action::Flush { .. }
                | Action::Status { .. }
                | Action::RetryScheduled { .. }
                | Action::Quality { .. } => {}
            }
        } else {
            let report = self.link.report(self.now);
            assert_eq!(self.link.poll(), next, "a link at rest stays at rest");
            assert_eq!(self.link.report(self.now), report);
        }
        next
    }

    /// Polls until there is nothing to do, which must come soon.
    pub fn drain(&mut self) {
        let bound = 300 + self.ledger.iter().filter(|(_, end)| end.is_none()).count();
        for _ in 0..bound {
            if !matches!(self.poll(), Next::Do(_)) {
                return;
            }
        }
        panic!("{bound} actions and still no rest");
    }

    /// Stops the link and closes every socket; then each accepted message must have its end.
    pub fn wind_up(&mut self) {
        self.drain();
        self.handle(Input::Stop { linger: Duration::ZERO });
        self.drain();
        for known in core::mem::take(&mut self.sockets) {
            self.handle(Input::Socket(Epoch::new(known).unwrap(), Event::Closed(Close::default())));
        }
        self.drain();
        // A socket that an absurd input took from the books is given up in the end.
        self.now = self.now + Duration::from_secs(60);
        self.handle(Input::Tick);
        self.drain();
        for (id, end) in &self.ledger {
            assert!(end.is_some(), "{id} has no end");
        }
    }
}

impl Books<Link<Vec<u8>>> {
    /// Lets a server that accepts and answers everything at once run the link until it is connected, or until then.
    pub fn live_until(&mut self, end: Instant) {
        let mut queue: Vec<(Epoch, u32)> = Vec::new();
        // Whatever is there is told that it is fine.
        for known in self.sockets.clone() {
            let known = Epoch::new(known).unwrap();
            self.handle(Input::Socket(known, Event::Opened));
            self.handle(Input::Socket(known, Event::Resumed));
            self.handle(Input::Socket(known, Event::Written(u64::MAX)));
        }
        let nonce = self.nonce.to_be_bytes();
        if let Some(newest) = Epoch::new(self.newest) {
            self.handle(Input::Socket(newest, Event::Pong(&nonce)));
        }
        for _ in 0..10_000 {
            loop {
                match self.poll() {
                    Next::Do(Action::Open { epoch, .. }) => queue.push((epoch, 0)),
                    Next::Do(Action::Ping { epoch, nonce }) => queue.push((epoch, nonce)),
                    Next::Do(Action::Flush { epoch }) => {
                        self.pull(epoch, usize::MAX);
                        self.handle(Input::Socket(epoch, Event::Written(u64::MAX)));
                    }
                    Next::Do(Action::Close { epoch, .. }) => {
                        self.handle(Input::Socket(epoch, Event::Closed(Close::default())));
                        self.sockets.retain(|known| *known != epoch.get());
                    }
                    Next::Do(_) => {}
                    Next::Wait(_) | Next::Idle => break,
                }
            }
            if queue.is_empty() {
                if matches!(self.link.state(), State::Connected | State::Slow) {
                    return;
                }
                match self.link.deadline() {
                    Some(deadline) if deadline <= end => {
                        self.now = self.now.max(deadline);
                        self.handle(Input::Tick);
                    }
                    _ => break,
                }
            }
            for (epoch, nonce) in core::mem::take(&mut queue) {
                let answer = nonce.to_be_bytes();
                let event = if nonce == 0 { Event::Opened } else { Event::Pong(&answer) };
                self.handle(Input::Socket(epoch, event));
            }
        }
        self.now = self.now.max(end);
    }
}
