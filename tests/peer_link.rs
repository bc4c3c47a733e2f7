//! A link and a server's sessions against each other, over a network that fails as networks do: what the one says is what the
//! other hears, exactly once.
#![cfg(feature = "sim")]

use core::time::Duration;
use std::collections::BTreeMap;

use crate::law::proptest_config;
use crate::sessions::at;
use everlink::link::{self, Action, Cause, Status};
use everlink::outbox::{Kind, Message, MessageId, Outcome, Policy};
use everlink::peer::Slow;
use everlink::sim::{Change, ConnectionId, Happening, Out, Server, Sim};
use everlink::time::Instant;
use everlink::wire::Wire;
use everlink::wire::native::{Limits, code};
use proptest::prelude::*;

const MS: fn(u64) -> Duration = Duration::from_millis;

/// A server with sessions in the simulated world, whose application says a number to its client again and again.
struct Host {
    server: crate::sessions::Server,
    make: fn(&mut everlink::peer::Config),
    numbers: BTreeMap<ConnectionId, u32>,
    /// When it says the next one, and how often.
    says: Option<Instant>,
    every: Duration,
    until: Instant,
    said: u32,
    accepted: BTreeMap<MessageId, u32>,
    refused: u32,
    /// When it restarts as planned.
    parts: Option<Instant>,
    next: Option<Instant>,
}

impl Host {
    fn new(make: fn(&mut everlink::peer::Config)) -> Host {
        Host {
            server: crate::sessions::Server::new(make),
            make,
            numbers: BTreeMap::new(),
            says: None,
            every: MS(50),
            until: Instant::ORIGIN,
            said: 0,
            accepted: BTreeMap::new(),
            refused: 0,
            parts: None,
            next: None,
        }
    }

    fn speaking(mut self, from: Instant, until: Instant) -> Host {
        (self.says, self.until) = (Some(from), until);
        self
    }

    fn settle(&mut self, out: &mut Out) {
        self.server.drain();
        for (id, number) in &self.numbers {
            for frame in self.server.fetch(*number) {
                out.message(*id, Kind::Binary, frame);
            }
        }
        for (number, code) in core::mem::take(&mut self.server.parted) {
            if let Some((id, _)) = self.numbers.iter().find(|(_, known)| **known == number)
                && let Some(code) = code
            {
                out.close(*id, code);
            }
        }
        self.next = [self.server.deadline(), self.says, self.parts].into_iter().flatten().min();
    }

    fn say(&mut self) {
        if !self.server.knows("") {
            return;
        }
        let id = self.server.id("");
        let Some(mut peer) = self.server.sessions.peer(id) else { return };
        let message = Message::text(format!("s{}", self.said).into_bytes());
        match peer.send(self.server.now, message, |_, _| ()) {
            Ok(id) => drop(self.accepted.insert(id, self.said)),
            Err(_) => self.refused += 1,
        }
        self.said += 1;
    }

    fn heard(&self) -> Vec<&str> {
        self.server.delivered.iter().map(|(_, data)| str::from_utf8(data).unwrap()).collect()
    }
}

impl Server for Host {
    fn opened(&mut self, now: Instant, connection: ConnectionId, out: &mut Out) {
        self.server.now = now;
        let number = self.server.open();
        self.numbers.insert(connection, number);
        self.settle(out);
    }

    fn message(&mut self, now: Instant, connection: ConnectionId, kind: Kind, data: &[u8], out: &mut Out) {
        self.server.now = now;
        let number = self.numbers[&connection];
        assert_eq!(kind, Kind::Binary);
        self.server.frame(number, data);
        self.settle(out);
    }

    fn closed(&mut self, now: Instant, connection: ConnectionId, code: Option<u16>) {
        self.server.now = now;
        let number = self.numbers[&connection];
        let close = link::Close { code, clean: code.is_some(), ..link::Close::default() };
        self.server.event(number, link::Event::Closed(close));
        self.settle(&mut Out::default());
    }

    fn deadline(&self) -> Option<Instant> {
        self.next
    }

