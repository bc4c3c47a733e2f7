//! Standard error, on a thread of its own: a reader that does not read costs lines, never the connection.
//!
//! At most [`WAITING`] lines wait for it. What comes then is dropped, and whoever said it is told, to count it.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use serde_json::json;

use super::screen::SharedScreen;

/// Lines that may wait to be written.
const WAITING: usize = 1 << 16;

/// How long the end of the program waits for a reader.
const PATIENCE: Duration = Duration::from_secs(2);

enum Item {
    Line(String),
    Status(String),
    Done(SyncSender<()>),
}

/// The way to the thread.
pub(super) struct Errput(SyncSender<Item>);

impl Errput {
    pub(super) fn start(screen: SharedScreen) -> Errput {
        let (sender, items) = sync_channel(WAITING);
        std::thread::spawn(move || write(&items, &screen));
        Errput(sender)
    }

    /// Writes nothing; the second value gives the lines so far.
    #[cfg(test)]
    pub(super) fn kept() -> (Errput, impl Fn() -> Vec<String>) {
        let (sender, items) = sync_channel(WAITING);
        let line = |item| if let Item::Line(line) = item { Some(line) } else { None };
        (Errput(sender), move || items.try_iter().filter_map(line).collect())
    }

    /// Writes a line, if there is room for it to wait.
    pub(super) fn line(&self, line: String) -> bool {
        self.0.try_send(Item::Line(line)).is_ok()
    }

    /// Shows this as the status. If there is no room, the next one will do.
    pub(super) fn status(&self, line: String) {
        let _ = self.0.try_send(Item::Status(line));
    }

    /// Writes the last line and waits until it is written, or until nobody can be expected to read it.
    pub(super) fn finish(&self, last: Vec<String>) {
        let until = Instant::now() + PATIENCE;
        let (done, wait) = sync_channel(1);
        for mut item in last.into_iter().map(Item::Line).chain([Item::Done(done)]) {
            while let Err(TrySendError::Full(back)) = self.0.try_send(item) {
                if Instant::now() > until {
                    return;
                }
                item = back;
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        let _ = wait.recv_timeout(until.saturating_duration_since(Instant::now()));
    }
}

fn write(items: &Receiver<Item>, screen: &SharedScreen) {
    let mut out = io::BufWriter::new(io::stderr());
    while let Ok(first) = items.recv() {
        let mut screen = screen.lock();
        let (mut done, mut status, mut clear) = (None, None, false);
        for item in std::iter::once(first).chain(items.try_iter().take(256)) {
            match item {
                Item::Line(line) => {
                    if !std::mem::replace(&mut clear, true) {
                        screen.clear(&mut out);
                    }
                    // Whoever reads this may have left; that is no reason to end.
                    let _ = writeln!(out, "{line}");
                }
                Item::Status(line) => status = Some(line),
                Item::Done(sender) => done = Some(sender),
            }
        }
        screen.redraw(&mut out, status);
        let _ = out.flush();
        if let Some(done) = done {
            screen.end(&mut out);
            let _ = done.send(());
        }
    }
}

/// Says what is wrong before, or without, a session.
pub(super) fn complain(json: bool, what: &str) {
    let mut err = io::stderr();
    let _ = match json {
        true => writeln!(err, "{}", json!({"event": "error", "detail": what})),
        false => writeln!(err, "everlink: {what}"),
    };
}
