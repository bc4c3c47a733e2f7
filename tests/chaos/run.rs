//! Plays a program and compares what the two ends say with what an oracle knows.

use core::ops::AddAssign;
use core::time::Duration;

use everlink::delivery::InDoubt;
use everlink::link::{Action, Input, Status};
use everlink::outbox::{Key, Message, Outcome, Priority, Settlement};
use everlink::sim::{Change, Happening, Sim};
use everlink::time::Instant;

use super::host::{Host, Seen};
use super::ledger::{Broken, Ledger, Owner};
use super::program::{End, Memory, Program, Step};
use super::talk::{CHANNELS, How, Talk};

const MS: fn(u64) -> Duration = Duration::from_millis;

/// What was done, in numbers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    pub programs: u64,
    /// Accepted by either end.
    pub messages: u64,
    pub refused: u64,
    pub arrived: u64,
    pub acknowledged: u64,
    pub in_doubt: u64,
    /// Expired, evicted, replaced, cancelled, stopped, too large.
    pub never_sent: u64,
    /// Sockets that were open, and died.
    pub deaths: u64,
    pub resumptions: u64,
    pub sessions: u64,
    /// Of the client's process, and of the server's.
    pub restarts: u64,
    pub virtual_seconds: u64,
    /// Asked by either end.
    pub requests: u64,
}

impl AddAssign for Totals {
    fn add_assign(&mut self, other: Totals) {
        self.programs += other.programs;
        self.messages += other.messages;
        self.refused += other.refused;
        self.arrived += other.arrived;
        self.acknowledged += other.acknowledged;
        self.in_doubt += other.in_doubt;
        self.never_sent += other.never_sent;
        self.deaths += other.deaths;
        self.resumptions += other.resumptions;
        self.sessions += other.sessions;
        self.restarts += other.restarts;
        self.virtual_seconds += other.virtual_seconds;
        self.requests += other.requests;
    }
}

/// What the client's application saw and did since it began: what is after the last stored state is undone by a kill.
pub enum Done {
    Accepted(usize),
    Settled(usize),
    Got(usize),
    Asked(Vec<u8>),
    /// On a channel, with what came on it before.
    Came(usize, u64),
}

struct World {
    sim: Sim<Host>,
    memory: Memory,
    resends: bool,
    /// What the client sends, and what the server does.
    up: Ledger,
    down: Ledger,
    client: Owner,
    journal: Vec<Done>,
    /// How much of the journal is in a state that is on its way to the disk, and on it.
    storing: usize,
    stored: usize,
    /// The message that is being sent.
    sending: (Priority, bool),
    server_back: Instant,
    stopped: u64,
    refused: u64,
    restarts: u64,
    talk: Talk,
}

/// Plays it to its end.
///
/// # Errors
/// Says which promise was broken, and after how many steps.
pub fn run(program: &Program) -> Result<Totals, String> {
    let played = std::panic::catch_unwind(|| play(program));
    played.unwrap_or_else(|panic| {
        let words = panic.downcast_ref::<String>().map(String::as_str);
        Err(format!("panic: {}", words.or(panic.downcast_ref::<&str>().copied()).unwrap_or_default()))
    })
}

fn play(program: &Program) -> Result<Totals, String> {
    let mut world = World::new(program)?;
    // A session that its client never heard of is lost with the socket: here they know each other.
    world.pass(1_000)?;
    for (index, step) in program.steps.iter().enumerate() {
        world.step(step).map_err(|broken| format!("{broken}, at step {index} of {}", program.steps.len()))?;
    }
    world.wind_up(program).map_err(|broken| format!("{broken}, when all was well again"))
}

/// The smallest program that still fails, and how it does.
pub fn shrink(program: &Program) -> (Program, String) {
    let mut best = program.clone();
    let Err(mut broken) = run(&best) else { return (best, "it does not fail".into()) };
    let mut chunk = best.steps.len().div_ceil(2);
    while chunk > 0 {
        let (mut start, mut smaller) = (0, false);
        while start < best.steps.len() {
            let mut steps = best.steps.clone();
            steps.drain(start..(start + chunk).min(best.steps.len()));
            let trial = Program { steps, ..best.clone() };
            match run(&trial) {
                Err(said) => (best, broken, smaller) = (trial, said, true),
                Ok(_) => start += chunk,
            }
        }
        if !smaller || chunk > 1 {
            chunk /= 2;
        }
    }
    // And each of its sends as small as can be.
    for index in 0..best.steps.len() {
        for fewer in [1, 2, 4, 8] {
            let mut trial = best.clone();
            if let Step::Send { count, size, .. } = &mut trial.steps[index]
                && *count > fewer
            {
                (*count, *size) = (fewer, 0);
                if let Err(said) = run(&trial) {
                    (best, broken) = (trial, said);
                    break;
                }
            }
        }
    }
    (best, broken)
}

