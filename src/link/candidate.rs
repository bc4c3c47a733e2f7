//! The second socket: one that closes, or one that may take over from a suspect one.

use core::mem;
use core::time::Duration;

use super::input::Epoch;
use super::machine::Machine;
use super::socket::{Candidacy, Opening, Other, Phase};
use crate::outbox::Slots;

impl<P, S: Slots<P>> Machine<'_, P, S> {
    pub(super) fn set_other(&mut self, other: Other) {
        match mem::replace(&mut self.core.other, other) {
            Other::Closing(closing) => self.core.abandon_socket(closing.epoch),
            Other::Candidate(Candidacy::Opening(opening)) => self.core.abandon_opening(&opening),
            Other::Candidate(Candidacy::At(_)) | Other::None => {}
        }
    }

    /// A socket that was closing is gone; what it had not reported as written, if it was the last one, is in doubt.
    pub(super) fn closed(&mut self) {
        self.core.other = Other::None;
        if !matches!(self.core.phase, Phase::Open(_)) {
            self.core.outbox.doubt(self.arena);
        }
    }

    pub(super) fn drop_candidate(&mut self) {
        if matches!(self.core.other, Other::Candidate(_)) {
            self.set_other(Other::None);
        }
    }

    /// The current socket has become suspect, or its last candidate came to nothing.
    pub(super) fn open_candidate(&mut self) {
        let epoch = self.core.next_epoch();
        self.core.metrics.counts.candidates += 1;
        let give_up = self.core.now + self.config.open_timeout;
        let opening = Opening { epoch, attempt: self.core.backoff.attempt(), give_up, told: false };
        self.set_other(Other::Candidate(Candidacy::Opening(opening)));
    }

    pub(super) fn next_candidate(&mut self) {
        self.core.metrics.counts.failed_opens += 1;
        let base = self.config.backoff.base;
        let delay = self.core.rng.between(base / 2, base).max(Duration::from_micros(1));
        self.core.other = Other::Candidate(Candidacy::At(self.core.now + delay));
    }

    /// The candidate is open while the current socket is still suspect: it takes over.
    pub(super) fn promote(&mut self, epoch: Epoch) {
        self.core.other = Other::None;
        if let Some(old) = self.take_socket() {
            self.core.abandon_socket(old.epoch);
            self.core.quality.reset();
            self.credit(&old);
            self.opened(epoch);
            if let Phase::Open(socket) = &mut self.core.phase {
                socket.linger = old.linger;
            }
        }
    }
}
