//! everlink on the command line. Each subcommand is a module of the library beside this file.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};
use everlink_cli::{demo, serve};

/// Keeps one logical connection alive over many sockets.
#[derive(Parser)]
#[command(name = "everlink", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Demo(demo::Arguments),
    Serve(serve::command::Arguments),
}

/// Exit codes: 0 when all went well, 1 for a failure, 2 for a usage error.
#[tokio::main]
async fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return usage(&error),
    };
    let result = match arguments.command {
        Command::Demo(arguments) => demo::run(arguments).await,
        Command::Serve(arguments) => serve::command::run(arguments).await.map(|()| ExitCode::SUCCESS),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            complain(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
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

/// One line on standard error.
fn complain(what: &str) {
    let _ = writeln!(io::stderr(), "everlink: {what}");
}