fn payload(number: usize, size: u32) -> Vec<u8> {
    let mut text = format!("{number} ").into_bytes();
    text.resize(text.len() + size as usize, b'a' + (number % 26) as u8);
    text
}

/// The number of a message, if it is as it was sent.
fn number_of(data: &[u8]) -> Result<usize, String> {
    let text = str::from_utf8(data).map_err(|_| "a message came that nobody sent")?;
    let (number, filling) = text.split_once(' ').ok_or("a message came that nobody sent")?;
    let number: usize = number.parse().map_err(|_| "a message came that nobody sent")?;
    let whole = filling.bytes().all(|byte| byte == b'a' + (number % 26) as u8);
    if whole { Ok(number) } else { Err(format!("{number} was damaged on the way")) }
}

impl World {
    fn new(program: &Program) -> Result<World, String> {
        let host = Host::new(program.peer());
        let mut sim = Sim::new(program.link(), program.seed, host).map_err(|error| error.to_string())?;
        sim.with_link(|link, _| link.open_dialogue());
        Ok(World {
            sim,
            memory: program.setup.memory,
            resends: program.setup.in_doubt == InDoubt::Resend,
            up: Ledger::new("client's"),
            down: Ledger::new("server's"),
            client: 0,
            journal: Vec::new(),
            storing: 0,
            stored: 0,
            sending: (Priority::Normal, false),
            server_back: Instant::ORIGIN,
            stopped: 0,
            refused: 0,
            restarts: 0,
            talk: Talk::default(),
        })
    }

    fn step(&mut self, step: &Step) -> Broken {
        let now = self.sim.now();
        match *step {
            Step::Pass(millis) => self.pass(millis)?,
            Step::Send { end, count, size, priority, key, ttl } => {
                for _ in 0..count {
                    let number = match end {
                        End::Client => self.up.next(),
                        End::Server => self.down.next(),
                    };
                    let mut message = Message::text(payload(number, size)).with_priority(priority);
                    message.key = key.map(Key::new);
                    message.ttl = ttl.map(MS);
                    self.send(end, message)?;
                }
            }
            Step::Cancel(end) => self.cancel(end)?,
            Step::Ask { end: End::Client, .. } | Step::Subscribe(_) | Step::Unsubscribe(_)
                if self.sim.is_suspended() => {}
            Step::Ask { end: End::Server, .. } | Step::Publish(_) if self.server_back > now => {}
            Step::Ask { end: End::Client, again } => {
                let mut displaced = Vec::new();
                self.talk.ask(&mut self.sim, again, |gone| displaced.push(gone));
                self.displaced(&displaced)?;
            }
            Step::Ask { end: End::Server, .. } => self.talk.ask_client(&mut self.sim),
            Step::Subscribe(which) => self.talk.subscribe(&mut self.sim, which),
            Step::Unsubscribe(which) => self.talk.unsubscribe(&mut self.sim, which)?,
            Step::Publish(which) => self.talk.publish(&mut self.sim, which),
            Step::Hole(millis) => self.between(millis, Change::PathDown, Change::PathUp),
            Step::Cut => self.change(Change::Cut),
            Step::NewAddress => self.change(Change::NewAddress),
            Step::RoundTrip(millis) => self.change(Change::RoundTrip(MS(millis))),
            Step::Jitter(millis) => self.sim.path().jitter = MS(millis),
            Step::Buffer(bytes) => self.sim.path().send_buffer = bytes,
            Step::Suspend(millis) => self.change(Change::Suspend(MS(millis))),
            Step::Throttle(millis) => self.change(Change::Throttle(millis.map(MS))),
            Step::Offline(millis) => self.tell(millis, Input::Offline, Input::Online),
            Step::Hidden(millis) => self.tell(millis, Input::Hidden, Input::Visible),
            Step::ServerRestart { .. } if self.server_back > now => {}
            Step::ServerRestart { forgets, down } => {
                self.restarts += 1;
                self.server_back = now + MS(down + 1);
                self.sim.with_server(|host, _, _| host.forgets = forgets);
                self.between(down + 1, Change::ServerDown, Change::ServerUp);
            }
            Step::ClientKilled { away } => {
                self.restarts += 1;
                self.change(Change::Kill(MS(away)));
            }
            Step::Disk(takes) => self.change(Change::Disk(takes.map(MS))),
            Step::Stop { linger, off } => {
                self.stopped += 1;
                self.tell(off, Input::Stop { linger: MS(linger) }, Input::Start);
            }
        }
        self.look()
    }

