//! The client's end of one logical connection.
//!
//! A [`Link`] is told what happened ([`Link::handle`]) and says what to do ([`Link::poll`]); frames to be sent are pulled
//! from it ([`Link::pull`]). It owns no clock, no socket and no thread. See the [crate's documentation](crate) for the loop
//! that drives it, and `docs/integrating.md` for how to write an adapter.

mod action;
mod candidate;
mod config;
mod dialogue;
mod events;
mod input;
mod json;
mod machine;
mod native;
mod op;
mod outputs;
mod policy;
mod pull;
mod rest;
mod secret;
mod socket;
mod state;
mod store;
mod timers;

use core::time::Duration;

pub use crate::session::{Deliveries, Delivery, Spoken};
pub use crate::store::RestoreError;
pub use action::{Action, Next, Transport};
pub use config::{Candidate, Config};
pub use input::{Close, Epoch, Event, Failure, Input};
pub use op::Op;
pub use policy::{Codes, Config as RetryConfig};
pub use state::{Cause, State, Status, Wake};

use crate::backoff::Backoff;
use crate::delivery::Durable;
use crate::dialogue::{Desk, Dialogue};
use crate::error::ConfigError;
use crate::metrics::{Metrics, Queue, Report};
use crate::outbox::{Arena, Message, MessageId, Outcome, Refused, RefusedReason, Settlement, Slots, Storage};
use crate::quality::{Monitor, Quality};
use crate::rng::Rng;
use crate::session::Session;
use crate::time::Instant;
use crate::wire::{Frame, Incoming, Wire};
use outputs::Outputs;
use rest::Rest;
use secret::{Kept, Secret};
use socket::{Other, Phase};

/// The client's end of one logical connection, over payloads `P` that wait in slots `S`.
///
/// With `alloc`, [`Link::new`] makes the slots; without it, [`Link::with_slots`] takes them, as an array or a borrowed slice.
#[derive(Debug)]
pub struct Link<P, S = Storage<P>> {
    config: Config,
    core: Core,
    arena: Arena<P, S>,
    credentials: Option<Secret<P>>,
    desk: Desk<P>,
}

/// All of a link that depends neither on its payload nor on where that is kept.
#[derive(Debug)]
struct Core {
    now: Instant,
    rng: Rng,
    backoff: Backoff,
    phase: Phase,
    other: Other,
    last_epoch: Option<Epoch>,
    /// Sockets that the adapter still has to drop.
    abandoned: [Option<Epoch>; 2],
    online: bool,
    hidden: bool,
    wall_clock: Option<(Instant, Duration)>,
    session: Session,
    /// What the session is resumed with.
    token: Kept,
    /// Whether the server is to be told other credentials; on the JSON wire, or any.
    renewing: bool,
    /// On the JSON wire: whether there are credentials to tell each server.
    authenticates: bool,
    /// The server has closed because a message was too large.
    too_large: bool,
    /// How often an acknowledgement was overdue since the last one came: the next one gets more time.
    impatience: u8,
    /// In durable mode, what is stored.
    durable: Option<Durable>,
    /// The version of the state that was asked to be stored last.
    version: u64,
    /// Whether something is to be stored that nothing depends on yet: a message that was accepted.
    unstored: bool,
    /// A state could not be stored: when to ask again.
    store_again: Option<Instant>,
    /// Messages up to this one were restored from a state that may have been old.
    restored: u64,
    /// The nonce of the pong that is to be written.
    answering: u32,
    quality: Monitor,
    metrics: Metrics,
    told_status: Status,
    told_quality: Quality,
    rest: Rest,
}

#[cfg(feature = "alloc")]
impl<P: AsRef<[u8]>> Link<P> {
    /// A link in [`State::Stopped`], with slots of its own for as many messages as the configuration allows.
    ///
    /// `seed` decides all jitter. Take it from a source of entropy: a fleet with one seed comes back all at once.
    ///
    /// # Errors
    /// Names the field of the configuration that cannot work.
    pub fn new(config: Config, seed: u64) -> Result<Self, ConfigError> {
        config.check()?;
        let capacity = config.outbox.messages;
        Ok(Self::build(config, seed, Arena::with_capacity(capacity)))
    }

