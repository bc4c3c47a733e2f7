//! A fresh socket: what it may say, how long it may take, who decides, and how it is let go.

#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test may be blunt")]

use core::time::Duration;

use crate::law::proptest_config;
use everlink::acceptor::{Acceptor, Config, Principal, Question};
use everlink::link::{Action, Close, Epoch, Event, Next};
use everlink::outbox::Kind;
use everlink::time::Instant;
use everlink::wire::native::{
    Announced, Credentials, Envelope, Goodbye, Hello, Item, Limits, Reader, Token, VERSION, code,
};
use proptest::prelude::*;

const ANNOUNCED: Announced = Announced { envelope: 4096, window: 16, window_bytes: 4096 };

const HELLO: Hello<'static> = Hello {
    version: VERSION,
    attempt: 3,
    received: 5,
    announced: ANNOUNCED,
    token: Token::NONE,
    credentials: Credentials::NONE,
};

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

fn encode(envelopes: &[Envelope<'_>]) -> Vec<u8> {
    let mut frame = Vec::new();
    for envelope in envelopes {
        let start = frame.len();
        frame.resize(start + envelope.encoded_len(), 0);
        envelope.encode(&mut frame[start..]).unwrap();
    }
    frame
}

/// A fresh socket at 0, and what is done to it.
struct Door {
    config: Config,
    acceptor: Acceptor,
    now: Instant,
}

impl Door {
    fn new(change: impl FnOnce(&mut Config)) -> Door {
        let mut config = Config::default();
        change(&mut config);
        config.check().unwrap();
        let acceptor = Acceptor::new(&config, Instant::ORIGIN, Epoch::new(9).unwrap());
        Door { config, acceptor, now: Instant::ORIGIN }
    }

    fn event<'f>(&mut self, event: Event<'f>) -> Option<Question<'f>> {
        self.acceptor.handle(&self.config, self.now, event)
    }

    fn frame<'f>(&mut self, data: &'f [u8]) -> Option<Question<'f>> {
        self.event(Event::Frame { kind: Kind::Binary, data })
    }

    fn tick(&mut self, millis: u64) {
        self.now = at(millis);
        self.acceptor.tick(&self.config, self.now);
    }

    /// What is to be done until nothing is: `goodbye 4001 0 "reason"`, `close 4001`, `abandon`.
    fn drain(&mut self) -> Vec<String> {
        let mut seen = Vec::new();
        while let Next::Do(action) = self.acceptor.poll() {
            match action {
                Action::Flush { epoch } => {
                    assert_eq!(epoch, self.acceptor.epoch());
                    while let Some(frame) = self.acceptor.pull() {
                        let limits = Limits::default();
                        for item in Reader::new(frame.head(), &limits) {
                            let Ok(Item::Envelope(Envelope::Goodbye(said))) = item else {
                                panic!("{item:?}")
                            };
                            let Goodbye { code, retry_after, reason, .. } = said;
                            seen.push(format!("goodbye {code} {retry_after} {reason:?}"));
                        }
                    }
                }
                Action::Close { code, .. } => seen.push(format!("close {code}")),
                Action::Abandon { .. } => seen.push("abandon".into()),
                other => panic!("{other:?}"),
            }
        }
        seen
    }
}

