//! The slots that subscriptions live in, and how they are found by name and by number.

use core::marker::PhantomData;
use core::num::NonZeroU32;

use super::SubscriptionId;
use crate::outbox::{Key, MessageId};
use crate::time::Instant;

/// No slot.
const NIL: u32 = u32::MAX;

/// An order that was given, and waits for its confirmation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Given {
    Nothing,
    Subscribe,
    Unsubscribe,
}

/// A subscription: what the application wants, and what the other end knows.
#[derive(Clone, Debug)]
pub(super) struct Entry<N> {
    pub(super) name: N,
    /// Whether the application wants it.
    pub(super) wanted: bool,
    /// Whether the subscription that is wanted, and no earlier one to this channel, was confirmed in this session.
    pub(super) confirmed: bool,
    /// Whether the other end has it.
    pub(super) known: bool,
    pub(super) given: Given,
    /// The id of the order that was given last.
    pub(super) order: u32,
    /// The order's message, as long as the outbox has it.
    pub(super) message: Option<MessageId>,
    /// When it is given again if it was not confirmed; `None` for never.
    pub(super) due: Option<Instant>,
    /// By which number the other end calls it in this session; 0 if by none.
    pub(super) number: u32,
    /// Whether it was confirmed in a session that is gone, so that something may have been missed.
    pub(super) gap: bool,
}

impl<N> Entry<N> {
    /// One that is wanted, and unknown to the other end.
    pub(super) const fn new(name: N) -> Entry<N> {
        Entry {
            name,
            wanted: true,
            confirmed: false,
            known: false,
            given: Given::Nothing,
            order: 0,
            message: None,
            due: None,
            number: 0,
            gap: false,
        }
    }

    /// Whether the other end is to be told something.
    pub(super) const fn wants_order(&self) -> bool {
        let differs = if self.wanted { !self.confirmed } else { self.known };
        differs && matches!(self.given, Given::Nothing)
    }

    /// Whether neither end knows or wants anything of it.
    pub(super) const fn is_over(&self) -> bool {
        !self.wanted && !self.known && matches!(self.given, Given::Nothing)
    }
}

/// A place in a hash table that is spread over the slots.
#[derive(Clone, Copy, Debug)]
struct Hook {
    /// The first slot in the bucket that has the number of *this* slot.
    bucket: u32,
    /// The next slot in the bucket that this slot is in.
    chain: u32,
}

impl Hook {
    const NONE: Hook = Hook { bucket: NIL, chain: NIL };
}

/// Room for one subscription: 64 bytes and the name.
#[derive(Clone, Debug)]
pub struct Slot<N> {
    /// Of the subscription in it, or of the last one.
    pub(super) id: Option<NonZeroU32>,
    pub(super) entry: Option<Entry<N>>,
    hooks: [Hook; 2],
}

impl<N> Slot<N> {
    /// A slot that nothing is in.
    pub const EMPTY: Slot<N> = Slot { id: None, entry: None, hooks: [Hook::NONE; 2] };
}

/// By what a subscription is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By<'a> {
    Name(&'a str),
    Number(u32),
}

impl By<'_> {
    const fn hook(self) -> usize {
        match self {
            By::Name(_) => 0,
            By::Number(_) => 1,
        }
    }

    fn hash(self) -> u64 {
        match self {
            By::Name(name) => Key::hash(name.as_bytes()).number(),
            By::Number(number) => number.into(),
        }
    }

    fn is<N: AsRef<str>>(self, entry: &Entry<N>) -> bool {
        match self {
            By::Name(name) => entry.name.as_ref() == name,
            By::Number(number) => entry.number == number,
        }
    }
}

/// The slots. Each one with an entry is in the bucket of its name, and in that of its number if that is not 0.
#[derive(Clone, Debug)]
pub(super) struct Table<N, S> {
    slots: S,
    /// A multiple of the capacity, that no id is below.
    base: u32,
    name: PhantomData<N>,
}

impl<N: AsRef<str>, S: AsRef<[Slot<N>]> + AsMut<[Slot<N>]>> Table<N, S> {
    pub(super) fn new(mut slots: S, start: u32) -> Table<N, S> {
        slots.as_mut().fill_with(|| Slot::EMPTY);
        let mut table = Table { slots, base: 0, name: PhantomData };
        let start = start.min(SubscriptionId::MAX.saturating_sub(table.capacity()));
        table.base = start.saturating_sub(start.checked_rem(table.capacity()).unwrap_or(0));
        table
    }

    pub(super) fn capacity(&self) -> u32 {
        u32::try_from(self.slots.as_ref().len()).unwrap_or(u32::MAX).min(SubscriptionId::MAX)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Slot<N>)> {
        (0..self.capacity()).zip(self.slots.as_ref())
    }

