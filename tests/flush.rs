//! How messages leave: one action, then the adapter pulls as far as its socket takes frames.

use crate::harness::{Script, epoch, ms};
use everlink::link::{Action, Event, Next, State};
use everlink::outbox::{Key, Message, Outcome, Priority, RefusedReason};

fn message(text: &str) -> Message<Vec<u8>> {
    Message::text(text.into())
}

#[test]
fn high_leaves_before_normal_before_low_and_first_in_first_out_inside() {
    let mut script = Script::new(|_| {});
    for (text, priority) in [
        ("l1", Priority::Low),
        ("n1", Priority::Normal),
        ("h1", Priority::High),
        ("l2", Priority::Low),
        ("h2", Priority::High),
        ("n2", Priority::Normal),
    ] {
        assert!(script.post(message(text).with_priority(priority)).is_ok());
    }
    script.input(everlink::link::Input::Start);
    script.until(1_000);
    assert_eq!(script.wrote(1), ["h1", "h2", "n1", "n2", "l1", "l2"]);
    script.sees("flush", "100 flush 1");
}

#[test]
fn after_a_full_socket_the_flush_waits_for_writable() {
    let mut script = Script::connected(|_| {});
    for text in ["a", "b"] {
        assert!(script.link.send(script.now, message(text), |_, _| ()).is_ok());
    }
    assert_eq!(script.link.poll(), Next::Do(Action::Flush { epoch: epoch(1) }));
    assert!(script.link.pull(epoch(1)).is_some());
    // The socket takes no more. Another message changes nothing.
    assert!(script.link.send(script.now, message("c"), |_, _| ()).is_ok());
    assert!(matches!(script.link.poll(), Next::Wait(_)));
    script.event(1, Event::Writable);
    assert_eq!(script.wrote(1), ["b", "c"]);
}

#[test]
fn frames_are_lent_only_to_the_current_socket() {
    let mut script = Script::connected(|_| {});
    assert!(script.link.send(script.now, message("a"), |_, _| ()).is_ok());
    assert_eq!(script.link.pull(epoch(2)), None);
    assert!(script.link.pull(epoch(1)).is_some());
}

#[test]
fn written_settles_what_it_covers_and_never_goes_back() {
    let mut script = Script::connected(|_| {});
    script.server.drains = false;
    for text in ["aaa", "bbb", "ccc"] {
        script.send(text);
    }
    for (total, settled) in [(2, vec![]), (3, vec![1]), (1, vec![]), (8, vec![2]), (u64::MAX, vec![3])] {
        script.event(1, Event::Written(total));
        script.settles(&settled.iter().map(|id| (*id, Outcome::Written)).collect::<Vec<_>>());
    }
}

#[test]
fn a_message_too_big_for_the_server_is_not_sent_for_ever() {
    let mut script = Script::connected(|_| {});
    script.server.drains = false;
    script.send("small");
    script.send(&"large".repeat(1_000));
    script.send("small too");
    script.close(1, Some(1009));
    script.settles(&[(2, Outcome::TooLarge)]);
    script.server.drains = true;
    script.until(3_000);
    assert_eq!(script.wrote(2), ["small", "small too"]);
}

#[test]
fn a_cursor_position_replaces_its_older_self_while_it_waits() {
    let mut script = Script::new(|_| {});
    let cursor = |text| message(text).with_key(Key::hash(b"cursor"));
    assert!(script.post(cursor("1,1")).is_ok());
    assert!(script.post(message("stroke")).is_ok());
    assert!(script.post(cursor("2,2")).is_ok());
    script.settles(&[(1, Outcome::Replaced)]);
    script.input(everlink::link::Input::Start);
    script.until(1_000);
    assert_eq!(script.wrote(1), ["2,2", "stroke"]);
}

#[test]
fn a_send_that_is_refused_hands_the_message_back() {
    let mut script = Script::connected(|config| {
        config.outbox.messages = 1;
        config.outbox.message_bytes = 10;
        config.outbox.policy = everlink::outbox::Policy::Refuse;
    });
    script.server.drains = false;
    script.send("first");
    for (text, reason) in [("second", RefusedReason::Full), ("far too long", RefusedReason::TooLarge)] {
        let refused = script.post(message(text));
        assert_eq!(
            refused.map_err(|refused| (refused.reason, refused.message)),
            Err((reason, message(text)))
        );
    }
    assert_eq!(script.report().counts.refused_sends.get(), 2);
}

#[test]
fn a_stall_is_over_when_the_socket_that_stalled_is() {
    let mut script = Script::connected(|_| {});
    script.server.drains = false;
    script.send("stroke");
    script.until(4_500);
    assert_eq!(script.state(), State::Stalled);
    script.close(1, None);
    script.server.drains = true;
    script.until(8_000);
    assert_eq!(script.state(), State::Connected);
    assert_eq!(script.wrote(2), ["stroke"]);
}

#[test]
fn a_stall_ends_when_something_moves_on_and_not_when_nothing_does() {
    let mut script = Script::connected(|_| {});
    script.server.drains = false;
    script.send("");
    script.send("stroke");
    script.until(4_500);
    assert_eq!(script.state(), State::Stalled);
    script.event(1, Event::Written(0));
    script.settles(&[(1, Outcome::Written)]);
    assert_eq!(script.state(), State::Connected, "an empty message left");
    script.event(1, Event::Written(0));
    script.until(6_000);
    script.event(1, Event::Written(0));
    script.until(7_600);
    assert_eq!(script.state(), State::Stalled, "nothing more has left for three seconds");
    script.event(1, Event::Written(0));
    assert_eq!(script.state(), State::Stalled);
    script.event(1, Event::Written(1));
    assert_eq!(script.state(), State::Connected, "a part of the next one left");
}

#[test]
fn an_empty_message_is_a_message() {
    let mut script = Script::connected(|_| {});
    script.send("");
    script.until(1_100);
    script.settles(&[(1, Outcome::Written)]);
    script.text(1, "");
    assert_eq!(script.delivered, [b""]);
}

// pain 2
#[test]
fn a_flush_makes_silence_suspicious_after_two_seconds() {
    let mut script = Script::connected(|_| {});
    script.until(5_000);
    script.send("stroke");
    assert_eq!(script.link.wake().unwrap().0, crate::harness::at(7_000));
    script.until(5_500);
    script.text(1, "an echo");
    assert_eq!(script.link.wake().unwrap().0, crate::harness::at(5_500) + ms(15_000));
}
