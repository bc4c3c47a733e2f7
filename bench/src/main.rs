//! Measures everlink. Each figure is one line: `name everlink=… unit=…`, with `peer=…:NAME ratio=…` where there is a peer: the best
//! one (below 1, everlink is faster), followed by `memcpy=…` for scale and `others=NAME:…,…` where there are more.

mod bed;
mod codec;
mod echo;
mod herd;
mod instructions;
mod json;
mod link;
mod measure;
mod native;
mod peer;
mod plot;
mod recovery;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Measures everlink.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// A link's steps, in nanoseconds, and its memory.
    Link,
    /// A link's steps, in instructions: the same on a busy machine. Needs valgrind.
    Instructions {
        /// Only does this step, so many times.
        #[arg(long, hide = true, num_args = 2, value_names = ["STEP", "TIMES"])]
        step: Option<Vec<String>>,
    },
    /// Reading and writing the messages of the JSON wire, in nanoseconds, beside `serde_json`.
    Json,
    /// Encoding and decoding of the native wire.
    Native,
    /// The server's end of sessions: memory, messages, reconnects.
    Peer,
    /// The WebSocket codec, in nanoseconds a message, beside its peers.
    Codec {
        /// Only the figures whose name contains this.
        #[arg(default_value = "")]
        only: String,
    },
    /// Echoes over TCP: CPU time a message, beside other WebSockets.
    Echo {
        /// Only the figures whose name contains this.
        #[arg(default_value = "")]
        only: String,
        /// Only the contenders of these names, for a profile of one.
        #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = echo::names())]
        with: Vec<String>,
        /// Each figure is the least of so many rounds.
        #[arg(long, default_value_t = 15)]
        rounds: usize,
        /// How many bursts on each connection a round has; as many as take 30 ms where this is not given.
        #[arg(long)]
        bursts: Option<u64>,
    },
    /// What a server meets after an outage (simulated).
    Herd {
        /// Writes a plot to this SVG file.
        #[arg(long)]
        plot: Option<PathBuf>,
    },
    /// How soon an outage is noticed and over (simulated).
    Recovery {
        /// Writes a plot to this SVG file.
        #[arg(long)]
        plot: Option<PathBuf>,
        /// Only this scenario.
        #[arg(long, value_parser = recovery::names())]
        scenario: Option<String>,
        /// Only the outage of this seed, of each scenario.
        #[arg(long)]
        seed: Option<u64>,
    },
}

fn main() {
    match Arguments::parse().what {
        What::Codec { only } => some(codec::run(&only), &only),
        What::Echo { only, with, rounds, bursts } => {
            some(echo::run(&only, &echo::Selection { with, rounds, bursts }), &only);
        }
        What::Instructions { step } => instructions::run(step),
        What::Json => json::run(),
        What::Link => link::run(),
        What::Native => native::run(),
        What::Peer => peer::run(),
        What::Herd { plot } => herd::run(plot.as_deref()),
        What::Recovery { plot, scenario, seed } => {
            recovery::run(plot.as_deref(), scenario.as_deref(), seed);
        }
    }
}

/// A name that no figure has is a mistake.
fn some(any: bool, only: &str) {
    if !any {
        eprintln!("no figure has a name with \"{only}\" in it");
        std::process::exit(1);
    }
}
