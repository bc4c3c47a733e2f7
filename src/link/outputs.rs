//! From state to actions: what is pending, in a fixed order, and what the machine waits for.

use core::time::Duration;

use super::action::{Action, Transport};
use super::config::Config;
use super::input::Epoch;
use super::socket::{Candidacy, Farewell, Flush, Hello, Other, Phase, Socket};
use super::state::{State, Wake};
use super::{Core, Outcome};
use crate::dialogue::Desk;
use crate::metrics::Metrics;
use crate::outbox::{Arena, Settlement, Slots};
use crate::quality::Quality;
use crate::session::{Context, Timer};
use crate::time::Instant;

/// A look at a link that takes out what is pending.
pub(super) struct Outputs<'a, P, S> {
    pub(super) config: &'a Config,
    pub(super) core: &'a mut Core,
    pub(super) arena: &'a mut Arena<P, S>,
    pub(super) desk: &'a mut Desk<P>,
}

impl<P, S: Slots<P>> Outputs<'_, P, S> {
    /// The next pending action, in the order of [`Action`]'s variants.
    pub(super) fn next(&mut self) -> Option<Action> {
        loop {
            self.tell();
            let next = self.pending();
            // What was settled may be a request that is to be asked again.
            if next.is_some() || !self.tell() {
                return next;
            }
        }
    }

    fn pending(&mut self) -> Option<Action> {
        let core = &mut *self.core;
        if core.is_changing()
            && let Some(action) = core
                .abandon()
                .or_else(|| core.farewell_flush())
                .or_else(|| core.close())
                .or_else(|| core.open())
        {
            return Some(action);
        }
        let action = core.store().or_else(|| core.beat()).or_else(|| core.hello_flush());
        action
            .or_else(|| self.flush().map(|epoch| Action::Flush { epoch }))
            .or_else(|| self.core.status())
            .or_else(|| self.core.retry())
            .or_else(|| self.core.quality_change())
            .or_else(|| self.settled().map(Action::Settled))
            .or_else(|| self.ended())
    }

    /// The socket whose flush is to be asked for.
    pub(super) fn flush(&mut self) -> Option<Epoch> {
        let core = &*self.core;
        let Phase::Open(socket) = &core.phase else { return None };
        if !core.online || socket.flush == Flush::Asked {
            return None;
        }
        let wants = match &socket.attachment {
            None => (core.session.outbox.queued() > 0 || core.renewing) && socket.is_well(),
            Some(attachment) => {
                let (now, config) = (core.now, &self.config.delivery);
                let cx = Context { now, config, durable: core.durable.as_ref() };
                core.renewing
                    || core.has_news_of_health()
                    || core.session.wants_to_send(&cx, attachment, self.arena, socket.is_well())
            }
        };
        if !wants {
            return None;
        }
        let Phase::Open(socket) = &mut self.core.phase else { return None };
        socket.flush = Flush::Asked;
        Some(socket.epoch)
    }

    /// The next settlement that is the application's business.
    // Where it is inlined, it goes through registers: a copy in memory, right after it was written in pieces, would stall.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "measured")]
    pub(super) fn settled(&mut self) -> Option<Settlement> {
        loop {
            let settlement = self.core.session.outbox.next_settlement(self.arena)?;
            count(&mut self.core.metrics, settlement.outcome);
            if self.is_foreign(settlement) {
                return Some(settlement);
            }
        }
    }
}

impl Core {
    /// Whether a socket is to be opened, closed or abandoned, or is about to be.
    const fn is_changing(&self) -> bool {
        !matches!((&self.phase, &self.other, self.abandoned), (Phase::Open(_), Other::None, [None, None]))
    }

    fn abandon(&mut self) -> Option<Action> {
        let epoch = self.abandoned.iter_mut().find_map(Option::take)?;
        Some(Action::Abandon { epoch })
    }

    fn close(&mut self) -> Option<Action> {
        match &mut self.other {
            Other::Closing(closing) if !closing.told => {
                closing.told = true;
                Some(Action::Close { epoch: closing.epoch, code: closing.code })
            }
            Other::Closing(_) | Other::Candidate(_) | Other::None => None,
        }
    }

