//! `everlink connect URL`: lines from standard input to a server, its messages to standard output, through anything.
//!
//! ```text
//!  standard input ──► input ──► session ──► everlink-tokio ──► server
//! standard output ◄── output ◄─────┘ │            │
//!                                    ▼            ▼ every action and failure
//!  standard error ◄── errput ◄── journal ◄────────┘     (events, status lines or the status line; and the ledger)
//! ```
//!
//! Standard input, output and error have a thread each: whatever one of them waits for, the connection goes on.

mod arguments;
mod config_flags;
mod config_words;
mod defaults;
mod errput;
mod events;
mod input;
mod journal;
mod output;
mod screen;
mod session;
mod settings;
mod tally;

use std::process::ExitCode;

pub use arguments::{Arguments, Wire};
pub(crate) use defaults::defaults;
use errput::complain;
use settings::Settings;

/// Runs until the input has ended and all is settled, the link has given up, or Ctrl-C. Everything that there is to say has
/// been said when this returns.
pub async fn run(arguments: Arguments) -> ExitCode {
    let json = arguments.json;
    match Settings::new(arguments) {
        Ok(settings) => session::run(settings).await,
        Err(problem) => {
            complain(json, &problem.text);
            ExitCode::from(problem.code)
        }
    }
}
