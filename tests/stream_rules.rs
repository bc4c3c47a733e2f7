//! The laws of a stream: how bytes are split does not matter, nothing that a peer says does harm, ticks are idempotent, the same
//! inputs give the same outputs.

use std::time::Duration;

use crate::bytes::{Rig, Said, Told, frame, quiet};
use crate::law::proptest_config;
use everlink::link::{Config, Input, Link};
use everlink::outbox::Kind;
use everlink::stream::{self, Action, Memory, RESERVE, Stream};
use everlink::ws::handshake::Request;
use proptest::collection::vec;
use proptest::prelude::*;

/// One thing that happens to a connected link.
#[derive(Clone, Debug)]
enum Step {
    /// The server says a whole frame, or what is none.
    Hear(Vec<u8>),
    Send(usize),
    Pass(u64),
    End,
    Lose,
    Stop,
    Start,
    Pause,
    Resume,
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![4 => vec(b'a'..=b'z', 0..20), 1 => vec(b'a'..=b'z', 100..400), 1 => vec(any::<u8>(), 0..8)]
}

fn said_by_a_server() -> impl Strategy<Value = Vec<u8>> {
    let first = prop_oneof![
        6 => Just(0x81_u8), 4 => Just(0x82), 2 => Just(0x01), 2 => Just(0x00), 2 => Just(0x80),
        2 => Just(0x89), 2 => Just(0x8A), 1 => Just(0x88), 1 => any::<u8>(),
    ];
    prop_oneof![
        20 => (first, payload()).prop_map(|(first, payload)| frame(first, &payload)),
        1 => vec(any::<u8>(), 0..30),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        12 => said_by_a_server().prop_map(Step::Hear),
        6 => prop_oneof![0..200_usize, Just(20_000)].prop_map(Step::Send),
        2 => (0..1500_u64).prop_map(Step::Pass),
        1 => Just(Step::End),
        1 => Just(Step::Lose),
        1 => Just(Step::Stop),
        2 => Just(Step::Start),
        1 => Just(Step::Pause),
        2 => Just(Step::Resume),
    ];
    vec(step, 0..60)
}

/// What came of it.
#[derive(Debug, PartialEq)]
struct Outcome {
    told: Vec<Told>,
    messages: Vec<(Kind, Vec<u8>)>,
    said: Vec<Vec<Said>>,
}

/// Plays the steps; every wish to connect is granted by a server that accepts.
fn play(config: Config, steps: &[Step], piece: usize, often: bool) -> Outcome {
    let mut rig = Rig::new(config);
    rig.piece = piece;
    rig.connect();
    let mut opened = vec![rig.epoch()];
    for step in steps {
        if let Some(&epoch) = rig.sockets.last()
            && !opened.contains(&epoch)
            && !rig.stream.epochs().any(|other| other == epoch)
        {
            opened.push(epoch);
            rig.reach(&Request::new("example.org", "/"));
            let answer = rig.acceptance(epoch);
            rig.feed(epoch, &answer);
        }
        let epoch = *opened.last().unwrap();
        match step {
            Step::Hear(bytes) => {
                // An application that does not keep up leaves the bytes where they are.
                if !rig.stream.fill(epoch).is_empty() {
                    rig.feed(epoch, bytes);
                }
            }
            Step::Send(length) => {
                let _ = rig.link.send(
                    rig.now,
                    everlink::outbox::Message::text("x".repeat(*length).into()),
                    |_, _| (),
                );
                rig.settle();
                rig.take(epoch);
            }
            Step::Pass(millis) => {
                if often {
                    (0..*millis).for_each(|_| rig.pass(Duration::from_millis(1)));
                } else {
                    rig.pass(Duration::from_millis(*millis));
                }
                rig.take(epoch);
            }
            Step::End => rig.end(epoch),
            Step::Lose => {
                rig.stream.lost(&mut rig.link, rig.now, epoch);
                rig.settle();
            }
            Step::Stop => rig.say(Input::Stop { linger: Duration::from_secs(1) }),
            Step::Start => rig.say(Input::Start),
            Step::Pause => rig.stream.pause(&mut rig.link, rig.now),
            Step::Resume => {
                rig.stream.resume(&mut rig.link, rig.now);
                rig.read(epoch);
            }
        }
    }
    for epoch in rig.sockets.clone() {
        rig.take(epoch);
    }
    Outcome {
        told: rig.told,
        messages: rig.messages,
        said: opened.iter().map(|epoch| said(&rig.sent[epoch])).collect(),
    }
}

