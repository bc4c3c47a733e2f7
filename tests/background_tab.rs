//! A page in the background: throttled timers, stretched intervals, a probe when it is looked at again.

use crate::harness::{Door, Script};
use everlink::link::{Failure, Input, Status};

#[test]
fn heartbeats_are_stretched_while_hidden_and_a_probe_goes_out_when_visible() {
    let mut script = Script::connected(|_| {});
    script.input(Input::Hidden);
    script.until(100_000);
    script.input(Input::Visible);
    script.until(101_000);
    script.sees(
        "ping status abandon",
        "60140 ping 1 nonce 2
         100000 ping 1 nonce 3",
    );
}

// pain 4
#[test]
fn a_page_that_was_frozen_learns_at_once_that_its_link_has_expired() {
    let mut script = Script::connected(|_| {});
    script.input(Input::Hidden);
    script.server.answers = false;
    script.now = crate::harness::at(300_000);
    script.input(Input::Visible);
    script.send("stroke");
    script.until(301_900);
    script.server.answers = true;
    script.until(303_000);
    script.sees(
        "ping status abandon open",
        "300000 ping 1 nonce 2
         302000 abandon 1
         302000 open 2 attempt 1
         302000 status connecting
         302100 ping 2 nonce 1
         302100 status connected",
    );
}

#[test]
fn timers_that_are_throttled_to_a_second_kill_nothing() {
    let mut script = Script::connected(|_| {});
    script.input(Input::Hidden);
    for second in 1..300 {
        script.frozen_until(1_000 + second * 1_000);
    }
    script.sees("abandon close open", "");
}

#[test]
fn timers_that_are_throttled_to_a_minute_kill_nothing() {
    let mut script = Script::connected(|_| {});
    script.input(Input::Hidden);
    for minute in 1..30 {
        script.frozen_until(1_000 + minute * 60_000);
        script.until(1_000 + minute * 60_000 + 50);
    }
    script.sees("abandon close open", "");
}

#[test]
fn retries_are_stretched_while_hidden_and_come_soon_when_visible() {
    let mut script = Script::connected(|_| {});
    script.input(Input::Hidden);
    script.server.door = Door::Refuses(Failure::Connect);
    script.close(1, None);
    script.until(20_000);
    script.sees(
        "retry open",
        "1000 retry 1 at 5000: connection dropped
         5000 open 2 attempt 1
         5100 retry 2 at 13100: connection refused or unreachable
         13100 open 3 attempt 2
         13200 retry 3 at 29200: connection refused or unreachable",
    );
    script.server.heal();
    script.input(Input::Visible);
    script.until(20_200);
    script.sees(
        "retry open status",
        "20000 open 4 attempt 3
         20000 status connecting
         20100 status connected",
    );
}

// pain 13
#[test]
fn looking_at_the_page_does_not_revive_a_link_that_was_stopped() {
    let mut script = Script::connected(|_| {});
    script.input(Input::Stop { linger: core::time::Duration::ZERO });
    script.until(2_000);
    for input in [
        Input::Hidden,
        Input::Visible,
        Input::Offline,
        Input::Online,
        Input::Suspended(crate::harness::s(60)),
    ] {
        script.input(input);
        script.until(script.now.micros() / 1000 + 5_000);
    }
    assert_eq!(script.status(), Status::Disconnected);
    assert_eq!(script.opens(), [0]);
}

#[test]
fn a_server_that_pings_is_given_its_time_again_when_the_page_is_looked_at() {
    let mut script = Script::connected(|config| config.heartbeat.mode = everlink::heartbeat::Mode::Server);
    script.input(Input::Hidden);
    // Frozen for longer than a visible page would wait; what came meanwhile is behind the event.
    script.now = crate::harness::at(40_000);
    script.input(Input::Visible);
    script.event(1, everlink::link::Event::Ping);
    script.until(50_000);
    script.sees("status abandon", "");
}
