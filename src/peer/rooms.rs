//! The dialogues of a server's clients, and who gets what is published: only of those who have begun one.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use core::num::NonZeroU32;

use crate::channels::{self, Joined, RefusedReason};
use crate::dialogue::Dialogue;
use crate::time::Instant;

/// The dialogues of all clients that have begun one, by their seats; none is kept unless the server is asked to.
#[derive(Debug)]
pub(super) struct Rooms<P> {
    /// How one is made; `None` if none is kept.
    pub(super) make: Option<fn() -> Dialogue<P>>,
    sides: BTreeMap<u32, Box<Side<P>>>,
    channels: BTreeMap<Box<str>, Room>,
    names: BTreeMap<u32, Box<str>>,
    last_number: u32,
    /// Not above the first deadline of a dialogue of a client that is away.
    deadline: Option<Instant>,
}

/// The server's side of one dialogue.
#[derive(Debug)]
struct Side<P> {
    dialogue: Dialogue<P>,
    joined: Joined<Box<[u32]>>,
}

/// A channel with at least one subscriber.
#[derive(Debug)]
struct Room {
    number: u32,
    members: BTreeSet<u32>,
}

impl<P> Rooms<P> {
    pub(super) const NONE: Rooms<P> = Rooms {
        make: None,
        sides: BTreeMap::new(),
        channels: BTreeMap::new(),
        names: BTreeMap::new(),
        last_number: 0,
        deadline: None,
    };

    pub(super) const fn is_open(&self) -> bool {
        self.make.is_some()
    }

    pub(super) fn get(&self, seat: u32) -> Option<&Dialogue<P>> {
        Some(&self.sides.get(&seat)?.dialogue)
    }

    pub(super) fn get_mut(&mut self, seat: u32) -> Option<&mut Dialogue<P>> {
        Some(&mut self.sides.get_mut(&seat)?.dialogue)
    }

    /// The dialogue of a client, which begins now if it has not; `None` if none is kept.
    pub(super) fn begin(&mut self, seat: u32) -> Option<&mut Dialogue<P>> {
        Some(&mut self.side(seat)?.dialogue)
    }

    fn side(&mut self, seat: u32) -> Option<&mut Side<P>> {
        let make = self.make?;
        let new = || Box::new(Side { dialogue: make(), joined: Joined::new(Box::default()) });
        Some(self.sides.entry(seat).or_insert_with(new))
    }

    /// A client subscribes. False if it had already.
    pub(super) fn join(
        &mut self,
        config: &channels::Config,
        seat: u32,
        name: &str,
    ) -> Result<bool, RefusedReason> {
        if name.is_empty() {
            return Err(RefusedReason::NameEmpty);
        }
        if name.len() > config.name_bytes.into() {
            return Err(RefusedReason::NameTooLong { limit: config.name_bytes });
        }
        if name == channels::SYSTEM {
            return Err(RefusedReason::System);
        }
        let number =
            self.channels.get(name).map_or(self.last_number.wrapping_add(1).max(1), |room| room.number);
        let Some(side) = self.side(seat) else { return Err(RefusedReason::TooMany { limit: 0 }) };
        let Some(number) = NonZeroU32::new(number) else { return Ok(false) };
        side.joined.grow(config.subscriptions);
        let is_new = side.joined.join(config, number)?;
        if !self.channels.contains_key(name) {
            self.last_number = number.get();
            self.names.insert(number.get(), name.into());
        }
        let room = self.channels.entry(name.into());
        room.or_insert_with(|| Room { number: number.get(), members: BTreeSet::new() }).members.insert(seat);
        Ok(is_new)
    }

    /// A client had subscribed when its session was stored: so it has, whatever may be subscribed to by now. Nothing, if no dialogues
    /// are kept.
    pub(super) fn rejoin(&mut self, seat: u32, name: &str) {
        let config = channels::Config { subscriptions: u32::MAX, name_bytes: u8::MAX };
        // A name that cannot be one was refused as damage.
        let _ = self.join(&config, seat, name);
    }

    /// What a client has subscribed to.
    pub(super) fn joined(&self, seat: u32) -> impl Iterator<Item = &str> {
        let numbers = self.sides.get(&seat).into_iter().flat_map(|side| side.joined.iter());
        numbers.filter_map(|number| self.names.get(&number.get())).map(AsRef::as_ref)
    }

    /// A client unsubscribes. False if it had not subscribed.
    pub(super) fn leave(&mut self, seat: u32, name: &str) -> bool {
        let Some(number) = self.channels.get(name).and_then(|room| NonZeroU32::new(room.number)) else {
            return false;
        };
        let left = self.sides.get_mut(&seat).is_some_and(|side| side.joined.leave(number));
        if left {
            self.strike(seat, number.get());
        }
        left
    }

    /// A client's session is gone, or begins anew: it has subscribed to nothing.
    pub(super) fn leave_all(&mut self, seat: u32) {
        let Some(side) = self.sides.get_mut(&seat) else { return };
        let joined = core::mem::replace(&mut side.joined, Joined::new(Box::default()));
        for number in joined.iter() {
            self.strike(seat, number.get());
        }
    }

    /// Takes a client from the list of a channel, and the channel away if it was the last one.
    fn strike(&mut self, seat: u32, number: u32) {
        let Some(name) = self.names.get(&number) else { return };
        let Some(room) = self.channels.get_mut(name) else { return };
        room.members.remove(&seat);
        if room.members.is_empty() {
            self.channels.remove(name);
            self.names.remove(&number);
        }
    }

    /// Who gets what is published on a channel.
    pub(super) fn members(&self, name: &str) -> Option<&BTreeSet<u32>> {
        Some(&self.channels.get(name)?.members)
    }

    /// A client's session ends.
    pub(super) fn remove(&mut self, seat: u32) -> Option<Dialogue<P>> {
        self.leave_all(seat);
        Some(self.sides.remove(&seat)?.dialogue)
    }

    /// A client is away: whoever sweeps has to look at its dialogue from now on.
    pub(super) fn watch(&mut self, seat: u32) {
        let deadline = self.get(seat).and_then(Dialogue::next_deadline);
        self.deadline = self.deadline.into_iter().chain(deadline).min();
    }

    /// When to sweep.
    pub(super) const fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Those to look at, if something may be due.
    pub(super) fn due(&mut self, now: Instant) -> impl Iterator<Item = u32> + use<P> {
        let due = self.deadline.take_if(|at| *at <= now).is_some();
        let seats: alloc::vec::Vec<u32> =
            if due { self.sides.keys().copied().collect() } else { alloc::vec::Vec::new() };
        seats.into_iter()
    }
}
