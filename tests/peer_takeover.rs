//! A session goes to another socket while the old one is there: who wins, who is told what, and what of the old one still counts.

use crate::sessions::{Client, connected, encode, talk};
use everlink::outbox::{Kind, Outcome};
use everlink::wire::native::Envelope;

const SUPERSEDED: &str = "1: goodbye 4100, retry 0, attempt 2, \"on another socket\"";

#[test]
fn the_newer_hello_takes_the_session_and_the_old_socket_is_told() {
    let (mut server, mut client) = connected("ann", |_| ());
    server.send("ann", "one").unwrap();
    server.seen();
    let number = server.connect(&mut client);
    assert_eq!(
        server.seen(),
        [SUPERSEDED, "1: close 4100", "2: welcome resumed, received 0, from 0", "2: message one"]
    );
    assert!(client.counts.is_superseded_by(3) && !client.counts.is_superseded_by(2), "it was its own");
    talk(&mut server, number, &mut client);
    assert_eq!(client.inbox, ["one"]);
    assert_eq!(server.sessions.len(), 1);
}

#[test]
fn whoever_carries_the_old_socket_finds_out_by_itself() {
    let (mut server, mut client) = connected("ann", |_| ());
    let mut connection = everlink::peer::Connection::new(
        &server.sessions.config().acceptor,
        server.now,
        crate::sessions::epoch(99),
    );
    let hello = client.hello();
    let event = everlink::link::Event::Frame { kind: Kind::Binary, data: &hello };
    assert!(matches!(
        connection.handle(&mut server.sessions, server.now, event),
        everlink::peer::Heard::Question(_)
    ));
    let who = server.principal("ann");
    let secret = everlink::acceptor::Secret::new([9; 16]);
    connection.admit(&mut server.sessions, server.now, who, secret, |_| ()).unwrap();
    server.adopt(connection);
    let seen = server.seen();
    assert_eq!(
        seen,
        [SUPERSEDED, "1: close 4100", "99: welcome resumed, received 0, from 0"],
        "nobody told it"
    );
}

#[test]
fn what_the_old_socket_still_delivers_is_ignored() {
    let (mut server, mut client) = connected("ann", |_| ());
    client.queue("one");
    let late = client.write(1);
    let number = server.connect(&mut client);
    server.seen();
    server.frame(1, &late);
    assert_eq!(server.seen(), [""; 0]);
    let id = server.id("ann");
    let mut peer = server.sessions.peer(id).unwrap();
    let event = everlink::link::Event::Frame { kind: Kind::Binary, data: &late };
    let input = everlink::peer::Input::Socket(crate::sessions::epoch(1), event);
    assert_eq!(peer.handle(server.now, input).next(), None, "even if it is told of it");
    assert_eq!(server.sessions.counts().stale_inputs, 1);
    talk(&mut server, number, &mut client);
    assert_eq!(server.seen(), ["ann: one"], "it comes on the new one, once");
}

#[test]
fn the_end_of_the_old_socket_does_not_end_the_session() {
    let (mut server, mut client) = connected("ann", |_| ());
    let number = server.connect(&mut client);
    server.drop_socket(1);
    assert_eq!(server.sessions.detached(), 0);
    server.send("ann", "still here").unwrap();
    talk(&mut server, number, &mut client);
    assert_eq!(client.inbox, ["still here"]);
}

#[test]
fn a_delayed_hello_of_an_abandoned_socket_does_not_supersede_a_newer_one() {
    let (mut server, mut client) = connected("ann", |_| ());
    let slow = server.open();
    let delayed = client.hello();
    server.connect(&mut client);
    server.seen();
    server.frame(slow, &delayed);
    assert_eq!(
        server.seen(),
        ["2: goodbye 4101, retry 0, attempt 3, \"a later hello came first\"", "2: close 4101"]
    );
    let id = server.id("ann");
    assert_eq!(server.sessions.peer(id).unwrap().epoch().map(everlink::link::Epoch::get), Some(3));
    assert_eq!(server.sessions.counts().overtaken, 1);
}

#[test]
fn the_same_hello_twice_is_overtaken_by_itself() {
    let (mut server, mut client) = connected("ann", |_| ());
    let hello = client.hello();
    for number in [server.open(), server.open()] {
        server.frame(number, &hello);
    }
    assert_eq!(
        server.seen()[..2],
        ["1: goodbye 4100, retry 0, attempt 2, \"on another socket\"", "1: close 4100"]
    );
    assert_eq!(server.sessions.counts().overtaken, 1);
}

#[test]
fn two_copies_of_one_state_do_not_evict_each_other_for_ever() {
    let (mut server, mut one) = connected("ann", |_| ());
    let mut other = Client::new("ann");
    (other.token, other.counts) = (one.token.clone(), one.counts.clone());
    let number = server.connect(&mut other);
    talk(&mut server, number, &mut other);
    assert_eq!(server.seen()[0], SUPERSEDED);
    assert!(one.counts.is_superseded_by(2), "that is final for it");
    let frames = server.fetch(1);
    one.read(frames);
    assert_eq!(one.goodbyes, [4100]);
}

#[test]
fn a_socket_that_is_superseded_before_its_welcome_left_is_told_too() {
    let (mut server, mut client) = connected("ann", |_| ());
    server.blocked = vec![2];
    server.connect(&mut client);
    let number = server.connect(&mut client);
    server.blocked.clear();
    server.event(2, everlink::link::Event::Writable);
    let seen = server.seen();
    assert!(seen.contains(&"2: goodbye 4100, retry 0, attempt 3, \"on another socket\"".into()), "{seen:?}");
    assert!(seen.contains(&"3: welcome resumed, received 0, from 0".into()), "{seen:?}");
    talk(&mut server, number, &mut client);
    server.send("ann", "one").unwrap();
    talk(&mut server, number, &mut client);
    assert_eq!((client.inbox.len(), server.ended(Outcome::Acknowledged)), (1, 1));
}

#[test]
fn an_acknowledgement_that_overtook_the_hello_is_not_undone_by_it() {
    let (mut server, mut client) = connected("ann", |_| ());
    server.send("ann", "one").unwrap();
    let hello = client.hello(); // says that nothing has come
    let frames = server.fetch(1);
    client.read(frames);
    server.frame(1, &client.write(0)); // on the old socket, and faster
    assert_eq!(server.ended(Outcome::Acknowledged), 1);
    server.seen();
    let number = server.open();
    server.frame(number, &hello);
    assert_eq!(server.seen().last().unwrap(), "2: welcome resumed, received 0, from 1");
    let frames = server.fetch(number);
    client.read(frames);
    server.send("ann", "two").unwrap();
    talk(&mut server, number, &mut client);
    assert_eq!(client.inbox, ["one", "two"]);
}

#[test]
fn a_second_hello_on_a_session_s_socket_breaks_the_protocol() {
    let (mut server, mut client) = connected("ann", |_| ());
    let hello = client.hello();
    server.frame(1, &hello);
    assert_eq!(server.seen(), ["1: goodbye 1002, retry 0, attempt 0, \"\"", "1: close 1002"]);
    assert_eq!(server.sessions.detached(), 1, "the session can be resumed");
    server.frame(1, &encode(&[Envelope::Ping { nonce: 1 }]));
    assert_eq!(server.seen(), [""; 0]);
}
