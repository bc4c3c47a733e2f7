//! The native wire: the vectors of its specification, what hostile bytes do to it, and that what was encoded is decoded.

#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test may be blunt")]

use core::fmt::Write;
use core::num::NonZeroU32;

use everlink::outbox::Kind;
use everlink::wire::native::{
    Announced, Channel, Credentials, DecodeError, EncodeError, Envelope, Form, Goodbye, HEAD_MAX, Health,
    Hello, Item, Limit, Limits, Problem, Reader, Request, Token, Welcome, tag,
};
use proptest::prelude::*;

const VECTORS: &str = include_str!("../docs/protocol-vectors.txt");

fn vectors() -> impl Iterator<Item = (Vec<u8>, &'static str)> {
    let lines = VECTORS.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| {
        let (hex, meaning) = line.split_once('\t').unwrap();
        let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        ((0..hex.len()).step_by(2).map(digit).collect(), meaning)
    })
}

fn hex(bytes: &[u8]) -> String {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    if digits.is_empty() { "-".into() } else { digits }
}

fn data(kind: Kind, data: &[u8]) -> String {
    match kind {
        Kind::Text => format!("text \"{}\"", core::str::from_utf8(data).unwrap()),
        Kind::Binary => format!("binary {}", hex(data)),
    }
}

fn channel(channel: Channel<'_>) -> String {
    match channel {
        Channel::Number(number) => format!("#{number}"),
        Channel::Name(name) => name.into(),
    }
}

fn announced(Announced { envelope, window, window_bytes }: Announced) -> String {
    format!("{envelope}/{window}/{window_bytes}")
}

/// In the words of the vectors.
fn describe(item: &Item<'_>) -> String {
    let envelope = match item {
        Item::Envelope(envelope) => *envelope,
        Item::Skipped { tag } => {
            return format!("skipped {tag:#04x}{}", if item.counts() { " counted" } else { "" });
        }
    };
    match envelope {
        Envelope::Hello(Hello { version, attempt, received, announced: limits, token, credentials }) => {
            format!(
                "hello version {version} attempt {attempt} received {received} announced {} token {} credentials {}",
                announced(limits),
                hex(token.reveal()),
                hex(credentials.reveal())
            )
        }
        Envelope::Welcome(Welcome {
            version,
            resumed,
            received,
            from,
            announced: limits,
            session,
            token,
        }) => {
            format!(
                "welcome version {version} {} received {received} from {from} announced {} session {session} token {}",
                if resumed { "resumed" } else { "new" },
                announced(limits),
                hex(token.reveal())
            )
        }
        Envelope::Ping { nonce } => format!("ping {nonce}"),
        Envelope::Pong { nonce } => format!("pong {nonce}"),
        Envelope::Ack { received } => format!("ack {received}"),
        Envelope::Goodbye(Goodbye { code, retry_after, attempt, reason }) => {
            format!("goodbye {code} retry-after {retry_after} attempt {attempt} reason \"{reason}\"")
        }
        Envelope::Health(Health { state, queued, latency }) => {
            format!("health state {state} queued {queued} latency {latency}")
        }
        Envelope::Renewal { token, credentials } => {
            format!("renewal token {} credentials {}", hex(token.reveal()), hex(credentials.reveal()))
        }
        Envelope::Message { kind, data: payload } => format!("message {}", data(kind, payload)),
        Envelope::Broadcast { channel: name, kind, data: payload } => {
            format!("broadcast on {} {}", channel(name), data(kind, payload))
        }
        Envelope::Publish { id, channel: name, kind, data: payload } => {
            format!("publish {id} on {} {}", channel(name), data(kind, payload))
        }
        Envelope::Subscribe { id, channel } => format!("subscribe {id} to {channel}"),
        Envelope::Unsubscribe { id, channel: name } => format!("unsubscribe {id} from {}", channel(name)),
        Envelope::Confirmation { id, code, number, reason } => {
            format!("confirmation {id} code {code} number {number} reason \"{reason}\"")
        }
        Envelope::Request(Request { id, form, name, kind, data: payload }) => {
            let form = match form {
                Form::Command => "command",
                Form::Query => "query",
                Form::Event => "event",
            };
            format!("{form} {id} {name} {}", data(kind, payload))
        }
        Envelope::Response { id, kind, data: payload } => format!("response {id} {}", data(kind, payload)),
        Envelope::Error { id, code, reason } => format!("error {id} code {code} reason \"{reason}\""),
    }
}

