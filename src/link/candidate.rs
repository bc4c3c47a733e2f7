//! The second socket: one that closes, or one that may take over from a suspect one.

use core::mem;
use core::time::Duration;

use super::input::Epoch;
use super::machine::Machine;
use super::policy::Verdict;
use super::socket::{Candidacy, Hello, Opening, Other, Phase};
use super::state::Cause;
use crate::backoff;
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
        let last = match mem::replace(&mut self.core.other, Other::None) {
            Other::Closing(closing) => closing.last,
            Other::Candidate(_) | Other::None => false,
        };
        if last || !self.is_native() && !matches!(self.core.phase, Phase::Open(_)) {
            self.end_session();
        }
    }

    /// The current socket has proved itself: no other is needed, unless the server may have given the session to the candidate
    /// already. Then it is the candidate that counts, for the server will close this one.
    pub(super) fn spare_candidate(&mut self) {
        if !matches!(
            self.core.other,
            Other::Candidate(Candidacy::Opening(Opening { hello: Hello::Said { .. }, .. }))
        ) {
            self.drop_candidate();
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
        self.core.metrics.counts.attempts += 1;
        let give_up = self.core.now + self.config.open_timeout;
        self.begin_attempt();
        let attempt = self.core.backoff.attempt();
        let opening = Opening { epoch, attempt, give_up, told: false, hello: Hello::NotYet };
        self.set_other(Other::Candidate(Candidacy::Opening(opening)));
    }

    /// A candidate came to nothing. The next one comes soon, unless the server said when, or another could do no better.
    pub(super) fn next_candidate(&mut self, cause: Cause, retry_after: Option<Duration>) {
        self.core.metrics.counts.failed_opens += 1;
        if !matches!(&self.core.phase, Phase::Open(socket) if socket.is_suspect()) {
            self.core.other = Other::None;
            return;
        }
        let config = &self.config.backoff;
        let (from, to) = match self.config.retry.judge(cause, retry_after) {
            Verdict::Final => {
                self.core.other = Other::None;
                return;
            }
            Verdict::Retry(backoff::Cause::Lost | backoff::Cause::Online) => (Duration::ZERO, config.base),
            Verdict::Retry(backoff::Cause::Restart) => (config.restart_spread_min, config.restart_spread_max),
            Verdict::Retry(backoff::Cause::RetryAfter(asked)) => {
                let asked = asked.min(config.retry_after_cap);
                (asked, asked.saturating_add(config.base))
            }
        };
        let delay = self.core.rng.between(from, to).max(Duration::from_millis(1));
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
