//! The server goes away and comes back: clients spread, do not hammer, and need nobody's help.

use crate::harness::{Door, Script, closed, ms, s};
use everlink::link::{Cause, Close, Event, Failure, Input, State, Status};

#[test]
fn a_restart_that_is_announced_is_waited_out_spread_over_an_interval() {
    let at = |seed, code| {
        let mut script = Script::with_seed(seed, |_| {});
        script.input(Input::Start);
        script.until(1_000);
        script.close(1, Some(code));
        assert!(
            matches!(script.state(), State::Waiting { cause: Cause::Closed(closed), .. } if closed == code)
        );
        script.until(40_000);
        script.opens()[1] - 1_000
    };
    for code in [1012, 1013] {
        let mut delays: Vec<u64> = (0..50).map(|seed| at(seed, code)).collect();
        delays.sort_unstable();
        assert!(delays[0] >= 5_000 && delays[49] <= 30_000, "{delays:?}");
        assert!(delays[49] - delays[0] > 15_000, "{delays:?}");
    }
}

#[test]
fn the_link_returns_without_help_after_a_minute_of_refusals() {
    let mut script = Script::connected(|config| config.outbox.age = None);
    script.server.door = Door::Refuses(Failure::Connect);
    script.close(1, Some(1001));
    script.send("stroke");
    script.until(50_000);
    script.server.heal();
    script.until(70_000);
    assert_eq!(script.status(), Status::Connected);
    assert_eq!(script.written.len(), 1, "the stroke leaves once");
}

// pain 6
#[test]
fn a_server_that_accepts_and_drops_is_not_met_at_full_speed() {
    let mut script = Script::new(|_| {});
    script.input(Input::Start);
    for _ in 0..12 {
        let socket = script.opens().len();
        let end = script.now.micros() / 1000 + 40_000;
        while script.status() != Status::Connected && script.now.micros() / 1000 < end {
            script.until(script.now.micros() / 1000 + 10);
        }
        script.close(u32::try_from(socket.max(1)).unwrap_or(1), None);
        script.close(u32::try_from(script.opens().len()).unwrap_or(1), None);
    }
    assert_eq!(script.status(), Status::Failed, "ten attempts came to nothing");
    assert_eq!(script.opens().len(), 11);
}

#[test]
fn the_count_is_reset_by_a_socket_that_spoke_and_stayed() {
    // Up for how long, with or without a word from the server: which attempt comes next.
    let next = |up: u64, answers: bool| {
        let mut script = Script::new(|_| {});
        script.server.door = Door::Refuses(Failure::Connect);
        script.input(Input::Start);
        script.until(2_000);
        script.server.door = Door::Accepts;
        script.server.answers = answers;
        script.until(3_300 + up);
        let socket = u32::try_from(script.opens().len()).unwrap_or(1);
        script.close(socket, None);
        let State::Waiting { attempt, .. } = script.state() else { panic!("{:?}", script.state()) };
        attempt
    };
    assert_eq!(next(4_900, true), 3, "it was up for too short a time");
    assert_eq!(next(5_100, true), 1);
    assert_eq!(next(5_100, false), 3, "nothing ever came in");
}

#[test]
fn a_clean_close_by_the_server_ends_it_or_not_as_configured() {
    let mut script = Script::connected(|_| {});
    script.close(1, Some(1000));
    assert!(matches!(script.state(), State::Waiting { attempt: 1, .. }));

    let mut script = Script::connected(|config| config.retry.final_normal = true);
    script.close(1, Some(1000));
    assert_eq!(script.state(), State::Failed { cause: Cause::Closed(1000) });
}

#[test]
fn a_retry_after_is_honoured_and_clamped() {
    for (asked, earliest) in [(s(20), 21_000), (s(86_400), 601_000)] {
        let mut script = Script::connected(|_| {});
        script.event(1, Event::Closed(Close { retry_after: Some(asked), ..closed(Some(1013)) }));
        script.until(700_000);
        let open = script.opens()[1];
        assert!((earliest..=earliest + 1_000).contains(&open), "{open}");
    }
}

#[test]
fn what_the_server_asked_for_is_not_undone_by_a_look_at_the_page_or_a_new_network() {
    let mut script = Script::connected(|_| {});
    script.event(1, Event::Closed(Close { retry_after: Some(s(20)), ..closed(Some(1013)) }));
    for input in [Input::Hidden, Input::Visible, Input::Online, Input::Offline, Input::Online] {
        script.input(input);
    }
    script.until(20_999);
    assert_eq!(script.opens(), [0]);
    script.until(22_000);
    assert_eq!(script.opens().len(), 2);

    // The user may insist.
    let mut script = Script::connected(|_| {});
    script.event(1, Event::Closed(Close { retry_after: Some(s(20)), ..closed(Some(1013)) }));
    script.input(Input::Start);
    assert_eq!(script.opens(), [0, 1_000]);
}

#[test]
fn what_a_hidden_page_would_wait_longer_for_a_visible_one_does_not() {
    let mut script = Script::connected(|config| config.backoff.base = ms(1));
    script.input(Input::Hidden);
    script.event(1, Event::Closed(Close { retry_after: Some(s(20)), ..closed(Some(1013)) }));
    script.until(10_000);
    script.input(Input::Visible);
    script.until(20_999);
    assert_eq!(script.opens(), [0]);
    script.until(21_100);
    assert_eq!(script.opens().len(), 2);
}