fn refused(problem: Problem) -> String {
    match problem {
        Problem::Truncated => "truncated".into(),
        Problem::Number => "number".into(),
        Problem::Limit(limit) => format!("limit {limit}"),
        Problem::Text => "text".into(),
        Problem::Value => "value".into(),
        Problem::Unknown { tag } => format!("unknown {tag:#04x}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_vectors_mean_what_the_specification_says() {
    let limits = Limits::default();
    for (frame, meaning) in vectors() {
        let mut found = String::new();
        for item in Reader::new(&frame, &limits) {
            let separator = if found.is_empty() { "" } else { " | " };
            let text = match item {
                Ok(item) => describe(&item),
                Err(error) => format!("refused: {}", refused(error.problem)),
            };
            write!(found, "{separator}{text}").unwrap();
        }
        assert_eq!(found, meaning, "{}", hex(&frame));
    }
}

#[test]
fn the_vectors_are_what_this_end_would_send() {
    let limits = Limits::default();
    let mut same = 0;
    for (frame, meaning) in vectors() {
        let items: Result<Vec<_>, _> = Reader::new(&frame, &limits).collect();
        let Ok(items) = items else { continue };
        let mut encoded = Vec::new();
        for item in &items {
            let Item::Envelope(envelope) = item else { continue };
            encoded.extend(encode(envelope));
        }
        // What a later version would send has more fields than we know.
        same += usize::from(encoded == frame);
        assert!(encoded == frame || encoded.len() < frame.len() || meaning.contains("x\""), "{meaning}");
    }
    assert!(same >= 38, "{same}");
}

fn encode(envelope: &Envelope<'_>) -> Vec<u8> {
    let mut frame = vec![0; envelope.encoded_len()];
    assert_eq!(envelope.encode(&mut frame), Ok(frame.len()));
    let mut head = [0; HEAD_MAX];
    let len = envelope.encode_head(&mut head).unwrap();
    assert_eq!([&head[..len], envelope.payload()].concat(), frame);
    for short in 0..frame.len().min(400) {
        assert_eq!(envelope.encode(&mut vec![0; short]), Err(EncodeError::NoRoom));
    }
    frame
}

#[test]
fn a_small_message_costs_two_bytes() {
    for kind in [Kind::Text, Kind::Binary] {
        assert_eq!(Envelope::Message { kind, data: &[b'x'; 127] }.encoded_len(), 129);
        assert_eq!(Envelope::Message { kind, data: &[b'x'; 128] }.encoded_len(), 131);
    }
}

#[test]
fn every_tag_says_whether_it_counts_and_whether_it_may_be_skipped() {
    let limits = Limits::default();
    for tag in 0..=u8::MAX {
        let frame = [tag, 0];
        let known = match Reader::new(&frame, &limits).next().unwrap() {
            Ok(Item::Skipped { tag: skipped }) => {
                assert_eq!((skipped, tag & 0x40), (tag, 0));
                false
            }
            Ok(item @ Item::Envelope(_)) => {
                assert_eq!(item.counts(), tag & 0x80 != 0);
                true
            }
            Err(DecodeError { problem: Problem::Unknown { tag: refused }, .. }) => {
                assert_eq!((refused, tag & 0x40), (tag, 0x40));
                false
            }
            Err(_) => true,
        };
        assert_eq!(known, matches!(tag, 0x41..=0x46 | 0x07 | 0x48 | 0xC9..=0xD2), "{tag:#x}");
        assert_eq!(tag::counts(tag), tag & 0x80 != 0);
    }
}

#[test]
fn a_limit_is_named_when_it_is_passed() {
    let limits = Limits { envelope: 1024, name: 4, credentials: 5 };
    let read = |envelope: Envelope<'_>| {
        let frame = encode(&envelope);
        Reader::new(&frame, &limits).next().unwrap().map(drop).map_err(|error| error.problem)
    };
    let binary = Kind::Binary;
    let publish = |name| Envelope::Publish { id: 0, channel: Channel::Name(name), kind: binary, data: &[] };
    let renewal = |bytes| Envelope::Renewal { token: Token::NONE, credentials: Credentials::new(bytes) };
    assert_eq!(read(Envelope::Message { kind: binary, data: &[0; 1024] }), Ok(()));
    assert_eq!(
        read(Envelope::Message { kind: binary, data: &[0; 1025] }),
        Err(Problem::Limit(Limit::Envelope))
    );
    let longest = "x".repeat(Limit::NAME);
    assert_eq!(read(publish(&longest)), Ok(()), "who keeps a dialogue holds to the limit of names");
    assert_eq!(read(renewal(b"fives")), Ok(()));
    assert_eq!(read(renewal(b"sixsix")), Err(Problem::Limit(Limit::Credentials)));
    assert_eq!(DecodeErrorText(Limit::Channel).to_string(), "the channel name is too long");
}

/// The part of an error's text that is about the limit.
struct DecodeErrorText(Limit);

impl core::fmt::Display for DecodeErrorText {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}", EncodeError::TooLong(self.0))
    }
}

