//! What comes in on a WebSocket, and what is made of it.

use super::event::{Event, Happened, Place};
use super::writing::Reply;
use super::{Last, Short, Stage, WebSocket};
use crate::outbox::Kind;
use crate::stream::assembly::Assembly;
use crate::stream::compression::Compression;
use crate::stream::inbound::Inbound;
use crate::stream::room::Room;
use crate::ws::handshake::{Head, HeadLimits, Incoming, Offer, Refused, RequestReader, Response};
use crate::ws::{Error, Event as Decoded, Part, Violation};

impl<B: Room> WebSocket<B> {
    /// What happened next. `None`: nothing before more bytes come.
    #[inline]
    pub fn read(&mut self) -> Option<Event<'_>> {
        let happened = self.take()?;
        Some(self.lend(happened))
    }

    /// The same, with a way to send something while it is lent: an echo needs no copy of its own.
    #[inline]
    pub fn read_with_reply(&mut self) -> Option<(Event<'_>, Reply<'_, B>)> {
        let happened = self.take()?;
        let WebSocket { stage, compression, masks, encoder, outbound, inbound, message, last, .. } = self;
        let event = Lender { inbound, message, last }.lend(happened);
        Some((event, Reply { open: matches!(stage, Stage::Open), compression, masks, encoder, outbound }))
    }

    /// Whether [`read`](WebSocket::read) has something. Until it was asked, nothing more comes in.
    #[inline]
    pub fn is_ready(&mut self) -> bool {
        if self.ready.is_none() {
            self.ready = self.answered();
        }
        self.ready.is_some()
    }

    #[inline]
    fn take(&mut self) -> Option<Happened> {
        self.ready.take().or_else(|| self.answered())
    }

    /// What happened next, and what the peer is to be told of it at once.
    #[inline]
    fn answered(&mut self) -> Option<Happened> {
        let happened = self.advance()?;
        match &happened {
            Happened::Close(code) => self.answer(*code),
            Happened::Failed(error) => self.fail(error.code()),
            Happened::Request
            | Happened::Opened { .. }
            | Happened::Refused { .. }
            | Happened::HandshakeFailed(_)
            | Happened::Message { .. }
            | Happened::Ping(_)
            | Happened::Pong(_)
            | Happened::Ended => {}
        }
        Some(happened)
    }

    /// What happened next; what is said to the peer about its close or its violation is left to the caller.
    #[inline]
    pub(in crate::stream) fn advance(&mut self) -> Option<Happened> {
        self.message.clear_lent();
        match &self.stage {
            Stage::Open if !self.deaf => match self.decode() {
                None => self.ended(),
                happened => happened,
            },
            Stage::Deciding => None,
            Stage::Asking { .. } => self.response().or_else(|| self.ended()),
            Stage::Asked(_) => self.request().or_else(|| self.ended()),
            Stage::Open | Stage::Refused => {
                self.inbound.consume(usize::MAX);
                self.ended()
            }
        }
    }

    #[cold]
    fn ended(&mut self) -> Option<Happened> {
        if !self.inbound.ended || self.told_end {
            return None;
        }
        self.told_end = true;
        self.closing.tcp_closed();
        Some(Happened::Ended)
    }

    #[inline]
    fn decode(&mut self) -> Option<Happened> {
        loop {
            let all = self.inbound.end;
            let mut bytes = self.inbound.pending_mut();
            let decoded = self.decoder.decode(&mut bytes);
            let end = all - bytes.len();
            let place = |payload: &[u8]| Place::Inbound(end - payload.len()..end);
            let happened = match decoded {
                Ok(None) => {
                    self.inbound.start = end;
                    // What cannot become a whole frame here is put together elsewhere.
                    if self.decoder.frame_left() > self.inbound.room.limit() as u64 {
                        return self.take_partial();
                    }
                    return None;
                }
                Ok(Some(Decoded::Text(text))) => {
                    Happened::Message { kind: Kind::Text, place: place(text.bytes()) }
                }
                Ok(Some(Decoded::Binary(data))) => {
                    Happened::Message { kind: Kind::Binary, place: place(data) }
                }
                Ok(Some(Decoded::Part(part))) => {
                    let (kind, length) = (part.kind, part.payload.len());
                    let offset = self.decoder.offset();
                    let added = add(part, offset, &mut self.compression, &mut self.message);
                    self.inbound.start = end;
                    match added {
                        Ok(true) => {}
                        Ok(false) => continue,
                        Err(error) => return Some(self.cannot_add(error, length)),
                    }
                    self.message.complete();
                    return Some(Happened::Message { kind, place: Place::Assembly });
                }
                Ok(Some(Decoded::Ping(data))) => {
                    let happened = Happened::Ping(place(data));
                    let ping = Short::new(data);
                    self.inbound.start = end;
                    self.pong(ping);
                    return Some(happened);
                }
                Ok(Some(Decoded::Pong(data))) => Happened::Pong(place(data)),
                Ok(Some(Decoded::Close(close))) => {
                    self.last = Last::Reason(Short::new(close.map_or(b"", |close| close.reason.as_bytes())));
                    self.deaf = true;
                    Happened::Close(close.map(|close| close.code))
                }
                Err(error) => {
                    self.deaf = true;
                    Happened::Failed(error)
                }
            };
            self.inbound.start = end;
            return Some(happened);
        }
    }

    /// Takes what is there of a frame that is larger than the buffer.
    fn take_partial(&mut self) -> Option<Happened> {
        let mut bytes = self.inbound.pending_mut();
        let before = bytes.len();
        let part = self.decoder.partial(&mut bytes);
        let consumed = before - bytes.len();
        let offset = self.decoder.offset();
        let added = part.map(|part| add(part, offset, &mut self.compression, &mut self.message));
        self.inbound.consume(consumed);
        match added {
            Some(Err(error)) => Some(self.cannot_add(error, consumed)),
            Some(Ok(_)) | None => None,
        }
    }

    #[cold]
    fn cannot_add(&mut self, error: Option<Error>, piece: usize) -> Happened {
        self.deaf = true;
        let so_far = (self.message.length as u64).saturating_add(piece as u64);
        let too_big = || Error {
            violation: Violation::MessageTooBig(so_far.saturating_add(self.decoder.frame_left())),
            at: self.decoder.offset(),
        };
        Happened::Failed(error.unwrap_or_else(too_big))
    }

    fn response(&mut self) -> Option<Happened> {
        let Stage::Asking { reader, request, protocol_required } = &mut self.stage else { return None };
        let request = self.outbound.room.bytes().get(..*request).unwrap_or_default();
        let offer = Offer { request, protocol_required: *protocol_required };
        match reader.read_offered(&offer, self.inbound.pending()) {
            Ok(None) => None,
            Ok(Some(Response::Accepted(accepted))) => match self.compression.agreed(&accepted) {
                Ok(compressed) => {
                    let head = accepted.head.length();
                    self.open(head, compressed);
                    Some(Happened::Opened { head })
                }
                Err(error) => {
                    self.stage = Stage::Refused;
                    Some(Happened::HandshakeFailed(error))
                }
            },
            Ok(Some(Response::Refused(refused))) => {
                let (status, head) = (refused.status, refused.head.length());
                self.stage = Stage::Refused;
                Some(Happened::Refused { status, head })
            }
            Err(error) => {
                self.stage = Stage::Refused;
                Some(Happened::HandshakeFailed(error))
            }
        }
    }

    /// Frames follow, after a head of so many bytes.
    pub(super) fn open(&mut self, head: usize, compressed: bool) {
        self.inbound.consume(head);
        self.stage = Stage::Open;
        if compressed {
            self.decoder = self.decoder.clone().with_compression();
        }
    }

    fn request(&mut self) -> Option<Happened> {
        let Stage::Asked(reader) = &mut self.stage else { return None };
        match reader.read(self.inbound.pending()) {
            Ok(None) => None,
            Ok(Some(_)) => {
                self.stage = Stage::Deciding;
                Some(Happened::Request)
            }
            Err(error) => {
                self.stage = Stage::Refused;
                // Where there is no room for so little, nothing is said.
                let _ = self.outbound.put_head(|room| error.refusal().write(room));
                Some(Happened::HandshakeFailed(error))
            }
        }
    }

    #[inline]
    fn lend(&self, happened: Happened) -> Event<'_> {
        let WebSocket { inbound, message, last, .. } = self;
        Lender { inbound, message, last }.lend(happened)
    }

    /// The head that the bytes began with.
    pub(in crate::stream) fn head(&self, length: usize) -> Option<Head<'_>> {
        Head::parse(self.inbound.at(0..length), u16::MAX).ok()
    }

    #[inline]
    pub(in crate::stream) fn bytes(&self, place: Place) -> &[u8] {
        bytes(&self.inbound, &self.message, place)
    }

    /// The reason that the peer closed for; empty if there is none.
    #[must_use]
    pub fn reason(&self) -> &str {
        self.last.reason()
    }
}

