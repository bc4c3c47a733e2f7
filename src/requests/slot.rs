//! The slots that requests live in, and the lists that go through them.

use core::marker::PhantomData;

use super::{End, RequestId};
use crate::outbox::MessageId;
use crate::time::Instant;

/// No slot.
const NIL: u32 = u32::MAX;

/// Where a request stands. Each stage is a list, in the order in which the requests came to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Free,
    /// Its message is in the outbox.
    Asked,
    /// The outbox has settled its message: it has left, and the answer is awaited.
    Awaited,
    /// It is in doubt, and to be asked again.
    Again,
    /// It waits to be reported.
    Ended(End),
}

const STAGES: usize = 5;

impl Stage {
    const fn list(self) -> usize {
        match self {
            Stage::Free => 0,
            Stage::Asked => 1,
            Stage::Awaited => 2,
            Stage::Again => 3,
            Stage::Ended(_) => 4,
        }
    }
}

/// Room for one request: 40 bytes and the copy.
#[derive(Clone, Debug)]
pub struct Slot<P> {
    /// Of the request in it, or of the next one.
    pub(super) id: u32,
    pub(super) stage: Stage,
    pub(super) deadline: Instant,
    /// Its message, as long as the outbox has it.
    pub(super) message: Option<MessageId>,
    /// To ask again with.
    pub(super) copy: Option<P>,
    /// There is no answer to it.
    pub(super) unanswered: bool,
    /// It has left before, so it may have been done, whatever becomes of the message that asks again.
    pub(super) doubted: bool,
    previous: u32,
    next: u32,
}

impl<P> Slot<P> {
    /// A slot that nothing is in.
    pub const EMPTY: Slot<P> = Slot {
        id: 0,
        stage: Stage::Free,
        deadline: Instant::ORIGIN,
        message: None,
        copy: None,
        unanswered: false,
        doubted: false,
        previous: NIL,
        next: NIL,
    };
}

/// The ends of a list.
#[derive(Clone, Copy, Debug)]
struct List {
    first: u32,
    last: u32,
}

/// Slots, each in the list of its stage.
#[derive(Clone, Debug)]
pub(super) struct Table<P, S> {
    slots: S,
    lists: [List; STAGES],
    copy: PhantomData<P>,
}

impl<P, S: AsRef<[Slot<P>]> + AsMut<[Slot<P>]>> Table<P, S> {
    pub(super) fn new(slots: S, start: u32) -> Table<P, S> {
        let lists = [List { first: NIL, last: NIL }; STAGES];
        let mut table = Table { slots, lists, copy: PhantomData };
        let capacity = table.capacity();
        let start = start.min(RequestId::MAX.saturating_sub(capacity));
        let base = start.saturating_sub(start.checked_rem(capacity).unwrap_or(0));
        for index in 0..capacity {
            if let Some(slot) = table.slot_mut(index) {
                *slot = Slot { id: base.saturating_add(index + 1), ..Slot::EMPTY };
            }
            table.append(index, Stage::Free);
        }
        table
    }

    /// How many slots there are.
    pub(super) fn capacity(&self) -> u32 {
        u32::try_from(self.slots.as_ref().len()).unwrap_or(u32::MAX).min(RequestId::MAX)
    }

    pub(super) fn slot(&self, index: u32) -> Option<&Slot<P>> {
        self.slots.as_ref().get(index as usize)
    }

    pub(super) fn slot_mut(&mut self, index: u32) -> Option<&mut Slot<P>> {
        self.slots.as_mut().get_mut(index as usize)
    }

    /// The slot that has the request of this id, or had the last one of it.
    pub(super) fn index_of(&self, id: u32) -> Option<u32> {
        let index = id.checked_sub(1)?.checked_rem(self.capacity())?;
        self.slot(index).filter(|slot| slot.id == id).map(|_| index)
    }

    pub(super) fn first(&self, stage: Stage) -> Option<u32> {
        let first = self.lists.get(stage.list())?.first;
        (first != NIL).then_some(first)
    }

    pub(super) fn after(&self, index: u32) -> Option<u32> {
        self.slot(index).map(|slot| slot.next).filter(|&next| next != NIL)
    }

    /// Puts a slot at the end of another list.
    pub(super) fn shift(&mut self, index: u32, stage: Stage) {
        let Some(slot) = self.slot(index) else { return };
        let (from, previous, next) = (slot.stage.list(), slot.previous, slot.next);
        match self.slot_mut(previous) {
            Some(slot) => slot.next = next,
            None => self.list(from, |list| list.first = next),
        }
        match self.slot_mut(next) {
            Some(slot) => slot.previous = previous,
            None => self.list(from, |list| list.last = previous),
        }
        self.append(index, stage);
    }

    fn append(&mut self, index: u32, stage: Stage) {
        let last = self.lists.get(stage.list()).map_or(NIL, |list| list.last);
        if let Some(slot) = self.slot_mut(index) {
            (slot.stage, slot.previous, slot.next) = (stage, last, NIL);
        }
        match self.slot_mut(last) {
            Some(slot) => slot.next = index,
            None => self.list(stage.list(), |list| list.first = index),
        }
        self.list(stage.list(), |list| list.last = index);
    }

    fn list(&mut self, of: usize, change: impl FnOnce(&mut List)) {
        if let Some(list) = self.lists.get_mut(of) {
            change(list);
        }
    }

    /// Frees a slot. The next request in it has another id: the next one that leads to the same slot.
    pub(super) fn vacate(&mut self, index: u32) {
        let capacity = self.capacity();
        if let Some(slot) = self.slot_mut(index) {
            let next = slot.id.saturating_add(capacity);
            slot.id = if next > RequestId::MAX { index + 1 } else { next };
            (slot.message, slot.copy) = (None, None);
        }
        self.shift(index, Stage::Free);
    }
}
