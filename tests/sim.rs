//! A link in the simulated world: what the world does, and the laws of a link in it.
#![cfg(feature = "sim")]

use core::time::Duration;
use std::collections::BTreeMap;

use everlink::link::{Action, Cause, Config, Input, Status};
use everlink::outbox::{Message, MessageId, Outcome};
use everlink::sim::{Change, Entry, Happening, Recorder, Sim};
use everlink::time::Instant;
use everlink::wire::{Wire, native};
use proptest::prelude::*;

const fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

fn world(seed: u64) -> Sim<Recorder> {
    Sim::new(Config::default(), seed, Recorder::default()).unwrap()
}

fn text(text: &str) -> Message<Vec<u8>> {
    Message::text(text.into())
}

/// The actions of the log after an instant, with their times.
fn actions(sim: &Sim<Recorder>, after: Instant) -> impl Iterator<Item = (Instant, Action)> {
    let entries = sim.log().iter().filter(move |entry| entry.at >= after);
    entries.filter_map(|entry| match entry.what {
        Happening::Action(action) => Some((entry.at, action)),
        _ => None,
    })
}

fn abandoned(sim: &Sim<Recorder>) -> bool {
    actions(sim, Instant::ORIGIN).any(|(_, action)| matches!(action, Action::Abandon { .. }))
}

#[test]
fn opening_takes_two_round_trips() {
    let mut sim = world(1);
    sim.run_until(at(99));
    assert_eq!(sim.link().status(), Status::Connecting);
    sim.run_until(at(100));
    assert_eq!(sim.link().status(), Status::Connected);
}

#[test]
fn a_message_takes_half_a_round_trip_and_its_echo_a_whole_one() {
    let mut sim = Sim::new(Config::default(), 1, Recorder { echo: true, ..Recorder::default() }).unwrap();
    sim.run_until(at(1000));
    sim.send(text("hello")).unwrap();
    sim.run_until(at(2000));
    assert_eq!(sim.server().received[0].at, at(1025));
    let echo = sim.log().iter().find(|entry| entry.what == Happening::Delivered(b"hello".to_vec()));
    assert_eq!(echo.unwrap().at, at(1050));
}

#[test]
fn one_seed_makes_one_run() {
    let run = |seed| {
        let mut sim = world(seed);
        sim.path().jitter = Duration::from_millis(30);
        sim.schedule(at(20_000), Change::PathDown);
        sim.schedule(at(45_000), Change::PathUp);
        for second in 0..90 {
            sim.run_until(at(second * 1000));
            sim.send(text("stroke")).unwrap();
        }
        sim.log().to_vec()
    };
    assert_eq!(run(3), run(3));
    assert_ne!(run(3), run(4));
}

#[test]
fn what_is_lost_on_a_path_that_is_down_is_sent_again_ever_more_rarely() {
    let mut sim = world(1);
    sim.run_until(at(10_000));
    sim.schedule(at(10_000), Change::PathDown);
    sim.schedule(at(10_001), Change::Send(text("lost at first")));
    sim.schedule(at(10_500), Change::PathUp);
    sim.run_until(at(12_000));
    // Retransmissions at 200 ms (lost) and 600 ms.
    assert_eq!(sim.server().received[0].at, at(10_001 + 600 + 25));
}

#[test]
fn an_abandoned_socket_s_bytes_arrive_after_those_of_the_next() {
    let mut sim = world(1);
    sim.run_until(at(20_000));
    sim.schedule(at(20_000), Change::PathDown);
    sim.schedule(at(20_001), Change::Send(text("into the old socket")));
    sim.schedule(at(33_000), Change::PathUp);
    sim.schedule(at(34_000), Change::Send(text("into the new one")));
    sim.run_until(at(120_000));
    let received: Vec<_> = sim.server().received.iter().map(|r| (r.connection, r.data.as_slice())).collect();
    assert_eq!(received[0].1, b"into the new one");
    assert_eq!(received[1], (1, b"into the old socket".as_slice()));
}

