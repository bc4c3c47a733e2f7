//! What the simulated path, the server and the process do, to the millisecond: other tests rest on it.
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may be blunt")]

use core::time::Duration;

use everlink::link::{Action, Cause, Config, Failure, Input, Status};
use everlink::outbox::{Kind, Message, Outcome};
use everlink::sim::{Change, ConnectionId, Happening, Out, Server, Sim};
use everlink::time::Instant;

const fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn text(text: &str) -> Message<Vec<u8>> {
    Message::text(text.into())
}

/// A server that writes down what happens to it, and says something at a time of its own.
#[derive(Debug, Default)]
struct Diary {
    lines: Vec<String>,
    speaks_at: Option<Instant>,
}

impl Diary {
    fn note(&mut self, now: Instant, line: &str) {
        self.lines.push(format!("{} {line}", now.micros() / 1000));
    }
}

impl Server for Diary {
    fn opened(&mut self, now: Instant, connection: ConnectionId, _: &mut Out) {
        self.note(now, &format!("opened {connection}"));
    }

    fn message(&mut self, now: Instant, connection: ConnectionId, _: Kind, data: &[u8], _: &mut Out) {
        let data = String::from_utf8_lossy(data);
        self.note(now, &format!("{connection}: {}", data.trim_end_matches('.')));
    }

    fn closed(&mut self, now: Instant, connection: ConnectionId, code: Option<u16>) {
        self.note(now, &format!("closed {connection} {code:?}"));
    }

    fn deadline(&self) -> Option<Instant> {
        self.speaks_at
    }

    fn tick(&mut self, now: Instant, out: &mut Out) {
        self.speaks_at = None;
        self.note(now, "speaks");
        out.message(1, Kind::Text, b"good morning".to_vec());
    }

    fn restarted(&mut self, now: Instant) {
        self.note(now, "restarted");
    }
}

fn world(changes: impl IntoIterator<Item = (u64, Change)>) -> Sim<Diary> {
    let mut config = Config::default();
    config.backoff.jitter = everlink::backoff::Jitter::None;
    let mut sim = Sim::new(config, 1, Diary::default()).unwrap();
    for (when, change) in changes {
        sim.schedule(at(when), change);
    }
    sim
}

/// What the server has written down until this millisecond, without the opening of the first connection.
fn diary(sim: &mut Sim<Diary>, until: u64) -> Vec<&str> {
    sim.run_until(at(until));
    sim.server().lines.iter().map(String::as_str).filter(|line| *line != "100 opened 1").collect()
}

/// When the link was told or did something of this kind.
fn when(sim: &Sim<Diary>, what: impl Fn(&Happening) -> bool) -> Vec<u64> {
    sim.log().iter().filter(|entry| what(&entry.what)).map(|entry| entry.at.micros() / 1000).collect()
}

fn retries(sim: &Sim<Diary>) -> Vec<(u64, Cause)> {
    let retries = sim.log().iter().filter_map(|entry| match entry.what {
        Happening::Action(Action::RetryScheduled { cause, .. }) => Some((entry.at.micros() / 1000, cause)),
        _ => None,
    });
    retries.collect()
}

fn opens(sim: &Sim<Diary>) -> Vec<u64> {
    when(sim, |what| matches!(what, Happening::Action(Action::Open { .. })))
}

#[test]
fn jitter_delays_each_packet_by_itself_and_keeps_their_order() {
    let mut sim = world([]);
    sim.run_until(at(1_000));
    sim.path().jitter = ms(30);
    for millis in 1_000..1_100 {
        sim.run_until(at(millis));
        sim.send(text(&millis.to_string())).unwrap();
    }
    let seen = diary(&mut sim, 2_000);
    let parts = seen.iter().map(|line| line.split_once(" 1: ").unwrap());
    let took: Vec<(u64, u64)> =
        parts.map(|(arrived, sent)| (sent.parse().unwrap(), arrived.parse().unwrap())).collect();
    assert_eq!(took.iter().map(|(sent, _)| *sent).collect::<Vec<_>>(), (1_000..1_100).collect::<Vec<_>>());
    assert!(took.is_sorted_by_key(|(_, arrived)| *arrived));
    assert!(took.iter().all(|(sent, arrived)| (sent + 25..=sent + 55).contains(arrived)), "{took:?}");
    assert!(took.iter().any(|(sent, arrived)| *arrived > sent + 45), "some take long: {took:?}");
    assert!(took.iter().any(|(sent, arrived)| *arrived < sent + 45), "and some do not: {took:?}");
}

#[test]
fn what_was_lost_is_sent_again_after_twice_the_time_each_and_two_minutes_at_most() {
    let tries = [200, 600, 1_400, 3_000, 6_200, 12_600, 25_400, 51_000, 102_200, 204_600, 324_600, 444_600];
    for pair in tries.windows(2) {
        let changes = [
            (9_999, Change::PathDown),
            (10_000, Change::Send(text("lost"))),
            (10_000 + pair[0] + 1, Change::PathUp),
        ];
        let mut sim = world(changes);
        let line = format!("{} 1: lost", 10_000 + pair[1] + 25);
        assert!(diary(&mut sim, 500_000).contains(&line.as_str()), "{pair:?}: {:?}", sim.server().lines);
    }
}

