//! The heartbeat alone: pings, answers that are due, and silence.
#![allow(clippy::expect_used, clippy::panic, reason = "a test may be blunt")]

use core::time::Duration;

use crate::harness::{at, ms, s};
use crate::law::proptest_config;
use everlink::heartbeat::{Beat, Config, Due, Heartbeat, Mode};
use everlink::time::Instant;
use proptest::prelude::*;

const START: Instant = at(1_000);

fn quiet() -> Config {
    Config { on_open: false, measure: None, ..Config::default() }
}

/// The nonce of the ping or probe that is due now.
#[track_caller]
fn ping(heartbeat: &mut Heartbeat, config: &Config, now: Instant) -> u32 {
    match heartbeat.fire(config, now) {
        Some(Beat::Ping { nonce } | Beat::Missed { nonce }) => nonce,
        other => panic!("{other:?} at {now:?}"),
    }
}

/// What RFC 6298 says, word for word, in microseconds and as real numbers.
#[derive(Clone, Copy)]
struct Oracle {
    srtt: f64,
    rttvar: f64,
}

#[expect(clippy::float_arithmetic, reason = "an oracle should not share the rounding of what it judges")]
fn oracle(samples: &[u32]) -> Oracle {
    let mut state: Option<Oracle> = None;
    for sample in samples {
        let r = f64::from(*sample);
        state = Some(match state {
            None => Oracle { srtt: r, rttvar: r / 2.0 },
            Some(Oracle { srtt, rttvar }) => {
                Oracle { rttvar: 0.75 * rttvar + 0.25 * (srtt - r).abs(), srtt: 0.875 * srtt + 0.125 * r }
            }
        });
    }
    state.expect("there is a sample")
}

proptest! {
    #![proptest_config(proptest_config("proptest-regressions/heartbeat.txt", 500))]

    #[test]
    fn the_deadline_of_an_answer_is_that_of_rfc_6298(samples in proptest::collection::vec(1_u32..4_000_000, 1..40)) {
        let config = Config { min_timeout: Duration::from_micros(1), timeout: s(100), ..Config::default() };
        let mut heartbeat = Heartbeat::new(START);
        let mut now = START;
        for sample in &samples {
            now = heartbeat.next(&config).map_or(now, |(next, _)| next.max(now));
            let nonce = ping(&mut heartbeat, &config, now);
            now = now + Duration::from_micros(u64::from(*sample));
            prop_assert_eq!(
                heartbeat.pong(&config, now, Some(nonce)),
                Some(Duration::from_micros(u64::from(*sample)))
            );
        }
        let sent = heartbeat.next(&config).map_or(now, |(next, _)| next);
        ping(&mut heartbeat, &config, sent);
        let (due, why) = heartbeat.next(&config).expect("an answer is due");
        prop_assert_eq!(why, Due::Answer);
        let Oracle { srtt, rttvar } = oracle(&samples);
        #[expect(clippy::float_arithmetic, reason = "see above")]
        let wanted = srtt + (4.0 * rttvar).max(1.0);
        let got = (due - sent).as_micros();
        // Integers round down at each step: by less than 8 for the mean and 4 times 4 for the variation.
        #[expect(clippy::float_arithmetic, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "see above")]
        let (low, high) = ((wanted - 40.0).max(0.0) as u128, (wanted + 40.0) as u128);
        prop_assert!((low..=high).contains(&got), "{got} is not {wanted}");
    }

    #[test]
    fn a_fired_timer_is_armed_later(
        seed in proptest::collection::vec((0..6_u8, 0..20_000_u64), 1..80), mode in 0..4_usize, adaptive: bool
    ) {
        let mode = [Mode::Client, Mode::Server, Mode::Both, Mode::Off][mode];
        let config = Config { mode, adaptive, ..Config::default() };
        let mut heartbeat = Heartbeat::new(START);
        let mut now = START;
        for (what, wait) in seed {
            now = now + ms(wait);
            match what {
                0 => heartbeat.received(&config, now),
                1 => heartbeat.sent(now),
                2 => heartbeat.pause(),
                3 => heartbeat.resume(now),
                4 => drop(heartbeat.probe(&config, now)),
                _ => drop(heartbeat.pong(&config, now, Some(1))),
            }
            if heartbeat.fire(&config, now) == Some(Beat::Dead) {
                break;
            }
            prop_assert!(heartbeat.next(&config).is_none_or(|(next, _)| next > now));
            prop_assert_eq!(heartbeat.fire(&config, now), None, "once");
        }
    }
}