#[test]
fn a_server_that_is_down_refuses_and_one_that_restarted_resets_what_it_does_not_know() {
    let mut sim = world(1);
    sim.run_until(at(20_000));
    sim.schedule(at(20_000), Change::PathDown);
    sim.schedule(at(20_010), Change::ServerDown);
    sim.schedule(at(20_500), Change::ServerUp);
    sim.schedule(at(20_600), Change::PathUp);
    sim.schedule(at(20_700), Change::Send(text("to nobody who knows us")));
    sim.run_until(at(21_000));
    let cause = actions(&sim, at(20_000)).find_map(|(_, action)| match action {
        Action::RetryScheduled { cause, .. } => Some(cause),
        _ => None,
    });
    assert_eq!(cause, Some(Cause::Closed(1006)));
    sim.run_until(at(30_000));
    assert_eq!(sim.link().status(), Status::Connected);
}

#[test]
fn a_suspended_process_reads_first_and_keeps_its_healthy_socket() {
    let mut sim = world(1);
    sim.schedule(at(14_000), Change::Suspend(Duration::from_secs(600)));
    sim.run_until(at(700_000));
    assert!(!abandoned(&sim));
    assert_eq!(sim.link().status(), Status::Connected);
    assert_eq!(sim.link().report(sim.now()).counts.suspensions, 1);
}

#[test]
fn a_process_that_slept_while_its_address_changed_is_back_soon_after() {
    let mut sim = world(1);
    sim.schedule(at(14_000), Change::Suspend(Duration::from_secs(600)));
    sim.schedule(at(100_000), Change::NewAddress);
    // The probe's deadline of 2 s, a short wait, two round trips.
    sim.run_until(at(614_000 + 2_000 + 250 + 100));
    assert_eq!(sim.link().status(), Status::Connected);
    assert_eq!(sim.server().opened, 2);
}

#[test]
fn throttled_timers_kill_no_healthy_socket() {
    let mut sim = world(1);
    sim.schedule(at(5_000), Change::Tell(Input::Hidden));
    sim.schedule(at(5_000), Change::Throttle(Some(Duration::from_secs(60))));
    sim.run_until(at(3_600_000));
    assert!(!abandoned(&sim));
}

#[test]
fn throttled_timers_hide_no_dead_socket() {
    let mut sim = world(1);
    sim.schedule(at(5_000), Change::Tell(Input::Hidden));
    sim.schedule(at(5_000), Change::Throttle(Some(Duration::from_secs(60))));
    sim.schedule(at(600_000), Change::NewAddress);
    sim.run_until(at(900_000));
    assert!(abandoned(&sim), "five minutes later, nobody has noticed");
}

#[test]
fn a_path_slower_than_the_pings_is_measured_all_the_same() {
    for round_trip in [800, 1_200, 1_600, 3_000] {
        let mut config = Config::default();
        config.heartbeat.early = Some(Duration::from_millis(400));
        let mut sim = Sim::new(config, 1, Recorder { echo: true, ..Recorder::default() }).unwrap();
        sim.path().latency = Duration::from_millis(round_trip / 2);
        for tenth in 0..600 {
            sim.run_until(at(tenth * 100));
            sim.send(text("stroke")).unwrap();
        }
        let counts = sim.link().report(sim.now()).counts;
        assert!(counts.pongs_received.get() >= 8, "{round_trip} ms: {counts:?}");
        assert!(!abandoned(&sim), "{round_trip} ms");
    }
}

#[test]
fn a_refused_configuration_is_the_link_s_own_error() {
    let config = Config { open_timeout: Duration::ZERO, ..Config::default() };
    assert_eq!(Sim::new(config, 1, Recorder::default()).unwrap_err().field, "open_timeout");
}

