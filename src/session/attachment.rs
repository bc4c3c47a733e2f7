//! What a session has while it is on a socket: the other end's announcements, and when acknowledgements are due.

use core::time::Duration;

use crate::delivery::Config;
use crate::time::Instant;
use crate::wire::native::Announced;

/// The part of a session that lives as long as one socket.
#[derive(Clone, Debug)]
pub(crate) struct Attachment {
    /// The longest body that the other end takes.
    envelope: u32,
    /// After how much of what is owed an acknowledgement leaves at once.
    ack_after: u32,
    /// When one that is owed leaves at the latest.
    ack_at: Option<Instant>,
    /// Since when one of the other end is awaited.
    awaited_since: Option<Instant>,
    /// The number of a message that left, and when: its acknowledgement tells how slow the path is.
    timed: Option<(u64, Instant)>,
}

/// An attachment in fewer bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Small {
    pub(crate) envelope: u32,
    pub(crate) ack_after: u16,
    pub(crate) ack_at: Option<Instant>,
}

/// What an attachment waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timer {
    /// An own acknowledgement is to leave.
    Ack,
    /// The other end's will be overdue.
    Overdue,
}

/// No end may refuse an envelope that is as short as this.
const SHORTEST: u32 = 1024;

impl Attachment {
    /// To the socket at whose other end this was announced.
    pub(crate) fn new(config: &Config, announced: Announced) -> Attachment {
        Attachment {
            envelope: announced.envelope.max(SHORTEST),
            ack_after: config.ack_after(announced.window, announced.window_bytes),
            ack_at: None,
            awaited_since: None,
            timed: None,
        }
    }

    /// What [`small`](Attachment::small) gave.
    pub(crate) fn from_small(small: Small) -> Attachment {
        Attachment {
            envelope: small.envelope,
            ack_after: small.ack_after.into(),
            ack_at: small.ack_at,
            awaited_since: None,
            timed: None,
        }
    }

    /// What a server's end keeps of it, which has a million of them and goes by no overdue acknowledgement.
    pub(crate) fn small(&self) -> Small {
        Small {
            envelope: self.envelope,
            ack_after: u16::try_from(self.ack_after).unwrap_or(u16::MAX),
            ack_at: self.ack_at,
        }
    }

    pub(crate) const fn envelope(&self) -> u32 {
        self.envelope
    }

    pub(crate) const fn ack_after(&self) -> u32 {
        self.ack_after
    }

    pub(crate) const fn ack_at(&self) -> Option<Instant> {
        self.ack_at
    }

    pub(crate) fn ack_delay_is_over(&self, now: Instant) -> bool {
        self.ack_at.is_some_and(|at| at <= now)
    }

    /// Something came that is to be acknowledged.
    pub(crate) fn owes(&mut self, config: &Config, now: Instant) {
        if self.ack_at.is_none() {
            self.ack_at = Some(now + config.ack_delay);
        }
    }

    /// What was owed is on its way.
    pub(crate) const fn acked(&mut self) {
        self.ack_at = None;
    }

    /// A message left that the other end is to acknowledge, the one of this number.
    pub(crate) fn handed_over(&mut self, now: Instant, number: u64) {
        if self.timed.is_none() {
            self.timed = Some((number, now));
        }
        if self.awaited_since.is_none() {
            self.awaited_since = Some(now);
        }
    }

    /// The messages up to this number have arrived. How long the one that was timed took to be acknowledged, if it is among them: a
    /// round trip, and the other end's delay.
    pub(crate) fn arrived(&mut self, now: Instant, number: u64) -> Option<Duration> {
        let (_, left) = self.timed.take_if(|(timed, _)| *timed <= number)?;
        Some(now - left)
    }

    /// An acknowledgement came; whether another is awaited.
    pub(crate) fn answered(&mut self, now: Instant, more: bool) {
        self.awaited_since = more.then_some(now);
    }

    /// Time until `now` does not count: nothing could have come.
    pub(crate) fn hold_until(&mut self, now: Instant) {
        self.awaited_since = self.awaited_since.map(|since| since.max(now));
    }

    /// Whether the other end owes an acknowledgement for longer than `timeout`.
    pub(crate) fn is_overdue(&self, now: Instant, timeout: impl FnOnce() -> Duration) -> bool {
        self.awaited_since.is_some_and(|since| since + timeout() <= now)
    }

    /// What comes first of what is not yet due at `now`: what is due is there to be pulled, or seen.
    pub(crate) fn next(&self, now: Instant, timeout: impl FnOnce() -> Duration) -> Option<(Instant, Timer)> {
        let ack = self.ack_at.map(|at| (at, Timer::Ack));
        let overdue = self.awaited_since.map(|since| (since + timeout(), Timer::Overdue));
        ack.into_iter().chain(overdue).filter(|(at, _)| *at > now).min_by_key(|(at, _)| *at)
    }
}
