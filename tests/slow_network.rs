//! A slow path is shown and survived.

use crate::harness::{Script, ms};
use everlink::link::{Event, Input, State, Status};
use everlink::quality::Quality;

#[test]
fn slowness_is_shown_and_nothing_is_killed() {
    let mut script = Script::connected(|_| {});
    script.server.rtt = ms(800);
    script.until(600_000);
    assert_eq!(script.state(), State::Slow);
    assert_eq!(script.status(), Status::Degraded);
    assert_eq!(script.report().counts.disconnects.get(), 0);
    script.server.rtt = ms(40);
    script.until(1_200_000);
    assert_eq!(script.status(), Status::Connected);
    assert_eq!(script.link.quality(), Quality::Excellent);
}

#[test]
fn the_deadline_of_an_answer_follows_the_path() {
    let mut script = Script::new(|_| {});
    script.server.rtt = ms(2_500);
    script.input(Input::Start);
    script.until(120_000);
    assert_eq!(script.report().counts.missed_pongs.get(), 0);
    assert_eq!(script.link.quality(), Quality::Poor);
}

#[test]
fn a_probe_waits_as_long_as_the_path_is_known_to_need() {
    let mut script = Script::new(|_| {});
    script.server.rtt = ms(2_500);
    script.input(Input::Start);
    script.until(60_000);
    script.forget();
    script.input(Input::Online);
    script.until(70_000);
    script.sees("abandon close open", "");
    assert_eq!(script.status(), Status::Degraded);
}

#[test]
fn bytes_that_do_not_drain_are_a_stall_until_they_do() {
    let mut script = Script::connected(|_| {});
    script.server.drains = false;
    script.send("stroke");
    script.until(3_999);
    assert_eq!(script.status(), Status::Connected);
    script.until(5_000);
    assert_eq!(script.state(), State::Stalled);
    script.event(1, Event::Written(6));
    assert_eq!(script.state(), State::Connected);
    script.sees("status", "4000 status degraded\n 5000 status connected");
}

#[test]
fn a_large_message_that_drains_slowly_is_no_stall() {
    let mut script = Script::connected(|_| {});
    script.server.drains = false;
    script.send(&"x".repeat(100_000));
    for part in 1..=50 {
        script.until(1_000 + part * 1_000);
        script.text(1, "alive");
        script.event(1, Event::Written(part * 2_000));
    }
    script.sees("status abandon", "");
}
