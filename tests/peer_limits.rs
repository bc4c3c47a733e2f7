//! How many sessions there may be, and of whom; what goes when there is no room; and goodbyes.

use core::time::Duration;

use crate::sessions::{Client, Server, at, connected, encode, talk};
use everlink::link::Event;
use everlink::outbox::{Kind, Outcome};
use everlink::peer::{Config, Sessions};
use everlink::wire::native::{Envelope, Goodbye, code};

fn few(config: &mut Config) {
    config.acceptor.sessions.count = 3;
    config.acceptor.sessions.per_principal = 2;
}

/// A client of this name comes, and knows that it is in.
fn join(server: &mut Server, who: &str) -> (u32, Client) {
    let mut client = Client::new(who);
    let number = server.connect(&mut client);
    talk(server, number, &mut client);
    (number, client)
}

#[test]
fn a_principal_with_as_many_sessions_as_it_may_have_is_refused_and_told_which_limit() {
    let mut server = Server::new(few);
    join(&mut server, "ann");
    join(&mut server, "ann");
    server.seen();
    join(&mut server, "ann");
    assert_eq!(
        server.seen(),
        ["3: goodbye 4105, retry 5000, attempt 0, \"too many sessions of one principal\"", "3: close 4105"]
    );
    join(&mut server, "bob");
    assert_eq!(server.seen(), ["4: welcome new, received 0, from 0"]);
    join(&mut server, "cat");
    assert_eq!(
        server.seen(),
        ["5: goodbye 4105, retry 5000, attempt 0, \"too many sessions\"", "5: close 4105"]
    );
    assert_eq!((server.sessions.counts().refused, server.sessions.len()), (2, 3));
}

#[test]
fn who_is_away_gives_way_and_its_messages_are_told_of() {
    let mut server = Server::new(few);
    let (first, _) = join(&mut server, "ann");
    server.send("ann", "in flight").unwrap();
    let (second, _) = join(&mut server, "bob");
    let (_, mut cat) = join(&mut server, "cat");
    server.drop_socket(first);
    server.pass_until(1_000);
    server.drop_socket(second);
    server.seen();
    join(&mut server, "dan");
    assert_eq!(server.seen(), ["ann ends", "4: welcome new, received 0, from 0"]);
    assert_eq!(server.ended(Outcome::InDoubt), 1);
    assert_eq!(server.sessions.counts().evicted, 1);
    let number = server.connect(&mut cat);
    talk(&mut server, number, &mut cat);
    assert_eq!(cat.welcomes, [false, true], "those who are there stay");
}

#[test]
fn what_becomes_of_sessions_is_counted() {
    let mut server = Server::new(|_| ());
    let counted = |server: &Server| {
        let counts = server.sessions.counts();
        [counts.opened, counts.expired, counts.ended, counts.violations]
    };
    assert!(server.sessions.is_empty());
    let sockets = ["ann", "bob", "cat", "dan", "eve"].map(|who| join(&mut server, who).0);
    assert!(!server.sessions.is_empty());
    assert_eq!(counted(&server), [5, 0, 0, 0]);
    let normal = Goodbye { code: code::NORMAL, retry_after: 0, attempt: 0, reason: "" };
    server.frame(sockets[0], &encode(&[Envelope::Goodbye(normal)]));
    assert_eq!(counted(&server), [5, 0, 1, 0]);
    let (now, bob) = (server.now, server.id("bob"));
    server.sessions.peer(bob).unwrap().end(now, code::NORMAL, Duration::ZERO);
    assert_eq!(counted(&server), [5, 0, 2, 0]);
    server.event(sockets[2], Event::Frame { kind: Kind::Text, data: b"x" });
    assert_eq!(counted(&server), [5, 0, 2, 1]);
    server.event(sockets[3], Event::Violation(1002));
    assert_eq!(counted(&server), [5, 0, 2, 2]);
    server.drop_socket(sockets[4]);
    server.pass_until(600_000);
    assert_eq!(counted(&server), [5, 3, 2, 2], "those that said nothing in the end");
    assert!(server.sessions.is_empty());
}

