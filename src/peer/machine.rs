//! What happens to a peer: what its socket says, what time does, what the application wants.

use super::config::{Config, Slow};
use super::core::{Core, Flags, Open, Parted, Socket};
use super::dialogue::{numbers, post};
use super::rooms::Rooms;
use super::sessions::Counts;
use crate::delivery::Durable;
use crate::link::{Epoch, Event};
use crate::outbox::{Arena, Kind, Message, MessageId, Refused, RefusedReason, Settlement, Slots};
use crate::session::{Context, Deliveries, Reading, Role, Step};
use crate::time::Instant;
use crate::wire::native::{DecodeError, Envelope, Limit, Problem, Reader, code, tag};

/// A peer while something is done to it.
pub(super) struct Machine<'a, P, S> {
    pub(super) now: Instant,
    pub(super) config: &'a Config,
    pub(super) core: &'a mut Core,
    pub(super) arena: &'a mut Arena<P, S>,
    pub(super) counts: &'a mut Counts,
    pub(super) rooms: &'a mut Rooms<P>,
    /// Of its session.
    pub(super) seat: u32,
    /// In durable mode, what is stored.
    pub(super) durable: Option<&'a Durable>,
}

/// Whether the session goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Stays,
    Over,
}

impl<'a, P, S: Slots<P>> Machine<'a, P, S> {
    pub(super) const fn context(&self) -> Context<'a> {
        Context { now: self.now, config: &self.config.delivery, durable: self.durable }
    }

    pub(super) fn socket<'f>(&mut self, epoch: Epoch, event: Event<'f>) -> (Deliveries<'f>, Fate) {
        let now = self.now;
        if let Socket::Released { epoch: released, over, .. } = self.core.socket
            && released == epoch
        {
            let gone = matches!(event, Event::Closed(_) | Event::Failed(_));
            if gone {
                self.core.socket = Socket::None;
            }
            return (Deliveries::NONE, if gone && over { Fate::Over } else { Fate::Stays });
        }
        let Some(open) = self.open(epoch) else {
            self.counts.stale_inputs += 1;
            return (Deliveries::NONE, Fate::Stays);
        };
        match event {
            Event::Frame { kind: Kind::Binary, data } => {
                open.alive(now);
                return self.frame(data);
            }
            Event::Frame { kind: Kind::Text, .. } => self.violated(code::PROTOCOL),
            Event::Received(_) | Event::Ping | Event::Pong(_) => open.alive(now),
            Event::Writable => drop(open.flags.take(Flags::FLUSH_ASKED)),
            Event::Paused => open.set_deaf(now, true),
            Event::Resumed => open.set_deaf(now, false),
            Event::Violation(code) => {
                self.counts.violations += 1;
                self.release(Parted::Broken(code));
            }
            Event::Closed(_) | Event::Failed(_) => self.detach(),
            Event::Opened | Event::Written(_) => {}
        }
        (Deliveries::NONE, Fate::Stays)
    }

    /// Fires every timer that is due, each once.
    pub(super) fn fire(&mut self) {
        let now = self.now;
        self.fire_dialogue();
        self.core.session.outbox.expire(self.arena, now);
        if let Socket::Open(open) = &mut self.core.socket
            && open.fire(&self.config.heartbeat, now)
        {
            self.counts.silent += 1;
            self.release(Parted::Dead);
        }
    }

    fn open(&mut self, epoch: Epoch) -> Option<&mut Open> {
        match &mut self.core.socket {
            Socket::Open(open) if open.epoch == epoch => Some(open),
            Socket::Open(_) | Socket::Released { .. } | Socket::Restored(_) | Socket::None => None,
        }
    }

    fn frame<'f>(&mut self, data: &'f [u8]) -> (Deliveries<'f>, Fate) {
        let (cx, now) = (self.context(), self.now);
        let Core { session, socket: Socket::Open(open) } = &mut *self.core else {
            return (Deliveries::NONE, Fate::Stays);
        };
        let mut attachment = open.attachment(now);
        let welcomed = !open.flags.has(Flags::WELCOME);
        let mut reading =
            Reading::new(data, &self.config.acceptor.limits, Role::Server, self.rooms.is_open());
        let (mut parted, mut fate) = (None, Fate::Stays);
        while parted.is_none()
            && let Some(step) = reading.next(&cx, session, welcomed.then_some(&mut attachment), self.arena)
        {
            match step {
                Step::Control(Envelope::Ping { nonce }) => {
                    open.nonce = nonce;
                    open.flags.set(Flags::PONG);
                }
                Step::Control(Envelope::Goodbye(goodbye)) => {
                    parted = Some(Parted::Leaving);
                    if goodbye.code == code::NORMAL {
                        self.counts.ended += 1;
                        fate = Fate::Over;
                    }
                }
                // There is one hello on a socket, and the acceptor has read it.
                Step::Control(Envelope::Hello(_)) => parted = Some(Parted::violation(code::PROTOCOL, None)),
                Step::Refused(code) => parted = Some(Parted::violation(code, Self::limit(self.config, data))),
                Step::Spoken(envelope) => {
                    if let Some(dialogue) = self.rooms.begin(self.seat) {
                        let mut post = post(now, self.config, &mut session.outbox, self.arena);
                        reading.mark(dialogue.heard(&mut post, numbers(self.config), &envelope));
                    }
                }
                // A pong is a sign of life and nothing else; what is for the application is among the deliveries; what counts,
                // or is for clients, does not come as a step.
                Step::Control(
                    Envelope::Pong { .. }
                    | Envelope::Health(_)
                    | Envelope::Renewal { .. }
                    | Envelope::Welcome(_)
                    | Envelope::Ack { .. }
                    | Envelope::Message { .. }
                    | Envelope::Broadcast { .. }
                    | Envelope::Publish { .. }
                    | Envelope::Subscribe { .. }
                    | Envelope::Unsubscribe { .. }
                    | Envelope::Confirmation { .. }
                    | Envelope::Request(_)
                    | Envelope::Response { .. }
                    | Envelope::Error { .. },
                ) => {}
            }
        }
        open.keep(&attachment);
        if let Some(parted) = parted {
            if matches!(parted, Parted::Told { .. }) {
                self.counts.violations += 1;
            }
            self.release(parted);
        }
        (reading.deliveries(), fate)
    }

    fn violated(&mut self, code: u16) {
        self.counts.violations += 1;
        self.release(Parted::violation(code, None));
    }

    /// Which limit a frame that was refused has passed, if it is that.
    fn limit(config: &Config, data: &[u8]) -> Option<Limit> {
        Reader::new(data, &config.acceptor.limits).find_map(|item| match item {
            Err(DecodeError { problem: Problem::Limit(limit), .. }) => Some(limit),
            Ok(_) | Err(_) => None,
        })
    }

    /// The socket is the session's no more: whoever carries it is to let it go in this way.
    pub(super) fn release(&mut self, parted: Parted) {
        if let Socket::Open(open) = &self.core.socket {
            let epoch = open.epoch;
            let counts = &mut self.core.session.counts;
            let ack = counts.ack(self.durable) == Some(counts.received());
            self.detach();
            self.core.socket = Socket::Released { epoch, parted, ack, over: false };
        }
    }

    fn detach(&mut self) {
        self.core.session.detach(self.arena);
        self.core.socket = Socket::None;
    }

    pub(super) fn send(
        &mut self,
        len: u32,
        message: Message<P>,
        displaced: impl FnMut(Settlement, P),
    ) -> (Result<MessageId, Refused<P>>, Fate) {
        if message.tag != 0 && (self.rooms.is_open() || !may_send(message.tag)) {
            return (Err(Refused { reason: RefusedReason::Tag, message }), Fate::Stays);
        }
        self.post(len, message, displaced)
    }

    /// As [`send`](Machine::send), also for what the machine sends for itself.
    pub(super) fn post(
        &mut self,
        len: u32,
        message: Message<P>,
        mut displaced: impl FnMut(Settlement, P),
    ) -> (Result<MessageId, Refused<P>>, Fate) {
        let Machine { now, config, core, arena, rooms, seat, .. } = self;
        let outbox = &mut core.session.outbox;
        let result = outbox.push(arena, &config.outbox, *now, len, message, |gone, payload| {
            if !gone.id.is_own() {
                displaced(gone, payload);
            } else if let Some(dialogue) = rooms.get_mut(*seat) {
                dialogue.settled(gone);
            }
        });
        let full = matches!(&result, Err(refused) if refused.reason == RefusedReason::Full);
        if full && self.config.slow == Slow::Close {
            self.counts.too_slow += 1;
            self.counts.ended += 1;
            self.release(Parted::told(code::TOO_SLOW, core::time::Duration::ZERO));
            return (result, Fate::Over);
        }
        (result, Fate::Stays)
    }
}

/// The column "from" of the table of envelopes in `docs/protocol.md`: what a server's application may send. 0 is a message.
const fn may_send(tag: u8) -> bool {
    matches!(tag, 0 | tag::BROADCAST | tag::CONFIRMATION | tag::REQUEST | tag::RESPONSE | tag::ERROR)
}
