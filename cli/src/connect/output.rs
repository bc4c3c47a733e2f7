//! Messages to standard output, on a thread of its own. If it is not read, the connection stops reading, too.

use std::io::{self, IsTerminal, Write};

use everlink_tokio::{Kind, Received};
use tokio::sync::{mpsc, oneshot};

use super::arguments::Binary;
use super::screen::SharedScreen;

/// Messages that may wait for the thread.
const WAITING: usize = 64;

/// Prints what is sent to it. The other end tells when all is printed (once the sender is gone), or why that is impossible.
pub(super) fn start(
    binary: Binary,
    screen: SharedScreen,
) -> (mpsc::Sender<Received>, oneshot::Receiver<io::Result<()>>) {
    let (sender, mut messages) = mpsc::channel(WAITING);
    let (done, end) = oneshot::channel();
    std::thread::spawn(move || {
        let result = print(&mut messages, binary, &screen);
        let _ = done.send(result);
    });
    (sender, end)
}

fn print(messages: &mut mpsc::Receiver<Received>, binary: Binary, screen: &SharedScreen) -> io::Result<()> {
    let stdout = io::stdout();
    let terminal = stdout.is_terminal();
    let mut out = io::BufWriter::new(stdout);
    while let Some(mut message) = messages.blocking_recv() {
        let mut screen = terminal.then(|| screen.lock());
        if let Some(screen) = &mut screen {
            screen.clear(&mut out);
        }
        for left in (0..WAITING).rev() {
            write_line(&mut out, &message, binary, terminal)?;
            match messages.try_recv() {
                Ok(next) if left > 0 => message = next,
                Ok(next) => write_line(&mut out, &next, binary, terminal)?,
                Err(_) => break,
            }
        }
        if let Some(screen) = &mut screen {
            screen.redraw(&mut out, None);
        }
        out.flush()?;
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