    /// The goodbye leaves before the close.
    fn farewell_flush(&mut self) -> Option<Action> {
        match &mut self.other {
            Other::Closing(closing) if closing.farewell == Farewell::Due && !closing.told => {
                closing.farewell = Farewell::Asked;
                Some(Action::Flush { epoch: closing.epoch })
            }
            Other::Closing(_) | Other::Candidate(_) | Other::None => None,
        }
    }

    fn hello_flush(&mut self) -> Option<Action> {
        let opening = match (&mut self.phase, &mut self.other) {
            (Phase::Opening(opening), _) | (_, Other::Candidate(Candidacy::Opening(opening))) => opening,
            _ => return None,
        };
        if opening.hello != Hello::Due(Flush::Ready) {
            return None;
        }
        self.session.counts.greeting(self.durable.as_ref())?;
        opening.hello = Hello::Due(Flush::Asked);
        Some(Action::Flush { epoch: opening.epoch })
    }

    fn open(&mut self) -> Option<Action> {
        let opening = match (&mut self.phase, &mut self.other) {
            (Phase::Opening(opening), _) | (_, Other::Candidate(Candidacy::Opening(opening))) => opening,
            _ => return None,
        };
        if opening.told {
            return None;
        }
        opening.told = true;
        Some(Action::Open { epoch: opening.epoch, transport: Transport::WebSocket, attempt: opening.attempt })
    }

    fn store(&mut self) -> Option<Action> {
        let durable = self.durable.as_mut()?;
        let wants = durable.wants(&self.session.counts) || self.unstored && !durable.is_storing();
        if !wants || self.store_again.is_some() {
            return None;
        }
        self.unstored = false;
        self.version = self.version.saturating_add(1);
        durable.ask(self.version, &self.session.counts);
        Some(Action::Store { version: self.version })
    }

    pub(super) fn beat(&mut self) -> Option<Action> {
        let Phase::Open(socket) = &mut self.phase else { return None };
        let epoch = socket.epoch;
        if self.authenticates && self.renewing && socket.is_well() {
            // Who the client is comes first.
            return None;
        }
        if let Some(nonce) = socket.pong.take() {
            self.answering = nonce;
            return Some(Action::Pong { epoch });
        }
        let nonce = socket.ping.take()?;
        self.metrics.counts.pings_sent += 1;
        Some(Action::Ping { epoch, nonce })
    }

    fn status(&mut self) -> Option<Action> {
        let to = self.state().status();
        if to == self.told_status {
            return None;
        }
        let from = core::mem::replace(&mut self.told_status, to);
        Some(Action::Status { from, to })
    }

    fn retry(&mut self) -> Option<Action> {
        match &mut self.phase {
            Phase::Waiting(waiting) if self.online && !waiting.told => {
                waiting.told = true;
                let (at, cause) = (waiting.at, waiting.cause);
                Some(Action::RetryScheduled { at, attempt: self.backoff.attempt(), cause })
            }
            Phase::Waiting(_) | Phase::Stopped | Phase::Failed(_) | Phase::Opening(_) | Phase::Open(_) => {
                None
            }
        }
    }

    fn quality_change(&mut self) -> Option<Action> {
        let to = self.quality.quality();
        if to == self.told_quality {
            return None;
        }
        let from = core::mem::replace(&mut self.told_quality, to);
        Some(Action::Quality { from, to })
    }

    pub(super) fn state(&self) -> State {
        match &self.phase {
            Phase::Stopped => State::Stopped,
            Phase::Failed(cause) => State::Failed { cause: *cause },
            Phase::Waiting(_) | Phase::Open(_) if !self.online => State::Offline,
            Phase::Waiting(waiting) => {
                State::Waiting { attempt: self.backoff.attempt(), until: waiting.at, cause: waiting.cause }
            }
            Phase::Opening(opening) => State::Opening { attempt: opening.attempt, until: opening.give_up },
            Phase::Open(socket) if socket.heartbeat.is_suspect() => {
                State::Suspect { missed: socket.heartbeat.missed() }
            }
            Phase::Open(socket) if socket.overdue > 0 => State::Unacknowledged,
            Phase::Open(socket) if socket.stalled => State::Stalled,
            Phase::Open(_) if self.quality.quality() >= Quality::Degraded => State::Slow,
            Phase::Open(_) => State::Connected,
        }
    }

