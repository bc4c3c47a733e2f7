//! Timing that a busy machine disturbs little: thread CPU time, many rounds, the lower median.

use std::time::Duration;

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

/// One line for one figure.
pub fn print(name: &str, value: f64, unit: &str) {
    println!("{name} everlink={value:.1} unit={unit}");
}
