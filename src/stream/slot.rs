//! What a stream knows of one socket.

use super::action::{Action, Fault};
use super::end::End;
use super::pace::Pace;
use super::room::Room;
use super::websocket::{Happened, Way, WebSocket};
use crate::link::{Close, Epoch, Event, Failure};
use crate::time::Instant;
use crate::ws;
use crate::ws::Code;
use crate::ws::handshake::Refused;

/// One socket of a link.
#[derive(Debug)]
pub(super) struct Slot<B> {
    pub(super) epoch: Epoch,
    /// None as long as the adapter connects it.
    pub(super) carrying: Option<Carrying<B>>,
    /// The adapter is to drop it.
    pub(super) over: bool,
    /// What its user was not told yet.
    pub(super) news: News,
}

/// A socket that carries bytes.
#[derive(Debug)]
pub(super) struct Carrying<B> {
    pub(super) socket: WebSocket<B>,
    /// Bytes of the response's head, while it is there to be looked at.
    pub(super) head: usize,
    /// The link was told that it is open.
    pub(super) opened: bool,
    /// The link asked to close it.
    pub(super) closing: bool,
    /// Messages wait in the link for room.
    pub(super) full: bool,
    pub(super) pace: Pace,
    /// Payload bytes that the link knows to be written.
    pub(super) written: u64,
    /// The link was told that it has ended; until then, the rest may take.
    pub(super) parting: Option<Instant>,
    /// The adapter was told to close it for writing.
    shut: bool,
}

/// At most one of each.
#[derive(Debug, Default)]
pub(super) struct News {
    opened: bool,
    failed: Option<(Failure, Fault)>,
    violated: Option<ws::Error>,
    closed: Option<(Option<u16>, bool)>,
}

impl<B: Room> Carrying<B> {
    pub(super) const fn new(socket: WebSocket<B>) -> Carrying<B> {
        Carrying {
            socket,
            head: 0,
            opened: false,
            closing: false,
            full: false,
            pace: Pace::new(),
            written: 0,
            parting: None,
            shut: false,
        }
    }

    /// Whether the link takes what comes from it.
    #[inline]
    pub(super) const fn is_heeded(&self) -> bool {
        self.opened && self.parting.is_none()
    }

    /// Whether it takes another frame of the link's, of up to so many bytes.
    #[inline]
    pub(super) fn takes(&self, largest: usize) -> bool {
        self.socket.takes(largest, self.pace.room())
    }

    /// Whether the link has it as one that is open.
    #[inline]
    pub(super) const fn is_current(&self) -> bool {
        self.is_heeded() && !self.closing
    }
}

impl<B: Room> Slot<B> {
    pub(super) fn new(epoch: Epoch) -> Slot<B> {
        Slot { epoch, carrying: None, over: false, news: News::default() }
    }

    #[inline]
    pub(super) fn up(&mut self) -> Option<&mut Carrying<B>> {
        if self.over { None } else { self.carrying.as_mut() }
    }

    /// What is to be told or done.
    pub(super) fn action<T>(&mut self) -> Option<Action<T>> {
        let (epoch, news) = (self.epoch, &mut self.news);
        if core::mem::take(&mut news.opened) {
            return Some(Action::Opened { epoch });
        }
        if let Some((failure, fault)) = news.failed.take() {
            return Some(Action::Failed { epoch, failure, fault });
        }
        if let Some(error) = news.violated.take() {
            return Some(Action::Violated { epoch, error });
        }
        if let Some((code, clean)) = news.closed.take() {
            return Some(Action::Closed { epoch, code, clean });
        }
        let up = self.up()?;
        match up.socket.way() {
            Way::Shut if !up.shut => {
                up.shut = true;
                Some(Action::Shutdown { epoch })
            }
            Way::Over if up.parting.is_some() => {
                self.over = true;
                None
            }
            Way::Open | Way::Shut | Way::Over => None,
        }
    }

    /// The link closes it.
    pub(super) fn close(&mut self, code: u16) {
        if let Some(up) = self.up() {
            up.closing = true;
            up.socket.close(Code::new(code), "");
        }
    }

    /// Anything but a message.
    #[cold]
    pub(super) fn happened(&mut self, end: &mut impl End, now: Instant, paused: bool, happened: Happened) {
        let epoch = self.epoch;
        let Some(up) = self.carrying.as_mut() else { return };
        match happened {
            Happened::Opened { head } => {
                (up.opened, up.head, self.news.opened) = (true, head, true);
                drop(end.event(now, epoch, Event::Opened));
                if paused {
                    drop(end.event(now, epoch, Event::Paused));
                }
            }
            Happened::Refused { status, head } => {
                up.head = head;
                let wall_clock = end.wall_clock(now);
                let retry_after = up.socket.head(head).and_then(|head| {
                    let refused = Refused { status, head };
                    wall_clock.map_or_else(|| refused.retry_after(), |time| refused.retry_after_at(time))
                });
                self.fail(end, now, Failure::Http { status, retry_after }, Fault::Status(status));
            }
            Happened::HandshakeFailed(error) => {
                self.fail(end, now, Failure::Handshake, Fault::Response(error));
            }
            Happened::Ping(_) if up.is_heeded() => drop(end.event(now, epoch, Event::Ping)),
            Happened::Pong(place) if up.is_heeded() => {
                drop(end.event(now, epoch, Event::Pong(up.socket.bytes(place))));
            }
            Happened::Close(code) if up.is_current() => {
                // What has not begun to leave goes on the next socket, and so must not on this one.
                up.socket.retract();
                up.socket.answer(code);
                up.parting = Some(now + end.close_timeout());
                let code = code.map(Code::get);
                self.news.closed = Some((code, true));
                let close = Close { code, reason: up.socket.reason(), clean: true, retry_after: None };
                drop(end.event(now, epoch, Event::Closed(close)));
            }
            Happened::Close(code) => up.socket.answer(code),
            Happened::Failed(error) => {
                let code = error.code();
                self.news.violated = Some(error);
                if up.is_current() {
                    up.socket.retract();
                    up.socket.fail(code);
                    drop(end.event(now, epoch, Event::Violation(code.get())));
                } else {
                    up.socket.fail(code);
                }
            }
            Happened::Ended => self.ended(end, now),
            // The first is a server's; the link asked for no such socket.
            Happened::Request | Happened::Message { .. } | Happened::Ping(_) | Happened::Pong(_) => {}
        }
    }

    pub(super) fn fail(&mut self, end: &mut impl End, now: Instant, failure: Failure, fault: Fault) {
        self.news.failed = Some((failure, fault));
        self.over = true;
        drop(end.event(now, self.epoch, Event::Failed(failure)));
    }

    /// Nothing more comes in. What is owed to the peer may still go out.
    #[cold]
    pub(super) fn ended(&mut self, end: &mut impl End, now: Instant) {
        let epoch = self.epoch;
        let Some(up) = self.up() else { return };
        if !up.opened {
            return self.fail(end, now, Failure::Connect, Fault::HungUp);
        }
        if up.parting.is_none() {
            up.parting = Some(now + end.close_timeout());
            let (code, clean) = (up.socket.closing().code(), up.socket.closing().is_clean());
            // 1005 and 1006 say that there is none.
            let code = Code::new(code).map(Code::get);
            let close = Close { code, reason: up.socket.reason(), clean, retry_after: None };
            drop(end.event(now, epoch, Event::Closed(close)));
            self.news.closed = Some((code, clean));
        }
    }
}