    /// How long the other end may take to acknowledge: its delay, a round trip, and what is configured; twice as long after each
    /// time that this was not enough, or a path that is only slow would never get anything across.
    pub(super) fn ack_timeout(&self, config: &Config, socket: &Socket) -> Duration {
        let delivery = &config.delivery;
        let round_trip = socket.heartbeat.patience(&config.heartbeat);
        let once = round_trip.saturating_add(delivery.ack_delay).saturating_add(delivery.ack_timeout);
        once.saturating_mul(1 << self.impatience.min(5))
    }

    /// The earliest timer, and what it is for. `expiry` is the outbox's, `dialogue` that of requests.
    pub(super) fn wake(
        &self,
        config: &Config,
        expiry: Option<Instant>,
        dialogue: Option<Instant>,
    ) -> Option<(Instant, Wake)> {
        let expiry = expiry.map(|at| (at, Wake::Expiry));
        let dialogue = dialogue.map(|at| (at, Wake::Request));
        let mut earliest = expiry.into_iter().chain(dialogue).min_by_key(|(at, _)| *at);
        self.timers(config, |at, why| {
            if earliest.is_none_or(|(other, _)| at < other) {
                earliest = Some((at, why));
            }
        });
        earliest
    }

    /// The earliest timer. `expiry` is the outbox's, `dialogue` that of requests.
    pub(super) fn deadline(
        &self,
        config: &Config,
        expiry: Option<Instant>,
        dialogue: Option<Instant>,
    ) -> Option<Instant> {
        let mut earliest = expiry;
        let mut timer = |at: Instant| earliest = Some(earliest.map_or(at, |other| other.min(at)));
        if let Some(at) = dialogue {
            timer(at);
        }
        self.timers(config, |at, _| timer(at));
        earliest
    }

    /// Names every timer of the link's own.
    #[inline]
    fn timers(&self, config: &Config, mut timer: impl FnMut(Instant, Wake)) {
        if let Some(at) = self.store_again {
            timer(at, Wake::Store);
        }
        match &self.other {
            Other::Closing(closing) => timer(closing.give_up, Wake::CloseTimeout),
            Other::Candidate(Candidacy::At(at)) => timer(*at, Wake::Candidate),
            Other::Candidate(Candidacy::Opening(opening)) => timer(opening.give_up, Wake::Candidate),
            Other::None => {}
        }
        match &self.phase {
            Phase::Opening(opening) => timer(opening.give_up, Wake::OpenTimeout),
            Phase::Waiting(waiting) if self.online => timer(waiting.at, Wake::Retry),
            Phase::Open(socket) => {
                if let Some(until) = socket.linger {
                    // Once nothing is left to send, it has come.
                    timer(if self.session.outbox.is_empty() { self.now } else { until }, Wake::Linger);
                }
                if self.online {
                    if let Some((at, due)) = socket.heartbeat.next(&config.heartbeat) {
                        timer(at, Wake::Heartbeat(due));
                    }
                    if !socket.stalled && !self.is_drained() {
                        timer(socket.progress + config.stall_after, Wake::Stall);
                    }
                    if let Some(attachment) = &socket.attachment
                        && let Some((at, why)) =
                            attachment.next(self.now, || self.ack_timeout(config, socket))
                    {
                        timer(at, if why == Timer::Ack { Wake::Ack } else { Wake::Overdue });
                    }
                }
            }
            Phase::Stopped | Phase::Failed(_) | Phase::Waiting(_) => {}
        }
    }
}

/// Counts the end of a message.
pub(super) fn count(metrics: &mut Metrics, outcome: Outcome) {
    let counts = &mut metrics.counts;
    let counter = match outcome {
        Outcome::Acknowledged => &mut counts.acknowledged,
        Outcome::Written => &mut counts.written,
        Outcome::Expired => &mut counts.drops.expired,
        Outcome::Evicted => &mut counts.drops.evicted,
        Outcome::Replaced => &mut counts.drops.replaced,
        Outcome::Cancelled => &mut counts.drops.cancelled,
        Outcome::TooLarge => &mut counts.drops.too_large,
        Outcome::Stopped => &mut counts.drops.stopped,
        Outcome::InDoubt => &mut counts.drops.in_doubt,
    };
    *counter += 1;
}