    fn tick(&mut self, now: Instant, out: &mut Out) {
        self.server.now = now;
        self.server.tick();
        if self.says.is_some_and(|says| says <= now) {
            self.say();
            self.says = Some(now + self.every).filter(|next| *next <= self.until);
        }
        if self.parts.take_if(|parts| *parts <= now).is_some() {
            self.server.sessions.part_with_all(now, code::RESTART, Duration::from_secs(2));
        }
        self.settle(out);
    }

    fn restarted(&mut self, now: Instant) {
        let settled = core::mem::take(&mut self.server.settled);
        let delivered = core::mem::take(&mut self.server.delivered);
        self.server = crate::sessions::Server::new(self.make);
        (self.server.settled, self.server.delivered) = (settled, delivered);
        self.server.now = now;
        self.numbers.clear();
        self.next = self.says;
    }
}

fn native() -> link::Config {
    let mut config = link::Config { wire: Wire::Native(Limits::default()), ..link::Config::default() };
    config.backoff.attempts = None;
    config.outbox.messages = 4_000;
    config.outbox.age = None;
    config
}

/// Both ends say a number every 50 ms from 1 s to `until`; then all is quiet until `end`.
fn conversation(seed: u64, changes: &[(u64, Change)], until: u64, end: u64) -> Sim<Host> {
    fn roomy(config: &mut everlink::peer::Config) {
        config.outbox.messages = 4_000;
        config.outbox.age = None;
    }
    let host = Host::new(roomy).speaking(at(1_000), at(until));
    let mut sim = Sim::new(native(), seed, host).unwrap();
    for number in 0..=(until - 1_000) / 50 {
        let message = Message::text(format!("c{number}").into_bytes());
        sim.schedule(at(1_000 + 50 * number), Change::Send(message));
    }
    for (when, change) in changes {
        sim.schedule(at(*when), change.clone());
    }
    sim.run_until(at(end));
    sim
}

fn delivered(sim: &Sim<Host>) -> Vec<&str> {
    let entries = sim.log().iter();
    entries
        .filter_map(|entry| match &entry.what {
            Happening::Delivered(data) => Some(str::from_utf8(data).unwrap()),
            _ => None,
        })
        .collect()
}

fn outcomes(sim: &Sim<Host>) -> BTreeMap<String, usize> {
    let mut outcomes = BTreeMap::new();
    for entry in sim.log() {
        if let Happening::Action(Action::Settled(settlement)) = entry.what {
            *outcomes.entry(format!("{:?}", settlement.outcome)).or_default() += 1;
        }
    }
    outcomes
}

/// All of them, in order.
#[track_caller]
fn same(got: &[&str], letter: char, count: u64) {
    let want = all(letter, count);
    let differ = got.iter().zip(&want).position(|(got, want)| got != want);
    assert_eq!((differ, got.len()), (None, want.len()), "{:?}", differ.map(|at| &got[at..]));
}

fn all(letter: char, count: u64) -> Vec<String> {
    (0..count).map(|number| format!("{letter}{number}")).collect()
}

/// Everything arrived once and in order, both ways, and everybody knows it.
#[track_caller]
fn nothing_lost_nothing_twice(sim: &Sim<Host>, until: u64) {
    let count = (until - 1_000) / 50 + 1;
    assert_eq!(sim.link().status(), Status::Connected);
    same(&sim.server().heard(), 'c', count);
    same(&delivered(sim), 's', count);
    assert_eq!(outcomes(sim), BTreeMap::from([("Acknowledged".into(), count as usize)]));
    assert_eq!(sim.server().server.ended(Outcome::Acknowledged), count as usize);
    assert_eq!(sim.server().server.settled.len(), count as usize);
    assert_eq!(sim.server().server.sessions.len(), 1);
}

#[test]
fn a_quiet_world_needs_one_socket() {
    let sim = conversation(1, &[], 10_000, 40_000);
    nothing_lost_nothing_twice(&sim, 10_000);
    assert_eq!(sim.server().numbers.len(), 1);
}

