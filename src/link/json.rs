//! A link on the JSON wire: what comes, and the `auth` that leaves first. Everything else is as on the raw wire, for there are no
//! sessions: a socket is as good as open, and what an earlier one has begun is over.

#[cfg(feature = "alloc")]
use super::dialogue::{numbers, post};
use super::input::Epoch;
use super::machine::Machine;
use super::socket::Phase;
use super::{Core, Deliveries, Link};
use crate::outbox::{Kind, Slots};
use crate::session::Verdict;
use crate::wire::json::Message;
use crate::wire::{Frame, Opcode, Wire};

impl<P, S: Slots<P>> Machine<'_, P, S> {
    pub(super) const fn is_json(&self) -> bool {
        matches!(self.config.wire, Wire::Json(_))
    }

    /// A socket is open, on which nothing that was said on another one holds.
    pub(super) fn begin_json(&mut self) {
        self.dialogue_lost();
        self.dialogue_welcomed();
        self.core.renewing = self.core.authenticates;
    }

    /// A frame came on the current socket.
    #[cold]
    pub(super) fn text<'f>(&mut self, kind: Kind, data: &'f [u8]) -> Deliveries<'f> {
        let Phase::Open(socket) = &mut self.core.phase else { return Deliveries::NONE };
        let message = Message::decode(data);
        match &message {
            Ok(Message::Ping) => {
                socket.heartbeat.pinged(self.core.now);
                socket.pong = Some(0);
                self.heard();
                return Deliveries::NONE;
            }
            Ok(Message::Pong) => {
                self.pong(None);
                return Deliveries::NONE;
            }
            Ok(_) | Err(_) => {}
        }
        socket.heartbeat.received(&self.config.heartbeat, self.core.now);
        self.core.metrics.received(data.len());
        self.heard();
        let verdict = if let Ok(message) = &message {
            self.understood(message)
        } else {
            self.core.metrics.counts.malformed += 1;
            Verdict::Malformed
        };
        Deliveries::json(kind, data, verdict)
    }
}

impl<P, S: Slots<P>> Machine<'_, P, S> {
    /// What a message is to the application.
    #[cfg(feature = "alloc")]
    fn understood(&mut self, message: &Message<'_>) -> Verdict {
        let Some(dialogue) = self.desk.get_mut() else { return Verdict::Message };
        dialogue.heard_json(&mut post(self.config, self.core, self.arena), numbers(self.config), message)
    }

    /// Without an allocator there is no dialogue.
    #[cfg(not(feature = "alloc"))]
    const fn understood(&self, _: &Message<'_>) -> Verdict {
        Verdict::Message
    }
}

impl Core {
    /// The wall clock, in milliseconds since 1970, if an input ever told it.
    pub(super) fn timestamp(&self) -> Option<u64> {
        let (told_at, told) = self.wall_clock?;
        u64::try_from(told.saturating_add(self.now.since(told_at)).as_millis()).ok()
    }

    /// Whether the server is still to be told who the client is.
    pub(super) fn auth_is_due(&self, epoch: Epoch) -> bool {
        self.renewing
            && self.online
            && matches!(&self.phase, Phase::Open(socket) if socket.epoch == epoch && socket.is_well())
    }
}

impl<P: AsRef<[u8]>, S: Slots<P>> Link<P, S> {
    /// The first frame on a socket.
    #[cold]
    pub(super) fn pull_auth(&mut self) -> Frame<'_> {
        self.core.rest = super::rest::Rest::Unknown;
        self.core.renewing = false;
        let credentials = self.credentials.as_ref().map_or(&[][..], |credentials| credentials.0.as_ref());
        #[cfg(feature = "alloc")]
        let payload = match self.desk.get_mut() {
            Some(dialogue) => dialogue.auth(self.core.timestamp(), credentials),
            None => credentials,
        };
        #[cfg(not(feature = "alloc"))]
        let payload = credentials;
        self.core.session.outbox.skip(payload.len());
        Frame::new(Opcode::Text, payload)
    }
}
