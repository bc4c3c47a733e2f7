//! From state to actions: what the link wants of its sockets, done here or passed on.

use super::Stream;
use super::action::{Action, Next};
use super::end::{Demand, End, Order};
use super::room::Room;
use super::slot::Slot;
use crate::link::Epoch;

impl<B: Room> Stream<B> {
    /// What is to be done now, or until when there is nothing. What the link wants of its sockets is done on the way. The link
    /// must be polled by nothing else.
    pub fn poll<E: End>(&mut self, end: &mut E) -> Next<E::Told> {
        if let Some(action) = self.own() {
            return Next::Do(action);
        }
        let at = match end.demand() {
            Demand::Do(order, told) => {
                self.obey(end, order);
                return Next::Do(Action::Tell(told));
            }
            Demand::Tell(told) => return Next::Do(Action::Tell(told)),
            Demand::Wait(at) => Some(at),
            Demand::Idle => None,
        };
        let partings =
            self.slots.iter().flatten().filter_map(|slot| slot.carrying.as_ref().and_then(|up| up.parting));
        partings.chain(at).min().map_or(Next::Idle, Next::Wait)
    }

    fn obey(&mut self, end: &mut impl End, order: Order) {
        match order {
            Order::Abandon(epoch) => self.abandon(epoch),
            Order::Close(epoch, code) => {
                if let Some(slot) = self.slot(epoch) {
                    slot.close(code);
                }
            }
            Order::Open { epoch, attempt } => {
                self.wanted = Some((epoch, attempt));
                self.make_room();
            }
            Order::Ping(epoch, nonce) => {
                if let Some(up) = self.slot(epoch).and_then(Slot::up) {
                    up.socket.put_heartbeat(&end.ping_frame(nonce));
                }
            }
            Order::Pong(epoch) => {
                if let Some(up) = self.slot(epoch).and_then(Slot::up) {
                    up.socket.put_heartbeat(&end.pong_frame());
                }
            }
            Order::Flush(epoch) => self.flush(end, epoch),
        }
    }

    /// What the sockets have to tell, and their ends.
    fn own<T>(&mut self) -> Option<Action<T>> {
        for place in &mut self.slots {
            let Some(slot) = place else { continue };
            if let Some(action) = slot.action() {
                return Some(action);
            }
            if slot.over {
                let epoch = slot.epoch;
                let memory = place.take().and_then(|slot| slot.carrying).map(|up| up.socket.into_memory());
                if let Some(memory) = memory {
                    self.give_back(memory);
                }
                return Some(Action::Disconnect { epoch });
            }
        }
        let room = self.slots.iter_mut().find(|place| place.is_none())?;
        let (epoch, attempt) = self.wanted.take()?;
        *room = Some(Slot::new(epoch));
        Some(Action::Connect { epoch, attempt })
    }

    fn abandon(&mut self, epoch: Epoch) {
        self.wanted.take_if(|(wanted, _)| *wanted == epoch);
        if let Some(slot) = self.slot(epoch) {
            slot.over = true;
        }
    }

    /// The link knows of one socket at most beside the one that it wants. If there are two, it knows one of them to have ended.
    fn make_room(&mut self) {
        if self.slots.iter().all(Option::is_some) {
            let parting = |slot: &&mut Slot<B>| slot.carrying.as_ref().is_some_and(|up| up.parting.is_some());
            if let Some(slot) = self.slots.iter_mut().flatten().find(parting) {
                slot.over = true;
            }
        }
    }

    fn flush<E: End>(&mut self, end: &mut E, epoch: Epoch) {
        let largest = end.largest_frame();
        let Some(up) = self.slot(epoch).and_then(Slot::up) else { return };
        while up.takes(largest) {
            // By reference: a frame is large.
            match &end.pull(epoch) {
                Some(frame) => drop(up.socket.put_message(frame)),
                None => return,
            }
        }
        up.full = true;
    }
}
