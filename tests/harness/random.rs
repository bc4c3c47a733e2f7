//! Random histories and configurations, for property tests.

use core::time::Duration;

use everlink::backoff::Jitter;
use everlink::heartbeat::Mode;
use everlink::link::{Candidate, Config, Failure};
use everlink::outbox::{Kind, Policy, Priority};
use everlink::wire::Wire;
use everlink::wire::raw::{self, Style};
use proptest::prelude::*;

use super::books::{Happening, Of, Step};

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
