//! A recorded history replays to the same answers, and a trace that cannot be trusted says where.
#![allow(clippy::expect_used, clippy::panic, reason = "a test may be blunt")]
#![cfg(feature = "serde")]

use core::time::Duration;

use crate::harness::at;
use crate::harness::random::{configs, histories};
use crate::harness::tape::record;
use crate::law::proptest_config;
use everlink::link::{Config, Next};
use everlink::trace::{Problem, Reader, Record, Recorder, Step, replay};
use proptest::prelude::*;

/// A short history with everything in it.
fn sample() -> Vec<u8> {
    use crate::harness::steps::{Happening, Of, Step as S};
    let history = [
        S::Start,
        S::Drain,
        S::Pass(Duration::from_millis(80)),
        S::Socket(Of::Newest, Happening::Opened),
        S::Send { len: 9, priority: everlink::outbox::Priority::High, ttl: None, key: Some(1) },
        S::Drain,
        S::Pull(Of::Newest, 5),
        S::Socket(Of::Newest, Happening::Wrote(9)),
        S::Socket(Of::Newest, Happening::Frame(everlink::outbox::Kind::Text, b"news".to_vec())),
        S::Deadline,
        S::Socket(Of::Newest, Happening::Closed(Some(1012), None)),
        S::Deadline,
    ];
    record(&Config::default(), 7, &history).0
}

/// Where each record begins, and the end.
fn borders(bytes: &[u8]) -> Vec<usize> {
    let (_, mut reader) = Reader::new(bytes).expect("the header is whole");
    let mut borders = vec![reader.byte()];
    while let Some(record) = reader.next() {
        assert!(record.is_ok());
        borders.push(reader.byte());
    }
    borders
}

proptest! {
    #![proptest_config(proptest_config("proptest-regressions/trace.txt", 200))]

    #[test]
    fn what_was_recorded_replays_identically(config in configs(), seed: u64, history in histories(80)) {
        let (bytes, now, report) = record(&config, seed, &history);
        let (again, ..) = record(&config, seed, &history);
        prop_assert!(bytes == again, "the same history gives the same bytes");
        let replayed = match replay(&bytes) {
            Ok(replayed) => replayed,
            Err(error) => return Err(TestCaseError::fail(error.to_string())),
        };
        prop_assert_eq!(replayed.link.report(now), report);
    }

    #[test]
    fn a_damaged_trace_is_refused(place: prop::sample::Index, flips in proptest::collection::vec(any::<u8>(), 1..20)) {
        let mut bytes = sample();
        let borders = borders(&bytes);
        let place = place.index(bytes.len());
        let intact = bytes.clone();
        bytes[place..].iter_mut().zip(flips).for_each(|(byte, flip)| *byte ^= flip);
        prop_assume!(bytes != intact);
        let error = replay(&bytes).expect_err("it is damaged");
        let named = error.to_string();
        prop_assert!(named.starts_with(&format!("at byte {}: ", error.at)), "{}", named);
        // What comes before the damage is as it was, so the fault is in no earlier part.
        let begun = borders.iter().rev().find(|border| **border <= place).copied().unwrap_or(0);
        prop_assert!((begun..=bytes.len()).contains(&error.at), "{}: damaged at {}", named, place);
    }

    #[test]
    fn foreign_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assume!(!bytes.starts_with(b"everlink"));
        let error = replay(&bytes).err();
        prop_assert_eq!(error.map(|error| (error.at, error.problem)), Some((0, Problem::Foreign)));
    }
}

#[test]
fn damage_is_told_from_a_link_that_behaves_otherwise_and_is_found_in_its_part() {
    let bytes = sample();
    let borders = borders(&bytes);
    for place in 9..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[place] ^= 0x10;
        let begun = borders.iter().rev().find(|border| **border <= place).copied().unwrap_or(9);
        let error = replay(&damaged).err().map(|error| (error.at, error.problem));
        assert_eq!(error, Some((begun, Problem::Damaged)), "damaged at {place}");
    }
}

