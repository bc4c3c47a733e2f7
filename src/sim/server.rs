//! The other end: a script, or later another machine.

use alloc::vec::Vec;

use super::ConnectionId;
use super::stream::Packet;
use crate::outbox::Kind;
use crate::time::Instant;

/// A scripted server. It answers WebSocket pings by itself, as every WebSocket library does.
pub trait Server {
    /// A connection was opened.
    fn opened(&mut self, now: Instant, connection: ConnectionId, out: &mut Out) {
        let _ = (now, connection, out);
    }

    /// A message came.
    fn message(&mut self, now: Instant, connection: ConnectionId, kind: Kind, data: &[u8], out: &mut Out);

    /// A connection ended; with the client's close code if it said one.
    fn closed(&mut self, now: Instant, connection: ConnectionId, code: Option<u16>) {
        let _ = (now, connection, code);
    }

    /// When it wants to be woken, if at all.
    fn deadline(&self) -> Option<Instant> {
        None
    }

    /// Its deadline has come.
    fn tick(&mut self, now: Instant, out: &mut Out) {
        let _ = (now, out);
    }

    /// The process was killed and started again: whatever it does not keep on a disk is gone.
    fn restarted(&mut self, now: Instant) {
        let _ = now;
    }
}

/// What a server wants to be sent.
#[derive(Debug, Default)]
pub struct Out {
    pub(super) packets: Vec<(ConnectionId, Packet)>,
}

impl Out {
    /// Sends a message.
    pub fn message(&mut self, connection: ConnectionId, kind: Kind, data: Vec<u8>) {
        let packet = match kind {
            Kind::Text => Packet::Text(data),
            Kind::Binary => Packet::Binary(data),
        };
        self.packets.push((connection, packet));
    }

    /// Closes a connection with a code.
    pub fn close(&mut self, connection: ConnectionId, code: u16) {
        self.packets.push((connection, Packet::Close { code }));
    }

    /// Drops a connection without a word.
    pub fn abandon(&mut self, connection: ConnectionId) {
        self.packets.push((connection, Packet::End));
    }
}

/// A server that remembers what it got, and can echo it.
#[derive(Clone, Debug, Default)]
pub struct Recorder {
    /// All that was received, in order, over all connections.
    pub received: Vec<Reception>,
    /// Whether every message is sent back.
    pub echo: bool,
    /// Connections that were opened.
    pub opened: u32,
}

/// A message that a server received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reception {
    /// When.
    pub at: Instant,
    /// On which connection.
    pub connection: ConnectionId,
    /// What.
    pub data: Vec<u8>,
}

impl Server for Recorder {
    fn opened(&mut self, _: Instant, _: ConnectionId, _: &mut Out) {
        self.opened += 1;
    }

    fn message(&mut self, at: Instant, connection: ConnectionId, kind: Kind, data: &[u8], out: &mut Out) {
        self.received.push(Reception { at, connection, data: data.to_vec() });
        if self.echo {
            out.message(connection, kind, data.to_vec());
        }
    }
}