#[test]
fn a_message_that_waits_may_be_taken_back() {
    let mut server = Server::new(|config| config.delivery.window = 1);
    let (_, _ann) = join(&mut server, "ann");
    server.send("ann", "in flight").unwrap();
    let id = server.send("ann", "never mind").unwrap();
    let ann = server.id("ann");
    let mut peer = server.sessions.peer(ann).unwrap();
    let before = (peer.queued(), peer.in_flight());
    assert_eq!(peer.cancel(id), (before.0 > 0).then(|| b"never mind".to_vec()));
    assert_eq!(peer.cancel(id), None);
    assert_eq!((peer.queued(), peer.in_flight()), (0, before.1));
}

#[test]
fn those_that_are_away_are_bounded_on_their_own() {
    let mut server = Server::new(|config| config.acceptor.sessions.detached = 1);
    let (first, _) = join(&mut server, "ann");
    let (second, _) = join(&mut server, "bob");
    server.drop_socket(first);
    server.pass_until(5);
    server.seen();
    server.drop_socket(second);
    assert_eq!(server.seen(), ["ann ends"]);
    assert_eq!((server.sessions.len(), server.sessions.detached()), (1, 1));
}

#[test]
fn an_envelope_that_is_too_long_is_refused_with_the_name_of_the_limit() {
    for (frame, reason) in [
        (vec![0xC9, 0x80, 0x80, 0x40], "the envelope is too long"), // 1 MiB, of which nothing is there
        // Names of 256 bytes, of which nothing is there either.
        (vec![0xD0, 5, 4, 4, 0, 0x80, 2], "the request name is too long"),
        (vec![0xCD, 3, 3, 0x80, 2], "the channel name is too long"),
    ] {
        let (mut server, _) = connected("ann", |config| config.acceptor.limits.envelope = 10_000);
        server.frame(1, &frame);
        let goodbye = format!("1: goodbye 1009, retry 0, attempt 0, {reason:?}");
        assert_eq!(server.seen(), [goodbye, "1: close 1009".into()]);
        assert_eq!(server.sessions.counts().violations, 1);
    }
}

#[test]
fn noise_ends_the_socket_and_keeps_the_session() {
    for (frame, code) in [
        (vec![0xFF; 9], 1002),
        (encode(&[Envelope::Message { kind: Kind::Binary, data: b"x" }])[..2].to_vec(), 1002),
        (vec![0xCA, 1, 0xFF], 1007),
        (encode(&[Envelope::Confirmation { id: 1, code: 0, number: 1, reason: "" }]), 1002),
    ] {
        let (mut server, _) = connected("ann", |_| ());
        server.frame(1, &frame);
        assert_eq!(server.seen().last().unwrap(), &format!("1: close {code}"));
        assert_eq!(server.sessions.detached(), 1);
    }
    let (mut server, _) = connected("ann", |_| ());
    server.event(1, everlink::link::Event::Frame { kind: Kind::Text, data: b"hello" });
    assert_eq!(server.seen().last().unwrap(), "1: close 1002");
    let (mut server, _) = connected("ann", |_| ());
    server.event(1, everlink::link::Event::Violation(1007));
    assert_eq!(server.seen(), ["1: close 1007"], "what breaks the framing is told nothing");
}

#[test]
fn a_client_that_has_done_its_job_leaves_nothing_behind() {
    let (mut server, mut client) = connected("ann", |_| ());
    server.send("ann", "too late").unwrap();
    client.queue("the last word");
    let mut frame = client.write(1);
    let goodbye = Goodbye { code: code::NORMAL, retry_after: 0, attempt: 0, reason: "" };
    frame.extend(encode(&[Envelope::Goodbye(goodbye), Envelope::Message { kind: Kind::Text, data: b"?" }]));
    server.seen();
    server.frame(1, &frame);
    assert_eq!(server.seen(), ["ann: the last word", "1: ack 1", "ann ends"], "it hears what has arrived");
    assert!(server.sessions.is_empty());
    server.pass_until(5_000);
    assert_eq!(server.seen(), ["1: abandon"], "it did not close in time");
}

