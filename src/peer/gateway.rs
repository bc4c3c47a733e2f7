//! Between a socket on the JSON wire and a session of the native one: what the client says becomes the envelopes that it would have
//! said, what the session says becomes JSON. So sessions, dialogues and channels are the same for clients on both wires.
//!
//! ```text
//!   JSON ──► heard ──► hello, envelopes ──► [ the peer ] ──► envelopes ──► said ──► JSON
//!                            ▲                                   │
//!                            └──── acknowledgement ◄── written ──┘
//! ```
//!
//! There is no resumption on the JSON wire: the session ends with its socket. What is written to the socket counts as
//! acknowledged to the session, and is told as [written](crate::outbox::Outcome::Written).

mod leaving;

use alloc::borrow::Cow;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::time::Duration;

use super::Config;
use crate::acceptor::SessionId;
use crate::dialogue::Foreign;
use crate::outbox::Kind;
use crate::time::Instant;
use crate::wire::Frame;
use crate::wire::json::{Id, Message, Payload, Raw, Reason, Text};
use crate::wire::native::{
    Announced, Channel, Credentials, Envelope, Form, Hello, Item, Limit, Limits, Reader, Request, Token,
    VERSION,
};
use leaving::Leaving;

/// How many requests, and how many orders, of one client may be open here; a session's own limits are lower, as a rule.
const OPEN_MAX: usize = 1 << 10;

/// How many bytes of what a client says may wait until its session is ready.
const AHEAD_MAX: usize = 1 << 20;

/// What was read once within the limits is within these.
static GOOD: Limits = Limits { envelope: u32::MAX, name: u8::MAX, credentials: u32::MAX };

/// What a subscribe or a publish was about, until it is confirmed.
#[derive(Debug)]
struct Order {
    id: u32,
    channel: String,
    is_subscribe: bool,
}

/// What a client wants of a channel.
#[derive(Clone, Copy, Debug)]
enum Wish<'a> {
    Subscribe,
    Unsubscribe,
    Publish(Raw<'a>),
}

/// How far the greeting is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The client has said nothing.
    Mute,
    /// The hello is to be said for it.
    Hello,
    /// It was said.
    Greeted,
    Welcome,
}

/// The two wires of one socket.
#[derive(Debug)]
pub(super) struct Gateway {
    limits: Limits,
    announced: Announced,
    /// When the client counts as one that has no credentials.
    mute_until: Instant,
    now: Instant,
    clock: Option<(Instant, Duration)>,
    stage: Stage,
    /// The session that the client was given.
    pub(super) session: Option<SessionId>,
    /// Requests of the client that wait for an answer.
    foreign: Foreign,
    orders: VecDeque<Order>,
    last_order: u32,
    /// Envelopes for the session, one frame each.
    up: VecDeque<Vec<u8>>,
    /// Bytes of all that there ever were.
    up_bytes: usize,
    /// The one that was taken last.
    taken: Vec<u8>,
    pub(super) leaving: Leaving,
    /// Messages that left, for their ids.
    sequence: u32,
}

/// A payload as JSON: what is none becomes a string; `None` if it is no text at all.
fn json(data: &[u8]) -> Option<Cow<'_, str>> {
    let text = core::str::from_utf8(data).ok()?;
    if Raw::new(text).is_ok() {
        return Some(text.into());
    }
    Some(format!("{:?}", Text::from(text)).into())
}

/// A payload, where none may be.
fn optional(data: &[u8]) -> Option<Option<Cow<'_, str>>> {
    if data.is_empty() { Some(None) } else { json(data).map(Some) }
}

/// As much of a reason as an envelope has room for.
fn shortened(reason: &str) -> &str {
    let mut end = reason.len().min(Limit::REASON);
    while !reason.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    reason.get(..end).unwrap_or_default()
}

fn bytes(raw: Option<Raw<'_>>) -> &[u8] {
    raw.map_or(&[], |raw| raw.as_str().as_bytes())
}