    /// As [`Link::new`], for a history of at most `sends` messages; more slots would never be used.
    #[cfg(feature = "serde")]
    pub(crate) fn with_history(config: Config, seed: u64, sends: usize) -> Result<Self, ConfigError> {
        config.check()?;
        let capacity = config.outbox.messages.min(u32::try_from(sends).unwrap_or(u32::MAX));
        Ok(Self::build(config, seed, Arena::with_capacity(capacity)))
    }
}

/// Making and using a link. Who calls what: the adapter calls [`handle`](Link::handle), [`poll`](Link::poll),
/// [`pull`](Link::pull) and the two frames; the application sends, cancels and looks.
impl<P: AsRef<[u8]>, S: Slots<P>> Link<P, S> {
    /// As [`Link::new`], with slots that the caller provides: an array, or a borrowed one.
    ///
    /// ```
    /// use everlink::link::{Config, Link};
    /// use everlink::outbox::Slot;
    ///
    /// let mut config = Config::default();
    /// config.outbox.messages = 8;
    /// let link = Link::<&[u8], _>::with_slots(config, 7, [const { Slot::EMPTY }; 8])?;
    /// # let _ = link;
    /// # Ok::<(), everlink::error::ConfigError>(())
    /// ```
    ///
    /// # Errors
    /// Names the field of the configuration that cannot work; `outbox.messages` if there are fewer slots than that.
    pub fn with_slots(config: Config, seed: u64, slots: S) -> Result<Self, ConfigError> {
        config.check()?;
        let arena = Arena::new(slots);
        let enough = arena.capacity() >= config.outbox.messages;
        ConfigError::unless(enough, "outbox.messages", "must not be larger than the number of slots")?;
        Ok(Self::build(config, seed, arena))
    }

    fn build(config: Config, seed: u64, arena: Arena<P, S>) -> Self {
        let core = Core {
            now: Instant::ORIGIN,
            rng: Rng::new(seed),
            backoff: Backoff::new(),
            phase: Phase::Stopped,
            other: Other::None,
            last_epoch: None,
            abandoned: [None; 2],
            online: true,
            hidden: false,
            wall_clock: None,
            session: Session::new(0),
            token: Kept::NONE,
            renewing: false,
            authenticates: false,
            too_large: false,
            impatience: 0,
            durable: config.delivery.durable.then(Durable::new),
            version: 0,
            unstored: false,
            store_again: None,
            restored: 0,
            answering: 0,
            quality: Monitor::new(),
            metrics: Metrics::new(),
            told_status: Status::Disconnected,
            told_quality: Quality::Unknown,
            rest: Rest::Unknown,
        };
        Link { config, core, arena, credentials: None, desk: Desk::new() }
    }

