//! How time passes for a script, and what it brings.

use core::time::Duration;

use everlink::link::{Config, Delivery, Epoch, Event, Input, Link};
use everlink::time::Instant;

use super::{Coming, Script, Snapshot, at, closed};

impl Script {
    /// Lets time pass until this millisecond, with every deadline on the way kept to the microsecond.
    pub fn until(&mut self, millis: u64) {
        self.until_instant(at(millis));
    }

    pub fn until_instant(&mut self, end: Instant) {
        self.drain();
        loop {
            if self.server.answers {
                // Before anything that set out later.
                let (held, now) = (std::mem::take(&mut self.held), self.now);
                self.coming.splice(0..0, held.into_iter().map(|(epoch, coming)| (now, epoch, coming)));
            }
            let coming = self.coming.iter().map(|(at, ..)| *at).min();
            let mut next = [coming, self.link.deadline()].into_iter().flatten().min().unwrap_or(end);
            if self.chatty {
                next = next.min(at(self.now.micros() / 1000 + 1));
            }
            if next > end {
                break;
            }
            self.now = self.now.max(next);
            if coming.is_some_and(|at| at <= self.now) {
                self.arrive();
            } else {
                self.link.handle(self.now, Input::Tick);
            }
            self.drain();
            if self.now >= end
                && self.link.deadline().is_none_or(|at| at > end)
                && coming.is_none_or(|at| at > end)
            {
                break;
            }
        }
        self.now = self.now.max(end);
    }

    /// The process does not run until this millisecond: no tick, nothing read. What has come meanwhile is read first.
    pub fn frozen_until(&mut self, millis: u64) {
        self.now = at(millis);
        while self.coming.iter().any(|(at, ..)| *at <= self.now) {
            self.arrive();
        }
        self.link.handle(self.now, Input::Tick);
        self.drain();
    }

    /// Hands over what is due first.
    fn arrive(&mut self) {
        let first = (0..self.coming.len()).min_by_key(|index| self.coming[*index].0).unwrap();
        let (_, epoch, coming) = self.coming.remove(first);
        if self.far.is_some() && !self.server.answers && matches!(coming, Coming::Up(..) | Coming::Frame(..))
        {
            self.held.push((epoch, coming));
            return;
        }
        if let Coming::Up(socket, frame) = coming {
            let answers = self.far().frame(socket, &frame);
            self.down(answers);
            return;
        }
        self.hand_over(epoch, &coming);
    }

    fn hand_over(&mut self, epoch: Epoch, coming: &Coming) {
        let nonce;
        let event = match coming {
            Coming::Opened => Event::Opened,
            Coming::Failed(failure) => Event::Failed(*failure),
            Coming::Pong(number) => {
                nonce = number.to_be_bytes();
                Event::Pong(&nonce)
            }
            Coming::Written(total) => Event::Written(*total),
            Coming::Closed(code) => Event::Closed(closed(*code)),
            Coming::Frame(kind, data) => Event::Frame { kind: *kind, data },
            Coming::Up(..) => return,
            Coming::Stored(version, snapshot) => {
                self.stored.clone_from(snapshot);
                self.link.handle(self.now, Input::Stored(*version));
                return;
            }
        };
        if matches!(coming, Coming::Closed(_) | Coming::Failed(_)) {
            self.forget_socket(epoch);
        }
        self.deliver(epoch, event);
    }

    pub(super) fn deliver(&mut self, epoch: Epoch, event: Event<'_>) {
        for delivery in self.link.handle(self.now, Input::Socket(epoch, event)) {
            match delivery {
                Delivery::Message { data, .. } => self.delivered.push(data.to_vec()),
                other => self.told.push(format!("{other:?}")),
            }
        }
    }

    /// What the path has kept back will never come.
    pub fn lose_what_is_held(&mut self) {
        self.until_instant(self.now + self.server.rtt);
        self.held.clear();
    }

    /// The process is killed, and started again with what is on the disk. What it had sent may still arrive.
    pub fn kill(&mut self, config: &Config, seed: u64) {
        self.coming.retain(|(_, _, coming)| matches!(coming, Coming::Up(..)));
        self.held.retain(|(_, coming)| matches!(coming, Coming::Up(..)));
        self.base += 1_000;
        let Snapshot { state, delivered, settled, accepted, cancelled } = self.stored.clone();
        self.cancelled = cancelled;
        self.delivered.truncate(delivered);
        self.settled.truncate(settled);
        self.accepted = accepted;
        self.totals.clear();
        self.link = if state.is_empty() {
            Link::new(config.clone(), seed).unwrap()
        } else {
            Link::restore(config.clone(), seed, &state, self.now, Duration::ZERO).unwrap()
        };
        self.input(Input::Start);
    }

    /// Nothing more comes from a socket; what it was given may still be on its way.
    pub(super) fn forget_socket(&mut self, epoch: Epoch) {
        self.coming.retain(|(_, of, coming)| *of != epoch || matches!(coming, Coming::Up(..)));
        self.held.retain(|(of, coming)| *of != epoch || matches!(coming, Coming::Up(..)));
    }
}
