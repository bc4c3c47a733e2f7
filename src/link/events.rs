//! What a socket says, and what becomes of the link by it.

use core::mem;
use core::time::Duration;

use super::Deliveries;
use super::input::{Close, Epoch, Event};
use super::machine::{Machine, nonce_of};
use super::policy::Verdict;
use super::socket::{Candidacy, Flush, Other, Phase, Socket, Waiting};
use super::state::Cause;
use crate::backoff;
use crate::outbox::{Kind, Slots};
use crate::quality::Quality;
use crate::time::micros;
use crate::wire::Incoming;
use crate::wire::native::code;

/// "No code was there", "dropped without a close frame" (RFC 6455, section 7.1.5): never on the wire.
const NO_CODE: u16 = 1005;
const ABNORMAL: u16 = 1006;
/// "Message too big".
const TOO_BIG: u16 = 1009;

impl<P, S: Slots<P>> Machine<'_, P, S> {
    pub(super) fn socket<'f>(&mut self, epoch: Epoch, event: Event<'f>) -> Deliveries<'f> {
        let native = self.is_native();
        match (&mut self.core.phase, &mut self.core.other) {
            (Phase::Open(socket), _) if socket.epoch == epoch => return self.open_socket(event),
            (Phase::Opening(opening), _) if opening.epoch == epoch && opening.told => match event {
                Event::Opened if native => self.greet(epoch),
                Event::Opened => self.opened(epoch),
                Event::Frame { kind, data } if native => {
                    return self.envelopes(epoch, kind, data).0;
                }
                Event::Writable => opening.hello = opening.hello.writable(),
                Event::Failed(failure) => self.open_failed(Cause::Failure(failure), None),
                Event::Closed(close) => self.open_failed(cause_of(close), close.retry_after),
                Event::Violation(code) => {
                    self.core.metrics.counts.protocol_violations += 1;
                    self.core.abandon_socket(epoch);
                    self.open_failed(Cause::Violation(code), None);
                }
                Event::Frame { .. }
                | Event::Received(_)
                | Event::Ping
                | Event::Pong(_)
                | Event::Written(_)
                | Event::Paused
                | Event::Resumed => {}
            },
            (_, Other::Candidate(Candidacy::Opening(opening))) if opening.epoch == epoch && opening.told => {
                match event {
                    Event::Opened if native => self.greet(epoch),
                    Event::Opened => self.promote(epoch),
                    Event::Frame { kind, data } if native => {
                        return self.envelopes(epoch, kind, data).0;
                    }
                    Event::Writable => opening.hello = opening.hello.writable(),
                    Event::Failed(failure) => self.next_candidate(Cause::Failure(failure), None),
                    Event::Closed(close) => self.next_candidate(cause_of(close), close.retry_after),
                    Event::Violation(code) => {
                        self.core.metrics.counts.protocol_violations += 1;
                        self.core.abandon_socket(epoch);
                        self.next_candidate(Cause::Violation(code), None);
                    }
                    Event::Frame { .. }
                    | Event::Received(_)
                    | Event::Ping
                    | Event::Pong(_)
                    | Event::Written(_)
                    | Event::Paused
                    | Event::Resumed => {}
                }
            }
            (phase, Other::Closing(closing)) if closing.epoch == epoch => match event {
                Event::Closed(_) | Event::Failed(_) => self.closed(),
                Event::Frame { data, .. } if closing.last => self.last_words(data),
                // What is in flight belongs to a socket that closes only while there is no other.
                Event::Written(total) if !native && !matches!(phase, Phase::Open(_)) => {
                    self.core.session.outbox.written(self.arena, total);
                }
                Event::Opened
                | Event::Frame { .. }
                | Event::Received(_)
                | Event::Ping
                | Event::Pong(_)
                | Event::Written(_)
                | Event::Writable
                | Event::Paused
                | Event::Resumed
                | Event::Violation(_) => {}
            },
            _ => self.core.metrics.counts.stale_inputs += 1,
        }
        Deliveries::NONE
    }

    /// Something happened to the current, open socket.
    pub(super) fn open_socket<'f>(&mut self, event: Event<'f>) -> Deliveries<'f> {
        let native = self.is_native();
        let Phase::Open(socket) = &mut self.core.phase else { return Deliveries::NONE };
        let now = self.core.now;
        match event {
            Event::Received(_) => {
                socket.heartbeat.received(&self.config.heartbeat, now);
                self.heard();
            }
            Event::Ping => {
                socket.heartbeat.pinged(now);
                self.heard();
            }
            Event::Pong(data) => self.pong(nonce_of(data)),
            Event::Frame { kind, data } if native => {
                let epoch = socket.epoch;
                return self.envelopes(epoch, kind, data).0;
            }
            Event::Frame { kind, data } => return self.frame(kind, data),
            Event::Written(total) => self.written(total),
            Event::Writable => {
                socket.flush = Flush::Ready;
                // What is to be acknowledged has only just left.
                if let Some(attachment) = &mut socket.attachment {
                    attachment.hold_until(now);
                }
            }
            Event::Paused => socket.heartbeat.pause(),
            Event::Resumed => {
                socket.heartbeat.resume(now);
                if let Some(attachment) = &mut socket.attachment {
                    attachment.hold_until(now);
                }
            }
            Event::Violation(code) if native => {
                let epoch = socket.epoch;
                self.refuse(epoch, code);
            }
            Event::Violation(code) => {
                self.core.metrics.counts.protocol_violations += 1;
                if let Some(socket) = self.take_socket() {
                    if self.core.session.outbox.in_flight() == 0 {
                        self.close(&socket, code);
                    } else {
                        // What was handed over goes on the next socket: not a byte more of it may leave on this one.
                        self.core.metrics.disconnected(now);
                        self.core.abandon_socket(socket.epoch);
                    }
                    self.lost(&socket, Cause::Violation(code), None);
                }
            }
            Event::Closed(close) => self.dropped(close),
            // It was open before; so it is gone now.
            Event::Failed(_) => self.dropped(Close::default()),
            Event::Opened => self.core.metrics.counts.stale_inputs += 1,
        }
        Deliveries::NONE
    }

    /// The current, open socket has taken so much in all.
    pub(super) fn written(&mut self, total: u64) {
        let Phase::Open(socket) = &mut self.core.phase else { return };
        let before = self.core.session.outbox.in_flight();
        if socket.attachment.is_none() {
            self.core.session.outbox.written(self.arena, total);
        }
        // A part of a large message is progress too.
        if total > socket.written || self.core.session.outbox.in_flight() < before {
            socket.written = socket.written.max(total);
            socket.progress = self.core.now;
            socket.stalled = false;
        }
    }

    /// The current, open socket was closed by the other end or by the path.
    pub(super) fn dropped(&mut self, close: Close<'_>) {
        match (close.code, self.is_native()) {
            (Some(TOO_BIG), true) => self.core.too_large = true,
            (Some(TOO_BIG), false) => self.core.session.outbox.discard_largest_in_flight(self.arena),
            // It does not say who has the session now. A new one takes it from nobody.
            (Some(code::SUPERSEDED), true) => self.core.token.forget(),
            _ => {}
        }
        if let Some(socket) = self.take_socket() {
            self.core.metrics.disconnected(self.core.now);
            self.lost(&socket, cause_of(close), close.retry_after);
        }
    }

    pub(super) fn frame<'f>(&mut self, kind: Kind, data: &'f [u8]) -> Deliveries<'f> {
        if self.is_json() {
            return self.text(kind, data);
        }
        let Phase::Open(socket) = &mut self.core.phase else { return Deliveries::NONE };
        match self.config.wire.classify(self.config.heartbeat.mode, data) {
            Incoming::Message => {
                socket.heartbeat.received(&self.config.heartbeat, self.core.now);
                self.core.metrics.received(data.len());
                self.heard();
                return Deliveries::message(kind, data);
            }
            Incoming::Ping => {
                socket.heartbeat.pinged(self.core.now);
                socket.pong = Some(0);
                self.heard();
            }
            Incoming::Pong => self.pong(None),
        }
        Deliveries::NONE
    }

    pub(super) fn pong(&mut self, nonce: Option<u32>) {
        let Phase::Open(socket) = &mut self.core.phase else { return };
        if let Some(rtt) = socket.heartbeat.pong(&self.config.heartbeat, self.core.now, nonce) {
            self.core.metrics.counts.pongs_received += 1;
            self.core.metrics.latency(rtt);
            self.core.quality.sample(&self.config.quality, rtt);
            socket.heartbeat.set_watchful(self.core.quality.quality() >= Quality::Degraded);
        } else {
            self.core.metrics.counts.stray_pongs += 1;
        }
        self.heard();
    }

    /// A sign of life came: the current socket has proved itself before any candidate did.
    pub(super) fn heard(&mut self) {
        if let Phase::Open(socket) = &mut self.core.phase {
            socket.heard = true;
            if !socket.is_suspect() {
                self.spare_candidate();
            }
        }
    }

    pub(super) fn opened(&mut self, epoch: Epoch) {
        self.core.metrics.connected(self.core.now);
        if !self.is_native() {
            // What a candidate's predecessor had not written goes back; what this socket writes is counted from 0.
            self.core.session.outbox.requeue(self.arena);
        }
        if self.is_json() {
            self.begin_json();
        }
        self.core.phase = Phase::Open(Socket::new(epoch, self.core.now, self.core.hidden));
    }

    pub(super) fn open_failed(&mut self, cause: Cause, retry_after: Option<Duration>) {
        self.core.metrics.counts.failed_opens += 1;
        self.retry(cause, retry_after);
    }

    pub(super) fn take_socket(&mut self) -> Option<Socket> {
        match mem::replace(&mut self.core.phase, Phase::Stopped) {
            Phase::Open(socket) => Some(socket),
            phase @ (Phase::Stopped | Phase::Failed(_) | Phase::Waiting(_) | Phase::Opening(_)) => {
                self.core.phase = phase;
                None
            }
        }
    }

    /// The current socket has ended: what it had not written goes back, and the next attempt is scheduled.
    pub(super) fn lost(&mut self, socket: &Socket, cause: Cause, retry_after: Option<Duration>) {
        self.core.quality.reset();
        self.credit(socket);
        if socket.linger.is_some() {
            self.drop_candidate();
            self.core.phase = Phase::Stopped;
            self.end_session();
            self.stop_messages();
            return;
        }
        if self.is_native() {
            self.core.session.detach(self.arena);
        } else {
            self.core.session.outbox.requeue(self.arena);
            if self.is_json() {
                self.dialogue_lost();
            }
        }
        self.retry(cause, retry_after);
    }

    /// If the socket that has ended was stable, the next delay is a first one again.
    pub(super) fn credit(&mut self, socket: &Socket) {
        let up = self.core.now.since(socket.opened);
        if socket.heard && up >= self.config.backoff.stable_after {
            self.core.backoff.reset();
        }
    }

    pub(super) fn retry(&mut self, cause: Cause, retry_after: Option<Duration>) {
        let core = &mut *self.core;
        let why = match self.config.retry.judge(cause, retry_after) {
            Verdict::Retry(why) => why,
            Verdict::Final => {
                self.drop_candidate();
                self.core.phase = Phase::Failed(cause);
                if cause == Cause::Superseded {
                    // Two copies of one state must not evict each other for ever.
                    self.end_session();
                }
                return;
            }
        };
        match mem::replace(&mut core.other, Other::None) {
            Other::Candidate(Candidacy::Opening(opening)) => {
                core.phase = Phase::Opening(opening);
                return;
            }
            Other::Candidate(Candidacy::At(_)) => {}
            other @ (Other::None | Other::Closing(_)) => core.other = other,
        }
        let config = &self.config.backoff;
        core.phase = match core.backoff.next(config, &mut core.rng, why, core.hidden) {
            Some(delay) => {
                let asked = match why {
                    backoff::Cause::RetryAfter(_) | backoff::Cause::Restart if core.hidden => {
                        Duration::from_micros(micros(delay) / u64::from(config.hidden_stretch.max(1)))
                    }
                    backoff::Cause::RetryAfter(_) | backoff::Cause::Restart => delay,
                    backoff::Cause::Lost | backoff::Cause::Online => Duration::ZERO,
                };
                let earliest = core.now + asked;
                Phase::Waiting(Waiting { earliest, ..Waiting::until(core.now + delay, cause) })
            }
            None => Phase::Failed(cause),
        };
    }
}

/// The close code as RFC 6455, section 7.1.5, has it for whoever asks.
fn cause_of(close: Close<'_>) -> Cause {
    Cause::Closed(close.code.unwrap_or(if close.clean { NO_CODE } else { ABNORMAL }))
}
