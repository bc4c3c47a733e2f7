//! A server and three clients to whom anything may happen, and what must hold whatever does.

use core::time::Duration;
use std::collections::BTreeMap;

use everlink::link::{Close, Epoch, Event};
use everlink::outbox::{Kind, Message, MessageId, Outcome, Policy, Priority};
use everlink::peer::{Config, Input, Slow};
use everlink::time::Instant;
use everlink::wire::native::{
    Channel, Credentials, Envelope, Form, Goodbye, Health, Hello, Item, Limits, Reader, Request, Token, code,
};

use super::client::{ANNOUNCED, Client, encode};
use super::server::Server;

fn epoch(number: u32) -> Epoch {
    Epoch::new(number).unwrap()
}

/// One step; the number says which client.
#[derive(Clone, Debug)]
pub enum Step {
    /// It opens a socket and says hello, whatever its last socket does.
    Connect(usize),
    /// It has said hello, but that is on its way for long; it has given the socket up meanwhile.
    Delay(usize),
    /// What was delayed arrives.
    Arrive,
    /// It reads so many frames.
    Read(usize, usize),
    /// It writes what it owes and at most so many messages; they arrive, or they are lost and the socket dies.
    Write(usize, usize, bool),
    /// Its socket dies, and the server sees it.
    Drop(usize),
    /// The client has done its job.
    Finish(usize),
    Queue(usize),
    Send(usize, Priority, Option<u64>),
    Cancel(usize),
    /// The server lets it go, or ends its session.
    Part(usize, bool),
    PartAll,
    /// The socket of its session takes nothing, or takes something again.
    Block(usize),
    Unblock,
    Ping(usize),
    /// Somebody says something that makes no sense, on any socket.
    Noise(u32, Vec<u8>),
    /// An event of any socket, at any time.
    Event(u32, u8),
    /// A socket that is no more, or never was, says something to a peer.
    Stale(usize, u32),
    /// A planned restart: another process goes on with what was stored, after so long.
    Restart(u64),
    /// Somebody else says hello, with a token of a client, or these bytes.
    EveHello {
        of: Option<usize>,
        token: Vec<u8>,
        version: u32,
        attempt: u32,
        received: u64,
    },
    /// And says one of all envelopes there are, with these numbers and bytes in it.
    EveSays {
        what: u8,
        number: u64,
        data: Vec<u8>,
    },
    Pass(u64),
    /// A clock that runs backwards.
    Back(u64),
}

pub const NAMES: [&str; 3] = ["ann", "bob", "anyone"];
const PRIORITIES: [&str; 3] = ["High", "Normal", "Low"];
/// Five sessions may have twelve messages each.
const SLOTS: u32 = 60;

fn configure(config: &mut Config, policy: Policy, slow: Slow, window: u32) {
    config.acceptor.sessions.count = 5;
    config.acceptor.sessions.per_principal = 2;
    config.acceptor.sessions.detached = 3;
    config.acceptor.sessions.keep = Duration::from_secs(40);
    config.acceptor.sessions.token_life = Duration::from_secs(90);
    config.outbox.messages = 12;
    config.outbox.age = Some(Duration::from_secs(20));
    config.outbox.policy = policy;
    config.delivery.window = window;
    config.delivery.ack_after = 3;
    config.slow = slow;
}

pub struct World {
    configure: (Policy, Slow, u32),
    server: Server,
    clients: [Client; 3],
    sockets: [Option<u32>; 3],
    delayed: Vec<(u32, Vec<u8>)>,
    /// Accepted by the server: whose, which, by its text.
    accepted: BTreeMap<String, (usize, MessageId)>,
    cancelled: Vec<String>,
    count: u32,
    /// The socket of somebody else.
    eve: Option<u32>,
    seen: Seen,
}

/// How far [`World::look`] has looked: only what is new can break a rule.
#[derive(Default)]
struct Seen {
    /// How much of each client's inbox, and the last number there of each priority.
    inbox: [(usize, [u32; 3]); 3],
    /// How much of what was delivered, and the last number of each client.
    delivered: (usize, [u32; 3]),
}

impl World {
    pub fn new(policy: Policy, slow: Slow, window: u32) -> World {
        let server = Server::quiet(SLOTS, |config| configure(config, policy, slow, window));
        World {
            configure: (policy, slow, window),
            server,
            clients: NAMES.map(Client::new),
            sockets: [None; 3],
            delayed: Vec::new(),
            accepted: BTreeMap::new(),
            cancelled: Vec::new(),
            count: 0,
            eve: None,
            seen: Seen::default(),
        }
    }

