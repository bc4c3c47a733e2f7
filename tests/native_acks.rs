//! The native wire: when acknowledgements leave, and with what; pings and health.

use crate::harness::far::{bytes, text};
use crate::harness::{Script, at, ms};
use everlink::link::{Event, State, Wake};
use everlink::outbox::Kind;
use everlink::wire::native::{Announced, Envelope};

fn heard(script: &mut Script, texts: &[&str]) {
    let envelopes: Vec<_> = texts.iter().map(|message| text(message)).collect();
    script.event(1, Event::Frame { kind: Kind::Binary, data: &bytes(&envelopes) });
}

#[test]
fn an_acknowledgement_waits_for_its_delay() {
    let mut script = Script::native(|_| {});
    heard(&mut script, &["x"]);
    assert_eq!(script.link.wake(), Some((at(1_050), Wake::Ack)));
    heard(&mut script, &["y"]);
    script.far = None;
    script.until(1_100);
    script.sees("", "1050 flush 1");
    assert_eq!(script.written.last().unwrap().1, b"");
}

#[test]
fn what_came_while_a_state_was_being_stored_is_acknowledged_too() {
    let mut script = Script::native(|config| config.delivery.durable = true);
    script.disk = Some(ms(60)); // longer than the acknowledgement waits
    script.tell("x");
    script.until(1_050);
    script.tell("y"); // comes while the state with x is on its way to the disk
    script.until(2_000);
    assert_eq!(script.far().session().counts.in_flight(), 0);
}

#[test]
fn it_travels_in_front_of_a_message_that_leaves_sooner() {
    let mut script = Script::native(|_| {});
    script.tell("x");
    script.until(1_030);
    let before = script.far().bare_acks;
    script.send("answer");
    script.until(2_000);
    assert_eq!(script.far().bare_acks, before);
    assert_eq!(script.far().session().counts.in_flight(), 0);
    script.sees("flush", "1030 flush 1");
}

#[test]
fn it_leaves_at_once_when_half_of_the_other_ends_window_is_used() {
    let mut script = Script::new(|config| {
        config.wire = everlink::wire::Wire::Native(Default::default());
    });
    script.far = Some(crate::harness::far::Far::default());
    script.far().announced = Announced { envelope: 2000, window: 4, window_bytes: 1 << 20 };
    script.input(everlink::link::Input::Start);
    script.until(1_000);
    script.forget();
    heard(&mut script, &["x"]);
    script.sees("flush", "");
    heard(&mut script, &["y"]);
    script.sees("flush", "1000 flush 1");
}

#[test]
fn the_bytes_on_the_wire_are_two_above_the_payload() {
    let mut script = Script::native(|_| {});
    script.far = None;
    script.link.send(script.now, everlink::outbox::Message::text(b"stroke".to_vec()), |_, _| ()).unwrap();
    let frame = script.link.pull(crate::harness::epoch(1)).unwrap();
    assert_eq!((frame.head(), frame.payload()), (&[0xCA, 6][..], &b"stroke"[..]));
}

#[test]
fn pings_and_pongs_are_envelopes_with_a_nonce() {
    let mut script = Script::native(|_| {});
    assert_eq!(script.beats[0].1, bytes(&[Envelope::Ping { nonce: 1 }]));
    assert_eq!(script.report().latency.unwrap().last, ms(40));
    let frame = bytes(&[Envelope::Ping { nonce: 77 }]);
    script.event(1, Event::Frame { kind: Kind::Binary, data: &frame });
    script.sees("pong", "1000 pong 1");
    assert_eq!(script.beats.last().unwrap().1, bytes(&[Envelope::Pong { nonce: 77 }]));
}

#[test]
fn the_other_end_is_told_when_the_link_is_slow_and_when_it_is_well_again() {
    let mut script = Script::native(|_| {});
    script.server.rtt = ms(900);
    script.until(60_000);
    script.server.rtt = ms(40);
    script.until(120_000);
    let states: Vec<_> = script.far().health.iter().map(|health| health.state).collect();
    assert_eq!(states, [1, 0]);
    let latencies: Vec<_> = script.far().health.iter().map(|health| health.latency).collect();
    assert_eq!(latencies, [255, 139], "ms, smoothed: it rises slowly and falls faster");
}

#[test]
fn the_other_end_is_told_that_a_link_is_degraded_whatever_it_suffers_from() {
    // What leaves does not get out of the socket.
    let mut script = Script::native(|config| config.candidate = everlink::link::Candidate::Off);
    script.server.drains = false;
    script.send("waits in the kernel");
    script.until(3_900);
    assert!(script.far().health.is_empty());
    script.until(4_100);
    assert_eq!(script.state(), State::Stalled);
    assert_eq!(script.far().health.iter().map(|health| health.state).collect::<Vec<_>>(), [1]);

    // What leaves is not acknowledged.
    let mut script = Script::native(|config| config.candidate = everlink::link::Candidate::Off);
    script.far().acks = false;
    script.send("is not acknowledged");
    script.until(6_000);
    assert_eq!(script.state(), State::Unacknowledged);
    assert_eq!(script.far().health.iter().map(|health| health.state).collect::<Vec<_>>(), [1]);
}

#[test]
fn a_suspect_socket_gets_no_messages() {
    let mut script = Script::native(|config| config.candidate = everlink::link::Candidate::Off);
    script.server.answers = false;
    script.until(16_500);
    assert_eq!(script.status(), everlink::link::Status::Degraded);
    script.forget();
    script.send("waits");
    script.sees("flush", "");
    script.server.heal();
    script.until(18_000);
    assert_eq!(script.far().came(), ["waits"]);
}

#[test]
fn a_prompt_acknowledgement_asks_a_link_that_is_well_for_nothing() {
    let mut script = Script::native(|_| {});
    script.server.rtt = ms(200);
    script.until(200_000);
    assert!(script.report().smoothed_latency > Some(ms(150)));
    let next = script.link.wake().unwrap().0;
    script.until(next.micros() / 1_000 + 1_000);
    script.forget();
    script.server.rtt = ms(40);
    let now = script.now;
    script.send("a");
    script.until_instant(now + ms(1_000));
    assert_eq!(script.far().came(), ["a"]);
    script.sees("ping", "");
}