#[test]
fn what_is_on_its_way_when_the_path_breaks_is_lost_and_what_has_arrived_is_not() {
    for (breaks_at, arrives_at) in [(10_010, 10_010 + 200 + 25), (10_025, 10_025), (10_030, 10_025)] {
        let send = |when, what| (when, Change::Send(text(what)));
        let mut sim = world([
            send(10_000, "first"),
            (breaks_at, Change::PathDown),
            (10_100, Change::PathUp),
            send(10_101, "second"),
        ]);
        // The second does not overtake the first.
        let second = if arrives_at > 10_030 { arrives_at } else { 10_126 };
        let wanted = [format!("{arrives_at} 1: first"), format!("{second} 1: second")];
        assert_eq!(diary(&mut sim, 12_000), wanted, "breaks at {breaks_at}");
    }
}

#[test]
fn a_first_packet_that_is_lost_is_repeated_after_one_second_and_then_two() {
    for (back, opened) in [(500, 1_100), (2_500, 3_100), (3_500, 7_100)] {
        let mut sim = world([(back, Change::PathUp)]);
        sim.path().up = false;
        sim.run_until(at(opened - 1));
        assert_eq!(sim.link().status(), Status::Connecting, "back at {back}");
        sim.run_until(at(opened));
        assert_eq!(sim.link().status(), Status::Connected, "back at {back}");
    }
    // One that breaks in the middle of the opening.
    let mut sim = world([(60, Change::PathDown), (500, Change::PathUp)]);
    sim.run_until(at(1_199));
    assert_eq!(sim.link().status(), Status::Connecting);
    sim.run_until(at(1_200));
    assert_eq!(sim.link().status(), Status::Connected);
}

#[test]
fn a_server_that_is_down_refuses_after_one_round_trip_whatever_opening_would_take() {
    let mut sim = world([(0, Change::ServerDown)]);
    sim.run_until(at(60));
    assert_eq!(retries(&sim), [(50, Cause::Failure(Failure::Connect))]);
    // One that goes down in the middle of the opening.
    let mut sim = world([(60, Change::ServerDown)]);
    sim.run_until(at(110));
    assert_eq!(retries(&sim), [(100, Cause::Failure(Failure::Connect))]);
    let mut sim = world([]);
    sim.path().opening = 5;
    sim.run_until(at(249));
    assert_eq!(sim.link().status(), Status::Connecting);
    sim.run_until(at(250));
    assert_eq!(sim.link().status(), Status::Connected);
}

#[test]
fn a_server_that_goes_down_resets_what_is_open_and_says_nothing_more() {
    let mut sim = world([(1_000, Change::ServerDown), (1_010, Change::Send(text("too late")))]);
    sim.run_until(at(1_000));
    sim.with_server(|server, _, _| server.speaks_at = Some(at(1_500)));
    assert_eq!(diary(&mut sim, 1_900), [""; 0]);
    assert_eq!(retries(&sim)[0], (1_025, Cause::Closed(1006)));
    sim.schedule(at(2_000), Change::ServerUp);
    assert_eq!(diary(&mut sim, 2_010), ["2000 restarted", "2000 speaks"]);
}

#[test]
fn a_server_speaks_at_its_own_time() {
    let mut sim = world([]);
    sim.run_until(at(1_000));
    sim.with_server(|server, _, _| server.speaks_at = Some(at(1_500)));
    assert_eq!(diary(&mut sim, 3_000), ["1500 speaks"]);
    assert_eq!(when(&sim, |what| matches!(what, Happening::Delivered(_))), [1_525]);
}

#[test]
fn each_end_learns_how_the_other_one_closes() {
    let mut sim = world([(1_000, Change::Tell(Input::Stop { linger: Duration::ZERO }))]);
    assert_eq!(diary(&mut sim, 2_000), ["1025 closed 1 Some(1000)"]);

    let mut sim = world([]);
    sim.run_until(at(1_000));
    sim.with_server(|_, _, out| out.close(1, 4_321));
    sim.run_until(at(1_500));
    assert_eq!(retries(&sim), [(1_025, Cause::Closed(4_321))]);

    // The link abandons a socket on which nothing comes any more.
    let mut sim = world([(1_000, Change::NewAddress), (1_000, Change::Tell(Input::Online))]);
    sim.run_until(at(20_000));
    assert_eq!(when(&sim, |what| matches!(what, Happening::Action(Action::Abandon { .. }))), [3_000]);
    assert_eq!(sim.link().status(), Status::Connected);
    assert!(!sim.server().lines.iter().any(|line| line.contains("closed")), "nothing of it gets through");
}

#[test]
fn a_cut_ends_a_connection_for_both_and_takes_what_is_on_its_way() {
    let mut sim = world([(1_000, Change::Send(text("on its way"))), (1_010, Change::Cut)]);
    assert_eq!(diary(&mut sim, 1_900), ["1035 closed 1 None"]);
    assert_eq!(retries(&sim), [(1_035, Cause::Closed(1006))]);
}