#[test]
fn what_no_receiver_may_take_is_not_encoded() {
    let long = "x".repeat(256);
    let mut out = [0; 1000];
    let too_long = |limit| Err(EncodeError::TooLong(limit));
    let subscribe = Envelope::Subscribe { id: 1, channel: &long };
    assert_eq!(subscribe.encode(&mut out), too_long(Limit::Channel));
    let error = Envelope::Error { id: 1, code: 1, reason: &long[..124] };
    assert_eq!(error.encode(&mut out), too_long(Limit::Reason));
    let renewal = Envelope::Renewal { token: Token::new(&[0; 65]), credentials: Credentials::NONE };
    assert_eq!(renewal.encode(&mut out), too_long(Limit::Token));
}

#[test]
fn secrets_are_not_shown() {
    let token = Token::new(b"secret");
    let envelope = Envelope::Renewal { token, credentials: Credentials::new(b"hidden") };
    assert_eq!(
        format!("{envelope:?}"),
        "Renewal { token: Token(6 bytes), credentials: Credentials(6 bytes) }"
    );
    assert!(token == Token::new(b"secret") && token != Token::new(b"sacred") && token != Token::NONE);
}

#[test]
fn every_vector_cut_off_anywhere_is_cut_off() {
    let limits = Limits::default();
    for (frame, meaning) in vectors().filter(|(_, meaning)| !meaning.contains("refused")) {
        for end in 0..frame.len() {
            let items: Vec<_> = Reader::new(&frame[..end], &limits).collect();
            let whole = items.iter().filter(|item| item.is_ok()).count();
            assert!(whole < meaning.split(" | ").count());
            if let Some(Err(error)) = items.last() {
                assert_eq!(error.problem, Problem::Truncated, "{meaning} at {end}");
            } else {
                assert!(end == 0 || whole > 0);
            }
        }
    }
}

fn any_text(max: usize) -> impl Strategy<Value = String> {
    "\\PC{0,30}".prop_map(move |mut text| {
        while text.len() > max {
            text.pop();
        }
        text
    })
}

/// Picks of everything that an envelope can be made of.
#[derive(Clone, Debug)]
struct Parts {
    which: u8,
    numbers: [u32; 4],
    longs: [u64; 3],
    text: String,
    bytes: Vec<u8>,
    name: String,
    flag: bool,
}

