//! A fleet comes back: 100,000 clients lose their server at once, are refused while it is away, and the peak of what it meets
//! when it is back.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use everlink::backoff::Jitter;
use everlink::link::{Action, Close, Config, Event, Failure, Input, Link, Next};
use everlink::outbox::Slot;
use everlink::rng::Rng;
use everlink::time::Instant;

use crate::plot::Plot;

const CLIENTS: usize = 100_000;
const OUTAGE: f64 = 60.0;
const WATCHED: f64 = 180.0;
const BUCKET: f64 = 0.1;

/// When each client that came back did so, in seconds since the outage began, and when any client tried.
#[derive(Default)]
struct Herd {
    connects: Vec<f64>,
    attempts: Vec<f64>,
}

pub fn run(plot: Option<&std::path::Path>) {
    let mut curves = Vec::new();
    println!("{CLIENTS} clients, {OUTAGE} s outage; figures of the {} s after it", WATCHED - OUTAGE);
    println!(
        "| backoff | peak of connects in 100 ms | peak of attempts in 100 ms, first 5 s | median wait s | not back |"
    );
    println!("| --- | --- | --- | --- | --- |");
    for hint in [false, true] {
        for (name, jitter) in [
            ("none", Jitter::None),
            ("equal", Jitter::Equal),
            ("full", Jitter::Full),
            ("decorrelated", Jitter::Decorrelated),
        ] {
            let herd = everlink(jitter, hint);
            let default = if jitter == Config::default().backoff.jitter { " (default)" } else { "" };
            let hint = if hint { ", online hint" } else { "" };
            row(&mut curves, format!("everlink {name}{default}{hint}"), &herd);
        }
    }
    for (name, next) in peers() {
        row(&mut curves, name.to_owned(), &formula(next));
    }
    let best =
        curves.iter().filter(|(name, _)| !name.contains("hint")).map(|(_, c)| peak(c)).min().unwrap_or(0);
    let ours = curves.iter().find(|(name, _)| name.contains("(default)")).map_or(0, |(_, c)| peak(c));
    println!(
        "herd_peak_100ms everlink={ours} unit=connects peer={best}:best_of_all ratio={:.2}",
        ours as f64 / best as f64
    );
    if let Some(path) = plot {
        // Those whose peak is all of the clients at once would leave nothing to see of the others.
        let shown = |name: &str| {
            !["none", "fixed", "hint", "phoenix", "async-nats"].iter().any(|other| name.contains(other))
        };
        let mut plot = Plot::new(
            "Connects per 100 ms after a 60 s outage, 100,000 clients",
            "seconds after recovery",
            "connects",
        );
        for (name, buckets) in curves.iter().filter(|(name, _)| shown(name)) {
            plot.line(
                name,
                buckets.iter().take(320).enumerate().map(|(i, n)| (i as f64 * BUCKET, *n as f64)).collect(),
            );
        }
        plot.write(path);
    }
}

fn buckets(times: &[f64], from: f64, to: f64) -> Vec<usize> {
    let mut buckets = vec![0; ((to - from) / BUCKET).ceil() as usize];
    for time in times.iter().filter(|time| (from..to).contains(*time)) {
        buckets[((time - from) / BUCKET) as usize] += 1;
    }
    buckets
}

fn peak(buckets: &[usize]) -> usize {
    buckets.iter().copied().max().unwrap_or(0)
}

fn row(curves: &mut Vec<(String, Vec<usize>)>, name: String, herd: &Herd) {
    let connects = buckets(&herd.connects, OUTAGE, WATCHED);
    let rush = peak(&buckets(&herd.attempts, 0.0, 5.0));
    let mut waits: Vec<f64> = herd.connects.iter().map(|at| at - OUTAGE).collect();
    waits.sort_by(f64::total_cmp);
    let median = waits.get(waits.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN);
    println!("| {name} | {} | {rush} | {median:.1} | {} |", peak(&connects), CLIENTS - herd.connects.len());
    curves.push((name, connects));
}

