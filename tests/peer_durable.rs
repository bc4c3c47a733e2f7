//! A server in durable mode: what waits for the disk, and what a killed one goes on with.

use core::time::Duration;

use crate::sessions::{Client, Server, talk};
use everlink::error::ConfigError;
use everlink::outbox::Outcome;
use everlink::peer::{Config, Input, Sessions};

fn durable(config: &mut Config) {
    config.delivery.durable = true;
    config.delivery.ack_delay = Duration::ZERO;
}

/// Its state is on the disk, if one was to be stored: gives it.
fn stored(server: &mut Server) -> Vec<u8> {
    let (id, version) = server.asked.pop().expect("it asks");
    assert!(server.asked.is_empty(), "for one at a time");
    let (mut state, now) = (Vec::new(), server.now);
    assert!(server.sessions.store(now, id, |part| state.extend_from_slice(part)));
    server.sessions.stored(now, id, version);
    server.drain();
    state
}

/// A server and Ann, who is welcome, and said so.
fn welcome() -> (Server, Client, u32) {
    let (mut server, mut ann) = (Server::new(durable), Client::new("ann"));
    let number = server.connect(&mut ann);
    assert_eq!(server.seen(), [""; 0], "a welcome waits until its session is stored");
    stored(&mut server);
    talk(&mut server, number, &mut ann);
    assert_eq!(ann.welcomes, [false]);
    server.seen();
    (server, ann, number)
}

#[test]
fn messages_and_acknowledgements_wait_until_what_they_depend_on_is_stored() {
    let (mut server, mut ann, number) = welcome();
    ann.queue("up");
    server.frame(number, &ann.write(1));
    server.send("ann", "down").unwrap();
    assert_eq!(server.seen(), ["ann: up"]);
    stored(&mut server); // the one that was asked for when "up" came: it has no "down"
    assert_eq!(server.seen(), ["1: ack 1"]);
    stored(&mut server);
    assert_eq!(server.seen(), ["1: message down"]);
}

#[test]
fn a_killed_server_goes_on_where_its_state_was() {
    let (mut server, mut ann, number) = welcome();
    ann.queue("one");
    ann.queue("two");
    server.frame(number, &ann.write(1));
    server.send("ann", "first").unwrap();
    stored(&mut server);
    let state = stored(&mut server);
    // And this is not in it: nobody may have heard of it.
    server.frame(number, &ann.write(1));
    server.send("ann", "second").unwrap();
    talk(&mut server, number, &mut ann);
    assert_eq!((ann.unacknowledged.len(), ann.inbox.len()), (1, 1));
    ann.detach();

    let mut server = server.reborn(durable, &[state], Duration::ZERO);
    assert_eq!(server.sessions.detached(), 1);
    let number = server.connect(&mut ann);
    stored(&mut server); // a hello of another attempt
    talk(&mut server, number, &mut ann);
    stored(&mut server);
    talk(&mut server, number, &mut ann);
    assert_eq!(ann.welcomes, [false, true]);
    assert_eq!((ann.inbox.as_slice(), ann.unacknowledged.len()), (["first".to_owned()].as_slice(), 0));
    let delivered: Vec<_> = server.delivered.iter().map(|(_, data)| data.as_slice()).collect();
    assert_eq!(delivered, [b"one".as_slice(), b"two", b"two"], "the second time to the next process");
    assert_eq!(server.ended(Outcome::InDoubt), 0);
}

#[test]
fn what_the_application_has_not_taken_is_neither_stored_nor_acknowledged() {
    let (mut server, mut ann, number) = welcome();
    let (id, now) = (server.id("ann"), server.now);
    let unread = |server: &mut Server, first| {
        server.sessions.peer(id).unwrap().handle(now, Input::Unread(first)).for_each(drop);
        server.drain();
    };
    unread(&mut server, Some(1));
    for text in ["one", "two", "three"] {
        ann.queue(text);
    }
    server.frame(number, &ann.write(3));
    assert!(server.asked.is_empty());
    unread(&mut server, Some(3));
    stored(&mut server);
    talk(&mut server, number, &mut ann);
    assert_eq!(ann.unacknowledged, ["three"]);
    // Its socket is cut: what it has not taken is with it all the same, and does not come again.
    ann.detach();
    let number = server.connect(&mut ann);
    stored(&mut server);
    talk(&mut server, number, &mut ann);
    assert_eq!(server.delivered.len(), 3);
    unread(&mut server, None);
    stored(&mut server);
    talk(&mut server, number, &mut ann);
    assert!(ann.unacknowledged.is_empty());
}

#[test]
fn what_waits_for_one_who_is_away_is_stored_too() {
    let (mut server, mut ann, number) = welcome();
    server.drop_socket(number);
    ann.detach();
    server.send("ann", "late").unwrap();
    let state = stored(&mut server);
    let mut server = server.reborn(durable, &[state], Duration::ZERO);
    let number = server.connect(&mut ann);
    stored(&mut server);
    talk(&mut server, number, &mut ann);
    stored(&mut server);
    talk(&mut server, number, &mut ann);
    assert_eq!(ann.inbox, ["late"]);
}

#[test]
fn borrowed_storage_has_no_durable_mode() {
    let mut config = Config::default();
    durable(&mut config);
    config.acceptor.sessions.count = 1;
    let seats = [const { everlink::acceptor::Seat::EMPTY }; 1];
    let slots = [const { everlink::outbox::Slot::<Vec<u8>>::EMPTY }; 1];
    let refused: ConfigError = Sessions::<Vec<u8>, _, _>::with_storage(config, 1, seats, slots).unwrap_err();
    assert!(refused.to_string().contains("delivery.durable"), "{refused}");
}
