//! Channels: what somebody publishes on one, everybody gets who has subscribed to it.
//!
//! ```text
//!                             give             confirmed
//!   subscribe ─► [ pending ] ──────► [ ordered ] ───────► [ confirmed ] ──► unsubscribe, give, confirmed: forgotten
//!                     ▲                  │  └─ refused: forgotten  │
//!                     └──────────────────┴── the session is lost ──┘
//! ```
//!
//! [`Channels`] holds what the application wants, and what the other end knows; what differs is an [`Order`] to be given. In a
//! session that was resumed nothing differs, and nothing is repeated. When a session was lost, the other end knows nothing,
//! so all subscriptions are ordered again, and when one is confirmed that had been before, [`Confirmed::Subscribed`] says that
//! something may have been missed in the gap.
//!
//! A server keeps, for each client, which channels it has [`Joined`].
//!
//! ```
//! use everlink::channels::{Action, Channels, Config, Confirmed, Receiver, Slot};
//!
//! let mut channels = Channels::new([const { Slot::EMPTY }; 8]);
//! let weather = channels.subscribe(&Config::default(), "weather")?;
//!
//! let mut sent = 0; // goes out in the envelope, comes back in the confirmation
//! channels.give::<()>(|order| {
//!     assert_eq!(order.action, Action::Subscribe("weather"));
//!     sent = order.id;
//!     Ok(None)
//! }).unwrap();
//! let confirmed = channels.confirmed(sent, 0, 7);
//! assert_eq!(confirmed, Some(Confirmed::Subscribed { id: weather, gap: false }));
//! assert_eq!(channels.receiver_of_number(7), Receiver::Subscription(weather));
//! # Ok::<(), everlink::channels::Refused<&str>>(())
//! ```

mod config;
mod joined;
mod slot;
mod stored;

pub use config::Config;
pub use joined::Joined;
pub use slot::Slot;
pub(crate) use stored::{load_names, save_names};

use core::fmt;
use core::num::NonZeroU32;
use core::time::Duration;

use crate::outbox::{MessageId, Outcome};
use crate::time::Instant;
use slot::{By, Entry, Given, Table};

/// The channel on which a server speaks to each of its clients, without a subscription.
pub const SYSTEM: &str = "system";

/// Names a subscription of this end. Another one has another id, also if it is to the same channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct SubscriptionId(NonZeroU32);

impl SubscriptionId {
    /// The highest number.
    pub const MAX: u32 = u32::MAX >> 2;

    /// Its number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0.get()
    }

    /// Of the order with this id; `None` for a publish, and for an order to leave.
    #[must_use]
    pub const fn of_order(order: u32) -> Option<SubscriptionId> {
        match NonZeroU32::new(order >> 2) {
            Some(number) if order & 3 == SUBSCRIBE => Some(SubscriptionId(number)),
            Some(_) | None => None,
        }
    }
}

/// The lowest bits of the ids of orders. Those of publishes are even.
const SUBSCRIBE: u32 = 1;
const UNSUBSCRIBE: u32 = 3;

impl fmt::Display for SubscriptionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How a subscription stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum State {
    /// The other end has not confirmed it in this session.
    Pending,
    /// The other end has confirmed it.
    Confirmed,
}

/// What the other end is to be told. Channels have their names in it, not their numbers: those hold for one session only, and
/// an order that waits in an outbox may go out in the next. (For the same reason a publish that waits has a name in it.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Order<'a> {
    /// For the envelope: four times the number of the subscription, and 1 to subscribe, 3 to leave. So a confirmation shows by its
    /// id what it is of, if whoever gives ids to publishes gives them even ones.
    pub id: u32,
    /// What to do.
    pub action: Action<'a>,
}

/// To subscribe, or the reverse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Action<'a> {
    /// To the channel of this name.
    Subscribe(&'a str),
    /// From the channel of this name.
    Unsubscribe(&'a str),
}

/// What a confirmation means to the application.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Confirmed {
    /// From now on it gets what is published.
    Subscribed {
        /// Which subscription.
        id: SubscriptionId,
        /// It had been confirmed before, in a session that was lost: what was published since is missing.
        gap: bool,
    },
    /// It does not get it, and the subscription is over.
    Refused {
        /// Which subscription.
        id: SubscriptionId,
        /// Why, in the application's or this crate's numbers.
        code: u32,
    },
}

