//! What one sees: a line for each thing that happens, with its time and what it is about.
//!
//! ```text
//!   8.02 s  FAULT    server restart: the server is killed; its port refuses connections
//!   8.02 s  status   disconnected: connection dropped; attempt 1 in 0.15 s
//!   8.17 s  status   connecting, attempt 1
//! ```

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use super::event::What;
use crate::colour;
use crate::ledger::Fault;
use crate::timeline::Status;

/// A queue of fewer messages is not worth a line.
const QUEUE: u64 = 5;
/// Time between two lines about a queue that is not empty.
const QUEUE_PACE: Duration = Duration::from_secs(1);

const BOLD: &str = "1";
const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";
const CYAN: &str = "36";
const PURPLE: &str = "1;35";

/// Standard output. Whoever reads it may leave; that is no reason to stop.
#[derive(Debug)]
pub(super) struct Screen {
    quiet: bool,
    colours: bool,
    queue: Queue,
    /// The round trip that was shown last, in milliseconds.
    latency: f64,
    /// Which attempt is being made.
    attempt: u64,
    /// Whether the next ping is worth a line.
    woken: bool,
    /// Since when it is disconnected, as long as that was not shown: why, and what next, comes with the next words.
    disconnected: Option<Duration>,
}

/// What was shown of the queue.
#[derive(Debug, Default)]
struct Queue {
    shown: Option<Duration>,
    most: u64,
}

impl Screen {
    /// Shows only the end if `quiet`; colours where there is a terminal and the environment has no `NO_COLOR`.
    pub(super) fn new(quiet: bool) -> Screen {
        Screen {
            quiet,
            colours: colour::wanted() && io::stdout().is_terminal(),
            queue: Queue::default(),
            latency: 0.0,
            attempt: 0,
            woken: false,
            disconnected: None,
        }
    }

    pub(super) const fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Text as it is, quiet or not.
    pub(super) fn text(&self, text: impl Display) {
        let _ = writeln!(io::stdout(), "{text}");
    }

    pub(super) fn heading(&self, text: &str) {
        self.text(self.paint(BOLD, text));
    }

    /// Text for those who watch.
    pub(super) fn remark(&self, text: impl Display) {
        if !self.quiet {
            self.text(text);
        }
    }

    pub(super) fn fault(&self, at: Duration, name: &str, what: &str) {
        self.remark("");
        self.line(at, PURPLE, "FAULT", &self.paint(PURPLE, &format!("{name}: {what}")));
    }

    pub(super) fn healed(&self, at: Duration, name: &str, what: &str) {
        self.line(at, PURPLE, "HEALED", &self.paint(PURPLE, &format!("{name}: {what}")));
    }

    /// The client process runs again: its next ping will be shown.
    pub(super) fn woken(&mut self) {
        self.woken = true;
    }

    pub(super) fn recovered(&self, fault: &Fault) {
        let Some(at) = fault.recovered else { return };
        let seconds = |time: Option<Duration>| time.unwrap_or_default().as_secs_f64();
        let noticed = match fault.time_to_notice() {
            Some(after) => format!("noticed after {:.2} s", after.as_secs_f64()),
            None => "not noticed".to_owned(),
        };
        let text = format!(
            "{}: {noticed}, recovered {:.2} s after its end",
            fault.name,
            seconds(fault.time_to_recover())
        );
        self.line(at, GREEN, "WELL", &self.paint(GREEN, &text));
    }

    pub(super) fn done(&self, at: Duration, what: &str) {
        self.line(at, BOLD, "demo", what);
    }

    /// What the client said.
    pub(super) fn said(&mut self, at: Duration, what: &What) {
        if !matches!(what, What::Retry { .. }) {
            self.flush();
        }
        match what {
            What::Status { to: Status::Disconnected, .. } => self.disconnected = Some(at),
            What::Status { to: Status::Connecting, .. } if self.attempt > 0 => {
                self.status(at, Status::Connecting, &format!(", attempt {}", self.attempt));
            }
            What::Status { to, state } => self.status(at, *to, why(state)),
            What::Opening { attempt } => self.attempt = *attempt,
            What::Probe if std::mem::take(&mut self.woken) => {
                self.line(at, CYAN, "ping", "is the server still there?");
            }
            What::Probe => {}
            What::Retry { wait, attempt, cause } => {
                let wait = wait.as_secs_f64();
                self.disconnected = None;
                self.status(
                    at,
                    Status::Disconnected,
                    &format!(": {cause}; attempt {attempt} in {wait:.2} s"),
                );
            }
            // It has no quality while there is no connection.
            What::Quality { to } if to == "unknown" => {}
            What::Quality { to } => self.line(at, CYAN, "quality", to),
            What::Latency { ms } => self.latency(at, *ms),
            What::Queue { messages } => self.queue(at, *messages),
            What::Refused { line, reason } => {
                self.line(at, RED, "refused", &format!("line {line}: {reason}"));
            }
            What::Start { .. }
            | What::Open
            | What::Failed
            | What::Close
            | What::Accepted { .. }
            | What::Settled { .. }
            | What::Lost { .. }
            | What::Summary => {}
        }
    }

    /// Shows what waited for more to be known of it.
    pub(super) fn flush(&mut self) {
        if let Some(at) = self.disconnected.take() {
            self.status(at, Status::Disconnected, "");
        }
    }

    fn status(&self, at: Duration, status: Status, more: &str) {
        let colour = colour_of(status);
        self.line(at, colour, "status", &format!("{}{more}", self.paint(colour, status.word())));
    }

    /// A round trip, where it is very different from the one that was shown last.
    fn latency(&mut self, at: Duration, ms: f64) {
        let (less, more) = (ms.min(self.latency), ms.max(self.latency));
        if more - less >= 50.0 && more >= less * 2.0 {
            self.latency = ms;
            self.line(at, CYAN, "latency", &format!("a round trip takes {ms:.0} ms"));
        }
    }

    fn queue(&mut self, at: Duration, messages: u64) {
        if messages == 0 {
            let Queue { shown, most } = std::mem::take(&mut self.queue);
            if shown.is_some() {
                self.line(at, YELLOW, "queue", &format!("empty again; it was {most} messages long"));
            }
            return;
        }
        self.queue.most = self.queue.most.max(messages);
        let due = self.queue.shown.is_none_or(|shown| at >= shown + QUEUE_PACE);
        if messages >= QUEUE && due {
            self.queue.shown = Some(at);
            self.line(at, YELLOW, "queue", &format!("{messages} messages wait"));
        }
    }

    fn line(&self, at: Duration, colour: &str, about: &str, text: &str) {
        if !self.quiet {
            let about = self.paint(colour, &format!("{about:<8}"));
            self.text(format_args!("{:>6.2} s  {about} {text}", at.as_secs_f64()));
        }
    }

    fn paint(&self, colour: &str, text: &str) -> String {
        colour::paint(self.colours, colour, text)
    }
}

/// What a state says beyond its status.
fn why(state: &str) -> &'static str {
    match state {
        "suspect" => ": the answer to a ping is overdue",
        "slow" => ": the round trip is long",
        "stalled" => ": bytes do not leave",
        _ => "",
    }
}

const fn colour_of(status: Status) -> &'static str {
    match status {
        Status::Connected => GREEN,
        Status::Degraded => YELLOW,
        Status::Connecting => CYAN,
        _ => RED,
    }
}