impl Gateway {
    pub(super) fn new(config: &Config, now: Instant, since_1970: Option<Duration>) -> Gateway {
        let (window, window_bytes) = (config.delivery.window, config.delivery.window_bytes);
        Gateway {
            limits: config.acceptor.limits,
            announced: Announced { envelope: u32::MAX, window, window_bytes },
            mute_until: now + config.acceptor.hello_timeout / 2,
            now,
            clock: since_1970.map(|since_1970| (now, since_1970)),
            stage: Stage::Mute,
            session: None,
            foreign: Foreign::default(),
            orders: VecDeque::new(),
            last_order: 0,
            up: VecDeque::new(),
            up_bytes: 0,
            taken: Vec::new(),
            leaving: Leaving::new(Frame::HEAD.saturating_add(config.outbox.message_bytes as usize)),
            sequence: 0,
        }
    }

    // What the client says.

    /// Time has passed.
    pub(super) fn tick(&mut self, now: Instant) {
        self.now = self.now.max(now);
        if self.stage == Stage::Mute && self.mute_until <= self.now {
            self.greet(&[]);
        }
    }

    /// When it wants to be ticked.
    pub(super) fn deadline(&self) -> Option<Instant> {
        (self.stage == Stage::Mute).then_some(self.mute_until)
    }

    fn greet(&mut self, credentials: &[u8]) {
        if self.stage != Stage::Mute {
            return;
        }
        self.stage = Stage::Hello;
        self.up(&Envelope::Hello(Hello {
            version: VERSION,
            attempt: 1,
            received: 0,
            announced: self.announced,
            token: Token::NONE,
            credentials: Credentials::new(credentials),
        }));
    }

    fn up(&mut self, envelope: &Envelope<'_>) {
        let mut frame = alloc::vec![0; envelope.encoded_len()];
        // Its limits were looked at before.
        if envelope.encode(&mut frame).is_ok() {
            self.up_bytes = self.up_bytes.saturating_add(frame.len());
            self.up.push_back(frame);
        }
    }

    /// Whether more waits for the session than may.
    pub(super) fn is_overrun(&self) -> bool {
        self.up_bytes > AHEAD_MAX && self.stage != Stage::Welcome
    }

    /// Whether there is something that the session can take.
    pub(super) fn has_taken(&self) -> bool {
        matches!(self.stage, Stage::Hello | Stage::Welcome) && !self.up.is_empty()
    }

    /// The next frame for the session.
    pub(super) fn take(&mut self) -> Option<&[u8]> {
        if !self.has_taken() {
            return None;
        }
        if self.stage == Stage::Hello {
            self.stage = Stage::Greeted;
        }
        self.taken = self.up.pop_front()?;
        Some(&self.taken)
    }

    /// The client has said this. False if it is no message that a client says.
    pub(super) fn heard(&mut self, frame: &[u8]) -> bool {
        let message = match Message::decode(frame) {
            Ok(message) => message,
            Err(error) => {
                self.greet(&[]);
                self.complain(None, &error.to_string());
                return false;
            }
        };
        if let Message::Auth { payload, .. } = message {
            let credentials = bytes(payload.map(|secret| secret.reveal()));
            if credentials.len() > self.limits.credentials as usize {
                self.complain(None, "the credentials are too long");
            } else if self.stage == Stage::Mute {
                self.greet(credentials);
            } else {
                let credentials = Credentials::new(credentials);
                self.up(&Envelope::Renewal { token: Token::NONE, credentials });
            }
            return true;
        }
        self.greet(&[]);
        match message {
            Message::Ping => self.leaving.reply(&Message::Pong),
            // Of which ping, nobody asks at a server's end.
            Message::Pong => self.up(&Envelope::Pong { nonce: 0 }),
            Message::Request { form, id, payload, .. } => self.asked(form, id, payload),
            Message::Response { request, payload, .. } => {
                if let Some(id) = request.number().filter(|number| number & 1 == 0) {
                    let data = bytes(payload);
                    self.up_within(&Envelope::Response { id: id >> 1, kind: Kind::Text, data }, None);
                }
            }
            Message::Error { request, error, .. } => {
                let reason = match error {
                    Some(Reason::Text(text)) => text.to_cow(),
                    Some(Reason::Raw(raw)) => raw.as_str().into(),
                    None => "".into(),
                };
                let id = request.and_then(Id::number).filter(|number| number & 1 == 0).unwrap_or(0) >> 1;
                self.up(&Envelope::Error { id, code: 0, reason: shortened(&reason) });
            }
            Message::Subscribe { channel } => self.order(channel, Wish::Subscribe),
            Message::Unsubscribe { channel } => self.order(channel, Wish::Unsubscribe),
            Message::Publish { channel, data } => self.order(channel, Wish::Publish(data)),
            Message::Other { .. } => {
                self.up_within(&Envelope::Message { kind: Kind::Text, data: frame }, None);
            }
            Message::Auth { .. } => {}
            Message::Broadcast { .. } | Message::Confirmation { .. } | Message::SystemError { .. } => {
                self.complain(None, "this is said by servers");
                return false;
            }
        }
        true
    }

