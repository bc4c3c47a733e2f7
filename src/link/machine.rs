//! What an input does to a link: what the user wants, and what the surroundings say. What a socket says is in `events`, what
//! time does in `timers`.

use core::mem;
use core::time::Duration;

use super::config::Config;
use super::input::{Epoch, Event, Input};
use super::rest::Rest;
use super::socket::{Closing, Farewell, Opening, Other, Phase, Socket, Waiting};
use super::state::Cause;
use super::{Core, Deliveries};
use crate::dialogue::Desk;
use crate::outbox::{Arena, Kind, Slots};
use crate::time::Instant;
use crate::wire::{Incoming, Wire};

/// The code of a normal close (RFC 6455, section 7.4.1).
const NORMAL: u16 = 1000;

/// What kind of routine an input is, and so what there is to deliver.
enum Routine {
    /// None: it is to be handled at length.
    No,
    /// It is handled, and delivers nothing.
    Done,
    /// It is handled, and delivers the frame as a message.
    Message,
    /// A frame of envelopes.
    Envelopes,
}

/// A link while an input is being handled.
pub(super) struct Machine<'a, P, S> {
    pub(super) config: &'a Config,
    pub(super) core: &'a mut Core,
    pub(super) arena: &'a mut Arena<P, S>,
    pub(super) desk: &'a mut Desk<P>,
}

