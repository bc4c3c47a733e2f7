//! What time does.

use super::machine::Machine;
use super::rest::Rest;
use super::socket::{Candidacy, Flush, Hello, Opening, Other, Phase};
use super::state::Cause;
use crate::heartbeat::Beat;
use crate::outbox::Slots;

impl<P, S: Slots<P>> Machine<'_, P, S> {
    /// A ping falls due while nothing else is under way; see [`rest`](super::rest).
    pub(super) fn routine_tick(&mut self) -> Option<()> {
        let now = self.core.now;
        let Rest::Known { until: Some(due), .. } = self.core.rest else { return None };
        if now < due {
            // Whoever ticks before it is time wants to know when it will be.
            return None;
        }
        let expires = self.core.session.outbox.next_expiry(self.arena).is_some_and(|at| at <= now);
        let busy = expires || !self.core.is_drained() || self.core.durable.is_some() || self.desk.is_open();
        if busy || !self.core.online || self.is_late(due) {
            return None;
        }
        let (Phase::Open(socket), Other::None) = (&mut self.core.phase, &self.core.other) else {
            return None;
        };
        let parting = socket.linger.is_some() || socket.attachment.is_some();
        if parting || socket.flush == Flush::Asked || socket.heartbeat.is_awaiting() {
            return None;
        }
        match socket.heartbeat.fire(&self.config.heartbeat, now) {
            None => {}
            Some(Beat::Ping { nonce }) => socket.ping = Some(nonce),
            // Of a server that was to ping: told again at length.
            Some(Beat::Missed { .. } | Beat::Dead) => return None,
        }
        self.core.rest = Rest::Known { until: self.deadline(), stirred: true };
        Some(())
    }

    /// Fires every timer that is due, each once.
    pub(super) fn fire(&mut self) {
        let now = self.core.now;
        self.fire_dialogue();
        self.core.session.outbox.expire(self.arena, now);
        match &self.core.other {
            Other::Closing(closing) if closing.give_up <= now => {
                let epoch = closing.epoch;
                self.core.abandon_socket(epoch);
                self.closed();
            }
            Other::Candidate(Candidacy::At(at)) if *at <= now => self.open_candidate(),
            Other::Candidate(Candidacy::Opening(opening)) if opening.give_up <= now => {
                let opening = Opening { ..*opening };
                self.core.abandon_opening(&opening);
                self.next_candidate(Cause::OpenTimeout, None);
            }
            Other::Closing(_) | Other::Candidate(_) | Other::None => {}
        }
        match &self.core.phase {
            Phase::Opening(opening) if opening.give_up <= now => {
                let opening = Opening { ..*opening };
                self.core.abandon_opening(&opening);
                self.open_failed(Cause::OpenTimeout, None);
            }
            Phase::Open(_) => self.fire_open(),
            Phase::Opening(_) | Phase::Waiting(_) | Phase::Stopped | Phase::Failed(_) => {}
        }
        if matches!(&self.core.phase, Phase::Waiting(waiting) if self.core.online && waiting.at <= now) {
            self.open();
        }
        // What a dead socket gave back may have become too old meanwhile.
        self.core.session.outbox.expire(self.arena, now);
        self.core.number_ahead(self.config, self.arena);
        self.core.store_again.take_if(|at| *at <= now);
    }

    pub(super) fn fire_open(&mut self) {
        let undrained = !self.core.is_drained();
        let Phase::Open(socket) = &mut self.core.phase else { return };
        let now = self.core.now;
        if let Some(until) = socket.linger
            && (until <= now || self.core.session.outbox.is_empty())
        {
            self.drop_candidate();
            if let Some(socket) = self.take_socket() {
                self.part(&socket);
                self.stop_messages();
            }
            return;
        }
        if !self.core.online {
            return;
        }
        if undrained && socket.progress + self.config.stall_after <= now {
            socket.stalled = true;
        }
        if socket.flush == Flush::Asked
            && socket.heartbeat.next(&self.config.heartbeat).is_some_and(|(at, _)| at <= now)
        {
            socket.heartbeat.set_congested();
        }
        match socket.heartbeat.fire(&self.config.heartbeat, now) {
            None => {}
            Some(Beat::Ping { nonce }) => socket.ping = Some(nonce),
            Some(Beat::Missed { nonce }) => {
                socket.ping = Some(nonce);
                self.core.metrics.counts.missed_pongs += 1;
                socket.heartbeat.set_watchful(true);
                self.core.quality.missed();
                self.suspect();
            }
            Some(Beat::Dead) => {
                self.core.metrics.counts.missed_pongs += 1;
                if let Some(socket) = self.take_socket() {
                    self.core.metrics.disconnected(now);
                    self.core.abandon_socket(socket.epoch);
                    self.lost(&socket, Cause::HeartbeatLost, None);
                    if socket.heartbeat.is_probing() && matches!(self.core.phase, Phase::Waiting(_)) {
                        // The hope that the probe was sent for holds for a new socket.
                        self.retry_soon();
                    }
                }
            }
        }
        self.fire_overdue();
    }

    /// The current socket is suspect: if another could go on where it leaves off, one is opened beside it.
    fn suspect(&mut self) {
        let resumes = !self.is_native() || !self.core.token.is_empty();
        if resumes && self.config.opens_candidates() && !matches!(self.core.other, Other::Candidate(_)) {
            self.open_candidate();
        }
    }

    /// An acknowledgement that stays out is as suspicious as a pong that does, and several end the socket.
    fn fire_overdue(&mut self) {
        let Phase::Open(socket) = &self.core.phase else { return };
        let now = self.core.now;
        let timeout = || self.core.ack_timeout(self.config, socket);
        let overdue =
            socket.attachment.as_ref().is_some_and(|attachment| attachment.is_overdue(now, timeout));
        // As long as the socket is full, what is to be acknowledged may still be on this side.
        if !overdue || socket.flush == Flush::Asked {
            return;
        }
        let Phase::Open(socket) = &mut self.core.phase else { return };
        if let Some(attachment) = &mut socket.attachment {
            attachment.answered(now, true);
        }
        socket.overdue = socket.overdue.saturating_add(1);
        self.core.impatience = self.core.impatience.saturating_add(1);
        self.core.metrics.counts.overdue_acks += 1;
        if socket.overdue < self.config.heartbeat.misses {
            self.suspect();
        } else if let Some(socket) = self.take_socket() {
            self.core.metrics.disconnected(now);
            self.core.abandon_socket(socket.epoch);
            self.lost(&socket, Cause::Unacknowledged, None);
        }
    }

    pub(super) fn open(&mut self) {
        // A closing socket may still have what an earlier one was given; its fate can no longer be told.
        let last = match &mut self.core.other {
            Other::Closing(closing) => core::mem::take(&mut closing.last),
            Other::Candidate(_) | Other::None => false,
        };
        if last || !self.is_native() {
            self.end_session();
        }
        self.begin_attempt();
        let epoch = self.core.next_epoch();
        self.core.metrics.counts.attempts += 1;
        self.core.phase = Phase::Opening(Opening {
            epoch,
            attempt: self.core.backoff.attempt(),
            give_up: self.core.now + self.config.open_timeout,
            told: false,
            hello: Hello::NotYet,
        });
    }
}