    fn change(&mut self, change: Change) {
        self.sim.schedule(self.sim.now(), change);
        self.sim.run_until(self.sim.now());
    }

    fn between(&mut self, millis: u64, first: Change, then: Change) {
        self.sim.schedule(self.sim.now() + MS(millis.max(1)), then);
        self.change(first);
    }

    fn tell(&mut self, millis: u64, first: Input<'static>, then: Input<'static>) {
        self.between(millis, Change::Tell(first), Change::Tell(then));
    }

    fn pass(&mut self, millis: u64) -> Broken {
        let (now, end) = (self.sim.now(), self.sim.now() + MS(millis));
        if self.server_back > now && self.server_back < end {
            // What a killed server does not know of is undone before it says anything.
            self.sim.run_until(self.server_back);
            self.look()?;
        }
        self.sim.run_until(end);
        self.look()
    }

    fn send(&mut self, end: End, message: Message<Vec<u8>>) -> Broken {
        let (priority, keyed) = (message.priority, message.key.is_some());
        match end {
            // A process that does not run sends nothing.
            End::Client if self.sim.is_suspended() => {}
            End::Client => {
                self.sending = (priority, keyed);
                self.refused += u64::from(self.sim.send(message).is_err());
                self.look()?;
            }
            End::Server if self.server_back > self.sim.now() => {}
            End::Server => {
                let said = self.sim.with_server(|host, now, out| {
                    let owner = host.speaker()?;
                    Some((owner, host.say(now, message, out)))
                });
                match said {
                    Some((owner, Some(id))) => self.down.accepted(owner, id, priority, keyed)?,
                    Some((_, None)) => self.refused += 1,
                    None => {}
                }
                self.look()?;
            }
        }
        Ok(())
    }

    fn cancel(&mut self, end: End) -> Broken {
        match end {
            End::Client if self.sim.is_suspended() => {}
            End::Client => {
                if let Some(id) = self.up.latest(self.client) {
                    self.sim.cancel(id);
                }
            }
            End::Server if self.server_back > self.sim.now() => {}
            End::Server => {
                let ledger = &self.down;
                let done = self.sim.with_server(|host, now, out| {
                    let owner = host.speaker()?;
                    let id = ledger.latest(owner)?;
                    host.cancel(now, id, out).then_some((owner, id))
                });
                if let Some((owner, id)) = done {
                    self.down.settled(owner, id, Outcome::Cancelled)?;
                }
            }
        }
        Ok(())
    }

    /// What was seen at both ends since the last look.
    fn look(&mut self) -> Broken {
        let (seen, opened, ended, lost) = self.sim.with_server(|host, _, _| {
            (core::mem::take(&mut host.seen), host.opened, host.ended, core::mem::take(&mut host.lost))
        });
        // Only with the session itself does one lose count.
        self.up.doubts |= opened > 1 || self.stopped > 0;
        self.down.doubts |= ended > 0;
        self.up.repeats |= self.resends && opened > 1;
        for what in &seen {
            match what {
                Seen::Got(data) => self.up.got(number_of(data)?)?,
                Seen::NotGot(data) => self.up.undo_got(number_of(data)?),
                Seen::Asked(what) => self.talk.done(what),
                Seen::NotAsked(what) => self.talk.undo_done(what),
                Seen::Settled(..)
                | Seen::NotSettled(..)
                | Seen::NotAccepted(..)
                | Seen::Answered(..)
                | Seen::Ended(..)
                | Seen::Restarted => {}
            }
        }
        self.look_at_client()?;
        for what in seen {
            match what {
                Seen::Settled(owner, id, outcome) => drop(self.down.settled(owner, id, outcome)?),
                Seen::NotSettled(owner, id) => self.down.undo_settled(self.down.number_of(owner, id)?),
                Seen::NotAccepted(owner, id) => self.down.undo_accepted(self.down.number_of(owner, id)?)?,
                Seen::Answered(session, id, Ok(())) => self.talk.ended(session, id, How::Answered)?,
                Seen::Answered(session, id, Err(code)) => self.talk.ended(session, id, How::Refused(code))?,
                Seen::Ended(session, ended) => {
                    self.talk.ended(session, ended.id.get(), How::None(ended.end))?;
                }
                Seen::Restarted => self.talk.forget_server(),
                Seen::Got(_) | Seen::NotGot(_) | Seen::Asked(_) | Seen::NotAsked(_) => {}
            }
        }
        if !lost.is_empty() {
            self.talk.forget_server();
        }
        lost.into_iter().for_each(|owner| self.down.forget(owner));
        self.talk.looked(self.up.doubts || self.down.doubts || self.client > 0, self.resends)?;
        self.up.looked()?;
        self.down.looked()
    }

