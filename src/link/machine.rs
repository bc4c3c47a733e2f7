//! What an input does to a link, and what its timers do.

use core::mem;
use core::time::Duration;

use super::config::Config;
use super::input::{Close, Epoch, Event, Input};
use super::policy::Verdict;
use super::socket::{Candidacy, Closing, Flush, Opening, Other, Phase, Socket, Waiting};
use super::state::Cause;
use super::{Core, Deliveries, Delivery};
use crate::backoff;
use crate::heartbeat::Beat;
use crate::outbox::{Arena, Kind, Slots};
use crate::quality::Quality;
use crate::time::Instant;
use crate::wire::Incoming;

/// The code of a normal close (RFC 6455, section 7.4.1).
const NORMAL: u16 = 1000;
/// "No code was there", "dropped without a close frame" (RFC 6455, section 7.1.5): never on the wire.
const NO_CODE: u16 = 1005;
const ABNORMAL: u16 = 1006;
/// "Message too big".
const TOO_BIG: u16 = 1009;

/// A link while an input is being handled.
pub(super) struct Machine<'a, P, S> {
    pub(super) config: &'a Config,
    pub(super) core: &'a mut Core,
    pub(super) arena: &'a mut Arena<P, S>,
}

impl<P, S: Slots<P>> Machine<'_, P, S> {
    pub(super) fn handle<'f>(&mut self, now: Instant, input: Input<'f>) -> Deliveries<'f> {
        let now = self.core.now.max(now);
        self.core.now = now;
        let deadline = self.core.wake(self.config, self.core.outbox.next_expiry(self.arena));
        let late = deadline.is_some_and(|(at, _)| now.since(at) > self.config.suspended_after);
        let woke = (late && !self.is_excused()) || matches!(input, Input::Suspended(_));
        if woke {
            self.woke();
        }
        let mut delivery = None;
        match input {
            Input::Start => self.start(),
            Input::Stop { linger } => self.stop(linger),
            Input::Tick | Input::Suspended(_) => {}
            Input::Socket(epoch, event) => delivery = self.socket(epoch, event),
            Input::Online => self.online(),
            Input::Offline => self.offline(),
            Input::Visible => self.visible(),
            Input::Hidden => self.set_hidden(true),
            Input::WallClock(since_1970) => self.core.wall_clock = Some((now, since_1970)),
        }
        if woke && self.core.online {
            self.probe();
        }
        self.fire();
        Deliveries(delivery)
    }

    // What the user wants.

    fn start(&mut self) {
        match &mut self.core.phase {
            Phase::Stopped | Phase::Failed(_) | Phase::Waiting(_) => {
                self.core.backoff.reset();
                self.core.phase =
                    Phase::Waiting(Waiting { told: true, ..Waiting::until(self.core.now, Cause::Offline) });
            }
            Phase::Opening(_) => {}
            Phase::Open(socket) => socket.linger = None,
        }
    }

    fn stop(&mut self, linger: Duration) {
        self.drop_candidate();
        match mem::replace(&mut self.core.phase, Phase::Stopped) {
            Phase::Stopped | Phase::Failed(_) | Phase::Waiting(_) => {}
            Phase::Opening(opening) => self.core.abandon_opening(&opening),
            Phase::Open(mut socket) => {
                if self.core.online && socket.is_well() && !linger.is_zero() && !self.core.outbox.is_empty() {
                    socket.linger = Some(self.core.now + linger);
                    self.core.phase = Phase::Open(socket);
                    return;
                }
                self.part(&socket);
            }
        }
        self.core.outbox.stop(self.arena);
    }

    /// Lets the last socket go: properly if it is well; a dead one is not negotiated with.
    fn part(&mut self, socket: &Socket) {
        if self.core.online && socket.is_well() {
            self.close(socket, NORMAL);
        } else {
            self.core.metrics.disconnected(self.core.now);
            self.core.quality.reset();
            self.core.abandon_socket(socket.epoch);
            self.core.outbox.doubt(self.arena);
        }
    }

    /// Begins a proper close. What was handed to the socket may still be reported as written.
    fn close(&mut self, socket: &Socket, code: u16) {
        self.core.metrics.disconnected(self.core.now);
        self.core.quality.reset();
        let give_up = self.core.now + self.config.close_timeout;
        self.set_other(Other::Closing(Closing { epoch: socket.epoch, code, give_up, told: false }));
    }

    // What the surroundings say.

    fn online(&mut self) {
        let back = !mem::replace(&mut self.core.online, true);
        match &mut self.core.phase {
            Phase::Open(socket) => {
                if back {
                    socket.heartbeat.hold_until(self.core.now);
                    socket.progress = self.core.now;
                }
                self.probe();
            }
            Phase::Waiting(_) | Phase::Failed(_) => {
                if back || matches!(self.core.phase, Phase::Failed(_)) {
                    self.core.backoff.ease();
                }
                self.retry_soon();
            }
            Phase::Stopped | Phase::Opening(_) => {}
        }
    }

    fn offline(&mut self) {
        self.core.online = false;
        self.drop_candidate();
        if let Phase::Opening(opening) = &self.core.phase {
            let opening = Opening { ..*opening };
            self.core.abandon_opening(&opening);
            self.core.phase = Phase::Waiting(Waiting::until(self.core.now, Cause::Offline));
        }
    }

    fn visible(&mut self) {
        let back = self.core.hidden;
        self.set_hidden(false);
        match &mut self.core.phase {
            Phase::Open(socket) if self.core.online => {
                if back {
                    // What silence was too long for a hidden page is not for a visible one.
                    socket.heartbeat.hold_until(self.core.now);
                }
                self.probe();
            }
            Phase::Waiting(_) if back => self.retry_soon(),
            Phase::Open(_) | Phase::Waiting(_) | Phase::Stopped | Phase::Failed(_) | Phase::Opening(_) => {}
        }
    }

    fn set_hidden(&mut self, hidden: bool) {
        self.core.hidden = hidden;
        if let Phase::Open(socket) = &mut self.core.phase {
            socket.heartbeat.set_hidden(hidden);
        }
    }

    /// The process did not run for a while: nothing that ran out in that time proves anything.
    fn woke(&mut self) {
        self.core.metrics.counts.suspensions += 1;
        let (now, grace) = (self.core.now, self.config.heartbeat.probe_timeout);
        match &mut self.core.phase {
            Phase::Opening(opening) => opening.give_up = opening.give_up.max(now + grace),
            Phase::Open(socket) => {
                socket.progress = now;
                socket.heartbeat.hold_until(now);
            }
            Phase::Stopped | Phase::Failed(_) | Phase::Waiting(_) => {}
        }
    }

    /// Whether lateness has excused the same unanswered ping before: then it is no sleep that keeps the answer away, but
    /// timers that are always late, as those of a hidden tab are.
    fn is_excused(&self) -> bool {
        matches!(&self.core.phase, Phase::Open(socket) if socket.heartbeat.is_excused())
    }

    fn probe(&mut self) {
        if let Phase::Open(socket) = &mut self.core.phase {
            let nonce = socket.heartbeat.probe(&self.config.heartbeat, self.core.now);
            socket.ping = nonce.or(socket.ping);
        }
    }

    /// There is reason to hope: the next attempt comes after a short jitter of its own, if it would not come sooner, but
    /// not before the time that the server asked for.
    fn retry_soon(&mut self) {
        let soon = self.core.now + self.core.rng.between(Duration::ZERO, self.config.backoff.online_jitter);
        let waiting = match &self.core.phase {
            Phase::Waiting(Waiting { at, earliest, cause, .. }) => {
                let soon = soon.max(*earliest);
                let at = if *at > self.core.now { soon.min(*at) } else { soon };
                Waiting { earliest: *earliest, ..Waiting::until(at, *cause) }
            }
            Phase::Failed(cause) => Waiting::until(soon, *cause),
            Phase::Stopped | Phase::Opening(_) | Phase::Open(_) => return,
        };
        self.core.phase = Phase::Waiting(waiting);
    }

    // What a socket says.

    fn socket<'f>(&mut self, epoch: Epoch, event: Event<'f>) -> Option<Delivery<'f>> {
        match (&mut self.core.phase, &mut self.core.other) {
            (Phase::Open(socket), _) if socket.epoch == epoch => return self.open_socket(event),
            (Phase::Opening(opening), _) if opening.epoch == epoch && opening.told => match event {
                Event::Opened => self.opened(epoch),
                Event::Failed(failure) => self.open_failed(Cause::Failure(failure), None),
                Event::Closed(close) => self.open_failed(cause_of(close), close.retry_after),
                Event::Violation(code) => {
                    self.core.abandon_socket(epoch);
                    self.open_failed(Cause::Violation(code), None);
                }
                Event::Frame { .. }
                | Event::Received(_)
                | Event::Ping
                | Event::Pong(_)
                | Event::Written(_)
                | Event::Writable
                | Event::Paused
                | Event::Resumed => {}
            },
            (_, Other::Candidate(Candidacy::Opening(opening))) if opening.epoch == epoch && opening.told => {
                match event {
                    Event::Opened => self.promote(epoch),
                    Event::Failed(_) | Event::Closed(_) => self.next_candidate(),
                    Event::Violation(_) => {
                        self.core.abandon_socket(epoch);
                        self.next_candidate();
                    }
                    Event::Frame { .. }
                    | Event::Received(_)
                    | Event::Ping
                    | Event::Pong(_)
                    | Event::Written(_)
                    | Event::Writable
                    | Event::Paused
                    | Event::Resumed => {}
                }
            }
            (phase, Other::Closing(closing)) if closing.epoch == epoch => match event {
                Event::Closed(_) | Event::Failed(_) => self.closed(),
                // What is in flight belongs to a socket that closes only while there is no other.
                Event::Written(total) if !matches!(phase, Phase::Open(_)) => {
                    self.core.outbox.written(self.arena, total);
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
        None
    }

    /// Something happened to the current, open socket.
    fn open_socket<'f>(&mut self, event: Event<'f>) -> Option<Delivery<'f>> {
        let Phase::Open(socket) = &mut self.core.phase else { return None };
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
            Event::Pong(data) => {
                let nonce = <[u8; 4]>::try_from(data).map_or(0, u32::from_be_bytes);
                self.pong(Some(nonce));
            }
            Event::Frame { kind, data } => return self.frame(kind, data),
            Event::Written(total) => {
                let before = self.core.outbox.in_flight();
                self.core.outbox.written(self.arena, total);
                // A part of a large message is progress too.
                if total > socket.written || self.core.outbox.in_flight() < before {
                    socket.written = socket.written.max(total);
                    socket.progress = now;
                    socket.stalled = false;
                }
            }
            Event::Writable => socket.flush = Flush::Ready,
            Event::Paused => socket.heartbeat.pause(),
            Event::Resumed => socket.heartbeat.resume(now),
            Event::Violation(code) => {
                self.core.metrics.counts.protocol_violations += 1;
                if let Some(socket) = self.take_socket() {
                    self.close(&socket, code);
                    self.lost(&socket, Cause::Violation(code), None);
                }
            }
            Event::Closed(close) => self.dropped(close),
            // It was open before; so it is gone now.
            Event::Failed(_) => self.dropped(Close::default()),
            Event::Opened => self.core.metrics.counts.stale_inputs += 1,
        }
        None
    }

    /// The current, open socket was closed by the other end or by the path.
    fn dropped(&mut self, close: Close<'_>) {
        if close.code == Some(TOO_BIG) {
            self.core.outbox.discard_largest_in_flight(self.arena);
        }
        if let Some(socket) = self.take_socket() {
            self.core.metrics.disconnected(self.core.now);
            self.lost(&socket, cause_of(close), close.retry_after);
        }
    }

    fn frame<'f>(&mut self, kind: Kind, data: &'f [u8]) -> Option<Delivery<'f>> {
        let Phase::Open(socket) = &mut self.core.phase else { return None };
        match self.config.wire.classify(self.config.heartbeat.mode, data) {
            Incoming::Message => {
                socket.heartbeat.received(&self.config.heartbeat, self.core.now);
                self.core.metrics.received(data.len());
                self.heard();
                return Some(Delivery::Message { kind, data });
            }
            Incoming::Ping => {
                socket.heartbeat.pinged(self.core.now);
                socket.pong = true;
                self.heard();
            }
            Incoming::Pong => self.pong(None),
        }
        None
    }

    fn pong(&mut self, nonce: Option<u32>) {
        let Phase::Open(socket) = &mut self.core.phase else { return };
        if let Some(rtt) = socket.heartbeat.pong(&self.config.heartbeat, self.core.now, nonce) {
            self.core.metrics.counts.pongs_received += 1;
            self.core.metrics.latency(rtt);
            self.core.quality.sample(&self.config.quality, rtt);
            socket.heartbeat.set_watchful(self.core.quality.quality() >= Quality::Degraded);
        }
        self.heard();
    }

    /// A sign of life came: the current socket has proved itself before any candidate did.
    fn heard(&mut self) {
        if let Phase::Open(socket) = &mut self.core.phase {
            socket.heard = true;
            if !socket.heartbeat.is_suspect() {
                self.drop_candidate();
            }
        }
    }

    fn opened(&mut self, epoch: Epoch) {
        self.core.metrics.connected(self.core.now);
        // What a candidate's predecessor had not written goes back; what this socket writes is counted from 0.
        self.core.outbox.requeue(self.arena);
        self.core.phase = Phase::Open(Socket::new(epoch, self.core.now, self.core.hidden));
    }

    fn open_failed(&mut self, cause: Cause, retry_after: Option<Duration>) {
        self.core.metrics.counts.failed_opens += 1;
        self.retry(cause, retry_after);
    }

    fn take_socket(&mut self) -> Option<Socket> {
        match mem::replace(&mut self.core.phase, Phase::Stopped) {
            Phase::Open(socket) => Some(socket),
            phase @ (Phase::Stopped | Phase::Failed(_) | Phase::Waiting(_) | Phase::Opening(_)) => {
                self.core.phase = phase;
                None
            }
        }
    }

    /// The current socket has ended: what it had not written goes back, and the next attempt is scheduled.
    fn lost(&mut self, socket: &Socket, cause: Cause, retry_after: Option<Duration>) {
        self.core.quality.reset();
        self.credit(socket);
        if socket.linger.is_some() {
            self.drop_candidate();
            self.core.phase = Phase::Stopped;
            self.core.outbox.doubt(self.arena);
            self.core.outbox.stop(self.arena);
        } else {
            self.core.outbox.requeue(self.arena);
            self.retry(cause, retry_after);
        }
    }

    /// If the socket that has ended was stable, the next delay is a first one again.
    fn credit(&mut self, socket: &Socket) {
        let up = self.core.now.since(socket.opened);
        if socket.heard && up >= self.config.backoff.stable_after {
            self.core.backoff.reset();
        }
    }

    fn retry(&mut self, cause: Cause, retry_after: Option<Duration>) {
        let core = &mut *self.core;
        let why = match self.config.retry.judge(cause, retry_after) {
            Verdict::Retry(why) => why,
            Verdict::Final => {
                self.drop_candidate();
                self.core.phase = Phase::Failed(cause);
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
                        delay / config.hidden_stretch.max(1)
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

    // The second socket.

    fn set_other(&mut self, other: Other) {
        match mem::replace(&mut self.core.other, other) {
            Other::Closing(closing) => self.core.abandon_socket(closing.epoch),
            Other::Candidate(Candidacy::Opening(opening)) => self.core.abandon_opening(&opening),
            Other::Candidate(Candidacy::At(_)) | Other::None => {}
        }
    }

    /// A socket that was closing is gone; what it had not reported as written, if it was the last one, is in doubt.
    fn closed(&mut self) {
        self.core.other = Other::None;
        if !matches!(self.core.phase, Phase::Open(_)) {
            self.core.outbox.doubt(self.arena);
        }
    }

    fn drop_candidate(&mut self) {
        if matches!(self.core.other, Other::Candidate(_)) {
            self.set_other(Other::None);
        }
    }

    /// The current socket has become suspect, or its last candidate came to nothing.
    fn open_candidate(&mut self) {
        let epoch = self.core.next_epoch();
        self.core.metrics.counts.candidates += 1;
        let give_up = self.core.now + self.config.open_timeout;
        let opening = Opening { epoch, attempt: self.core.backoff.attempt(), give_up, told: false };
        self.set_other(Other::Candidate(Candidacy::Opening(opening)));
    }

    fn next_candidate(&mut self) {
        self.core.metrics.counts.failed_opens += 1;
        let base = self.config.backoff.base;
        let delay = self.core.rng.between(base / 2, base).max(Duration::from_micros(1));
        self.core.other = Other::Candidate(Candidacy::At(self.core.now + delay));
    }

    /// The candidate is open while the current socket is still suspect: it takes over.
    fn promote(&mut self, epoch: Epoch) {
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

    // What time does.

    /// Fires every timer that is due, each once.
    fn fire(&mut self) {
        let now = self.core.now;
        self.core.outbox.expire(self.arena, now);
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
                self.next_candidate();
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
        self.core.outbox.expire(self.arena, now);
    }

    fn fire_open(&mut self) {
        let Phase::Open(socket) = &mut self.core.phase else { return };
        let now = self.core.now;
        if let Some(until) = socket.linger
            && (until <= now || self.core.outbox.is_empty())
        {
            if let Some(socket) = self.take_socket() {
                self.part(&socket);
                self.core.outbox.stop(self.arena);
            }
            return;
        }
        if !self.core.online {
            return;
        }
        let in_flight = self.core.outbox.in_flight() > 0;
        if in_flight && socket.progress + self.config.stall_after <= now {
            socket.stalled = true;
        }
        match socket.heartbeat.fire(&self.config.heartbeat, now) {
            None => {}
            Some(Beat::Ping { nonce }) => socket.ping = Some(nonce),
            Some(Beat::Missed { nonce }) => {
                socket.ping = Some(nonce);
                self.core.metrics.counts.missed_pongs += 1;
                socket.heartbeat.set_watchful(true);
                self.core.quality.missed();
                if self.config.opens_candidates() && !matches!(self.core.other, Other::Candidate(_)) {
                    self.open_candidate();
                }
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
    }

    fn open(&mut self) {
        // A closing socket may still have what an earlier one was given; its fate can no longer be told.
        self.core.outbox.doubt(self.arena);
        let epoch = self.core.next_epoch();
        self.core.metrics.counts.attempts += 1;
        self.core.phase = Phase::Opening(Opening {
            epoch,
            attempt: self.core.backoff.attempt(),
            give_up: self.core.now + self.config.open_timeout,
            told: false,
        });
    }
}

impl Core {
    fn next_epoch(&mut self) -> Epoch {
        let epoch = self.last_epoch.map_or(Epoch::FIRST, Epoch::next);
        self.last_epoch = Some(epoch);
        epoch
    }

    fn abandon_opening(&mut self, opening: &Opening) {
        if opening.told {
            self.abandon_socket(opening.epoch);
        }
    }

    /// At most two sockets are known to the adapter, and none becomes known before those abandoned have been told: so there
    /// is always room.
    fn abandon_socket(&mut self, epoch: Epoch) {
        self.metrics.counts.abandoned_sockets += 1;
        debug_assert!(self.abandoned.contains(&None), "more than two sockets were known to the adapter");
        if let Some(room) = self.abandoned.iter_mut().find(|room| room.is_none()) {
            *room = Some(epoch);
        }
    }
}

/// The close code as RFC 6455, section 7.1.5, has it for whoever asks.
fn cause_of(close: Close<'_>) -> Cause {
    Cause::Closed(close.code.unwrap_or(if close.clean { NO_CODE } else { ABNORMAL }))
}
