//! everlink on the command line. Each subcommand is a module of the library beside this file.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Parser, Subcommand};
use everlink_cli::{connect, demo, replay, serve};

/// Keeps one logical connection alive over many sockets.
#[derive(Parser)]
#[command(name = "everlink", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Connect(Box<connect::Arguments>),
    Demo(demo::Arguments),
    Serve(serve::command::Arguments),
    Replay(replay::Arguments),
}

/// Exit codes: 0 when all went well, 1 for a failure, 2 for a usage error.
fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return usage(&error),
    };
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return failure(&error.into()),
    };
    let code = runtime.block_on(run(arguments.command));
    // A resolver that does not answer must not hold up the end.
    runtime.shutdown_background();
    code
}

async fn run(command: Command) -> ExitCode {
    let result = match command {
        Command::Connect(arguments) => return connect::run(*arguments).await,
        Command::Demo(arguments) => {
            return demo::run(arguments).await.unwrap_or_else(|error| failure(&error));
        }
        Command::Serve(arguments) => serve::command::run(arguments).await,
        Command::Replay(arguments) => replay::run(&arguments),
    };
    result.map_or_else(|error| failure(&error), |()| ExitCode::SUCCESS)
}

fn failure(error: &anyhow::Error) -> ExitCode {
    complain(&format!("{error:#}"));
    ExitCode::FAILURE
}

/// Prints what was asked for (help, version), or one line that says what is wrong with the arguments.
fn usage(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let _ = error.print();
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            ExitCode::from(2)
        }
        // Not repeated: it may be what belongs to a header or a URL, and secret.
        ErrorKind::UnknownArgument if !names_a_flag(error) => {
            complain("unexpected argument after the others; quote what holds spaces");
            ExitCode::from(2)
        }
        _ => {
            let text = error.render().to_string();
            let what = text.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:"));
            let what: Vec<&str> =
                what.filter(|line| !line.starts_with("For more") && !line.is_empty()).collect();
            let what = what.join(" ");
            complain(what.strip_prefix("error: ").unwrap_or(&what));
            ExitCode::from(2)
        }
    }
}

fn names_a_flag(error: &clap::Error) -> bool {
    matches!(error.get(ContextKind::InvalidArg), Some(ContextValue::String(name)) if name.starts_with('-'))
}

/// One line on standard error.
fn complain(what: &str) {
    let _ = writeln!(io::stderr(), "everlink: {what}");
}