fn any_parts() -> impl Strategy<Value = Parts> {
    let number = || prop_oneof![0..200_u32, any::<u32>()];
    let long = || prop_oneof![0..200_u64, any::<u64>(), Just(u64::MAX)];
    (
        0..18_u8,
        [number(), number(), number(), number()],
        [long(), long(), long()],
        any_text(120),
        prop::collection::vec(any::<u8>(), 0..300),
        any_text(120),
        any::<bool>(),
    )
        .prop_map(|(which, numbers, longs, text, bytes, name, flag)| Parts {
            which,
            numbers,
            longs,
            text,
            bytes,
            name,
            flag,
        })
}

impl Parts {
    fn envelope(&self) -> Envelope<'_> {
        let Parts { numbers: [a, b, c, d], longs: [x, y, z], .. } = *self;
        let (kind, data) =
            if self.flag { (Kind::Text, self.text.as_bytes()) } else { (Kind::Binary, &self.bytes[..]) };
        let (name, reason) = (self.name.as_str(), self.text.as_str());
        let channel = NonZeroU32::new(a).filter(|_| a % 2 == 0).map_or(Channel::Name(name), Channel::Number);
        let token = Token::new(&self.bytes[..self.bytes.len().min(64)]);
        let credentials = Credentials::new(self.text.as_bytes());
        let announced = Announced { envelope: b, window: c, window_bytes: d };
        let version = a.max(1);
        match self.which {
            0 => Envelope::Hello(Hello { version, attempt: b, received: x, announced, token, credentials }),
            1 => Envelope::Welcome(Welcome {
                version,
                resumed: self.flag,
                received: x,
                from: y,
                announced,
                session: z,
                token,
            }),
            2 => Envelope::Ping { nonce: a },
            3 => Envelope::Pong { nonce: a },
            4 => Envelope::Ack { received: x },
            5 => Envelope::Goodbye(Goodbye {
                code: (1000 + a % 4000) as u16,
                retry_after: b,
                attempt: c,
                reason,
            }),
            6 => Envelope::Health(Health { state: a, queued: b, latency: c }),
            7 => Envelope::Renewal { token, credentials },
            8 => Envelope::Broadcast { channel, kind, data },
            9 => Envelope::Publish { id: b, channel, kind, data },
            10 => Envelope::Subscribe { id: a, channel: name },
            11 => Envelope::Unsubscribe { id: b, channel },
            12 => Envelope::Confirmation { id: a, code: b, number: c, reason },
            13 => {
                let form = [Form::Command, Form::Query, Form::Event][b as usize % 3];
                Envelope::Request(Request { id: a, form, name, kind, data })
            }
            14 => Envelope::Response { id: a, kind, data },
            15 => Envelope::Error { id: a, code: b, reason },
            _ => Envelope::Message { kind, data },
        }
    }
}

proptest! {
    #[test]
    fn what_was_encoded_is_decoded(parts in prop::collection::vec(any_parts(), 1..5)) {
        let envelopes: Vec<_> = parts.iter().map(Parts::envelope).collect();
        let frame: Vec<u8> = envelopes.iter().flat_map(encode).collect();
        let limits = Limits::default();
        let decoded: Result<Vec<_>, _> = Reader::new(&frame, &limits).collect();
        let expected: Vec<_> = envelopes.into_iter().map(Item::Envelope).collect();
        prop_assert_eq!(decoded, Ok(expected));
    }

    #[test]
    fn an_envelope_cut_off_anywhere_is_refused(parts in any_parts()) {
        let frame = encode(&parts.envelope());
        let limits = Limits::default();
        for end in 1..frame.len() {
            let item = Reader::new(&frame[..end], &limits).next().unwrap();
            prop_assert_eq!(item.unwrap_err(), error(Problem::Truncated));
        }
    }

    /// Nothing panics, each envelope takes bytes, what is decoded lies in the frame, and is decoded again when it is sent on.
    #[test]
    fn hostile_bytes_are_read_or_refused(mut frame in prop::collection::vec(any::<u8>(), 0..200), tags in any::<bool>()) {
        if tags && !frame.is_empty() {
            frame[0] = [0x41, 0x42, 0x45, 0x46, 0xCB, 0xCC, 0xCF, 0xD0][frame.len() % 8];
            if frame.len() > 1 {
                frame[1] = frame.len() as u8 - 2;
            }
        }
        let limits = Limits::default();
        let mut reader = Reader::new(&frame, &limits);
        let mut at = 0;
        while let Some(item) = reader.next() {
            match item {
                Ok(Item::Envelope(envelope)) => {
                    let again = encode(&envelope);
                    prop_assert!(again.len() <= reader.byte() - at);
                    let item = Reader::new(&again, &limits).next();
                    prop_assert_eq!(item, Some(Ok(Item::Envelope(envelope))));
                }
                Ok(Item::Skipped { tag }) => prop_assert!(!tag::must_be_known(tag)),
                Err(error) => prop_assert_eq!(error.at, at),
            }
            prop_assert!(reader.byte() > at);
            at = reader.byte();
        }
        prop_assert_eq!(at, frame.len());
    }
}

