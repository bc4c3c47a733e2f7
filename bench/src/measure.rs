//! Timing that a busy machine disturbs little: thread CPU time, many rounds, the lower median.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

fn cpu_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

/// How many rounds a figure is the lower median of.
const ROUNDS: usize = 41;

/// Nanoseconds of CPU for each of `count` repetitions of `step`, after one round to warm up.
pub fn nanoseconds(count: u64, mut step: impl FnMut()) -> f64 {
    let mut rounds: Vec<f64> = (0..=ROUNDS)
        .map(|_| {
            let start = cpu_time();
            for _ in 0..count {
                step();
            }
            (cpu_time() - start).as_secs_f64() * 1e9 / count as f64
        })
        .skip(1)
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds[(rounds.len() - 1) / 2]
}

/// As [`nanoseconds`], for two steps that only make sense in turn: `batch` times the first, then `batch` times the second, each
/// timed apart.
pub fn in_turn<T>(bed: &mut T, batch: u64, first: fn(&mut T), second: fn(&mut T)) -> (f64, f64) {
    const TURNS: u64 = 200;
    let mut rounds = (Vec::new(), Vec::new());
    for _ in 0..=ROUNDS {
        let mut sums = (Duration::ZERO, Duration::ZERO);
        for _ in 0..TURNS {
            let start = Instant::now();
            (0..batch).for_each(|_| first(bed));
            let middle = Instant::now();
            (0..batch).for_each(|_| second(bed));
            sums.0 += middle - start;
            sums.1 += middle.elapsed();
        }
        let each = |sum: Duration| sum.as_secs_f64() * 1e9 / (TURNS * batch) as f64;
        rounds.0.push(each(sums.0));
        rounds.1.push(each(sums.1));
    }
    let median = |mut rounds: Vec<f64>| {
        rounds.remove(0);
        rounds.sort_by(f64::total_cmp);
        rounds[(rounds.len() - 1) / 2]
    };
    (median(rounds.0), median(rounds.1))
}

/// One line for one figure.
pub fn print(name: &str, value: f64, unit: &str) {
    println!("{name} everlink={value:.1} unit={unit}");
}