/// Whom a broadcast is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Receiver {
    /// A subscription.
    Subscription(SubscriptionId),
    /// Everyone: it came on the channel [`SYSTEM`].
    System,
    /// Nobody (any more); counted.
    Nobody,
}

/// Why there is no subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum RefusedReason {
    /// There are as many as may be.
    TooMany {
        /// How many that is: [`Config::subscriptions`], or the number of slots.
        limit: u32,
    },
    /// The name is too long.
    NameTooLong {
        /// How many bytes it may have: [`Config::name_bytes`].
        limit: u8,
    },
    /// The name is empty.
    NameEmpty,
    /// The channel is [`SYSTEM`], which everyone gets.
    System,
    /// There is this one to the same channel.
    Twice(SubscriptionId),
}

impl fmt::Display for RefusedReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RefusedReason::TooMany { limit } => {
                write!(f, "there are {limit} subscriptions, and no more may be")
            }
            RefusedReason::NameTooLong { limit } => {
                write!(f, "the name of the channel is longer than {limit} bytes")
            }
            RefusedReason::NameEmpty => f.write_str("the name of the channel is empty"),
            RefusedReason::System => write!(f, "the channel \"{SYSTEM}\" needs no subscription"),
            RefusedReason::Twice(id) => write!(f, "subscription {id} is to this channel already"),
        }
    }
}

/// A subscription that there is not, with the name handed back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Refused<N> {
    /// Why.
    pub reason: RefusedReason,
    /// The name of the channel.
    pub name: N,
}

impl<N> fmt::Display for Refused<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)
    }
}

impl<N: fmt::Debug> core::error::Error for Refused<N> {}

/// The subscriptions of one end.
///
/// `N` is a name: `&'static str`, `String`, or whatever else is a `str`. A broadcast finds its subscription in O(1); the other
/// costs are O(slots).
#[derive(Clone, Debug)]
pub struct Channels<N, S> {
    table: Table<N, S>,
    subscriptions: u32,
    /// How many orders are to be given.
    orders: u32,
    /// Not above the first time at which an order is to be given again.
    deadline: Option<Instant>,
    strays: u64,
}

#[cfg(feature = "alloc")]
impl<N: AsRef<str>> Channels<N, alloc::boxed::Box<[Slot<N>]>> {
    /// With so many slots on the heap; `start` as in [`starting_at`](Channels::starting_at).
    #[must_use]
    pub fn with_capacity(capacity: u32, start: u32) -> Self {
        let slots = core::iter::repeat_with(|| Slot::EMPTY);
        Channels::starting_at(slots.take(capacity.min(SubscriptionId::MAX) as usize).collect(), start)
    }
}

impl<N: AsRef<str>, S: AsRef<[Slot<N>]> + AsMut<[Slot<N>]>> Channels<N, S> {
    /// In these slots: an array, a slice, a box or a vector. There may be none; then every subscription is refused.
    ///
    /// A channel that was left keeps its slot until the other end has confirmed that.
    #[must_use]
    pub fn new(slots: S) -> Channels<N, S> {
        Channels::starting_at(slots, 0)
    }

    /// As [`new`](Channels::new), with ids that begin soon behind `start`. A process that was restarted and goes on with its old
    /// session gives another number than before: confirmations of forgotten orders may still come, and must not be taken for
    /// those of new ones.
    #[must_use]
    pub fn starting_at(slots: S, start: u32) -> Channels<N, S> {
        Channels { table: Table::new(slots, start), subscriptions: 0, orders: 0, deadline: None, strays: 0 }
    }

