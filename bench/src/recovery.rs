//! How soon an outage is noticed, and how soon messages flow again when it is over: seeded outages, simulated.

use std::path::Path as FilePath;
use std::time::Duration;

use everlink::link::{Action, Config, Input, Status};
use everlink::outbox::Message;
use everlink::rng::Rng;
use everlink::sim::{Change, Happening, Recorder, Sim};
use everlink::time::Instant;

use crate::plot::Plot;

/// Outages of each scenario.
const OUTAGES: u64 = 10_000;
const ROUND_TRIP: Duration = Duration::from_millis(50);
/// The application sends a message this often.
const PACE: Duration = Duration::from_millis(100);

/// One kind of outage: what happens at its beginning, and at its end.
struct Scenario {
    name: &'static str,
    /// In whole milliseconds; one is drawn for each outage.
    length: (u64, u64),
    /// With the milliseconds after the beginning.
    begins: &'static [(u64, Change)],
    ends: &'static [Change],
}

const fn tell(input: Input<'static>) -> Change {
    Change::Tell(input)
}

const SCENARIOS: [Scenario; 9] = [
    Scenario {
        name: "hint_live_socket",
        length: (2_000, 20_000),
        begins: &[(0, Change::PathDown), (0, tell(Input::Offline))],
        ends: &[Change::PathUp, tell(Input::Online)],
    },
    Scenario {
        name: "hint_no_socket",
        length: (2_000, 20_000),
        // The reset arrives; the network goes before the next attempt is due.
        begins: &[(0, Change::Cut), (100, Change::PathDown), (100, tell(Input::Offline))],
        ends: &[Change::PathUp, tell(Input::Online)],
    },
    Scenario {
        name: "hint_dead_socket",
        length: (2_000, 20_000),
        begins: &[(0, Change::NewAddress), (0, tell(Input::Offline))],
        ends: &[tell(Input::Online)],
    },
    Scenario {
        name: "black_hole_up_to_5_s",
        length: (1_000, 5_000),
        begins: &[(0, Change::PathDown)],
        ends: &[Change::PathUp],
    },
    Scenario {
        name: "black_hole_5_to_20_s",
        length: (5_000, 20_000),
        begins: &[(0, Change::PathDown)],
        ends: &[Change::PathUp],
    },
    Scenario {
        name: "black_hole_20_to_60_s",
        length: (20_000, 60_000),
        begins: &[(0, Change::PathDown)],
        ends: &[Change::PathUp],
    },
    Scenario {
        name: "server_restart",
        length: (1_000, 10_000),
        begins: &[(0, Change::ServerDown)],
        ends: &[Change::ServerUp],
    },
    Scenario { name: "connection_cut", length: (1, 2), begins: &[(0, Change::Cut)], ends: &[] },
    Scenario { name: "address_change", length: (1, 2), begins: &[(0, Change::NewAddress)], ends: &[] },
];

/// What one outage was like, in seconds.
struct Outcome {
    noticed: Option<f64>,
    delivered: Option<f64>,
    lost: usize,
}

/// What `--scenario` may be.
pub fn names() -> [&'static str; SCENARIOS.len()] {
    SCENARIOS.each_ref().map(|scenario| scenario.name)
}