    fn leave(&mut self, who: usize) {
        self.clients[who].detach();
        self.sockets[who] = None;
    }

    fn number(&mut self) -> u32 {
        self.count += 1;
        self.count
    }

    pub fn apply(&mut self, step: Step) {
        match step {
            Step::Connect(who) => {
                self.leave(who);
                let number = self.server.open();
                self.sockets[who] = Some(number);
                self.server.hear_frame(number, &self.clients[who].hello());
            }
            Step::Delay(who) => {
                self.leave(who);
                let hello = self.clients[who].hello();
                self.delayed.push((self.server.open(), hello));
            }
            Step::Arrive => {
                if let Some((number, hello)) = self.delayed.pop() {
                    self.server.hear_frame(number, &hello);
                }
            }
            Step::Read(who, most) => {
                let Some(number) = self.sockets[who] else { return };
                let mut frames = self.server.fetch(number);
                let rest = frames.split_off(most.min(frames.len()));
                self.server.wire.insert(number, rest);
                let goodbyes = self.clients[who].goodbyes.len();
                self.clients[who].read(frames);
                if let Some(said) = self.clients[who].goodbyes.get(goodbyes) {
                    if *said == code::OVERTAKEN || *said == code::IMPOSSIBLE_COUNT {
                        self.clients[who].token.clear();
                    }
                    self.leave(who);
                }
            }
            Step::Write(who, most, arrives) => {
                let Some(number) = self.sockets[who] else { return };
                let frame = self.clients[who].write(most);
                if !arrives {
                    self.leave(who);
                } else if !frame.is_empty() {
                    self.server.hear_frame(number, &frame);
                }
            }
            Step::Drop(who) => {
                let Some(number) = self.sockets[who] else { return };
                self.leave(who);
                self.server.hear(number, Event::Closed(Close::default()));
            }
            Step::Finish(who) => {
                let Some(number) = self.sockets[who].filter(|_| self.clients[who].counts.may_send()) else {
                    return;
                };
                let goodbye = Goodbye { code: code::NORMAL, retry_after: 0, attempt: 0, reason: "" };
                self.server.hear_frame(number, &encode(&[Envelope::Goodbye(goodbye)]));
                self.leave(who);
            }
            Step::Queue(who) => {
                let number = self.number();
                self.clients[who].queue(&number.to_string());
            }
            Step::Send(who, priority, ttl) => {
                let text = format!("{priority:?} {}", self.number());
                let mut message = Message::text(text.clone().into_bytes()).with_priority(priority);
                message.ttl = ttl.map(Duration::from_millis);
                if self.is_there(who)
                    && let Ok(id) = self.server.send_message(NAMES[who], message)
                {
                    self.accepted.insert(text, (who, id));
                }
            }
            Step::Cancel(who) => {
                let last = self.accepted.values().rfind(|(of, _)| *of == who);
                let Some((_, id)) = last.copied() else { return };
                if self.is_there(who) {
                    let session = self.server.id(NAMES[who]);
                    let payload = self.server.sessions.peer(session).unwrap().cancel(id);
                    // An id of another session of the same client may name another message.
                    if let Some(payload) = payload {
                        self.cancelled.push(String::from_utf8(payload).unwrap());
                    }
                }
            }
            Step::Part(who, ends) => {
                if self.is_there(who) {
                    let (session, now) = (self.server.id(NAMES[who]), self.server.now);
                    let mut peer = self.server.sessions.peer(session).unwrap();
                    if ends {
                        peer.end(now, code::GOING_AWAY, Duration::ZERO);
                    } else {
                        peer.detach(now, code::TRY_LATER, Duration::from_secs(1));
                    }
                }
            }
            Step::PartAll => {
                let now = self.server.now;
                self.server.sessions.part_with_all(now, code::RESTART, Duration::from_secs(1));
            }
            Step::Block(who) => self.server.blocked.extend(self.sockets[who]),
            Step::Unblock => {
                for number in core::mem::take(&mut self.server.blocked) {
                    self.server.hear(number, Event::Writable);
                }
            }
            Step::Ping(who) => {
                if let Some(number) = self.sockets[who] {
                    self.server.hear_frame(number, &encode(&[Envelope::Ping { nonce: 5 }]));
                }
            }
            Step::Noise(number, data) => {
                // What could be a good envelope that counts would make the oracle wrong.
                if data.first().is_none_or(|tag| *tag & 0x80 == 0 && *tag != 0x41 && *tag != 0x45) {
                    self.server.hear_frame(number, &data);
                }
            }
            Step::Event(number, what) => {
                let event = match what {
                    0 => Event::Writable,
                    1 => Event::Paused,
                    2 => Event::Resumed,
                    3 => Event::Violation(1002),
                    4 => Event::Opened,
                    _ => Event::Written(u64::MAX),
                };
                if !self.server.blocked.contains(&number) {
                    self.server.hear(number, event);
                }
            }
            Step::Stale(who, number) => {
                if self.is_there(who) {
                    let (session, now) = (self.server.id(NAMES[who]), self.server.now);
                    let mut peer = self.server.sessions.peer(session).unwrap();
                    if peer.epoch() != Some(epoch(number)) {
                        let frame = encode(&[Envelope::Message { kind: Kind::Text, data: b"late" }]);
                        let event = Event::Frame { kind: Kind::Binary, data: &frame };
                        assert_eq!(peer.handle(now, Input::Socket(epoch(number), event)).next(), None);
                        peer.handle(now, Input::Socket(epoch(number), Event::Violation(1002)));
                        assert_eq!(peer.pull(epoch(number)), None);
                    }
                }
            }
            Step::Restart(away) => {
                self.apply(Step::PartAll);
                self.apply(Step::Unblock);
                let states = self.server.store();
                let (policy, slow, window) = self.configure;
                let change = |config: &mut Config| configure(config, policy, slow, window);
                let server = core::mem::replace(&mut self.server, Server::quiet(1, change));
                self.server = server.reborn(change, &states, Duration::from_millis(away));
                (0..3).for_each(|who| self.leave(who));
                (self.eve, self.delayed) = (None, Vec::new());
            }
            Step::EveHello { of, token, version, attempt, received } => {
                let stolen = of.map(|who| self.clients[who % 3].token.clone());
                let hello = Envelope::Hello(Hello {
                    version,
                    attempt,
                    received,
                    announced: ANNOUNCED,
                    token: Token::new(stolen.as_ref().unwrap_or(&token)),
                    credentials: Credentials::new(b"eve"),
                });
                let number = self.server.open();
                self.eve = Some(number);
                self.server.hear_frame(number, &encode(&[hello]));
            }
            Step::EveSays { what, number, data } => {
                let Some(socket) = self.eve else { return };
                self.server.hear_frame(socket, &nonsense(what, number, &data));
            }
            Step::Pass(millis) => {
                let end = self.server.now.micros() / 1000 + millis;
                self.server.pass_until(end);
            }
            Step::Back(millis) => {
                let now = self.server.now;
                self.server.now = Instant::from_millis((now.micros() / 1000).saturating_sub(millis));
                self.server.tick();
                self.server.now = now;
            }
        }
        self.server.drain();
        self.look();
        self.look_at_eve();
    }

