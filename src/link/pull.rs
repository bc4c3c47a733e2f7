//! The frames that leave: what an adapter writes after [`Action::Flush`](super::Action::Flush), a ping, a pong.

use super::input::Epoch;
use super::rest::Rest;
use super::secret::Secret;
use super::socket::{Farewell, Flush, Hello, Other, Phase, Socket};
use super::{Core, Link};
use crate::delivery::Config;
use crate::outbox::Slots;
use crate::quality::Quality;
use crate::session::Context;
use crate::time::micros;
use crate::wire::native::{self, Announced, Credentials, Envelope, Goodbye, Health, Limits, Token};
use crate::wire::{Frame, Opcode, Wire};

impl<P: AsRef<[u8]>, S: Slots<P>> Link<P, S> {
    /// The next frame to write to the socket of this epoch, if there is one. The adapter calls it after
    /// [`Action::Flush`](super::Action::Flush) as long as its socket takes frames. A suspect socket gets no messages, until
    /// it proves itself.
    ///
    /// On the raw wire frames are messages; on the JSON wire too, but for the `auth` before them. On the native wire all but ping and pong leaves this way: hello,
    /// acknowledgements, messages, goodbye.
    pub fn pull(&mut self, epoch: Epoch) -> Option<Frame<'_>> {
        match self.config.wire {
            Wire::Raw(_) => self.pull_raw(epoch),
            Wire::Json(_) if self.core.auth_is_due(epoch) => Some(self.pull_auth()),
            Wire::Json(_) => self.pull_raw(epoch),
            Wire::Native(limits) => {
                self.core.rest = Rest::Unknown;
                self.pull_native(epoch, &limits)
            }
        }
    }

    pub(super) fn pull_raw(&mut self, epoch: Epoch) -> Option<Frame<'_>> {
        let core = &mut self.core;
        let Phase::Open(socket) = &mut core.phase else { return None };
        if socket.epoch != epoch {
            return None;
        }
        let idle = core.session.outbox.in_flight() == 0;
        let may = core.online && socket.is_well();
        let sending = if may { core.session.outbox.take(&mut self.arena) } else { None };
        let Some(sending) = sending else {
            socket.flush = Flush::Ready;
            return None;
        };
        if idle {
            socket.progress = core.now;
            core.rest.sooner(Some(core.now + self.config.stall_after));
        }
        socket.heartbeat.sent(core.now);
        core.rest.sooner(socket.heartbeat.early_ping(&self.config.heartbeat));
        let frame = Frame::new(sending.kind.into(), sending.payload.as_ref());
        core.metrics.sent(frame.len());
        Some(frame)
    }

    fn pull_native(&mut self, epoch: Epoch, limits: &Limits) -> Option<Frame<'_>> {
        let (core, config) = (&mut self.core, &self.config.delivery);
        let credentials = self.credentials.as_ref().map_or(Credentials::NONE, Secret::lend);
        let health = core.has_news_of_health().then(|| core.health());
        let drained = core.is_drained();
        let (now, may) = (core.now, core.online);
        match &mut core.phase {
            Phase::Open(socket) if socket.epoch == epoch => {
                let mut frame = Frame::new(Opcode::Binary, &[]);
                let mut message = None;
                let well = socket.is_well();
                if let Some(attachment) = socket.attachment.as_mut().filter(|_| may) {
                    if core::mem::take(&mut core.renewing) {
                        frame = Frame::enveloped(&Envelope::Renewal { token: Token::NONE, credentials });
                        socket.handed = socket.handed.saturating_add(frame.payload().len() as u64);
                        return Some(frame);
                    }
                    if let Some(health) = health {
                        socket.told_health = health.state;
                        frame.put(&Envelope::Health(health));
                    }
                    let cx = Context { now, config, durable: core.durable.as_ref() };
                    message = core.session.pull(&cx, attachment, &mut self.arena, well, &mut frame);
                }
                if frame.is_empty() {
                    socket.flush = Flush::Ready;
                    return None;
                }
                if let Some(len) = message {
                    if drained {
                        socket.progress = now;
                    }
                    socket.handed = socket.handed.saturating_add(len.into());
                    socket.heartbeat.sent(now);
                    core.metrics.sent(len as usize);
                }
                Some(frame)
            }
            Phase::Open(_) | Phase::Opening(_) | Phase::Waiting(_) | Phase::Stopped | Phase::Failed(_) => {
                core.farewell(epoch).or_else(|| core.hello(epoch, config, limits, credentials))
            }
        }
    }
}

