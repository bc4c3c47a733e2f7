//! The requests of the other end that await our answer.

use core::fmt;

use super::Config;
use crate::time::Instant;

/// A request of the other end that awaits our answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting<K> {
    id: K,
    deadline: Instant,
}

/// Why a request is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Unwelcome {
    /// Too many wait already: answer it with an error that says so ([`code::TOO_MANY`](super::code::TOO_MANY)).
    TooMany {
        /// How many may: [`Config::incoming`], or the number of slots.
        limit: u32,
    },
    /// One with the same id waits. The other end has broken the protocol; any answer could be taken for that of the first one.
    Twice,
}

impl fmt::Display for Unwelcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unwelcome::TooMany { limit } => {
                write!(f, "{limit} requests wait to be answered, and no more may")
            }
            Unwelcome::Twice => f.write_str("a request with this id waits already"),
        }
    }
}

impl core::error::Error for Unwelcome {}

/// Which requests of the other end await our answer: so that each gets exactly one, and not more wait than may.
///
/// `K` is what the wire calls them: a number, or a text. Costs are O(requests that wait).
///
/// ```
/// use everlink::requests::{Config, Incoming};
/// use everlink::time::Instant;
///
/// let (config, now) = (Config::default(), Instant::ORIGIN);
/// let mut incoming = Incoming::new([None; 4]);
/// incoming.arrived(&config, now, 17)?;
/// assert!(incoming.answers(&17)); // now the answer may leave
/// assert!(!incoming.answers(&17)); // and no second one
/// # Ok::<(), everlink::requests::Unwelcome>(())
/// ```
#[derive(Clone, Debug)]
pub struct Incoming<K, S> {
    slots: S,
    waiting: u32,
    /// Not above the first deadline.
    deadline: Option<Instant>,
    id: core::marker::PhantomData<K>,
}

#[cfg(feature = "alloc")]
impl<K> Incoming<K, alloc::boxed::Box<[Option<Waiting<K>>]>>
where
    K: PartialEq,
{
    /// With so many slots on the heap.
    #[must_use]
    pub fn with_capacity(capacity: u32) -> Self {
        Incoming::new(core::iter::repeat_with(|| None).take(capacity as usize).collect())
    }
}

impl<K: PartialEq, S: AsRef<[Option<Waiting<K>>]> + AsMut<[Option<Waiting<K>>]>> Incoming<K, S> {
    /// In these slots: an array, a slice, a box or a vector. There may be none; then every request is one too many.
    #[must_use]
    pub fn new(mut slots: S) -> Incoming<K, S> {
        slots.as_mut().fill_with(|| None);
        Incoming { slots, waiting: 0, deadline: None, id: core::marker::PhantomData }
    }

    /// A request came that wants an answer (an event does not).
    ///
    /// # Errors
    /// If it is not to be handled.
    pub fn arrived(&mut self, config: &Config, now: Instant, id: K) -> Result<(), Unwelcome> {
        if self.slots.as_ref().iter().flatten().any(|waiting| waiting.id == id) {
            return Err(Unwelcome::Twice);
        }
        let slots = self.slots.as_mut();
        let limit = config.incoming.min(u32::try_from(slots.len()).unwrap_or(u32::MAX));
        let free = slots.iter_mut().find(|slot| slot.is_none()).filter(|_| self.waiting < limit);
        let slot = free.ok_or(Unwelcome::TooMany { limit })?;
        let deadline = now + config.answer_timeout;
        *slot = Some(Waiting { id, deadline });
        self.waiting += 1;
        self.deadline = Some(self.deadline.map_or(deadline, |first| first.min(deadline)));
        Ok(())
    }

    /// Whether this request awaits an answer.
    #[must_use]
    pub fn awaits(&self, id: &K) -> bool {
        self.slots.as_ref().iter().flatten().any(|waiting| waiting.id == *id)
    }

    /// Whether this request awaits an answer. Then the answer may leave, and it awaits none any more.
    pub fn answers(&mut self, id: &K) -> bool {
        self.take(|waiting| waiting.id == *id).is_some()
    }

    /// A request that has waited for too long at `now`: answer it with an error ([`code::NO_ANSWER`](super::code::NO_ANSWER)).
    /// Call it until it returns `None`.
    pub fn expire(&mut self, now: Instant) -> Option<K> {
        if self.deadline.is_none_or(|deadline| now < deadline) {
            return None;
        }
        let due = self.take(|waiting| waiting.deadline <= now);
        self.deadline = self.slots.as_ref().iter().flatten().map(|waiting| waiting.deadline).min();
        due
    }

    /// When to call [`expire`](Incoming::expire). It may be early, if what was due first has been answered.
    #[must_use]
    pub const fn next_deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// The session is gone, and with it those who wait: in another one their ids mean something else, or nothing.
    pub fn lost(&mut self) {
        self.slots.as_mut().fill_with(|| None);
        (self.waiting, self.deadline) = (0, None);
    }

    /// How many await an answer.
    #[must_use]
    pub const fn waiting(&self) -> u32 {
        self.waiting
    }

    fn take(&mut self, which: impl Fn(&Waiting<K>) -> bool) -> Option<K> {
        let mut slots = self.slots.as_mut().iter_mut();
        let taken = slots.find(|slot| slot.as_ref().is_some_and(&which))?.take()?;
        self.waiting = self.waiting.saturating_sub(1);
        if self.waiting == 0 {
            self.deadline = None;
        }
        Some(taken.id)
    }
}