#[test]
fn a_process_that_is_suspended_does_and_hears_nothing_until_it_wakes() {
    let mut sim = world([
        (1_000, Change::Suspend(ms(3_000))),
        (1_500, Change::Suspend(ms(1_000))), // shorter than the one that goes on
        (2_000, Change::Send(text("typed in its sleep"))),
        (2_000, Change::Tell(Input::Hidden)),
    ]);
    sim.run_until(at(1_200));
    sim.with_server(|server, _, _| server.speaks_at = Some(at(1_300)));
    sim.run_until(at(3_999));
    assert!(sim.is_suspended());
    assert_eq!(when(&sim, |what| matches!(what, Happening::Delivered(_) | Happening::Accepted(_))), [0; 0]);
    assert_eq!(diary(&mut sim, 4_500), ["1300 speaks", "4025 1: typed in its sleep"]);
    assert!(!sim.is_suspended());
    assert_eq!(when(&sim, |what| matches!(what, Happening::Delivered(_))), [4_000]);
}

#[test]
fn a_throttled_timer_fires_at_the_next_multiple() {
    for (throttle, opens_at) in [(ms(700), 2_100), (ms(2_050), 2_050), (ms(0), 2_035), (ms(3_000), 3_000)] {
        let mut sim = world([(500, Change::Throttle(Some(throttle))), (1_010, Change::Cut)]);
        sim.run_until(at(4_000));
        // The retry is due a second after the socket's end at 1 035.
        assert_eq!(opens(&sim), [0, opens_at], "{throttle:?}");
    }
    let changes =
        [(500, Change::Throttle(Some(ms(3_000)))), (1_010, Change::Cut), (1_500, Change::Throttle(None))];
    let mut sim = world(changes);
    sim.run_until(at(4_000));
    assert_eq!(opens(&sim), [0, 2_035]);
}

#[test]
fn a_socket_takes_as_much_as_its_buffer_holds_and_says_when_there_is_room() {
    let mut sim = world([]);
    sim.run_until(at(1_000));
    sim.path().send_buffer = 1_000;
    for name in ["a", "b", "c", "d"] {
        sim.send(text(&format!("{name:.<600}"))).unwrap();
    }
    assert_eq!(diary(&mut sim, 2_000), ["1025 1: a", "1025 1: b", "1050 1: c", "1050 1: d"]);
    let written = |what: &Happening| matches!(what, Happening::Action(Action::Settled(end)) if end.outcome == Outcome::Written);
    // The buffer takes all of the first, and the rest of the second when the first has arrived.
    assert_eq!(when(&sim, written), [1_000, 1_025, 1_025, 1_050]);
}

#[test]
fn a_round_trip_may_change() {
    let mut sim = world([
        (1_000, Change::RoundTrip(ms(300))),
        (1_000, Change::Send(text("slow"))),
        (2_000, Change::RoundTrip(ms(10))),
        (2_000, Change::Send(text("fast"))),
    ]);
    assert_eq!(diary(&mut sim, 3_000), ["1150 1: slow", "2005 1: fast"]);
}

#[test]
fn changes_of_one_instant_come_in_the_order_in_which_they_were_scheduled() {
    let mut sim = world([
        (1_001, Change::Send(text("third"))),
        (1_000, Change::Send(text("first"))),
        (1_000, Change::Send(text("second"))),
    ]);
    assert_eq!(diary(&mut sim, 2_000), ["1025 1: first", "1025 1: second", "1026 1: third"]);
    sim.with_link(|link, now| link.send(now, text("by hand"), |_, _| ()).unwrap());
    assert_eq!(diary(&mut sim, 3_000).last().unwrap(), &"2025 1: by hand");
}

#[test]
fn what_is_said_on_the_next_socket_does_not_go_into_one_that_still_closes() {
    let mut sim = world([
        (1_000, Change::NewAddress),
        (1_000, Change::Tell(Input::Stop { linger: Duration::ZERO })),
        (1_001, Change::Tell(Input::Start)),
        (1_500, Change::Send(text("on the second"))),
    ]);
    assert_eq!(diary(&mut sim, 2_000), ["1101 opened 2", "1525 2: on the second"]);
    let pings =
        |what: &Happening| matches!(what, Happening::Action(Action::Ping { epoch, .. }) if epoch.get() == 2);
    assert_eq!(when(&sim, pings), [1_101]);
    assert_eq!(sim.link().report(sim.now()).counts.pongs_received.get(), 2, "one on each");
}

#[test]
fn sockets_of_a_killed_process_are_no_business_of_the_next_one() {
    let mut sim = world([(1_000, Change::Send(text("last words"))), (1_000, Change::Kill(ms(1_000)))]);
    sim.run_until(at(1_010));
    // The server does not know yet, and its answer comes when a new process has sockets of the same numbers.
    sim.with_server(|_, _, out| out.close(1, 4_000));
    let seen = diary(&mut sim, 3_000);
    assert_eq!(seen, ["1025 1: last words", "1025 closed 1 None", "2100 opened 2"]);
    assert_eq!(retries(&sim), []);
    assert_eq!(sim.link().status(), Status::Connected);
}