impl Core {
    /// The first frame on a socket.
    fn hello<'a>(
        &mut self,
        epoch: Epoch,
        config: &Config,
        limits: &Limits,
        credentials: Credentials<'a>,
    ) -> Option<Frame<'a>> {
        let greeting = self.session.counts.greeting(self.durable.as_ref())?;
        let opening = self.opening_of(epoch).filter(|opening| matches!(opening.hello, Hello::Due(_)))?;
        let payload = credentials.reveal();
        opening.hello = Hello::Said { payload: u32::try_from(payload.len()).unwrap_or(u32::MAX) };
        self.renewing = false;
        let hello = native::Hello {
            version: native::VERSION,
            attempt: greeting.attempt,
            received: if self.token.is_empty() { 0 } else { greeting.received },
            announced: Announced {
                envelope: limits.envelope,
                window: config.window,
                window_bytes: config.window_bytes,
            },
            token: self.token.get(),
            credentials,
        };
        let mut frame = Frame::new(Opcode::Binary, &[]);
        frame.put(&Envelope::Hello(hello));
        Some(frame.with_payload(payload))
    }

    /// The last frame on a socket: what is still owed, and why it closes.
    fn farewell<'a>(&mut self, epoch: Epoch) -> Option<Frame<'a>> {
        let Other::Closing(closing) = &mut self.other else { return None };
        if closing.epoch != epoch || closing.farewell == Farewell::None {
            return None;
        }
        closing.farewell = Farewell::None;
        let mut frame = Frame::new(Opcode::Binary, &[]);
        if closing.last
            && let Some(received) = self.session.counts.ack(self.durable.as_ref())
        {
            frame.put(&Envelope::Ack { received });
        }
        let (code, reason) = (closing.code, "");
        frame.put(&Envelope::Goodbye(Goodbye { code, retry_after: 0, attempt: 0, reason }));
        Some(frame)
    }

    /// Whether the other end was told otherwise of how this one is.
    pub(super) fn has_news_of_health(&self) -> bool {
        matches!(&self.phase, Phase::Open(socket) if socket.told_health != self.condition(socket))
    }

    /// 0 for well, 1 for degraded.
    fn condition(&self, socket: &Socket) -> u32 {
        u32::from(socket.stalled || socket.overdue > 0 || self.quality.quality() >= Quality::Degraded)
    }

    /// What the other end is told of how this one is.
    fn health(&self) -> Health {
        let latency = self.quality.latency().map_or(0, |latency| micros(latency) / 1000);
        let state = match &self.phase {
            Phase::Open(socket) => self.condition(socket),
            Phase::Opening(_) | Phase::Waiting(_) | Phase::Stopped | Phase::Failed(_) => 0,
        };
        let queued = self.session.outbox.queued();
        Health { state, queued, latency: u32::try_from(latency).unwrap_or(u32::MAX) }
    }

    /// Whether all that was handed to the current socket has left it, as far as the adapter has said.
    pub(super) fn is_drained(&self) -> bool {
        match &self.phase {
            Phase::Open(Socket { attachment: Some(_), handed, written, .. }) => handed <= written,
            Phase::Open(_) | Phase::Opening(_) | Phase::Waiting(_) | Phase::Stopped | Phase::Failed(_) => {
                self.session.outbox.in_flight() == 0
            }
        }
    }
}
