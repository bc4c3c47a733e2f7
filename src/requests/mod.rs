//! Requests: something is asked at the other end, and each one ends in exactly one answer, error, or reason why there is none.
//!
//! ```text
//!            ┌───────── cancel ─────────────────────────────────────────► (nothing more is said)
//!            │
//!   begin ─► [ asked ] ── settled: it left ──► [ awaited ] ── answered ──► the answer, for the application
//!     ▲          │                                │  │
//!     │          │ settled: in doubt              │  └── expire ──────► [ ended ] ──► next_ended
//!     │          ▼                                │ lost                   ▲
//!     └── [ to be asked again ] ◄─────────────────┴────────────────────────┘
//!              with a copy                             without a copy
//! ```
//!
//! The message layer carries a request as one message. While the session is resumed, its message is neither lost nor
//! repeated, and all that happens here is waiting. When the session could not be resumed, what left and was not
//! answered is in doubt: it is reported as that, or, if a copy was given because asking twice does no harm, it is asked again.
//!
//! [`Requests`] is the asking side. [`Incoming`] is the other one: which requests of the other end still await our answer.
//! Neither knows bytes; [`wire::native`](crate::wire::native) and [`wire::json`](crate::wire::json) encode them.
//!
//! ```
//! use everlink::outbox::{Arena, Message, Outbox, Outcome, Slot};
//! use everlink::requests::{Config, Requests};
//! use everlink::time::Instant;
//!
//! let (config, now) = (Config::default(), Instant::ORIGIN);
//! let mut requests = Requests::new([const { everlink::requests::Slot::EMPTY }; 8], 0);
//! let mut arena = Arena::new([const { Slot::EMPTY }; 8]);
//! let mut outbox = Outbox::new(0);
//!
//! // The id goes into the message, the message's own id comes back.
//! let id = requests.begin(&config, now, None, Some("the time?")).unwrap();
//! let message = outbox.push(&mut arena, &Default::default(), now, 9, Message::text("the time?"), |_, _| ())?;
//! requests.queued(id, message);
//!
//! // The message has arrived; then the answer comes.
//! requests.settled(message, Outcome::Acknowledged);
//! assert_eq!(requests.next_deadline(), Some(now + config.timeout));
//! assert_eq!(requests.answered(id.get()).unwrap().id, id);
//! assert!(requests.answered(id.get()).is_none()); // only once
//! # Ok::<(), everlink::outbox::Refused<&str>>(())
//! ```

mod config;
mod incoming;
mod slot;

pub use config::Config;
pub use incoming::{Incoming, Unwelcome, Waiting};
pub use slot::Slot;

use core::fmt;
use core::num::NonZeroU32;
use core::time::Duration;

use crate::outbox::{MessageId, Outcome};
use crate::time::Instant;
use slot::{Stage, Table};

/// What this crate itself says in the errors that answer requests. The application's own numbers are below 4000 or from 5000 on.
pub mod code {
    /// More requests wait than are allowed; the reason says how many are.
    pub const TOO_MANY: u32 = 4105;
    /// Nobody there handles requests of that name.
    pub const UNHANDLED: u32 = 4110;
    /// Who handles it did not answer in time.
    pub const NO_ANSWER: u32 = 4111;
    /// What is asked for, or the channel, has a longer name than is taken there; the reason says how long it may be.
    pub const NAME_TOO_LONG: u32 = 4112;
}

/// Names a request; its number goes over the wire and comes back in the answer. Not zero, which is an event, and at most
/// [`RequestId::MAX`].
///
/// The numbers of requests that wait at the same time differ, and a number comes again only when all others were used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct RequestId(NonZeroU32);

impl RequestId {
    /// The highest number.
    pub const MAX: u32 = u32::MAX >> 1;

    /// Its number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0.get()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a request ended without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum End {
    /// No answer came in time. If its message was still queued, it was taken back: then the other end never sees it.
    TimedOut,
    /// The session in which it was asked is gone: whether it was done is unknown.
    InDoubt,
    /// Its message never left, for this reason.
    NeverSent(Outcome),
    /// All its bytes went to a socket, and on this wire there is no answer to it. So ends what is published on the JSON wire.
    Written,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            End::TimedOut => "no answer came in time",
            End::InDoubt => "the session was lost: whether it was done is unknown",
            End::NeverSent(_) => "it was never sent",
            End::Written => "it was written, and there is no answer to it",
        })
    }
}