    fn is_there(&mut self, who: usize) -> bool {
        self.server.knows(NAMES[who]) && {
            let id = self.server.id(NAMES[who]);
            self.server.sessions.peer(id).is_some()
        }
    }

    /// What must hold after every step.
    fn look(&mut self) {
        let sessions = &self.server.sessions;
        assert!(sessions.len() <= 5 && sessions.detached() <= 3);
        let on_sockets = self.server.on_sockets();
        assert_eq!(sessions.len() - sessions.detached(), u32::try_from(on_sockets.len()).unwrap());
        // Each priority in its order, and nothing twice.
        for (client, (looked, latest)) in self.clients.iter().zip(&mut self.seen.inbox) {
            for text in &client.inbox[*looked..] {
                let Some((priority, number)) = text.split_once(' ') else { continue };
                let Some(which) = PRIORITIES.iter().position(|known| *known == priority) else { continue };
                let number = number.parse().unwrap();
                let before = core::mem::replace(&mut latest[which], number);
                assert!(before < number, "{} got {text} after {before}", client.who);
            }
            *looked = client.inbox.len();
        }
        let (looked, latest) = &mut self.seen.delivered;
        for (name, data) in &self.server.delivered[*looked..] {
            let number = str::from_utf8(data).ok().and_then(|text| text.parse().ok());
            let who = NAMES.iter().position(|known| known == name);
            let (Some(number), Some(who)) = (number, who) else { continue };
            let before = core::mem::replace(&mut latest[who], number);
            assert!(before < number, "from {name} came {number} after {before}");
        }
        *looked = self.server.delivered.len();
    }