pub fn run(plot: Option<&FilePath>, only: Option<&str>, seed: Option<u64>) {
    let mut curves = Vec::new();
    let seeds = seed.map_or(0..=OUTAGES - 1, |seed| seed..=seed);
    match seed {
        Some(seed) => print!("outage {seed}"),
        None => print!("{OUTAGES} outages"),
    }
    println!(" of each scenario, round trip {ROUND_TRIP:?}, a message every {PACE:?}");
    println!(
        "| scenario | noticed: median, 99 %, slowest | from healing to delivery: median, 99 %, slowest | lost |"
    );
    println!("| --- | --- | --- | --- |");
    for scenario in SCENARIOS.iter().filter(|scenario| only.is_none_or(|only| only == scenario.name)) {
        let outcomes: Vec<Outcome> = seeds.clone().map(|seed| outage(scenario, seed)).collect();
        let sorted = |pick: fn(&Outcome) -> Option<f64>| {
            let mut times: Vec<f64> = outcomes.iter().map(|o| pick(o).unwrap_or(f64::INFINITY)).collect();
            times.sort_by(f64::total_cmp);
            times
        };
        let (noticed, delivered) = (sorted(|o| o.noticed), sorted(|o| o.delivered));
        let lost: usize = outcomes.iter().map(|o| o.lost).sum();
        let lost = lost as f64 / outcomes.len() as f64;
        println!("| {} | {} | {} | {lost:.1} |", scenario.name, shown(&noticed), shown(&delivered));
        println!("recovery_{} everlink={:.3} unit=s", scenario.name, quantile(&delivered, 0.5));
        curves.push((scenario.name, delivered));
    }
    if let Some(path) = plot {
        let title = "From healing to the first message delivered: share of outages";
        let mut plot = Plot::new(title, "seconds", "share of outages").log_x();
        for (name, times) in curves {
            let points = (0..=200).map(|step| {
                let share = f64::from(step) / 200.0;
                (quantile(&times, share), share)
            });
            plot.line(name, points.filter(|(time, _)| time.is_finite()).collect());
        }
        plot.write(path);
    }
}

fn quantile(sorted: &[f64], share: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * share) as usize]
}

fn shown(sorted: &[f64]) -> String {
    let second = |share| match quantile(sorted, share) {
        time if time.is_finite() => format!("{time:.2} s"),
        _ => "never".to_owned(),
    };
    format!("{}, {}, {}", second(0.5), second(0.99), second(1.0))
}

fn outage(scenario: &Scenario, seed: u64) -> Outcome {
    let mut rng = Rng::new(seed);
    let mut config = Config::default();
    // Nothing may be lost to the bounds of the queue: what is measured is the link.
    config.outbox.messages = 4096;
    config.outbox.age = None;
    let mut sim = Sim::new(config, seed, Recorder::default()).expect("a configuration that works");
    sim.path().latency = ROUND_TRIP / 2;
    let from = Instant::from_millis(20_000 + rng.up_to(15_000));
    let length = Duration::from_millis(rng.up_to(scenario.length.1 - scenario.length.0) + scenario.length.0);
    let healed = from + length;
    for (later, change) in scenario.begins {
        sim.schedule(from + Duration::from_millis(*later), change.clone());
    }
    scenario.ends.iter().for_each(|change| sim.schedule(healed, change.clone()));
    let end = healed + Duration::from_secs(90);
    let mut sent = 0_u64;
    let mut at = Instant::ORIGIN;
    let is_back = |sim: &Sim<Recorder>| {
        sim.server().received.iter().rev().take_while(|r| r.at >= healed).any(|r| accepted(&r.data) >= from)
    };
    while at < end && !(at > healed && is_back(&sim)) {
        sim.run_until(at);
        // The time of its acceptance is the message.
        sim.send(Message::binary(at.micros().to_be_bytes().to_vec())).expect("there is room");
        sent += 1;
        at = at + PACE;
    }
    sim.run_until(at + Duration::from_secs(5));

    let seconds = |later: Instant, earlier: Instant| (later - earlier).as_secs_f64();
    let left = |action: &Action| matches!(action, Action::Status { from: Status::Connected, .. });
    let noticed = sim.log().iter().find_map(|entry| match &entry.what {
        Happening::Action(action) if entry.at >= from && left(action) => Some(seconds(entry.at, from)),
        _ => None,
    });
    let received = &sim.server().received;
    let delivered =
        received.iter().find(|r| r.at >= healed && accepted(&r.data) >= from).map(|r| seconds(r.at, healed));
    let waiting = sim.link().report(sim.now()).queue.messages as usize;
    Outcome { noticed, delivered, lost: (sent as usize).saturating_sub(received.len() + waiting) }
}

fn accepted(data: &[u8]) -> Instant {
    Instant::from_micros(data.try_into().map_or(0, u64::from_be_bytes))
}