#[test]
fn an_answer_to_an_older_ping_is_life_but_no_sample() {
    let config = quiet();
    let mut heartbeat = Heartbeat::new(START);
    let first = ping(&mut heartbeat, &config, at(16_000));
    let second = ping(&mut heartbeat, &config, at(21_000));
    assert!(heartbeat.is_suspect());
    assert_eq!(heartbeat.pong(&config, at(21_500), Some(first)), None);
    assert!(!heartbeat.is_suspect());
    assert_eq!(heartbeat.pong(&config, at(21_600), Some(second)), Some(ms(600)));
    assert_eq!(heartbeat.pong(&config, at(21_700), Some(second)), None, "only once");
    assert_eq!(heartbeat.round_trip(), Some(ms(600)));
}

#[test]
fn without_nonces_an_answer_is_a_sample_only_if_one_ping_is_out() {
    let config = quiet();
    let mut heartbeat = Heartbeat::new(START);
    ping(&mut heartbeat, &config, at(16_000));
    assert_eq!(heartbeat.pong(&config, at(16_050), None), Some(ms(50)));
    ping(&mut heartbeat, &config, at(31_050));
    ping(&mut heartbeat, &config, at(36_050));
    assert_eq!(heartbeat.pong(&config, at(36_060), None), None, "of which ping?");
    assert_eq!(
        heartbeat.pong(&config, at(36_110), None),
        Some(ms(60)),
        "of the other, for a socket keeps the order"
    );
    assert_eq!(heartbeat.pong(&config, at(36_120), None), None, "nobody asked");
}

#[test]
fn a_pong_that_nobody_asked_for_is_a_sign_of_life_and_nothing_else() {
    let config = quiet();
    let mut heartbeat = Heartbeat::new(START);
    for nonce in [None, Some(0), Some(1), Some(u32::MAX)] {
        assert_eq!(heartbeat.pong(&config, at(9_000), nonce), None);
    }
    assert_eq!(heartbeat.next(&config), Some((at(24_000), Due::Ping)));
}

// pain 2
#[test]
fn own_sends_do_not_put_the_ping_off() {
    let config = Config { early: None, ..quiet() };
    let mut heartbeat = Heartbeat::new(START);
    for second in 1..15 {
        heartbeat.sent(at(1_000 + second * 1_000));
    }
    assert_eq!(heartbeat.next(&config), Some((at(16_000), Due::Ping)));
}

#[test]
fn sends_that_meet_silence_bring_the_ping_forward_once() {
    let config = quiet();
    let mut heartbeat = Heartbeat::new(START);
    heartbeat.sent(at(5_000));
    heartbeat.sent(at(6_000));
    assert_eq!(heartbeat.next(&config), Some((at(7_000), Due::Ping)), "2 s after the first of them");
    let nonce = ping(&mut heartbeat, &config, at(7_000));
    heartbeat.pong(&config, at(7_050), Some(nonce));
    assert_eq!(heartbeat.next(&config), Some((at(22_050), Due::Ping)));
    heartbeat.sent(at(8_000));
    heartbeat.received(&config, at(8_100));
    assert_eq!(heartbeat.next(&config), Some((at(23_100), Due::Ping)), "it was answered");
}

#[test]
fn what_is_asked_of_it_follows_the_ping_that_is_out() {
    let config = quiet();
    let mut heartbeat = Heartbeat::new(START);
    let seen = |heartbeat: &Heartbeat| {
        (heartbeat.is_awaiting(), heartbeat.is_probing(), heartbeat.is_excused(), heartbeat.missed())
    };
    assert_eq!(seen(&heartbeat), (false, false, false, 0));
    ping(&mut heartbeat, &config, at(16_000));
    assert_eq!(seen(&heartbeat), (true, false, false, 0));
    ping(&mut heartbeat, &config, at(21_000));
    assert_eq!(seen(&heartbeat), (true, false, false, 1));
    ping(&mut heartbeat, &config, at(31_000));
    assert_eq!(seen(&heartbeat), (true, false, false, 2));
    heartbeat.received(&config, at(31_100));
    assert_eq!(seen(&heartbeat), (false, false, false, 0));
    heartbeat.probe(&config, at(32_000));
    assert_eq!(seen(&heartbeat), (true, true, false, 0));
    heartbeat.hold_until(at(33_000));
    assert_eq!(seen(&heartbeat), (true, true, true, 0));
    heartbeat.received(&config, at(33_500));
    assert_eq!(seen(&heartbeat), (false, false, false, 0), "the same ping, but no longer urgent");
}

