//! Offline and online: what the operating system says about the network.

use core::time::Duration;

use crate::harness::{Door, Script, ms};
use everlink::link::{Cause, Event, Failure, Input, State, Status};

#[test]
fn a_live_socket_is_probed_at_once_and_kept() {
    let mut script = Script::connected(|_| {});
    script.input(Input::Offline);
    script.until(5_000);
    script.input(Input::Online);
    script.until(10_000);
    script.sees(
        "",
        "1000 status disconnected
         5000 ping 1 nonce 2
         5000 status connected",
    );
    assert_eq!(script.report().counts.connects.get(), 1);
}

#[test]
fn a_dead_socket_is_abandoned_and_a_new_one_opened_at_once() {
    let mut script = Script::connected(|config| config.backoff.online_jitter = ms(250));
    script.server.answers = false;
    script.input(Input::Offline);
    script.until(5_000);
    script.input(Input::Online);
    script.until(7_260);
    script.sees("abandon close", "7000 abandon 1");
    let second = script.opens()[1];
    assert!((7_000..=7_250).contains(&second), "{second}");
}

// pain 11
#[test]
fn what_a_discarded_socket_still_says_is_ignored() {
    let mut script = Script::connected(|_| {});
    script.server.answers = false;
    script.input(Input::Online);
    script.until(3_050);
    script.server.answers = true;
    script.until(4_000);
    script.forget();
    for event in [
        Event::Pong(&[0, 0, 0, 1]),
        Event::Frame { kind: everlink::outbox::Kind::Text, data: b"late" },
        Event::Written(99),
        Event::Violation(1002),
        Event::Closed(crate::harness::closed(Some(1000))),
        Event::Opened,
        Event::Failed(Failure::Connect),
    ] {
        script.event(1, event);
    }
    script.sees("", "");
    assert_eq!(script.delivered, Vec::<Vec<u8>>::new());
    assert_eq!(script.report().counts.stale_inputs.get(), 7);
    assert_eq!(script.status(), Status::Connected);
}

#[test]
fn timers_are_held_while_offline() {
    let mut script = Script::connected(|_| {});
    script.server.black_hole();
    script.input(Input::Offline);
    assert_eq!(script.link.wake(), None);
    script.until(3_600_000);
    script.sees("", "1000 status disconnected");
    assert_eq!(script.state(), State::Offline);
}

#[test]
fn no_attempt_is_made_while_offline() {
    let mut script = Script::new(|_| {});
    script.input(Input::Offline);
    script.input(Input::Start);
    script.until(100_000);
    script.sees("", "");
    script.input(Input::Online);
    script.until(101_000);
    script
        .sees("open status", "100000 open 1 attempt 0\n 100000 status connecting\n 100100 status connected");
}

#[test]
fn an_attempt_under_way_ends_when_the_network_goes_and_is_not_counted() {
    let mut script = Script::new(|_| {});
    script.server.door = Door::Silent;
    script.input(Input::Start);
    script.until(2_000);
    script.input(Input::Offline);
    script.until(50_000);
    script.server.door = Door::Accepts;
    script.input(Input::Online);
    script.until(51_000);
    script.sees(
        "open abandon retry",
        "0 open 1 attempt 0
         2000 abandon 1
         50000 open 2 attempt 0",
    );
}

#[test]
fn online_brings_the_next_attempt_forward_and_eases_the_count() {
    let mut script = Script::connected(|_| {});
    script.server.door = Door::Refuses(Failure::Connect);
    script.close(1, None);
    script.until(30_000);
    assert!(matches!(script.state(), State::Waiting { attempt: 5, .. }), "{:?}", script.state());
    script.input(Input::Offline);
    script.input(Input::Online);
    script.until(30_200);
    script.sees(
        "open retry",
        "1000 retry 1 at 2000: connection dropped
         2000 open 2 attempt 1
         2100 retry 2 at 4100: connection refused or unreachable
         4100 open 3 attempt 2
         4200 retry 3 at 8200: connection refused or unreachable
         8200 open 4 attempt 3
         8300 retry 4 at 16300: connection refused or unreachable
         16300 open 5 attempt 4
         16400 retry 5 at 32400: connection refused or unreachable
         30000 open 6 attempt 3
         30100 retry 4 at 38100: connection refused or unreachable",
    );
}