    /// Whether an envelope of this length is taken; if not, the client is told.
    fn up_within(&mut self, envelope: &Envelope<'_>, request: Option<Id<'_>>) -> bool {
        // Tag and length are outside of it.
        if envelope.encoded_len() > self.limits.envelope as usize {
            self.complain(request, "it is too long");
            return false;
        }
        self.up(envelope);
        true
    }

    fn asked(&mut self, form: Form, id: Id<'_>, payload: Payload<'_>) {
        let whole = match payload {
            Payload::Raw(raw) => raw,
            Payload::Named { data, .. } => data,
        };
        let (name, data) = payload.named(form).unwrap_or((Text::from(""), whole));
        let name = name.to_cow();
        if name.len() > self.limits.name.into() {
            return self.complain(Some(id), "the name is too long");
        }
        let request = |number| {
            Envelope::Request(Request { id: number, form, name: &name, kind: Kind::Text, data: bytes(data) })
        };
        if form == Form::Event {
            self.up_within(&request(0), None);
            return;
        }
        if self.foreign.len() >= OPEN_MAX {
            return self.complain(Some(id), "too many requests wait to be answered");
        }
        match self.foreign.arrived(id) {
            Some(number) => {
                if !self.up_within(&request(number), Some(id)) {
                    self.foreign.forget(number);
                }
            }
            None => self.complain(None, "a request with this id waits already"),
        }
    }

    fn order(&mut self, channel: Text<'_>, wish: Wish<'_>) {
        let channel = channel.to_cow();
        if channel.len() > self.limits.name.into() {
            return self.complain_of(&channel, "the name of the channel is too long");
        }
        if self.orders.len() >= OPEN_MAX {
            return self.complain_of(&channel, "too many orders wait to be confirmed");
        }
        self.last_order = self.last_order.checked_add(1).unwrap_or(1);
        let id = self.last_order;
        let name = Channel::Name(&channel);
        let envelope = match wish {
            Wish::Subscribe => Envelope::Subscribe { id, channel: &channel },
            Wish::Unsubscribe => Envelope::Unsubscribe { id, channel: name },
            Wish::Publish(data) => {
                Envelope::Publish { id, channel: name, kind: Kind::Text, data: data.as_str().as_bytes() }
            }
        };
        let is_subscribe = matches!(wish, Wish::Subscribe);
        if self.up_within(&envelope, None) {
            self.orders.push_back(Order { id, channel: channel.into(), is_subscribe });
        }
    }

    fn complain(&mut self, request: Option<Id<'_>>, why: &str) {
        if request.is_none() {
            return self.leaving.reply(&Message::SystemError { message: why.into(), channel: None });
        }
        let (id, timestamp) = self.stamp();
        let error = Some(Reason::Text(why.into()));
        self.leaving.reply(&Message::Error { id, timestamp, request, error });
    }

    fn complain_of(&mut self, channel: &str, why: &str) {
        self.leaving.reply(&Message::SystemError { message: why.into(), channel: Some(channel.into()) });
    }

    // What the session says.

    /// An id that is none of a request, and the time.
    fn stamp(&mut self) -> (Id<'static>, Option<u64>) {
        self.sequence = self.sequence.wrapping_add(1);
        let timestamp = self.clock.and_then(|(told_at, since_1970)| {
            u64::try_from(since_1970.saturating_add(self.now.since(told_at)).as_millis()).ok()
        });
        (Id::Number(self.sequence << 1 | 1), timestamp)
    }

