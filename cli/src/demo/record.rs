//! Everything that was observed, on one clock: what the client said, what the server saw, what was done.
//!
//! From it come the two answers for each fault:
//!
//! - **noticed**: the client's first word, from the beginning of the fault on, that something is wrong: a status other than
//!   connected, the end of a socket, or a scheduled attempt. Who is suspended or held can say nothing before that is over;
//!   there a probe counts, too.
//! - **recovered**: the first moment after the cause was gone at which the client's status is connected *and* the server
//!   has received a message that the client accepted after that moment.
//!
//! Both count only before the next fault begins.

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime};

use everlink_tokio::Outcome;

use super::event::{Said, What};
use super::fault::Fault;
use crate::ledger::{self, Accepted, Ledger, Received};
use crate::timeline::{Fate, Span, Status, Timeline};

/// How much two clocks that count milliseconds may differ.
const CLOCKS: Duration = Duration::from_millis(3);

/// A fault that has begun.
#[derive(Debug)]
struct Happened {
    fault: Fault,
    from: Duration,
    healed: Option<Duration>,
}

/// What was observed. Times are since [`Record::new`].
#[derive(Debug)]
pub(super) struct Record {
    origin: Instant,
    unix_ms: u128,
    /// When the client's clock began.
    client_from: Duration,
    /// The client's input.
    sent: Vec<String>,
    accepted: Vec<(u64, String, Duration)>,
    outcomes: HashMap<u64, Outcome>,
    received: Vec<Received>,
    arrived: HashMap<String, Duration>,
    statuses: Vec<(Duration, Status)>,
    /// Words that something is wrong; probes apart.
    signs: Vec<Duration>,
    probes: Vec<Duration>,
    latency: Vec<(Duration, f64)>,
    queue: Vec<(Duration, u64)>,
    opens: usize,
    refused: usize,
    lost_events: u64,
    complete: bool,
    complaint: Option<String>,
    faults: Vec<Happened>,
}

impl Record {
    /// Nothing yet; time begins.
    pub(super) fn new() -> Record {
        let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Record {
            origin: Instant::now(),
            unix_ms: unix.as_millis(),
            client_from: Duration::ZERO,
            sent: Vec::new(),
            accepted: Vec::new(),
            outcomes: HashMap::new(),
            received: Vec::new(),
            arrived: HashMap::new(),
            statuses: vec![(Duration::ZERO, Status::Disconnected)],
            signs: Vec::new(),
            probes: Vec::new(),
            latency: Vec::new(),
            queue: Vec::new(),
            opens: 0,
            refused: 0,
            lost_events: 0,
            complete: false,
            complaint: None,
            faults: Vec::new(),
        }
    }

    pub(super) fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    /// Notes a line that is about to go to the client.
    pub(super) fn sends(&mut self, line: &str) {
        self.sent.push(line.to_owned());
    }

    /// Notes what the client said; gives its time.
    pub(super) fn said(&mut self, said: &Said) -> Duration {
        if let What::Start { unix_ms } = said.what {
            // Both clocks are those of this machine.
            let after = u128::from(unix_ms).saturating_sub(self.unix_ms);
            let after = Duration::from_millis(u64::try_from(after).unwrap_or(u64::MAX)).min(self.now());
            self.client_from = after.saturating_sub(said.at);
        }
        let at = self.client_from + said.at;
        match &said.what {
            What::Status { to, .. } => {
                self.statuses.push((at, *to));
                if *to != Status::Connected {
                    self.signs.push(at);
                }
            }
            What::Close | What::Retry { .. } | What::Failed => self.signs.push(at),
            What::Probe => self.probes.push(at),
            What::Latency { ms } => self.latency.push((at, *ms)),
            What::Queue { messages } => self.queue.push((at, *messages)),
            What::Open => self.opens += 1,
            What::Accepted { id, line } => {
                let sent = line.checked_sub(1).and_then(|index| self.sent.get(usize::try_from(index).ok()?));
                self.accepted.push((*id, sent.cloned().unwrap_or_default(), at));
            }
            // It may be written before the word of its acceptance is.
            What::Settled { id, outcome } => {
                self.outcomes.insert(*id, *outcome);
            }
            What::Refused { .. } => self.refused += 1,
            What::Lost { events } => self.lost_events += events,
            What::Summary => self.complete = true,
            What::Start { .. } | What::Opening { .. } | What::Quality { .. } => {}
        }
        at
    }

    /// Notes what the client complains about. A panic says where in its first line, and what in its second.
    pub(super) fn complained(&mut self, complaint: &str) {
        match &mut self.complaint {
            None => self.complaint = Some(complaint.trim().to_owned()),
            Some(first) if first.ends_with(':') => *first = format!("{first} {complaint}"),
            Some(_) => {}
        }
    }

    /// The client's first complaint.
    pub(super) fn complaint(&self) -> Option<&str> {
        self.complaint.as_deref()
    }

