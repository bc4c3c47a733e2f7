//! Messages over bytes: whole, in pieces, too large; what is known of those that go out.

use std::time::Duration;

use crate::bytes::{Rig, SECRET, Said, frame, quiet, text};
use everlink::link::{Action as LinkAction, Input, Link, State};
use everlink::outbox::{Kind, Outcome};
use everlink::stream::{self, Action, Memory, RESERVE, ROOM, Stream};
use everlink::wire::{Wire, raw};
use everlink::ws::Violation;

fn settled(rig: &Rig) -> Vec<Outcome> {
    rig.told
        .iter()
        .filter_map(|told| match told {
            Action::Tell(LinkAction::Settled(settlement)) => Some(settlement.outcome),
            _ => None,
        })
        .collect()
}

#[test]
fn messages_go_both_ways() {
    for piece in [1, 2, 5, 1000, usize::MAX] {
        let mut rig = Rig::open(quiet());
        rig.piece = piece;
        let epoch = rig.epoch();
        let long = "long ".repeat(40_000);
        rig.send("out");
        rig.send("");
        rig.send(&long);
        rig.feed(epoch, &frame(0x81, b"in"));
        rig.feed(epoch, &frame(0x82, b""));
        rig.feed(epoch, &frame(0x81, long.as_bytes()));
        assert_eq!(
            rig.said(epoch),
            [Said::Text("out".into()), Said::Text(String::new()), Said::Text(long.clone())]
        );
        assert_eq!(rig.messages, [text("in"), (Kind::Binary, Vec::new()), text(&long)]);
        assert_eq!(settled(&rig), [Outcome::Written; 3]);
    }
}

#[test]
fn fragments_with_pings_between_are_one_message() {
    for piece in [1, 3, usize::MAX] {
        let mut rig = Rig::open(quiet());
        rig.piece = piece;
        let epoch = rig.epoch();
        let parts: [(u8, &[u8]); 6] =
            [(0x01, b"hel"), (0x89, b"1"), (0x00, b""), (0x89, b"2"), (0x00, b"lo \xc3"), (0x80, b"\xa9")];
        for (first, payload) in parts {
            rig.feed(epoch, &frame(first, payload));
        }
        assert_eq!(rig.messages, [text("hello é")]);
        assert_eq!(rig.said(epoch), [Said::Pong(b"1".into()), Said::Pong(b"2".into())]);
    }
}

#[test]
fn a_frame_larger_than_the_buffer_is_put_together() {
    let long = "0123456789abcdef".repeat(20_000);
    for piece in [777, usize::MAX] {
        let mut rig = Rig::open(quiet());
        rig.piece = piece;
        let epoch = rig.epoch();
        rig.feed(epoch, &frame(0x81, long.as_bytes()));
        rig.feed(epoch, &frame(0x81, b"short"));
        assert!(rig.messages == [text(&long), text("short")]);
    }
}

#[test]
fn without_an_allocator_messages_are_as_large_as_their_memory() {
    let mut config = quiet();
    config.outbox.message_bytes = 64;
    let link: Link<Vec<u8>> = Link::new(config, 1).unwrap();
    let room = |length: usize| vec![0; length].leak();
    let memory = || Memory { inbound: room(256), outbound: room(150 + RESERVE), message: room(600) };
    let stream = Stream::with_memory(stream::Config::default(), &link, [memory(), memory()]).unwrap();
    let mut rig = Rig::over(link, stream);
    let epoch = rig.connect();
    for length in [1, 240, 256, 257, 600] {
        rig.feed(epoch, &frame(0x82, &vec![length as u8; length]));
        assert_eq!(rig.messages.pop(), Some((Kind::Binary, vec![length as u8; length])));
    }
    for _ in 0..10 {
        rig.send(&"x".repeat(64));
    }
    assert_eq!(rig.said(epoch).len(), 10);
    // One that is too large is refused before it comes, and one whose fragments are, when they do.
    rig.feed(epoch, &frame(0x82, &[1; 601])[..4]);
    let violated = |wanted: Violation| move |told: &crate::bytes::Told| matches!(told, Action::Violated { error, .. } if error.violation == wanted);
    assert!(rig.has(violated(Violation::FrameTooBig(601))), "{:?}", rig.told);
    assert_eq!(rig.said(epoch).last(), Some(&Said::Close(Some(1009))));
    rig.pass(Duration::from_secs(1));
    let epoch = rig.connect();
    rig.feed(epoch, &[frame(0x02, &[1; 400]), frame(0x00, &[1; 100])].concat());
    rig.feed(epoch, &frame(0x00, &[1; 101])[..4]);
    assert!(rig.has(violated(Violation::MessageTooBig(601))), "{:?}", rig.told);
    assert!(rig.messages.is_empty());
}

