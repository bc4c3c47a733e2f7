//! What the client said it did, compared with what the server received.
//!
//! ```text
//! accepted by the client   count   received   never   twice
//! written                    381        378       3       0
//! expired                     12          0      12       0
//! …
//! ```
//!
//! Pure computation. Messages are matched by their line, so a line should hold a unique id. Of equal lines only the number
//! can be compared; receptions are then credited in favour of the client: first to messages that it may have sent.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use everlink_tokio::Outcome;
use serde_json::Value;

/// The outcomes in the order of the table: first those of messages that may have reached the server.
const ORDER: [Option<Outcome>; 10] = [
    Some(Outcome::Acknowledged),
    Some(Outcome::Written),
    Some(Outcome::InDoubt),
    None,
    Some(Outcome::Expired),
    Some(Outcome::Evicted),
    Some(Outcome::Replaced),
    Some(Outcome::Cancelled),
    Some(Outcome::TooLarge),
    Some(Outcome::Stopped),
];

fn may_be_sent(outcome: Option<Outcome>) -> bool {
    outcome.is_none_or(|outcome| !outcome.never_sent())
}

/// The client's own word for it, in letters.
fn word(outcome: Option<Outcome>) -> String {
    match outcome.map(serde_json::to_value) {
        Some(Ok(Value::String(word))) => word.replace('-', " "),
        Some(_) => "unknown".to_owned(),
        None => "unsettled".to_owned(),
    }
}

/// A message that the client accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The client's number for it; ascending in the order of acceptance.
    pub id: u64,
    /// The message.
    pub line: String,
    /// When, since the start.
    pub accepted_at: Duration,
    /// What became of it, in the client's own words; `None` when the client ended before it was settled.
    pub outcome: Option<Outcome>,
}

/// A message that the server received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The message.
    pub line: String,
    /// When, since the start.
    pub received_at: Duration,
}

/// Something that was done to the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Its name.
    pub name: String,
    /// When it began.
    pub from: Duration,
    /// When its cause was gone.
    pub healed: Duration,
    /// When the client first showed that something is wrong, if it did.
    pub noticed: Option<Duration>,
    /// When the client was well again, if it was.
    pub recovered: Option<Duration>,
}

impl Fault {
    /// From the beginning of the fault to when the client noticed.
    #[must_use]
    pub fn time_to_notice(&self) -> Option<Duration> {
        self.noticed.map(|at| at.saturating_sub(self.from))
    }

    /// From when the cause was gone to when the client was well again; zero when it was well before.
    #[must_use]
    pub fn time_to_recover(&self) -> Option<Duration> {
        self.recovered.map(|at| at.saturating_sub(self.healed))
    }
}

/// Numbers of messages of one outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Accepted by the client.
    pub accepted: usize,
    /// Received by the server exactly once.
    pub once: usize,
    /// Never received by the server.
    pub never: usize,
    /// Received by the server twice or more often.
    pub repeated: usize,
}

/// The comparison.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    counts: Vec<(Option<Outcome>, Count)>,
    /// Copies beyond the first that the server received, of all messages together.
    pub extra_copies: usize,
    /// Messages whose first copy came after a message that was accepted later.
    pub out_of_order: usize,
    /// Messages that were received although the client says that they were never sent: a broken promise, must be 0.
    pub never_sent_but_received: usize,
    /// Received lines that the client never accepted.
    pub unknown: usize,
    /// From acceptance to first reception: the longest, and the median.
    pub slowest: Option<Duration>,
    /// The median of the same.
    pub median: Option<Duration>,
    /// The connections after the first.
    pub reconnects: usize,
    /// What was done to the connection, in order.
    pub faults: Vec<Fault>,
}

impl Ledger {
    /// Compares. `accepted` is in the order of acceptance, `received` in that of reception.
    #[must_use]
    pub fn new(
        accepted: &[Accepted],
        received: &[Received],
        reconnects: usize,
        faults: Vec<Fault>,
    ) -> Ledger {
        let counts = ORDER.map(|outcome| (outcome, Count::default())).to_vec();
        let mut ledger = Ledger { counts, reconnects, faults, ..Ledger::default() };
        // The messages of each line, those that may have been sent first; and which of them is received next.
        let mut by_line: HashMap<&str, (Vec<usize>, usize)> = HashMap::new();
        for (index, message) in accepted.iter().enumerate() {
            by_line.entry(&message.line).or_default().0.push(index);
        }
        for (indices, _) in by_line.values_mut() {
            indices.sort_by_key(|index| !may_be_sent(accepted[*index].outcome));
        }

        let mut copies = vec![0_usize; accepted.len()];
        let mut delays = Vec::new();
        let mut latest = None;
        for reception in received {
            let Some((indices, next)) = by_line.get_mut(reception.line.as_str()) else {
                ledger.unknown += 1;
                continue;
            };
            let index = indices[*next % indices.len()];
            *next += 1;
            copies[index] += 1;
            if copies[index] > 1 {
                ledger.extra_copies += 1;
                continue;
            }
            delays.push(reception.received_at.saturating_sub(accepted[index].accepted_at));
            if latest.is_some_and(|latest| index < latest) {
                ledger.out_of_order += 1;
            }
            latest = latest.max(Some(index));
        }

        for (message, copies) in accepted.iter().zip(copies) {
            let count = ledger.count(message.outcome);
            count.accepted += 1;
            match copies {
                0 => count.never += 1,
                1 => count.once += 1,
                _ => count.repeated += 1,
            }
            if copies > 0 && !may_be_sent(message.outcome) {
                ledger.never_sent_but_received += 1;
            }
        }
        delays.sort_unstable();
        ledger.slowest = delays.last().copied();
        ledger.median = delays.get(delays.len() / 2).copied();
        ledger
    }

