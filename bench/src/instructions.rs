//! What a link's steps cost in instructions, which other work on the machine does not change.
//!
//! Cachegrind counts the instructions of this very program while it does a step `n` times, and again while it does it `2·n`
//! times: the difference is that of `n` steps and of nothing else.

use std::env;
use std::process::{self, Command, Output};

use crate::bed::Bed;
use crate::measure::print;

struct Step {
    name: &'static str,
    bed: fn() -> Bed,
    step: fn(&mut Bed),
    /// How often it is done; half of what the bed has room for, at most.
    times: u32,
}

/// Room for so many messages is left in a queue that is full.
const ROOM: u32 = 80;

fn full(slots: u32) -> Bed {
    let mut bed = Bed::new(slots);
    bed.fill(slots - ROOM);
    bed
}

/// A link that has handed over what it has room for.
fn busy(mut bed: Bed, send: fn(&mut Bed)) -> Bed {
    (0..ROOM).for_each(|_| send(&mut bed));
    bed
}

const fn step(name: &'static str, bed: fn() -> Bed, step: fn(&mut Bed), times: u32) -> Step {
    Step { name, bed, step, times }
}

const STEPS: [Step; 11] = [
    step("receive_64B", || Bed::new(100), Bed::receive, 1_000),
    step("idle_poll", || Bed::new(100), Bed::idle_poll, 1_000),
    step("heartbeat_round", || Bed::new(100), Bed::heartbeat, 1_000),
    step("send_and_flush_64B_100_slots", || Bed::new(100), Bed::send, ROOM / 2),
    step("send_and_flush_64B_100_slots_full", || full(100), Bed::send_one, ROOM / 2),
    step("send_and_flush_64B_100000_slots", || Bed::new(100_000), Bed::send, ROOM / 2),
    step("send_and_flush_64B_100000_slots_full", || full(100_000), Bed::send_one, ROOM / 2),
    step("written_and_settled_100_slots", || busy(Bed::new(100), Bed::send), Bed::settle_one, ROOM / 2),
    step("written_and_settled_100_slots_full", || busy(full(100), Bed::send_one), Bed::settle_one, ROOM / 2),
    step(
        "written_and_settled_100000_slots",
        || busy(Bed::new(100_000), Bed::send),
        Bed::settle_one,
        ROOM / 2,
    ),
    step(
        "written_and_settled_100000_slots_full",
        || busy(full(100_000), Bed::send_one),
        Bed::settle_one,
        ROOM / 2,
    ),
];

/// Prints the figures; or does one step, if this is the program that is being counted.
pub fn run(only: Option<Vec<String>>) {
    match only.as_deref() {
        Some([name, times]) => {
            let step = STEPS.iter().find(|step| step.name == name);
            let (Some(step), Ok(times)) = (step, times.parse::<u32>()) else {
                fail("no such step, or no number")
            };
            let mut bed = (step.bed)();
            (0..times).for_each(|_| (step.step)(&mut bed));
        }
        _ => {
            for step in &STEPS {
                let [once, twice] = [step.times, 2 * step.times].map(|times| count(step.name, times));
                print(step.name, (twice - once) / f64::from(step.times), "instructions");
            }
        }
    }
}

/// How many instructions this program takes to do a step so many times, in all.
fn count(name: &str, times: u32) -> f64 {
    let run = Command::new("valgrind")
        .args(["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"])
        .arg(env::current_exe().expect("this program has a path"))
        .args(["instructions", "--step", name, &times.to_string()])
        .output();
    let said = match run {
        Ok(Output { stderr, .. }) => String::from_utf8_lossy(&stderr).into_owned(),
        Err(error) => fail(&format!("cannot run valgrind: {error}")),
    };
    let total = said.lines().find_map(|line| line.split("I   refs:").nth(1));
    let number = total.and_then(|total| total.trim().replace(',', "").parse().ok());
    number.unwrap_or_else(|| fail(&format!("valgrind counted nothing: {said}")))
}

fn fail(problem: &str) -> ! {
    eprintln!("{problem}");
    process::exit(1)
}
