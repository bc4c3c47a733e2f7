//! A walk over all worlds that can be reached, with nine bytes kept of each: it finds a broken law, and a way back to a world that
//! was on the way already, which would be something that can go on for ever without getting anywhere.
//!
//! It goes once for each number of deaths: first over what is reached without one, then over that again and from everywhere in
//! it over what is reached with one, and so on. So a world is first seen with as few deaths as can lead to it, and when it is
//! come upon after more of them, all that can follow was seen.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::hash::{BuildHasherDefault, DefaultHasher, Hash, Hasher};

use super::Trial;
use super::laws::LAWS;
use super::sameness::{forget, key};
use super::steps::Step;
use super::world::World;

/// Which worlds are taken for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Those that are equal in everything, as `stateright` does.
    Equal,
    /// Those that [differ in nothing that matters](super::sameness).
    Alike,
}

pub struct Walked {
    /// How many were first reached after no death, after one, and so on.
    pub states: Vec<usize>,
    pub steps: u64,
    /// How many worlds there are on the longest way that was walked.
    pub depth: usize,
}

impl fmt::Display for Walked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Walked { states, steps, depth } = self;
        write!(f, "{} states {states:?}, {steps} steps, depth {depth}", states.iter().sum::<usize>())
    }
}

/// What was found to be wrong, and what leads to it.
#[derive(Debug)]
pub struct Broken {
    pub law: &'static str,
    pub steps: Vec<Step>,
}

/// # Errors
/// If a law is broken.
pub fn walk(trial: &Trial, taken: Taken, see: impl FnMut(&World)) -> Result<Walked, Broken> {
    let walked = Walked { states: Vec::new(), steps: 0, depth: 0 };
    let mut walk = Walk { trial, taken, see, seen: HashMap::default(), way: Vec::new(), pass: 0, walked };
    let passes = if taken == Taken::Alike { trial.deaths } else { 0 };
    for pass in 0..=passes {
        walk.pass = pass;
        let before = walk.seen.len();
        if let Err(law) = walk.pass() {
            return Err(Broken {
                law,
                steps: walk.way.iter().map(|place| place.steps[place.next - 1]).collect(),
            });
        }
        walk.walked.states.push(walk.seen.len() - before);
    }
    Ok(walk.walked)
}

struct Walk<'a, F> {
    trial: &'a Trial,
    taken: Taken,
    see: F,
    seen: HashMap<[u8; 8], Mark, BuildHasherDefault<Itself>>,
    way: Vec<Place>,
    pass: u8,
    walked: Walked,
}

/// Where the walk came by and has not tried everything yet.
struct Place {
    world: World,
    key: [u8; 8],
    steps: Vec<Step>,
    next: usize,
}

/// What is known of a world. A byte.
#[derive(Clone, Copy)]
struct Mark(u8);

impl Mark {
    const ON_THE_WAY: u8 = 1 << 7;

    fn new(deaths: u8, pass: u8) -> Mark {
        Mark(deaths | pass << 3 | Mark::ON_THE_WAY)
    }

    fn deaths(self) -> u8 {
        self.0 & 7
    }

    /// The last pass that came by.
    fn pass(self) -> u8 {
        self.0 >> 3 & 7
    }

    fn is_on_the_way(self) -> bool {
        self.0 & Mark::ON_THE_WAY != 0
    }

    fn leave(&mut self) {
        self.0 &= !Mark::ON_THE_WAY;
    }
}

/// A key is a hash already.
#[derive(Default)]
struct Itself(u64);

impl Hasher for Itself {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = u64::from_ne_bytes(bytes.try_into().unwrap());
    }
}

impl<F: FnMut(&World)> Walk<'_, F> {
    fn pass(&mut self) -> Result<(), &'static str> {
        self.come_to(World::new(self.trial))?;
        while let Some(place) = self.way.last_mut() {
            let Some(&step) = place.steps.get(place.next) else {
                self.seen.get_mut(&place.key).unwrap().leave();
                self.way.pop();
                continue;
            };
            place.next += 1;
            if matches!(step, Step::Die(..)) && self.taken == Taken::Alike && place.world.deaths == self.pass
            {
                continue;
            }
            let mut world = place.world.clone();
            world.step(self.trial, step);
            if self.taken == Taken::Alike {
                forget(self.trial, &mut world);
            }
            world.rename_tokens();
            self.walked.steps += 1;
            self.come_to(world)?;
        }
        Ok(())
    }

    fn come_to(&mut self, world: World) -> Result<(), &'static str> {
        let (key, deaths) = match self.taken {
            Taken::Equal => (equal(&world), 0),
            Taken::Alike => (key(&world), world.deaths),
        };
        let key = key.to_ne_bytes();
        let mark = Mark::new(deaths, self.pass);
        match self.seen.entry(key) {
            Entry::Vacant(entry) => {
                entry.insert(mark);
                if let Some((law, _)) = LAWS.iter().find(|(_, holds)| !holds(self.trial, &world)) {
                    return Err(law);
                }
                (self.see)(&world);
            }
            Entry::Occupied(mut entry) => {
                let seen = *entry.get();
                match seen.deaths().cmp(&deaths) {
                    std::cmp::Ordering::Less => return Ok(()),
                    std::cmp::Ordering::Equal if seen.is_on_the_way() => {
                        return Err("nothing goes in circles");
                    }
                    std::cmp::Ordering::Equal if seen.pass() == self.pass => return Ok(()),
                    std::cmp::Ordering::Equal => drop(entry.insert(mark)),
                    std::cmp::Ordering::Greater => {
                        unreachable!("earlier passes saw all that fewer deaths lead to")
                    }
                }
            }
        }
        let mut steps = Vec::new();
        world.steps(self.trial, &mut steps);
        self.way.push(Place { world, key, steps, next: 0 });
        self.walked.depth = self.walked.depth.max(self.way.len());
        Ok(())
    }
}

fn equal(world: &World) -> u64 {
    let mut hasher = DefaultHasher::new();
    world.hash(&mut hasher);
    hasher.finish()
}