#[test]
fn memory_in_which_nothing_works_is_refused() {
    let link: Link<Vec<u8>> = Link::new(quiet(), 1).unwrap();
    let memory = |inbound, outbound| Memory {
        inbound: vec![0; inbound].leak(),
        outbound: vec![0; outbound].leak(),
        message: vec![0; 0].leak(),
    };
    let made = |inbound, outbound| {
        Stream::with_memory(
            stream::Config::default(),
            &link,
            [memory(inbound, outbound), memory(inbound, outbound)],
        )
        .map(drop)
        .map_err(|error| error.field)
    };
    assert_eq!(made(100, 2 << 20), Err("stream.inbound"));
    assert_eq!(made(1000, 1 << 20), Err("stream.outbound"));
    assert_eq!(made(1000, 2 << 20), Ok(()));
}

#[test]
fn what_is_written_is_told_byte_by_byte() {
    let mut rig = Rig::open(quiet());
    let epoch = rig.epoch();
    for message in ["", "one", "", "three", ""] {
        rig.give(message);
    }
    let mut seen = Vec::new();
    loop {
        seen.push(settled(&rig).len());
        if rig.take_some(epoch, 1) == 0 {
            break;
        }
    }
    // Each has a head of 6 bytes. The count is of payload: an empty message counts with the one before it.
    let ends = [6, 15, 15, 32, 32];
    let expected: Vec<usize> = (0..=38).map(|sent| ends.iter().filter(|end| **end <= sent).count()).collect();
    assert_eq!(seen, [expected, vec![5]].concat()[..seen.len()]);
}

#[test]
fn heartbeats_that_are_messages_are_none() {
    let mut config = quiet();
    config.heartbeat.mode = everlink::heartbeat::Mode::Client;
    config.wire = Wire::Raw(raw::Config {
        heartbeat: raw::Style::Bytes,
        ping: raw::Pattern::text("ping").unwrap(),
        ..raw::Config::default()
    });
    let mut rig = Rig::open(config);
    let epoch = rig.epoch();
    assert_eq!(rig.said(epoch), [Said::Text("ping".into())]);
    rig.give("message");
    while rig.take_some(epoch, 1) > 0 {}
    assert_eq!(settled(&rig), [Outcome::Written]);
    rig.feed(epoch, &frame(0x82, &[1]));
    assert!(rig.messages.is_empty());
    assert_eq!(rig.link.report(rig.now).counts.pongs_received.get(), 1);
}

#[test]
fn a_full_socket_takes_no_more_and_then_all_in_order() {
    let mut config = quiet();
    config.outbox.messages = 1000;
    config.outbox.bytes = 10 << 20;
    let mut rig = Rig::open(config);
    let epoch = rig.epoch();
    let message = |number: usize| format!("{number:>1000}");
    (0..500).for_each(|number| rig.give(&message(number)));
    assert!(rig.stream.transmit(epoch).len() < ROOM + 1024, "{}", rig.stream.transmit(epoch).len());
    rig.pass(Duration::from_secs(5));
    assert_eq!(rig.link.state(), State::Stalled);
    rig.piece = 700;
    rig.take(epoch);
    let expected: Vec<Said> = (0..500).map(|number| Said::Text(message(number))).collect();
    assert!(rig.said(epoch) == expected);
    assert_eq!(rig.link.state(), State::Connected);
    assert_eq!(settled(&rig), [Outcome::Written; 500]);
}

#[test]
fn a_part_of_a_large_message_is_progress() {
    let mut config = quiet();
    config.outbox.age = None;
    let mut rig = Rig::open(config);
    let epoch = rig.epoch();
    rig.give(&"x".repeat(500_000));
    for _ in 0..100 {
        rig.pass(Duration::from_secs(1));
        rig.take_some(epoch, 1000);
        assert_eq!(rig.link.state(), State::Connected);
    }
    assert_eq!(settled(&rig), []);
}

