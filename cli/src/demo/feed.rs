//! The lines for the client, at the pace of a drawing, each made unique.
//!
//! ```text
//! as drawn   ·  ·· ·        ·  ·     pauses are shortened, lines in a burst wait, so that something is always on its way;
//! sent       ·  · · ·   ·  ·         a drawing that ends begins again
//! ```

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

/// No pause is longer, so that every fault meets messages.
const LONGEST_GAP: Duration = Duration::from_millis(150);
/// No gap is shorter: about as from a pen, or a cursor, that sends a point for each picture of the screen.
const SHORTEST_GAP: Duration = Duration::from_millis(15);

/// Lines without end: the drawing again and again, each with a number that it never had before.
#[derive(Debug)]
pub(super) struct Feed {
    lines: Vec<(Duration, String)>,
    sent: usize,
}

impl Feed {
    /// The lines of a drawing, which are not none.
    pub(super) fn new(lines: Vec<(Duration, String)>) -> Feed {
        Feed { lines, sent: 0 }
    }

    /// The next line, and how long after the one before it.
    fn next(&mut self) -> Option<(Duration, String)> {
        let index = self.sent.checked_rem(self.lines.len())?;
        let (at, line) = self.lines.get(index)?;
        let before = index.checked_sub(1).and_then(|index| self.lines.get(index));
        let gap = before.map_or(LONGEST_GAP, |(before, _)| at.saturating_sub(*before));
        self.sent += 1;
        Some((gap.clamp(SHORTEST_GAP, LONGEST_GAP), unique(self.sent, line)))
    }

    /// Writes lines, each after it was told, until it is to stop or the reader is gone. A line is never cut in two.
    pub(super) async fn run(
        mut self,
        mut to: impl AsyncWrite + Unpin,
        mut tell: impl FnMut(&str),
        mut stop: oneshot::Receiver<()>,
    ) {
        let mut due = Instant::now();
        while let Some((gap, mut line)) = self.next() {
            due += gap;
            tokio::select! {
                biased;
                _ = &mut stop => break,
                () = sleep_until(due) => {}
            }
            tell(&line);
            line.push('\n');
            if to.write_all(line.as_bytes()).await.is_err() {
                break;
            }
        }
    }
}

/// The line with its number: the first field of a JSON object, the first word of anything else.
fn unique(number: usize, line: &str) -> String {
    let line = line.trim();
    match serde_json::from_str(line) {
        Ok(Value::Object(fields)) => {
            let comma = if fields.is_empty() { "" } else { "," };
            let rest = line.strip_prefix('{').unwrap_or(line);
            format!("{{\"seq\":{number}{comma}{rest}")
        }
        _ => format!("{number} {line}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_made_unique() {
        assert_eq!(unique(3, r#"{"t":1}"#), r#"{"seq":3,"t":1}"#);
        assert_eq!(unique(3, "{}"), r#"{"seq":3}"#);
        assert_eq!(unique(3, "any {text} "), "3 any {text}");
    }

    #[test]
    fn the_drawing_begins_again_and_pauses_are_bounded() {
        let line = |millis, text: &str| (Duration::from_millis(millis), text.to_owned());
        let mut feed = Feed::new(vec![line(0, "a"), line(1, "b"), line(9000, "c"), line(9070, "d")]);
        let sent: Vec<_> = (0..6).filter_map(|_| feed.next()).collect();
        let expected = [(150, "1 a"), (15, "2 b"), (150, "3 c"), (70, "4 d"), (150, "5 a"), (15, "6 b")];
        assert_eq!(sent, expected.map(|(millis, text)| line(millis, text)));
    }
}
