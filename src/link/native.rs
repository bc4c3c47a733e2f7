//! What comes in on the native wire: the greeting, envelopes, goodbyes; and how a session ends.

use super::input::Epoch;
use super::machine::Machine;
use super::socket::{Candidacy, Closing, Farewell, Flush, Hello, Opening, Other, Phase, Socket};
use super::state::Cause;
use super::{Config, Core, Deliveries};
use crate::delivery::InDoubt;
use crate::outbox::{Arena, Kind, Slots};
use crate::quality::Quality;
use crate::session::{Attachment, Context, Reading, Role, Step};
use crate::time::Instant;
use crate::wire::Wire;
use crate::wire::native::{Envelope, Goodbye, VERSION, Welcome, code};

/// How the reading of a frame goes on.
enum Flow {
    On,
    /// Nothing more is read of it.
    Last,
    /// Nor was this envelope good.
    Refused,
}

impl<P, S: Slots<P>> Machine<'_, P, S> {
    pub(super) const fn is_native(&self) -> bool {
        matches!(self.config.wire, Wire::Native(_))
    }

    /// A socket is wanted: its hello will have an attempt of its own.
    pub(super) fn begin_attempt(&mut self) {
        if self.is_native() {
            self.core.session.counts.begin_attempt();
        }
    }

    /// The socket is open: hello may leave, and nothing else before the welcome.
    pub(super) fn greet(&mut self, epoch: Epoch) {
        match self.core.opening_of(epoch) {
            Some(opening) if opening.hello == Hello::NotYet => opening.hello = Hello::Due(Flush::Ready),
            Some(_) | None => self.core.metrics.counts.stale_inputs += 1,
        }
    }

    /// A frame came on the current socket, or on one that waits for its welcome. Also says whether it changed nothing but counts,
    /// so that what `poll` answered last still holds.
    pub(super) fn envelopes<'f>(
        &mut self,
        epoch: Epoch,
        kind: Kind,
        data: &'f [u8],
    ) -> (Deliveries<'f>, bool) {
        let config = self.config;
        let Wire::Native(limits) = &config.wire else { return (Deliveries::NONE, true) };
        if kind == Kind::Text {
            self.refuse(epoch, code::PROTOCOL);
            return (Deliveries::NONE, false);
        }
        if let Phase::Open(socket) = &mut self.core.phase
            && socket.epoch == epoch
        {
            socket.heartbeat.received(&config.heartbeat, self.core.now);
        }
        let mut reading = Reading::new(data, limits, Role::Client, self.desk.is_open());
        let ack_at = self.core.ack_at();
        let mut quiet = true;
        loop {
            let core = &mut *self.core;
            let cx = Context { now: core.now, config: &config.delivery, durable: core.durable.as_ref() };
            let attachment = match &mut core.phase {
                Phase::Open(socket) if socket.epoch == epoch => socket.attachment.as_mut(),
                Phase::Open(_)
                | Phase::Opening(_)
                | Phase::Waiting(_)
                | Phase::Stopped
                | Phase::Failed(_) => None,
            };
            let step = reading.next(&cx, &mut core.session, attachment, self.arena);
            let Some(step) = step else { break };
            quiet = false;
            if let Step::Spoken(envelope) = &step {
                reading.mark(self.spoken(envelope));
                continue;
            }
            match self.step(epoch, &step) {
                Flow::On => {}
                Flow::Last => break,
                Flow::Refused => {
                    reading.reject();
                    break;
                }
            }
        }
        let news = reading.news();
        self.core.metrics.counts.messages_received += news.messages;
        self.core.metrics.counts.bytes_received += news.bytes;
        self.core.metrics.counts.repeats += u64::from(news.repeats);
        if news.acknowledged {
            quiet = false;
            self.core.impatience = 0;
            if let Phase::Open(socket) = &mut self.core.phase {
                socket.overdue = 0;
                // An acknowledgement may wait at the other end, so it is no round trip. But one that comes much later than what was
                // measured, or much sooner while that is bad, asks for a measurement: what becomes of a path is shown at once.
                if let (Some(took), Some(latency)) = (news.round_trip, self.core.quality.latency())
                    && (took > latency.saturating_add(self.config.delivery.ack_delay).saturating_mul(2)
                        || self.core.quality.quality() >= Quality::Degraded
                            && took.saturating_mul(2) < latency)
                {
                    socket.heartbeat.measure();
                }
            }
        }
        if matches!(&self.core.phase, Phase::Open(socket) if socket.epoch == epoch) {
            self.heard();
        }
        let quiet = quiet && self.core.ack_at() == ack_at && !self.ack_is_due();
        (reading.deliveries(), quiet)
    }

    fn ack_is_due(&self) -> bool {
        let (core, config) = (&*self.core, &self.config.delivery);
        let cx = Context { now: core.now, config, durable: core.durable.as_ref() };
        core.attachment().is_some_and(|attachment| core.session.ack_is_due(&cx, attachment))
    }

    /// What an envelope means that is not the session's.
    fn step(&mut self, epoch: Epoch, step: &Step<'_>) -> Flow {
        match step {
            Step::Refused(code) => {
                self.refuse(epoch, *code);
                return Flow::Last;
            }
            // It was looked at before.
            Step::Spoken(_) => {}
            Step::Control(Envelope::Welcome(welcome)) => {
                return if self.welcomed(epoch, welcome) { Flow::On } else { Flow::Refused };
            }
            Step::Control(Envelope::Goodbye(goodbye)) => {
                self.told_goodbye(epoch, goodbye);
                return Flow::Last;
            }
            Step::Control(envelope) => {
                let now = self.core.now;
                let Phase::Open(socket) = &mut self.core.phase else { return Flow::On };
                if socket.epoch != epoch {
                    // Before the welcome nothing else means anything.
                    return Flow::On;
                }
                match envelope {
                    Envelope::Ping { nonce } => {
                        socket.heartbeat.pinged(now);
                        socket.pong = Some(*nonce);
                    }
                    Envelope::Pong { nonce } => self.pong(Some(*nonce)),
                    Envelope::Renewal { token, .. } => self.core.token.replace(*token),
                    // Health is for the application; the others never get here.
                    Envelope::Health(_)
                    | Envelope::Hello(_)
                    | Envelope::Welcome(_)
                    | Envelope::Ack { .. }
                    | Envelope::Goodbye(_)
                    | Envelope::Message { .. }
                    | Envelope::Broadcast { .. }
                    | Envelope::Publish { .. }
                    | Envelope::Subscribe { .. }
                    | Envelope::Unsubscribe { .. }
                    | Envelope::Confirmation { .. }
                    | Envelope::Request(_)
                    | Envelope::Response { .. }
                    | Envelope::Error { .. } => {}
                }
            }
        }
        Flow::On
    }

    /// The answer to a hello: the session goes on, or a new one begins. False if it cannot be.
    fn welcomed(&mut self, epoch: Epoch, welcome: &Welcome<'_>) -> bool {
        let core = &mut *self.core;
        let payload = match core.opening_of(epoch) {
            Some(Opening { hello: Hello::Said { payload }, .. }) => *payload,
            Some(_) | None => {
                self.refuse(epoch, code::PROTOCOL);
                return false;
            }
        };
        if welcome.version > VERSION {
            self.refuse(epoch, code::PROTOCOL);
            return false;
        }
        let config = &self.config.delivery;
        if welcome.resumed {
            let resumed = match core.token.is_empty() {
                true => None,
                false => core.session.resume(self.arena, welcome.received, welcome.from).ok(),
            };
            let Some(acknowledged) = resumed else {
                // Not the same again: the next hello asks for a new session.
                core.token.forget();
                self.refuse(epoch, code::IMPOSSIBLE_COUNT);
                return false;
            };
            if acknowledged > 0 {
                core.impatience = 0;
            }
            core.restored = 0;
            core.metrics.counts.resumptions += 1;
            if core.too_large {
                core.session.discard_largest(self.arena, core.durable.as_mut());
            }
        } else {
            self.dialogue_lost();
            let core = &mut *self.core;
            let restored = core::mem::take(&mut core.restored);
            if restored > 0 && config.in_doubt == InDoubt::Settle {
                core.session.outbox.doubt_queued(self.arena, restored);
            }
            core.session.restart(self.arena, config, core.durable.as_mut());
            core.token.forget();
            core.metrics.counts.sessions += 1;
        }
        self.dialogue_welcomed();
        let core = &mut *self.core;
        core.too_large = false;
        core.token.replace(welcome.token);
        let attachment = Attachment::new(config, welcome.announced);
        if matches!(core.phase, Phase::Open(_)) {
            self.promote(epoch);
        } else {
            self.opened(epoch);
        }
        if let Phase::Open(socket) = &mut self.core.phase {
            socket.attachment = Some(attachment);
            // The hello has arrived, so it was written.
            socket.handed = payload.into();
            socket.written = payload.into();
        }
        true
    }

    /// The server says that the socket closes, and why.
    fn told_goodbye(&mut self, epoch: Epoch, goodbye: &Goodbye<'_>) {
        let core = &mut *self.core;
        let mut cause = Cause::Closed(goodbye.code);
        let mut own = false;
        match goodbye.code {
            code::SUPERSEDED if core.session.counts.is_superseded_by(goodbye.attempt) => {
                cause = Cause::Superseded;
            }
            code::SUPERSEDED => own = true,
            code::OVERTAKEN => core.token.forget(),
            code::TOO_LARGE => core.too_large = true,
            _ => {}
        }
        self.end(epoch, cause, goodbye.retry_after(), goodbye.code, Farewell::None);
        if own && matches!(self.core.phase, Phase::Waiting(_)) {
            // It was a candidate of this link that has the session, and it was given up meanwhile.
            self.retry_soon();
        }
    }

    /// The server broke the protocol.
    pub(super) fn refuse(&mut self, epoch: Epoch, code: u16) {
        self.core.metrics.counts.protocol_violations += 1;
        self.end(epoch, Cause::Violation(code), None, code, Farewell::Due);
    }

    /// A socket ends from this side: closed properly, unless the other place is taken by a candidate.
    fn end(
        &mut self,
        epoch: Epoch,
        cause: Cause,
        retry_after: Option<core::time::Duration>,
        code: u16,
        farewell: Farewell,
    ) {
        let now = self.core.now;
        let closing = Closing {
            epoch,
            code,
            give_up: now + self.config.close_timeout,
            told: false,
            farewell,
            last: false,
        };
        match &self.core.phase {
            Phase::Open(socket) if socket.epoch == epoch => {
                let Some(socket) = self.take_socket() else { return };
                self.core.metrics.disconnected(now);
                if matches!(self.core.other, Other::Candidate(Candidacy::Opening(_))) {
                    self.core.abandon_socket(epoch);
                } else {
                    self.set_other(Other::Closing(closing));
                }
                self.lost(&socket, cause, retry_after);
            }
            Phase::Opening(opening) if opening.epoch == epoch => {
                self.set_other(Other::Closing(closing));
                self.open_failed(cause, retry_after);
            }
            Phase::Open(_) | Phase::Opening(_) | Phase::Waiting(_) | Phase::Stopped | Phase::Failed(_) => {
                self.core.abandon_socket(epoch);
                self.next_candidate(cause, retry_after);
            }
        }
    }

    /// What the last socket says while it closes: messages that were in flight may still be acknowledged.
    pub(super) fn last_words(&mut self, data: &[u8]) {
        let Wire::Native(limits) = &self.config.wire else { return };
        let reader = crate::wire::native::Reader::new(data, limits);
        for item in reader.map_while(Result::ok) {
            if let crate::wire::native::Item::Envelope(Envelope::Ack { received }) = item
                && let Ok(arrived) = self.core.session.counts.acknowledged(received)
            {
                self.core.session.outbox.acknowledge(self.arena, arrived);
            }
        }
    }

    /// There is no socket, and none will go on with the session: what was in flight is in doubt.
    pub(super) fn end_session(&mut self) {
        let core = &mut *self.core;
        core.session.outbox.doubt(self.arena);
        if self.is_native() {
            self.dialogue_lost();
            let core = &mut *self.core;
            core.session.counts.restart(core.durable.as_mut());
            core.session.counts.detach();
            core.token.forget();
        }
    }
}