#[test]
fn an_application_that_does_not_keep_up_stops_the_reading() {
    let mut rig = Rig::open(quiet());
    let epoch = rig.epoch();
    let three = [frame(0x81, b"1"), frame(0x81, b"2"), frame(0x81, b"3")].concat();
    let room = rig.stream.fill(epoch);
    room[..three.len()].copy_from_slice(&three);
    rig.stream.received(&mut rig.link, rig.now, epoch, three.len());
    assert_eq!(rig.stream.read(&mut rig.link, rig.now, epoch).into_iter().flatten().count(), 1);
    rig.stream.pause(&mut rig.link, rig.now);
    assert!(rig.stream.read(&mut rig.link, rig.now, epoch).is_none());
    assert!(rig.stream.fill(epoch).is_empty());
    rig.stream.resume(&mut rig.link, rig.now);
    rig.read(epoch);
    assert_eq!(rig.messages, [text("2"), text("3")]);
    // A socket that opens meanwhile is not read either; one that closes is, for the application cannot hold it up.
    rig.stream.pause(&mut rig.link, rig.now);
    rig.stream.lost(&mut rig.link, rig.now, epoch);
    rig.pass(Duration::from_secs(1));
    let epoch = rig.connect();
    assert!(rig.stream.fill(epoch).is_empty());
    rig.say(Input::Stop { linger: Duration::ZERO });
    rig.take(epoch);
    assert_eq!(rig.said(epoch), [Said::Close(Some(1000))]);
    rig.feed(epoch, &[frame(0x81, b"late"), frame(0x88, &[3, 232])].concat());
    rig.end(epoch);
    assert!(rig.sockets.is_empty());
    assert_eq!(rig.messages.len(), 2);
    let _ = SECRET;
}

#[test]
fn a_socket_that_takes_much_is_given_twice_as_much_at_once() {
    let mut config = quiet();
    (config.outbox.messages, config.outbox.bytes) = (1000, 10 << 20);
    let mut rig = Rig::open(config);
    let epoch = rig.epoch();
    (0..500).for_each(|number| rig.give(&format!("{number:>1000}")));
    // In thousands of bytes; a message is 1008.
    let given = |rig: &Rig| rig.stream.transmit(epoch).len() / 1000;
    assert_eq!(given(&rig), 17);
    // What leaves in a tenth of a second counts, not how many pieces it leaves in.
    for (piece, expected) in [(10_000, 17), (7_000, 17), (7_000, 24), (7_000, 31), (7_000, 33), (40_000, 33)]
    {
        rig.take_some(epoch, piece);
        assert_eq!(given(&rig), expected, "after {piece}");
    }
    // Now 5 kB leave in each tenth: what is there is used up, and then it is 16 KiB again.
    let slowly: Vec<usize> = (0..8)
        .map(|_| {
            rig.pass(Duration::from_millis(100));
            rig.take_some(epoch, 5000);
            given(&rig)
        })
        .collect();
    assert_eq!(slowly, [33, 28, 23, 18, 17, 17, 16, 16]);
    // And nothing for a while.
    rig.take_some(epoch, 40_000);
    rig.pass(Duration::from_millis(200));
    rig.take_some(epoch, 10_000);
    assert_eq!(given(&rig), 17);
}

#[test]
fn pings_beyond_what_is_read_are_answered_by_the_last() {
    let mut rig = Rig::open(quiet());
    let epoch = rig.epoch();
    let mut sent = 0;
    for number in 0..20_000_u32 {
        let bytes = [frame(0x89, &[&number.to_be_bytes()[..], &[0; 121]].concat())].concat();
        let room = rig.stream.fill(epoch);
        room[..bytes.len()].copy_from_slice(&bytes);
        rig.stream.received(&mut rig.link, rig.now, epoch, bytes.len());
        assert!(rig.stream.read(&mut rig.link, rig.now, epoch).is_none());
        sent = number;
    }
    let waiting = rig.stream.transmit(epoch).len();
    assert!(waiting < ROOM + 200, "{waiting}");
    rig.settle();
    rig.take(epoch);
    let Some(Said::Pong(last)) = rig.said(epoch).pop() else { panic!() };
    assert_eq!(last[..4], sent.to_be_bytes());
}