#[test]
fn a_part_that_is_missing_or_out_of_place_is_damage() {
    let bytes = sample();
    let borders = borders(&bytes);
    let [first, second, third, fourth] = borders[2..6] else { panic!("there are more records") };
    let missing = [&bytes[..second], &bytes[third..]].concat();
    let swapped = [&bytes[..first], &bytes[second..third], &bytes[first..second], &bytes[third..]].concat();
    let again = [&bytes[..fourth], &bytes[third..]].concat();
    for (trace, at) in [(missing, second), (swapped, first), (again, fourth)] {
        let error = replay(&trace).err().map(|error| (error.at, error.problem));
        assert_eq!(error, Some((at, Problem::Damaged)));
    }
}

#[test]
fn a_trace_of_another_version_is_foreign() {
    let mut bytes = sample();
    bytes[8] += 1;
    let error = replay(&bytes).err();
    assert_eq!(error.map(|error| (error.at, error.problem)), Some((0, Problem::Foreign)));
}

#[test]
fn a_trace_that_is_cut_off_says_in_which_record() {
    let bytes = sample();
    let borders = borders(&bytes);
    assert_eq!(borders.last(), Some(&bytes.len()));
    for cut in 0..bytes.len() {
        let outcome = replay(&bytes[..cut]).map(|replayed| replayed.records);
        let begun = borders.iter().rev().find(|border| **border <= cut);
        match begun {
            Some(border) if *border == cut => assert!(outcome.is_ok(), "{cut} is between two records"),
            Some(border) => {
                let error = outcome.expect_err("a record is cut");
                assert_eq!((error.at, error.problem), (*border, Problem::Damaged));
            }
            None if cut < 9 => assert_eq!(outcome.expect_err("no magic").problem, Problem::Foreign),
            None => {
                let error = outcome.expect_err("the header is cut");
                assert_eq!((error.at, error.problem), (9, Problem::Damaged));
            }
        }
    }
}

#[test]
fn an_answer_that_differs_is_reported_with_both_and_its_byte() {
    let mut bytes = Vec::new();
    let mut recorder = Recorder::new(&Config::default(), 7, |part: &[u8]| bytes.extend_from_slice(part));
    recorder.record(at(5), Step::Polled(Next::Idle));
    recorder.record(at(6), Step::Polled(Next::Wait(at(9))));
    let (_, mut reader) = Reader::new(&bytes).expect("the header is whole");
    let first = reader.next().expect("a record").expect("whole");
    assert_eq!(first, Record { after: 5_000, step: Step::Polled(Next::Idle) });
    let second = reader.byte();
    let error = replay(&bytes).expect_err("it does not wait");
    assert_eq!(error.at, second);
    assert_eq!(error.problem, Problem::Diverged { recorded: Next::Wait(at(9)), replayed: Next::Idle });
}

#[test]
fn an_impossible_configuration_is_refused_with_its_field() {
    let mut config = Config::default();
    config.heartbeat.misses = 0;
    let mut bytes = Vec::new();
    let _ = Recorder::new(&config, 7, |part: &[u8]| bytes.extend_from_slice(part));
    let error = replay(&bytes).expect_err("it cannot work");
    assert!(error.to_string().contains("heartbeat.misses"), "{error}");
}

#[test]
fn a_queue_that_a_damaged_header_makes_huge_takes_no_memory() {
    let mut config = Config::default();
    config.outbox.messages = 1 << 24;
    let mut bytes = Vec::new();
    let _ = Recorder::new(&config, 7, |part: &[u8]| bytes.extend_from_slice(part));
    assert_eq!(replay(&bytes).map(|replayed| replayed.records), Ok(0));
}

