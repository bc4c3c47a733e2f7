//! What [`poll`](super::Link::poll) answered when nothing was to be done, for as long as that holds.
//!
//! Most of what happens to a link with a healthy socket is routine: a frame comes, a message is accepted, leaves, is written.
//! It can make three outputs pending, a ping, a flush and settlements, and a timer or two earlier. So it only notes that, and neither
//! fires timers nor makes the next `poll` look at everything. What is no routine forgets the rest.

use crate::time::Instant;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// Nothing is known: the next look is at everything.
    Unknown,
    /// No timer is due before `until`, if ever, and no output is pending; but if `stirred`, then a ping may be, a flush, or a settlement.
    Known { until: Option<Instant>, stirred: bool },
}

impl Rest {
    pub(super) const fn until(until: Option<Instant>) -> Rest {
        Rest::Known { until, stirred: false }
    }

    /// Whether it is known that no timer is due at `now`.
    pub(super) fn is_after(self, now: Instant) -> bool {
        match self {
            Rest::Known { until: Some(until), .. } => now < until,
            Rest::Known { until: None, .. } | Rest::Unknown => false,
        }
    }

    /// A flush may be wanted, or something may be settled.
    pub(super) const fn stir(&mut self) {
        if let Rest::Known { stirred, .. } = self {
            *stirred = true;
        }
    }

    /// The timers are other ones, and this is when the first of them is due.
    pub(super) const fn moved(&mut self, to: Option<Instant>) {
        if let Rest::Known { until, .. } = self {
            *until = to;
        }
    }

    /// A timer may be due at this time.
    pub(super) fn sooner(&mut self, at: Option<Instant>) {
        if let (Rest::Known { until, .. }, Some(at)) = (self, at) {
            *until = Some(until.map_or(at, |until| until.min(at)));
        }
    }
}