    /// Somebody else may have a session of her own, and learns nothing of those of others.
    fn look_at_eve(&mut self) {
        let Some(number) = self.eve else { return };
        for frame in self.server.fetch(number) {
            for item in Reader::new(&frame, &Limits::default()) {
                match item {
                    Ok(Item::Envelope(Envelope::Welcome(welcome))) => {
                        assert!(!welcome.resumed, "somebody else resumes a session");
                    }
                    Ok(Item::Envelope(Envelope::Message { data, .. })) => {
                        panic!("somebody else gets {:?}", String::from_utf8_lossy(data));
                    }
                    Ok(_) => {}
                    Err(error) => panic!("a server says {error:?}"),
                }
            }
        }
    }

    /// Everybody stays away until all is over: then each message has had exactly one end, and it is the truth.
    pub fn wind_up(mut self) {
        for number in 1..=self.server.last_epoch() {
            self.server.hear(number, Event::Closed(Close::default()));
        }
        let end = self.server.now.micros() / 1000 + 100_000;
        self.server.pass_until(end);
        assert!(self.server.sessions.is_empty());
        assert_eq!(self.server.sessions.room(), SLOTS, "every slot is free");
        assert_eq!(self.server.settled.len() + self.cancelled.len(), self.accepted.len(), "one end each");
        let acknowledged = self.server.ended(Outcome::Acknowledged);
        let in_doubt = self.server.ended(Outcome::InDoubt);
        let got: usize = self.clients.iter().map(|client| client.inbox.len()).sum();
        assert!(acknowledged <= got && got <= acknowledged + in_doubt, "{acknowledged} {got} {in_doubt}");
        let mut texts: BTreeMap<_, Vec<&String>> = BTreeMap::new();
        self.accepted.iter().for_each(|(text, whose)| texts.entry(*whose).or_default().push(text));
        for (name, id, outcome) in &self.server.settled {
            let who = NAMES.iter().position(|known| known == name).unwrap();
            // Sessions of one client count their messages anew, so that the id alone may be of several.
            if let [text] = texts[&(who, *id)][..] {
                let came = self.clients[who].inbox.contains(text);
                assert!(!came || !outcome.never_sent(), "{text} is {outcome:?}, and came");
                assert!(came || *outcome != Outcome::Acknowledged, "{text} is acknowledged, and never came");
            }
        }
        for text in &self.cancelled {
            assert!(!self.clients.iter().any(|client| client.inbox.contains(text)), "{text} was taken back");
        }
    }
}

/// A frame that is well formed, or nearly.
fn nonsense(what: u8, number: u64, data: &[u8]) -> Vec<u8> {
    let (id, text) = (number as u32, str::from_utf8(data).unwrap_or("text"));
    let (kind, channel) = (Kind::Binary, Channel::Name(text));
    let envelope = match what % 16 {
        0 => Envelope::Ack { received: number },
        1 => Envelope::Ping { nonce: id },
        2 => Envelope::Pong { nonce: id },
        3 => Envelope::Message { kind: Kind::Text, data },
        4 => Envelope::Publish { id, channel, kind, data },
        5 => Envelope::Subscribe { id, channel: text },
        6 => Envelope::Unsubscribe { id, channel },
        7 => Envelope::Request(Request { id, form: Form::Query, name: text, kind, data }),
        8 => Envelope::Response { id, kind, data },
        9 => Envelope::Error { id, code: id, reason: text },
        10 => Envelope::Goodbye(Goodbye {
            code: 1000 + id as u16 % 4000,
            retry_after: id,
            attempt: id,
            reason: "",
        }),
        11 => Envelope::Health(Health { state: id, queued: id, latency: id }),
        12 => Envelope::Renewal { token: Token::new(data), credentials: Credentials::new(data) },
        13 => Envelope::Broadcast { channel, kind, data },
        14 => Envelope::Message { kind, data },
        _ => return data.to_vec(),
    };
    let mut frame = vec![0; envelope.encoded_len()];
    // What no receiver may take is not encoded; what is left of it is noise.
    let _ = envelope.encode(&mut frame);
    frame
}
