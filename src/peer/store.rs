//! A session as bytes, for a server whose sessions outlive its process.

use core::time::Duration;

use super::Sessions;
use super::core::{Core, Socket};
use super::durable::Keep;
use crate::acceptor::{Lock, Pass, Principal, Seats, Secret, SessionId};
use crate::channels::{load_names, save_names};
use crate::delivery::{Counts, Saved};
use crate::outbox::{Outbox, Slots};
use crate::session::Session;
use crate::store::{Load, RestoreError, Save};
use crate::time::{Instant, micros};

/// What tells the state of a session from that of another machine.
const SESSION: u8 = 2;

impl<P: AsRef<[u8]> + for<'a> From<&'a [u8]>, S: Slots<P>, T: Seats<Core>> Sessions<P, S, T> {
    /// Writes the state of a session as of `now` into a sink: whose it is, the secrets that resume it (keep it as one), every
    /// message that is queued or in flight, settlements that were not told yet, and which channels its client has subscribed to. Nothing
    /// of its socket, and of requests nothing but their messages: who asked and begins again waits for no answer, and who is asked again
    /// has its own time-out. False, and nothing is written, if there is no such session.
    ///
    /// In durable mode, call it when a peer asks to [store](super::Action::Store). Without it, when the process is about to end, after
    /// [`part_with_all`](Sessions::part_with_all) and a drain: for a state that is older than what was sent, the session cannot go on.
    pub fn store(&self, now: Instant, session: SessionId, sink: impl FnMut(&[u8])) -> bool {
        let now = now.max(self.now);
        let (Some(core), Some(lock)) = (self.table.get(session), self.table.lock(session)) else {
            return false;
        };
        let mut save = Save::new(SESSION, sink);
        save.long(session.number());
        save.optional(lock.principal.number());
        for pass in [&lock.current, &lock.next] {
            save.optional(pass.until.map(|until| micros(until - now)));
            save.bytes(pass.secret.reveal());
        }
        let Saved { sent, acknowledged, received, attempt } = core.session.counts.save();
        let keep = self.keeps.of(session);
        let received = keep.map_or(received, |keep| keep.durable.marks(&core.session.counts).received);
        save.long(sent);
        save.long(acknowledged);
        save.long(received);
        save.number(attempt);
        core.session.outbox.save(&self.arena, now, &mut save);
        save_names(&mut save, || self.rooms.joined(session.seat()));
        save.finish();
        true
    }

    /// The session whose state was stored, on no socket, at `now` and `away` after it was stored: as much less time is left to
    /// what would expire. The time that it is kept begins anew, for nobody could come back to a server that was not there. It
    /// has its old name and its old seat: restore all before anybody is admitted, and [open](Sessions::open_dialogues) dialogues before
    /// that, or nobody has subscribed to anything.
    ///
    /// # Errors
    /// Says whether the bytes are foreign or damaged; damaged, too, if its seat is another's or beyond the table, or the arena
    /// has no room for its messages. Then nothing is changed.
    pub fn restore(&mut self, now: Instant, state: &[u8], away: Duration) -> Result<SessionId, RestoreError> {
        self.pass(now);
        let mut load = Load::new(SESSION, state)?;
        self.load(&mut load, away).ok_or(RestoreError::Damaged)
    }

    fn load(&mut self, load: &mut Load<'_>, away: Duration) -> Option<SessionId> {
        let now = self.now;
        let id = SessionId::from_number(load.long()?);
        let principal = Principal::from(load.optional()?);
        let mut pass = || {
            let left = load.optional()?.map(|left| Duration::from_micros(left).saturating_sub(away));
            let secret = Secret::new(load.bytes()?.try_into().ok()?);
            Some(Pass { secret, until: left.map(|left| now + left) })
        };
        let lock = Lock { principal, current: pass()?, next: pass()? };
        let (sent, acknowledged) = (load.long()?, load.long()?);
        let (received, attempt) = (load.long()?, load.number()?);
        let counts = Counts::restore(Saved { sent, acknowledged, received, attempt })?;
        if !self.table.has_free(id, &self.config.acceptor.sessions) {
            return None;
        }
        let outbox = Outbox::load(id.seat(), &mut self.arena, now, away, load)?;
        let joined = load_names(load).filter(|_| outbox.in_flight() == counts.in_flight() && load.is_done());
        let Some(joined) = joined else {
            outbox.release(&mut self.arena);
            return None;
        };
        let socket = match self.keeps.of_mut(id) {
            // It is not older than what was sent.
            Some(keep) => {
                *keep = Keep::restored(&counts);
                Socket::None
            }
            None => Socket::restored(outbox.last_sequence()),
        };
        let core = Core { session: Session { counts, outbox }, socket };
        self.table.put_back(now, id, lock, core)?;
        joined.for_each(|name| self.rooms.rejoin(id.seat(), name));
        self.counts.restored += 1;
        Some(id)
    }
}
