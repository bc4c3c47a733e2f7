//! Random histories and configurations, for property tests.

use core::time::Duration;

use everlink::backoff::Jitter;
use everlink::delivery::InDoubt;
use everlink::heartbeat::Mode;
use everlink::link::{Candidate, Config, Failure};
use everlink::outbox::{Kind, Policy, Priority};
use everlink::wire::Wire;
use everlink::wire::raw::{self, Style};
use proptest::prelude::*;

use super::far::{bytes, text};
use super::steps::{Happening, Of, Saying, Step};

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

/// Frames of the native wire, of which a good part is what a server might say.
fn native_frames() -> impl Strategy<Value = Vec<u8>> {
    use everlink::wire::native::{
        Announced, Channel, Credentials, Envelope, Form, Goodbye, Health, Request, Token, Welcome, code,
    };
    let spoken = (0..8_u32, 0..6_u32, 0..3_u32).prop_map(|(what, id, code)| {
        let (kind, data) = (Kind::Text, b"x".as_slice());
        bytes(&[match what {
            0 | 1 => Envelope::Response { id, kind, data },
            2 => Envelope::Error { id, code, reason: "" },
            3 | 4 => Envelope::Confirmation { id: 1 + 4 * id, code: code % 2, number: code, reason: "" },
            5 => Envelope::Confirmation { id: 2 * id + code, code, number: 0, reason: "" },
            6 => Envelope::Broadcast {
                channel: Channel::Name(["a", "b", "system"][code as usize]),
                kind,
                data,
            },
            _ => Envelope::Request(Request { id, form: Form::Query, name: "say", kind, data }),
        }])
    });
    let announced = Announced { envelope: 1100, window: 4, window_bytes: 4000 };
    let welcome = (any::<bool>(), 0..4_u64, 0..4_u64, any::<bool>()).prop_map(
        move |(resumed, received, from, token)| {
            let token = Token::new(if token { b"token" } else { b"" });
            bytes(&[Envelope::Welcome(Welcome {
                version: 1,
                resumed,
                received,
                from,
                announced,
                session: 1,
                token,
            })])
        },
    );
    let codes = proptest::sample::select(vec![
        1000,
        1001,
        1009,
        1012,
        code::SUPERSEDED,
        code::OVERTAKEN,
        code::IMPOSSIBLE_COUNT,
        code::EXPIRED,
    ]);
    let goodbye = (codes, 0..3_u32, 0..9_u32).prop_map(|(code, retry_after, attempt)| {
        bytes(&[Envelope::Goodbye(Goodbye { code, retry_after, attempt, reason: "" })])
    });
    let one = prop_oneof![
        6 => welcome,
        5 => Just(bytes(&[text("news")])),
        6 => spoken,
        6 => (0..6_u64).prop_map(|received| bytes(&[Envelope::Ack { received }])),
        2 => (0..6_u32).prop_map(|nonce| bytes(&[Envelope::Pong { nonce }])),
        1 => any::<u32>().prop_map(|nonce| bytes(&[Envelope::Ping { nonce }])),
        1 => goodbye,
        1 => Just(bytes(&[Envelope::Renewal { token: Token::new(b"other"), credentials: Credentials::NONE }])),
        1 => Just(bytes(&[Envelope::Health(Health { state: 1, queued: 2, latency: 3 })])),
        1 => proptest::collection::vec(any::<u8>(), 0..20),
    ];
    proptest::collection::vec(one, 1..4).prop_map(|frames| frames.concat())
}

fn sayings() -> impl Strategy<Value = Saying> {
    prop_oneof![
        1 => Just(Saying::Open),
        5 => (0..60_usize, durations(), any::<bool>())
            .prop_map(|(len, timeout, again)| Saying::Ask { len, timeout, again }),
        1 => (0..4_u32).prop_map(Saying::Cancel),
        1 => (0..6_u32).prop_map(Saying::Respond),
        1 => (0..6_u32).prop_map(Saying::Reject),
        2 => (0..3_u8).prop_map(Saying::Subscribe),
        1 => (0..3_u8).prop_map(Saying::Unsubscribe),
        2 => (0..3_u8).prop_map(Saying::Publish),
    ]
}

/// Histories of a link that keeps a dialogue.
pub fn talking_histories(longest: usize) -> impl Strategy<Value = Vec<Step>> {
    let say = proptest::collection::vec(sayings().prop_map(Step::Say), 1..4);
    let steps = prop_oneof![3 => native_histories(6), 2 => say];
    proptest::collection::vec(steps, 1..longest).prop_map(|steps| {
        let mut steps = steps.concat();
        steps.insert(0, Step::Say(Saying::Open));
        steps
    })
}

/// Histories in which frames of the native wire come, and sockets that are opened are welcome more often than not.
pub fn native_histories(longest: usize) -> impl Strategy<Value = Vec<Step>> {
    let disk = prop_oneof![
        2 => any::<bool>().prop_map(Step::Disk),
        2 => any::<bool>().prop_map(Step::Stored),
        1 => any::<bool>().prop_map(Step::Credentials),
        1 => Just(Step::Restart),
        2 => proptest::option::of(0..8_u64).prop_map(Step::Unread),
    ];
    let step = prop_oneof![
        16 => steps().prop_map(|step| vec![step]),
        3 => disk.prop_map(|step| vec![step]),
        8 => (sockets(), native_frames())
            .prop_map(|(of, data)| vec![Step::Socket(of, Happening::Frame(Kind::Binary, data))]),
        4 => native_frames().prop_map(|data| {
            let newest = |happening| Step::Socket(Of::Newest, happening);
            vec![
                Step::Deadline,
                newest(Happening::Opened),
                Step::Drain,
                Step::Pull(Of::Newest, 3),
                newest(Happening::Frame(Kind::Binary, data)),
            ]
        }),
    ];
    proptest::collection::vec(step, 1..longest).prop_map(|steps| {
        let mut steps = steps.concat();
        steps.insert(0, Step::Start);
        steps
    })
}

/// Configurations of the native wire that work, small enough for every bound to bite.
pub fn native_configs() -> impl Strategy<Value = Config> {
    (configs(), 1..5_u32, 1..200_u32, 0..3_u64, any::<[bool; 2]>()).prop_map(
        |(mut config, window, window_bytes, ack_delay, [durable, resend])| {
            config.wire = Wire::Native(Default::default());
            config.delivery.window = window;
            config.delivery.window_bytes = window_bytes;
            config.delivery.ack_delay = Duration::from_millis(20 * ack_delay);
            config.delivery.durable = durable;
            config.delivery.in_doubt = if resend { InDoubt::Resend } else { InDoubt::Settle };
            config
        },
    )
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
