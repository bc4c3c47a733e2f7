//! Two ends, a window of two, three messages, up to three socket deaths and one restart: every order in which these can meet.
//!
//! The ends are [`Counts`](everlink::delivery::Counts) (and [`Durable`](everlink::delivery::Durable)) driven as a link and a
//! peer drive them. Sockets keep the order and lose what is on the way when they die; each end learns of a death by itself, so
//! that what an abandoned socket still holds may come at any time later.
//!
//! A [walk] looks at every world that can be reached, of those that are [alike](sameness) at one: none breaks a [law](laws), and
//! there is no circle, so everything comes to an end, at which nothing is left undone. That alike is alike is shown in the
//! small, where all worlds can be compared; that the walk misses none, by `stateright`.

#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test may be blunt")]

mod laws;
mod reading;
mod sameness;
mod steps;
mod walk;
mod world;

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};

use stateright::{Checker, Model};

use sameness::{forget, key};
use walk::{Broken, Taken, walk};
use world::World;

const UP: usize = 0;
const DOWN: usize = 1;

/// What is tried.
#[derive(Clone, Copy, Debug)]
struct Trial {
    /// How many messages client and server send.
    messages: [u8; 2],
    /// At most so many.
    deaths: u8,
    restarts: u8,
    /// How often the client may open a second socket beside a good one.
    candidates: u8,
    /// Whether client and server store what others depend on.
    durable: [bool; 2],
}

const THREE_UP: Trial =
    Trial { messages: [3, 0], deaths: 3, restarts: 1, candidates: 0, durable: [false; 2] };
const THREE_DOWN: Trial = Trial { messages: [0, 3], ..THREE_UP };
const BOTH_WAYS: Trial = Trial { messages: [2, 1], ..THREE_UP };
const DURABLE: [bool; 2] = [true; 2];
const ONE_DURABLE: [[bool; 2]; 2] = [[true, false], [false, true]];

/// Shows that no law is broken, and that the trial can end well after its restarts.
fn check(trial: Trial) {
    let mut well = false;
    let walked = walk(&trial, Taken::Alike, |world| {
        well |= world.restarts == trial.restarts && world.is_complete(&trial) && world.is_idle(&trial);
    });
    match walked {
        Ok(walked) => println!("{trial:?}: {walked}"),
        Err(Broken { law, steps }) => panic!("{trial:?}: not kept: {law}: {steps:#?}"),
    }
    assert!(well, "{trial:?}: all was over before the faults");
}

fn check_both_directions(trial: Trial) {
    for messages in [THREE_UP.messages, THREE_DOWN.messages] {
        check(Trial { messages, ..trial });
    }
}

#[test]
fn three_deaths_and_a_restart_without_state() {
    check_both_directions(THREE_UP);
}

#[test]
fn a_death_and_a_restart_with_or_without_state() {
    check_both_directions(Trial { durable: DURABLE, deaths: 1, ..THREE_UP });
}

#[test]
#[ignore = "millions of states"]
fn three_deaths_and_a_restart_with_or_without_state() {
    check_both_directions(Trial { durable: DURABLE, ..THREE_UP });
}

#[test]
fn two_restarts_with_or_without_state() {
    check_both_directions(Trial { durable: DURABLE, deaths: 0, restarts: 2, ..THREE_UP });
}

#[test]
fn two_restarts_and_a_second_socket_beside_a_good_one() {
    let messages = [2, 0];
    check(Trial { messages, durable: DURABLE, deaths: 0, restarts: 2, candidates: 1 });
}

#[test]
fn only_one_end_is_durable() {
    for durable in ONE_DURABLE {
        check_both_directions(Trial { durable, deaths: 1, ..THREE_UP });
    }
}

#[test]
#[ignore = "millions of states"]
fn three_deaths_and_a_restart_and_only_one_end_is_durable() {
    for durable in ONE_DURABLE {
        check_both_directions(Trial { durable, ..THREE_UP });
    }
}

#[test]
fn a_second_socket_beside_a_good_one() {
    for restarts in [0, 1] {
        check_both_directions(Trial { deaths: 2 - restarts, restarts, candidates: 1, ..THREE_UP });
    }
    check_both_directions(Trial { deaths: 1, restarts: 0, candidates: 1, durable: DURABLE, ..THREE_UP });
}

#[test]
#[ignore = "most of a million states"]
fn a_second_socket_beside_a_good_one_a_death_and_a_restart() {
    check_both_directions(Trial { deaths: 1, candidates: 1, durable: DURABLE, ..THREE_UP });
}

#[test]
fn both_ways() {
    check(Trial { restarts: 0, ..BOTH_WAYS });
    check(Trial { deaths: 1, ..BOTH_WAYS });
}

#[test]
#[ignore = "millions of states"]
fn both_ways_with_or_without_state() {
    check(Trial { deaths: 2, durable: DURABLE, ..BOTH_WAYS });
}

/// Some small trials of each kind.
fn small() -> impl Iterator<Item = Trial> {
    let faults = [(0, 1, 0), (1, 0, 0), (0, 0, 1)];
    let messages = [THREE_UP.messages, THREE_DOWN.messages, [1, 1]];
    [[false; 2], DURABLE].into_iter().chain(ONE_DURABLE).flat_map(move |durable| {
        messages.into_iter().flat_map(move |messages| {
            faults.into_iter().map(move |(deaths, restarts, candidates)| Trial {
                messages,
                deaths,
                restarts,
                candidates,
                durable,
            })
        })
    })
}

#[test]
fn the_walk_sees_what_stateright_sees() {
    for trial in small() {
        let checker = trial.checker().spawn_bfs().join();
        checker.assert_properties();
        let mut worlds = 0;
        walk(&trial, Taken::Equal, |_| worlds += 1).unwrap();
        assert_eq!(worlds, checker.unique_state_count(), "{trial:?}");
    }
}

/// Compares all worlds that can be reached: those with one key go on to the same keys.
fn check_sameness(trial: Trial) {
    let tidy = |world: &World| {
        let mut world = world.clone();
        forget(&trial, &mut world);
        world.rename_tokens();
        (key(&world), world)
    };
    let mut futures = HashMap::new();
    let mut worlds = 0;
    let walked = walk(&trial, Taken::Equal, |world| {
        worlds += 1;
        let (present, tidied) = tidy(world);
        let mut steps = Vec::new();
        world.steps(&trial, &mut steps);
        let mut future = BTreeSet::new();
        for step in steps {
            let mut next = world.clone();
            next.step(&trial, step);
            future.insert((tidy(&next).0, next.deaths, step.is_fault()));
        }
        // The last end of a socket on which nothing could be learnt.
        future.remove(&(present, world.deaths, false));
        let future = (future, tidied.is_idle(&trial), tidied.is_complete(&trial));
        match futures.entry((present, world.deaths)) {
            Entry::Vacant(entry) => drop(entry.insert(future)),
            Entry::Occupied(entry) => assert_eq!(*entry.get(), future, "{trial:?}: {world:#?}"),
        }
    });
    walked.unwrap();
    println!("{trial:?}: {worlds} worlds, {} of them different", futures.len());
}

#[test]
fn worlds_that_are_alike_stay_alike() {
    small().for_each(check_sameness);
    for messages in [THREE_UP.messages, THREE_DOWN.messages] {
        check_sameness(Trial { messages, deaths: 2, restarts: 0, ..THREE_UP });
    }
}

#[test]
#[ignore = "compares some hundred thousand worlds"]
fn worlds_that_are_alike_stay_alike_after_more_faults() {
    for trial in small() {
        check_sameness(Trial { deaths: 1, ..trial });
    }
}
