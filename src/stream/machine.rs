//! What the bytes and the adapter do to the sockets, and what the link is told of it.

use core::mem;

use super::Stream;
use super::action::Fault;
use super::end::End;
use super::room::{Memory, Room};
use super::slot::{Carrying, Slot};
use super::websocket::{Happened, WebSocket};
use crate::link::{Epoch, Event, Failure};
use crate::time::Instant;
use crate::ws::handshake::{Request, WriteError};

impl<B: Room> Stream<B> {
    /// The bytes' way of this socket is there. `request` is what this attempt asks for. `secret` must come from a secure source of
    /// random bytes, another one for each socket: the masks are made of it, and whoever can foresee them can make a proxy take
    /// what he sends for another request (RFC 6455, section 10.3).
    pub fn connected(
        &mut self,
        end: &mut impl End,
        now: Instant,
        epoch: Epoch,
        request: &Request<'_>,
        secret: [u8; 32],
    ) {
        let waits = |slot: &&mut Slot<B>| slot.epoch == epoch && slot.carrying.is_none() && !slot.over;
        let Some(slot) = self.slots.iter_mut().flatten().find(waits) else { return };
        let Some(memory) = self.spare.iter_mut().find_map(Option::take) else { return };
        match WebSocket::client(memory, &self.config, request, secret) {
            Ok(socket) => slot.carrying = Some(Carrying::new(socket)),
            Err((error, memory)) => {
                let failure = match error {
                    WriteError::Host | WriteError::Path => Failure::Url,
                    // Another attempt may come with other headers.
                    WriteError::NoRoom
                    | WriteError::Protocol
                    | WriteError::ProtocolNotOffered
                    | WriteError::Extensions
                    | WriteError::HeaderName
                    | WriteError::HeaderValue
                    | WriteError::HeaderReserved
                    | WriteError::Status => Failure::Credentials,
                };
                slot.fail(end, now, failure, Fault::Request(error));
                self.give_back(memory);
            }
        }
    }

    /// The bytes' way could not be had.
    pub fn failed(&mut self, end: &mut impl End, now: Instant, epoch: Epoch, failure: Failure) {
        if let Some(slot) = self.slot(epoch)
            && slot.carrying.is_none()
            && !slot.over
        {
            slot.over = true;
            drop(end.event(now, epoch, Event::Failed(failure)));
        }
    }

    /// So many bytes came into [`fill`](Stream::fill); 0: there will be no more. Then ask for what they are
    /// ([`read`](Stream::read)) until there is nothing more.
    #[inline]
    pub fn received(&mut self, end: &mut impl End, now: Instant, epoch: Epoch, count: usize) {
        let Some(up) = self.slot(epoch).and_then(Slot::up) else { return };
        up.socket.received(count);
        if up.is_heeded() && count > 0 {
            drop(end.event(now, epoch, Event::Received(u32::try_from(count).unwrap_or(u32::MAX))));
        }
    }

    /// What the bytes carry for the application next; one frame at a time. `None` when all was read, or while
    /// [paused](Stream::pause).
    #[inline]
    pub fn read<E: End>(&mut self, end: &mut E, now: Instant, epoch: Epoch) -> Option<E::Deliveries<'_>> {
        let paused = self.paused;
        let slot = self.slots.iter_mut().flatten().find(|slot| slot.epoch == epoch)?;
        let (kind, place) = loop {
            let up = slot.up()?;
            if paused && up.is_current() {
                return None;
            }
            let heeded = up.is_heeded();
            match up.socket.advance()? {
                Happened::Message { kind, place } => {
                    if heeded {
                        break (kind, place);
                    }
                }
                happened @ (Happened::Request
                | Happened::Opened { .. }
                | Happened::Refused { .. }
                | Happened::HandshakeFailed(_)
                | Happened::Ping(_)
                | Happened::Pong(_)
                | Happened::Close(_)
                | Happened::Failed(_)
                | Happened::Ended) => slot.happened(end, now, paused, happened),
            }
        };
        let data = slot.up()?.socket.bytes(place);
        Some(end.event(now, epoch, Event::Frame { kind, data }))
    }

    /// So many bytes of [`transmit`](Stream::transmit) have gone out.
    #[inline]
    pub fn sent(&mut self, end: &mut impl End, now: Instant, epoch: Epoch, count: usize) {
        let largest = end.largest_frame();
        let Some(up) = self.slot(epoch).and_then(Slot::up) else { return };
        let whole = up.socket.sent_whole(count);
        up.pace.sent(now, count);
        if !up.is_heeded() {
            return;
        }
        let written = up.socket.written();
        // The last of an empty message adds nothing to the count.
        let more = mem::replace(&mut up.written, written) != written || whole;
        let writable = up.full && up.takes(largest);
        up.full &= !writable;
        if more {
            drop(end.event(now, epoch, Event::Written(written)));
        }
        if writable {
            drop(end.event(now, epoch, Event::Writable));
        }
    }

    /// The bytes' way broke: reading or writing gave an error.
    pub fn lost(&mut self, end: &mut impl End, now: Instant, epoch: Epoch) {
        if let Some(slot) = self.slot(epoch) {
            slot.ended(end, now);
            slot.over |= slot.carrying.is_some();
        }
    }

    /// The application does not keep up: nothing is read from the socket that is open, and no more is delivered, until
    /// [`resume`](Stream::resume). Silence then proves nothing.
    pub fn pause(&mut self, end: &mut impl End, now: Instant) {
        self.turn(end, now, true, Event::Paused);
    }

    /// The application takes messages again. Ask for those that came before it paused ([`read`](Stream::read)).
    pub fn resume(&mut self, end: &mut impl End, now: Instant) {
        self.turn(end, now, false, Event::Resumed);
    }

    fn turn(&mut self, end: &mut impl End, now: Instant, paused: bool, event: Event<'_>) {
        if mem::replace(&mut self.paused, paused) != paused {
            for slot in self.slots.iter_mut().flatten() {
                let epoch = slot.epoch;
                if slot.up().is_some_and(|up| up.is_current()) {
                    drop(end.event(now, epoch, event));
                }
            }
        }
    }

    /// Time has passed: the deadline came, or something was said to the link. Harmless at any other time.
    pub fn tick(&mut self, end: &mut impl End, now: Instant) {
        for slot in self.slots.iter_mut().flatten() {
            if slot.up().and_then(|up| up.parting).is_some_and(|until| until <= now) {
                slot.over = true;
            }
        }
        end.tick(now);
    }

    pub(super) fn give_back(&mut self, memory: Memory<B>) {
        if let Some(room) = self.spare.iter_mut().find(|room| room.is_none()) {
            *room = Some(memory);
        }
    }
}
