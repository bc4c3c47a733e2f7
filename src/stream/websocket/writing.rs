//! What goes out on a WebSocket.

use super::{Last, Short, Stage, WebSocket};
use crate::outbox::Kind;
use crate::stream::ROOM;
use crate::stream::compression::Compression;
use crate::stream::masks::Masks;
use crate::stream::outbound::{Outbound, Share};
use crate::stream::room::Room;
use crate::wire;
use crate::ws::handshake::{Acceptance, Incoming, Refusal, WriteError};
use crate::ws::{CloseBody, Code, Encoder, Frame, SendError, Step};

/// The outgoing half of a WebSocket, while what came in is lent.
#[derive(Debug)]
pub struct Reply<'a, B> {
    pub(super) open: bool,
    pub(super) compression: &'a mut Compression,
    pub(super) masks: &'a mut Option<Masks>,
    pub(super) encoder: &'a mut Encoder,
    pub(super) outbound: &'a mut Outbound<B>,
}

impl<B: Room> Reply<'_, B> {
    /// [`WebSocket::send`].
    ///
    /// # Errors
    /// Those of [`WebSocket::send`].
    #[inline]
    pub fn send(&mut self, kind: Kind, payload: &[u8]) -> Result<(), SendError> {
        if !self.open {
            return Err(SendError::Closed);
        }
        self.message(kind, payload).map(drop)
    }

    /// [`WebSocket::send_plain`].
    ///
    /// # Errors
    /// Those of [`WebSocket::send`].
    #[inline]
    pub fn send_plain(&mut self, kind: Kind, payload: &[u8]) -> Result<(), SendError> {
        self.put(Frame::message(kind, payload), Share::Message)
    }

    #[inline]
    fn message(&mut self, kind: Kind, payload: &[u8]) -> Result<usize, SendError> {
        // A compressor cannot take back what finds no room afterwards.
        self.outbound.check(payload.len().saturating_add(14), Share::Message)?;
        let (outbound, encoder, masks) = (&mut *self.outbound, &mut *self.encoder, &mut *self.masks);
        self.compression.compress(kind, payload, |frame| outbound.put(encoder, masks, frame, Share::Message))
    }

    /// [`WebSocket::ping`].
    ///
    /// # Errors
    /// Those of [`WebSocket::ping`].
    pub fn ping(&mut self, payload: &[u8]) -> Result<(), SendError> {
        self.put(Frame::ping(payload).ok_or(SendError::NoRoom(payload.len()))?, Share::Control)
    }

    #[inline]
    fn put(&mut self, frame: Frame<'_>, share: Share) -> Result<(), SendError> {
        if !self.open {
            return Err(SendError::Closed);
        }
        self.outbound.put(self.encoder, self.masks, frame, share).map(drop)
    }
}

impl<B: Room> WebSocket<B> {
    /// The bytes that are to go out, from the next on; perhaps none. Say [`sent`](WebSocket::sent) of as many as have.
    #[inline]
    #[must_use]
    pub fn transmit(&self) -> &[u8] {
        self.outbound.pending()
    }

    /// So many of the bytes of [`transmit`](WebSocket::transmit) have gone out.
    #[inline]
    pub fn sent(&mut self, count: usize) {
        self.sent_whole(count);
    }

    /// The same; says whether the last of a link's message was among them.
    #[inline]
    pub(in crate::stream) fn sent_whole(&mut self, count: usize) -> bool {
        let whole = self.outbound.sent(count);
        // Before that, the request is still needed.
        if let Stage::Open = self.stage {
            self.outbound.settle();
        }
        if let Last::Ping(ping) = self.last {
            self.pong(ping);
        }
        whole
    }

    /// Payload bytes of a link's messages that have gone out.
    pub(in crate::stream) fn written(&self) -> u64 {
        self.outbound.written()
    }

    /// Whether a message of so many bytes finds room.
    #[inline]
    #[must_use]
    pub fn has_room(&self, bytes: usize) -> bool {
        self.outbound.has_room(bytes.saturating_add(14))
    }

    /// A server: becomes a WebSocket.
    ///
    /// # Errors
    /// There is no request to be accepted ([`WriteError::Status`]), or what a [`WriteError`] says; then decide otherwise.
    pub fn accept(&mut self, acceptance: &Acceptance<'_>) -> Result<(), WriteError> {
        let Stage::Deciding = self.stage else { return Err(WriteError::Status) };
        // The request is borrowed from one field while another is written.
        let pending = self.inbound.room.bytes().get(self.inbound.start..self.inbound.end).unwrap_or_default();
        let Some(Incoming::Upgrade(upgrade)) = super::reading::request_in(pending) else {
            return Err(WriteError::Status);
        };
        let (outbound, length) = (&mut self.outbound, upgrade.head().length());
        let answer = |acceptance: &Acceptance<'_>| outbound.put_head(|room| acceptance.write(&upgrade, room));
        let compressed = self.compression.accept(&upgrade, acceptance, answer)?;
        // That there is a request need not be told any more.
        self.ready = None;
        self.open(length, compressed);
        Ok(())
    }

    /// A server: answers that there will be no WebSocket, or a plain request.
    ///
    /// # Errors
    /// There is no request to be refused ([`WriteError::Status`]), or what a [`WriteError`] says; then refuse otherwise.
    pub fn refuse(&mut self, refusal: &Refusal<'_>) -> Result<(), WriteError> {
        let Stage::Deciding = self.stage else { return Err(WriteError::Status) };
        self.outbound.put_head(|room| refusal.write(room))?;
        self.ready = None;
        self.stage = Stage::Refused;
        Ok(())
    }

