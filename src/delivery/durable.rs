//! Durable mode: nothing leaves that depends on a state which is not stored yet. So a process that was killed and restored
//! knows of everything that it ever said.

use super::Counts;

/// What another end may come to depend on: it has this from us, or was told so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Marks {
    /// How many messages were numbered.
    pub sent: u64,
    /// How many were received.
    pub received: u64,
    /// The last attempt.
    pub attempt: u32,
}

/// Which state is stored, and which is being stored: one at a time.
///
/// ```
/// use everlink::delivery::{Counts, Durable};
///
/// let (mut counts, mut durable) = (Counts::new(), Durable::new());
/// counts.begin_attempt();
/// assert!(durable.wants(&counts));
/// assert_eq!(counts.greeting(Some(&durable)), None); // the hello waits
///
/// durable.ask(1, &counts); // and the machine asks to store its state as version 1
/// assert!(durable.stored(1));
/// assert!(counts.greeting(Some(&durable)).is_some());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Durable {
    /// With its version.
    asked: Option<(u64, Snapshot)>,
    safe: Snapshot,
    /// The first message that the application has not taken.
    unread: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
struct Snapshot {
    marks: Marks,
    /// Whether it is of the session that the counts are of.
    current: bool,
}

impl Durable {
    /// Nothing is stored.
    #[must_use]
    pub const fn new() -> Durable {
        let marks = Marks { sent: 0, received: 0, attempt: 0 };
        Durable { asked: None, safe: Snapshot { marks, current: false }, unread: u64::MAX }
    }

    /// The state was restored: it is stored.
    #[must_use]
    pub const fn restored(counts: &Counts) -> Durable {
        Durable { asked: None, safe: Snapshot { marks: counts.marks(), current: true }, unread: u64::MAX }
    }

    /// What the application has not taken is not received yet, as far as anything depends on it: the first such message, counted
    /// from 1 over the session. `None`, as in the beginning: it takes what comes at once.
    pub const fn set_unread(&mut self, first: Option<u64>) {
        self.unread = match first {
            Some(first) => first,
            None => u64::MAX,
        };
    }

    /// What a state that is stored now has of these counts.
    #[must_use]
    pub fn marks(&self, counts: &Counts) -> Marks {
        let marks = counts.marks();
        // What was said once is not taken back.
        let before = self.safe().map_or(0, |marks| marks.received);
        Marks { received: marks.received.min(self.unread.saturating_sub(1)).max(before), ..marks }
    }

    fn snapshot(&self, counts: &Counts) -> Snapshot {
        Snapshot { marks: self.marks(counts), current: true }
    }

    /// Whether a state should be stored now: it differs from the stored one in what may have to leave, and none is being
    /// stored.
    #[must_use]
    pub fn wants(&self, counts: &Counts) -> bool {
        self.asked.is_none() && self.safe != self.snapshot(counts)
    }

    /// The state as it is now is to be stored as this version. One that was asked for before is not waited for any more.
    ///
    /// The one who stores counts the versions, and goes on counting after a restart.
    pub fn ask(&mut self, version: u64, counts: &Counts) {
        self.asked = Some((version, self.snapshot(counts)));
    }

    /// This version is stored, and will be there after whatever happens to the process. False, and without effect, if it is
    /// not the one that is waited for.
    pub fn stored(&mut self, version: u64) -> bool {
        let Some((_, snapshot)) = self.asked.take_if(|(asked, _)| *asked == version) else { return false };
        self.safe = snapshot;
        true
    }

    /// This version could not be stored: it is not waited for any more, and what depends on it stays. False, and without
    /// effect, if it is not the one that is waited for.
    pub fn failed(&mut self, version: u64) -> bool {
        self.asked.take_if(|(asked, _)| *asked == version).is_some()
    }

    /// Whether a version is being stored.
    #[must_use]
    pub const fn is_storing(&self) -> bool {
        self.asked.is_some()
    }

    /// Another session has begun: what is stored, or being stored, says nothing of it.
    pub(super) const fn restart(&mut self) {
        self.unread = u64::MAX;
        self.safe.current = false;
        if let Some((_, asked)) = &mut self.asked {
            asked.current = false;
        }
    }

    /// What is stored of the current session.
    pub(super) fn safe(&self) -> Option<Marks> {
        Some(self.safe.marks).filter(|_| self.safe.current)
    }
}

impl Default for Durable {
    fn default() -> Durable {
        Durable::new()
    }
}
