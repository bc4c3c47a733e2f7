//! A server that pings: its one-byte ping is answered, and its silence is watched with a margin.

use crate::harness::{Script, ms, s};
use everlink::heartbeat::Mode;
use everlink::link::{Config, Event, Input, Status};
use everlink::outbox::Kind;
use everlink::wire::raw::Style;
use everlink::wire::{Opcode, Wire, raw};

/// As many tutorials have it: a ping every 10 s, the byte 0x01, answered by the byte 0x01.
fn one_byte(config: &mut Config) {
    config.heartbeat.mode = Mode::Server;
    config.heartbeat.interval = s(10);
    config.wire = Wire::Raw(raw::Config { heartbeat: Style::Bytes, ..raw::Config::default() });
}

#[test]
fn the_one_byte_ping_is_answered_by_one_byte_and_not_delivered() {
    let mut script = Script::connected(one_byte);
    for ping in [&[1][..], b"1"] {
        for kind in [Kind::Binary, Kind::Text] {
            script.event(1, Event::Frame { kind, data: ping });
        }
    }
    script.sees("pong ping", "1000 pong 1\n 1000 pong 1\n 1000 pong 1\n 1000 pong 1");
    assert_eq!(script.beats, vec![(Opcode::Binary, vec![1]); 4]);
    assert_eq!(script.delivered, Vec::<Vec<u8>>::new());
    script.text(1, "11");
    assert_eq!(script.delivered, [b"11"]);
}

#[test]
fn the_watchdog_waits_for_the_interval_and_a_second() {
    let mut script = Script::connected(one_byte);
    script.event(1, Event::Frame { kind: Kind::Binary, data: &[1] });
    script.until(13_000);
    script.sees(
        "abandon close retry open ping",
        "12000 abandon 1
         12000 retry 1 at 13000: no sign of life
         13000 open 2 attempt 1",
    );
}

#[test]
fn pings_within_the_margin_keep_the_link() {
    let mut script = Script::connected(one_byte);
    for ping in 1..20 {
        script.until(ping * 10_900);
        script.event(1, Event::Frame { kind: Kind::Binary, data: &[1] });
    }
    script.sees("abandon close ping status", "");
}

#[test]
fn traffic_counts_unless_only_pings_are_to() {
    for (any_inbound, lives) in [(true, true), (false, false)] {
        let mut script = Script::connected(|config| {
            one_byte(config);
            config.heartbeat.any_inbound = any_inbound;
        });
        for second in 2..14 {
            script.until(second * 1_000);
            script.text(1, "news");
        }
        assert_eq!(script.opens().len() == 1, lives);
    }
}

// pain 1
#[test]
fn clicking_on_the_page_does_not_keep_a_dead_server_alive() {
    let mut script = Script::connected(one_byte);
    for click in 1..12 {
        script.until(1_000 + click * 1_000);
        script.input(Input::Visible);
    }
    assert_ne!(script.status(), Status::Connected);
}

#[test]
fn a_websocket_ping_is_a_sign_of_life_and_is_answered_below() {
    let mut script = Script::connected(|config| config.heartbeat.mode = Mode::Server);
    for ping in 1..10 {
        script.until(ping * 15_000);
        script.event(1, Event::Ping);
    }
    script.sees("pong ping abandon close", "");
}

#[test]
fn a_flood_of_pings_is_answered_once_for_each_drain() {
    let mut script = Script::connected(one_byte);
    for _ in 0..1_000 {
        let ping = Event::Frame { kind: Kind::Binary, data: &[1] };
        script.link.handle(script.now, Input::Socket(crate::harness::epoch(1), ping));
    }
    script.drain();
    script.sees("pong", "1000 pong 1");
}

#[test]
fn silence_proves_nothing_while_the_application_does_not_read() {
    let mut script = Script::connected(one_byte);
    script.event(1, Event::Paused);
    script.until(100_000);
    script.event(1, Event::Resumed);
    script.until(110_900);
    script.sees("abandon close", "");
    script.until(111_000);
    script.sees("abandon", "111000 abandon 1");
    assert_eq!(script.report().uptime_total, ms(110_900));
}
