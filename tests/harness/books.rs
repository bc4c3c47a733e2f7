//! An adapter that does to a link whatever a history says, and keeps the books on it: what must hold after any step is asserted
//! there. Histories are made by property tests and by fuzzing.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use everlink::channels::SYSTEM;
use everlink::link::{Action, Close, Delivery, Epoch, Event, Input, Link, Next, State};
use everlink::outbox::{Key, Message, MessageId, Outcome, Priority, Settlement};
use everlink::requests::RequestId;
use everlink::time::Instant;
use everlink::wire::native::Channel;

use super::driven::{Driven, Said};
use super::steps::{Happening, Of, Saying, Step, channel};

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
    /// Whether the disk answers at once.
    stores_at_once: bool,
    /// What it has not answered.
    storing: Option<u64>,
    /// Every request, and how often it has ended.
    pub requests: BTreeMap<u32, (RequestId, u32)>,
    /// Requests of the other end that came, and that nobody here has answered; some may be answered for us.
    owed: BTreeSet<u32>,
    /// Channels that were subscribed to and not left; some may be refused.
    wanted: BTreeSet<&'static str>,
    /// Whether there is a dialogue.
    talks: bool,
    /// Whether there ever was one: then there are payloads that nobody here has sent.
    talked: bool,
}

const CREDENTIALS: &[u8] = b"credentials";

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
            stores_at_once: true,
            storing: None,
            requests: BTreeMap::new(),
            owed: BTreeSet::new(),
            wanted: BTreeSet::new(),
            talks: false,
            talked: false,
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
            Step::Say(Saying::Cancel(back)) => {
                let back = usize::try_from(*back).unwrap();
                let Some(id) = self.requests.values().map(|(id, _)| *id).rev().nth(back) else { return };
                if self.link.cancel_request(self.now, id) {
                    self.end(id.get());
                }
            }
            Step::Say(say) => self.say(say),
            Step::Cancel(back) => {
                if let Some((id, _)) = self.ledger.iter().rev().nth(*back).copied()
                    && self.link.cancel(id)
                {
                    self.settle(Settlement { id, outcome: Outcome::Cancelled });
                }
            }
            Step::Pull(of, most) => self.pull(self.epoch(*of), *most),
            Step::Disk(works) => {
                self.stores_at_once = *works;
                if *works {
                    self.stored(true);
                }
            }
            Step::Stored(well) => self.stored(*well),
            Step::Unread(first) => self.handle(Input::Unread(*first)),
            Step::Credentials(some) => {
                self.link.set_credentials(some.then(|| CREDENTIALS.to_vec()));
            }
            Step::Restart => self.restart(),
            Step::Poll => drop(self.poll()),
            Step::Drain => self.drain(),
        }
    }

    fn say(&mut self, say: &Saying) {
        let mut displaced = Vec::new();
        let said = self.link.say(self.now, say, &mut |gone| displaced.push(gone));
        for gone in displaced {
            self.settle(gone);
        }
        match said {
            Said::Opened => (self.talks, self.talked) = (true, true),
            Said::Begun(id) => {
                let old = self.requests.insert(id.get(), (id, 0));
                assert!(old.is_none_or(|(_, ends)| ends > 0), "{id} is used while it waits");
            }
            Said::Answered(id) => assert!(self.owed.remove(&id), "nobody waits for an answer to {id}"),
            Said::Nothing => {}
        }
        match *say {
            Saying::Subscribe(which) => drop(self.wanted.insert(channel(which))),
            Saying::Unsubscribe(which) => drop(self.wanted.remove(channel(which))),
            _ => {}
        }
    }

    /// How many requests have no end that was told.
    pub fn open_requests(&self) -> usize {
        self.requests.values().filter(|(_, ends)| *ends == 0).count()
    }

    pub fn handle(&mut self, input: Input<'_>) {
        let deliveries = self.link.handle(self.now, input);
        if !self.talks {
            return;
        }
        for delivery in deliveries {
            match delivery {
                Delivery::Response { id, .. } | Delivery::Published { id, .. } => self.end(id),
                Delivery::Error { id, .. } if id > 0 => self.end(id),
                Delivery::Request(request) => drop(self.owed.insert(request.id)),
                Delivery::Broadcast { channel: Channel::Name(name), .. } => {
                    assert!(
                        name == SYSTEM || self.wanted.contains(name),
                        "nobody wants what comes of {name}"
                    );
                }
                Delivery::Broadcast { channel: Channel::Number(number), .. } => {
                    assert!(!self.wanted.is_empty(), "nobody wants what comes of {number}");
                }
                _ => {}
            }
        }
    }

    /// A request has ended.
    fn end(&mut self, id: u32) {
        let (_, ends) = self.requests.get_mut(&id).expect("only what was asked ends");
        *ends += 1;
        assert_eq!(*ends, 1, "{id} has ended before");
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

    fn stored(&mut self, well: bool) {
        if let Some(version) = self.storing.take() {
            self.handle(if well { Input::Stored(version) } else { Input::StoreFailed(version) });
        }
    }

    /// Its sockets go with the process, and the next one counts its own.
    fn restart(&mut self) {
        if self.link.restart(self.now) {
            self.sockets.clear();
            self.gone.clear();
            self.totals.clear();
            self.storing = None;
            // Who waited for an answer is gone as well, and the next process has not opened a dialogue yet.
            self.requests.clear();
            self.talks = false;
            (self.newest, self.previous, self.nonce) = (0, 0, 0);
        }
    }

    fn send(&mut self, len: usize, priority: Priority, ttl: Option<Duration>, key: Option<u64>) {
        self.count += 1;
        // Four bytes tell them apart; none is a heartbeat.
        let mut payload = self.count.to_be_bytes().to_vec();
        payload.resize(len.max(4), b'.');
        let known = payload.clone();
        let message = Message { priority, ttl, key: key.map(Key::new), ..Message::binary(payload) };
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
            // On the native wire some frames have no message.
            let Some(&id) = self.payloads.get(&payload) else {
                let known = self.talked || payload.is_empty() || payload == CREDENTIALS;
                assert!(known, "a payload that was never sent: {payload:?}");
                continue;
            };
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
                Action::Store { version } => {
                    assert_eq!(self.storing.replace(version), None, "one state is stored at a time");
                    if self.stores_at_once {
                        self.stored(true);
                    }
                }
                Action::Ended(ended) => self.end(ended.id.get()),
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
        self.apply(&Step::Disk(true));
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
        for (id, ends) in self.requests.values() {
            assert_eq!(*ends, 1, "request {id} has no end");
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
            // The last ping may have left on another socket than the one that was asked for last.
            let nonce = self.nonce.to_be_bytes();
            self.handle(Input::Socket(known, Event::Pong(&nonce)));
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