#[test]
fn a_configuration_that_cannot_work_is_refused_with_its_field() {
    type Change = fn(&mut Config);
    let check = |change: Change| {
        let mut config = Config::default();
        change(&mut config);
        config.check().map_err(|error| error.field)
    };
    let bad: [(&str, Change); 11] = [
        ("acceptor.hello_timeout", |config| config.hello_timeout = Duration::ZERO),
        ("acceptor.decision_timeout", |config| config.decision_timeout = Duration::ZERO),
        ("acceptor.close_timeout", |config| config.close_timeout = Duration::ZERO),
        ("wire.native.envelope", |config| config.limits.envelope = 0),
        ("acceptor.sessions.count", |config| config.sessions.count = 0),
        ("acceptor.sessions.count", |config| config.sessions.count = (1 << 24) + 1),
        ("acceptor.sessions.per_principal", |config| config.sessions.per_principal = 0),
        ("acceptor.sessions.per_principal", |config| config.sessions.per_principal = 1025),
        ("acceptor.sessions.keep", |config| config.sessions.keep = Duration::ZERO),
        ("acceptor.sessions.keep", |config| config.sessions.keep = Duration::from_nanos(999)),
        ("acceptor.sessions.token_life", |config| config.sessions.token_life = Duration::from_millis(59_999)),
    ];
    for (field, change) in bad {
        assert_eq!(check(change), Err(field));
    }
    let good: [Change; 4] = [
        |_| (),
        |config| (config.sessions.count, config.sessions.per_principal) = (1 << 24, 1024),
        |config| (config.sessions.count, config.sessions.per_principal) = (1, 1),
        |config| config.sessions.token_life = Duration::from_secs(60),
    ];
    for change in good {
        assert_eq!(check(change), Ok(()));
    }
}

#[test]
fn a_hello_is_asked_about_and_admitted() {
    let mut door = Door::new(|_| ());
    assert_eq!(door.acceptor.poll(), Next::Wait(at(10_000)));
    let hello = Hello { credentials: Credentials::new(b"ann"), token: Token::new(&[1; 20]), ..HELLO };
    let frame = encode(&[Envelope::Hello(hello)]);
    door.now = at(4_000);
    let question = door.frame(&frame).unwrap();
    assert_eq!((question.credentials.reveal(), question.resumes), (&b"ann"[..], true));
    assert_eq!(door.acceptor.poll(), Next::Wait(at(14_000)), "the decision has its own time");
    let arrival = door.acceptor.admit(Principal::new(7)).unwrap();
    assert_eq!(arrival.principal, Principal::new(7));
    assert_eq!((arrival.greeting.attempt, arrival.greeting.received), (3, 5));
    assert_eq!((arrival.epoch.get(), arrival.announced), (9, ANNOUNCED));
    assert!(door.acceptor.is_done());
    assert_eq!(door.acceptor.poll(), Next::Idle);
}

#[test]
fn what_is_just_within_a_limit_is_let_in_and_what_is_beyond_is_not() {
    let hello = |envelope| {
        let announced = Announced { envelope, ..ANNOUNCED };
        encode(&[Envelope::Hello(Hello { announced, ..HELLO })])
    };
    for (envelope, asks) in [(1024, true), (1023, false)] {
        assert_eq!(Door::new(|_| ()).frame(&hello(envelope)).is_some(), asks, "{envelope}");
    }
    let frame = hello(4096);
    for (length, too_long) in [(1024, false), (1025, true)] {
        // Without credentials, there is 1 KiB for the rest.
        let mut door = Door::new(|config| config.limits.credentials = 0);
        assert!(door.frame(&vec![frame[0]; length]).is_none());
        assert_eq!(door.drain()[0].contains("hello is too long"), too_long, "{length}");
    }
    let reason = "r".repeat(81);
    for (length, told) in [(80, &reason[..80]), (81, "")] {
        let mut door = Door::new(|_| ());
        door.frame(&frame);
        let now = door.now;
        door.acceptor.refuse(&door.config, now, 4001, Duration::ZERO, reason[..length].to_owned().leak());
        assert_eq!(door.drain()[0], format!("goodbye 4001 0 {told:?}"));
    }
}

#[test]
fn it_is_asked_and_admitted_once() {
    let mut door = Door::new(|_| ());
    assert!(door.acceptor.admit(Principal::ANYONE).is_none(), "nobody asked");
    let frame = encode(&[Envelope::Hello(HELLO)]);
    assert!(door.frame(&frame).is_some());
    assert!(door.frame(&frame).is_none(), "one decision is pending");
    assert!(door.acceptor.admit(Principal::ANYONE).is_some());
    assert!(door.acceptor.admit(Principal::ANYONE).is_none());
    assert!(door.frame(&frame).is_none(), "the socket is another machine's");
}