/// A request that ended without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Ended {
    /// Which one.
    pub id: RequestId,
    /// Why.
    pub end: End,
}

/// A request that is over, by an answer or because it was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Closed {
    /// Which one.
    pub id: RequestId,
    /// Its message, if the outbox has not settled it: [cancel](crate::outbox::Outbox::cancel) it there, so that it is not sent
    /// for nothing.
    pub message: Option<MessageId>,
}

/// As many requests wait as may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Refused<P> {
    /// How many that is: [`Config::pending`], or the number of slots.
    pub limit: u32,
    /// The copy, handed back.
    pub copy: Option<P>,
}

impl<P> fmt::Display for Refused<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} requests wait for an answer, and no more may", self.limit)
    }
}

impl<P: fmt::Debug> core::error::Error for Refused<P> {}

/// The requests that were asked and not answered.
///
/// `P` is what is kept of those that may be asked again: the encoded body, cheap to clone. Costs are O(1), but O(requests that
/// wait) where a message is settled, and where a deadline has come.
#[derive(Clone, Debug)]
pub struct Requests<P, S> {
    table: Table<P, S>,
    pending: u32,
    /// Not above the first deadline of a pending request.
    deadline: Option<Instant>,
    strays: u64,
}

#[cfg(feature = "alloc")]
impl<P> Requests<P, alloc::boxed::Box<[Slot<P>]>> {
    /// With so many slots on the heap; `start` as in [`new`](Requests::new).
    #[must_use]
    pub fn with_capacity(capacity: u32, start: u32) -> Self {
        let slots = core::iter::repeat_with(|| Slot::EMPTY);
        Requests::new(slots.take(capacity.min(RequestId::MAX) as usize).collect(), start)
    }
}

impl<P, S: AsRef<[Slot<P>]> + AsMut<[Slot<P>]>> Requests<P, S> {
    /// In these slots: an array, a slice, a box or a vector. There may be none; then every request is refused.
    ///
    /// The first id comes soon behind `start`. In a new session that is 0. A process that was restarted and goes on with its old
    /// session gives another number than before, by chance or a stored one: the answers to its forgotten requests may still come,
    /// and must not be taken for those to its new ones.
    #[must_use]
    pub fn new(slots: S, start: u32) -> Requests<P, S> {
        Requests { table: Table::new(slots, start), pending: 0, deadline: None, strays: 0 }
    }

    /// Something is to be asked: gives the id that goes into its envelope. With a `copy`, it is asked again if it is in doubt;
    /// give one only if asking twice does no harm. It is due `timeout` after `now`, by default [`Config::timeout`].
    ///
    /// Push its message into the outbox next, and call [`queued`](Requests::queued), or [`cancel`](Requests::cancel) if that
    /// refuses it. An event needs no place here: its id is 0, and nothing comes of it.
    ///
    /// # Errors
    /// If too many wait already (those that ended and were not yet [told](Requests::next_ended) included, if no slot is left).
    pub fn begin(
        &mut self,
        config: &Config,
        now: Instant,
        timeout: Option<Duration>,
        copy: Option<P>,
    ) -> Result<RequestId, Refused<P>> {
        let free = self.table.first(Stage::Free).filter(|_| self.pending < config.pending);
        let Some((index, id)) = free.and_then(|index| Some((index, self.id(index)?))) else {
            return Err(Refused { limit: config.pending.min(self.table.capacity()), copy });
        };
        let deadline = now + timeout.unwrap_or(config.timeout);
        if let Some(slot) = self.table.slot_mut(index) {
            (slot.deadline, slot.copy) = (deadline, copy);
            (slot.unanswered, slot.doubted) = (false, false);
        }
        self.deadline = Some(self.deadline.map_or(deadline, |first| first.min(deadline)));
        self.pending += 1;
        self.table.shift(index, Stage::Asked);
        Ok(id)
    }

