//! The state of a link as bytes, for a link that outlives its process.

use core::time::Duration;

use super::{Config, Link};
use crate::channels::{load_names, save_names};
use crate::delivery::{Counts, Durable, Saved};
use crate::error::ConfigError;
use crate::outbox::{Arena, Outbox, Slots};
use crate::session::Session;
use crate::store::{Load, RestoreError, Save};
use crate::time::Instant;
use crate::wire::Wire;
use crate::wire::native::Token;

/// What tells the state of a link from that of another machine.
const LINK: u8 = 1;

impl<P: AsRef<[u8]> + for<'a> From<&'a [u8]>, S: Slots<P>> Link<P, S> {
    /// Writes the state as of `now` into a sink: the session and the token that it is resumed with (it is a secret: keep it as
    /// such), every message that is queued or in flight, settlements that were not told yet, and which channels the server may have
    /// subscriptions to. Not what `config` holds, and nothing of sockets. The next process waits for no answers to the requests of this one.
    /// It subscribes again, and once it keeps a dialogue and is on a socket, it leaves the channels that it has not subscribed to by then.
    ///
    /// In durable mode, called when the link asks to [store](super::Action::Store), before anything else is done to it.
    /// Without it, call it when the process is about to end.
    pub fn store(&self, now: Instant, sink: impl FnMut(&[u8])) {
        let core = &self.core;
        let now = now.max(core.now);
        let mut save = Save::new(LINK, sink);
        save.long(core.version);
        save.bytes(core.token.get().reveal());
        let Saved { sent, acknowledged, received, attempt } = core.session.counts.save();
        let received =
            core.durable.as_ref().map_or(received, |durable| durable.marks(&core.session.counts).received);
        save.long(sent);
        save.long(acknowledged);
        save.long(received);
        save.number(attempt);
        core.session.outbox.save(&self.arena, now, &mut save);
        save_names(&mut save, || self.desk.channels());
        save.finish();
    }

    /// The link whose state was stored, stopped, in slots that the caller provides; at `now`, and `away` after it was stored: as
    /// much less time is left to what would expire.
    ///
    /// In durable mode the session goes on as if nothing had been. Without it the state may be older than what was sent; if the
    /// server cannot go on with it, all messages of the state are in doubt.
    ///
    /// # Errors
    /// Says whether the bytes are foreign or damaged, or names the field of the configuration that cannot work.
    pub fn restore_with_slots(
        config: Config,
        seed: u64,
        slots: S,
        state: &[u8],
        now: Instant,
        away: Duration,
    ) -> Result<Self, RestoreError> {
        config.check().map_err(RestoreError::Config)?;
        let arena = Arena::new(slots);
        if arena.capacity() < config.outbox.messages {
            const FEW: &str = "must not be larger than the number of slots";
            return Err(RestoreError::Config(ConfigError::new("outbox.messages", FEW)));
        }
        let mut load = Load::new(LINK, state)?;
        let mut link = Self::build(config, seed, arena);
        link.load(&mut load, now, away).filter(|()| load.is_done()).ok_or(RestoreError::Damaged)?;
        Ok(link)
    }

    fn load(&mut self, load: &mut Load<'_>, now: Instant, away: Duration) -> Option<()> {
        let core = &mut self.core;
        core.now = now;
        core.version = load.long()?;
        let token = load.bytes().filter(|token| token.len() <= Token::MAX)?;
        core.token.replace(Token::new(token));
        let (sent, acknowledged) = (load.long()?, load.long()?);
        let (received, attempt) = (load.long()?, load.number()?);
        let counts = Counts::restore(Saved { sent, acknowledged, received, attempt })?;
        let outbox = Outbox::load(0, &mut self.arena, now, away, load)?;
        let inherited = load_names(load)?;
        match self.config.wire {
            Wire::Native(_) if outbox.in_flight() != counts.in_flight() => return None,
            Wire::Native(_) => self.desk.inherit(inherited),
            Wire::Raw(_) | Wire::Json(_) => {
                core.session.outbox = outbox;
                core.session.outbox.doubt(&mut self.arena);
                return Some(());
            }
        }
        core.restored = if self.config.delivery.durable { 0 } else { outbox.last_sequence() };
        core.durable = self.config.delivery.durable.then(|| Durable::restored(&counts));
        core.session = Session { counts, outbox };
        Some(())
    }
}

#[cfg(feature = "alloc")]
impl<P: AsRef<[u8]> + for<'a> From<&'a [u8]>> Link<P> {
    /// As [`restore_with_slots`](Link::restore_with_slots), with slots of its own.
    ///
    /// ```
    /// use core::time::Duration;
    /// use everlink::link::{Config, Link};
    /// use everlink::outbox::Message;
    /// use everlink::time::Instant;
    ///
    /// let mut link = Link::<Vec<u8>>::new(Config::default(), 7)?;
    /// link.send(Instant::ORIGIN, Message::text(b"hello".to_vec()), |_, _| ())?;
    /// let mut state = Vec::new();
    /// link.store(Instant::ORIGIN, |part| state.extend_from_slice(part));
    ///
    /// let again = Link::<Vec<u8>>::restore(Config::default(), 8, &state, Instant::ORIGIN, Duration::ZERO)?;
    /// assert_eq!(again.report(Instant::ORIGIN).queue.messages, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As there.
    pub fn restore(
        config: Config,
        seed: u64,
        state: &[u8],
        now: Instant,
        away: Duration,
    ) -> Result<Self, RestoreError> {
        config.check().map_err(RestoreError::Config)?;
        let slots = Arena::<P>::with_capacity(config.outbox.messages).into_slots();
        Self::restore_with_slots(config, seed, slots, state, now, away)
    }
}