#[test]
fn the_highest_version_that_both_speak_is_spoken() {
    for (offered, spoken) in [(1, 1), (2, VERSION), (u32::MAX, VERSION)] {
        let mut door = Door::new(|_| ());
        door.frame(&encode(&[Envelope::Hello(Hello { version: offered, ..HELLO })])).unwrap();
        assert_eq!(door.acceptor.admit(Principal::ANYONE).unwrap().version, spoken);
    }
}

#[test]
fn a_socket_that_says_nothing_is_abandoned() {
    let mut door = Door::new(|config| config.hello_timeout = Duration::from_secs(3));
    door.now = at(2_900);
    door.frame(&[]); // a sign of life is no hello
    door.event(Event::Received(2));
    door.event(Event::Ping);
    assert_eq!(door.drain(), [""; 0]);
    door.tick(3_000);
    assert_eq!(door.drain(), ["abandon"]);
    assert!(door.acceptor.is_done());
}

#[test]
fn an_application_that_does_not_decide_makes_the_client_come_back() {
    let mut door = Door::new(|_| ());
    door.frame(&encode(&[Envelope::Hello(HELLO)])).unwrap();
    door.tick(9_999);
    assert_eq!(door.drain(), [""; 0]);
    door.tick(10_000);
    assert_eq!(door.drain(), ["goodbye 1013 5000 \"authentication takes too long\"", "close 1013"]);
    assert!(door.acceptor.admit(Principal::ANYONE).is_none(), "too late");
    door.event(Event::Closed(Close::default()));
    assert!(door.acceptor.is_done());
}

#[test]
fn who_is_refused_is_told_why_and_closed() {
    let mut door = Door::new(|_| ());
    door.frame(&encode(&[Envelope::Hello(HELLO)])).unwrap();
    door.acceptor.refuse(&door.config, door.now, code::UNAUTHENTICATED, Duration::ZERO, "who are you?");
    assert_eq!(door.drain(), ["goodbye 4001 0 \"who are you?\"", "close 4001"]);
    assert_eq!(door.acceptor.poll(), Next::Wait(at(5_000)));
    door.tick(5_000);
    assert_eq!(door.drain(), ["abandon"], "it did not close in time");

    let mut door = Door::new(|_| ());
    door.frame(&encode(&[Envelope::Hello(HELLO)])).unwrap();
    const LONG: &str = match str::from_utf8(&[b'.'; 81]) {
        Ok(long) => long,
        Err(_) => unreachable!(),
    };
    door.acceptor.refuse(&door.config, door.now, 7, Duration::from_micros(1), LONG);
    assert_eq!(door.drain(), ["goodbye 4001 1 \"\"", "close 4001"], "what the wire cannot say is left out");
}

#[test]
fn a_goodbye_that_the_socket_does_not_take_is_asked_for_again() {
    let mut door = Door::new(|_| ());
    door.frame(&encode(&[Envelope::Ping { nonce: 1 }]));
    let epoch = door.acceptor.epoch();
    assert_eq!(door.acceptor.poll(), Next::Do(Action::Flush { epoch }));
    assert_eq!(door.acceptor.poll(), Next::Wait(at(5_000)), "no close before the goodbye");
    door.event(Event::Writable);
    assert_eq!(door.drain(), ["goodbye 1002 0 \"hello comes first\"", "close 1002"]);
}