    /// Handles something that happened at `now`, and gives what it carried for the application.
    ///
    /// Never fails. A `now` before that of the last call counts as the last one. Give inputs that are already there before
    /// a late [`Tick`](Input::Tick). Timers that are due at `now` fire, whatever the input is.
    pub fn handle<'f>(&mut self, now: Instant, input: Input<'f>) -> Deliveries<'f> {
        let Link { config, core, arena, desk, .. } = self;
        machine::Machine { config, core, arena, desk }.handle(now, input)
    }

    /// What is to be done now, or until when there is nothing. Reads no clock; changes nothing but what was told.
    #[inline]
    pub fn poll(&mut self) -> Next {
        match self.core.rest {
            Rest::Known { until, stirred: false } => {
                debug_assert!(self.rests_until(until), "something was taken for routine that is none");
                until.map_or(Next::Idle, Next::Wait)
            }
            Rest::Known { until, stirred: true } => self.look_after_routine(until),
            Rest::Unknown => self.look(),
        }
    }

    fn outputs(&mut self) -> Outputs<'_, P, S> {
        let Link { config, core, arena, desk, .. } = self;
        Outputs { config, core, arena, desk }
    }

    #[inline(never)]
    fn look(&mut self) -> Next {
        match self.outputs().next() {
            Some(action) => Next::Do(action),
            None => self.rest(self.earliest()),
        }
    }

    /// There can be nothing but a ping and a flush to ask for, and settlements to tell; with a dialogue, anything.
    #[inline(never)]
    fn look_after_routine(&mut self, until: Option<Instant>) -> Next {
        if self.desk.is_open() {
            return self.look();
        }
        if let Some(action) = self.core.beat() {
            return Next::Do(action);
        }
        let mut outputs = self.outputs();
        if let Some(epoch) = outputs.flush() {
            self.core.rest = Rest::Known { until, stirred: self.core.session.outbox.has_settlement() };
            return Next::Do(Action::Flush { epoch });
        }
        if let Some(settlement) = outputs.settled() {
            self.core.rest = Rest::Known { until, stirred: self.core.session.outbox.has_settlement() };
            return Next::Do(Action::Settled(settlement));
        }
        self.rest(until)
    }

    fn rest(&mut self, until: Option<Instant>) -> Next {
        debug_assert!(self.rests_until(until), "something was taken for routine that is none");
        self.core.rest = Rest::until(until);
        until.map_or(Next::Idle, Next::Wait)
    }

    /// Whether nothing is to be done, and no timer is due before `until`.
    fn rests_until(&mut self, until: Option<Instant>) -> bool {
        let earliest = self.earliest();
        self.outputs().next().is_none() && earliest.is_none_or(|at| until.is_some_and(|until| until <= at))
    }

    /// The next message that came to its end, ahead of its turn among the actions: what [`poll`](Link::poll) would tell by
    /// [`Action::Settled`], and now does not. For adapters that tell many at once.
    pub fn settled(&mut self) -> Option<Settlement> {
        if self.desk.is_open() {
            // It may be a request's.
            self.core.rest = Rest::Unknown;
        }
        self.outputs().settled()
    }

    /// When the link wants to be woken if nothing happens before; pure. May be earlier than need be, if something came in
    /// since it was computed: then there is nothing to do at that time but to ask again.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        match self.core.rest {
            Rest::Known { until, .. } => until,
            Rest::Unknown => self.earliest(),
        }
    }

    fn earliest(&self) -> Option<Instant> {
        let dialogue = self.desk.get().and_then(Dialogue::next_deadline);
        self.core.deadline(&self.config, self.core.session.outbox.next_expiry(&self.arena), dialogue)
    }

    /// When there will be something to do if nothing happens before, and why; pure.
    #[must_use]
    pub fn wake(&self) -> Option<(Instant, Wake)> {
        let dialogue = self.desk.get().and_then(Dialogue::next_deadline);
        self.core.wake(&self.config, self.core.session.outbox.next_expiry(&self.arena), dialogue)
    }

    /// Accepts a message at `now` (the clock that the inputs carry), to be sent as soon as there is a connection.
    ///
    /// What had to go for it, evicted or replaced, is told at once to `displaced`; it is told nowhere else. The end of the
    /// accepted message is told by [`Action::Settled`] or, if a later one displaces it, by that one's `displaced`.
    ///
    /// # Errors
    /// Hands the message back if it is too large, if it is a heartbeat of the wire, or if the queue is full and nothing may
    /// be evicted for it.
    pub fn send(
        &mut self,
        now: Instant,
        message: Message<P>,
        mut displaced: impl FnMut(Settlement, P),
    ) -> Result<MessageId, Refused<P>> {
        let core = &mut self.core;
        core.now = core.now.max(now);
        let refused = |reason, message| Err(Refused { reason, message });
        let payload = message.payload.as_ref();
        let tagged = message.tag != 0;
        let result = if tagged && (self.desk.is_open() || !self.config.wire.has_tag(message.tag)) {
            refused(RefusedReason::Tag, message)
        } else if self.config.wire.classify(self.config.heartbeat.mode, payload) != Incoming::Message {
            refused(RefusedReason::Heartbeat, message)
        } else if let Ok(len) = u32::try_from(payload.len()) {
            let (metrics, desk) = (&mut core.metrics, &mut self.desk);
            core.session.outbox.push(
                &mut self.arena,
                &self.config.outbox,
                core.now,
                len,
                message,
                |gone, payload| {
                    outputs::count(metrics, gone.outcome);
                    if !gone.id.is_own() {
                        displaced(gone, payload);
                    } else if let Some(dialogue) = desk.get_mut() {
                        dialogue.settled(gone);
                    }
                },
            )
        } else {
            refused(RefusedReason::TooLarge, message)
        };
        core.rest.stir();
        core.rest.sooner(core.session.outbox.next_expiry(&self.arena));
        if result.is_err() {
            core.metrics.counts.refused_sends += 1;
        } else if core.durable.is_some() {
            core.rest = Rest::Unknown;
            core.unstored = true;
            core.number_ahead(&self.config, &mut self.arena);
        }
        result
    }

    /// On the native wire: what the application authenticates with from now on, for the hello of each socket. Where a socket is
    /// welcome already, it is told at once. `None` if all is in the request that opens the socket.
    ///
    /// On the JSON wire: JSON, which is the payload of an `auth` that is the first message on each socket; where no dialogue is
    /// kept, it is that message itself.
    ///
    /// The adapter calls it when it is asked to [open](Action::Open) a socket, before it reports
    /// [`Opened`](Event::Opened); the application, when what it has is about to expire.
    pub fn set_credentials(&mut self, credentials: Option<P>) {
        self.core.rest = Rest::Unknown;
        self.core.authenticates = credentials.is_some() && matches!(self.config.wire, Wire::Json(_));
        self.core.renewing = match self.config.wire {
            Wire::Raw(_) => false,
            Wire::Native(_) | Wire::Json(_) => credentials.is_some(),
        };
        self.credentials = credentials.map(Secret);
    }

    /// Takes a message back that has not been handed to a socket; `None` if it is too late or there is no such message. It is
    /// not settled again.
    pub fn cancel(&mut self, id: MessageId) -> Option<P> {
        self.core.rest = Rest::Unknown;
        let payload = self.core.session.outbox.cancel(&mut self.arena, id)?;
        if let Some(dialogue) = self.desk.get_mut() {
            dialogue.settled(Settlement { id, outcome: Outcome::Cancelled });
        }
        self.core.unstored = true;
        outputs::count(&mut self.core.metrics, Outcome::Cancelled);
        Some(payload)
    }

    /// The frame that [`Action::Ping`] asks to write.
    #[must_use]
    pub fn ping_frame(&self, nonce: u32) -> Frame<'_> {
        self.config.wire.ping(nonce)
    }

    /// The frame that [`Action::Pong`] asks to write.
    #[must_use]
    pub fn pong_frame(&self) -> Frame<'_> {
        self.config.wire.pong(self.core.answering)
    }

    /// Bytes of the credentials.
    pub(crate) fn credentials_len(&self) -> usize {
        self.credentials.as_ref().map_or(0, |credentials| credentials.lend().reveal().len())
    }

    /// What the link is doing, why, and until when.
    #[must_use]
    pub fn state(&self) -> State {
        self.core.state()
    }

    /// The word for it.
    #[must_use]
    pub fn status(&self) -> Status {
        self.state().status()
    }

    /// The sequence of the last message that was accepted, over all processes if the state was restored; 0 if none ever was.
    #[must_use]
    pub const fn last_message(&self) -> u64 {
        self.core.session.outbox.last_sequence()
    }

    /// How good the connection is.
    #[must_use]
    pub fn quality(&self) -> Quality {
        self.core.quality.quality()
    }

    /// Everything that was counted and measured, as of `now`.
    #[must_use]
    pub fn report(&self, now: Instant) -> Report {
        let queue = Queue {
            messages: self.core.session.outbox.queued().saturating_add(self.core.session.outbox.in_flight()),
            bytes: self
                .core
                .session
                .outbox
                .queued_bytes()
                .saturating_add(self.core.session.outbox.in_flight_bytes()),
        };
        self.core.metrics.report(now.max(self.core.now), self.core.quality.latency(), queue)
    }

    /// The wall clock at `now`, if an input ever told it: time since 1970-01-01 00:00 UTC.
    #[must_use]
    pub fn wall_clock(&self, now: Instant) -> Option<Duration> {
        let (told_at, told) = self.core.wall_clock?;
        Some(told.saturating_add(now.since(told_at)))
    }

    /// The configuration that the link was made with.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }
}
