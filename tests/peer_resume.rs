//! A session goes on over another socket, or it cannot; what was in flight then, and what both ends are told.

use core::time::Duration;

use crate::sessions::{Client, Server, connected, encode, talk};
use everlink::delivery::InDoubt;
use everlink::outbox::Kind;
use everlink::outbox::{Message, Outcome};
use everlink::wire::native::Envelope;

#[test]
fn a_client_is_welcomed_and_heard_before_it_is_sent_what_counts() {
    let mut server = Server::new(|_| ());
    let mut client = Client::new("ann");
    let number = server.connect(&mut client);
    assert_eq!(server.seen(), ["1: welcome new, received 0, from 0"]);
    server.send("ann", "early").unwrap();
    assert_eq!(server.seen(), [""; 0], "the client may not know of the session");
    client.read(server.fetch(number));
    server.frame(number, &client.write(0));
    assert_eq!(server.seen(), ["1: message early"]);
}

#[test]
fn messages_go_both_ways_and_are_acknowledged() {
    let (mut server, mut client) = connected("ann", |_| ());
    client.queue("one");
    client.queue("two");
    server.send("ann", "three").unwrap();
    talk(&mut server, 1, &mut client);
    assert_eq!(server.seen(), ["1: message three", "ann: one", "ann: two"]);
    assert_eq!(client.inbox, ["three"]);
    assert_eq!(server.ended(Outcome::Acknowledged), 1);
    server.pass_until(50);
    assert_eq!(server.seen(), ["1: ack 2"], "after the delay");
    talk(&mut server, 1, &mut client);
    assert!(client.unacknowledged.is_empty());
}

#[test]
fn an_acknowledgement_goes_in_front_of_what_leaves_anyway() {
    let (mut server, mut client) = connected("ann", |_| ());
    client.queue("one");
    server.frame(1, &client.write(1));
    server.send("ann", "two").unwrap();
    assert_eq!(server.seen(), ["ann: one", "1: ack 1", "1: message two"]);
    assert_eq!(server.fetch(1).len(), 1, "in one frame");
    server.pass_until(1_000);
    assert_eq!(server.seen(), [""; 0]);
}

#[test]
fn what_did_not_arrive_comes_again_and_nothing_comes_twice() {
    let (mut server, mut client) = connected("ann", |_| ());
    for text in ["one", "two", "three"] {
        client.queue(text);
    }
    server.frame(1, &client.write(2)); // "three" is lost, and so is the ack
    for text in ["four", "five"] {
        server.send("ann", text).unwrap();
    }
    let mut frames = server.fetch(1);
    frames.truncate(1);
    client.read(frames); // "five" is lost
    client.detach();
    server.drop_socket(1);
    server.send("ann", "six").unwrap(); // while it is away
    server.seen();

    let number = server.connect(&mut client);
    assert_eq!(
        server.seen(),
        ["2: welcome resumed, received 2, from 1", "2: message five", "2: message six"],
        "a resumed session goes on behind the welcome"
    );
    talk(&mut server, number, &mut client);
    assert_eq!(client.inbox, ["four", "five", "six"]);
    let delivered: Vec<_> = server.delivered.iter().map(|(_, data)| String::from_utf8_lossy(data)).collect();
    assert_eq!(delivered, ["one", "two", "three"]);
    assert_eq!(server.ended(Outcome::Acknowledged), 3);
    assert_eq!(server.sessions.counts().resumed, 1);
}

#[test]
fn what_was_sent_to_a_client_that_stays_away_is_told() {
    let (mut server, mut client) = connected("ann", |config| {
        config.acceptor.sessions.keep = Duration::from_secs(30);
        config.outbox.age = None;
    });
    server.send("ann", "in flight").unwrap();
    server.drop_socket(1);
    server.send("ann", "queued").unwrap();
    server.pass_until(29_999);
    assert_eq!((server.sessions.len(), server.sessions.detached()), (1, 1));
    server.pass_until(30_000);
    assert!(server.sessions.is_empty());
    assert_eq!((server.ended(Outcome::InDoubt), server.ended(Outcome::Stopped)), (1, 1));
    assert_eq!(server.sessions.room(), 4096, "and its slots are free");
    server.seen();

    client.detach();
    server.connect(&mut client);
    assert_eq!(server.seen(), ["2: welcome new, received 0, from 0"]);
}