#[test]
fn a_client_that_goes_away_for_a_while_is_kept() {
    let (mut server, mut client) = connected("ann", |_| ());
    let goodbye = Goodbye { code: code::GOING_AWAY, retry_after: 0, attempt: 0, reason: "" };
    server.frame(1, &encode(&[Envelope::Goodbye(goodbye)]));
    assert_eq!(server.sessions.detached(), 1);
    client.detach();
    let number = server.connect(&mut client);
    talk(&mut server, number, &mut client);
    assert_eq!(client.welcomes, [false, true]);
}

#[test]
fn a_planned_restart_tells_everybody_when_to_come_back() {
    let mut server = Server::new(|_| ());
    let (_, mut ann) = join(&mut server, "ann");
    join(&mut server, "bob");
    let (third, _) = join(&mut server, "cat");
    server.drop_socket(third);
    server.seen();
    let now = server.now;
    server.sessions.part_with_all(now, code::RESTART, Duration::from_millis(2_500));
    assert_eq!(
        server.seen(),
        [
            "1: goodbye 1012, retry 2500, attempt 0, \"restart\"",
            "1: close 1012",
            "2: goodbye 1012, retry 2500, attempt 0, \"restart\"",
            "2: close 1012",
        ]
    );
    assert_eq!((server.sessions.len(), server.sessions.detached()), (3, 3));
    server.send("ann", "welcome back").unwrap();
    ann.detach();
    let number = server.connect(&mut ann);
    talk(&mut server, number, &mut ann);
    assert_eq!(ann.inbox, ["welcome back"]);
}

#[test]
fn an_application_may_end_a_session_that_is_away() {
    let (mut server, mut client) = connected("ann", |_| ());
    server.drop_socket(1);
    let id = server.id("ann");
    server.sessions.peer(id).unwrap().end(server.now, code::NORMAL, Duration::ZERO);
    assert_eq!(server.seen(), ["ann ends"]);
    client.detach();
    server.connect(&mut client);
    assert_eq!(server.seen(), ["2: welcome new, received 0, from 0"]);
}

#[test]
fn a_configuration_that_cannot_work_names_its_field() {
    let check = |change: fn(&mut Config)| {
        let mut config = Config::default();
        change(&mut config);
        Sessions::<Vec<u8>>::new(config, 1, 1).map(|_| ()).unwrap_err().field
    };
    assert_eq!(check(|config| config.heartbeat.quiet = Duration::ZERO), "heartbeat.quiet");
    assert_eq!(check(|config| config.heartbeat.timeout = Duration::MAX), "heartbeat.timeout");
    assert_eq!(check(|config| config.delivery.window = 0), "delivery.window");
    assert_eq!(check(|config| config.outbox.messages = 0), "outbox.messages");
    assert_eq!(check(|config| config.acceptor.sessions.count = 0), "acceptor.sessions.count");
    assert_eq!(
        check(|config| config.acceptor.sessions.token_life = Duration::ZERO),
        "acceptor.sessions.token_life"
    );
    assert_eq!(check(|config| config.acceptor.hello_timeout = Duration::ZERO), "acceptor.hello_timeout");
    assert_eq!(check(|config| config.acceptor.limits.envelope = 1), "wire.native.envelope");
}

#[test]
fn the_deadline_of_all_sessions_is_that_of_the_first_to_end() {
    let mut server = Server::new(|config| config.acceptor.sessions.keep = Duration::from_secs(60));
    let (first, _) = join(&mut server, "ann");
    let (second, _) = join(&mut server, "bob");
    assert_eq!(server.sessions.deadline(), None);
    server.drop_socket(first);
    server.now = at(1_000);
    server.drop_socket(second);
    assert_eq!(server.sessions.deadline(), Some(at(60_000)));
    server.pass_until(60_000);
    assert_eq!(server.sessions.deadline(), Some(at(61_000)));
}