    /// Leaves a copy of its message with a request that has begun: it is [asked again](Requests::again) with it if it is in doubt.
    /// As the `copy` of [`begin`](Requests::begin), for those whose copy has the id in it.
    pub fn keep(&mut self, id: RequestId, copy: P) {
        if let Some(index) = self.index(id.get(), &[Stage::Asked])
            && let Some(slot) = self.table.slot_mut(index)
        {
            slot.copy = Some(copy);
        }
    }

    /// There is no answer to a request that has begun: it ends when its message [has left](End::Written).
    pub fn expect_nothing(&mut self, id: RequestId) {
        if let Some(index) = self.index(id.get(), &[Stage::Asked])
            && let Some(slot) = self.table.slot_mut(index)
        {
            slot.unanswered = true;
        }
    }

    /// The outbox has accepted the request's message (the first, or the one that asks [again](Requests::again)).
    pub fn queued(&mut self, id: RequestId, message: MessageId) {
        let Some(index) = self.index(id.get(), &[Stage::Asked, Stage::Again]) else { return };
        if let Some(slot) = self.table.slot_mut(index) {
            slot.message = Some(message);
        }
        self.table.shift(index, Stage::Asked);
    }

    /// The outbox has settled a message. True if it was that of a request, which the caller then need not report: its end is
    /// reported here.
    pub fn settled(&mut self, message: MessageId, outcome: Outcome) -> bool {
        let mut next = self.table.first(Stage::Asked);
        while let Some(index) = next {
            let Some(slot) = self.table.slot_mut(index) else { break };
            if slot.message == Some(message) {
                slot.message = None;
                match outcome {
                    Outcome::Acknowledged | Outcome::Written if slot.unanswered => {
                        self.end(index, End::Written)
                    }
                    Outcome::Acknowledged | Outcome::Written => self.table.shift(index, Stage::Awaited),
                    Outcome::InDoubt => self.doubt(index),
                    Outcome::Expired
                    | Outcome::Evicted
                    | Outcome::Replaced
                    | Outcome::Cancelled
                    | Outcome::TooLarge
                    | Outcome::Stopped => {
                        let end = if slot.doubted { End::InDoubt } else { End::NeverSent(outcome) };
                        self.end(index, end);
                    }
                }
                return true;
            }
            next = self.table.after(index);
        }
        false
    }

    /// The end of some messages may be known and not [told](Requests::settled) yet: it is told now. Before the session is
    /// [lost](Requests::lost), so that what left in it is not taken for something that leaves in the next.
    pub(crate) fn catch_up(&mut self, outcome: impl Fn(MessageId) -> Option<Outcome>) {
        let mut next = self.table.first(Stage::Asked);
        while let Some(index) = next {
            next = self.table.after(index);
            let message = self.table.slot(index).and_then(|slot| slot.message);
            if let Some((message, outcome)) = message.and_then(|message| Some((message, outcome(message)?))) {
                self.settled(message, outcome);
            }
        }
    }

    /// The session is gone, and another one begins: what had left in it is in doubt. What the outbox still has stays; it settles
    /// what was in flight as in doubt, or sends it again, as configured.
    pub fn lost(&mut self) {
        while let Some(index) = self.table.first(Stage::Awaited) {
            self.doubt(index);
        }
    }

    /// The link stops: nothing is asked again, and what had left is in doubt. The outbox settles the rest.
    pub fn stop(&mut self) {
        let mut next = self.table.first(Stage::Asked);
        while let Some(index) = next {
            next = self.table.after(index);
            if let Some(slot) = self.table.slot_mut(index) {
                slot.copy = None;
            }
        }
        for stage in [Stage::Awaited, Stage::Again] {
            while let Some(index) = self.table.first(stage) {
                self.end(index, End::InDoubt);
            }
        }
    }

    fn doubt(&mut self, index: u32) {
        if let Some(slot) = self.table.slot_mut(index).filter(|slot| slot.copy.is_some()) {
            slot.doubted = true;
            self.table.shift(index, Stage::Again);
        } else {
            self.end(index, End::InDoubt);
        }
    }

