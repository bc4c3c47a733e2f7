//! How many lines there were, and how they ended.

use std::fmt;

use everlink_tokio::Outcome;
use serde::Serialize;

/// Counts of lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Tally {
    /// Taken into the queue.
    pub(super) accepted: u64,
    /// Of these: handed to a socket whole.
    pub(super) written: u64,
    /// Of these: known to be received.
    pub(super) acknowledged: u64,
    /// Of these: certainly not received.
    pub(super) never_sent: u64,
    /// Of these: perhaps received.
    pub(super) in_doubt: u64,
    /// Not taken.
    pub(super) refused: u64,
}

impl Tally {
    pub(super) fn settle(&mut self, outcome: Outcome) {
        let count = match outcome {
            Outcome::Written => &mut self.written,
            Outcome::Acknowledged => &mut self.acknowledged,
            outcome if outcome.never_sent() => &mut self.never_sent,
            _ => &mut self.in_doubt,
        };
        *count += 1;
    }

    /// At the end: what was never settled, because the end was forced, is in doubt.
    pub(super) fn close(&mut self) {
        let settled = self.written + self.acknowledged + self.never_sent + self.in_doubt;
        self.in_doubt += self.accepted.saturating_sub(settled);
    }

    /// Whether every line that was read is with the server, as far as the wire can tell.
    pub(super) const fn all_well(&self) -> bool {
        self.never_sent == 0 && self.in_doubt == 0 && self.refused == 0
    }
}

/// The ledger, in one line.
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = if self.accepted == 1 { "line" } else { "lines" };
        write!(f, "{} {lines} accepted", self.accepted)?;
        let counts = [
            (self.acknowledged, "acknowledged"),
            (self.written, "written"),
            (self.never_sent, "never sent"),
            (self.in_doubt, "in doubt"),
        ];
        let mut mark = ": ";
        for (count, word) in counts.into_iter().filter(|(count, _)| *count > 0) {
            write!(f, "{mark}{count} {word}")?;
            mark = ", ";
        }
        if self.refused > 0 {
            write!(f, "; {} refused", self.refused)?;
        }
        Ok(())
    }
}
