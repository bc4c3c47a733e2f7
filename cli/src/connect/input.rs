//! Lines from standard input, on a thread of its own: reading may block for ever.

use std::io::{self, BufRead};

use tokio::sync::mpsc;

/// Lines that may wait between the thread and the session, beyond the queue.
const AHEAD: usize = 16;

/// One line, without its end (`\n` or `\r\n`).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// From 1.
    pub(super) number: u64,
    /// The text, or why it cannot be sent.
    pub(super) text: Result<String, &'static str>,
}

/// Reads standard input. An error is the last thing that comes; a line of more than `limit` bytes is skipped, unread.
pub(super) fn start(limit: usize) -> mpsc::Receiver<io::Result<Line>> {
    let (sender, lines) = mpsc::channel(AHEAD);
    std::thread::spawn(move || {
        let mut input = io::stdin().lock();
        for number in 1.. {
            let line = match next(&mut input, limit) {
                Ok(Some(text)) => Ok(Line { number, text }),
                Ok(None) => return,
                Err(error) => Err(error),
            };
            let last = line.is_err();
            if sender.blocking_send(line).is_err() || last {
                return;
            }
        }
    });
    lines
}

type Text = Result<String, &'static str>;

fn next(input: &mut impl BufRead, limit: usize) -> io::Result<Option<Text>> {
    let mut line = Vec::new();
    let mut length = 0;
    loop {
        let chunk = match input.fill_buf() {
            Ok(chunk) => chunk,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if chunk.is_empty() && length == 0 {
            return Ok(None);
        }
        let end = chunk.iter().position(|byte| *byte == b'\n');
        let part = &chunk[..end.unwrap_or(chunk.len())];
        // Two more than the limit: for a `\r`, and to know that it is too much.
        line.extend_from_slice(&part[..part.len().min((limit + 2).saturating_sub(line.len()))]);
        let used = part.len() + usize::from(end.is_some());
        length += used;
        input.consume(used);
        if end.is_some() || used == 0 {
            break;
        }
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    if line.len() > limit {
        return Ok(Some(Err("too-large")));
    }
    Ok(Some(String::from_utf8(line).map_err(|_| "not-utf-8")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(input: &[u8]) -> Vec<Text> {
        // Three bytes at a time, so that lines cross the chunks.
        let mut input = io::BufReader::with_capacity(3, input);
        std::iter::from_fn(|| next(&mut input, 8).unwrap()).collect()
    }

    #[test]
    fn lines_come_without_their_ends_and_the_last_needs_none() {
        let line = |text: &str| Ok(text.to_owned());
        assert_eq!(all(b"one\n\ntwo\r\nthree"), [line("one"), line(""), line("two"), line("three")]);
        assert_eq!(all(b"one\n"), [line("one")]);
        assert_eq!(all(b""), []);
    }

    #[test]
    fn a_line_that_cannot_be_sent_says_why_and_the_next_one_follows() {
        let next = Ok("12345678".to_owned());
        assert_eq!(all(b"123456789012\n12345678\r\n"), [Err("too-large"), next.clone()]);
        assert_eq!(all(b"123456789\n12345678"), [Err("too-large"), next.clone()]);
        assert_eq!(all(b"\xFF\xFE\n12345678"), [Err("not-utf-8"), next]);
    }
}