#[test]
fn a_recorded_link_does_what_a_link_does() {
    use everlink::link::{Epoch, Event, Input, Link};
    use everlink::outbox::Message;
    use everlink::trace::Traced;

    let mut bytes = Vec::new();
    let config = Config::default();
    let recorder = Recorder::new(&config, 7, |part: &[u8]| bytes.extend_from_slice(part));
    let mut link = Traced::new(Link::<Vec<u8>>::new(config, 7).expect("it can work"), Some(recorder));
    link.handle(at(0), Input::Start);
    while let Next::Do(_) = link.poll() {}
    let epoch = Epoch::new(1).expect("not zero");
    link.handle(at(80), Input::Socket(epoch, Event::Opened));
    while let Next::Do(_) = link.poll() {}
    let send = |link: &mut Traced<_, _, _>, text: &str| {
        link.send(at(90), Message::text(text.as_bytes().to_vec()), |_, _| ()).expect("there is room")
    };
    let back = send(&mut link, "taken back");
    send(&mut link, "sent");
    assert_eq!(link.cancel(back), Some(b"taken back".to_vec()));
    assert_eq!(link.pull(epoch).map(|frame| frame.payload().to_vec()), Some(b"sent".to_vec()));
    drop(link);
    let replayed = replay(&bytes).expect("it is whole");
    assert_eq!(replayed.records, Reader::new(&bytes).expect("it is whole").1.count() as u64);
    assert_eq!(replayed.link.report(at(90)).counts.messages_sent, 1);
}

#[test]
fn a_stream_may_carry_a_link_that_is_recorded() {
    use everlink::link::{Event, Input, Link};
    use everlink::stream::End;
    use everlink::trace::Traced;
    use everlink::wire::Wire;
    use everlink::wire::native::Limits;

    let mut bytes = Vec::new();
    let mut config = Config { wire: Wire::Native(Limits::default()), ..Config::default() };
    config.outbox.message_bytes = 1_000;
    let recorder = Recorder::new(&config, 7, |part: &[u8]| bytes.extend_from_slice(part));
    let mut plain = Link::<Vec<u8>>::new(config.clone(), 7).expect("it can work");
    let mut link = Traced::new(Link::<Vec<u8>>::new(config, 7).expect("it can work"), Some(recorder));
    let credentials = Some(vec![1; (1 << 16) + 1]);
    plain.set_credentials(credentials.clone());
    link.set_credentials(credentials);
    assert!(format!("{plain:?}").contains("Secret"), "and nothing more of them");
    let sizes = [link.largest_frame(), plain.largest_frame()];
    assert_eq!(sizes[0], sizes[1]);
    assert!(sizes[0] > 1 << 16, "the hello holds the credentials");
    assert_eq!(End::close_timeout(&link), End::close_timeout(&plain));
    assert_eq!(End::close_timeout(&link), Duration::from_secs(5));
    assert_eq!(End::wall_clock(&link, at(1)), None);
    link.handle(at(0), Input::WallClock(Duration::from_secs(7)));
    assert_eq!(End::wall_clock(&link, at(1_000)), Some(Duration::from_secs(8)));
    link.handle(at(1_000), Input::Start);
    while let Next::Do(_) = link.poll() {}
    let epoch = everlink::link::Epoch::new(1).expect("not zero");
    End::event(&mut link, at(2_000), epoch, Event::Opened).for_each(drop);
    while let Next::Do(_) = link.poll() {}
    assert!(End::pull(&mut link, epoch).is_some(), "the hello");
    End::tick(&mut link, at(62_000));
    drop(link);
    let (_, reader) = Reader::new(&bytes).expect("it is whole");
    let last = reader.last().expect("there are records").expect("it is whole");
    assert_eq!(last.after, 60_000_000, "{last:?}");
}