#[test]
fn a_ping_covers_what_was_sent_at_the_same_time() {
    let config = quiet();
    let mut heartbeat = Heartbeat::new(START);
    heartbeat.probe(&config, at(5_000));
    heartbeat.received(&config, at(5_000));
    heartbeat.sent(at(5_000));
    assert_eq!(heartbeat.next(&config), Some((at(20_000), Due::Ping)));
}

#[test]
fn a_ping_on_its_way_is_waited_for_up_to_the_longest_deadline() {
    let config = quiet();
    let mut heartbeat = Heartbeat::new(START);
    ping(&mut heartbeat, &config, at(16_000));
    heartbeat.received(&config, at(16_000));
    heartbeat.sent(at(17_000));
    assert_eq!(heartbeat.clone().fire(&config, at(19_000)), None, "early, and one is out");
    heartbeat.received(&config, at(17_000));
    let mut waiting = heartbeat.clone();
    assert_eq!(waiting.next(&config), Some((at(32_000), Due::Ping)));
    assert!(matches!(waiting.fire(&config, at(32_000)), Some(Beat::Ping { .. })), "it is lost");

    let mut heartbeat = Heartbeat::new(START);
    ping(&mut heartbeat, &config, at(16_000));
    heartbeat.received(&config, at(16_000));
    assert!(matches!(heartbeat.fire(&config, at(31_000)), Some(Beat::Ping { .. })), "to the microsecond");
}

#[test]
fn a_ping_of_the_server_is_a_sign_of_life() {
    let config = Config { mode: Mode::Server, any_inbound: false, ..quiet() };
    let mut heartbeat = Heartbeat::new(START);
    heartbeat.pinged(at(10_000));
    assert_eq!(heartbeat.next(&config), Some((at(26_000), Due::Silence)));
    assert_eq!(heartbeat.fire(&config, at(25_999)), None);
    assert_eq!(heartbeat.fire(&config, at(26_000)), Some(Beat::Dead));
}

// pain 3
#[test]
fn any_inbound_byte_keeps_the_answer_from_being_overdue() {
    let config = quiet();
    let mut heartbeat = Heartbeat::new(START);
    let nonce = ping(&mut heartbeat, &config, at(16_000));
    heartbeat.received(&config, at(20_999));
    assert_eq!(heartbeat.next(&config), Some((at(35_999), Due::Ping)));
    assert_eq!(heartbeat.pong(&config, at(23_000), Some(nonce)), Some(s(7)), "it is a sample all the same");

    let only_pongs = Config { any_inbound: false, ..quiet() };
    let mut heartbeat = Heartbeat::new(START);
    ping(&mut heartbeat, &only_pongs, at(16_000));
    heartbeat.received(&only_pongs, at(20_999));
    assert_eq!(heartbeat.next(&only_pongs), Some((at(21_000), Due::Answer)));
}

#[test]
fn each_missed_answer_doubles_the_next_deadline_up_to_the_longest() {
    let config = Config { misses: 8, ..quiet() };
    let mut heartbeat = Heartbeat::new(START);
    let nonce = ping(&mut heartbeat, &config, at(16_000));
    heartbeat.pong(&config, at(16_040), Some(nonce));
    let mut waits = Vec::new();
    let mut sent = at(31_040);
    ping(&mut heartbeat, &config, sent);
    loop {
        let (due, _) = heartbeat.next(&config).expect("armed");
        waits.push((due - sent).as_millis());
        sent = due;
        match heartbeat.fire(&config, due) {
            Some(Beat::Missed { .. }) => {}
            other => {
                assert_eq!(other, Some(Beat::Dead));
                break;
            }
        }
    }
    assert_eq!(waits, [1_000, 2_000, 4_000, 8_000, 15_000, 15_000, 15_000, 15_000]);
}

