//! What a script has seen, and tables to compare it with.

use everlink::link::{Action, State, Status};
use everlink::metrics::Report;
use everlink::outbox::{Outcome, Settlement};
use everlink::requests::Ended;
use everlink::time::Instant;

use super::Script;

impl Script {
    /// Takes what was seen so far as read.
    pub fn forget(&mut self) {
        self.seen = self.actions.len();
        self.read = self.settled.len();
    }

    /// Compares what was seen since the last look, of these kinds of action only (all if empty), with a table.
    #[track_caller]
    pub fn sees(&mut self, kinds: &str, table: &str) {
        let kinds: Vec<_> = kinds.split_whitespace().collect();
        let lines = self.actions[self.seen..].iter().map(|(at, action)| line(*at, action));
        let seen: Vec<_> = lines
            .filter(|line| {
                kinds.is_empty() || line.split(' ').nth(1).is_some_and(|kind| kinds.contains(&kind))
            })
            .collect();
        let wanted: Vec<_> = table.lines().map(words).filter(|line| !line.is_empty()).collect();
        assert!(seen == wanted, "seen:\n    {}\nwanted:\n    {}", seen.join("\n    "), wanted.join("\n    "));
        self.seen = self.actions.len();
    }

    /// Compares how messages ended since the last look, displaced ones included, with `sequence outcome` pairs.
    #[track_caller]
    pub fn settles(&mut self, wanted: &[(u64, Outcome)]) {
        let seen: Vec<_> =
            self.settled[self.read..].iter().map(|end| (end.id.sequence(), end.outcome)).collect();
        assert_eq!(seen, wanted);
        self.read = self.settled.len();
    }

    /// What was written to this socket, as text.
    pub fn wrote(&self, number: u32) -> Vec<&str> {
        let of_it = self.written.iter().filter(|(of, _)| *of == number);
        of_it.map(|(_, payload)| core::str::from_utf8(payload).unwrap()).collect()
    }

    pub fn status(&self) -> Status {
        self.link.status()
    }

    pub fn state(&self) -> State {
        self.link.state()
    }

    pub fn report(&self) -> Report {
        self.link.report(self.now)
    }

    /// The socket that was asked for last; 1 before that.
    pub fn newest(&self) -> u32 {
        let opens = self.actions.iter().rev().filter_map(|(_, action)| match action {
            Action::Open { epoch, .. } => Some(epoch.get()),
            _ => None,
        });
        opens.into_iter().next().unwrap_or(1)
    }

    /// When the sockets were asked for, in milliseconds.
    pub fn opens(&self) -> Vec<u64> {
        let opens = self.actions.iter().filter(|(_, action)| matches!(action, Action::Open { .. }));
        opens.map(|(at, _)| at.micros() / 1000).collect()
    }
}

fn words(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// An action as a line of a table.
fn line(at: Instant, action: &Action) -> String {
    let millis = |at: Instant| {
        let (whole, rest) = (at.micros() / 1000, at.micros() % 1000);
        if rest == 0 { whole.to_string() } else { format!("{whole}.{rest:03}") }
    };
    let what = match action {
        Action::Abandon { epoch } => format!("abandon {epoch}"),
        Action::Close { epoch, code } => format!("close {epoch} {code}"),
        Action::Open { epoch, attempt, .. } => format!("open {epoch} attempt {attempt}"),
        Action::Pong { epoch } => format!("pong {epoch}"),
        Action::Ping { epoch, nonce } => format!("ping {epoch} nonce {nonce}"),
        Action::Store { version } => format!("store {version}"),
        Action::Flush { epoch } => format!("flush {epoch}"),
        Action::Status { to, .. } => format!("status {to}"),
        Action::RetryScheduled { at, attempt, cause } => {
            format!("retry {attempt} at {}: {cause}", millis(*at))
        }
        Action::Quality { to, .. } => format!("quality {to}"),
        Action::Ended(Ended { id, end }) => format!("ended {id} {end:?}").to_lowercase(),
        Action::Settled(Settlement { id, outcome }) => format!("settled {id} {outcome:?}").to_lowercase(),
    };
    format!("{} {what}", millis(at))
}
