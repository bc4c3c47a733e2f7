//! Measures everlink. Each figure is one line: `name everlink=… unit=…`, with `peer=…:NAME ratio=…` where there is a peer.

mod link;
mod measure;

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
}

fn main() {
    match Arguments::parse().what {
        What::Link => link::run(),
    }
}