#[test]
fn a_path_that_becomes_slow_is_shown_within_seconds_and_ends_nothing() {
    let (slow, well) = ((5_000, Change::RoundTrip(MS(800))), (20_000, Change::RoundTrip(MS(50))));
    let sim = conversation(1, &[slow, well], 40_000, 60_000);
    nothing_lost_nothing_twice(&sim, 40_000);
    assert_eq!(sim.server().numbers.len(), 1, "sockets");
    let told: Vec<_> = sim
        .log()
        .iter()
        .filter_map(|entry| match entry.what {
            Happening::Action(Action::Status { to, .. }) => Some((entry.at.micros() / 1_000, to)),
            _ => None,
        })
        .collect();
    let since =
        |wanted, from: u64| told.iter().find(|(at, to)| *to == wanted && *at > from).map(|(at, _)| at - from);
    assert!(since(Status::Degraded, 5_000).is_some_and(|after| after < 6_000), "{told:?}");
    assert!(since(Status::Connected, 20_000).is_some_and(|after| after < 3_000), "{told:?}");
}

#[test]
fn a_hole_of_any_length_loses_nothing() {
    for (seed, hole) in [(1, 1_000), (2, 5_000), (3, 20_000), (4, 60_000), (5, 150_000)] {
        let changes = [(5_000, Change::PathDown), (5_000 + hole, Change::PathUp)];
        let sim = conversation(seed, &changes, hole + 10_000, hole + 90_000);
        nothing_lost_nothing_twice(&sim, hole + 10_000);
        assert_eq!(sim.server().server.sessions.counts().opened, 1, "the session outlives it");
    }
}

#[test]
fn an_address_that_changes_is_a_take_over() {
    let sim = conversation(1, &[(5_000, Change::NewAddress)], 20_000, 60_000);
    nothing_lost_nothing_twice(&sim, 20_000);
    assert!(sim.server().server.sessions.counts().resumed >= 1);
}

// pain 10
#[test]
fn connections_that_are_cut_again_and_again_lose_nothing() {
    let cuts: Vec<_> = (0..20).map(|cut| (3_000 + 2_500 * cut + cut % 7, Change::Cut)).collect();
    let sim = conversation(1, &cuts, 60_000, 120_000);
    nothing_lost_nothing_twice(&sim, 60_000);
    assert_eq!(sim.server().server.sessions.counts().opened, 1);
    assert!(sim.server().server.sessions.counts().resumed >= 5);
}

#[test]
fn a_planned_restart_keeps_clients_away_as_long_as_it_says() {
    let host = Host { parts: Some(at(5_000)), ..Host::new(|_| ()) }.speaking(at(1_000), at(9_000));
    let mut sim = Sim::new(native(), 1, host).unwrap();
    sim.run_until(at(30_000));
    assert_eq!(delivered(&sim), all('s', 161));
    let opens: Vec<_> = sim
        .log()
        .iter()
        .filter(|entry| matches!(entry.what, Happening::Action(Action::Open { .. })))
        .collect();
    assert_eq!(opens.len(), 2);
    assert!(opens[1].at >= at(7_025), "{:?}", opens[1].at);
    assert_eq!(sim.server().server.sessions.counts().resumed, 1);
}

#[test]
fn a_server_that_forgets_puts_what_was_in_flight_in_doubt_and_nothing_else() {
    let changes = [(5_010, Change::ServerDown), (8_000, Change::ServerUp)];
    let sim = conversation(1, &changes, 15_000, 60_000);
    let outcomes = outcomes(&sim);
    let in_doubt = outcomes.get("InDoubt").copied().unwrap_or(0);
    assert!((1..=64).contains(&in_doubt), "{outcomes:?}");
    assert_eq!(outcomes["Acknowledged"] + in_doubt, 281);
    let heard = sim.server().heard();
    let unique: std::collections::BTreeSet<_> = heard.iter().collect();
    assert_eq!(unique.len(), heard.len(), "nothing twice");
    assert!(heard.len() >= outcomes["Acknowledged"], "what is said to have arrived has arrived");
    assert_eq!(sim.link().status(), Status::Connected);
}

