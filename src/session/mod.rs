//! One end of a session on the native wire: what a client's link and a server's peer have in common.
//!
//! ```text
//!   send ──► outbox ──► number, hand over ──► [ack][tag][length] payload ──► the socket        pull
//!
//!   a frame ──► Reading ──┬──► counts, acks, settlements                                        here
//!                         ├──► hello, welcome, ping, goodbye, …                                 the machine's
//!                         └──► Deliveries: messages, requests, …, read again when asked for     the application's
//! ```
//!
//! It knows nothing of heartbeats, of sockets and of how a session begins. [`Session`] is what outlives a socket;
//! [`Attachment`] is what does not, and lives in the machine's variant for the socket. Acknowledgements are timed here: one's
//! own, which may wait for an envelope that leaves anyway, and those of the other end, which must not stay out for long.

mod attachment;
mod delivery;
mod json;
mod reading;

pub(crate) use attachment::{Attachment, Small, Timer};
pub use delivery::{Deliveries, Delivery};
pub(crate) use delivery::{Mark, Marks};
pub use json::Spoken;
pub(crate) use json::Verdict;
pub(crate) use reading::{Reading, Role, Step};

use crate::delivery::{Config, Counts, Durable, Greeting, Impossible, InDoubt, Refusal, Resumption, Urgency};
use crate::outbox::{Arena, Outbox, Sending, Slots};
use crate::time::Instant;
use crate::wire::Frame;
use crate::wire::native::{Envelope, tag};

/// The counts of a session, and the messages that they count.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) counts: Counts,
    pub(crate) outbox: Outbox,
}

impl Session {
    /// A session in which nothing has happened. Those that share an arena need different salts.
    pub(crate) const fn new(salt: u32) -> Session {
        Session { counts: Counts::new(), outbox: Outbox::new(salt) }
    }

    // How it goes on over another socket.

    /// A client's: the welcome says that the session goes on. Gives how many messages are acknowledged by that.
    pub(crate) fn resume<P, S: Slots<P>>(
        &mut self,
        arena: &mut Arena<P, S>,
        received: u64,
        from: u64,
    ) -> Result<u32, Impossible> {
        let resumption = self.counts.resume(received, from)?;
        self.replay(arena, resumption);
        Ok(resumption.acknowledged)
    }

    /// A server's: a hello takes the session over to another socket. Gives what the welcome says.
    pub(crate) fn take_over<P, S: Slots<P>>(
        &mut self,
        arena: &mut Arena<P, S>,
        greeting: Greeting,
        durable: Option<&Durable>,
    ) -> Result<Resumption, Refusal> {
        let resumption = self.counts.take_over(greeting, durable)?;
        self.replay(arena, resumption);
        Ok(resumption)
    }

    fn replay<P, S: Slots<P>>(&mut self, arena: &mut Arena<P, S>, resumption: Resumption) {
        self.outbox.acknowledge(arena, resumption.acknowledged);
        self.outbox.rewind(arena);
    }

    /// A client's: the welcome begins a new session.
    pub(crate) fn restart<P, S: Slots<P>>(
        &mut self,
        arena: &mut Arena<P, S>,
        config: &Config,
        durable: Option<&mut Durable>,
    ) {
        self.counts.restart(durable);
        self.give_up(arena, config);
    }

    /// A server's: a new session begins in answer to a hello of this attempt.
    pub(crate) fn offer<P, S: Slots<P>>(
        &mut self,
        arena: &mut Arena<P, S>,
        config: &Config,
        attempt: u32,
        durable: Option<&mut Durable>,
    ) {
        self.counts.offer(attempt, durable);
        self.give_up(arena, config);
    }

    /// What was in flight was in flight in a session that is no more.
    fn give_up<P, S: Slots<P>>(&mut self, arena: &mut Arena<P, S>, config: &Config) {
        match config.in_doubt {
            InDoubt::Settle => self.outbox.doubt(arena),
            InDoubt::Resend => self.outbox.resend(arena),
        }
    }

    /// The other end has closed because a message was too large, and has said on another socket what it has: the largest of those
    /// that are left will not be sent again. Before anything is handed over to that socket.
    pub(crate) fn discard_largest<P, S: Slots<P>>(
        &mut self,
        arena: &mut Arena<P, S>,
        durable: Option<&mut Durable>,
    ) {
        if self.counts.retract(durable) {
            self.outbox.discard_largest_in_flight(arena);
        }
    }

    /// The socket is gone.
    pub(crate) fn detach<P, S: Slots<P>>(&mut self, arena: &Arena<P, S>) {
        self.counts.detach();
        self.outbox.rewind(arena);
    }

    // What leaves.

