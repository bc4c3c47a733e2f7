//! What must hold in every state, and the model that `stateright` looks through.

use stateright::{Model, Property};

use super::steps::{CONFIG, Step};
use super::world::{App, World, bit};
use super::{DOWN, Trial, UP};

type Law = (&'static str, fn(&Trial, &World) -> bool);

pub const LAWS: [Law; 6] = [
    ("in order and once, and nothing impossible is said", |_, world| world.broken.is_none()),
    ("no more is in flight than the window holds", |_, world| {
        let mut sessions = world.ends.iter().flat_map(|end| &end.sessions);
        sessions.all(|session| session.counts.in_flight() <= CONFIG.window)
    }),
    ("what is acknowledged was delivered", |_, world| {
        [UP, DOWN].into_iter().all(|end| world.ends[end].app.acknowledged & !world.ends[1 - end].app.got == 0)
    }),
    ("what was passed over is in doubt", |_, world| {
        [UP, DOWN].into_iter().all(|end| {
            let App { got, after, .. } = world.ends[1 - end].app;
            (bit(after) - 1) & !(got | world.ends[end].app.in_doubt) == 0
        })
    }),
    ("nothing is in doubt unless an end has lost its state", |_, world| {
        world.amnesia || world.ends.iter().all(|end| end.app.in_doubt == 0)
    }),
    ("where nothing is left to do, nothing is left undone", |trial, world| {
        !world.is_idle(trial) || world.is_complete(trial)
    }),
];

impl Model for Trial {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(self)]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        world.steps(self, steps);
    }

    fn next_state(&self, world: &World, step: Step) -> Option<World> {
        let mut world = world.clone();
        world.step(self, step);
        world.rename_tokens();
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Trial>> {
        let always = LAWS.into_iter().map(|(name, holds)| Property::always(name, holds));
        let sometimes =
            Property::sometimes("all is delivered after every fault", |trial: &Trial, world: &World| {
                let faults = world.deaths == trial.deaths && world.restarts == trial.restarts;
                faults && world.is_complete(trial)
            });
        always.chain([sometimes]).collect()
    }
}
