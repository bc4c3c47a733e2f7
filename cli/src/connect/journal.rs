//! What happened, told: as events to machines, as lines or a status line to people; and counted for the ledger.

use std::process::ExitCode;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use everlink::link::{Config, Epoch};
use everlink::metrics::{Queue, Report};
use everlink_tokio::{Action, Client, Error, MessageId, Messages, Notice, Outcome, Received, State, Status};
use tokio::sync::watch;

use super::errput::Errput;
use super::events::{Event, Stamped, failure};
use super::screen::{SharedScreen, seconds, status_line};
use super::tally::Tally;

/// To whom things are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Audience {
    /// JSON lines.
    Machine,
    /// Plain lines.
    Reader,
    /// A status line that is redrawn.
    Screen { colours: bool },
    /// Nobody, before the end.
    Nobody,
}

/// Shared by all who have something to tell; telling never blocks.
pub(super) struct Journal(Mutex<Inner>);

struct Inner {
    started: Instant,
    audience: Audience,
    errput: Errput,
    /// Events for which there was no room.
    lost: u64,
    tally: Tally,
    /// The last line that was taken, by this process or one before.
    last: u64,
    /// What was settled before it was told that it was accepted.
    early: Vec<(u64, Outcome)>,
    state: Option<watch::Receiver<State>>,
    /// What the last attempt or socket said at its end.
    last_words: String,
    /// The last socket that ended by itself: it may be abandoned all the same.
    ended: Option<Epoch>,
    /// That came in.
    messages: u64,
    pongs: u64,
    suspensions: u64,
    queue: Queue,
}

impl Journal {
    pub(super) fn new(audience: Audience, screen: SharedScreen) -> Journal {
        Journal::on(audience, Errput::start(screen))
    }