    /// The first slot whose entry is like this.
    pub(super) fn position(&self, is: impl Fn(&Entry<N>) -> bool) -> Option<u32> {
        self.iter().find(|(_, slot)| slot.entry.as_ref().is_some_and(&is)).map(|(index, _)| index)
    }

    pub(super) fn slot(&self, index: u32) -> Option<&Slot<N>> {
        self.slots.as_ref().get(index as usize)
    }

    fn slot_mut(&mut self, index: u32) -> Option<&mut Slot<N>> {
        self.slots.as_mut().get_mut(index as usize)
    }

    pub(super) fn entry(&self, index: u32) -> Option<&Entry<N>> {
        self.slot(index)?.entry.as_ref()
    }

    /// Its number is changed by [`call`](Table::call), and its name never.
    pub(super) fn entry_mut(&mut self, index: u32) -> Option<&mut Entry<N>> {
        self.slot_mut(index)?.entry.as_mut()
    }

    pub(super) fn find(&self, by: By<'_>) -> Option<u32> {
        let bucket = self.bucket(by)?;
        let mut next = self.hook(bucket, by)?.bucket;
        while let Some(slot) = self.slot(next) {
            if slot.entry.as_ref().is_some_and(|entry| by.is(entry)) {
                return Some(next);
            }
            next = self.hook(next, by)?.chain;
        }
        None
    }

    /// Puts an entry into a slot, which then has another id than before.
    pub(super) fn fill(&mut self, index: u32, entry: Entry<N>) -> NonZeroU32 {
        if let Some(slot) = self.slot_mut(index) {
            slot.entry = Some(entry);
        }
        self.link(index);
        self.rename(index)
    }

    /// Gives a slot the next id that leads to it.
    pub(super) fn rename(&mut self, index: u32) -> NonZeroU32 {
        let capacity = self.capacity();
        let last = self.slot(index).and_then(|slot| slot.id);
        let next = last.and_then(|id| id.checked_add(capacity)).filter(|id| id.get() <= SubscriptionId::MAX);
        let id = next.unwrap_or(NonZeroU32::MIN.saturating_add(self.base.saturating_add(index)));
        if let Some(slot) = self.slot_mut(index) {
            slot.id = Some(id);
        }
        id
    }

    /// The slot of the subscription with this id.
    pub(super) fn index_of(&self, id: NonZeroU32) -> Option<u32> {
        let index = (id.get() - 1).checked_rem(self.capacity())?;
        self.slot(index).filter(|slot| slot.id == Some(id) && slot.entry.is_some()).map(|_| index)
    }

    pub(super) fn vacate(&mut self, index: u32) {
        self.unlink(index);
        if let Some(slot) = self.slot_mut(index) {
            slot.entry = None;
        }
    }

    /// The other end calls the channel by another number; 0 for none.
    pub(super) fn call(&mut self, index: u32, number: u32) {
        self.unlink(index);
        if let Some(entry) = self.entry_mut(index) {
            entry.number = number;
        }
        self.link(index);
    }

    fn bucket(&self, by: By<'_>) -> Option<u32> {
        // Below the capacity, which is a u32.
        by.hash().checked_rem(self.capacity().into()).map(|bucket| bucket as u32)
    }

    fn hook(&self, index: u32, by: By<'_>) -> Option<&Hook> {
        self.slot(index)?.hooks.get(by.hook())
    }

    fn hook_mut(&mut self, index: u32, hook: usize) -> Option<&mut Hook> {
        self.slot_mut(index)?.hooks.get_mut(hook)
    }

    /// The buckets that an entry belongs in, with the number of the hook.
    fn buckets(&self, index: u32) -> [Option<(u32, usize)>; 2] {
        let Some(entry) = self.entry(index) else { return [None; 2] };
        let number = (entry.number != 0).then_some(By::Number(entry.number));
        [Some(By::Name(entry.name.as_ref())), number]
            .map(|by| by.and_then(|by| Some((self.bucket(by)?, by.hook()))))
    }

    fn link(&mut self, index: u32) {
        for (bucket, hook) in self.buckets(index).into_iter().flatten() {
            let Some(head) = self.hook_mut(bucket, hook) else { continue };
            let behind = core::mem::replace(&mut head.bucket, index);
            if let Some(own) = self.hook_mut(index, hook) {
                own.chain = behind;
            }
        }
    }

    fn unlink(&mut self, index: u32) {
        for (bucket, hook) in self.buckets(index).into_iter().flatten() {
            let Some(behind) = self.hook_mut(index, hook).map(|own| core::mem::replace(&mut own.chain, NIL))
            else {
                continue;
            };
            let Some(head) = self.hook_mut(bucket, hook) else { continue };
            if head.bucket == index {
                head.bucket = behind;
                continue;
            }
            let mut next = head.bucket;
            while let Some(own) = self.hook_mut(next, hook) {
                if own.chain == index {
                    own.chain = behind;
                    break;
                }
                next = own.chain;
            }
        }
    }
}
