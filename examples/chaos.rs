//! A link and a server's sessions, in as many worlds as one likes, each of which does its worst; an oracle compares.
//!
//! `cargo run --release --example chaos -- --start 1 --seeds 10000`: one program for each seed; `--jobs` of them at a time, as many as
//! there are processors by default. A program that breaks a promise is made as small as can be and printed, and the exit code is 1.

#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "it shows how long it takes")]

#[path = "../tests/chaos/mod.rs"]
mod chaos;

use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chaos::program::Program;
use chaos::run::{Totals, run, shrink};

const USAGE: &str = "usage: chaos [--start SEED] [--seeds COUNT] [--jobs COUNT]";

struct Arguments {
    start: u64,
    seeds: u64,
    jobs: u64,
}

fn arguments() -> Result<Arguments, String> {
    let jobs = std::thread::available_parallelism().map_or(1, |jobs| jobs.get() as u64);
    let mut read = Arguments { start: 1, seeds: 1_000, jobs };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let place = match word.as_str() {
            "--start" => &mut read.start,
            "--seeds" => &mut read.seeds,
            "--jobs" => &mut read.jobs,
            "-h" | "--help" => return Err(USAGE.into()),
            other => return Err(format!("unknown argument {other:?}\n{USAGE}")),
        };
        let number = words.next().and_then(|number| number.parse().ok());
        *place = number.ok_or(format!("{word} needs a number\n{USAGE}"))?;
    }
    Ok(read)
}

fn main() -> ExitCode {
    let Arguments { start, seeds, jobs } = match arguments() {
        Ok(read) => read,
        Err(words) => {
            eprintln!("{words}");
            return ExitCode::from(if words == USAGE { 0 } else { 2 });
        }
    };
    let began = Instant::now();
    let (next, end, over) = (AtomicU64::new(start), start.saturating_add(seeds), AtomicBool::new(false));
    let (totals, failed) = (Mutex::new(Totals::default()), Mutex::new(None::<(Program, String)>));
    // A panic is a finding like others; it is printed with its seed.
    std::panic::set_hook(Box::new(|_| ()));
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs.max(1))
            .map(|_| {
                scope.spawn(|| {
                    while !over.load(Ordering::Relaxed) {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed >= end {
                            break;
                        }
                        let program = Program::new(seed);
                        match run(&program) {
                            Ok(some) => *totals.lock().unwrap() += some,
                            Err(broken) => {
                                over.store(true, Ordering::Relaxed);
                                failed.lock().unwrap().get_or_insert((program, broken));
                            }
                        }
                    }
                })
            })
            .collect();
        let mut shown = Instant::now();
        while workers.iter().any(|worker| !worker.is_finished()) {
            std::thread::sleep(Duration::from_millis(50));
            let pause = if std::io::stderr().is_terminal() { 1 } else { 30 };
            if shown.elapsed() >= Duration::from_secs(pause) {
                shown = Instant::now();
                let so_far = *totals.lock().unwrap();
                let Totals { programs, messages, deaths, .. } = so_far;
                eprintln!("{programs} of {seeds} programs, {messages} messages, {deaths} socket deaths");
            }
        }
    });
    let totals = *totals.lock().unwrap();
    println!("{totals:#?}\n{:.1} s", began.elapsed().as_secs_f64());
    match failed.into_inner().unwrap() {
        None => {
            println!("nothing lost, repeated, reordered or left open");
            ExitCode::SUCCESS
        }
        Some((program, broken)) => {
            println!("seed {} fails: {broken}\nmaking it small ...", program.seed);
            let (small, why) = shrink(&program);
            println!("{why}\n{:?}", small.setup);
            small.steps.iter().for_each(|step| println!("  {step:?}"));
            ExitCode::FAILURE
        }
    }
}
