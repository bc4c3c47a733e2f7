//! What the demonstration sends: lines with the times at which they were drawn.
//!
//! A drawing is NDJSON, one point a line, `t` in milliseconds since the start:
//!
//! ```text
//! {"t":0,"stroke":1,"x":679,"y":100.75,"pen":"down","color":"#424242"}
//! {"t":58,"stroke":1,"x":674.99,"y":98.75,"pen":"move","color":"#424242"}
//! ```
//!
//! Any other file of lines will do: lines without such a `t` come at an even pace.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;

/// A cell with its nucleus, as somebody drew it with a pen, with the recorded times: 32 s. Origin, licence (Apache-2.0) and
/// changes are in `data/README.md`.
const INCLUDED: &str = include_str!("../data/drawing.ndjson");
/// The pace of lines that have no time of their own.
const PACE: Duration = Duration::from_millis(25);
/// Times beyond this are no times of a drawing.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// The drawing that comes with the program.
#[must_use]
pub fn included() -> Vec<(Duration, String)> {
    timed(INCLUDED.lines())
}

/// The lines of a file, each with its time since the start. Times never go back: a line with an earlier time than the line
/// before it comes with that line. A line without a time comes 25 ms after the line before it. Blank lines are skipped.
///
/// # Errors
///
/// One that names the file, when it cannot be read or has no lines; also the line, when that is not UTF-8.
pub fn read(path: &Path) -> anyhow::Result<Vec<(Duration, String)>> {
    let name = path.display();
    let bytes = fs::read(path).with_context(|| format!("cannot read {name}"))?;
    let mut lines = Vec::new();
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        match str::from_utf8(line) {
            Ok(line) => lines.push(line.strip_suffix('\r').unwrap_or(line)),
            Err(_) => bail!("{name}: line {} is not UTF-8", index + 1),
        }
    }
    let timed = timed(lines.into_iter());
    if timed.is_empty() {
        bail!("{name}: there are no lines in it");
    }
    Ok(timed)
}

fn timed<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<(Duration, String)> {
    let mut timed: Vec<(Duration, String)> = Vec::new();
    for line in lines.filter(|line| !line.trim().is_empty()) {
        let before = timed.last().map(|(at, _)| *at);
        let at = match (time_of(line), before) {
            (Some(at), before) => at.max(before.unwrap_or_default()),
            (None, Some(before)) => before + PACE,
            (None, None) => Duration::ZERO,
        };
        timed.push((at, line.to_owned()));
    }
    timed
}

/// The `t` of a JSON object: milliseconds, a fraction allowed.
fn time_of(line: &str) -> Option<Duration> {
    let millis = serde_json::from_str::<Value>(line).ok()?.get("t")?.as_f64()?;
    Duration::try_from_secs_f64(millis / 1000.0).ok().filter(|at| *at <= LONGEST)
}
