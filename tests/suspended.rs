//! The process did not run for a while: a clock that jumped proves nothing.

use crate::harness::{Door, Script, s};
use everlink::heartbeat::Mode;
use everlink::link::{Candidate, Input, Status};
use everlink::quality::Quality;

// pain 5
#[test]
fn a_late_tick_probes_and_a_healthy_link_lives() {
    let mut script = Script::connected(|_| {});
    script.frozen_until(3_600_000);
    script.until(3_601_000);
    script.sees("ping abandon close open status", "3600000 ping 1 nonce 2");
    assert_eq!(script.report().counts.suspensions.get(), 1);
    assert_eq!(script.status(), Status::Connected);
}

#[test]
fn the_time_of_a_suspension_is_no_round_trip() {
    let mut script = Script::connected(|_| {});
    script.until(15_150);
    script.frozen_until(60_000);
    script.until(61_000);
    let latency = script.report().latency.map(|latency| (latency.min, latency.max));
    assert_eq!(latency, Some((crate::harness::ms(40), crate::harness::ms(40))));
    assert_eq!(script.link.quality(), Quality::Excellent);
}

// pain 5
#[test]
fn a_link_that_died_meanwhile_is_replaced_within_the_probe() {
    let mut script = Script::connected(|_| {});
    script.server.answers = false;
    script.frozen_until(3_600_000);
    script.until(3_602_050);
    script.server.answers = true;
    script.until(3_603_000);
    script.sees(
        "ping abandon open",
        "3600000 ping 1 nonce 2
         3602000 abandon 1
         3602000 open 2 attempt 1
         3602100 ping 2 nonce 1",
    );
}

#[test]
fn a_link_frozen_in_the_middle_of_a_ping_or_a_probe_lives() {
    for probe in [false, true] {
        let mut script = Script::connected(|_| {});
        if probe {
            script.input(Input::Online);
            script.until(1_010);
        } else {
            script.until(15_150);
        }
        // The answer came while the process stood still; then again nothing is read before the tick.
        let answers = core::mem::replace(&mut script.server.answers, false);
        script.now = crate::harness::at(60_000);
        script.link.handle(script.now, Input::Tick);
        script.drain();
        script.server.answers = answers;
        script.until(61_000);
        script.sees("abandon close open status", "");
        assert_eq!(script.status(), Status::Connected, "{probe}");
    }
}

#[test]
fn a_short_stop_is_no_suspension_and_what_is_readable_counts_first() {
    let mut script = Script::connected(|_| {});
    script.until(15_141);
    script.frozen_until(20_000);
    script.until(21_000);
    assert_eq!(script.report().counts.suspensions.get(), 0);
    assert_eq!(script.report().counts.missed_pongs.get(), 0);
    assert_eq!(script.report().counts.disconnects.get(), 0);
}

#[test]
fn an_adapter_that_knows_says_so_and_a_probe_goes_out() {
    let mut script = Script::connected(|_| {});
    script.input(Input::Suspended(s(600)));
    script.until(2_000);
    script.sees("ping abandon", "1000 ping 1 nonce 2");
    assert_eq!(script.report().counts.suspensions.get(), 1);
}

#[test]
fn missed_ticks_do_not_come_as_a_burst() {
    let mut script = Script::connected(|_| {});
    script.server.black_hole();
    script.until(15_150);
    script.forget();
    script.frozen_until(19_000);
    script.sees("ping abandon status", "19000 ping 1 nonce 3\n 19000 status degraded");
}

#[test]
fn opening_gets_a_grace_when_the_process_stood_still() {
    let mut script = Script::new(|_| {});
    script.server.door = Door::Silent;
    script.input(Input::Start);
    script.until(500);
    script.now = crate::harness::at(60_000);
    script.input(Input::Tick);
    script.sees("open abandon retry", "0 open 1 attempt 0");
    script.event(1, everlink::link::Event::Opened);
    assert_eq!(script.status(), Status::Connected);
}

#[test]
fn a_retry_that_came_due_meanwhile_is_made_once() {
    let mut script = Script::connected(|_| {});
    script.close(1, None);
    script.frozen_until(3_600_000);
    script.until(3_601_000);
    assert_eq!(script.opens(), [0, 3_600_000]);
}

#[test]
fn a_server_that_pings_is_given_its_time_again() {
    let mut script = Script::connected(|config| config.heartbeat.mode = Mode::Server);
    script.frozen_until(3_600_000);
    script.until(3_615_000);
    script.sees("abandon", "");
    script.until(3_616_000);
    script.sees("abandon", "3616000 abandon 1");
}

#[test]
fn a_second_socket_is_no_reason_to_forget_the_first_after_a_suspension() {
    let mut script = Script::connected(|config| config.candidate = Candidate::On);
    script.server.black_hole();
    script.until(16_500);
    script.server.answers = true;
    script.frozen_until(600_000);
    script.until(601_000);
    assert_eq!(script.status(), Status::Connected);
    assert_eq!(script.report().counts.disconnects.get(), 0);
}

#[test]
fn a_tick_is_late_when_it_is_later_than_the_limit() {
    for (late, suspensions) in [(0, 0), (1, 1)] {
        let mut script = Script::connected(|_| {});
        // The ping is due at 15140, and five seconds are no suspension.
        script.frozen_until(20_140 + late);
        assert_eq!(script.report().counts.suspensions.get(), suspensions);
    }
}

#[test]
fn a_process_that_is_always_late_does_not_keep_a_dead_link_alive() {
    let mut script = Script::connected(|_| {});
    script.server.black_hole();
    for millis in [30_000, 60_000, 90_000] {
        script.frozen_until(millis);
    }
    script.sees("abandon", "90000 abandon 1");
}