    /// The application wants what is published on a channel. It is pending; [`Confirmed`] tells what came of it.
    ///
    /// # Errors
    /// Hands the name back, with the limit that is passed.
    pub fn subscribe(&mut self, config: &Config, name: N) -> Result<SubscriptionId, Refused<N>> {
        let index = match self.admit(config, name.as_ref()) {
            Ok(index) => index,
            Err(reason) => return Err(Refused { reason, name }),
        };
        self.subscriptions += 1;
        if self.table.entry(index).is_none() {
            self.orders += 1;
            return Ok(SubscriptionId(self.table.fill(index, Entry::new(name))));
        }
        // It was left a moment ago, and the other end knows it still. It is told again, so that this subscription gets a
        // confirmation of its own.
        self.change(index, |entry| entry.wanted = true);
        Ok(SubscriptionId(self.table.rename(index)))
    }

    /// The other end may have a subscription of this end to this channel, of a process before this one. If nobody wants it by the time
    /// orders are given, it is left. It takes a slot until that is confirmed; without a free one, nothing is done.
    pub fn inherit(&mut self, name: N) {
        let free = self.table.iter().find(|(_, slot)| slot.entry.is_none()).map(|(index, _)| index);
        if let Some(index) = free.filter(|_| self.table.find(By::Name(name.as_ref())).is_none()) {
            self.table.fill(index, Entry { wanted: false, known: true, ..Entry::new(name) });
            self.orders += 1;
        }
    }

    /// All channels that the other end may have a subscription of this end to, in the order of the slots: what a next process
    /// [inherits](Channels::inherit).
    pub fn names(&self) -> impl Iterator<Item = &N> {
        self.table.iter().filter_map(|(_, slot)| Some(&slot.entry.as_ref()?.name))
    }

    /// The slot for a subscription to this channel: the one that it had, or a free one.
    fn admit(&self, config: &Config, name: &str) -> Result<u32, RefusedReason> {
        if name.is_empty() {
            return Err(RefusedReason::NameEmpty);
        }
        if name.len() > config.name_bytes.into() {
            return Err(RefusedReason::NameTooLong { limit: config.name_bytes });
        }
        if name == SYSTEM {
            return Err(RefusedReason::System);
        }
        let known = self.table.find(By::Name(name));
        if let Some(id) = known.and_then(|index| self.wanted(index)) {
            return Err(RefusedReason::Twice(id));
        }
        let limit = config.subscriptions.min(self.table.capacity());
        let free = || self.table.iter().find(|(_, slot)| slot.entry.is_none()).map(|(index, _)| index);
        let index = known.or_else(free).filter(|_| self.subscriptions < limit);
        index.ok_or(RefusedReason::TooMany { limit })
    }

    /// The application wants no more of it: nothing more comes. False if there is no such subscription (any more).
    pub fn unsubscribe(&mut self, id: SubscriptionId) -> bool {
        let Some(index) = self.table.index_of(id.0).filter(|&index| self.wanted(index).is_some()) else {
            return false;
        };
        self.subscriptions = self.subscriptions.saturating_sub(1);
        self.change(index, |entry| (entry.wanted, entry.confirmed, entry.gap) = (false, false, false));
        self.tidy(index);
        true
    }

    /// Whether the other end is to be told something.
    #[must_use]
    pub const fn has_orders(&self) -> bool {
        self.orders > 0
    }

