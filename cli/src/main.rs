//! everlink on the command line. Each subcommand is a module of the library beside this file.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use everlink_cli::serve;

/// Keeps one logical connection alive over many sockets.
#[derive(Parser)]
#[command(name = "everlink", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Serve(serve::command::Arguments),
}

/// Exit codes: 0 when all went well, 1 for a failure, 2 for a usage error (which clap reports itself).
#[tokio::main]
async fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Serve(arguments) => serve::command::run(arguments).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("everlink: {error:#}");
            ExitCode::FAILURE
        }
    }
}