    /// Whether [`pull`](Session::pull) would put something into a frame.
    pub(crate) fn wants_to_send<P, S: Slots<P>>(
        &self,
        cx: &Context<'_>,
        attachment: &Attachment,
        arena: &Arena<P, S>,
        messages: bool,
    ) -> bool {
        messages && self.can_hand_over(cx, attachment, arena) || self.ack_is_due(cx, attachment)
    }

    fn can_hand_over<P, S: Slots<P>>(
        &self,
        cx: &Context<'_>,
        attachment: &Attachment,
        arena: &Arena<P, S>,
    ) -> bool {
        self.counts.can_hand_over(cx.durable) > 0
            || cx.durable.is_none() && self.can_number(cx.config, attachment, arena)
    }

    /// Whether the next queued message has room in the window, or is to be settled as too large.
    fn can_number<P, S: Slots<P>>(
        &self,
        config: &Config,
        attachment: &Attachment,
        arena: &Arena<P, S>,
    ) -> bool {
        self.counts.may_send()
            && self.outbox.front(arena).is_some_and(|front| {
                front.len > attachment.envelope()
                    || self.counts.has_room(config, self.outbox.in_flight_bytes(), front.len)
            })
    }

    /// Numbers the next queued message, if there is one and the window has room. What the other end does not take is settled.
    fn number_next<P, S: Slots<P>>(
        &mut self,
        config: &Config,
        attachment: &Attachment,
        arena: &mut Arena<P, S>,
    ) -> bool {
        while self.can_number(config, attachment, arena) {
            if self.outbox.front(arena).is_some_and(|front| front.len > attachment.envelope()) {
                self.outbox.discard_front(arena);
            } else {
                return self.counts.number() && self.outbox.prepare(arena);
            }
        }
        false
    }

    /// In durable mode a message is numbered before it can be stored, and stored before it leaves: so whatever the window has
    /// room for is numbered as soon as it comes.
    pub(crate) fn number_ahead<P, S: Slots<P>>(
        &mut self,
        config: &Config,
        attachment: &Attachment,
        arena: &mut Arena<P, S>,
    ) {
        while self.number_next(config, attachment, arena) {}
    }

    /// Whether an acknowledgement is to leave now, whatever else does.
    pub(crate) fn ack_is_due(&self, cx: &Context<'_>, attachment: &Attachment) -> bool {
        let due = match self.counts.ack_due(attachment.ack_after()) {
            Some(Urgency::Now) => true,
            Some(Urgency::Delayed) => attachment.ack_delay_is_over(cx.now),
            None => false,
        };
        due && self.counts.tells(cx.durable).is_some()
    }

    /// Puts into a frame what is to leave next: an acknowledgement if one is owed, and behind it, if there may be `messages`,
    /// the next one; its length is given. An acknowledgement leaves without a message only when it is due.
    pub(crate) fn pull<'a, P: AsRef<[u8]>, S: Slots<P>>(
        &mut self,
        cx: &Context<'_>,
        attachment: &mut Attachment,
        arena: &'a mut Arena<P, S>,
        messages: bool,
        frame: &mut Frame<'a>,
    ) -> Option<u32> {
        let ready = messages
            && (self.counts.can_hand_over(cx.durable) > 0
                || cx.durable.is_none() && self.number_next(cx.config, attachment, arena));
        if ready || self.ack_is_due(cx, attachment) {
            self.put_ack(cx, attachment, frame);
        }
        if !ready || !self.counts.hand_over(cx.durable) {
            return None;
        }
        let sending = self.outbox.hand_over(arena)?;
        attachment.handed_over(cx.now, self.counts.handed_over());
        frame.put_head(tag_of(&sending), sending.len);
        *frame = frame.with_payload(sending.payload.as_ref());
        Some(sending.len)
    }

    /// Puts what is owed to the front of a frame that leaves.
    fn put_ack(&mut self, cx: &Context<'_>, attachment: &mut Attachment, frame: &mut Frame<'_>) {
        if let Some(received) = self.counts.ack(cx.durable) {
            frame.put(&Envelope::Ack { received });
            attachment.acked();
            // In durable mode what is not stored yet is still owed.
            if self.counts.owed() > 0 {
                attachment.owes(cx.config, cx.now);
            }
        }
    }
}

fn tag_of<P>(sending: &Sending<'_, P>) -> u8 {
    match (sending.tag, sending.kind) {
        (0, crate::outbox::Kind::Text) => tag::TEXT,
        (0, crate::outbox::Kind::Binary) => tag::BINARY,
        (tag, _) => tag::of_outbox(tag),
    }
}

/// What a session goes by, lent with each call.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) now: Instant,
    pub(crate) config: &'a Config,
    /// In durable mode, what is stored.
    pub(crate) durable: Option<&'a Durable>,
}
