//! What a peer wants: what is to be done, until when there is nothing, and the frames that leave.

use super::core::{Beat, Core, Flags, Open, Socket};
use super::machine::Machine;
use super::{Action, Config, Wake};
use crate::outbox::{Arena, Slots};
use crate::time::Instant;
use crate::wire::native::{Credentials, Envelope, Token, VERSION, Welcome};
use crate::wire::{Frame, Opcode};

/// What only the table knows, lent for the outputs.
pub(super) struct Lent<'t> {
    /// The name of the session.
    pub(super) number: u64,
    /// The latest token.
    pub(super) token: Token<'t>,
}

impl<'a, P: AsRef<[u8]>, S: Slots<P>> Machine<'a, P, S> {
    /// The next pending action, in the order of [`Action`]'s variants.
    pub(super) fn next(&mut self, renewal: Option<Instant>) -> Option<Action> {
        let cx = self.context();
        if let Some((epoch, parting)) = self.core.socket.released(Some(&self.core.session.counts)) {
            self.core.socket = Socket::None;
            return Some(Action::Release { epoch, parting });
        }
        match &mut self.core.socket {
            Socket::Open(open) => {
                let epoch = open.epoch;
                let due = renewal.is_some_and(|at| at <= self.now);
                if due && !open.flags.has(Flags::RENEWAL_ASKED | Flags::WELCOME) {
                    open.flags.set(Flags::RENEWAL_ASKED);
                    return Some(Action::Renew);
                }
                if open.flags.has(Flags::WELCOME) && !self.core.session.counts.may_welcome(cx.durable) {
                    return self.settled();
                }
                let speaks = open.speaks()
                    || self.core.session.wants_to_send(&cx, &open.attachment(self.now), self.arena, true);
                if speaks && !open.flags.has(Flags::FLUSH_ASKED) {
                    open.flags.set(Flags::FLUSH_ASKED);
                    return Some(Action::Flush { epoch });
                }
            }
            Socket::Released { .. } | Socket::Restored(_) | Socket::None => {}
        }
        self.settled()
    }

    fn settled(&mut self) -> Option<Action> {
        while let Some(settlement) = self.core.session.outbox.next_settlement(self.arena) {
            if self.is_foreign(settlement) {
                return Some(Action::Settled(settlement));
            }
        }
        self.next_ended().map(Action::Ended)
    }

    pub(super) fn pull(self, epoch: crate::link::Epoch, lent: &Lent<'_>) -> Option<Frame<'a>> {
        let cx = self.context();
        let Socket::Open(open) = &mut self.core.socket else { return None };
        if open.epoch != epoch {
            return None;
        }
        let session = &mut self.core.session;
        let counts = &session.counts;
        if open.flags.has(Flags::WELCOME) && !counts.may_welcome(cx.durable) {
            open.flags.take(Flags::FLUSH_ASKED);
            return None;
        }
        if open.flags.take(Flags::WELCOME) {
            // It carries the latest token.
            open.flags.take(Flags::RENEWAL);
            let mut frame = Frame::new(Opcode::Binary, &[]);
            frame.put(&Envelope::Welcome(Welcome {
                version: VERSION,
                resumed: open.flags.has(Flags::RESUMED),
                received: counts.come(),
                from: counts.save().acknowledged,
                announced: self.config.announced(),
                session: lent.number,
                token: lent.token,
            }));
            return Some(frame);
        }
        session.outbox.expire(self.arena, self.now);
        let mut frame = Frame::new(Opcode::Binary, &[]);
        if open.flags.take(Flags::PONG) {
            frame.put(&Envelope::Pong { nonce: open.nonce });
        }
        if open.flags.take(Flags::RENEWAL) {
            frame.put(&Envelope::Renewal { token: lent.token, credentials: Credentials::NONE });
        }
        if open.beat == Beat::Asking {
            open.beat = Beat::Asked;
            // Whatever comes is a sign of life: the nonce tells nothing.
            frame.put(&Envelope::Ping { nonce: 1 });
        }
        let mut attachment = open.attachment(self.now);
        session.pull(&cx, &mut attachment, self.arena, true, &mut frame);
        open.keep(&attachment);
        if frame.is_empty() {
            open.flags.take(Flags::FLUSH_ASKED);
            return None;
        }
        Some(frame)
    }
}

/// The earliest timer.
pub(super) fn wake<P, S: Slots<P>>(
    core: &Core,
    config: &Config,
    arena: &Arena<P, S>,
    now: Instant,
    renewal: Option<Instant>,
    dialogue: Option<Instant>,
) -> Option<(Instant, Wake)> {
    let expiry = core.session.outbox.next_expiry(arena).map(|at| (at, Wake::Expiry));
    let dialogue = dialogue.map(|at| (at, Wake::Request));
    let expiry = expiry.into_iter().chain(dialogue).min_by_key(|(at, _)| *at);
    let Socket::Open(open) = &core.socket else { return expiry };
    let beat = open.beat_at(&config.heartbeat, now).map(|at| (at, Wake::Heartbeat));
    // What is due is there to be pulled.
    let ack = open.attachment(now).next(now, || config.delivery.ack_timeout);
    let ack = ack.map(|(at, _)| (at, Wake::Ack)).filter(|_| !open.flags.has(Flags::WELCOME));
    let asked = open.flags.has(Flags::RENEWAL_ASKED | Flags::WELCOME);
    let renewal = renewal.filter(|_| !asked).map(|at| (at, Wake::Renewal));
    [expiry, beat, ack, renewal].into_iter().flatten().min_by_key(|(at, _)| *at)
}

impl Open {
    /// Whether there is something to say that is no message.
    const fn speaks(&self) -> bool {
        self.flags.has(Flags::WELCOME | Flags::PONG | Flags::RENEWAL) || matches!(self.beat, Beat::Asking)
    }
}