#[test]
fn a_link_that_stops_leaves_no_session_behind() {
    let mut sim = Sim::new(native(), 1, Host::new(|_| ())).unwrap();
    sim.run_until(at(2_000));
    sim.send(Message::text(b"the last word".to_vec())).unwrap();
    sim.schedule(at(2_001), Change::Tell(link::Input::Stop { linger: Duration::from_secs(5) }));
    sim.run_until(at(20_000));
    assert_eq!(sim.server().heard(), ["the last word"]);
    assert_eq!(outcomes(&sim), BTreeMap::from([("Acknowledged".into(), 1)]));
    assert!(sim.server().server.sessions.is_empty());
}

#[test]
fn a_link_that_does_not_keep_up_is_let_go_and_comes_back_to_a_new_session() {
    fn impatient(config: &mut everlink::peer::Config) {
        config.outbox.messages = 20;
        config.outbox.policy = Policy::Refuse;
        config.slow = Slow::Close;
    }
    let host = Host { every: MS(5), ..Host::new(impatient) }.speaking(at(1_000), at(3_000));
    let mut sim = Sim::new(native(), 1, host).unwrap();
    sim.schedule(at(900), Change::RoundTrip(MS(400))); // 40 messages in flight, and room for 20
    sim.run_until(at(30_000));
    let counts = sim.server().server.sessions.counts();
    assert!(counts.too_slow >= 1 && counts.opened >= 2, "{counts:?}");
    let causes: Vec<_> = (sim.log().iter())
        .filter_map(|entry| match entry.what {
            Happening::Action(Action::RetryScheduled { cause, .. }) => Some(cause),
            _ => None,
        })
        .collect();
    assert!(causes.contains(&Cause::Closed(code::TOO_SLOW)), "{causes:?}");
    assert_eq!(sim.link().status(), Status::Degraded, "the path is slow, and that is all");
}

fn fault() -> impl Strategy<Value = Vec<Change>> {
    prop_oneof![
        3 => Just(vec![Change::Cut]),
        2 => Just(vec![Change::NewAddress]),
        3 => (0..20_000_u64).prop_map(|_| vec![Change::PathDown, Change::PathUp]),
        2 => (10..900_u64).prop_map(|rtt| vec![Change::RoundTrip(MS(rtt))]),
        1 => (10..20_000_u64).prop_map(|time| vec![Change::Suspend(MS(time))]),
        1 => Just(vec![Change::Tell(link::Input::Offline), Change::Tell(link::Input::Online)]),
    ]
}

proptest! {
    #![proptest_config(proptest_config("proptest-regressions/peer_link.txt", 60))]

    /// As long as both processes live and the session is kept, whatever the network does: all arrives once and in order, and
    /// nothing is in doubt.
    #[test]
    fn while_both_live_nothing_is_in_doubt(
        seed: u64,
        faults in proptest::collection::vec((500..40_000_u64, 10..15_000_u64, fault()), 0..12),
    ) {
        let changes: Vec<_> = faults.into_iter()
            .flat_map(|(start, length, changes)| {
                changes.into_iter().zip([start, start + length]).map(|(change, when)| (when, change))
            })
            .collect();
        // What a process wants to send while it does not run, it sends when it runs again; twice put off, it would lose its order.
        let mut slept = false;
        let mut healed: Vec<_> = changes.into_iter()
            .filter(|(_, change)| {
                !matches!(change, Change::Suspend(_)) || !core::mem::replace(&mut slept, true)
            })
            .map(|(when, change)| match change {
                Change::Suspend(time) => (when / 50 * 50 + 13, Change::Suspend(MS(50 * (1 + time.as_secs())))),
                change => (when, change),
            })
            .collect();
        healed.push((56_000, Change::PathUp));
        healed.push((56_000, Change::RoundTrip(MS(50))));
        healed.push((56_000, Change::Tell(link::Input::Online)));
        let sim = conversation(seed, &healed, 40_000, 200_000);
        nothing_lost_nothing_twice(&sim, 40_000);
        prop_assert_eq!(sim.server().server.sessions.counts().opened, 1);
    }
}
