//! The world: one link, one server, the path between them, and what is scheduled to happen.

use alloc::vec::Vec;
use core::time::Duration;

use super::ConnectionId;
use super::disk::Disk;
use super::server::{Out, Server};
use super::stream::{Packet, Stream};
use crate::error::ConfigError;
use crate::link::{Action, Close, Config, Delivery, Epoch, Event, Failure, Input, Link, Next};
use crate::outbox::{Kind, Message, MessageId, Refused};
use crate::rng::Rng;
use crate::time::Instant;
use crate::wire::Opcode;

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
    /// nothing. Its system resets what was open.
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
    /// The link accepted this message.
    Accepted(MessageId),
    /// The user took it back.
    Cancelled(MessageId),
    /// The state of this version is on the disk.
    Stored(u64),
    /// The process was killed; it goes on with what is on the disk.
    Killed,
}

/// A connection, from the first packet of its opening to the last byte of either side.
#[derive(Debug)]
struct Connection {
    id: ConnectionId,
    epoch: Epoch,
    stage: Stage,
    /// Whether the link still has its end, and the server its own.
    client: bool,
    server: bool,
    /// Whether the path lets it pass, apart from being up: not after the address changed.
    routed: bool,
    up: Stream,
    down: Stream,
    /// Payload bytes of messages that the link handed over, and those of them that were told to be written.
    pulled: u64,
    written: u64,
    blocked: bool,
}

impl Connection {
    const fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Open)
    }
}

#[derive(Debug)]
enum Stage {
    /// The next attempt to get a first packet through, and the wait before the one after that.
    Knocking(Instant, Duration),
    /// Refused or accepted; the link learns of it then.
    Answered(Instant, bool),
    Open,
}

/// One link in its world.
#[derive(Debug)]
pub struct Sim<S> {
    pub(super) link: Link<Vec<u8>>,
    server: S,
    server_up: bool,
    path: Path,
    pub(super) rng: Rng,
    pub(super) now: Instant,
    connections: Vec<Connection>,
    last_id: ConnectionId,
    changes: Vec<(Instant, Change)>,
    /// What the link's process is told, and does, when it runs again.
    pub(super) postponed: Vec<Change>,
    pub(super) asleep_until: Option<Instant>,
    throttle: Option<Duration>,
    pub(super) disk: Disk,
    log: Vec<Entry>,
}

