//! A server on the native wire that is as simple as can be: it keeps everything for ever, and its counts are the crate's own.
//! It is told frames and gives frames; the script carries them.

use std::collections::BTreeMap;

use everlink::delivery::{Arrival, Counts, Greeting, Refusal};
use everlink::outbox::Kind;
use everlink::wire::native::{
    Announced, Channel, Envelope, Goodbye, Health, Hello, Item, Limits, Reader, Token, VERSION, Welcome, code,
};

/// A session as the server keeps it.
#[derive(Debug)]
pub struct Kept {
    token: Vec<u8>,
    pub counts: Counts,
    /// Envelopes to the client that are numbered and not acknowledged, and behind them those that are not numbered.
    down: Vec<Vec<u8>>,
    /// Whether the client has shown that it knows of it.
    pub confirmed: bool,
    /// On which socket it is.
    on: Option<u32>,
    /// What came, in order.
    pub came: Vec<Vec<u8>>,
}

/// What a hello said.
#[derive(Debug)]
pub struct Said {
    pub attempt: u32,
    pub received: u64,
    pub token: Vec<u8>,
    pub credentials: Vec<u8>,
}

#[derive(Debug)]
pub struct Far {
    pub sessions: Vec<Kept>,
    /// Which session is on which socket.
    sockets: BTreeMap<u32, usize>,
    /// Whether it acknowledges.
    pub acks: bool,
    /// Whether it knows tokens.
    pub remembers: bool,
    pub announced: Announced,
    /// What every hello is answered with, in place of a welcome.
    pub turns_away: Option<Goodbye<'static>>,
    /// Hellos that came.
    pub hellos: Vec<Said>,
    /// Goodbyes that came.
    pub goodbyes: Vec<(u32, u16)>,
    /// Credentials that came in a renewal.
    pub renewals: Vec<Vec<u8>>,
    /// How the client said that it is.
    pub health: Vec<Health>,
    /// Frames that held an acknowledgement and nothing else.
    pub bare_acks: u32,
}

/// The bytes of these envelopes, one behind the other.
pub fn bytes(envelopes: &[Envelope<'_>]) -> Vec<u8> {
    let mut frame = Vec::new();
    for envelope in envelopes {
        let at = frame.len();
        frame.resize(at + envelope.encoded_len(), 0);
        envelope.encode(&mut frame[at..]).unwrap();
    }
    frame
}

pub fn text(text: &str) -> Envelope<'_> {
    Envelope::Message { kind: Kind::Text, data: text.as_bytes() }
}

type Sent = Vec<(u32, Vec<u8>)>;

impl Default for Far {
    fn default() -> Far {
        Far {
            sessions: Vec::new(),
            sockets: BTreeMap::new(),
            acks: true,
            remembers: true,
            announced: Announced { envelope: 1 << 20, window: 64, window_bytes: 1 << 18 },
            turns_away: None,
            hellos: Vec::new(),
            goodbyes: Vec::new(),
            renewals: Vec::new(),
            health: Vec::new(),
            bare_acks: 0,
        }
    }
}

impl Far {
    /// What came in all sessions, in order.
    pub fn came(&self) -> Vec<&str> {
        let all = self.sessions.iter().flat_map(|session| &session.came);
        all.map(|message| core::str::from_utf8(message).unwrap()).collect()
    }

    /// The session that began last.
    pub fn session(&mut self) -> &mut Kept {
        self.sessions.last_mut().unwrap()
    }

    /// Has something for the client of the newest session.
    pub fn tell(&mut self, message: &str) -> Sent {
        self.say(&text(message))
    }

    /// Has an envelope that counts for the client of the newest session.
    pub fn say(&mut self, envelope: &Envelope<'_>) -> Sent {
        let index = self.sessions.len() - 1;
        self.sessions[index].down.push(bytes(&[*envelope]));
        self.flush(index)
    }

    /// Sends what may be sent in a session.
    fn flush(&mut self, index: usize) -> Sent {
        let session = &mut self.sessions[index];
        let Some(on) = session.on else { return Vec::new() };
        while session.counts.may_send() && (session.counts.in_flight() as usize) < session.down.len() {
            session.counts.number();
        }
        let mut sent = Vec::new();
        loop {
            let next = session.counts.unanswered() as usize;
            if !session.counts.hand_over(None) {
                return sent;
            }
            sent.push((on, session.down[next].clone()));
        }
    }