#[test]
fn a_fixed_deadline_does_not_adapt() {
    let config = Config { adaptive: false, misses: 3, ..quiet() };
    let mut heartbeat = Heartbeat::new(START);
    let nonce = ping(&mut heartbeat, &config, at(16_000));
    heartbeat.pong(&config, at(16_040), Some(nonce));
    ping(&mut heartbeat, &config, at(31_040));
    assert_eq!(heartbeat.next(&config), Some((at(36_040), Due::Answer)));
    ping(&mut heartbeat, &config, at(36_040));
    assert_eq!(heartbeat.next(&config), Some((at(41_040), Due::Answer)));
}

#[test]
fn no_answer_is_due_before_the_minimum_however_short_the_interval() {
    let config = Config { interval: ms(200), timeout: ms(300), min_timeout: ms(500), ..quiet() };
    assert!(config.check().is_ok());
    let mut heartbeat = Heartbeat::new(START);
    let nonce = ping(&mut heartbeat, &config, at(1_200));
    heartbeat.pong(&config, at(1_210), Some(nonce));
    ping(&mut heartbeat, &config, at(1_410));
    assert_eq!(heartbeat.next(&config), Some((at(1_910), Due::Answer)));
}

#[test]
fn silence_proves_nothing_while_reading_is_paused() {
    let config = quiet();
    let mut heartbeat = Heartbeat::new(START);
    ping(&mut heartbeat, &config, at(16_000));
    heartbeat.pause();
    for round in 1..20 {
        ping(&mut heartbeat, &config, at(16_000 + round * 15_000));
        assert!(!heartbeat.is_suspect());
    }
    heartbeat.resume(at(310_000));
    assert_eq!(heartbeat.next(&config), Some((at(325_000), Due::Ping)), "silence counts from here");
    heartbeat.resume(at(320_000));
    assert_eq!(heartbeat.next(&config), Some((at(325_000), Due::Ping)), "reading already");

    let server = Config { mode: Mode::Server, ..quiet() };
    let mut heartbeat = Heartbeat::new(START);
    heartbeat.pause();
    assert_eq!(heartbeat.next(&server), None);
    assert_eq!(heartbeat.fire(&server, at(500_000)), None);
    heartbeat.resume(at(500_000));
    assert_eq!(heartbeat.next(&server), Some((at(516_000), Due::Silence)));
}

#[test]
fn an_urgent_probe_has_a_short_deadline_and_one_chance() {
    let config = quiet();
    let mut heartbeat = Heartbeat::new(START);
    assert!(heartbeat.probe(&config, at(5_000)).is_some());
    assert!(heartbeat.is_probing());
    assert_eq!(heartbeat.probe(&config, at(5_500)), None, "one is out");
    assert_eq!(heartbeat.next(&config), Some((at(7_000), Due::Answer)));
    assert_eq!(heartbeat.clone().fire(&config, at(7_000)), Some(Beat::Dead));
    heartbeat.received(&config, at(6_000));
    assert!(!heartbeat.is_probing());
    assert_eq!(heartbeat.next(&config), Some((at(21_000), Due::Ping)));
}

#[test]
fn the_modes_differ_in_who_pings() {
    let next = |mode| {
        let config = Config { mode, ..quiet() };
        (Heartbeat::new(START).next(&config), Heartbeat::new(START).probe(&config, START).is_some())
    };
    assert_eq!(next(Mode::Client), (Some((at(16_000), Due::Ping)), true));
    assert_eq!(next(Mode::Both), (Some((at(16_000), Due::Ping)), true));
    assert_eq!(next(Mode::Server), (Some((at(17_000), Due::Silence)), false));
    assert_eq!(next(Mode::Off), (None, false));
}

#[test]
fn the_first_ping_measures_the_path_at_once() {
    let config = Config::default();
    let mut heartbeat = Heartbeat::new(START);
    assert_eq!(heartbeat.next(&config), Some((START, Due::Ping)));
    ping(&mut heartbeat, &config, START);
    assert_eq!(heartbeat.next(&config), Some((at(6_000), Due::Answer)));
}