    /// A frame of the session's.
    pub(super) fn said(&mut self, now: Instant, head: &[u8], payload: &[u8]) {
        self.now = self.now.max(now);
        let frame = [head, payload].concat();
        for item in Reader::new(&frame, &GOOD).map_while(Result::ok) {
            if let Item::Envelope(envelope) = &item {
                self.say(envelope);
            }
            if item.counts() {
                self.leaving.counts();
            }
        }
    }

    fn say(&mut self, envelope: &Envelope<'_>) {
        match *envelope {
            Envelope::Welcome(_) => {
                self.stage = Stage::Welcome;
                // Before it is answered, nothing that counts is said.
                self.up(&Envelope::Ack { received: 0 });
            }
            Envelope::Ping { .. } => {
                self.leaving.say(&Message::Ping);
            }
            Envelope::Goodbye(goodbye) if !goodbye.reason.is_empty() => self.complain(None, goodbye.reason),
            Envelope::Message { kind, data } => {
                self.leaving.push(kind, data.into());
            }
            Envelope::Broadcast { channel: Channel::Name(name), data, .. } => {
                // There is no way to say bytes.
                if let Some(data) = json(data)
                    && let Ok(data) = Raw::new(&data)
                {
                    let broadcast = Message::Broadcast { channel: name.into(), data };
                    if !self.leaving.say(&broadcast) {
                        // With the channel it would refuse the subscription.
                        self.complain(None, "what was published is too long");
                    }
                }
            }
            Envelope::Confirmation { id, code, reason, .. } => self.confirmed(id, code, reason),
            Envelope::Request(Request { id: number, form, name, data, .. }) => {
                let (own, timestamp) = self.stamp();
                let id = if form == Form::Event { own } else { Id::Number(number << 1) };
                let data = optional(data).flatten().unwrap_or("{}".into());
                if let Ok(data) = Raw::new(&data) {
                    let payload = Payload::Named { name: name.into(), data: Some(data) };
                    if !self.leaving.say(&Message::Request { form, id, timestamp, payload }) && number > 0 {
                        self.up(&Envelope::Error { id: number, code: 0, reason: "it is too long as JSON" });
                    }
                }
            }
            Envelope::Response { id, data, .. } => {
                self.answered(id, optional(data).ok_or("the answer is not JSON"))
            }
            Envelope::Error { id, reason, .. } => self.answered(id, Err(reason)),
            Envelope::Broadcast { .. }
            | Envelope::Goodbye(_)
            | Envelope::Hello(_)
            | Envelope::Pong { .. }
            | Envelope::Ack { .. }
            | Envelope::Health(_)
            | Envelope::Renewal { .. }
            | Envelope::Publish { .. }
            | Envelope::Subscribe { .. }
            | Envelope::Unsubscribe { .. } => {}
        }
    }

    fn answered(&mut self, number: u32, answer: Result<Option<Cow<'_, str>>, &str>) {
        let (id, timestamp) = self.stamp();
        let foreign = core::mem::take(&mut self.foreign);
        let request = foreign.id(number);
        match (answer, request) {
            (Ok(answer), Some(request)) => {
                let payload = answer.as_deref().and_then(|answer| Raw::new(answer).ok());
                if !self.leaving.say(&Message::Response { id, timestamp, request, payload }) {
                    let error = Some(Reason::Text("the answer is too long".into()));
                    self.leaving.say(&Message::Error { id, timestamp, request: Some(request), error });
                }
            }
            (Err(reason), Some(_)) => {
                let error = Some(Reason::Text(reason.into()));
                self.leaving.say(&Message::Error { id, timestamp, request, error });
            }
            // About no request.
            (Err(reason), None) if number == 0 => self.complain(None, reason),
            (Ok(_) | Err(_), None) => {}
        }
        self.foreign = foreign;
        self.foreign.forget(number);
    }

    fn confirmed(&mut self, id: u32, code: u32, reason: &str) {
        let Some(at) = self.orders.iter().position(|order| order.id == id) else { return };
        let Some(Order { channel, is_subscribe, .. }) = self.orders.remove(at) else { return };
        let channel = Text::from(channel.as_str());
        if code != 0 {
            self.leaving.say(&Message::SystemError { message: reason.into(), channel: Some(channel) });
        } else if is_subscribe {
            self.leaving.say(&Message::Confirmation { channel });
        }
    }
}