    /// A frame came on a socket.
    pub fn frame(&mut self, socket: u32, data: &[u8]) -> Sent {
        let limits = Limits::default();
        let mut out = Vec::new();
        let mut only_ack = true;
        for item in Reader::new(data, &limits) {
            let Item::Envelope(envelope) = item.expect("the link's envelopes are good") else { panic!() };
            only_ack &= matches!(envelope, Envelope::Ack { .. });
            if let Envelope::Hello(hello) = envelope {
                out.extend(self.hello(socket, &hello));
                continue;
            }
            // What comes on a socket that has lost its session is ignored.
            let Some(&index) = self.sockets.get(&socket) else { continue };
            let session = &mut self.sessions[index];
            session.counts.heard();
            session.confirmed = true;
            match envelope {
                Envelope::Ack { received } => {
                    let arrived = session.counts.acknowledged(received).expect("the link's counts are true");
                    session.down.drain(..arrived as usize);
                }
                Envelope::Ping { nonce } => out.push((socket, bytes(&[Envelope::Pong { nonce }]))),
                Envelope::Goodbye(goodbye) => self.goodbyes.push((socket, goodbye.code)),
                Envelope::Renewal { credentials, .. } => self.renewals.push(credentials.reveal().to_vec()),
                Envelope::Health(health) => self.health.push(health),
                envelope if envelope.counts() => {
                    let data = envelope.payload();
                    if session.counts.receive(data.len() as u32) == Arrival::New {
                        session.came.push(match envelope {
                            Envelope::Request(request) => {
                                format!("request {} {}", request.id, request.name).into_bytes()
                            }
                            Envelope::Publish { channel: Channel::Name(name), .. } => {
                                format!("publish on {name}").into_bytes()
                            }
                            Envelope::Response { id, .. } => format!("response {id}").into_bytes(),
                            Envelope::Error { id, code, reason } => {
                                format!("error {id} {code} {reason}").into_bytes()
                            }
                            Envelope::Subscribe { id, channel } => {
                                format!("subscribe {id} {channel}").into_bytes()
                            }
                            Envelope::Unsubscribe { id, .. } => format!("unsubscribe {id}").into_bytes(),
                            _ => data.to_vec(),
                        });
                    }
                }
                _ => {}
            }
            if self.acks
                && let Some(received) = self.sessions[index].counts.ack(None)
            {
                out.push((socket, bytes(&[Envelope::Ack { received }])));
            }
            out.extend(self.flush(index));
        }
        self.bare_acks += u32::from(only_ack);
        out
    }

    fn hello(&mut self, socket: u32, hello: &Hello<'_>) -> Sent {
        let (token, credentials) = (hello.token.reveal().to_vec(), hello.credentials.reveal().to_vec());
        let (attempt, received) = (hello.attempt, hello.received);
        self.hellos.push(Said { attempt, received, token: token.clone(), credentials });
        if let Some(goodbye) = self.turns_away {
            return vec![(socket, bytes(&[Envelope::Goodbye(goodbye)]))];
        }
        let greeting = Greeting { attempt: hello.attempt, received: hello.received };
        let known = self.sessions.iter().position(|kept| self.remembers && kept.token == token);
        let mut out = Vec::new();
        if let Some(index) = known {
            let session = &mut self.sessions[index];
            match session.counts.take_over(greeting, None) {
                Ok(resumption) => {
                    session.down.drain(..resumption.acknowledged as usize);
                    let old = session.on.replace(socket);
                    self.sockets.insert(socket, index);
                    let welcome = self.welcome(index, Some((resumption.received, resumption.from)));
                    out.push((socket, welcome));
                    if let Some(old) = old {
                        self.sockets.remove(&old);
                        let attempt = hello.attempt;
                        let superseded =
                            Goodbye { code: code::SUPERSEDED, retry_after: 0, attempt, reason: "" };
                        out.push((old, bytes(&[Envelope::Goodbye(superseded)])));
                    }
                    out.extend(self.flush(index));
                    return out;
                }
                Err(Refusal::Overtaken) => {
                    let attempt = session.counts.attempt();
                    let goodbye = Goodbye { code: code::OVERTAKEN, retry_after: 0, attempt, reason: "" };
                    return vec![(socket, bytes(&[Envelope::Goodbye(goodbye)]))];
                }
                Err(Refusal::Impossible) => {}
            }
        }
        let mut counts = Counts::new();
        counts.offer(hello.attempt, None);
        let token = format!("token {}", self.sessions.len() + 1).into_bytes();
        self.sessions.push(Kept {
            token,
            counts,
            down: Vec::new(),
            confirmed: false,
            on: Some(socket),
            came: Vec::new(),
        });
        let index = self.sessions.len() - 1;
        self.sockets.insert(socket, index);
        vec![(socket, self.welcome(index, None))]
    }

    fn welcome(&self, index: usize, resumed: Option<(u64, u64)>) -> Vec<u8> {
        let (received, from) = resumed.unwrap_or((0, 0));
        let welcome = Welcome {
            version: VERSION,
            resumed: resumed.is_some(),
            received,
            from,
            announced: self.announced,
            session: index as u64 + 1,
            token: Token::new(if resumed.is_some() { b"" } else { &self.sessions[index].token }),
        };
        bytes(&[Envelope::Welcome(welcome)])
    }

    /// The process was started anew, and had stored nothing.
    pub fn forget(&mut self) {
        self.sockets.clear();
        for session in &mut self.sessions {
            session.token.clear();
            session.token.extend(b"no longer known");
            session.on = None;
            session.counts.detach();
        }
    }

    /// Sends a goodbye on the newest session's socket, which ends with it.
    pub fn part(&mut self, goodbye: Goodbye<'_>) -> Sent {
        let session = self.sessions.last_mut().unwrap();
        let Some(on) = session.on.take() else { return Vec::new() };
        session.counts.detach();
        self.sockets.remove(&on);
        vec![(on, bytes(&[Envelope::Goodbye(goodbye)]))]
    }
}