impl Core {
    /// In durable mode messages are numbered as soon as the window has room, for they are stored before they leave.
    pub(super) fn number_ahead<P, S: Slots<P>>(&mut self, config: &Config, arena: &mut Arena<P, S>) {
        if self.durable.is_some()
            && let Phase::Open(Socket { attachment: Some(attachment), .. }) = &self.phase
        {
            self.session.number_ahead(&config.delivery, attachment, arena);
        }
    }

    /// What the session has on the current socket.
    fn attachment(&self) -> Option<&Attachment> {
        match &self.phase {
            Phase::Open(socket) => socket.attachment.as_ref(),
            Phase::Opening(_) | Phase::Waiting(_) | Phase::Stopped | Phase::Failed(_) => None,
        }
    }

    fn ack_at(&self) -> Option<Instant> {
        self.attachment().and_then(Attachment::ack_at)
    }

    /// The socket of this epoch, if it is being opened and the adapter knows of it.
    pub(super) fn opening_of(&mut self, epoch: Epoch) -> Option<&mut Opening> {
        match (&mut self.phase, &mut self.other) {
            (Phase::Opening(opening), _) | (_, Other::Candidate(Candidacy::Opening(opening))) => {
                Some(opening).filter(|opening| opening.epoch == epoch && opening.told)
            }
            _ => None,
        }
    }
}