#[test]
fn a_message_may_grow_too_old_while_the_client_is_away() {
    let (mut server, mut client) = connected("ann", |_| ());
    server.drop_socket(1);
    client.detach();
    let old = Message::text(b"old".to_vec()).with_ttl(Duration::from_secs(5));
    server.send_message("ann", old).unwrap();
    server.send("ann", "young").unwrap();
    server.pass_until(5_000);
    assert_eq!(server.ended(Outcome::Expired), 1);
    let number = server.connect(&mut client);
    talk(&mut server, number, &mut client);
    assert_eq!(client.inbox, ["young"]);
}

#[test]
fn counts_that_cannot_be_true_begin_a_new_session_at_once() {
    for (in_doubt, comes) in
        [(InDoubt::Settle, vec!["queued"]), (InDoubt::Resend, vec!["in flight", "queued"])]
    {
        let (mut server, mut client) = connected("ann", |config| {
            config.delivery.in_doubt = in_doubt;
            config.delivery.window = 1;
        });
        server.send("ann", "in flight").unwrap();
        server.send("ann", "queued").unwrap();
        let old = server.id("ann");
        // A client that was restored from elsewhere claims more than it was ever sent.
        for _ in 0..5 {
            client.counts.receive(1);
        }
        let token = client.token.clone();
        let number = server.connect(&mut client);
        assert_eq!(
            server.seen()[1..],
            [
                "1: goodbye 4100, retry 0, attempt 2, \"on another socket\"",
                "1: close 4100",
                "2: welcome new, received 0, from 0"
            ]
        );
        talk(&mut server, number, &mut client);
        assert_eq!(client.inbox, comes);
        assert_eq!(server.ended(Outcome::InDoubt), usize::from(in_doubt == InDoubt::Settle));
        assert_eq!(server.admitted.last().unwrap().replaced, Some(old));
        assert!(server.sessions.peer(old).is_none());
        assert_ne!(client.token, token, "the old token opens nothing any more");
        client.token = token;
        client.detach();
        server.connect(&mut client);
        assert_eq!(server.seen().last().unwrap(), "3: welcome new, received 0, from 0");
    }
}

#[test]
fn a_count_that_cannot_be_true_on_a_running_session_ends_the_socket_and_nothing_else() {
    let (mut server, mut client) = connected("ann", |_| ());
    server.send("ann", "one").unwrap();
    client.queue("two");
    server.seen();
    let mut frame = client.write(1);
    frame.extend(encode(&[
        Envelope::Ack { received: 2 },
        Envelope::Message { kind: Kind::Text, data: b"behind" },
    ]));
    server.frame(1, &frame);
    assert_eq!(
        server.seen(),
        [
            "ann: two",
            "1: ack 1",
            "1: goodbye 4102, retry 0, attempt 0, \"a count that cannot be true\"",
            "1: close 4102"
        ],
        "what came before it stands, what came behind it is not looked at"
    );
    client.detach();
    let number = server.connect(&mut client);
    assert_eq!(server.seen(), ["2: welcome resumed, received 1, from 0", "2: message one"]);
    talk(&mut server, number, &mut client);
    assert_eq!(client.inbox, ["one"]);
}

#[test]
fn nothing_is_accepted_from_a_client_before_its_welcome() {
    let mut server = Server::new(|_| ());
    let mut client = Client::new("ann");
    server.blocked = vec![1];
    server.connect(&mut client);
    server.frame(1, &encode(&[Envelope::Message { kind: Kind::Text, data: b"early" }]));
    server.blocked.clear();
    server.event(1, everlink::link::Event::Writable);
    assert_eq!(server.seen(), ["1: goodbye 1002, retry 0, attempt 0, \"\"", "1: close 1002"]);
    assert!(server.delivered.is_empty());
}

#[test]
fn what_is_larger_than_the_client_takes_is_never_sent() {
    let (mut server, mut client) = connected("ann", |_| ());
    let large = Message::binary(vec![b'x'; 4097]);
    server.send_message("ann", large).unwrap();
    server.send("ann", "small").unwrap();
    talk(&mut server, 1, &mut client);
    assert_eq!(client.inbox, ["small"]);
    assert_eq!(server.ended(Outcome::TooLarge), 1);
}