    fn count(&mut self, outcome: Option<Outcome>) -> &mut Count {
        let known = self.counts.iter().position(|(other, _)| *other == outcome);
        let index = known.unwrap_or_else(|| {
            self.counts.push((outcome, Count::default()));
            self.counts.len() - 1
        });
        &mut self.counts[index].1
    }

    /// The messages of one outcome; of none, those that were never settled.
    #[must_use]
    pub fn of(&self, outcome: Option<Outcome>) -> Count {
        let count = self.counts.iter().find(|(other, _)| *other == outcome);
        count.map(|(_, count)| *count).unwrap_or_default()
    }

    /// All messages.
    #[must_use]
    pub fn total(&self) -> Count {
        self.counts.iter().fold(Count::default(), |sum, (_, count)| Count {
            accepted: sum.accepted + count.accepted,
            once: sum.once + count.once,
            never: sum.never + count.never,
            repeated: sum.repeated + count.repeated,
        })
    }

    /// Never sent, as the client says: expired, evicted, stopped and so on.
    #[must_use]
    pub fn never_sent(&self) -> usize {
        let never = self.counts.iter().filter(|(outcome, _)| !may_be_sent(*outcome));
        never.map(|(_, count)| count.accepted).sum()
    }

    /// Written to a socket, as the client says, but never received.
    #[must_use]
    pub fn written_but_never_received(&self) -> usize {
        self.of(Some(Outcome::Written)).never
    }

    /// Not received, though the client does not say that it was never sent.
    #[must_use]
    pub fn lost(&self) -> usize {
        let sent = self.counts.iter().filter(|(outcome, _)| may_be_sent(*outcome));
        sent.map(|(_, count)| count.never).sum()
    }

    /// Of these the client does not know whether they were received.
    #[must_use]
    pub fn in_doubt(&self) -> usize {
        self.of(Some(Outcome::InDoubt)).accepted
    }

    /// Whether everything that was sent was received exactly once and in order, and the client knows it.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.lost() == 0 && self.in_doubt() == 0 && self.extra_copies == 0 && self.out_of_order == 0
    }

    /// Whether the client told the truth: nothing that it calls never sent was received, nothing that it calls
    /// acknowledged is missing, and the server received nothing else.
    #[must_use]
    pub fn is_truthful(&self) -> bool {
        self.never_sent_but_received == 0
            && self.unknown == 0
            && self.of(Some(Outcome::Acknowledged)).never == 0
    }
}

/// Tables for people, at most 80 columns wide unless a fault has a long name. Outcomes that did not occur are left out.
impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<24}{:>9}  {:>13}{:>9}{:>9}",
            "the client says", "messages", "received once", "never", "twice+"
        )?;
        let row = |f: &mut fmt::Formatter<'_>, name: &str, count: Count| {
            let Count { accepted, once, never, repeated } = count;
            writeln!(f, "{name:<24}{accepted:>9}  {once:>13}{never:>9}{repeated:>9}")
        };
        for (outcome, count) in &self.counts {
            if count.accepted > 0 {
                row(f, &word(*outcome), *count)?;
            }
        }
        row(f, "accepted in all", self.total())?;
        writeln!(f)?;

        let mut fact = |name: &str, number: usize, remark: &str| {
            writeln!(f, "{name:<38}{number:>9}{}{remark}", if remark.is_empty() { "" } else { "  " })
        };
        let must_be_0 = |number| if number == 0 { "" } else { "VIOLATION: must be 0" };
        fact("written but never received", self.written_but_never_received(), "")?;
        fact("extra copies received", self.extra_copies, "")?;
        fact("received out of order", self.out_of_order, "")?;
        fact(
            "received though reported never sent",
            self.never_sent_but_received,
            must_be_0(self.never_sent_but_received),
        )?;
        let lost = self.of(Some(Outcome::Acknowledged)).never;
        fact("acknowledged but never received", lost, must_be_0(lost))?;
        fact("received but never accepted", self.unknown, must_be_0(self.unknown))?;
        fact("reconnects", self.reconnects, "")?;
        if let (Some(median), Some(slowest)) = (self.median, self.slowest) {
            writeln!(
                f,
                "{:<38}{:>9}  median, {} slowest",
                "accepted to received",
                Seconds(median),
                Seconds(slowest)
            )?;
        }
        if self.faults.is_empty() {
            return Ok(());
        }

        let width = self.faults.iter().map(|fault| fault.name.chars().count()).max().unwrap_or(0).max(22) + 2;
        writeln!(f)?;
        writeln!(
            f,
            "{:<width$}{:>9}{:>9}{:>16}{:>16}",
            "fault", "from", "healed", "noticed after", "recovered after"
        )?;
        for fault in &self.faults {
            let or = |time: Option<Duration>, never: &str| {
                time.map_or(never.to_owned(), |time| Seconds(time).to_string())
            };
            writeln!(
                f,
                "{:<width$}{:>9}{:>9}{:>16}{:>16}",
                fault.name,
                Seconds(fault.from).to_string(),
                Seconds(fault.healed).to_string(),
                or(fault.time_to_notice(), "not noticed"),
                or(fault.time_to_recover(), "not recovered"),
            )?;
        }
        Ok(())
    }
}

/// A duration in seconds with two digits, as in `1.25 s`.
struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{:.2} s", self.0.as_secs_f64()))
    }
}
