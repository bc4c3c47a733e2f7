//! What `everlink connect` may be told.

use std::path::PathBuf;
use std::time::Duration;

use super::config_flags::ConfigFlags;
use crate::flags;

/// Sends lines from standard input to a WebSocket server and prints its messages, staying connected through anything
///
/// One line of input is one text message; one message is one line of output. At the end of the input it waits until every
/// line is settled, then closes. Exit codes: 0 when every line was settled well (written or acknowledged), 1 when not, when
/// the link gave up or a file cannot be used, 2 for a usage error. Events of --json: docs/events.md.
///
/// Somebody waits for it, so it tries again soon and without end: after at most 250 ms and a twenty-fifth of how long the outage has
/// lasted, 30 s at most. Where many of it run against one server, --backoff.base 1s --backoff.ratio 2 (as in the library) spreads
/// them better; --backoff.attempts 10 gives up.
#[derive(Debug, clap::Args)]
#[command(args_override_self = true)]
pub struct Arguments {
    /// Where to connect: ws://… or wss://…
    pub(super) url: String,

    /// A header for each opening handshake; may be repeated
    #[arg(long = "header", value_name = "NAME: VALUE")]
    pub(super) headers: Vec<String>,

    /// A file with a bearer token, read again for each attempt
    #[arg(long, value_name = "FILE")]
    pub(super) token_file: Option<PathBuf>,

    /// What is spoken; by default what the file of --config says, else raw
    #[arg(long, value_enum, value_name = "WIRE")]
    pub(super) wire: Option<Wire>,

    /// A sub-protocol to offer, the preferred one first; may be repeated
    #[arg(long = "protocol", value_name = "NAME")]
    pub(super) protocols: Vec<String>,

    /// A file with PEM certificates to trust besides the system's, for wss://
    #[arg(long, value_name = "FILE")]
    pub(super) ca: Option<PathBuf>,

    /// What to do with a line when the queue is full; by default what --outbox.policy says, else wait
    #[arg(long, value_enum, value_name = "WHAT")]
    pub(super) when_full: Option<WhenFull>,

    /// How urgent the lines are
    #[arg(long, value_enum, default_value = "normal")]
    pub(super) priority: Priority,

    /// How long a line may wait to be sent; by default --outbox.age
    #[arg(long, value_name = "TIME", value_parser = flags::duration)]
    pub(super) ttl: Option<Duration>,

    /// After the end of input: how long lines may still take to be settled, connected or not
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = flags::duration)]
    pub(super) linger: Duration,

    /// After the last line is settled: close when no message has come for this long (at most --linger)
    #[arg(long, value_name = "TIME", default_value = "500ms", value_parser = flags::duration)]
    pub(super) replies: Duration,

    /// Stay connected after the end of input, to receive, until Ctrl-C
    #[arg(long)]
    pub(super) stay: bool,

    /// How binary messages are printed: as hex: and digits, or raw (each followed by a line feed)
    #[arg(long, value_enum, value_name = "HOW", default_value = "hex")]
    pub(super) binary: Binary,

    /// The longest message accepted from the server, in bytes; a longer one closes the socket with 1009
    #[arg(long, value_name = "BYTES", default_value_t = 16 << 20, value_parser = flags::positive)]
    pub(super) max_message: usize,

    /// Events as JSON lines on standard error, for machines, and nothing else there
    #[arg(long)]
    pub(super) json: bool,

    /// Nothing on standard error but what went wrong
    #[arg(long, conflicts_with = "json")]
    pub(super) quiet: bool,

    /// A file to write a trace to, for everlink replay; it holds the messages, but no URL, header or token
    #[arg(long, value_name = "FILE")]
    pub(super) trace: Option<PathBuf>,

    /// A file that holds up the connection's task while it exists, as if it did not run; for the demonstration
    #[arg(long, value_name = "FILE", hide = true)]
    pub(super) hold: Option<PathBuf>,

    /// On the native wire: a file to keep the session and all lines in. After a kill the next process goes on where this one
    /// was, and nothing is lost or comes twice. It holds the lines, and the secret that resumes the session
    #[arg(long, value_name = "FILE", conflicts_with = "trace")]
    pub(super) state: Option<PathBuf>,

    /// What decides the jitter of retries; from the system's entropy by default
    #[arg(long, value_name = "NUMBER")]
    pub(super) seed: Option<u64>,

    /// A TOML file with the configuration; the flags below override it
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,

    #[command(flatten)]
    pub(super) configuration: ConfigFlags,
}

/// What the bytes mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Wire {
    /// Any WebSocket server: lines untouched, and nothing known of their arrival
    Raw,
    /// The other end is everlink, too: nothing lost, nothing twice. A server that does not select everlink.v1 is left
    Native,
    /// JSON messages with types and ids, and channels: lines untouched, heartbeat in JSON. A server that does not select
    /// everlink.json.v1 is left, unless another --protocol or --wire.json.subprotocol false says that it need not
    Json,
}

impl Wire {
    /// As the configuration calls it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Wire::Raw => "raw",
            Wire::Native => "native",
            Wire::Json => "json",
        }
    }
}

/// What happens to a line for which there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum WhenFull {
    /// Nothing more is read until there is room; no line is lost, and none expires unless told so
    Wait,
    /// It is refused
    Refuse,
    /// The oldest line gives way
    DropOldest,
    /// The oldest line of the lowest priority gives way
    DropLowest,
}

/// As the outbox has it.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(super) enum Priority {
    High,
    Normal,
    Low,
}

impl From<Priority> for everlink_tokio::Priority {
    fn from(priority: Priority) -> everlink_tokio::Priority {
        match priority {
            Priority::High => everlink_tokio::Priority::High,
            Priority::Normal => everlink_tokio::Priority::Normal,
            Priority::Low => everlink_tokio::Priority::Low,
        }
    }
}

/// How bytes become a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Binary {
    Hex,
    Raw,
}
