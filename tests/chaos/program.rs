//! What happens in one world: made of a seed.

use core::time::Duration;

use everlink::backoff::Jitter;
use everlink::delivery::InDoubt;
use everlink::link::{self, Candidate};
use everlink::outbox::{Policy, Priority};
use everlink::peer::{self, Slow};
use everlink::rng::Rng;
use everlink::wire::Wire;
use everlink::wire::native::Limits;

use super::talk::CHANNELS;

const MS: fn(u64) -> Duration = Duration::from_millis;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Client,
    Server,
}

/// What a process may lose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// Nothing: the processes live, whatever befalls their sockets. Nothing may be in doubt.
    Lives,
    /// Both ends are killed and restored in durable mode. Nothing may be in doubt.
    Durable,
    /// Everything: processes are killed and forget, sessions expire, the user stops and starts again.
    Forgets,
}

/// The numbers of both ends.
#[derive(Clone, Debug)]
pub struct Setup {
    pub memory: Memory,
    pub window: u32,
    pub window_bytes: u32,
    pub ack_after: u32,
    pub ack_delay: u64,
    pub messages: u32,
    pub bytes: u32,
    pub policy: Policy,
    pub in_doubt: InDoubt,
    pub candidate: bool,
    /// How long the server keeps a session, in seconds.
    pub keep: u64,
    pub slow: Slow,
}

/// Times are in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Pass(u64),
    Send {
        end: End,
        count: u32,
        size: u32,
        priority: Priority,
        key: Option<u64>,
        ttl: Option<u64>,
    },
    /// One that was accepted last.
    Cancel(End),
    /// Something is asked of the other end; of the server, perhaps again if the session is lost.
    Ask {
        end: End,
        again: bool,
    },
    Subscribe(usize),
    Unsubscribe(usize),
    Publish(usize),
    /// Nothing passes for so long, and nothing says so.
    Hole(u64),
    Cut,
    NewAddress,
    RoundTrip(u64),
    Jitter(u64),
    /// A socket takes so many bytes.
    Buffer(usize),
    Suspend(u64),
    Throttle(Option<u64>),
    Offline(u64),
    Hidden(u64),
    ServerRestart {
        forgets: bool,
        down: u64,
    },
    ClientKilled {
        away: u64,
    },
    Disk(Option<u64>),
    Stop {
        linger: u64,
        off: u64,
    },
}

#[derive(Clone, Debug)]
pub struct Program {
    pub seed: u64,
    pub setup: Setup,
    pub steps: Vec<Step>,
}

/// The luck of the draw.
struct Dice(Rng);

impl Dice {
    fn up_to(&mut self, max: u64) -> u64 {
        self.0.up_to(max)
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.up_to(n - 1) == 0
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.up_to(all.len() as u64 - 1) as usize]
    }

    /// Mostly short, now and then beyond every bound.
    fn span(&mut self) -> u64 {
        match self.up_to(19) {
            0..=9 => self.up_to(200),
            10..=16 => self.up_to(3_000),
            17..=18 => self.up_to(15_000),
            _ => self.up_to(90_000),
        }
    }
}

impl Program {
    pub fn new(seed: u64) -> Program {
        let mut dice = Dice(Rng::new(seed ^ 0x0C4A_0500_0000_0000));
        let memory = dice.of(&[Memory::Lives, Memory::Durable, Memory::Forgets]);
        let forgets = memory == Memory::Forgets;
        let setup = Setup {
            memory,
            window: dice.of(&[1, 2, 3, 8, 64, 64, 64]),
            window_bytes: dice.of(&[100, 5_000, 256 << 10]),
            ack_after: dice.of(&[1, 3, 16]),
            ack_delay: dice.of(&[0, 50, 50, 200]),
            messages: dice.of(&[2, 20, 100, 400, 400]),
            bytes: dice.of(&[5_000, 1 << 20, 1 << 20]),
            policy: dice.of(&[Policy::DropOldest, Policy::DropLowest, Policy::Refuse]),
            in_doubt: dice.of(&[InDoubt::Settle, InDoubt::Resend]),
            candidate: !dice.one_in(3),
            keep: if forgets && dice.one_in(2) { 5 + dice.up_to(30) } else { 24 * 3600 },
            slow: if forgets && dice.one_in(3) { Slow::Close } else { Slow::Drop },
        };
        let length = 20 + dice.up_to(140);
        let mut steps: Vec<Step> = (0..length).map(|_| step(&mut dice, memory)).collect();
        if dice.one_in(2) {
            let silent = core::mem::take(&mut steps);
            steps.extend(silent.into_iter().flat_map(|step| [Some(step), talk(&mut dice)]).flatten());
        }
        Program { seed, setup, steps }
    }