impl<P, S: Slots<P>> Machine<'_, P, S> {
    // Each way writes what it gives where it is returned: a copy, right after it was written, would stall.
    #[inline]
    pub(super) fn handle<'f>(&mut self, now: Instant, input: Input<'f>) -> Deliveries<'f> {
        self.core.now = self.core.now.max(now);
        let routine = match &input {
            Input::Socket(epoch, event) => self.routine(*epoch, event),
            Input::Tick if self.routine_tick().is_some() => Routine::Done,
            Input::Tick
            | Input::Start
            | Input::Stop { .. }
            | Input::Online
            | Input::Offline
            | Input::Visible
            | Input::Hidden
            | Input::Suspended(_)
            | Input::Stored(_)
            | Input::StoreFailed(_)
            | Input::Unread(_)
            | Input::WallClock(_) => Routine::No,
        };
        match (routine, input) {
            (Routine::Done, _) => Deliveries::NONE,
            (Routine::Message, Input::Socket(_, Event::Frame { kind, data })) => {
                Deliveries::message(kind, data)
            }
            (Routine::Envelopes, Input::Socket(epoch, Event::Frame { kind, data })) => {
                self.routine_envelopes(epoch, kind, data)
            }
            (Routine::No | Routine::Message | Routine::Envelopes, input) => self.handle_at_length(input),
        }
    }

    fn handle_at_length<'f>(&mut self, input: Input<'f>) -> Deliveries<'f> {
        let now = self.core.now;
        let late = match mem::replace(&mut self.core.rest, Rest::Unknown) {
            // The true deadline is not before this one.
            Rest::Known { until, .. } if !until.is_some_and(|at| self.is_late(at)) => false,
            Rest::Known { .. } | Rest::Unknown => self.deadline().is_some_and(|at| self.is_late(at)),
        };
        let woke = (late && !self.is_excused()) || matches!(input, Input::Suspended(_));
        if woke {
            self.woke();
        }
        let mut deliveries = Deliveries::NONE;
        match input {
            Input::Start => self.start(),
            Input::Stop { linger } => self.stop(linger),
            Input::Tick | Input::Suspended(_) => {}
            Input::Socket(epoch, event) => deliveries = self.socket(epoch, event),
            Input::Online => self.online(),
            Input::Offline => self.offline(),
            Input::Visible => self.visible(),
            Input::Hidden => self.set_hidden(true),
            Input::Stored(version) => {
                if let Some(durable) = &mut self.core.durable {
                    durable.stored(version);
                }
            }
            Input::StoreFailed(version) => self.store_failed(version),
            Input::Unread(first) => {
                if let Some(durable) = &mut self.core.durable {
                    durable.set_unread(first);
                }
            }
            Input::WallClock(since_1970) => self.core.wall_clock = Some((now, since_1970)),
        }
        if woke && self.core.online {
            self.probe();
        }
        self.fire();
        deliveries
    }

    /// What happens to a socket that is well, before anything is due: see [`rest`](super::rest).
    #[inline]
    fn routine(&mut self, epoch: Epoch, event: &Event<'_>) -> Routine {
        let now = self.core.now;
        if !self.core.rest.is_after(now) {
            return Routine::No;
        }
        let Phase::Open(socket) = &mut self.core.phase else { return Routine::No };
        if socket.epoch != epoch || !socket.heard || socket.is_suspect() {
            return Routine::No;
        }
        if socket.heartbeat.is_awaiting() {
            return if let Event::Pong(data) = *event { self.routine_pong(data) } else { Routine::No };
        }
        let routine = match *event {
            Event::Received(_) => Routine::Done,
            Event::Frame { data, .. } => match &self.config.wire {
                Wire::Raw(raw) if raw.classify(self.config.heartbeat.mode, data) == Incoming::Message => {
                    self.core.metrics.received(data.len());
                    Routine::Message
                }
                // In durable mode what is received is to be stored.
                Wire::Native(_) if self.core.durable.is_none() => return Routine::Envelopes,
                Wire::Raw(_) | Wire::Native(_) | Wire::Json(_) => return Routine::No,
            },
            // The last thing that is written may end the time that a stop has left.
            Event::Written(total) if socket.linger.is_none() && !socket.stalled => {
                self.written(total);
                self.core.rest.stir();
                return Routine::Done;
            }
            Event::Written(_)
            | Event::Failed(_)
            | Event::Opened
            | Event::Ping
            | Event::Pong(_)
            | Event::Writable
            | Event::Paused
            | Event::Resumed
            | Event::Violation(_)
            | Event::Closed(_) => return Routine::No,
        };
        socket.heartbeat.received(&self.config.heartbeat, now);
        routine
    }

    /// The answer that a ping waits for: as a rule it changes what is measured, and when the next ping is due. One that messages
    /// wait for lets them go, which is no routine.
    fn routine_pong(&mut self, data: &[u8]) -> Routine {
        let (Phase::Open(socket), Other::None) = (&self.core.phase, &self.core.other) else {
            return Routine::No;
        };
        if !socket.is_well() || socket.attachment.is_some() {
            return Routine::No;
        }
        let quality = self.core.quality.quality();
        self.pong(nonce_of(data));
        let until = self.deadline();
        if self.core.quality.quality() == quality && until.is_some_and(|at| self.core.now < at) {
            self.core.rest.moved(until);
        } else {
            self.core.rest = Rest::Unknown;
            self.fire();
        }
        Routine::Done
    }

    /// The same for a frame of the native wire, which may turn out to be no routine after all.
    fn routine_envelopes<'f>(&mut self, epoch: Epoch, kind: Kind, data: &'f [u8]) -> Deliveries<'f> {
        let (deliveries, quiet) = self.envelopes(epoch, kind, data);
        if !quiet {
            self.core.rest = Rest::Unknown;
            self.fire();
        }
        deliveries
    }

    /// Whether it is so late for what was to be done at that time that the process did not run meanwhile.
    pub(super) fn is_late(&self, at: Instant) -> bool {
        self.core.now.since(at) > self.config.suspended_after
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let dialogue = self.dialogue_deadline();
        self.core.deadline(self.config, self.core.session.outbox.next_expiry(self.arena), dialogue)
    }

    // What the user wants.

    pub(super) fn start(&mut self) {
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

    pub(super) fn stop(&mut self, linger: Duration) {
        self.drop_candidate();
        match mem::replace(&mut self.core.phase, Phase::Stopped) {
            // One that was restored has a session although it was never started; one that closes has one until it is closed.
            Phase::Stopped if matches!(self.core.other, Other::Closing(Closing { last: true, .. })) => {}
            Phase::Stopped | Phase::Failed(_) | Phase::Waiting(_) => self.leave_session(),
            Phase::Opening(opening) => {
                self.core.abandon_opening(&opening);
                self.leave_session();
            }
            Phase::Open(mut socket) => {
                if self.core.online
                    && socket.is_well()
                    && !linger.is_zero()
                    && !self.core.session.outbox.is_empty()
                {
                    socket.linger = Some(self.core.now + linger);
                    self.core.phase = Phase::Open(socket);
                    return;
                }
                self.part(&socket);
            }
        }
        self.stop_messages();
    }

    /// Lets the last socket go: properly if it is well; a dead one is not negotiated with.
    pub(super) fn part(&mut self, socket: &Socket) {
        if self.core.online && socket.is_well() {
            self.close(socket, NORMAL);
        } else {
            self.core.metrics.disconnected(self.core.now);
            self.core.quality.reset();
            self.core.abandon_socket(socket.epoch);
            self.end_session();
        }
    }

    /// The user has stopped while there was no open socket.
    fn leave_session(&mut self) {
        let begun = !self.core.token.is_empty() || self.core.session.counts.in_flight() > 0;
        if self.is_native() && begun {
            self.end_session();
        }
    }

    /// Begins a proper close. What was handed to the socket may still be reported as written.
    pub(super) fn close(&mut self, socket: &Socket, code: u16) {
        self.core.metrics.disconnected(self.core.now);
        self.core.quality.reset();
        let give_up = self.core.now + self.config.close_timeout;
        let native = self.is_native();
        let farewell = if native { Farewell::Due } else { Farewell::None };
        let last = native && code == NORMAL;
        let epoch = socket.epoch;
        self.set_other(Other::Closing(Closing { epoch, code, give_up, told: false, farewell, last }));
    }

    // What the surroundings say.

    /// What depends on the version stays; the state is to be stored again, but not at once.
    fn store_failed(&mut self, version: u64) {
        let again = self.core.now + self.config.backoff.base;
        if let Some(durable) = &mut self.core.durable
            && durable.failed(version)
        {
            self.core.unstored = true;
            self.core.store_again = Some(again);
        }
    }

    pub(super) fn online(&mut self) {
        let back = !mem::replace(&mut self.core.online, true);
        match &mut self.core.phase {
            Phase::Open(socket) => {
                if back {
                    socket.hold_until(self.core.now);
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

    pub(super) fn offline(&mut self) {
        self.core.online = false;
        self.drop_candidate();
        if let Phase::Opening(opening) = &self.core.phase {
            let opening = Opening { ..*opening };
            self.core.abandon_opening(&opening);
            self.core.phase = Phase::Waiting(Waiting::until(self.core.now, Cause::Offline));
        }
    }

    pub(super) fn visible(&mut self) {
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

    pub(super) fn set_hidden(&mut self, hidden: bool) {
        self.core.hidden = hidden;
        if let Phase::Open(socket) = &mut self.core.phase {
            socket.heartbeat.set_hidden(hidden);
        }
    }

    /// The process did not run for a while: nothing that ran out in that time proves anything.
    pub(super) fn woke(&mut self) {
        self.core.metrics.counts.suspensions += 1;
        let (now, grace) = (self.core.now, self.config.heartbeat.probe_timeout);
        match &mut self.core.phase {
            Phase::Opening(opening) => opening.give_up = opening.give_up.max(now + grace),
            Phase::Open(socket) => {
                socket.hold_until(now);
            }
            Phase::Stopped | Phase::Failed(_) | Phase::Waiting(_) => {}
        }
    }

    /// Whether lateness has excused the same unanswered ping before: then it is no sleep that keeps the answer away, but
    /// timers that are always late, as those of a hidden tab are.
    pub(super) fn is_excused(&self) -> bool {
        matches!(&self.core.phase, Phase::Open(socket) if socket.heartbeat.is_excused())
    }

    pub(super) fn probe(&mut self) {
        if let Phase::Open(socket) = &mut self.core.phase {
            let nonce = socket.heartbeat.probe(&self.config.heartbeat, self.core.now);
            socket.ping = nonce.or(socket.ping);
        }
    }

    /// There is reason to hope: the next attempt comes after a short jitter of its own, if it would not come sooner, but
    /// not before the time that the server asked for.
    pub(super) fn retry_soon(&mut self) {
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
}

/// What a pong carries: the nonce of a ping, or something that none has.
pub(super) fn nonce_of(data: &[u8]) -> Option<u32> {
    Some(<[u8; 4]>::try_from(data).map_or(0, u32::from_be_bytes))
}

impl Core {
    pub(super) fn next_epoch(&mut self) -> Epoch {
        let epoch = self.last_epoch.map_or(Epoch::FIRST, Epoch::next);
        self.last_epoch = Some(epoch);
        epoch
    }

    pub(super) fn abandon_opening(&mut self, opening: &Opening) {
        if opening.told {
            self.abandon_socket(opening.epoch);
        }
    }

    /// At most two sockets are known to the adapter, and none becomes known before those abandoned have been told: so there
    /// is always room.
    pub(super) fn abandon_socket(&mut self, epoch: Epoch) {
        self.metrics.counts.abandoned_sockets += 1;
        debug_assert!(self.abandoned.contains(&None), "more than two sockets were known to the adapter");
        if let Some(room) = self.abandoned.iter_mut().find(|room| room.is_none()) {
            *room = Some(epoch);
        }
    }
}