#[test]
fn a_trace_of_the_native_wire_holds_no_secret_and_replays_all_the_same() {
    use everlink::link::{Action, Event, Input, Link};
    use everlink::outbox::Kind;
    use everlink::trace::Traced;
    use everlink::wire::Wire;
    use everlink::wire::native::{Announced, Credentials, Envelope, Limits, Token, Welcome};

    let config = Config { wire: Wire::Native(Limits::default()), ..Config::default() };
    let mut bytes = Vec::new();
    let recorder = Recorder::new(&config, 7, |part: &[u8]| bytes.extend_from_slice(part));
    let mut link = Traced::new(Link::<Vec<u8>>::new(config, 7).expect("it can work"), Some(recorder));
    let announced = Announced { envelope: 2000, window: 8, window_bytes: 4096 };
    let token = Token::new(b"first secret");
    let renewal = Envelope::Renewal {
        token: Token::new(b"second secret"),
        credentials: Credentials::new(b"third secret"),
    };
    let frame = crate::harness::far::bytes(&[
        crate::harness::far::text("in front"),
        Envelope::Welcome(Welcome {
            version: 1,
            resumed: false,
            received: 0,
            from: 0,
            announced,
            session: 9,
            token,
        }),
        crate::harness::far::text("news"),
        renewal,
        crate::harness::far::text("more"),
        // More than anyone would send.
        renewal,
        renewal,
        renewal,
    ]);
    let welcome = &frame[crate::harness::far::bytes(&[crate::harness::far::text("in front")]).len()..];
    link.set_credentials(Some(b"fourth secret".to_vec()));
    link.handle(at(0), Input::Start);
    let mut delivered = 0;
    for millis in 0..9 {
        while let Next::Do(action) = link.poll() {
            if let Action::Flush { epoch } = action {
                while link.pull(epoch).is_some() {}
            }
        }
        let event = match millis {
            1 => Event::Opened,
            3 => Event::Frame { kind: Kind::Binary, data: welcome },
            5 => Event::Frame { kind: Kind::Binary, data: &frame },
            6 => Event::Closed(crate::harness::closed(None)),
            _ => Event::Ping,
        };
        delivered += link.handle(at(millis), Input::Socket(crate::harness::epoch(1), event)).count();
    }
    drop(link);
    assert_eq!(
        delivered, 8,
        "a session, two messages, credentials four times; and what is in front of a second welcome, which is refused"
    );
    let holds = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    assert!(!holds(b"secret"));
    assert!(holds(b"news") && holds(b"more") && holds(b"in front"));
    replay(&bytes).expect("zeros do as well");
}

#[test]
fn of_a_frame_with_secrets_all_the_rest_is_recorded_as_it_came() {
    use crate::harness::far::{bytes, text};
    use everlink::link::{Event, Input, Op};
    use everlink::outbox::Kind;
    use everlink::wire::Wire;
    use everlink::wire::native::{Credentials, Envelope, Limits, Token};

    let renewal = |token, credentials| Envelope::Renewal {
        token: Token::new(token),
        credentials: Credentials::new(credentials),
    };
    let zeros = |secret: &'static [u8]| &[0; 40][..secret.len()];
    let frames: [&[(&[u8], &[u8])]; 6] = [
        &[],
        &[(b"t", b"")],
        &[(b"", b"credentials")],
        &[(b"token", b"credentials")],
        &[(b"", b""), (b"token", b""), (b"", b"c"), (b"", b"")],
        &[(b"another token", b"x"), (b"", b""), (b"y", b"more credentials")],
    ];
    for (number, secrets) in frames.into_iter().enumerate() {
        // Messages stand between them, which must be as they are.
        let frame = |veil: &dyn Fn(&'static [u8]) -> &'static [u8]| {
            let mut envelopes = vec![text("a")];
            for (token, credentials) in secrets {
                envelopes.extend([renewal(veil(token), veil(credentials)), text("between")]);
            }
            bytes(&envelopes)
        };
        let mut trace = Vec::new();
        let config = Config { wire: Wire::Native(Limits::default()), ..Config::default() };
        let mut recorder = Recorder::new(&config, 7, |part: &[u8]| trace.extend_from_slice(part));
        let (came, covered) = (frame(&|secret| secret), frame(&zeros));
        let step = |data| {
            let event = Event::Frame { kind: Kind::Binary, data };
            Step::Op(Op::Handle(Input::Socket(crate::harness::epoch(1), event)))
        };
        recorder.record(at(5), step(&came));
        let mut records = Reader::new(&trace).expect("the header is whole").1;
        assert_eq!(records.next().expect("a record").expect("whole").step, step(&covered), "{number}");
    }
}