    /// Gives the next order; false if there is none. `send` encodes it and pushes it into the outbox, and gives the id of the
    /// message, or none on a wire that needs no outbox for it.
    ///
    /// On a wire on which leaving a channel is not confirmed, [`confirmed`](Channels::confirmed) may follow at once.
    ///
    /// # Errors
    /// Those of `send`; then the order is to be given later.
    pub fn give<E>(
        &mut self,
        send: impl FnOnce(Order<'_>) -> Result<Option<MessageId>, E>,
    ) -> Result<bool, E> {
        self.give_until(None, send)
    }

    /// As [`give`](Channels::give); if the order is not confirmed by then, it is [given again](Channels::expire): whoever serves it
    /// may have had no room to say so. Giving it twice does no harm.
    ///
    /// # Errors
    /// As there.
    pub fn give_until<E>(
        &mut self,
        due: Option<Instant>,
        send: impl FnOnce(Order<'_>) -> Result<Option<MessageId>, E>,
    ) -> Result<bool, E> {
        if self.orders == 0 {
            return Ok(false);
        }
        let first = self.table.position(Entry::wants_order);
        let Some((index, entry)) = first.and_then(|index| Some((index, self.table.entry(index)?))) else {
            return Ok(false);
        };
        let name = entry.name.as_ref();
        let (action, kind) = match entry.wanted {
            true => (Action::Subscribe(name), SUBSCRIBE),
            false => (Action::Unsubscribe(name), UNSUBSCRIBE),
        };
        let id = self.id(index).map_or(0, SubscriptionId::get) << 2 | kind;
        let message = send(Order { id, action })?;
        self.change(index, |entry| {
            entry.given = if entry.wanted { Given::Subscribe } else { Given::Unsubscribe };
            (entry.order, entry.message, entry.due) = (id, message, due);
        });
        self.deadline = self.deadline.into_iter().chain(due).min();
        Ok(true)
    }

    /// Orders that left and should have been confirmed by `now` are to be given again; those that have not left have `more` time.
    pub fn expire(&mut self, now: Instant, more: Duration) {
        if self.deadline.is_none_or(|at| now < at) {
            return;
        }
        self.deadline = None;
        for index in 0..self.table.capacity() {
            self.change(index, |entry| {
                if entry.given == Given::Nothing {
                    entry.due = None;
                } else if entry.due.is_some_and(|due| due <= now) {
                    if entry.message.is_some() {
                        entry.due = Some(now + more);
                    } else {
                        // It may have been done, and only the confirmation got lost.
                        entry.known |= entry.given == Given::Subscribe;
                        (entry.given, entry.due) = (Given::Nothing, None);
                    }
                }
            });
            let due = self.table.entry(index).and_then(|entry| entry.due);
            self.deadline = self.deadline.into_iter().chain(due).min();
        }
    }

    /// When to call [`expire`](Channels::expire). It may be early; then there is nothing to do.
    #[must_use]
    pub const fn next_deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// The outbox has settled a message. True if it was that of an order. If it never left, the order is to be given again.
    pub fn settled(&mut self, message: MessageId, outcome: Outcome) -> bool {
        let Some(index) = self.table.position(|entry| entry.message == Some(message)) else { return false };
        self.change(index, |entry| {
            entry.message = None;
            if outcome.never_sent() {
                entry.given = Given::Nothing;
            }
        });
        self.tidy(index);
        true
    }

    /// A confirmation came: of this order, with code 0 if it was done, and the number by which the other end calls the channel
    /// from now on, if it has one. Tells what it means to the application, if it means anything.
    pub fn confirmed(&mut self, order: u32, code: u32, number: u32) -> Option<Confirmed> {
        let awaits = |entry: &Entry<N>| entry.order == order && entry.given != Given::Nothing;
        let found = self.table.position(awaits);
        let Some((index, entry)) = found.and_then(|index| Some((index, self.table.entry(index)?))) else {
            self.strays = self.strays.saturating_add(1);
            return None;
        };
        let (joins, gap) = (entry.given == Given::Subscribe, entry.gap);
        let id = self.wanted(index).filter(|id| SubscriptionId::of_order(order) == Some(*id));
        let joined = joins && code == 0;
        let number = if joined { number } else { 0 };
        // What it calls by this number now, it called another one by before.
        if let Some(other) = self.table.find(By::Number(number)).filter(|_| number != 0) {
            self.table.call(other, 0);
        }
        self.table.call(index, number);
        self.change(index, |entry| {
            (entry.given, entry.message, entry.known) = (Given::Nothing, None, joined);
            // One that was made meanwhile has its own order still to come.
            entry.wanted &= joined || id.is_none();
            entry.confirmed = id.is_some() && joined;
            entry.gap &= id.is_none();
        });
        self.tidy(index);
        let id = id?;
        if joined {
            return Some(Confirmed::Subscribed { id, gap });
        }
        self.subscriptions = self.subscriptions.saturating_sub(1);
        Some(Confirmed::Refused { id, code })
    }

    /// The order that waits for a confirmation of this channel, on a wire that confirms by name and subscriptions only.
    #[must_use]
    pub fn order_of(&self, name: &str) -> Option<u32> {
        let entry = self.table.entry(self.table.find(By::Name(name))?)?;
        (entry.given == Given::Subscribe).then_some(entry.order)
    }

    /// The session is gone: the other end knows nothing any more, and numbers mean nothing. `unsend` gets the messages of
    /// orders that the outbox has not settled: take back what is queued there, for they are given anew, in the order of
    /// the slots.
    pub fn lost(&mut self, mut unsend: impl FnMut(MessageId)) {
        for index in 0..self.table.capacity() {
            self.table.call(index, 0);
            self.change(index, |entry| {
                entry.message.take().into_iter().for_each(&mut unsend);
                entry.gap |= entry.confirmed;
                (entry.given, entry.known, entry.confirmed) = (Given::Nothing, false, false);
                entry.due = None;
            });
            self.tidy(index);
        }
        self.deadline = None;
    }

    /// Whom a broadcast is for that names its channel by a number.
    pub fn receiver_of_number(&mut self, number: u32) -> Receiver {
        let found = self.table.find(By::Number(number)).filter(|_| number != 0);
        self.receiver(found)
    }

    /// Whom a broadcast is for that names its channel by its name. Also one whose confirmation is still to come.
    pub fn receiver_of_name(&mut self, name: &str) -> Receiver {
        if name == SYSTEM {
            return Receiver::System;
        }
        let found = self.table.find(By::Name(name));
        self.receiver(found)
    }

    fn receiver(&mut self, index: Option<u32>) -> Receiver {
        if let Some(id) = index.and_then(|index| self.wanted(index)) {
            return Receiver::Subscription(id);
        }
        self.strays = self.strays.saturating_add(1);
        Receiver::Nobody
    }

    /// The subscription to the channel of this name, if there is one.
    #[must_use]
    pub fn of_name(&self, name: &str) -> Option<SubscriptionId> {
        self.wanted(self.table.find(By::Name(name))?)
    }

    /// The subscription to the channel that the other end calls by this number, if there is one.
    #[must_use]
    pub fn of_number(&self, number: u32) -> Option<SubscriptionId> {
        self.wanted(self.table.find(By::Number(number)).filter(|_| number != 0)?)
    }

    /// How a subscription stands; `None` if there is no such one (any more).
    #[must_use]
    pub fn state(&self, id: SubscriptionId) -> Option<State> {
        let index = self.table.index_of(id.0)?;
        let entry = self.table.entry(index).filter(|entry| entry.wanted)?;
        Some(if entry.confirmed { State::Confirmed } else { State::Pending })
    }

    /// The name of a subscription's channel; `None` if there is no such one (any more).
    #[must_use]
    pub fn name(&self, id: SubscriptionId) -> Option<&N> {
        let index = self.table.index_of(id.0)?;
        self.table.entry(index).filter(|entry| entry.wanted).map(|entry| &entry.name)
    }

    /// All subscriptions with their channels, in the order of the slots.
    pub fn iter(&self) -> impl Iterator<Item = (SubscriptionId, &N)> {
        self.table.iter().filter_map(|(index, slot)| Some((self.wanted(index)?, &slot.entry.as_ref()?.name)))
    }

    /// How many confirmations and broadcasts came that nobody waits for.
    #[must_use]
    pub const fn strays(&self) -> u64 {
        self.strays
    }

    fn id(&self, index: u32) -> Option<SubscriptionId> {
        self.table.slot(index)?.id.map(SubscriptionId)
    }

    /// The subscription in a slot, if there is one and it is wanted.
    fn wanted(&self, index: u32) -> Option<SubscriptionId> {
        self.table.entry(index).filter(|entry| entry.wanted).and_then(|_| self.id(index))
    }

    /// Changes an entry, and keeps count of the orders.
    fn change(&mut self, index: u32, change: impl FnOnce(&mut Entry<N>)) {
        let Some(entry) = self.table.entry_mut(index) else { return };
        let before = entry.wants_order();
        change(entry);
        self.orders = self.orders.saturating_sub(before.into()).saturating_add(entry.wants_order().into());
    }

    fn tidy(&mut self, index: u32) {
        if self.table.entry(index).is_some_and(Entry::is_over) {
            self.table.vacate(index);
        }
    }
}
