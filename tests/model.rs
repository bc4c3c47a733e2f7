//! The promise of delivery, for both ends at once, against an oracle with perfect memory: random programs of sends, of everything that
//! befalls sockets and paths, and of processes that restart with and without their memory.
//!
//! `cargo run --release --features serde,sim --example chaos -- --start 1 --seeds 10000` plays many more.
#![cfg(feature = "sim")]

use crate::chaos::program::Program;
use crate::chaos::run::{Totals, run, shrink};

#[test]
fn nothing_is_lost_repeated_reordered_or_left_open() {
    let mut totals = Totals::default();
    for seed in 1..=2_000 {
        let program = Program::new(seed);
        match run(&program) {
            Ok(some) => totals += some,
            Err(broken) => {
                let (small, why) = shrink(&program);
                panic!("seed {seed}: {broken}\nin short: {why}\n{small:#?}");
            }
        }
    }
    // Programs in which nothing happens would prove nothing. What is asked for is half of what is seen, or less: another way
    // through the same programs is no failure.
    assert!(
        totals.arrived * 2 > totals.messages - totals.refused && totals.deaths > 2 * totals.programs,
        "{totals:?}"
    );
    assert!(
        totals.resumptions > totals.programs
            && totals.requests > 5 * totals.programs
            && totals.in_doubt > 0
            && totals.restarts > totals.programs,
        "{totals:?}"
    );
}
