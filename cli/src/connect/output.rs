//! Messages to standard output, on a thread of its own. If it is not read, the connection stops reading, too.

use std::io::{self, IsTerminal, Write};

use everlink_tokio::{Kind, Received};
use tokio::sync::{mpsc, oneshot, watch};

use super::arguments::Binary;
use super::screen::SharedScreen;

/// Messages that may wait for the thread.
const WAITING: usize = 64;

/// The way to the thread.
pub(super) struct Printer {
    pub(super) sender: mpsc::Sender<Received>,
    /// How many are printed.
    pub(super) printed: watch::Receiver<u64>,
}

/// Prints what is sent to it. The other end tells when all is printed (once the sender is gone), or why that is impossible.
pub(super) fn start(binary: Binary, screen: SharedScreen) -> (Printer, oneshot::Receiver<io::Result<()>>) {
    let (sender, mut messages) = mpsc::channel(WAITING);
    let (count, printed) = watch::channel(0);
    let (done, end) = oneshot::channel();
    std::thread::spawn(move || {
        let result = print(&mut messages, binary, &screen, &count);
        let _ = done.send(result);
    });
    (Printer { sender, printed }, end)
}

fn print(
    messages: &mut mpsc::Receiver<Received>,
    binary: Binary,
    screen: &SharedScreen,
    count: &watch::Sender<u64>,
) -> io::Result<()> {
    let stdout = io::stdout();
    let terminal = stdout.is_terminal();
    let mut out = io::BufWriter::new(stdout);
    while let Some(mut message) = messages.blocking_recv() {
        let mut screen = terminal.then(|| screen.lock());
        if let Some(screen) = &mut screen {
            screen.clear(&mut out);
        }
        let mut lines = 0;
        loop {
            write_line(&mut out, &message, binary, terminal)?;
            lines += 1;
            match messages.try_recv() {
                Ok(next) if lines < WAITING as u64 => message = next,
                Ok(next) => {
                    write_line(&mut out, &next, binary, terminal)?;
                    lines += 1;
                    break;
                }
                Err(_) => break,
            }
        }
        if let Some(screen) = &mut screen {
            screen.redraw(&mut out, None);
        }
        out.flush()?;
        count.send_modify(|count| *count += lines);
    }
    Ok(())
}

/// A text as it is, bytes as `binary` says; on a terminal, without the characters that would do something to it.
fn write_line(out: &mut impl Write, message: &Received, binary: Binary, terminal: bool) -> io::Result<()> {
    match (message.kind, message.text()) {
        (Kind::Text, Some(text)) if terminal => {
            for c in text.chars() {
                match c {
                    '\n' | '\t' => write!(out, "{c}")?,
                    c if c.is_control() => write!(out, "{}", c.escape_default())?,
                    c => write!(out, "{c}")?,
                }
            }
        }
        (Kind::Binary, _) if binary == Binary::Hex || terminal => {
            out.write_all(b"hex:")?;
            message.data.iter().try_for_each(|byte| write!(out, "{byte:02x}"))?;
        }
        (Kind::Text | Kind::Binary, _) => out.write_all(&message.data)?,
    }
    out.write_all(b"\n")
}