/// Some trouble, with the change that ends it.
#[test]
fn a_killed_process_begins_anew_with_what_it_has_on_its_disk() {
    for durable in [false, true] {
        let mut config = Config { wire: Wire::Native(native::Limits::default()), ..Config::default() };
        config.delivery.durable = durable;
        let mut sim = Sim::new(config, 1, Recorder::default()).unwrap();
        sim.path().up = false;
        sim.schedule(at(1_000), Change::Send(text("kept")));
        sim.schedule(at(2_000), Change::Kill(Duration::from_secs(5)));
        sim.run_until(at(1_999));
        let stored = sim.log().iter().filter(|entry| matches!(entry.what, Happening::Stored(_)));
        assert_eq!(stored.map(|entry| entry.at).next_back(), durable.then_some(at(1_000)));
        sim.run_until(at(6_999));
        assert!(sim.is_suspended());
        assert!(sim.log().iter().any(|entry| *entry == Entry { at: at(2_000), what: Happening::Killed }));
        sim.run_until(at(7_000));
        assert!(!sim.is_suspended());
        assert_eq!(sim.link().status(), Status::Connecting, "its user starts it again");
        let queue = sim.link().report(at(7_000)).queue.messages;
        assert_eq!((queue, sim.link().last_message()), if durable { (1, 1) } else { (0, 0) });
    }
}

#[test]
fn a_disk_takes_its_time_and_may_fail() {
    let mut config = Config { wire: Wire::Native(native::Limits::default()), ..Config::default() };
    config.delivery.durable = true;
    let mut sim = Sim::new(config, 1, Recorder::default()).unwrap();
    let stored = |sim: &Sim<Recorder>| {
        let stored = sim.log().iter().filter(|entry| matches!(entry.what, Happening::Stored(_)));
        stored.map(|entry| entry.at).next_back()
    };
    sim.path().up = false;
    sim.run_until(at(100));
    sim.clear_log();
    sim.schedule(at(1_000), Change::Disk(Some(Duration::from_millis(30))));
    sim.schedule(at(1_000), Change::Send(text("slow")));
    sim.run_until(at(1_029));
    assert_eq!(stored(&sim), None);
    sim.run_until(at(1_030));
    assert_eq!(stored(&sim), Some(at(1_030)));
    sim.schedule(at(2_000), Change::Disk(None));
    sim.schedule(at(2_000), Change::Send(text("not stored")));
    sim.run_until(at(2_500));
    assert_eq!(stored(&sim), Some(at(1_030)));
    sim.schedule(at(2_500), Change::Disk(Some(Duration::ZERO)));
    sim.run_until(at(10_000));
    assert!(stored(&sim) > Some(at(2_500)), "it was tried again");
}

#[test]
fn sockets_of_a_killed_process_are_closed_by_its_system() {
    let mut sim = world(1);
    sim.run_until(at(1_000));
    sim.schedule(at(1_000), Change::Kill(Duration::from_secs(1)));
    sim.run_until(at(3_000));
    assert_eq!((sim.server().opened, sim.link().status()), (2, Status::Connected));
    let closed = actions(&sim, at(1_000)).any(|(_, action)| matches!(action, Action::Close { .. }));
    assert!(!closed && !abandoned(&sim), "the new process knows nothing of it");
}

#[test]
fn a_message_is_taken_back_once_and_noted() {
    let mut sim = world(1);
    let id = sim.send(text("never mind")).unwrap();
    assert_eq!(sim.cancel(id), Some(b"never mind".to_vec()));
    assert_eq!(sim.cancel(id), None);
    let noted = sim.log().iter().filter(|entry| entry.what == Happening::Cancelled(id));
    assert_eq!(noted.count(), 1);
    sim.clear_log();
    assert!(sim.log().is_empty());
}

#[test]
fn a_server_may_drop_a_connection_without_a_word() {
    let mut sim = world(1);
    sim.run_until(at(1_000));
    sim.with_server(|_, _, out| out.abandon(1));
    sim.run_until(at(1_025));
    assert_ne!(sim.link().status(), Status::Connected);
    sim.run_until(at(10_000));
    assert_eq!((sim.server().opened, sim.link().status()), (2, Status::Connected));
}