#[inline]
fn bytes<'b, B: Room>(inbound: &'b Inbound<B>, message: &'b Assembly<B>, place: Place) -> &'b [u8] {
    match place {
        Place::Inbound(place) => inbound.at(place),
        Place::Assembly => message.whole(),
    }
}

/// Adds to what happened what is lent of it.
struct Lender<'b, B> {
    inbound: &'b Inbound<B>,
    message: &'b Assembly<B>,
    last: &'b Last,
}

impl<'b, B: Room> Lender<'b, B> {
    #[inline]
    fn lend(self, happened: Happened) -> Event<'b> {
        let bytes = |place| bytes(self.inbound, self.message, place);
        match happened {
            Happened::Message { kind, place } => Event::Message { kind, data: bytes(place) },
            Happened::Ping(place) => Event::Ping(bytes(place)),
            Happened::Pong(place) => Event::Pong(bytes(place)),
            Happened::Close(code) => Event::Close { code, reason: self.last.reason() },
            Happened::Failed(error) => Event::Failed(error),
            Happened::HandshakeFailed(error) => Event::HandshakeFailed(error),
            // None of these is told without the head that it tells of.
            Happened::Request | Happened::Opened { .. } | Happened::Refused { .. } => {
                self.head(&happened).unwrap_or(Event::Ended)
            }
            Happened::Ended => Event::Ended,
        }
    }

    /// Heads are read again: it is rare, and they need not be kept apart.
    #[cold]
    fn head(self, happened: &Happened) -> Option<Event<'b>> {
        let head = |length: usize| Head::parse(self.inbound.at(0..length), u16::MAX).ok();
        match *happened {
            Happened::Request => request_in(self.inbound.pending()).map(Event::Request),
            Happened::Opened { head: length } => head(length).map(Event::Opened),
            Happened::Refused { status, head: length } => {
                head(length).map(|head| Event::Refused(Refused { status, head }))
            }
            Happened::HandshakeFailed(_)
            | Happened::Message { .. }
            | Happened::Ping(_)
            | Happened::Pong(_)
            | Happened::Close(_)
            | Happened::Failed(_)
            | Happened::Ended => None,
        }
    }
}

impl Last {
    fn reason(&self) -> &str {
        match self {
            Last::Reason(reason) => str::from_utf8(reason.get()).unwrap_or_default(),
            Last::Nothing | Last::Ping(_) => "",
        }
    }
}

/// Adds a part to the message that it is of, and says whether it is the last. `Err(None)`: there is no memory for it.
fn add<B: Room>(
    mut part: Part<'_>,
    offset: u64,
    compression: &mut Compression,
    message: &mut Assembly<B>,
) -> Result<bool, Option<Error>> {
    if part.compressed {
        let last = part.last;
        return compression.inflate(&mut part, offset, message).map(|complete| complete && last);
    }
    if message.push(part.payload) { Ok(part.last) } else { Err(None) }
}

/// The request that was found at the beginning of these bytes before.
pub(super) fn request_in(bytes: &[u8]) -> Option<Incoming<'_>> {
    RequestReader::new(HeadLimits::NONE).read(bytes).ok().flatten()
}