    pub fn link(&self) -> link::Config {
        let setup = &self.setup;
        let mut config = link::Config { wire: Wire::Native(Limits::default()), ..link::Config::default() };
        config.backoff.attempts = None;
        config.backoff.jitter = Jitter::Equal;
        config.backoff.base = MS(200);
        config.backoff.cap = MS(5_000);
        config.candidate = if setup.candidate { Candidate::On } else { Candidate::Off };
        config.delivery.durable = setup.memory == Memory::Durable;
        bounds(setup, &mut config.delivery, &mut config.outbox);
        config
    }

    pub fn peer(&self) -> peer::Config {
        let mut config = peer::Config::default();
        bounds(&self.setup, &mut config.delivery, &mut config.outbox);
        config.delivery.durable = self.setup.memory == Memory::Durable;
        config.slow = self.setup.slow;
        config.acceptor.sessions.count = 8;
        config.acceptor.sessions.keep = Duration::from_secs(self.setup.keep);
        config
    }
}

fn bounds(setup: &Setup, delivery: &mut everlink::delivery::Config, outbox: &mut everlink::outbox::Config) {
    delivery.window = setup.window;
    delivery.window_bytes = setup.window_bytes;
    delivery.ack_after = setup.ack_after;
    delivery.ack_delay = MS(setup.ack_delay);
    delivery.in_doubt = setup.in_doubt;
    outbox.messages = setup.messages;
    outbox.bytes = setup.bytes;
    outbox.message_bytes = setup.bytes;
    outbox.policy = setup.policy;
}

/// A dialogue, beside what else happens.
fn talk(dice: &mut Dice) -> Option<Step> {
    let which = dice.up_to(CHANNELS.len() as u64 - 1) as usize;
    Some(match dice.up_to(19) {
        0..=4 => Step::Ask { end: End::Client, again: dice.one_in(2) },
        5..=6 => Step::Ask { end: End::Server, again: false },
        7..=8 => Step::Subscribe(which),
        9 => Step::Unsubscribe(which),
        10..=12 => Step::Publish(which),
        _ => return None,
    })
}

fn step(dice: &mut Dice, memory: Memory) -> Step {
    match dice.up_to(99) {
        0..=24 => Step::Pass(dice.span()),
        25..=71 => Step::Send {
            end: dice.of(&[End::Client, End::Server]),
            count: 1 + dice.up_to(40) as u32,
            size: if dice.one_in(10) { dice.up_to(4_000) } else { dice.up_to(60) } as u32,
            priority: dice.of(&[Priority::High, Priority::Normal, Priority::Normal, Priority::Low]),
            key: if dice.one_in(6) { Some(dice.up_to(3)) } else { None },
            ttl: if dice.one_in(6) { Some(dice.up_to(3_000)) } else { None },
        },
        72..=73 => Step::Cancel(dice.of(&[End::Client, End::Server])),
        74..=81 => Step::Cut,
        82..=83 => Step::NewAddress,
        84..=85 => Step::Hole(dice.span()),
        86 => Step::RoundTrip(dice.up_to(900)),
        87 => Step::Jitter(dice.up_to(300)),
        88 => Step::Buffer(dice.of(&[1, 100, 5_000, 256 << 10])),
        89 => Step::Suspend(dice.span()),
        90 => Step::Throttle(if dice.one_in(2) { Some(dice.of(&[100, 1_000, 60_000])) } else { None }),
        91 => Step::Offline(dice.span()),
        92 => Step::Hidden(dice.span()),
        93..=95 => {
            let forgets = memory == Memory::Forgets && dice.one_in(3);
            Step::ServerRestart { forgets, down: dice.span() }
        }
        _ => match memory {
            Memory::Lives => Step::Cut,
            Memory::Durable if dice.one_in(2) => {
                Step::Disk(if dice.one_in(4) { None } else { Some(dice.up_to(300)) })
            }
            Memory::Forgets if dice.one_in(2) => {
                Step::Stop { linger: dice.of(&[0, 10, 3_000]), off: dice.span() }
            }
            Memory::Durable | Memory::Forgets => Step::ClientKilled { away: dice.span() },
        },
    }
}
