//! What outlives the link's process: in durable mode, the states that it stored.

use alloc::vec::Vec;
use core::time::Duration;

use super::server::Server;
use super::world::{Change, Happening, Sim};
use crate::link::{Input, Link};
use crate::time::Instant;

/// A disk, and what is on its way to it.
#[derive(Debug)]
pub(super) struct Disk {
    /// How long storing takes; `None` if it fails.
    pub(super) takes: Option<Duration>,
    storing: Option<Storing>,
    state: Option<Vec<u8>>,
}

#[derive(Debug)]
struct Storing {
    done: Instant,
    version: u64,
    state: Vec<u8>,
}

impl Default for Disk {
    fn default() -> Disk {
        Disk { takes: Some(Duration::ZERO), storing: None, state: None }
    }
}

impl Disk {
    /// When something happens on it.
    pub(super) fn next(&self) -> Option<Instant> {
        self.storing.as_ref().map(|storing| storing.done)
    }
}

impl<S: Server> Sim<S> {
    /// The link asks to store its state as this version.
    pub(super) fn store(&mut self, version: u64) {
        let Some(takes) = self.disk.takes else {
            let _ = self.link.handle(self.now, Input::StoreFailed(version));
            return;
        };
        let mut state = Vec::new();
        self.link.store(self.now, |part| state.extend_from_slice(part));
        // One that was asked for before is not waited for any more.
        self.disk.storing = Some(Storing { done: self.now + takes, version, state });
        if takes.is_zero() {
            self.disk_turns();
        }
    }

    /// What is done by now is on the disk.
    pub(super) fn disk_turns(&mut self) {
        let now = self.now;
        if let Some(Storing { version, state, .. }) = self.disk.storing.take_if(|storing| storing.done <= now)
        {
            self.disk.state = Some(state);
            self.note(Happening::Stored(version));
            let _ = self.link.handle(now, Input::Stored(version));
        }
    }

    /// The process is no more, and another one begins after `away`.
    pub(super) fn kill(&mut self, away: Duration) {
        self.reset_sockets();
        self.disk.storing = None;
        let (config, seed, again) = (self.link.config().clone(), self.rng.bits(), self.now + away);
        let stored = self.disk.state.as_deref().filter(|_| config.delivery.durable);
        let restored = stored.and_then(|state| Link::restore(config.clone(), seed, state, again, away).ok());
        // The configuration is that of a link, so it can work.
        if let Some(link) = restored.or_else(|| Link::new(config, seed).ok()) {
            let talked = core::mem::replace(&mut self.link, link).has_dialogue();
            if talked {
                self.link.open_dialogue();
            }
        }
        self.note(Happening::Killed);
        self.asleep_until = Some(again);
        self.postponed.retain(|change| matches!(change, Change::Tell(_)));
        self.postponed.push(Change::Tell(Input::Start));
    }
}