/// The first knock that is lost is repeated after a second, then after two more, … (RFC 6298, section 2.1).
const FIRST_KNOCK: Duration = Duration::from_secs(1);

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
        let streams = self.connections.iter().filter_map(|connection| match connection.stage {
            Stage::Knocking(at, _) => Some(at),
            Stage::Answered(at, _) => Some(awake(at)),
            Stage::Open => {
                [connection.up.next(), connection.down.next().map(awake)].into_iter().flatten().min()
            }
        });
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
        self.connections.retain(|c| c.client || (c.is_open() && (c.server || !c.up.is_empty())));
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

    /// The link's system closes what its process had open. What was handed to it may still arrive.
    pub(super) fn reset_sockets(&mut self) {
        for index in 0..self.connections.len() {
            let path = self.path_of(index);
            if let Some(connection) = self.connections.get_mut(index).filter(|c| c.client) {
                connection.client = false;
                connection.up.send(self.now, Packet::End, &path, &mut self.rng);
            }
        }
    }

    /// What the path is like for one connection.
    fn path_of(&self, index: usize) -> Path {
        let routed = self.connections.get(index).is_some_and(|connection| connection.routed);
        Path { up: self.path.up && routed, ..self.path.clone() }
    }

    fn move_connection(&mut self, index: usize) {
        let path = self.path_of(index);
        let Some(connection) = self.connections.get_mut(index).filter(|c| c.client || c.is_open()) else {
            return;
        };
        let (epoch, round_trip) = (connection.epoch, path.latency * 2);
        match connection.stage {
            Stage::Knocking(at, wait) if at <= self.now => {
                connection.stage = if path.up {
                    let rounds = if self.server_up { path.opening } else { 1 };
                    Stage::Answered(at + round_trip * rounds, self.server_up)
                } else {
                    Stage::Knocking(at + wait, wait * 2)
                };
            }
            Stage::Answered(at, accepted) if at <= self.now && self.asleep_until.is_none() => {
                if accepted && self.server_up && path.up {
                    connection.stage = Stage::Open;
                    connection.server = true;
                    let id = connection.id;
                    let mut out = Out::default();
                    self.server.opened(self.now, id, &mut out);
                    self.send_out(out);
                    self.event(epoch, Event::Opened);
                } else if path.up {
                    connection.client = false;
                    self.event(epoch, Event::Failed(Failure::Connect));
                } else {
                    connection.stage = Stage::Knocking(self.now + FIRST_KNOCK, FIRST_KNOCK * 2);
                }
            }
            Stage::Open => {
                self.move_up(index, &path);
                if self.asleep_until.is_none() {
                    self.move_down(index, &path);
                }
            }
            Stage::Knocking(..) | Stage::Answered(..) => {}
        }
    }

    /// What arrives at the server.
    fn move_up(&mut self, index: usize, path: &Path) {
        while let Some(connection) = self.connections.get_mut(index)
            && let Some(packet) = connection.up.arrived(self.now, path, &mut self.rng)
        {
            let id = connection.id;
            if !connection.server {
                // Nobody is there who knows of this connection.
                connection.up.clear();
                connection.down.clear();
                connection.down.send(self.now, Packet::End, path, &mut self.rng);
                break;
            }
            let mut out = Out::default();
            match packet {
                Packet::Text(data) => self.server.message(self.now, id, Kind::Text, &data, &mut out),
                Packet::Binary(data) => self.server.message(self.now, id, Kind::Binary, &data, &mut out),
                Packet::Ping(data) => out.packets.push((id, Packet::Pong(data))),
                Packet::Pong(_) => {}
                Packet::Close { code } => {
                    connection.server = false;
                    connection.down.send(self.now, Packet::Close { code }, path, &mut self.rng);
                    self.server.closed(self.now, id, Some(code));
                }
                Packet::End => {
                    connection.server = false;
                    self.server.closed(self.now, id, None);
                }
            }
            self.send_out(out);
            self.report_written(index);
        }
    }

    /// What arrives at the link.
    fn move_down(&mut self, index: usize, path: &Path) {
        while let Some(connection) = self.connections.get_mut(index)
            && let Some(packet) = connection.down.arrived(self.now, path, &mut self.rng)
        {
            let epoch = connection.epoch;
            let bytes = u32::try_from(packet.len()).unwrap_or(u32::MAX).saturating_add(2);
            match packet {
                Packet::Text(data) => self.frame(epoch, bytes, Kind::Text, &data),
                Packet::Binary(data) => self.frame(epoch, bytes, Kind::Binary, &data),
                Packet::Ping(_) => self.event(epoch, Event::Ping),
                Packet::Pong(data) => {
                    self.event(epoch, Event::Received(bytes));
                    self.event(epoch, Event::Pong(&data));
                }
                Packet::Close { code } => {
                    connection.client = false;
                    connection.server = false;
                    let close = Close { code: Some(code), clean: true, ..Close::default() };
                    self.event(epoch, Event::Closed(close));
                }
                Packet::End => {
                    connection.client = false;
                    self.event(epoch, Event::Closed(Close::default()));
                }
            }
        }
    }

    fn frame(&mut self, epoch: Epoch, bytes: u32, kind: Kind, data: &[u8]) {
        self.event(epoch, Event::Received(bytes));
        self.event(epoch, Event::Frame { kind, data });
    }

    fn send_out(&mut self, out: Out) {
        for (id, packet) in out.packets {
            let Some(index) = self.connections.iter().position(|c| c.id == id && c.server) else { continue };
            let path = self.path_of(index);
            if let Some(connection) = self.connections.get_mut(index) {
                connection.server &= packet != Packet::End;
                connection.down.send(self.now, packet, &path, &mut self.rng);
            }
        }
    }

    fn event(&mut self, epoch: Epoch, event: Event<'_>) {
        self.input(Input::Socket(epoch, event));
    }

    fn input(&mut self, input: Input<'_>) {
        for delivery in self.link.handle(self.now, input) {
            if let Delivery::Message { data, .. } = delivery {
                self.log.push(Entry { at: self.now, what: Happening::Delivered(data.to_vec()) });
            }
        }
        self.drain();
    }

    pub(super) fn note(&mut self, what: Happening) {
        self.log.push(Entry { at: self.now, what });
    }

    /// Does what the link asks for.
    fn drain(&mut self) {
        while self.asleep_until.is_none()
            && let Next::Do(action) = self.link.poll()
        {
            self.note(Happening::Action(action));
            match action {
                Action::Open { epoch, .. } => self.open(epoch),
                Action::Abandon { epoch } => self.with(epoch, |connection, path, now, rng| {
                    connection.client = false;
                    connection.up.send(now, Packet::End, path, rng);
                }),
                Action::Close { epoch, code } => self.with(epoch, |connection, path, now, rng| {
                    connection.up.send(now, Packet::Close { code }, path, rng);
                }),
                Action::Ping { epoch, nonce } => {
                    let frame = self.link.ping_frame(nonce);
                    let packet = packet(frame.opcode, [frame.head(), frame.payload()].concat());
                    self.with(epoch, |connection, path, now, rng| connection.up.send(now, packet, path, rng));
                }
                Action::Pong { epoch } => {
                    let frame = self.link.pong_frame();
                    let packet = packet(frame.opcode, [frame.head(), frame.payload()].concat());
                    self.with(epoch, |connection, path, now, rng| connection.up.send(now, packet, path, rng));
                }
                Action::Store { version } => self.store(version),
                Action::Flush { epoch } => self.flush(epoch),
                Action::Status { .. }
                | Action::RetryScheduled { .. }
                | Action::Quality { .. }
                | Action::Settled(_)
                | Action::Ended(_) => {}
            }
        }
    }

    fn open(&mut self, epoch: Epoch) {
        self.last_id += 1;
        self.connections.push(Connection {
            id: self.last_id,
            epoch,
            stage: Stage::Knocking(self.now, FIRST_KNOCK),
            client: true,
            server: false,
            routed: true,
            up: Stream::default(),
            down: Stream::default(),
            pulled: 0,
            written: 0,
            blocked: false,
        });
    }

    /// Acts on the link's end of a connection.
    fn with(&mut self, epoch: Epoch, act: impl FnOnce(&mut Connection, &Path, Instant, &mut Rng)) {
        let Some(index) = self.connections.iter().position(|c| c.epoch == epoch && c.client) else { return };
        let path = self.path_of(index);
        if let Some(connection) = self.connections.get_mut(index) {
            act(connection, &path, self.now, &mut self.rng);
        }
    }

    fn flush(&mut self, epoch: Epoch) {
        let Some(index) = self.connections.iter().position(|c| c.epoch == epoch && c.client) else { return };
        let path = self.path_of(index);
        while let Some(connection) = self.connections.get_mut(index) {
            if connection.up.outstanding >= path.send_buffer {
                connection.blocked = true;
                break;
            }
            let Some(frame) = self.link.pull(epoch) else { break };
            connection.pulled += frame.payload().len() as u64;
            let packet = packet(frame.opcode, [frame.head(), frame.payload()].concat());
            connection.up.send(self.now, packet, &path, &mut self.rng);
        }
        self.report_written(index);
    }

    /// Tells the link what the send buffer has taken, and that there is room again.
    fn report_written(&mut self, index: usize) {
        let room = self.path.send_buffer;
        let Some(connection) = self.connections.get_mut(index).filter(|c| c.client) else { return };
        let waiting = connection.up.outstanding.saturating_sub(room);
        let written = connection.pulled.saturating_sub(waiting as u64);
        let epoch = connection.epoch;
        let moved = written > core::mem::replace(&mut connection.written, written);
        let writable = connection.blocked && connection.up.outstanding < room;
        connection.blocked &= !writable;
        if moved {
            self.event(epoch, Event::Written(written));
        }
        if writable {
            self.event(epoch, Event::Writable);
        }
    }
}

fn packet(opcode: Opcode, data: Vec<u8>) -> Packet {
    match opcode {
        Opcode::Text => Packet::Text(data),
        Opcode::Binary => Packet::Binary(data),
        Opcode::Ping => Packet::Ping(data),
    }
}
