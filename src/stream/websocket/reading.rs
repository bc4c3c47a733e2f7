//! What comes in on a WebSocket, and what is made of it.

use super::event::{Event, Happened, Place};
use super::{Last, Short, Stage, WebSocket};
use crate::outbox::Kind;
use crate::stream::room::Room;
use crate::ws::handshake::{Head, HeadLimits, Incoming, Offer, Refused, RequestReader, Response};
use crate::ws::{Error, Event as Decoded, Part, Violation};

impl<B: Room> WebSocket<B> {
    /// What happened next. `None`: nothing before more bytes come.
    #[inline]
    pub fn next(&mut self) -> Option<Event<'_>> {
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
        Some(self.lend(happened))
    }

    /// The same; what is said to the peer about its close or its violation is left to the caller.
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
                    let (kind, last) = (part.kind, part.last);
                    let fits = self.message.push(part.payload);
                    self.inbound.start = end;
                    if !fits {
                        return Some(self.too_big());
                    }
                    if !last {
                        continue;
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
        let part: Option<Part<'_>> = self.decoder.partial(&mut bytes);
        let consumed = before - bytes.len();
        let fits = part.is_none_or(|part| self.message.push(part.payload));
        self.inbound.consume(consumed);
        if fits { None } else { Some(self.too_big()) }
    }

    #[cold]
    fn too_big(&mut self) -> Happened {
        self.deaf = true;
        let violation =
            Violation::MessageTooBig((self.message.length as u64).saturating_add(self.decoder.frame_left()));
        Happened::Failed(Error { violation, at: self.decoder.offset() })
    }

    fn response(&mut self) -> Option<Happened> {
        let Stage::Asking { reader, request, protocol_required } = &mut self.stage else { return None };
        let request = self.outbound.room.bytes().get(..*request).unwrap_or_default();
        let offer = Offer { request, protocol_required: *protocol_required };
        match reader.read_offered(&offer, self.inbound.pending()) {
            Ok(None) => None,
            Ok(Some(Response::Accepted(accepted))) => {
                let head = accepted.head.length();
                self.inbound.consume(head);
                self.stage = Stage::Open;
                Some(Happened::Opened { head })
            }
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

    /// Adds to what happened what is lent of it.
    #[inline]
    pub(in crate::stream) fn lend(&self, happened: Happened) -> Event<'_> {
        match happened {
            Happened::Message { kind, place } => Event::Message { kind, data: self.bytes(place) },
            Happened::Ping(place) => Event::Ping(self.bytes(place)),
            Happened::Pong(place) => Event::Pong(self.bytes(place)),
            Happened::Close(code) => Event::Close { code, reason: self.reason() },
            Happened::Failed(error) => Event::Failed(error),
            Happened::Ended => Event::Ended,
            Happened::Request
            | Happened::Opened { .. }
            | Happened::Refused { .. }
            | Happened::HandshakeFailed(_) => {
                // None of these is told without what it tells of.
                self.lend_head(&happened).unwrap_or(Event::Ended)
            }
        }
    }
    /// The heads are read again: it is rare, and they need not be kept apart.
    #[cold]
    fn lend_head(&self, happened: &Happened) -> Option<Event<'_>> {
        match happened {
            Happened::Request => request_in(self.inbound.pending()).map(Event::Request),
            Happened::Opened { head } => self.head(*head).map(Event::Opened),
            Happened::Refused { status, head } => {
                self.head(*head).map(|head| Event::Refused(Refused { status: *status, head }))
            }
            Happened::HandshakeFailed(error) => Some(Event::HandshakeFailed(*error)),
            Happened::Message { .. }
            | Happened::Ping(_)
            | Happened::Pong(_)
            | Happened::Close(_)
            | Happened::Failed(_)
            | Happened::Ended => None,
        }
    }

    /// The head that the bytes began with.
    pub(in crate::stream) fn head(&self, length: usize) -> Option<Head<'_>> {
        Head::parse(self.inbound.at(0..length), u16::MAX).ok()
    }

    #[inline]
    pub(in crate::stream) fn bytes(&self, place: Place) -> &[u8] {
        match place {
            Place::Inbound(place) => self.inbound.at(place),
            Place::Assembly => self.message.room.bytes().get(..self.message.length).unwrap_or_default(),
        }
    }

    /// The reason that the peer closed for; empty if there is none.
    #[must_use]
    pub fn reason(&self) -> &str {
        match &self.last {
            Last::Reason(reason) => str::from_utf8(reason.get()).unwrap_or_default(),
            Last::Nothing | Last::Ping(_) => "",
        }
    }
}

/// The request that was found at the beginning of these bytes before.
pub(super) fn request_in(bytes: &[u8]) -> Option<Incoming<'_>> {
    RequestReader::new(HeadLimits::NONE).read(bytes).ok().flatten()
}
