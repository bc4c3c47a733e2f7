//! A connection between link and server: how it opens, and what passes through it.

use core::time::Duration;

use super::ConnectionId;
use super::server::{Out, Server};
use super::stream::{Packet, Stream};
use super::world::{Path, Sim};
use crate::link::{Close, Epoch, Event, Failure};
use crate::outbox::Kind;
use crate::time::Instant;

/// The first knock that is lost is repeated after a second, then after two more, … (RFC 6298, section 2.1).
const FIRST_KNOCK: Duration = Duration::from_secs(1);

/// A connection, from the first packet of its opening to the last byte of either side.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) id: ConnectionId,
    pub(super) epoch: Epoch,
    stage: Stage,
    /// Whether the link still has its end, and the server its own.
    pub(super) client: bool,
    pub(super) server: bool,
    /// Whether it was another process's: what still comes is for nobody.
    pub(super) orphaned: bool,
    /// Whether the path lets it pass, apart from being up: not after the address changed.
    pub(super) routed: bool,
    pub(super) up: Stream,
    pub(super) down: Stream,
    /// Payload bytes of messages that the link handed over, and those of them that were told to be written.
    pub(super) pulled: u64,
    pub(super) written: u64,
    pub(super) blocked: bool,
}

impl Connection {
    pub(super) fn new(id: ConnectionId, epoch: Epoch, now: Instant) -> Connection {
        Connection {
            id,
            epoch,
            stage: Stage::Knocking(now, FIRST_KNOCK),
            client: true,
            server: false,
            orphaned: false,
            routed: true,
            up: Stream::default(),
            down: Stream::default(),
            pulled: 0,
            written: 0,
            blocked: false,
        }
    }

    /// When something happens on it; the link's process, which runs again at `awake`, may have to be there for it.
    pub(super) fn next(&self, awake: impl Fn(Instant) -> Instant) -> Option<Instant> {
        match self.stage {
            Stage::Knocking(at, _) => Some(at),
            Stage::Answered(at, _) => Some(awake(at)),
            Stage::Open => {
                let down = self.down.next().filter(|_| !self.orphaned).map(awake);
                [self.up.next(), down].into_iter().flatten().min()
            }
        }
    }

    /// Whether nothing of it is left that matters to anyone.
    pub(super) fn is_over(&self) -> bool {
        !self.client && !(self.is_open() && (self.server || !self.up.is_empty()))
    }

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

impl<S: Server> Sim<S> {
    /// The link's system closes what its process had open. What was handed to it may still arrive.
    pub(super) fn reset_sockets(&mut self) {
        for index in 0..self.connections.len() {
            let path = self.path_of(index);
            let Some(connection) = self.connections.get_mut(index) else { return };
            connection.orphaned = true;
            if core::mem::take(&mut connection.client) {
                connection.up.send(self.now, Packet::End, &path, &mut self.rng);
            }
        }
    }

    fn is_orphaned(&self, index: usize) -> bool {
        self.connections.get(index).is_some_and(|connection| connection.orphaned)
    }

    /// What the path is like for one connection.
    pub(super) fn path_of(&self, index: usize) -> Path {
        let routed = self.connections.get(index).is_some_and(|connection| connection.routed);
        Path { up: self.path.up && routed, ..self.path.clone() }
    }

    pub(super) fn move_connection(&mut self, index: usize) {
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
                if self.asleep_until.is_none() && !self.is_orphaned(index) {
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

    pub(super) fn send_out(&mut self, out: Out) {
        for (id, packet) in out.packets {
            let Some(index) = self.connections.iter().position(|c| c.id == id && c.server) else { continue };
            let path = self.path_of(index);
            if let Some(connection) = self.connections.get_mut(index) {
                connection.server &= packet != Packet::End;
                connection.down.send(self.now, packet, &path, &mut self.rng);
            }
        }
    }
}