    fn on(audience: Audience, errput: Errput) -> Journal {
        Journal(Mutex::new(Inner {
            started: Instant::now(),
            audience,
            errput,
            lost: 0,
            tally: Tally::default(),
            last: 0,
            early: Vec::new(),
            state: None,
            last_words: String::new(),
            ended: None,
            messages: 0,
            pongs: 0,
            suspensions: 0,
            queue: Queue::default(),
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Connects; nothing is told of the connection before its beginning is.
    pub(super) fn begin(
        &self,
        url: String,
        config: &Config,
        connect: impl FnOnce() -> Result<(Client, Messages), Error>,
    ) -> Result<(Client, Messages), Error> {
        let mut inner = self.lock();
        let (client, messages) = connect()?;
        inner.state = Some(client.watch_state());
        inner.say(|| format!("connecting to {url}"));
        inner.event(Event::Start { url, config });
        if config.delivery.durable {
            let (last, messages) = (client.last_message(), client.report().queue.messages);
            (inner.last, inner.tally.accepted) = (last, messages.into());
            inner.event(Event::Restored { last, messages });
        }
        Ok((client, messages))
    }

    /// The connection did something, at its own time `now`.
    pub(super) fn notice(&self, now: everlink::time::Instant, notice: &Notice) {
        let mut inner = self.lock();
        match notice {
            Notice::Action(action) => inner.action(now, *action),
            Notice::Failed { epoch, failure: why, detail } => {
                let (failure, http_status) = failure(*why);
                inner.last_words = visible(detail);
                inner.event(Event::Failed { epoch: *epoch, failure, http_status, detail });
            }
            Notice::Opened { epoch } => {
                inner.last_words.clear();
                inner.event(Event::Open { epoch: *epoch });
            }
            Notice::Closed { epoch, code, reason, clean } => {
                let (epoch, code, clean) = (*epoch, *code, *clean);
                inner.last_words = visible(reason);
                inner.ended = Some(epoch);
                inner.event(Event::Close { epoch, code, reason, clean, abandoned: false });
            }
            Notice::Session { epoch, resumed, number } => {
                let (epoch, resumed, number) = (*epoch, *resumed, *number);
                inner.event(Event::Session { epoch, resumed, number });
            }
            Notice::Goodbye { epoch, code, retry_after, reason } => {
                inner.last_words = visible(reason);
                let retry_after_ms = retry_after.map(millis);
                inner.event(Event::Goodbye { epoch: *epoch, code: *code, retry_after_ms, reason });
            }
            Notice::Malformed { epoch, error } => {
                inner.say(|| format!("a frame is no message of this wire: {error}"));
                let (byte, problem) = (error.at, error.to_string());
                inner.event(Event::Malformed { epoch: *epoch, byte, problem });
            }
            _ => {}
        }
    }

    /// A line of the input was taken.
    pub(super) fn accepted(&self, id: MessageId, line: u64) {
        let mut inner = self.lock();
        inner.tally.accepted += 1;
        let id = id.sequence();
        inner.last = id;
        inner.event(Event::Accepted { id, line });
        let (now, later) = std::mem::take(&mut inner.early).into_iter().partition(|(early, _)| *early <= id);
        inner.early = later;
        Vec::into_iter(now).for_each(|(id, outcome)| inner.settled(id, outcome));
    }

    /// A line of the input was not taken.
    pub(super) fn refused(&self, line: u64, reason: &str) {
        let mut inner = self.lock();
        inner.tally.refused += 1;
        if reason != "full" && reason != "stopped" {
            inner.say(|| format!("line {line} refused: {reason}"));
        }
        inner.event(Event::Refused { line, reason });
    }

    /// A message came.
    pub(super) fn message(&self, message: &Received) {
        let mut inner = self.lock();
        inner.messages += 1;
        let id = inner.messages;
        inner.event(Event::Message {
            id,
            number: Some(message.number).filter(|number| *number > 0),
            kind: message.kind,
            bytes: message.data.len(),
        });
    }

    /// To be called some ten times a second: tells what has no event of its own.
    pub(super) fn look(&self, client: &Client) {
        // Asked before this is locked: whoever has the connection may be waiting to tell something.
        let (state, quality, report, now) = (client.state(), client.quality(), client.report(), client.now());
        let mut inner = self.lock();
        match inner.audience {
            Audience::Machine => inner.numbers(&report),
            Audience::Screen { colours } => {
                inner.errput.status(status_line(state, quality, &report, now, colours));
            }
            Audience::Reader | Audience::Nobody => {}
        }
    }

    /// Whether any line was taken.
    pub(super) fn has_accepted(&self) -> bool {
        self.lock().tally.accepted > 0
    }

    /// What the last attempt or socket said at its end, in brackets if it said anything.
    pub(super) fn last_words(&self) -> String {
        match &*self.lock().last_words {
            "" => String::new(),
            words => format!(" ({words})"),
        }
    }

    /// The ledger, and what went wrong. Gives the exit code.
    pub(super) fn finish(&self, report: &Report, error: Option<&str>) -> ExitCode {
        let mut inner = self.lock();
        inner.tally.close();
        let well = inner.tally.all_well() && error.is_none();
        let mut last = Vec::new();
        match inner.audience {
            Audience::Machine => {
                inner.numbers(report);
                let tally = inner.tally;
                last.extend(inner.told_loss());
                last.push(inner.stamp(Event::Summary { tally, report, error }));
            }
            Audience::Nobody if well => {}
            Audience::Nobody | Audience::Reader | Audience::Screen { .. } => {
                last.extend(inner.told_loss());
                last.push(format!("everlink: {}", inner.tally));
                last.extend(error.map(|error| format!("everlink: {error}")));
            }
        }
        inner.errput.finish(last);
        if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

impl Inner {
    fn action(&mut self, now: everlink::time::Instant, action: Action) {
        match action {
            Action::Open { epoch, attempt, .. } => self.event(Event::Opening { epoch, attempt }),
            // A server that hands a session over to the next socket ends the one before just when that is abandoned.
            Action::Abandon { epoch } if self.ended == Some(epoch) => {}
            Action::Abandon { epoch } => {
                self.last_words.clear();
                self.event(Event::Close { epoch, code: None, reason: "", clean: false, abandoned: true });
            }
            Action::Ping { epoch, nonce } => self.event(Event::Ping { epoch, nonce }),
            Action::Status { from, to } => {
                let state = self.state.as_ref().map_or(State::Stopped, |state| *state.borrow());
                match to {
                    Status::Connected => self.say(|| "connected".to_owned()),
                    Status::Degraded => self.say(|| "degraded: slow, or no sign of life".to_owned()),
                    // Each is told by what causes it.
                    _ => {}
                }
                self.event(Event::Status { from, to, state });
            }
            Action::RetryScheduled { at, attempt, cause } => {
                let wait = at - now;
                let words = match &*self.last_words {
                    "" => String::new(),
                    words => format!(" ({words})"),
                };
                self.say(|| format!("disconnected: {cause}{words}; retry {attempt} in {}", seconds(wait)));
                let in_ms = millis(wait);
                self.event(Event::Retry { in_ms, attempt, cause: cause.to_string() });
            }
            Action::Quality { from, to } => self.event(Event::Quality { from, to }),
            Action::Settled(settlement) => {
                let id = settlement.id.sequence();
                if id > self.last {
                    self.early.push((id, settlement.outcome));
                } else {
                    self.settled(id, settlement.outcome);
                }
            }
            // Nothing is asked here.
            Action::Ended(_)
            | Action::Close { .. }
            | Action::Store { .. }
            | Action::Pong { .. }
            | Action::Flush { .. } => {}
        }
    }

    fn settled(&mut self, id: u64, outcome: Outcome) {
        self.tally.settle(outcome);
        self.event(Event::Settled { id, outcome });
    }

    /// Tells suspensions, latency and queue, if they changed.
    fn numbers(&mut self, report: &Report) {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let times = report.counts.suspensions.get();
        if std::mem::replace(&mut self.suspensions, times) != times {
            self.event(Event::Suspended { times });
        }
        let pongs = report.counts.pongs_received.get();
        if let Some(latency) = report.latency
            && std::mem::replace(&mut self.pongs, pongs) != pongs
        {
            let smoothed_ms = report.smoothed_latency.map(ms);
            self.event(Event::Latency { ms: ms(latency.last), smoothed_ms });
        }
        if std::mem::replace(&mut self.queue, report.queue) != report.queue {
            let Queue { messages, bytes } = report.queue;
            self.event(Event::Queue { messages, bytes });
        }
    }

    /// A line for a person who reads lines.
    fn say(&mut self, line: impl FnOnce() -> String) {
        if self.audience == Audience::Reader {
            self.line(format!("everlink: {}", line()));
        }
    }

    /// An event for a machine.
    fn event(&mut self, event: Event<'_>) {
        if self.audience == Audience::Machine {
            let line = self.stamp(event);
            self.line(line);
        }
    }

    fn stamp(&self, event: Event<'_>) -> String {
        let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let stamped = Stamped { event, t_ms: millis(self.started.elapsed()), unix_ms: millis(unix) };
        // All of it is plain data with text keys: there is nothing that could fail.
        serde_json::to_string(&stamped).unwrap_or_default()
    }

    fn line(&mut self, line: String) {
        let all = self.told_loss().is_none_or(|loss| self.errput.line(loss));
        if !(all && self.errput.line(line)) {
            self.lost += 1;
        } else {
            self.lost = 0;
        }
    }

    /// Says how many lines were dropped, if any were.
    fn told_loss(&self) -> Option<String> {
        (self.lost > 0).then(|| match self.audience {
            Audience::Machine => self.stamp(Event::Lost { events: self.lost }),
            _ => format!("everlink: {} lines dropped here", self.lost),
        })
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// What a server said, without the characters that would do something to a terminal.
fn visible(text: &str) -> String {
    let escape = |c: char| if c.is_control() { c.escape_default().collect() } else { String::from(c) };
    text.chars().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use everlink::time;
    use serde_json::Value;

    use super::*;

    #[test]
    fn the_end_of_a_socket_is_told_once() {
        let (errput, lines) = Errput::kept();
        let journal = Journal::on(Audience::Machine, errput);
        let now = time::Instant::from_micros(1);
        let abandoned = |epoch| Notice::Action(Action::Abandon { epoch });
        let closed = |epoch| Notice::Closed { epoch, code: Some(4100), reason: String::new(), clean: true };
        let epoch = |number| Epoch::new(number).unwrap();
        for notice in [closed(epoch(1)), abandoned(epoch(1)), abandoned(epoch(2)), closed(epoch(3))] {
            journal.notice(now, &notice);
        }
        let told = lines().into_iter().map(|line| serde_json::from_str::<Value>(&line).unwrap());
        let told: Vec<_> =
            told.map(|event| (event["epoch"].as_u64(), event["abandoned"].as_bool())).collect();
        assert_eq!(told, [(Some(1), Some(false)), (Some(2), Some(true)), (Some(3), Some(false))]);
    }
}
