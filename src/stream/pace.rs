//! How much may wait in a socket's buffer before it counts as full.

use core::time::Duration;

use super::ROOM;
use crate::time::Instant;

/// Bytes that may wait in front of another message: as many as left within the last tenth of a second, so that a ping waits no longer
/// than that behind them; but at least [`ROOM`], and no more than pay for it.
#[derive(Debug)]
pub(super) struct Pace {
    room: usize,
    /// How many have left since then.
    count: usize,
    since: Instant,
}

impl Pace {
    const SPAN: Duration = Duration::from_millis(100);

    /// With a message of 16 KiB behind, what a socket keeps of its buffer. Writing more at once saves hardly anything.
    pub(super) const MOST: usize = 2 * ROOM;

    pub(super) const fn new() -> Pace {
        Pace { room: ROOM, count: 0, since: Instant::ORIGIN }
    }

    pub(super) const fn room(&self) -> usize {
        self.room
    }

    pub(super) fn sent(&mut self, now: Instant, count: usize) {
        let past = now.since(self.since);
        if past >= Pace::SPAN {
            self.room = if past < 2 * Pace::SPAN { self.count.clamp(ROOM, Pace::MOST) } else { ROOM };
            (self.count, self.since) = (0, now);
        }
        self.count = self.count.saturating_add(count);
        self.room = self.room.max(self.count.min(Pace::MOST));
    }
}