    fn look_at_client(&mut self) -> Broken {
        for entry in self.sim.log() {
            match &entry.what {
                Happening::Accepted(id) => {
                    self.journal.push(Done::Accepted(self.up.next()));
                    self.up.accepted(self.client, *id, self.sending.0, self.sending.1)?;
                }
                Happening::Cancelled(id) => {
                    let number = self.up.settled(self.client, *id, Outcome::Cancelled)?;
                    self.journal.push(Done::Settled(number));
                }
                Happening::Action(Action::Settled(end)) => {
                    let number = self.up.settled(self.client, end.id, end.outcome)?;
                    self.journal.push(Done::Settled(number));
                }
                Happening::Delivered(data) => {
                    let number = number_of(data)?;
                    self.down.got(number)?;
                    self.journal.push(Done::Got(number));
                }
                Happening::Action(Action::Store { .. }) => self.storing = self.journal.len(),
                Happening::Stored(_) => self.stored = self.storing,
                Happening::Killed if self.memory == Memory::Durable => {
                    for done in self.journal.drain(self.stored..).rev() {
                        match done {
                            Done::Accepted(number) => self.up.undo_accepted(number)?,
                            Done::Settled(number) => self.up.undo_settled(number),
                            Done::Got(number) => self.down.undo_got(number),
                            Done::Asked(what) => self.talk.undo_done(&what),
                            Done::Came(which, before) => self.talk.undo_came(which, before),
                        }
                    }
                    self.storing = self.stored;
                    self.talk.forget_client();
                }
                Happening::Killed => {
                    self.talk.forget_client();
                    self.up.forget(self.client);
                    self.client += 1;
                }
                Happening::Action(Action::Ended(ended)) => {
                    self.talk.ended(0, ended.id.get(), How::None(ended.end))?;
                }
                Happening::Said(said) => self.journal.extend(self.talk.heard(said)?),
                Happening::Action(_) => {}
            }
        }
        self.sim.clear_log();
        if !self.sim.is_suspended() {
            let displaced = self.talk.answer(&mut self.sim);
            self.displaced(&displaced)?;
        }
        Ok(())
    }

    /// The client's user was told at once.
    fn displaced(&mut self, gone: &[Settlement]) -> Broken {
        for end in gone {
            let number = self.up.settled(self.client, end.id, end.outcome)?;
            self.journal.push(Done::Settled(number));
        }
        Ok(())
    }

    /// All is well again, for long: everything has come to its end.
    fn wind_up(mut self, program: &Program) -> Result<Totals, String> {
        self.pass(100_000)?; // whatever was to last for a while is over
        self.change(Change::RoundTrip(MS(50)));
        self.change(Change::Throttle(None));
        self.change(Change::Disk(Some(Duration::ZERO)));
        self.sim.path().jitter = Duration::ZERO;
        self.sim.path().send_buffer = 256 << 10;
        self.pass(300_000)?;
        if self.sim.link().status() != Status::Connected {
            return Err(format!("the link is {:?}", self.sim.link().state()));
        }
        self.up.close()?;
        self.talk.close()?;
        // Sessions that nobody comes back to hold what was sent to them, and that may be all the room that the server has.
        let left = self.sim.server().len();
        if left != 1 {
            self.pass(program.setup.keep * 1_000 + 1_000)?;
        }
        self.talk.begin_last();
        for which in 0..CHANNELS.len() {
            // One after the other, for there may be room for one only.
            self.talk.publish(&mut self.sim, which);
            self.pass(5_000)?;
        }
        self.talk.all_came()?;
        self.talk.is_known(self.sim.server())?;
        self.down.close()?;
        let host = self.sim.server();
        if program.setup.memory != Memory::Forgets && host.opened != 1 {
            return Err(format!("{} sessions, and nobody forgot one", host.opened));
        }
        let both = [&self.up, &self.down];
        let sum = |count: &dyn Fn(&Ledger) -> u64| both.iter().map(|ledger| count(ledger)).sum::<u64>();
        let ends = |outcome| sum(&|ledger| ledger.count(outcome));
        let (acknowledged, in_doubt) = (ends(Outcome::Acknowledged), ends(Outcome::InDoubt));
        Ok(Totals {
            programs: 1,
            messages: sum(&Ledger::len),
            refused: self.refused,
            arrived: sum(&Ledger::arrived),
            acknowledged,
            in_doubt,
            never_sent: sum(&|ledger| ledger.ended(Outcome::never_sent)),
            deaths: host.sockets.saturating_sub(1),
            resumptions: host.resumed,
            sessions: host.opened,
            restarts: self.restarts,
            virtual_seconds: self.sim.now().micros() / 1_000_000,
            requests: self.talk.len(),
        })
    }
}
