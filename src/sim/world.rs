//! The world: one link, one server, the path between them, and what is scheduled to happen.

use alloc::vec::Vec;
use core::time::Duration;

use super::ConnectionId;
use super::connection::Connection;
use super::disk::Disk;
use super::said::Said;
use super::server::{Out, Server};
use super::stream::Packet;
use crate::error::ConfigError;
use crate::link::{Action, Config, Input, Link};
use crate::outbox::{Message, MessageId, Refused};
use crate::rng::Rng;
use crate::time::Instant;

/// What the path between link and server is like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// Whether anything passes. If not, nothing says so.
    pub up: bool,
    /// One way.
    pub latency: Duration,
    /// At most this much more, drawn for each packet; packets stay in order.
    pub jitter: Duration,
    /// Round trips that opening takes: 1 for TCP, 1 for the upgrade, 1 or 2 for TLS.
    pub opening: u32,
    /// Bytes that a socket takes before the first of them has arrived.
    pub send_buffer: usize,
}

impl Default for Path {
    fn default() -> Path {
        let ms = Duration::from_millis;
        Path { up: true, latency: ms(25), jitter: ms(0), opening: 2, send_buffer: 256 << 10 }
    }
}

/// Something that changes in the world.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Change {
    /// Nothing passes any more, in either direction, and nothing says so.
    PathDown,
    /// The path is back.
    PathUp,
    /// The round trip changes (both directions have half of it).
    RoundTrip(Duration),
    /// Every connection through the path is reset, as by a middlebox.
    Cut,
    /// The path goes on, but not for the connections that exist: the phone has another address.
    NewAddress,
    /// The server's process ends; its system resets what is open and refuses what is new.
    ServerDown,
    /// The server is back, and knows of no connection.
    ServerUp,
    /// The link's process does not run for this long.
    Suspend(Duration),
    /// The link's timers fire only at multiples of this (a hidden tab), or on time again.
    Throttle(Option<Duration>),
    /// The surroundings tell the link something.
    Tell(Input<'static>),
    /// The link's user sends a message.
    Send(Message<Vec<u8>>),
    /// The link's process is killed, and is there again after this long: with what it had stored in durable mode, else with
    /// nothing. Its system resets what was open. It keeps a dialogue if the one before did, a new one.
    Kill(Duration),
    /// Storing a state takes this long from now on; `None` if it fails, after a second each time.
    Disk(Option<Duration>),
}

/// Something that happened to the link, for a look afterwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When.
    pub at: Instant,
    /// What.
    pub what: Happening,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// The link asked for this, or told it.
    Action(Action),
    /// The link delivered this to its user.
    Delivered(Vec<u8>),
    /// The link told its user this, in a dialogue.
    Said(Said),
    /// The link accepted this message.
    Accepted(MessageId),
    /// The user took it back.
    Cancelled(MessageId),
    /// The state of this version is on the disk.
    Stored(u64),
    /// The process was killed; it goes on with what is on the disk.
    Killed,
}

/// One link in its world.
#[derive(Debug)]
pub struct Sim<S> {
    pub(super) link: Link<Vec<u8>>,
    pub(super) server: S,
    pub(super) server_up: bool,
    pub(super) path: Path,
    pub(super) rng: Rng,
    pub(super) now: Instant,
    pub(super) connections: Vec<Connection>,
    pub(super) last_id: ConnectionId,
    changes: Vec<(Instant, Change)>,
    /// What the link's process is told, and does, when it runs again.
    pub(super) postponed: Vec<Change>,
    pub(super) asleep_until: Option<Instant>,
    throttle: Option<Duration>,
    pub(super) disk: Disk,
    log: Vec<Entry>,
}

impl<S: Server> Sim<S> {
    /// A world with a path of 50 ms round trip. The link is started at the origin.
    ///
    /// # Errors
    /// If the configuration cannot work.
    pub fn new(config: Config, seed: u64, server: S) -> Result<Sim<S>, ConfigError> {
        let mut rng = Rng::new(seed);
        let link = Link::new(config, rng.bits())?;
        let mut sim = Sim {
            link,
            server,
            server_up: true,
            path: Path::default(),
            rng,
            now: Instant::ORIGIN,
            connections: Vec::new(),
            last_id: 0,
            changes: Vec::new(),
            postponed: Vec::new(),
            asleep_until: None,
            throttle: None,
            disk: Disk::default(),
            log: Vec::new(),
        };
        sim.input(Input::Start);
        Ok(sim)
    }

    /// The path; change what it is like before or between runs.
    pub fn path(&mut self) -> &mut Path {
        &mut self.path
    }

    /// The link, to look at.
    pub const fn link(&self) -> &Link<Vec<u8>> {
        &self.link
    }

    /// The server.
    pub const fn server(&self) -> &S {
        &self.server
    }

    /// The server does something by itself.
    pub fn with_server<T>(&mut self, act: impl FnOnce(&mut S, Instant, &mut Out) -> T) -> T {
        let mut out = Out::default();
        let done = act(&mut self.server, self.now, &mut out);
        self.send_out(out);
        done
    }

    /// The link's user does something with it.
    pub fn with_link<T>(&mut self, act: impl FnOnce(&mut Link<Vec<u8>>, Instant) -> T) -> T {
        let done = act(&mut self.link, self.now);
        self.drain();
        done
    }

