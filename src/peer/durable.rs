//! Durable mode of a server: what of each session is stored. Beside the sessions, for a server without it has nothing of it.

use core::fmt;

use crate::acceptor::SessionId;
use crate::delivery::{Counts, Durable};

/// What is stored of one session.
#[derive(Clone, Debug, Default)]
pub(super) struct Keep {
    pub(super) durable: Durable,
    version: u64,
    /// Whether something is to be stored that nothing depends on yet: a message that was accepted.
    pub(super) unstored: bool,
}

impl Keep {
    /// Of a session that was restored.
    pub(super) const fn restored(counts: &Counts) -> Keep {
        Keep { durable: Durable::restored(counts), version: 0, unstored: false }
    }

    /// The version as which the state is to be stored, if it is to be now.
    pub(super) fn ask(&mut self, counts: &Counts) -> Option<u64> {
        if !self.durable.wants(counts) && (!self.unstored || self.durable.is_storing()) {
            return None;
        }
        self.unstored = false;
        self.version += 1;
        self.durable.ask(self.version, counts);
        Some(self.version)
    }
}

/// One for each seat, in durable mode.
pub(super) struct Keeps {
    #[cfg(feature = "alloc")]
    seats: alloc::vec::Vec<Keep>,
}

impl Keeps {
    /// So many.
    #[cfg(feature = "alloc")]
    pub(super) fn new(seats: u32) -> Keeps {
        Keeps { seats: (0..seats).map(|_| Keep::default()).collect() }
    }

    pub(super) const NONE: Keeps = Keeps {
        #[cfg(feature = "alloc")]
        seats: alloc::vec::Vec::new(),
    };

    /// That of a session, in durable mode. Whoever asks knows that there is this session.
    pub(super) fn of(&self, session: SessionId) -> Option<&Keep> {
        self.seats().get(session.seat() as usize)
    }

    pub(super) fn of_mut(&mut self, session: SessionId) -> Option<&mut Keep> {
        self.seats_mut().get_mut(session.seat() as usize)
    }

    #[cfg(feature = "alloc")]
    fn seats(&self) -> &[Keep] {
        &self.seats
    }

    #[cfg(feature = "alloc")]
    fn seats_mut(&mut self) -> &mut [Keep] {
        &mut self.seats
    }

    #[cfg(not(feature = "alloc"))]
    const fn seats(&self) -> &[Keep] {
        &[]
    }

    #[cfg(not(feature = "alloc"))]
    const fn seats_mut(&mut self) -> &mut [Keep] {
        &mut []
    }
}

impl fmt::Debug for Keeps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keeps")
    }
}