/// Real links, each with a seed of its own.
fn everlink(jitter: Jitter, hint: bool) -> Herd {
    type Client = Link<&'static [u8], [Slot<&'static [u8]>; 1]>;
    let mut config = Config::default();
    config.backoff.jitter = jitter;
    config.outbox.messages = 1;
    let up = Instant::from_millis(100_000);
    let mut herd = Herd::default();
    let mut queue = BinaryHeap::new();
    let mut clients: Vec<Client> = (0..CLIENTS as u64)
        .map(|seed| Link::with_slots(config.clone(), seed, [const { Slot::EMPTY }; 1]).expect("it works"))
        .collect();
    let since = |at: Instant| (at - up).as_secs_f64();
    let mut settle = |index: usize, now: Instant, client: &mut Client, queue: &mut BinaryHeap<_>| loop {
        match client.poll() {
            Next::Do(Action::Open { epoch, .. }) => {
                herd.attempts.push(since(now));
                if since(now) < OUTAGE {
                    let refused = now + Duration::from_millis(50);
                    client.handle(refused, Input::Socket(epoch, Event::Failed(Failure::Connect)));
                } else {
                    herd.connects.push(since(now));
                    client.handle(now, Input::Stop { linger: Duration::ZERO });
                }
            }
            Next::Do(_) => {}
            Next::Wait(at) => {
                queue.push(Reverse((at, index)));
                return;
            }
            Next::Idle => return,
        }
    };
    // All have been connected for a long time when the server goes.
    for (index, client) in clients.iter_mut().enumerate() {
        client.handle(Instant::ORIGIN, Input::Start);
        let Next::Do(Action::Open { epoch, .. }) = client.poll() else { unreachable!("it was started") };
        client.handle(Instant::ORIGIN, Input::Socket(epoch, Event::Opened));
        client.handle(Instant::ORIGIN, Input::Socket(epoch, Event::Received(1)));
        client.handle(up, Input::Socket(epoch, Event::Received(1)));
        if hint {
            client.handle(up, Input::Offline);
        }
        client.handle(up, Input::Socket(epoch, Event::Closed(Close::default())));
        settle(index, up, client, &mut queue);
    }
    if hint {
        let back = up + Duration::from_secs_f64(OUTAGE);
        for (index, client) in clients.iter_mut().enumerate() {
            client.handle(back, Input::Online);
            settle(index, back, client, &mut queue);
        }
    }
    while let Some(Reverse((at, index))) = queue.pop() {
        if since(at) < WATCHED {
            clients[index].handle(at, Input::Tick);
            settle(index, at, &mut clients[index], &mut queue);
        }
    }
    herd
}

/// A peer's formula: the seconds to wait before the n-th retry, counted from 0.
type Formula = fn(u32, &mut Rng, &mut f64) -> f64;

/// The documented backoff of others, from their own sources; the last argument is the client's memory.
fn peers() -> [(&'static str, Formula); 9] {
    fn unit(rng: &mut Rng) -> f64 {
        rng.bits() as f64 / u64::MAX as f64
    }
    fn power(base: f64, ratio: f64, n: u32, cap: f64) -> f64 {
        (base * ratio.powi(n.min(60) as i32)).min(cap)
    }
    [
        ("fixed 3 s", |_, _, _| 3.0),
        ("reconnecting-websocket (1 to 5 s drawn once, x1.3, cap 10 s)", |n, rng, memory| {
            if n == 0 {
                *memory = 1.0 + 4.0 * unit(rng);
            }
            power(*memory, 1.3, n, 10.0)
        }),
        ("phoenix (table to 5 s)", |n, _, _| {
            [0.01, 0.05, 0.1, 0.15, 0.2, 0.25, 0.5, 1.0, 2.0].get(n as usize).copied().unwrap_or(5.0)
        }),
        ("socket.io (1 s x2 +-50 %, then cap 5 s)", |n, rng, _| {
            (power(1.0, 2.0, n, 1e9) * (0.5 + unit(rng))).min(5.0)
        }),
        ("async-nats (2^n ms, cap 4 s)", |n, _, _| power(0.001, 2.0, n, 4.0)),
        ("graphql-ws (2^n s + 0.3 to 3 s)", |n, rng, _| power(1.0, 2.0, n, 1e9) + 0.3 + 2.7 * unit(rng)),
        ("centrifuge (full jitter, 0.5 s x2, cap 20 s)", |n, rng, _| power(0.5, 2.0, n, 20.0) * unit(rng)),
        ("gRPC (1 s x1.6, cap 120 s, +-20 %)", |n, rng, _| {
            power(1.0, 1.6, n, 120.0) * (0.8 + 0.4 * unit(rng))
        }),
        ("decorrelated (1 s, cap 30 s)", |n, rng, memory| {
            let previous = if n == 0 { 1.0 } else { *memory };
            *memory = (1.0 + unit(rng) * (3.0 * previous - 1.0)).min(30.0);
            *memory
        }),
    ]
}

fn formula(next: Formula) -> Herd {
    let mut herd = Herd::default();
    for seed in 0..CLIENTS as u64 {
        let (mut rng, mut memory, mut now) = (Rng::new(seed), 0.0, 0.0);
        for n in 0.. {
            now += next(n, &mut rng, &mut memory);
            if now >= WATCHED {
                break;
            }
            herd.attempts.push(now);
            if now >= OUTAGE {
                herd.connects.push(now);
                break;
            }
            now += 0.05;
        }
    }
    herd
}
