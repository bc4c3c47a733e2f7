//! `everlink replay FILE`: does a link still do what it did when a trace was written?

use std::path::PathBuf;

use anyhow::Context;
use everlink::time::Instant;

/// Replays a trace of `everlink connect --trace` and compares every answer of the link with the recorded one
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The trace
    file: PathBuf,
}

/// Prints one line: how much was replayed, and where it ended.
///
/// # Errors
///
/// When the file cannot be read, or at the first byte that is no trace or is answered otherwise.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let name = || arguments.file.display().to_string();
    let trace = std::fs::read(&arguments.file).with_context(name)?;
    let replayed = everlink::trace::replay(&trace).with_context(name)?;
    let span = (replayed.now - Instant::ORIGIN).as_secs_f64();
    let status = replayed.link.status();
    println!("{}: {} records over {span:.3} s replayed, in the end {status}", name(), replayed.records);
    Ok(())
}