#[test]
fn intervals_are_stretched_while_hidden() {
    let client = quiet();
    let server = Config { mode: Mode::Server, ..quiet() };
    let mut heartbeat = Heartbeat::new(START);
    heartbeat.set_hidden(true);
    assert_eq!(heartbeat.next(&client), Some((at(61_000), Due::Ping)));
    assert_eq!(heartbeat.next(&server), Some((at(62_000), Due::Silence)));
    heartbeat.set_hidden(false);
    assert_eq!(heartbeat.next(&client), Some((at(16_000), Due::Ping)));
}

#[test]
fn a_late_call_fires_once_and_arms_from_then() {
    let config = quiet();
    let mut heartbeat = Heartbeat::new(START);
    ping(&mut heartbeat, &config, at(500_000));
    assert_eq!(heartbeat.fire(&config, at(500_000)), None);
    assert_eq!(heartbeat.next(&config), Some((at(505_000), Due::Answer)));
}

#[test]
fn time_that_does_not_count_puts_deadlines_off_and_is_no_sample() {
    let config = quiet();
    let mut heartbeat = Heartbeat::new(START);
    let nonce = ping(&mut heartbeat, &config, at(16_000));
    heartbeat.hold_until(at(100_000));
    assert_eq!(heartbeat.next(&config), Some((at(105_000), Due::Answer)));
    assert_eq!(heartbeat.pong(&config, at(100_010), Some(nonce)), None);
    assert_eq!(heartbeat.round_trip(), None);
    assert_eq!(heartbeat.next(&config), Some((at(115_010), Due::Ping)));
}

#[test]
fn a_link_that_is_never_quiet_is_measured_all_the_same() {
    let config = Config::default();
    let mut heartbeat = Heartbeat::new(START);
    let nonce = ping(&mut heartbeat, &config, START);
    heartbeat.pong(&config, at(40), Some(nonce));
    for second in 1..30 {
        heartbeat.received(&config, at(second * 1000));
        assert_eq!(heartbeat.fire(&config, at(second * 1000)), None);
    }
    assert_eq!(heartbeat.next(&config), Some((at(31_000), Due::Ping)));
    // Hidden, it need not be; degraded, it is looked at more often.
    heartbeat.set_watchful(true);
    assert_eq!(heartbeat.next(&config), Some((at(6_000), Due::Ping)));
    heartbeat.set_hidden(true);
    assert_eq!(heartbeat.next(&config), Some((at(29_000 + 60_000), Due::Ping)));
}

#[test]
fn behind_own_data_an_answer_has_more_time() {
    let config = Config::default();
    let mut heartbeat = Heartbeat::new(START);
    let nonce = ping(&mut heartbeat, &config, START);
    heartbeat.pong(&config, START + ms(40), Some(nonce));
    let due = START + ms(40) + config.interval;
    heartbeat.set_congested();
    ping(&mut heartbeat, &config, due);
    assert_eq!(heartbeat.next(&config), Some((due + ms(5_000), Due::Answer)));
    heartbeat.received(&config, due + ms(1));
    let next = due + ms(1) + config.interval;
    ping(&mut heartbeat, &config, next);
    assert_eq!(heartbeat.next(&config), Some((next + ms(1_000), Due::Answer)), "a free path again");
}

#[test]
fn a_sign_of_life_ends_the_urgency_of_a_probe() {
    let config = Config::default();
    let mut heartbeat = Heartbeat::new(START);
    heartbeat.probe(&config, START).unwrap();
    heartbeat.received(&config, START + Duration::from_millis(20));
    assert!(!heartbeat.is_probing());
    // The path dies; a send makes the silence suspicious, and the first missed answer is a suspicion, not a verdict.
    heartbeat.sent(START + Duration::from_millis(100));
    let mut verdicts = Vec::new();
    for _ in 0..3 {
        let (at, _) = heartbeat.next(&config).unwrap();
        verdicts.extend(heartbeat.fire(&config, at));
    }
    assert!(matches!(verdicts[..], [Beat::Missed { .. }, Beat::Missed { .. }]), "{verdicts:?}");
}
