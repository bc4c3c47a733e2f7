//! A client that does not keep up: the window, the bounded queue, who yields, and when it has to go.

use crate::sessions::{connected, talk};
use everlink::outbox::{Message, Outcome, Policy, Priority, RefusedReason};
use everlink::peer::Slow;

#[test]
fn the_window_holds_back_what_the_client_has_not_acknowledged() {
    let (mut server, mut client) = connected("ann", |config| config.delivery.window = 2);
    for text in ["one", "two", "three"] {
        server.send("ann", text).unwrap();
    }
    assert_eq!(server.seen(), ["1: message one", "1: message two"]);
    let ann = server.id("ann");
    let held = |server: &mut crate::sessions::Server| {
        let peer = server.sessions.peer(ann).unwrap();
        (peer.queued(), peer.in_flight())
    };
    assert_eq!(held(&mut server), (1, 2));
    let frames = server.fetch(1);
    client.read(frames);
    server.frame(1, &client.write(0));
    assert_eq!(server.seen(), ["1: message three"]);
    talk(&mut server, 1, &mut client);
    assert_eq!(held(&mut server), (0, 0));
}

#[test]
fn messages_of_low_priority_yield_to_others() {
    let (mut server, mut client) = connected("ann", |config| {
        config.delivery.window = 1;
        config.outbox.messages = 3;
        config.outbox.policy = Policy::DropLowest;
    });
    server.send("ann", "in flight").unwrap();
    let low = |text: &str| Message::text(text.into()).with_priority(Priority::Low);
    server.send_message("ann", low("low 1")).unwrap();
    server.send_message("ann", low("low 2")).unwrap();
    server.send("ann", "normal").unwrap();
    assert_eq!(server.ended(Outcome::Evicted), 1);
    assert_eq!(server.send("ann", "normal 2").map(|_| ()), Ok(()));
    let refused = server.send_message("ann", low("low 3")).unwrap_err();
    assert_eq!(refused.reason, RefusedReason::Full);
    assert_eq!(refused.message.payload, b"low 3");
    talk(&mut server, 1, &mut client);
    assert_eq!(client.inbox, ["in flight", "normal", "normal 2"]);
}

#[test]
fn who_does_not_keep_up_is_let_go_with_a_code_that_says_so() {
    let (mut server, mut client) = connected("ann", |config| {
        config.delivery.window = 1;
        config.outbox.messages = 2;
        config.outbox.policy = Policy::Refuse;
        config.slow = Slow::Close;
    });
    server.send("ann", "in flight").unwrap();
    server.send("ann", "queued").unwrap();
    server.seen();
    let refused = server.send("ann", "too much").unwrap_err();
    assert_eq!(refused.reason, RefusedReason::Full);
    assert_eq!(
        server.seen(),
        ["1: goodbye 4103, retry 0, attempt 0, \"too slow\"", "1: close 4103", "ann ends"]
    );
    assert_eq!((server.ended(Outcome::InDoubt), server.ended(Outcome::Stopped)), (1, 1));
    assert_eq!((server.sessions.room(), server.sessions.len()), (4096, 0));
    assert_eq!(server.sessions.counts().too_slow, 1);
    client.detach();
    server.connect(&mut client);
    assert_eq!(server.seen(), ["2: welcome new, received 0, from 0"]);
}

#[test]
fn one_that_is_away_holds_no_more_than_one_that_is_there() {
    let (mut server, mut client) = connected("ann", |config| config.outbox.messages = 5);
    server.drop_socket(1);
    for number in 0..20 {
        server.send("ann", &number.to_string()).unwrap();
    }
    assert_eq!(server.ended(Outcome::Evicted), 15);
    assert_eq!(server.sessions.room(), 4096 - 5);
    client.detach();
    let number = server.connect(&mut client);
    talk(&mut server, number, &mut client);
    assert_eq!(client.inbox, ["15", "16", "17", "18", "19"]);
}

#[test]
fn a_socket_without_room_is_asked_for_nothing_until_it_has_some() {
    let (mut server, mut client) = connected("ann", |_| ());
    server.blocked = vec![1];
    server.send("ann", "one").unwrap();
    server.send("ann", "two").unwrap();
    server.blocked.clear();
    assert_eq!(server.seen(), [""; 0]);
    server.event(1, everlink::link::Event::Writable);
    assert_eq!(server.seen(), ["1: message one", "1: message two"]);
    talk(&mut server, 1, &mut client);
    assert_eq!(client.inbox, ["one", "two"]);
}

#[test]
fn only_what_servers_say_is_accepted() {
    use everlink::wire::native::tag;
    let (mut server, _) = connected("ann", |_| ());
    for (what, good) in [
        (tag::BROADCAST, true),
        (tag::RESPONSE, true),
        (tag::PUBLISH, false),
        (tag::SUBSCRIBE, false),
        (tag::WELCOME, false),
        (tag::ACK, false),
        (0xFF, false),
    ] {
        let message = Message::binary(vec![0, 0]).with_tag(what);
        let sent = server.send_message("ann", message).map_err(|refused| refused.reason);
        assert_eq!(sent.map(|_| ()), if good { Ok(()) } else { Err(RefusedReason::Tag) }, "{what:#x}");
    }
}

#[test]
fn what_has_grown_too_old_while_the_adapter_was_busy_is_not_sent() {
    use everlink::peer::{Action, Input, Next};
    let (mut server, _) = connected("ann", |_| ());
    let mut bob = crate::sessions::Client::new("bob");
    let number = server.connect(&mut bob);
    talk(&mut server, number, &mut bob);
    let (ann, bob) = (server.id("ann"), server.id("bob"));
    let brief = Message::text(b"brief".to_vec()).with_ttl(core::time::Duration::from_millis(5));
    let mut peer = server.sessions.peer(bob).unwrap();
    peer.send(server.now, brief, |_, _| ()).unwrap();
    let epoch = crate::sessions::epoch(number);
    assert_eq!(peer.poll(), Next::Do(Action::Flush { epoch }));
    // Before the adapter comes to pull, it hears from another client, later.
    let later = crate::sessions::at(10);
    server.sessions.peer(ann).unwrap().handle(later, Input::Tick);
    assert_eq!(server.sessions.peer(bob).unwrap().pull(epoch), None);
    server.seen();
    assert_eq!(server.ended(Outcome::Expired), 1);
}

#[test]
fn who_does_not_keep_up_in_a_dialogue_is_let_go_as_well_if_that_is_configured() {
    use everlink::dialogue::{Ask, Refused};
    for slow in [Slow::Drop, Slow::Close] {
        let (mut server, _) = connected("ann", |config| {
            config.delivery.window = 1;
            config.outbox.messages = 2;
            config.outbox.policy = Policy::Refuse;
            config.slow = slow;
        });
        server.sessions.open_dialogues();
        let (ann, now) = (server.id("ann"), server.now);
        let ask = |server: &mut crate::sessions::Server| {
            let asked =
                server.sessions.peer(ann).unwrap().request(now, &Ask::command("draw", "a line"), |_, _| ());
            asked.map(|_| ())
        };
        assert_eq!(
            (ask(&mut server), ask(&mut server), ask(&mut server)),
            (Ok(()), Ok(()), Err(Refused::Full))
        );
        let counts = *server.sessions.counts();
        let closed = u64::from(slow == Slow::Close);
        assert_eq!((counts.too_slow, counts.ended), (closed, closed));
        assert_eq!(server.seen().iter().filter(|line| line.ends_with("ann ends")).count() as u64, closed);
        assert_eq!(server.sessions.len(), u32::from(slow != Slow::Close));
    }
}
