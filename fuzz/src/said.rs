//! What a server might say on the native wire, made of a fuzzer's bytes.

use core::num::NonZeroU32;

use arbitrary::Arbitrary;
use everlink::channels::SYSTEM;
use everlink::outbox::Kind;
use everlink::wire::native::{
    Announced, Channel, Credentials, Envelope, Form, Goodbye, Health, Request, Token, Welcome, code,
};

use crate::pick;
use crate::steps::channel;

const ANNOUNCED: Announced = Announced { envelope: 1100, window: 4, window_bytes: 4000 };

/// One thing that it says. Counts are small, so that a good part of them can be true.
#[derive(Arbitrary)]
pub enum Word {
    /// To a hello.
    Welcome { resumed: bool, received: u8, from: u8, token: bool },
    /// A message, or what counts as one.
    Message(bool),
    /// A broadcast.
    Broadcast(u8),
    /// An acknowledgement.
    Ack(u8),
    /// A ping.
    Ping(u32),
    /// An answer to a ping.
    Pong(u8),
    /// Why it closes.
    Goodbye { code: u8, retry_after: u8, attempt: u8 },
    /// Another token.
    Renewal,
    /// How it is.
    Health(u8),
    /// No envelope.
    Noise(Vec<u8>),
}

/// One thing that it says in a dialogue, true or not.
#[derive(Arbitrary)]
pub enum Spoken {
    /// What is none of it.
    Word(Word),
    /// A request; without an id, an event.
    Request(u8),
    /// An answer.
    Response(u8),
    /// A refusal.
    Error(u8),
    /// To a subscription, one that is left, or what was published: granted or not.
    Confirmation { id: u8, refused: bool, number: u8 },
    /// A broadcast by its name.
    News(u8),
    /// One to all.
    System,
    /// A welcome of this version, or none.
    Version(u8),
    /// What only a client says.
    Subscribe(u8, u8),
}

impl Spoken {
    fn onto(&self, frame: &mut Vec<u8>) {
        let (kind, data) = (Kind::Text, b"x".as_slice());
        // Small, so that there often is such a thing.
        let small = |id: u8| u32::from(id % 16);
        append(
            frame,
            &match *self {
                Spoken::Word(ref word) => return word.onto(frame),
                Spoken::Request(id) => {
                    Envelope::Request(Request { id: small(id), form: Form::Query, name: "say", kind, data })
                }
                Spoken::Response(id) => Envelope::Response { id: small(id), kind, data },
                Spoken::Error(id) => Envelope::Error { id: small(id), code: 7, reason: "" },
                Spoken::Confirmation { id, refused, number } => Envelope::Confirmation {
                    id: small(id),
                    code: refused.into(),
                    number: u32::from(number % 4),
                    reason: "",
                },
                Spoken::News(which) => {
                    Envelope::Broadcast { channel: Channel::Name(channel(which)), kind, data }
                }
                Spoken::System => Envelope::Broadcast { channel: Channel::Name(SYSTEM), kind, data },
                Spoken::Version(version) => Envelope::Welcome(Welcome {
                    version: version.into(),
                    resumed: false,
                    received: 0,
                    from: 0,
                    announced: ANNOUNCED,
                    session: 1,
                    token: Token::new(b"token"),
                }),
                Spoken::Subscribe(id, which) => {
                    Envelope::Subscribe { id: small(id), channel: channel(which) }
                }
            },
        );
    }
}

/// The frame in which it says this.
pub fn speech(spoken: &[Spoken]) -> Vec<u8> {
    let mut frame = Vec::new();
    for one in spoken {
        one.onto(&mut frame);
    }
    frame
}

fn append(frame: &mut Vec<u8>, envelope: &Envelope<'_>) {
    let at = frame.len();
    frame.resize(at + envelope.encoded_len(), 0);
    envelope.encode(&mut frame[at..]).expect("it has room");
}

/// The frame in which it says this.
pub fn frame(words: &[Word]) -> Vec<u8> {
    let mut frame = Vec::new();
    for word in words {
        word.onto(&mut frame);
    }
    frame
}

impl Word {
    fn onto(&self, frame: &mut Vec<u8>) {
        let envelope = match *self {
            Word::Welcome { resumed, received, from, token } => Envelope::Welcome(Welcome {
                version: 1,
                resumed,
                received: u64::from(received % 8),
                from: u64::from(from % 8),
                announced: ANNOUNCED,
                session: 1,
                token: Token::new(if token { b"token" } else { b"" }),
            }),
            Word::Message(text) => {
                Envelope::Message { kind: if text { Kind::Text } else { Kind::Binary }, data: b"news" }
            }
            Word::Broadcast(number) => Envelope::Broadcast {
                channel: Channel::Number(NonZeroU32::MIN.saturating_add(number.into())),
                kind: Kind::Binary,
                data: b"news",
            },
            Word::Ack(received) => Envelope::Ack { received: u64::from(received % 16) },
            Word::Ping(nonce) => Envelope::Ping { nonce },
            Word::Pong(nonce) => Envelope::Pong { nonce: u32::from(nonce % 16) },
            Word::Goodbye { code: which, retry_after, attempt } => {
                let codes = [
                    1000,
                    1001,
                    1009,
                    1012,
                    code::SUPERSEDED,
                    code::OVERTAKEN,
                    code::IMPOSSIBLE_COUNT,
                    code::EXPIRED,
                ];
                Envelope::Goodbye(Goodbye {
                    code: pick(&codes, which),
                    retry_after: retry_after.into(),
                    attempt: attempt.into(),
                    reason: "",
                })
            }
            Word::Renewal => {
                Envelope::Renewal { token: Token::new(b"other"), credentials: Credentials::NONE }
            }
            Word::Health(state) => Envelope::Health(Health { state: state.into(), queued: 2, latency: 3 }),
            Word::Noise(ref bytes) => return frame.extend_from_slice(bytes),
        };
        append(frame, &envelope);
    }
}