    /// The first request that is to be asked again, under its old id. Push the copy into the outbox and call
    /// [`queued`](Requests::queued); if the outbox refuses it, try again later: it has its deadline.
    #[must_use]
    pub fn again(&self) -> Option<(RequestId, &P)> {
        let index = self.table.first(Stage::Again)?;
        let copy = self.table.slot(index)?.copy.as_ref()?;
        Some((self.id(index)?, copy))
    }

    /// An answer or an error with this id came. If a request waits for it, it is over, and the answer is the application's. Else
    /// it is a stray (unknown, late, twice, of another session) and only counted.
    pub fn answered(&mut self, id: u32) -> Option<Closed> {
        let closed = self.index(id, &[Stage::Asked, Stage::Awaited]).and_then(|index| self.close(index));
        if closed.is_none() {
            self.strays = self.strays.saturating_add(1);
        }
        closed
    }

    /// Nobody waits for the answer any more: it will be a stray. `None` if the request had ended already.
    pub fn cancel(&mut self, id: RequestId) -> Option<Closed> {
        let index = self.index(id.get(), &[Stage::Asked, Stage::Awaited, Stage::Again])?;
        self.close(index)
    }

    /// Ends what is due at `now`. `unsend` gets the messages that the outbox has not settled: take back what is still
    /// queued there, so that nothing is done that was reported as failed.
    pub fn expire(&mut self, now: Instant, mut unsend: impl FnMut(MessageId)) {
        if self.deadline.is_none_or(|deadline| now < deadline) {
            return;
        }
        self.deadline = None;
        for stage in [Stage::Asked, Stage::Awaited, Stage::Again] {
            let mut next = self.table.first(stage);
            while let Some(index) = next {
                next = self.table.after(index);
                let Some(slot) = self.table.slot(index) else { break };
                let (deadline, message) = (slot.deadline, slot.message);
                if deadline <= now {
                    message.into_iter().for_each(&mut unsend);
                    self.end(index, End::TimedOut);
                } else {
                    self.deadline = Some(self.deadline.map_or(deadline, |first| first.min(deadline)));
                }
            }
        }
    }

    /// When to call [`expire`](Requests::expire). It may be early, if what was due first has ended; then there is nothing to do.
    #[must_use]
    pub const fn next_deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Reports a request that ended without an answer, the first first, and frees its slot. Call it until it returns `None`.
    pub fn next_ended(&mut self) -> Option<Ended> {
        let index = self.table.first(Stage::Ended(End::InDoubt))?;
        let Stage::Ended(end) = self.table.slot(index)?.stage else { return None };
        let id = self.id(index)?;
        self.table.vacate(index);
        Some(Ended { id, end })
    }

    /// Whether there is something to [report](Requests::next_ended).
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.table.first(Stage::Ended(End::InDoubt)).is_some()
    }

    /// How many wait for an answer.
    #[must_use]
    pub const fn pending(&self) -> u32 {
        self.pending
    }

    /// How many answers came that nobody waited for.
    #[must_use]
    pub const fn strays(&self) -> u64 {
        self.strays
    }

    fn id(&self, index: u32) -> Option<RequestId> {
        NonZeroU32::new(self.table.slot(index)?.id).map(RequestId)
    }

    /// The slot of the request with this id, if it is in one of these stages.
    fn index(&self, id: u32, stages: &[Stage]) -> Option<u32> {
        let index = self.table.index_of(id)?;
        stages.contains(&self.table.slot(index)?.stage).then_some(index)
    }

    fn end(&mut self, index: u32, end: End) {
        if let Some(slot) = self.table.slot_mut(index) {
            (slot.message, slot.copy) = (None, None);
        }
        self.table.shift(index, Stage::Ended(end));
        self.leave();
    }

    fn close(&mut self, index: u32) -> Option<Closed> {
        let closed = Closed { id: self.id(index)?, message: self.table.slot(index)?.message };
        self.table.vacate(index);
        self.leave();
        Some(closed)
    }

    fn leave(&mut self) {
        self.pending = self.pending.saturating_sub(1);
        if self.pending == 0 {
            self.deadline = None;
        }
    }
}