/// As [`Rig::said`], but whole frames only: the last may have been cut off for good.
fn said(bytes: &[u8]) -> Vec<Said> {
    use everlink::ws::{Decoder, Event, Limits, Role};
    let head = bytes.windows(4).position(|window| window == b"\r\n\r\n").map_or(0, |at| at + 4);
    let mut bytes = bytes[head..].to_vec();
    let (mut rest, mut decoder, mut said) =
        (&mut bytes[..], Decoder::new(Role::Server, Limits::default()), Vec::new());
    while let Some(event) = decoder.decode(&mut rest).expect("a client keeps the rules") {
        said.push(match event {
            Event::Text(text) => Said::Text(text.as_str().into()),
            Event::Binary(data) => Said::Binary(data.into()),
            Event::Ping(data) => Said::Ping(data.into()),
            Event::Pong(data) => Said::Pong(data.into()),
            Event::Close(close) => Said::Close(close.map(|close| close.code.get())),
            Event::Part(part) => panic!("{part:?}"),
        });
    }
    said
}

proptest! {
    #![proptest_config(proptest_config("proptest-regressions/stream_rules.txt", 150))]

    /// What is told, delivered and said does not depend on how the bytes come and go. (What is told of flushes does: a message
    /// that is written piece by piece is asked for piece by piece.)
    #[test]
    fn splits_do_not_matter(steps in steps(), piece in 1..40_usize) {
        let whole = play(quiet(), &steps, usize::MAX, false);
        let split = play(quiet(), &steps, piece, false);
        let news = |outcome: &Outcome| -> Vec<Told> {
            let flush = |told: &&Told| !matches!(told, Action::Tell(everlink::link::Action::Flush { .. }));
            outcome.told.iter().filter(flush).copied().collect()
        };
        prop_assert_eq!(&whole.messages, &split.messages);
        prop_assert_eq!(&whole.said, &split.said);
        prop_assert_eq!(news(&whole), news(&split));
    }

    #[test]
    fn the_same_inputs_give_the_same_outputs(steps in steps()) {
        prop_assert_eq!(play(Config::default(), &steps, 7, false), play(Config::default(), &steps, 7, false));
    }

    #[test]
    fn a_tick_too_many_does_nothing(steps in steps()) {
        let (seldom, often) = (play(quiet(), &steps, 100, false), play(quiet(), &steps, 100, true));
        prop_assert_eq!(seldom, often);
    }

    /// Nothing that comes in, in whatever order the adapter calls, does harm or is kept beyond the memory that there is.
    #[test]
    fn garbage_does_no_harm(
        pieces in vec((vec(any::<u8>(), 1..300), 0..6_u8), 0..60),
        opens in any::<bool>(),
    ) {
        let mut config = Config::default();
        config.outbox.message_bytes = 100;
        let link: Link<Vec<u8>> = Link::new(config, 1).unwrap();
        let room = |length: usize| vec![0; length].into_boxed_slice();
        let mut memory = [room(256), room(300 + RESERVE), room(500), room(256), room(300 + RESERVE), room(500)];
        let [a, b, c, d, e, f] = &mut memory;
        let memory = [
            Memory { inbound: &mut a[..], outbound: &mut b[..], message: &mut c[..] },
            Memory { inbound: &mut d[..], outbound: &mut e[..], message: &mut f[..] },
        ];
        let stream = Stream::with_memory(stream::Config::default(), &link, memory).unwrap();
        let mut rig = Rig::over(link, stream);
        if opens {
            rig.connect();
        } else {
            rig.reach(&Request::new("example.org", "/"));
        }
        for (piece, what) in pieces {
            let Some(&epoch) = rig.sockets.last() else { break };
            match what {
                0..=2 => {
                    let room = rig.stream.fill(epoch);
                    let count = room.len().min(piece.len());
                    room[..count].copy_from_slice(&piece[..count]);
                    if count > 0 {
                        rig.stream.received(&mut rig.link, rig.now, epoch, count);
                    }
                }
                3 => while rig.stream.read(&mut rig.link, rig.now, epoch).is_some() {},
                4 => rig.stream.sent(&mut rig.link, rig.now, epoch, piece.len()),
                _ => {
                    rig.stream.tick(&mut rig.link, rig.now);
                    // What claims to have come without having.
                    rig.stream.received(&mut rig.link, rig.now, epoch, usize::from(piece[0]));
                }
            }
            if piece.len() % 3 == 0 {
                rig.settle();
            }
        }
        rig.pass(Duration::from_secs(100));
    }
}
