//! The client: counts, and books that it never forgets.

use std::collections::VecDeque;

use everlink::delivery::{Arrival, Counts};
use everlink::outbox::Kind;
use everlink::wire::native::{Announced, Credentials, Envelope, Hello, Item, Limits, Reader, Token, VERSION};

pub const ANNOUNCED: Announced = Announced { envelope: 4096, window: 64, window_bytes: 1 << 18 };

pub fn encode(envelopes: &[Envelope<'_>]) -> Vec<u8> {
    let mut frame = Vec::new();
    for envelope in envelopes {
        let start = frame.len();
        frame.resize(start + envelope.encoded_len(), 0);
        envelope.encode(&mut frame[start..]).unwrap();
    }
    frame
}

/// A client that forgets nothing, but for what a new session tells it to.
pub struct Client {
    pub who: String,
    pub counts: Counts,
    pub token: Vec<u8>,
    /// All tokens that it was ever given.
    pub tokens: Vec<Vec<u8>>,
    pub announced: Announced,
    /// What it has sent, or is to send, and what is not acknowledged; handed over in this order.
    pub unacknowledged: VecDeque<String>,
    /// How many of these the current socket has had.
    handed: usize,
    pub inbox: Vec<String>,
    pub in_doubt: Vec<String>,
    pub goodbyes: Vec<u16>,
    pub welcomes: Vec<bool>,
}

impl Client {
    pub fn new(who: &str) -> Client {
        Client {
            who: who.into(),
            counts: Counts::new(),
            token: Vec::new(),
            tokens: Vec::new(),
            announced: ANNOUNCED,
            unacknowledged: VecDeque::new(),
            handed: 0,
            inbox: Vec::new(),
            in_doubt: Vec::new(),
            goodbyes: Vec::new(),
            welcomes: Vec::new(),
        }
    }

    pub fn hello(&mut self) -> Vec<u8> {
        self.counts.begin_attempt();
        let greeting = self.counts.greeting(None).unwrap();
        encode(&[Envelope::Hello(Hello {
            version: VERSION,
            attempt: greeting.attempt,
            received: greeting.received,
            announced: self.announced,
            token: Token::new(&self.token),
            credentials: Credentials::new(self.who.as_bytes()),
        })])
    }

    /// What a socket brought.
    pub fn read(&mut self, frames: Vec<Vec<u8>>) {
        let limits = Limits::default();
        for frame in frames {
            for item in Reader::new(&frame, &limits) {
                let Ok(Item::Envelope(envelope)) = item else { panic!("{item:?}") };
                self.envelope(envelope);
            }
        }
    }

    fn envelope(&mut self, envelope: Envelope<'_>) {
        match envelope {
            Envelope::Welcome(welcome) => {
                self.welcomes.push(welcome.resumed);
                self.keep(welcome.token);
                self.handed = 0;
                if welcome.resumed {
                    let resumption = self.counts.resume(welcome.received, welcome.from).unwrap();
                    self.unacknowledged.drain(..resumption.acknowledged as usize);
                } else {
                    let doubtful = self.counts.restart(None) as usize;
                    self.in_doubt.extend(self.unacknowledged.drain(..doubtful));
                }
            }
            Envelope::Message { data, .. } => {
                let arrival = self.counts.receive(data.len() as u32);
                let text = String::from_utf8_lossy(data).into_owned();
                self.inbox.extend((arrival == Arrival::New).then_some(text));
            }
            Envelope::Ack { received } => {
                let arrived = self.counts.acknowledged(received).unwrap() as usize;
                self.unacknowledged.drain(..arrived);
                self.handed -= arrived;
            }
            Envelope::Renewal { token, .. } => self.keep(token),
            Envelope::Goodbye(goodbye) => self.goodbyes.push(goodbye.code),
            _ => {}
        }
    }

    fn keep(&mut self, token: Token<'_>) {
        if !token.is_none() {
            self.token = token.reveal().to_vec();
            self.tokens.push(self.token.clone());
        }
    }

    pub fn queue(&mut self, text: &str) {
        self.unacknowledged.push_back(text.into());
    }

    /// What it has to say: an ack, if it owes one, and at most so many messages.
    pub fn write(&mut self, most: usize) -> Vec<u8> {
        let mut frame = Vec::new();
        if let Some(received) = self.counts.ack(None) {
            frame.extend(encode(&[Envelope::Ack { received }]));
        }
        for _ in 0..most {
            let Some(text) = self.unacknowledged.get(self.handed) else { break };
            if self.handed == self.counts.in_flight() as usize {
                self.counts.number();
            }
            if !self.counts.hand_over(None) {
                break;
            }
            self.handed += 1;
            frame.extend(encode(&[Envelope::Message { kind: Kind::Text, data: text.as_bytes() }]));
        }
        frame
    }

    /// The socket is gone.
    pub fn detach(&mut self) {
        self.counts.detach();
        self.handed = 0;
    }
}
