//! The status line of a terminal: one line at the bottom that is redrawn, and that nothing else is printed into.
//!
//! Where lines are typed at the same terminal, the line is pinned to the last row and all else scrolls above it; otherwise
//! it is the line of the cursor.

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use everlink::metrics::{Queue, Report};
use everlink::quality::Quality;
use everlink::time::Instant;
use everlink_tokio::{State, Status};
use terminal_size::{Height, Width, terminal_size_of};

use crate::colour;

/// Erases the line of the cursor.
const ERASE: &str = "\r\x1b[2K";

/// Shared by those who write to the terminal.
#[derive(Clone)]
pub(super) struct SharedScreen(Arc<Mutex<Screen>>);

impl SharedScreen {
    pub(super) fn new(wanted: bool) -> SharedScreen {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let place = match wanted && !dumb && io::stderr().is_terminal() {
            false => Place::Nowhere,
            true if io::stdin().is_terminal() => Place::LastRow { rows: 0 },
            true => Place::Cursor,
        };
        SharedScreen(Arc::new(Mutex::new(Screen { place, line: String::new() })))
    }

    pub(super) fn is_there(&self) -> bool {
        !matches!(self.lock().place, Place::Nowhere)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Screen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Place {
    Nowhere,
    Cursor,
    /// With the number of rows for which the terminal was set up; 0 before.
    LastRow {
        rows: u16,
    },
}

/// What is on the terminal. Whoever prints there holds it, clears it before and redraws it after.
pub(super) struct Screen {
    place: Place,
    line: String,
}

impl Screen {
    /// Makes room for what is printed next. (What was typed so far is out of sight then, but not lost.)
    pub(super) fn clear(&mut self, out: &mut impl Write) {
        if !matches!(self.place, Place::Nowhere) {
            let _ = write!(out, "{ERASE}");
        }
    }

    /// Shows the status again, or a new one.
    pub(super) fn redraw(&mut self, out: &mut impl Write, line: Option<String>) {
        self.line = line.unwrap_or_else(|| std::mem::take(&mut self.line));
        if matches!(self.place, Place::Nowhere) {
            return;
        }
        let (Width(columns), Height(now)) = terminal_size_of(io::stderr()).unwrap_or((Width(80), Height(24)));
        let line = cut(&self.line, columns.into());
        let _ = match &mut self.place {
            Place::Nowhere => Ok(()),
            Place::Cursor => write!(out, "{ERASE}{line}"),
            Place::LastRow { rows } => {
                if *rows != now {
                    *rows = now;
                    let above = now.saturating_sub(1).max(1);
                    // Scrolls up if the cursor is in the last row, then keeps that row out of scrolling.
                    let _ = write!(out, "\n\x1b[A\x1b7\x1b[1;{above}r\x1b8");
                }
                write!(out, "\x1b7\x1b[{now};1H\x1b[2K{line}\x1b8")
            }
        };
    }

    /// Leaves the terminal as it was found.
    pub(super) fn end(&mut self, out: &mut impl Write) {
        match std::mem::replace(&mut self.place, Place::Nowhere) {
            Place::Nowhere | Place::LastRow { rows: 0 } => {}
            Place::Cursor => drop(write!(out, "{ERASE}")),
            Place::LastRow { rows } => drop(write!(out, "\x1b7\x1b[{rows};1H\x1b[2K\x1b[r\x1b8")),
        }
        let _ = out.flush();
    }
}

/// The words of the status line.
pub(super) fn status_line(
    state: State,
    quality: Quality,
    report: &Report,
    now: Instant,
    colours: bool,
) -> String {
    let status = state.status();
    let mut line = colour::paint(colours, colour_of(status), &format!("{} {status}", mark(status)));
    line.push_str(&match state {
        State::Waiting { attempt, until, cause } => {
            format!("  {cause}  retry {attempt} in {}", seconds(until - now))
        }
        State::Opening { attempt: 0, .. } => String::new(),
        State::Opening { attempt, .. } => format!("  retry {attempt}"),
        State::Suspect { missed } => format!("  {missed} answers missed"),
        State::Stalled => "  what was written does not drain".to_owned(),
        State::Slow => "  slow".to_owned(),
        State::Failed { cause } => format!("  {cause}"),
        State::Offline => "  no network".to_owned(),
        _ => String::new(),
    });
    if matches!(status, Status::Connected | Status::Degraded) {
        line.push_str(&format!("  {quality}"));
        if let Some(latency) = report.smoothed_latency {
            let millis = latency.as_secs_f64() * 1e3;
            let digits = usize::from(millis < 10.0);
            line.push_str(&format!(" {millis:.digits$} ms"));
        }
    }
    let Queue { messages, bytes } = report.queue;
    line.push_str(&format!("  queue {messages} ({})", size(bytes)));
    let counts = &report.counts;
    line.push_str(&format!("  sent {}  received {}", counts.messages_sent, counts.messages_received));
    if counts.disconnects.get() > 0 {
        line.push_str(&format!("  lost {}×", counts.disconnects));
    }
    line
}

/// As much of a line as fits into so many columns; escape sequences take none.
fn cut(line: &str, columns: usize) -> String {
    let (mut room, mut escape) = (columns, false);
    let fits = |c: &char| {
        escape |= *c == '\x1b';
        let visible = !escape;
        escape &= *c != 'm';
        room = room.saturating_sub(visible.into());
        !visible || room > 0
    };
    line.chars().filter(fits).collect()
}

fn mark(status: Status) -> char {
    match status {
        Status::Connected => '●',
        Status::Degraded | Status::Connecting => '◐',
        _ => '○',
    }
}

const fn colour_of(status: Status) -> &'static str {
    match status {
        Status::Connected => "32",
        Status::Degraded | Status::Connecting => "33",
        _ => "31",
    }
}

/// A time for people: `812 ms`, `4.2 s`.
pub(super) fn seconds(time: Duration) -> String {
    match time.as_millis() {
        millis @ 0..1000 => format!("{millis} ms"),
        _ => format!("{:.1} s", time.as_secs_f64()),
    }
}

fn size(bytes: u32) -> String {
    match bytes {
        0..1000 => format!("{bytes} B"),
        1000..1_000_000 => format!("{:.1} kB", f64::from(bytes) / 1e3),
        _ => format!("{:.1} MB", f64::from(bytes) / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_line_says_what_is_and_what_comes_next() {
        use everlink::link::Cause;
        use everlink::metrics::Metrics;

        let now = Instant::from_millis(10_000);
        let until = Instant::from_millis(14_200);
        let mut report = Metrics::new().report(now, Some(Duration::from_micros(4_230)), Queue::default());
        for (state, words) in [
            (State::Stopped, "○ disconnected"),
            (State::Offline, "○ disconnected  no network"),
            (
                State::Waiting { attempt: 3, until, cause: Cause::Closed(1006) },
                "○ disconnected  connection dropped  retry 3 in 4.2 s",
            ),
            (State::Opening { attempt: 0, until }, "◐ connecting"),
            (State::Opening { attempt: 3, until }, "◐ connecting  retry 3"),
            (State::Connected, "● connected  good 4.2 ms"),
            (State::Suspect { missed: 2 }, "◐ degraded  2 answers missed  good 4.2 ms"),
            (State::Stalled, "◐ degraded  what was written does not drain  good 4.2 ms"),
            (State::Slow, "◐ degraded  slow  good 4.2 ms"),
            (State::Failed { cause: Cause::OpenTimeout }, "○ failed  opening took too long"),
        ] {
            let line = status_line(state, Quality::Good, &report, now, false);
            assert_eq!(line, format!("{words}  queue 0 (0 B)  sent 0  received 0"));
        }
        report.smoothed_latency = Some(Duration::from_millis(312));
        report.queue = Queue { messages: 7, bytes: 1_540 };
        report.counts.disconnects += 2;
        assert_eq!(
            status_line(State::Connected, Quality::Poor, &report, now, true),
            "\x1b[32m● connected\x1b[0m  poor 312 ms  queue 7 (1.5 kB)  sent 0  received 0  lost 2×"
        );
    }

    #[test]
    fn a_line_is_cut_to_the_terminal_but_its_colours_are_not() {
        assert_eq!(cut("\x1b[32m● connected\x1b[0m  good", 6), "\x1b[32m● con\x1b[0m");
        assert_eq!(cut("short", 80), "short");
    }
}