fn trouble() -> impl Strategy<Value = (Change, Option<Change>)> {
    prop_oneof![
        Just((Change::PathDown, Some(Change::PathUp))),
        Just((Change::ServerDown, Some(Change::ServerUp))),
        Just((Change::Cut, None)),
        Just((Change::NewAddress, None)),
        Just((Change::Tell(Input::Offline), Some(Change::Tell(Input::Online)))),
        Just((Change::Tell(Input::Hidden), Some(Change::Tell(Input::Visible)))),
        Just((Change::Throttle(Some(Duration::from_secs(1))), Some(Change::Throttle(None)))),
        (1..120_000_u64).prop_map(|ms| (Change::Suspend(Duration::from_millis(ms)), None)),
        (0..2_000_u64).prop_map(|ms| {
            let slow = Change::RoundTrip(Duration::from_millis(ms));
            (slow, Some(Change::RoundTrip(Duration::from_millis(50))))
        }),
    ]
}

fn all_of(outcomes: &BTreeMap<MessageId, Vec<Outcome>>, id: MessageId) -> &[Outcome] {
    outcomes.get(&id).map_or(&[], Vec::as_slice)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever went wrong: when it is over, the link is connected again, and messages flow, within a bound; and the ledger
    /// adds up.
    #[test]
    fn a_healed_link_is_connected_again_and_its_ledger_adds_up(
        seed: u64,
        troubles in prop::collection::vec((0..300_000_u64, 1..60_000_u64, trouble()), 0..12),
    ) {
        let mut config = Config::default();
        config.backoff.attempts = None;
        let mut sim = Sim::new(config, seed, Recorder::default()).unwrap();
        for (from, length, (begin, end)) in troubles {
            sim.schedule(at(from), begin);
            if let Some(end) = end {
                sim.schedule(at(from + length), end);
            }
        }
        let mut accepted = BTreeMap::new();
        for tenth in 0..3_600_u64 {
            sim.run_until(at(tenth * 100));
            if tenth % 7 == 0 {
                let payload = tenth.to_string();
                if let Ok(id) = sim.send(text(&payload)) {
                    accepted.insert(id, payload.into_bytes());
                }
            }
        }
        // The longest wait between attempts, opening included, or the time in which a dead socket is given up.
        let healed = at(360_000);
        for change in [Change::PathUp, Change::ServerUp, Change::Throttle(None), Change::RoundTrip(Duration::from_millis(50)),
                       Change::Tell(Input::Online), Change::Tell(Input::Visible)] {
            sim.schedule(healed, change);
        }
        // A process may still sleep for two minutes, and a packet wait as long for its turn.
        let bound = Duration::from_secs(120 + 30 + 10);
        sim.run_until(healed + bound);
        prop_assert_eq!(sim.link().status(), Status::Connected);
        let last = sim.send(text("the last")).unwrap();
        sim.run_until(healed + bound + Duration::from_secs(1));
        prop_assert!(sim.server().received.iter().any(|r| r.data == b"the last"));

        // Every message ended once, or has not ended; and what was never sent was never received.
        let mut outcomes: BTreeMap<MessageId, Vec<Outcome>> = BTreeMap::new();
        for (_, action) in actions(&sim, Instant::ORIGIN) {
            if let Action::Settled(settlement) = action {
                outcomes.entry(settlement.id).or_default().push(settlement.outcome);
            }
        }
        prop_assert_eq!(all_of(&outcomes, last), [Outcome::Written]);
        for (id, payload) in accepted {
            let ends = all_of(&outcomes, id);
            prop_assert_eq!(ends.len(), 1, "{} {:?}", id, ends);
            if ends[0].never_sent() {
                prop_assert!(sim.server().received.iter().all(|r| r.data != payload), "{} {:?}", id, ends);
            }
        }
    }
}
