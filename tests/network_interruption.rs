//! The network goes away for a while: it is noticed, it is shown, nothing is lost, and the link comes back.

use crate::harness::{Door, Script, ms, s};
use everlink::link::{Failure, Input, State, Status};
use everlink::outbox::Outcome;

// pain 1
#[test]
fn silence_degrades_the_link_and_several_missed_answers_end_it() {
    let mut script = Script::connected(|_| {});
    script.server.black_hole();
    script.until(24_000);
    script.sees(
        "ping status abandon open retry",
        "15140 ping 1 nonce 2
         16140 ping 1 nonce 3
         16140 status degraded
         18140 ping 1 nonce 4
         22140 abandon 1
         22140 status disconnected
         22140 retry 1 at 23140: no sign of life
         23140 open 2 attempt 1
         23140 status connecting",
    );
}

// pain 2
#[test]
fn own_sends_are_no_sign_of_life_and_make_silence_suspicious_sooner() {
    let mut script = Script::connected(|_| {});
    script.server.black_hole();
    for millis in (1_000..12_000).step_by(100) {
        script.until(millis);
        script.send("stroke");
    }
    script.sees(
        "ping status abandon",
        "3000 ping 1 nonce 2
         4000 ping 1 nonce 3
         4000 status degraded
         6000 ping 1 nonce 4
         10000 abandon 1
         10000 status disconnected
         11000 status connecting",
    );
}

#[test]
fn what_is_sent_without_a_connection_waits_and_leaves_in_order() {
    let mut script = Script::connected(|_| {});
    script.server.door = Door::Refuses(Failure::Connect);
    script.close(1, None);
    for stroke in ["a", "b", "c"] {
        script.send(stroke);
    }
    script.until(5_000);
    assert_eq!(script.written, []);
    script.settles(&[]);
    script.server.heal();
    script.until(10_000);
    assert_eq!(script.written.iter().map(|(_, payload)| payload[0]).collect::<Vec<_>>(), b"abc");
    script.settles(&[(1, Outcome::Written), (2, Outcome::Written), (3, Outcome::Written)]);
    assert_eq!(script.status(), Status::Connected);
}

// pain 8
#[test]
fn what_was_handed_over_but_not_written_goes_again() {
    let mut script = Script::connected(|_| {});
    script.server.drains = false;
    for stroke in ["a", "b", "c"] {
        script.send(stroke);
    }
    script.event(1, everlink::link::Event::Written(1));
    script.settles(&[(1, Outcome::Written)]);
    script.close(1, None);
    script.server.drains = true;
    script.until(3_000);
    assert_eq!(script.wrote(1), ["a", "b", "c"]);
    assert_eq!(script.wrote(2), ["b", "c"]);
    script.settles(&[(2, Outcome::Written), (3, Outcome::Written)]);
}

#[test]
fn a_link_that_heals_in_time_is_never_killed() {
    let mut script = Script::connected(|_| {});
    script.server.black_hole();
    script.until(17_000);
    assert_eq!(script.state(), State::Suspect { missed: 1 });
    script.text(1, "news");
    assert_eq!(script.state(), State::Slow, "it lives, but how fast is not known again");
    script.server.heal();
    script.until(60_000);
    script.sees(
        "ping status abandon close",
        "15140 ping 1 nonce 2
         16140 ping 1 nonce 3
         16140 status degraded
         22140 ping 1 nonce 4
         22180 status connected
         37180 ping 1 nonce 5
         52220 ping 1 nonce 6",
    );
}

// pain 8
#[test]
fn nothing_is_risked_on_a_suspect_socket() {
    let mut script = Script::connected(|_| {});
    script.server.black_hole();
    for millis in (1_000..9_000).step_by(100) {
        script.until(millis);
        script.send("stroke");
    }
    script.until(10_500);
    assert_eq!(script.wrote(1).len(), 30, "those of the three seconds before the suspicion");
    script.server.heal();
    script.until(12_000);
    assert_eq!(script.wrote(2).len(), 50);
}

#[test]
fn what_was_held_back_leaves_when_the_suspect_proves_itself() {
    let mut script = Script::connected(|_| {});
    script.server.black_hole();
    script.until(17_000);
    script.send("stroke");
    assert_eq!(script.wrote(1), Vec::<&str>::new());
    script.text(1, "news");
    assert_eq!(script.wrote(1), ["stroke"]);
}

// pain 3
#[test]
fn a_pong_behind_a_long_frame_does_not_kill_a_busy_link() {
    let mut script = Script::connected(|_| {});
    script.server.answers = false;
    for millis in (1_000..120_000).step_by(500) {
        script.until(millis);
        script.event(1, everlink::link::Event::Received(1_400));
    }
    script.sees("status abandon close", "");
}

#[test]
fn delays_grow_to_the_cap_and_the_last_attempt_fails() {
    let mut script = Script::connected(|_| {});
    script.server.door = Door::Refuses(Failure::Connect);
    script.close(1, None);
    script.until(400_000);
    let opens = script.opens();
    let delays: Vec<_> = opens[1..].windows(2).map(|pair| pair[1] - pair[0] - 100).collect();
    assert_eq!(opens[1], 2_000);
    assert_eq!(delays, [2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000, 30_000, 30_000]);
    assert_eq!(script.status(), Status::Failed);
    assert_eq!(script.link.wake(), None, "nothing is tried any more");
}

// pain 7
#[test]
fn a_fleet_does_not_come_back_as_one() {
    let first = |seed| {
        let mut script =
            Script::with_seed(seed, |config| config.backoff = everlink::backoff::Config::default());
        script.input(Input::Start);
        script.until(1_000);
        script.close(1, None);
        script.until(3_000);
        script.opens()[1]
    };
    let mut firsts: Vec<u64> = (0..100).map(first).collect();
    firsts.sort_unstable();
    assert!(firsts[0] >= 1_500 && firsts[99] <= 2_000, "{firsts:?}");
    let most = (0..100)
        .map(|from| firsts.iter().filter(|at| (firsts[from]..firsts[from] + 100).contains(at)).count());
    assert!(most.max() <= Some(35), "{firsts:?}");
}

// pain 16
#[test]
fn a_new_socket_starts_with_a_fresh_heartbeat() {
    let mut script = Script::connected(|_| {});
    script.server.black_hole();
    script.until(22_500);
    assert_eq!(script.opens(), [0]);
    script.server.heal();
    script.until(200_000);
    assert_eq!(script.opens(), [0, 23_140], "the second socket lives");
    assert_eq!(script.status(), Status::Connected);
}

#[test]
fn messages_too_old_are_settled_while_there_is_no_connection() {
    let mut script = Script::connected(|config| config.backoff.attempts = None);
    script.server.door = Door::Refuses(Failure::Connect);
    script.close(1, None);
    script.send("stroke");
    script.until(60_999);
    script.settles(&[]);
    script.until(61_000);
    script.settles(&[(1, Outcome::Expired)]);
    script.server.heal();
    script.until(120_000);
    assert_eq!(script.written, []);
}

#[test]
fn the_dead_line_can_be_noticed_within_six_seconds_while_sending() {
    let mut script = Script::connected(|config| config.outbox.age = Some(s(60)));
    script.server.black_hole();
    script.send("stroke");
    script.until(1_000 + 6_000);
    assert_eq!(script.status(), Status::Degraded);
    script.sees("status", "4000 status degraded");
    assert_eq!(script.report().counts.missed_pongs.get(), 2);
    assert_eq!(script.report().latency.map(|latency| latency.last), Some(ms(40)));
}