    /// The link's user takes a message back; `None` if it is too late.
    pub fn cancel(&mut self, id: MessageId) -> Option<Vec<u8>> {
        let payload = self.link.cancel(id);
        if payload.is_some() {
            self.note(Happening::Cancelled(id));
        }
        self.drain();
        payload
    }

    /// Whether the link's process does not run.
    pub const fn is_suspended(&self) -> bool {
        self.asleep_until.is_some()
    }

    /// Now.
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// All that the link asked for, told and delivered so far.
    pub fn log(&self) -> &[Entry] {
        &self.log
    }

    /// Forgets the log, in a long run.
    pub fn clear_log(&mut self) {
        self.log.clear();
    }

    /// Lets something change at a time to come; changes of one instant come in the order in which they were scheduled.
    pub fn schedule(&mut self, at: Instant, change: Change) {
        let index = self.changes.partition_point(|(other, _)| *other <= at);
        self.changes.insert(index, (at, change));
    }

    /// The link's user sends a message now.
    ///
    /// # Errors
    /// Hands it back if the link refuses it.
    pub fn send(&mut self, message: Message<Vec<u8>>) -> Result<MessageId, Refused<Vec<u8>>> {
        let mut displaced = Vec::new();
        let result = self.link.send(self.now, message, |gone, _| displaced.push(gone));
        for settlement in displaced {
            self.note(Happening::Action(Action::Settled(settlement)));
        }
        if let Ok(id) = result {
            self.note(Happening::Accepted(id));
        }
        self.drain();
        result
    }

    /// Lets time pass until `end`, with all that happens in it.
    pub fn run_until(&mut self, end: Instant) {
        self.drain();
        while let Some(at) = self.next_event().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.step();
        }
        self.now = self.now.max(end);
    }

    fn next_event(&self) -> Option<Instant> {
        let change = self.changes.first().map(|(at, _)| *at);
        let server = self.server.deadline().filter(|_| self.server_up);
        let awake = |at: Instant| self.asleep_until.map_or(at, |awake| at.max(awake));
        let streams = self.connections.iter().filter_map(|connection| connection.next(awake));
        let tick = self.link.deadline().map(|at| self.tick_at(at));
        let disk = self.disk.next().map(awake);
        [change, server, tick, disk, self.asleep_until].into_iter().flatten().chain(streams).min()
    }

    /// When a timer that is set for `at` really fires.
    fn tick_at(&self, at: Instant) -> Instant {
        let at = match self.throttle.map(|period| period.as_micros()) {
            Some(period @ 1..) => {
                let micros = u128::from(at.micros()).div_ceil(period) * period;
                Instant::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
            }
            Some(0) | None => at,
        };
        self.asleep_until.map_or(at, |awake| at.max(awake))
    }

    /// All that happens now: first the world, then what the link can read, then its timer.
    fn step(&mut self) {
        self.asleep_until = self.asleep_until.filter(|awake| *awake > self.now);
        if self.asleep_until.is_none() {
            core::mem::take(&mut self.postponed).into_iter().for_each(|change| self.change(change));
        }
        while self.changes.first().is_some_and(|(at, _)| *at <= self.now) {
            let (_, change) = self.changes.remove(0);
            if self.asleep_until.is_some() && matches!(change, Change::Tell(_) | Change::Send(_)) {
                self.postponed.push(change);
            } else {
                self.change(change);
            }
        }
        if self.server_up && self.server.deadline().is_some_and(|at| at <= self.now) {
            let mut out = Out::default();
            self.server.tick(self.now, &mut out);
            self.send_out(out);
        }
        if self.asleep_until.is_none() {
            self.disk_turns();
        }
        for index in 0..self.connections.len() {
            self.move_connection(index);
        }
        self.connections.retain(|connection| !connection.is_over());
        if self.link.deadline().is_some_and(|at| self.tick_at(at) <= self.now) {
            self.input(Input::Tick);
        }
        self.drain();
    }

    fn change(&mut self, change: Change) {
        match change {
            Change::PathDown => {
                self.path.up = false;
                for connection in &mut self.connections {
                    connection.up.path_down(self.now);
                    connection.down.path_down(self.now);
                }
            }
            Change::PathUp => self.path.up = true,
            Change::RoundTrip(time) => self.path.latency = time / 2,
            Change::Cut => self.connections.iter_mut().for_each(|c| {
                c.up.clear();
                c.down.clear();
                c.down.send(self.now, Packet::End, &self.path, &mut self.rng);
                c.up.send(self.now, Packet::End, &self.path, &mut self.rng);
            }),
            Change::NewAddress => self.connections.iter_mut().for_each(|c| {
                c.routed = false;
                c.up.path_down(self.now);
                c.down.path_down(self.now);
            }),
            Change::ServerDown => {
                self.server_up = false;
                for connection in &mut self.connections {
                    if core::mem::take(&mut connection.server) {
                        connection.down.send(self.now, Packet::End, &self.path, &mut self.rng);
                    }
                }
            }
            Change::ServerUp => {
                self.server_up = true;
                self.server.restarted(self.now);
            }
            Change::Suspend(time) => self.asleep_until = self.asleep_until.max(Some(self.now + time)),
            Change::Throttle(period) => self.throttle = period,
            Change::Tell(input) => self.input(input),
            Change::Send(message) => {
                // What is refused is in the link's metrics.
                let _ = self.send(message);
            }
            Change::Kill(away) => self.kill(away),
            Change::Disk(takes) => self.disk.takes = takes,
        }
    }

    pub(super) fn note(&mut self, what: Happening) {
        self.log.push(Entry { at: self.now, what });
    }
}