fn error(problem: Problem) -> DecodeError {
    // The only way to one, as the type may grow.
    let limits = Limits::default();
    let mut error = Reader::new(&[0xC9], &limits).next().unwrap().unwrap_err();
    error.problem = problem;
    error
}

/// Numbers and texts are postcard's, so that its implementations in other languages can be used for the fields.
#[cfg(feature = "serde")]
#[test]
fn fields_are_as_postcard_writes_them() {
    let mut buffer = [0; 100];
    let fields = (7_u32, 500_u32, "late");
    let fields = postcard::to_slice(&fields, &mut buffer).unwrap();
    assert_eq!(&encode(&Envelope::Error { id: 7, code: 500, reason: "late" })[2..], fields);
    let fields = postcard::to_slice(&u64::MAX, &mut buffer).unwrap();
    assert_eq!(&encode(&Envelope::Ack { received: u64::MAX })[2..], fields);
}

#[test]
fn limits_that_cannot_work_name_their_field() {
    let least = Limits { envelope: 1024, name: 1, ..Limits::default() };
    assert_eq!(least.check(), Ok(()));
    let refused = |limits: Limits| limits.check().unwrap_err().field;
    assert_eq!(refused(Limits { envelope: 1023, ..least }), "wire.native.envelope");
    assert_eq!(refused(Limits { name: 0, ..least }), "wire.native.name");
}

#[test]
fn each_problem_has_its_code_and_an_error_its_words() {
    for (problem, code) in [
        (Problem::Truncated, 1002),
        (Problem::Number, 1002),
        (Problem::Value, 1002),
        (Problem::Unknown { tag: 0x0c }, 1002),
        (Problem::Text, 1007),
        (Problem::Limit(Limit::Envelope), 1009),
    ] {
        assert_eq!(problem.code(), code, "{problem:?}");
    }
    let error = Reader::new(&[tag::PING, 9, 0], &Limits::default()).next().unwrap().unwrap_err();
    assert_eq!(error.to_string(), format!("envelope at byte {}: cut off", error.at));
}

#[test]
fn a_goodbye_says_how_long_to_stay_away_or_nothing() {
    let goodbye = |retry_after| Goodbye { code: 1013, retry_after, attempt: 0, reason: "" }.retry_after();
    assert_eq!(goodbye(0), None);
    assert_eq!(goodbye(1), Some(core::time::Duration::from_millis(1)));
    assert_eq!(goodbye(2_500), Some(core::time::Duration::from_millis(2_500)));
}

#[test]
fn tokens_are_equal_only_if_every_byte_is() {
    assert!(Token::new(b"").is_none() && !Token::new(b"x").is_none());
    assert_eq!(Token::new(b"ab"), Token::new(b"ab"));
    // The last differ by the same bits in both bytes.
    for other in [&b"a"[..], b"abc", b"aa", b"bb", b"ba"] {
        assert_ne!(Token::new(b"ab"), Token::new(other));
    }
}

#[test]
fn only_some_envelopes_count() {
    assert!(Envelope::Message { kind: Kind::Text, data: b"x" }.counts());
    assert!(!Envelope::Ping { nonce: 1 }.counts());
    assert!(!Envelope::Ack { received: 1 }.counts());
}