    /// Notes what the server received.
    pub(super) fn seen(&mut self, at: Instant, line: String) {
        let received_at = at.saturating_duration_since(self.origin);
        self.arrived.entry(line.clone()).or_insert(received_at);
        self.received.push(Received { line, received_at });
    }

    pub(super) fn begins(&mut self, fault: Fault) -> Duration {
        let from = self.now();
        self.faults.push(Happened { fault, from, healed: None });
        from
    }

    pub(super) fn heals(&mut self) -> Duration {
        let now = self.now();
        if let Some(last) = self.faults.last_mut() {
            last.healed = Some(now);
        }
        now
    }

    /// Whether the client is well after the last fault.
    pub(super) fn has_recovered(&self) -> bool {
        self.faults.len().checked_sub(1).is_none_or(|last| self.recovered(last).is_some())
    }

    /// Whether a connection was ever open.
    pub(super) fn has_opened(&self) -> bool {
        self.opens > 0
    }

    /// Lines that the client has not read.
    pub(super) fn unread(&self) -> usize {
        self.sent.len().saturating_sub(self.accepted.len() + self.refused)
    }

    /// Messages that the client did not take.
    pub(super) fn refused(&self) -> usize {
        self.refused
    }

    /// What the client said that did not reach us: where it is not none, the ledger cannot be complete.
    pub(super) fn lost_events(&self) -> u64 {
        self.lost_events
    }

    /// Whether the client ended in good order.
    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }

    fn until(&self, index: usize) -> Duration {
        self.faults.get(index + 1).map_or(Duration::MAX, |next| next.from)
    }

    fn noticed(&self, index: usize) -> Option<Duration> {
        let happened = self.faults.get(index)?;
        // A stopped process says nothing; what it had said just before is nothing about that.
        let (from, probes) = match happened.fault {
            Fault::Suspend | Fault::Hold => (happened.healed?, self.probes.as_slice()),
            Fault::Drop | Fault::Restart | Fault::Slow | Fault::BlackHole => (happened.from, &[][..]),
        };
        let window = from.saturating_sub(CLOCKS)..self.until(index);
        self.signs.iter().chain(probes).copied().filter(|at| window.contains(at)).min().map(|at| at.max(from))
    }

    fn recovered(&self, index: usize) -> Option<Duration> {
        let healed = self.faults.get(index)?.healed?;
        let after = self.accepted.iter().filter(|(_, _, at)| *at >= healed);
        let arrived = after.filter_map(|(_, line, _)| self.arrived.get(line).copied()).min()?;
        let before = self.statuses.iter().rev().find(|(at, _)| *at <= arrived);
        let well = match before {
            Some((_, Status::Connected)) => Some(arrived),
            _ => {
                let mut later = self.statuses.iter().filter(|(at, _)| *at > arrived);
                later.find(|(_, status)| *status == Status::Connected).map(|(at, _)| *at)
            }
        };
        well.filter(|at| *at < self.until(index))
    }

    /// The comparison of what the client said with what the server saw.
    pub(super) fn ledger(&self) -> Ledger {
        let faults = self.faults.iter().enumerate().map(|(index, happened)| ledger::Fault {
            name: happened.fault.name().to_owned(),
            from: happened.from,
            healed: happened.healed.unwrap_or_else(|| self.now()),
            noticed: self.noticed(index),
            recovered: self.recovered(index),
        });
        let accepted = self.accepted.iter().map(|(id, line, accepted_at)| Accepted {
            id: *id,
            line: line.clone(),
            accepted_at: *accepted_at,
            outcome: self.outcomes.get(id).copied(),
        });
        let mut accepted: Vec<_> = accepted.collect();
        accepted.sort_by_key(|message| message.id);
        Ledger::new(&accepted, &self.received, self.opens.saturating_sub(1), faults.collect())
    }

    fn fate(&self, line: &str, accepted_at: Duration) -> Fate {
        match self.arrived.get(line) {
            Some(at) if at.saturating_sub(accepted_at) <= Duration::from_secs(1) => Fate::OnTime,
            Some(_) => Fate::Late,
            None => Fate::Lost,
        }
    }

    /// The picture of it.
    pub(super) fn timeline(&self) -> Timeline {
        let seconds = |at: &Duration| at.as_secs_f64();
        let now = self.now();
        let faults = self.faults.iter().map(|happened| Span {
            name: happened.fault.name().to_owned(),
            from: seconds(&happened.from),
            to: seconds(&happened.healed.unwrap_or(now)),
        });
        Timeline {
            faults: faults.collect(),
            status: self.statuses.iter().map(|(at, status)| (seconds(at), *status)).collect(),
            lines: self.accepted.iter().map(|(_, line, at)| (seconds(at), self.fate(line, *at))).collect(),
            latency: self.latency.iter().map(|(at, ms)| (seconds(at), *ms)).collect(),
            queue: self.queue.iter().map(|(at, messages)| (seconds(at), *messages as f64)).collect(),
            end: seconds(&now),
        }
    }
}
