//! Timing that a busy machine disturbs little: thread CPU time, many rounds, the lower median.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

pub fn cpu_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

/// How many rounds a figure is the lower median of.
const ROUNDS: usize = 41;

/// How long a round of [`interleaved`] takes at least, so that reading the clock does not count.
const ROUND: Duration = Duration::from_micros(300);

fn lower_median(mut rounds: Vec<f64>) -> f64 {
    rounds.sort_by(f64::total_cmp);
    rounds[(rounds.len() - 1) / 2]
}

/// Nanoseconds of CPU for each of `count` repetitions of `step`, after one round to warm up.
pub fn nanoseconds(count: u64, mut step: impl FnMut()) -> f64 {
    let round = |_| {
        let start = cpu_time();
        (0..count).for_each(|_| step());
        (cpu_time() - start).as_secs_f64() * 1e9 / count as f64
    };
    lower_median((0..=ROUNDS).map(round).skip(1).collect())
}

/// One way to do what is measured.
pub struct Contender<'a> {
    pub name: &'static str,
    /// Does it so many times (each time to `messages` messages). The loop is inside, for a call through a pointer costs as much as
    /// a short message.
    repeat: Box<dyn FnMut(u64) + 'a>,
}

impl<'a> Contender<'a> {
    pub fn new(name: &'static str, mut step: impl FnMut() + 'a) -> Contender<'a> {
        Contender { name, repeat: Box::new(move |count| (0..count).for_each(|_| step())) }
    }

    fn time(&mut self, count: u64) -> Duration {
        let start = cpu_time();
        (self.repeat)(count);
        cpu_time() - start
    }

    /// How many times fill a round. Found by doubling: the first times are slow, while pages are mapped and caches cold.
    fn count(&mut self) -> u64 {
        let mut count = 1;
        while self.time(count) < ROUND {
            count *= 2;
        }
        count
    }
}

/// Nanoseconds of CPU for each message, for each contender: they take turns, so that what disturbs one disturbs all.
pub fn interleaved(messages: usize, contenders: &mut [Contender<'_>]) -> Vec<f64> {
    let counts: Vec<u64> = contenders.iter_mut().map(Contender::count).collect();
    let mut rounds = vec![Vec::new(); contenders.len()];
    for _ in 0..ROUNDS {
        for ((contender, &count), rounds) in contenders.iter_mut().zip(&counts).zip(&mut rounds) {
            let seconds = contender.time(count).as_secs_f64();
            rounds.push(seconds * 1e9 / (count as f64 * messages as f64));
        }
    }
    rounds.into_iter().map(lower_median).collect()
}

/// As [`nanoseconds`], for two steps that only make sense in turn: `batch` times the first, then `batch` times the second, each
/// timed apart. Such short times are taken from the wall clock, which costs less to read; most turns nothing interrupts.
pub fn in_turn<T>(bed: &mut T, batch: u64, first: fn(&mut T), second: fn(&mut T)) -> (f64, f64) {
    const TURNS: usize = 8_000;
    let mut turns = (Vec::with_capacity(TURNS), Vec::with_capacity(TURNS));
    for _ in 0..TURNS {
        let start = Instant::now();
        (0..batch).for_each(|_| first(bed));
        let middle = Instant::now();
        (0..batch).for_each(|_| second(bed));
        let end = Instant::now();
        turns.0.push((middle - start).as_nanos() as f64 / batch as f64);
        turns.1.push((end - middle).as_nanos() as f64 / batch as f64);
    }
    (lower_median(turns.0), lower_median(turns.1))
}

/// One line for one figure.
pub fn print(name: &str, value: f64, unit: &str) {
    println!("{name} everlink={value:.1} unit={unit}");
}

/// One line for one figure beside those of peers, the best peer first. The first contender is everlink; `memcpy` is for
/// scale, and no peer.
pub fn print_beside(name: &str, contenders: &[Contender<'_>], values: &[f64], unit: &str) {
    let mut peers: Vec<(&str, f64)> =
        contenders.iter().zip(values).skip(1).map(|(contender, &value)| (contender.name, value)).collect();
    peers.sort_by(|a, b| a.1.total_cmp(&b.1));
    let memcpy = peers.iter().position(|(name, _)| *name == "memcpy").map(|at| peers.remove(at));
    print!("{name} everlink={:.1}", values[0]);
    if let Some((best, value)) = peers.first() {
        print!(" peer={value:.1}:{best} ratio={:.2}", values[0] / value);
    }
    if let Some((_, value)) = memcpy {
        print!(" memcpy={value:.1}");
    }
    let others: Vec<String> =
        peers.iter().skip(1).map(|(name, value)| format!("{name}:{value:.1}")).collect();
    println!("{}{} unit={unit}", if others.is_empty() { "" } else { " others=" }, others.join(","));
}