#[test]
fn what_a_stranger_should_not_say_closes_the_socket() {
    let hello = Envelope::Hello(HELLO);
    let small = Announced { envelope: 1023, ..ANNOUNCED };
    let cut = encode(&[hello]);
    let cases: &[(&str, Vec<u8>, &str)] = &[
        ("another envelope", encode(&[Envelope::Ack { received: 0 }]), "1002 0 \"hello comes first\""),
        (
            "one that counts",
            encode(&[Envelope::Message { kind: Kind::Binary, data: b"x" }]),
            "1002 0 \"hello comes first\"",
        ),
        ("two", encode(&[hello, Envelope::Ping { nonce: 1 }]), "1002 0 \"hello comes alone\""),
        ("half a one", cut[..cut.len() - 1].to_vec(), "1002 0 \"not an envelope\""),
        ("noise", vec![0xFF; 40], "1002 0 \"not an envelope\""),
        ("version 0", vec![0x41, 10, 9, 0, 1, 0, 0x80, 8, 1, 1, 0, 0], "1002 0 \"not an envelope\""),
        (
            "a receiver of next to nothing",
            encode(&[Envelope::Hello(Hello { announced: small, ..HELLO })]),
            "1002 0 \"takes no envelope of 1 KiB\"",
        ),
        ("too much", vec![0; 9217], "1009 0 \"hello is too long\""),
    ];
    for (what, frame, goodbye) in cases {
        let mut door = Door::new(|_| ());
        assert!(door.frame(frame).is_none(), "{what}");
        let close = format!("close {}", &goodbye[..4]);
        assert_eq!(door.drain(), [format!("goodbye {goodbye}"), close], "{what}");
    }

    let mut door = Door::new(|_| ());
    door.event(Event::Frame { kind: Kind::Text, data: b"hello" });
    assert_eq!(door.drain(), ["goodbye 1002 0 \"a text frame\"", "close 1002"]);
}

#[test]
fn what_never_becomes_a_hello_is_bounded_in_bytes() {
    let mut door = Door::new(|config| config.limits.credentials = 1000);
    assert_eq!(door.config.hello_bytes(), 2024);
    door.event(Event::Received(2024));
    assert_eq!(door.drain(), [""; 0]);
    door.event(Event::Received(1));
    assert_eq!(door.drain(), ["goodbye 1009 0 \"hello is too long\"", "close 1009"]);
    door.event(Event::Received(u32::MAX));
    door.event(Event::Received(u32::MAX));
    assert_eq!(door.drain(), [""; 0]);
}

#[test]
fn credentials_are_held_to_their_limit() {
    let mut door = Door::new(|config| config.limits.credentials = 8);
    let hello = Hello { credentials: Credentials::new(b"123456789"), ..HELLO };
    assert!(door.frame(&encode(&[Envelope::Hello(hello)])).is_none());
    assert_eq!(door.drain(), ["goodbye 1009 0 \"not an envelope\"", "close 1009"]);
}

#[test]
fn a_broken_framing_is_closed_without_a_goodbye() {
    let mut door = Door::new(|_| ());
    door.event(Event::Violation(1002));
    assert_eq!(door.drain(), ["close 1002"]);
}

#[test]
fn a_socket_that_is_gone_is_nobodys() {
    let mut door = Door::new(|_| ());
    door.frame(&encode(&[Envelope::Hello(HELLO)])).unwrap();
    door.event(Event::Closed(Close::default()));
    assert!(door.acceptor.is_done());
    assert!(door.acceptor.admit(Principal::ANYONE).is_none());
    door.acceptor.refuse(&door.config, door.now, 4001, Duration::ZERO, "");
    door.event(Event::Violation(1002));
    assert_eq!(door.drain(), [""; 0]);
}

