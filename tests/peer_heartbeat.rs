//! Is the client there? What this end answers, when it asks, and what silence means.

use core::time::Duration;

use crate::sessions::{at, connected, encode, talk};
use everlink::link::Event;
use everlink::outbox::Kind;
use everlink::peer::Wake;
use everlink::wire::native::Envelope;

#[test]
fn a_ping_is_answered_with_its_nonce() {
    let (mut server, _) = connected("ann", |_| ());
    server.frame(1, &encode(&[Envelope::Ping { nonce: 77 }, Envelope::Ping { nonce: 78 }]));
    assert_eq!(server.seen(), ["1: pong 78"], "the last one is enough");
    server.frame(1, &encode(&[Envelope::Ping { nonce: 0 }]));
    assert_eq!(server.seen(), ["1: pong 0"]);
}

#[test]
fn a_silent_client_is_asked_and_then_let_go_but_not_forgotten() {
    let (mut server, mut client) = connected("ann", |_| ());
    server.pass_until(29_999);
    assert_eq!(server.seen(), [""; 0]);
    let id = server.id("ann");
    assert_eq!(server.sessions.peer(id).unwrap().wake(), Some((at(30_000), Wake::Heartbeat)));
    server.pass_until(30_000);
    assert_eq!(server.seen(), ["1: ping"]);
    server.pass_until(44_999);
    assert_eq!(server.seen(), [""; 0]);
    server.pass_until(45_000);
    assert_eq!(server.seen(), ["1: abandon"]);
    assert_eq!((server.sessions.detached(), server.sessions.counts().silent), (1, 1));
    server.send("ann", "are you back?").unwrap();
    let number = server.connect(&mut client);
    talk(&mut server, number, &mut client);
    assert_eq!(client.inbox, ["are you back?"]);
}

#[test]
fn whatever_comes_in_is_a_sign_of_life_even_a_part_of_a_frame() {
    for event in [
        Event::Received(1),
        Event::Ping,
        Event::Pong(b""),
        Event::Frame { kind: Kind::Binary, data: b"" },
        Event::Frame { kind: Kind::Binary, data: &[0x44, 1, 1] },
    ] {
        let (mut server, _) = connected("ann", |_| ());
        server.pass_until(40_000);
        server.event(1, event);
        assert_eq!(server.seen(), ["1: ping"]);
        server.pass_until(69_999);
        assert_eq!(server.seen(), [""; 0], "{event:?}");
        server.pass_until(70_000);
        assert_eq!(server.seen(), ["1: ping"], "{event:?}");
    }
}

#[test]
fn own_sends_are_no_sign_of_life() {
    let (mut server, _) = connected("ann", |_| ());
    for second in 1..45 {
        server.pass_until(second * 1_000);
        server.send("ann", "x").unwrap();
        server.event(1, Event::Written(second));
        server.event(1, Event::Writable);
    }
    server.pass_until(45_000);
    assert_eq!(server.seen().last().unwrap(), "1: abandon");
}

#[test]
fn silence_proves_nothing_while_the_application_does_not_read() {
    let (mut server, _) = connected("ann", |_| ());
    server.event(1, Event::Paused);
    server.pass_until(1_000_000);
    assert_eq!(server.seen(), [""; 0]);
    server.event(1, Event::Resumed);
    server.pass_until(1_029_999);
    assert_eq!(server.seen(), [""; 0]);
    server.pass_until(1_030_000);
    assert_eq!(server.seen(), ["1: ping"]);
}

#[test]
fn a_process_that_did_not_run_asks_before_it_judges() {
    let (mut server, _) = connected("ann", |_| ());
    server.now = at(3_600_000); // nobody ticked for an hour
    server.tick();
    assert_eq!(server.seen(), ["1: ping"]);
    server.pass_until(3_614_999);
    assert_eq!(server.seen(), [""; 0]);
    server.pass_until(3_615_000);
    assert_eq!(server.seen(), ["1: abandon"]);
}

#[test]
fn a_driver_that_ticks_all_the_time_sees_the_same_as_one_that_sleeps_to_the_deadline() {
    let script = |chatty: bool| {
        let (mut server, mut client) = connected("ann", |config| {
            config.heartbeat.quiet = Duration::from_millis(701);
            config.heartbeat.timeout = Duration::from_millis(333);
        });
        let mut seen = Vec::new();
        for millis in 1..4_000_u64 {
            if chatty {
                server.now = at(millis);
                server.tick();
            } else if server.deadline().is_some_and(|next| next <= at(millis)) {
                server.pass_until(millis);
            }
            server.now = at(millis);
            if matches!(millis, 500 | 520 | 1_800 | 2_000) {
                client.queue("hello");
                server.frame(1, &client.write(1));
            }
            seen.extend(server.seen().into_iter().map(|line| format!("{millis} {line}")));
        }
        seen
    };
    let seen = script(false);
    assert_eq!(seen, script(true));
    assert!(seen.contains(&"550 1: ack 1".into()) || seen.contains(&"550 1: ack 2".into()), "{seen:?}");
    assert!(seen.last().unwrap().ends_with("abandon"), "{seen:?}");
}

#[test]
fn one_peer_s_clock_is_that_of_all() {
    let (mut server, _) = connected("ann", |_| ());
    let mut bob = crate::sessions::Client::new("bob");
    server.now = at(1_000);
    let number = server.connect(&mut bob);
    talk(&mut server, number, &mut bob);
    server.now = at(10); // a clock that runs backwards
    server.frame(1, &encode(&[Envelope::Ping { nonce: 1 }]));
    server.now = at(1_000);
    server.seen();
    server.pass_until(30_999);
    assert_eq!(server.seen(), [""; 0]);
    server.pass_until(31_000);
    assert_eq!(server.seen(), ["1: ping", "2: ping"]);
}
