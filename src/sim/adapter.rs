//! What an adapter would do: tells the link what happened, and does what it asks for.

use alloc::vec::Vec;

use super::connection::Connection;
use super::said::Said;
use super::server::Server;
use super::stream::Packet;
use super::world::{Happening, Path, Sim};
use crate::link::{Action, Delivery, Epoch, Event, Input, Next};
use crate::outbox::Kind;
use crate::rng::Rng;
use crate::time::Instant;
use crate::wire::Opcode;

impl<S: Server> Sim<S> {
    pub(super) fn frame(&mut self, epoch: Epoch, bytes: u32, kind: Kind, data: &[u8]) {
        self.event(epoch, Event::Received(bytes));
        self.event(epoch, Event::Frame { kind, data });
    }

    pub(super) fn event(&mut self, epoch: Epoch, event: Event<'_>) {
        self.input(Input::Socket(epoch, event));
    }

    pub(super) fn input(&mut self, input: Input<'_>) {
        for delivery in self.link.handle(self.now, input) {
            if let Delivery::Message { data, .. } = delivery {
                self.note(Happening::Delivered(data.to_vec()));
            } else if let Some(said) = Said::of(&delivery, &self.link) {
                self.note(Happening::Said(said));
            }
        }
        self.drain();
    }

    /// Does what the link asks for.
    pub(super) fn drain(&mut self) {
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
        self.connections.push(Connection::new(self.last_id, epoch, self.now));
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
    pub(super) fn report_written(&mut self, index: usize) {
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