// pain 7
#[test]
fn a_network_that_flaps_is_no_storm() {
    let mut script = Script::connected(|config| config.backoff.online_jitter = ms(250));
    script.server.door = Door::Refuses(Failure::Connect);
    script.close(1, None);
    for flap in 0..100 {
        script.until(2_000 + flap * 20);
        script.input(Input::Offline);
        script.input(Input::Online);
    }
    script.until(4_000);
    assert!(script.opens().len() <= 30, "{:?}", script.opens());
}

// pain 13
#[test]
fn failed_is_left_when_the_network_comes_back() {
    let mut script = Script::connected(|config| config.backoff.attempts = Some(1));
    script.server.door = Door::Refuses(Failure::Connect);
    script.close(1, None);
    script.until(5_000);
    assert_eq!(script.state(), State::Failed { cause: Cause::Failure(Failure::Connect) });
    script.server.heal();
    script.input(Input::Offline);
    script.input(Input::Online);
    script.until(6_000);
    assert_eq!(script.status(), Status::Connected);
}

#[test]
fn a_close_while_offline_is_no_attempt_until_online() {
    let mut script = Script::connected(|_| {});
    script.input(Input::Offline);
    script.close(1, None);
    script.until(60_000);
    script.sees("open retry", "");
    script.input(Input::Online);
    script.until(60_200);
    script.sees(
        "open retry status",
        "60000 open 2 attempt 1\n 60000 status connecting\n 60100 status connected",
    );
}

#[test]
fn what_was_asked_for_just_before_the_network_went_leaves_when_it_is_back() {
    let mut script = Script::connected(|_| {});
    let message = everlink::outbox::Message::text(b"stroke".to_vec());
    script.link.send(script.now, message, |_, _| ()).map(drop).unwrap_or_default();
    // The flush is told, and the network goes before the adapter pulls.
    assert!(matches!(script.link.poll(), everlink::link::Next::Do(everlink::link::Action::Flush { .. })));
    script.link.handle(script.now, Input::Offline);
    assert_eq!(script.link.pull(crate::harness::epoch(1)), None);
    script.until(2_000);
    script.input(Input::Online);
    script.until(3_000);
    assert_eq!(script.wrote(1), ["stroke"]);
}

#[test]
fn online_said_twice_is_a_new_network_and_probes_again() {
    let mut script = Script::connected(|_| {});
    script.input(Input::Online);
    script.input(Input::Online);
    script.until(2_000);
    script.input(Input::Online);
    script.until(3_000);
    script.sees("ping", "1000 ping 1 nonce 2\n 2000 ping 1 nonce 3");
    assert_eq!(script.report().uptime, Some(Duration::from_millis(2_900)));
}

#[test]
fn a_page_that_is_looked_at_asks_nothing_of_a_network_that_is_off() {
    let mut script = Script::connected(|_| {});
    script.input(Input::Offline);
    script.input(Input::Visible);
    script.until(20_000);
    script.sees("ping abandon", "");
}

#[test]
fn a_page_that_was_in_sight_all_the_time_brings_no_attempt_forward() {
    let mut script = Script::connected(|_| {});
    script.close(1, None);
    script.input(Input::Visible);
    script.sees("retry open", "1000 retry 1 at 2000: connection dropped");
}

#[test]
fn hope_brings_an_attempt_forward_and_never_puts_it_off() {
    let mut script = Script::connected(|config| {
        config.backoff.base = ms(2);
        config.backoff.online_jitter = Duration::from_secs(60);
    });
    script.close(1, None);
    script.input(Input::Online);
    script.until(1_002);
    script.sees("open", "1002 open 2 attempt 1");
}