    /// Sends a message. A text must be UTF-8, which is the caller's to know.
    ///
    /// # Errors
    /// [`SendError::NoRoom`]: send what waits first. [`SendError::Closed`]: it is not open, or not any more.
    #[inline]
    pub fn send(&mut self, kind: Kind, payload: &[u8]) -> Result<(), SendError> {
        self.reply().send(kind, payload)
    }

    /// The same, never compressed: for a message with a secret in it, whose length must not tell what is in it.
    ///
    /// # Errors
    /// As for [`send`](WebSocket::send).
    pub fn send_plain(&mut self, kind: Kind, payload: &[u8]) -> Result<(), SendError> {
        self.reply().send_plain(kind, payload)
    }

    /// Sends a ping, with up to 125 bytes that the pong will repeat.
    ///
    /// # Errors
    /// As for [`send`](WebSocket::send); more than 125 bytes never find room.
    pub fn ping(&mut self, payload: &[u8]) -> Result<(), SendError> {
        self.reply().ping(payload)
    }

    #[inline]
    fn reply(&mut self) -> Reply<'_, B> {
        let WebSocket { stage, compression, masks, encoder, outbound, .. } = self;
        Reply { open: matches!(stage, Stage::Open), compression, masks, encoder, outbound }
    }

    /// Answers a ping now, or as soon as there is room; of several that wait, the last (RFC 6455, section 5.5.3).
    #[cold]
    pub(super) fn pong(&mut self, ping: Short) {
        // A peer that pings and does not read gets no more of the memory than that.
        let busy = self.outbound.len() >= ROOM;
        let answered = Frame::pong(ping.get()).filter(|_| !busy).is_some_and(|frame| {
            let put = self.outbound.put(&mut self.encoder, &mut self.masks, frame, Share::Control);
            !matches!(put, Err(SendError::NoRoom(_)))
        });
        self.last = if answered { Last::Nothing } else { Last::Ping(ping) };
    }

    /// Says that this end closes, behind what was sent. Until the peer has answered, messages may still come.
    pub fn close(&mut self, code: Option<Code>, reason: &str) {
        match self.stage {
            Stage::Open => {
                self.closing.close(code);
                self.say_close(reason);
            }
            // There is nobody yet to whom it could be said.
            Stage::Asking { .. } | Stage::Asked(_) => self.broken = true,
            Stage::Deciding => self.stage = Stage::Refused,
            Stage::Refused => {}
        }
    }

    /// Answers the peer's close frame.
    pub(in crate::stream) fn answer(&mut self, code: Option<Code>) {
        self.closing.received(code);
        self.say_close("");
    }

    /// Says that the peer has broken the protocol.
    pub(in crate::stream) fn fail(&mut self, code: Code) {
        self.closing.fail(code);
        self.say_close("");
    }

    fn say_close(&mut self, reason: &str) {
        if let Step::Send(code) = self.closing.step() {
            let body = code.map(|code| CloseBody::new(code, reason));
            let frame = Frame::close(body.as_ref());
            // Room is kept for it.
            let _ = self.outbound.put(&mut self.encoder, &mut self.masks, frame, Share::Close);
            self.closing.sent();
        }
    }

    /// Takes back the messages that have not begun to leave. If one has, it must not be finished, and all is over.
    pub(in crate::stream) fn retract(&mut self) {
        self.broken |= !self.outbound.retract();
    }

    /// Whether it takes another frame of a link's, of up to `largest` bytes, while fewer than `most` wait.
    #[inline]
    pub(in crate::stream) fn takes(&self, largest: usize, most: usize) -> bool {
        self.outbound.len() < most && self.has_room(largest)
    }

    /// Writes a message that was pulled from a link; `false` if it finds no room.
    #[inline]
    pub(in crate::stream) fn put_message(&mut self, frame: &wire::Frame<'_>) -> bool {
        let put = match (frame.opcode, frame.head().is_empty()) {
            (wire::Opcode::Text, true) => self.reply().message(Kind::Text, frame.payload()),
            (wire::Opcode::Binary, true) => self.reply().message(Kind::Binary, frame.payload()),
            // What a wire puts in front may be secret: it is not compressed.
            (wire::Opcode::Text | wire::Opcode::Binary | wire::Opcode::Ping, _) => {
                self.put(frame, Share::Message)
            }
        };
        match put {
            Ok(length) => {
                self.outbound.count(length, frame.payload().len());
                true
            }
            Err(_) => false,
        }
    }

    /// Writes a heartbeat; if there is no room for it, because the peer takes nothing, it is left out.
    pub(in crate::stream) fn put_heartbeat(&mut self, frame: &wire::Frame<'_>) {
        let _ = self.put(frame, Share::Control);
    }

    #[inline]
    fn put(&mut self, frame: &wire::Frame<'_>, share: Share) -> Result<usize, SendError> {
        let (encoder, masks) = (&mut self.encoder, &mut self.masks);
        let kind = match frame.opcode {
            wire::Opcode::Text => Kind::Text,
            wire::Opcode::Binary => Kind::Binary,
            wire::Opcode::Ping => {
                let mut payload = [0; 125];
                for (to, from) in payload.iter_mut().zip(frame.head().iter().chain(frame.payload())) {
                    *to = *from;
                }
                let payload = payload.get(..frame.len()).unwrap_or_default();
                let frame = Frame::ping(payload).ok_or(SendError::NoRoom(payload.len()))?;
                return self.outbound.put(encoder, masks, frame, share);
            }
        };
        if frame.head().is_empty() {
            return self.outbound.put(encoder, masks, Frame::message(kind, frame.payload()), share);
        }
        self.outbound.put_joined(encoder, masks, kind, [frame.head(), frame.payload()], share)
    }
}