#[test]
fn no_secret_is_in_what_debug_shows() {
    let mut door = Door::new(|_| ());
    let (token, credentials) = ([0xAB; 20], [0xCD; 30]);
    let hello = Hello { token: Token::new(&token), credentials: Credentials::new(&credentials), ..HELLO };
    let frame = encode(&[Envelope::Hello(hello)]);
    let question = format!("{:?}", door.frame(&frame).unwrap());
    let waiting = format!("{:?}", door.acceptor);
    let arrival = door.acceptor.admit(Principal::ANYONE).unwrap();
    for shown in [question, waiting, format!("{arrival:?}"), format!("{:?}", arrival.token())] {
        for secret in ["171", "ab, ab", "AB", "205", "CD", "cd"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Frame(bool, Vec<u8>),
    Hello(Vec<u8>, Vec<u8>, u32, u64),
    Received(u32),
    Writable,
    Violation(u16),
    Closed,
    Admit,
    Refuse(u16),
    Pass(u64),
    Poll,
    Pull,
}

fn step() -> impl Strategy<Value = Step> {
    use proptest::collection::vec;
    prop_oneof![
        (any::<bool>(), vec(any::<u8>(), 0..40)).prop_map(|(text, data)| Step::Frame(text, data)),
        (vec(any::<u8>(), 0..65), vec(any::<u8>(), 0..40), any::<u32>(), any::<u64>()).prop_map(
            |(token, credentials, attempt, received)| Step::Hello(token, credentials, attempt, received)
        ),
        (0..20_000_u32).prop_map(Step::Received),
        Just(Step::Writable),
        any::<u16>().prop_map(Step::Violation),
        Just(Step::Closed),
        Just(Step::Admit),
        any::<u16>().prop_map(Step::Refuse),
        (0..12_000_u64).prop_map(Step::Pass),
        Just(Step::Poll),
        Just(Step::Pull),
    ]
}

proptest! {
    #![proptest_config(proptest_config("proptest-regressions/acceptor.txt", 300))]

    /// Whatever comes and whenever it is drained: it is asked at most once, closed at most once, abandoned at most once and
    /// then silent, draining ends, after a drain the deadline is later, and in the end the socket is gone.
    #[test]
    fn no_history_breaks_a_rule(steps in proptest::collection::vec(step(), 0..40)) {
        let mut door = Door::new(|_| ());
        let (mut asked, mut admitted, mut closed, mut abandoned, mut goodbyes) = (0, 0, 0, 0, 0);
        let mut act = |action: Action| match action {
            Action::Close { code, .. } => { closed += 1; assert!(code > 0) }
            Action::Abandon { .. } => abandoned += 1,
            Action::Flush { .. } => {}
            other => panic!("{other:?}"),
        };
        for step in steps.into_iter().chain([Step::Pass(60_000), Step::Poll, Step::Pass(60_000)]) {
            let passes = matches!(step, Step::Pass(_));
            match step {
                Step::Frame(text, data) => {
                    let kind = if text { Kind::Text } else { Kind::Binary };
                    asked += u32::from(door.event(Event::Frame { kind, data: &data }).is_some());
                }
                Step::Hello(token, credentials, attempt, received) => {
                    let hello = Hello {
                        token: Token::new(&token), credentials: Credentials::new(&credentials), attempt, received, ..HELLO
                    };
                    let frame = encode(&[Envelope::Hello(hello)]);
                    asked += u32::from(door.frame(&frame).is_some());
                }
                Step::Received(bytes) => drop(door.event(Event::Received(bytes))),
                Step::Writable => drop(door.event(Event::Writable)),
                Step::Violation(code) => drop(door.event(Event::Violation(code.max(1000)))),
                Step::Closed => {
                    door.event(Event::Closed(Close::default()));
                    prop_assert!(door.acceptor.is_done());
                }
                Step::Admit => admitted += u32::from(door.acceptor.admit(Principal::ANYONE).is_some()),
                Step::Refuse(code) => door.acceptor.refuse(&door.config, door.now, code, Duration::ZERO, "no"),
                Step::Pass(millis) => {
                    door.now = door.now + Duration::from_millis(millis);
                    door.acceptor.tick(&door.config, door.now);
                }
                Step::Poll => if let Next::Do(action) = door.acceptor.poll() { act(action) },
                Step::Pull => {
                    goodbyes += u32::from(door.acceptor.pull().is_some());
                }
            }
            if passes {
                let mut bound = 4;
                while let Next::Do(action) = door.acceptor.poll() {
                    act(action);
                    bound -= 1;
                    assert!(bound > 0, "draining ends");
                }
                prop_assert!(door.acceptor.deadline().is_none_or(|at| at > door.now));
            }
        }
        prop_assert!(door.acceptor.is_done());
        prop_assert!(asked <= 1 && admitted <= asked && closed <= 1 && abandoned <= 1 && goodbyes <= 1);
        prop_assert!(admitted == 0 || closed + abandoned + goodbyes == 0, "an admitted socket is left alone");
    }
}
