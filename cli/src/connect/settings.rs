//! From arguments and files to what a session needs; everything that can be wrong with them is found here.

use std::fmt::Display;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use everlink::link::Config;
use everlink::outbox::Policy;
use everlink::wire::json;
use everlink_tokio::rustls::ClientConfig;
use everlink_tokio::rustls::pki_types::CertificateDer;
use everlink_tokio::rustls::pki_types::pem::PemObject;
use everlink_tokio::{Priority, Target, tls_with_roots};
use toml::{Table, Value};

use super::arguments::{Arguments, Binary, WhenFull, Wire};
use super::config_flags::{merge, set, table_of};
use super::defaults::defaults;

/// What is wrong, in one line, and the exit code for it: 1 for a file, 2 for a usage error.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) text: String,
    pub(super) code: u8,
}

impl Problem {
    fn usage(text: impl Display) -> Problem {
        Problem { text: one_line(text), code: 2 }
    }

    fn file(path: &Path, what: impl Display) -> Problem {
        Problem { text: one_line(format_args!("{}: {what}", path.display())), code: 1 }
    }
}

fn one_line(text: impl Display) -> String {
    text.to_string().lines().map(str::trim).collect::<Vec<_>>().join(" ")
}

/// A trace in the making.
pub(super) type TraceFile = Arc<Mutex<BufWriter<File>>>;

/// All that a session needs.
pub(super) struct Settings {
    pub(super) config: Config,
    /// Whether a line waits for room instead of being refused.
    pub(super) waits: bool,
    pub(super) source: Source,
    pub(super) tls: Option<Arc<ClientConfig>>,
    pub(super) priority: Priority,
    pub(super) ttl: Option<Duration>,
    pub(super) linger: Duration,
    pub(super) replies: Duration,
    pub(super) stay: bool,
    pub(super) binary: Binary,
    pub(super) max_message: usize,
    pub(super) json: bool,
    pub(super) quiet: bool,
    pub(super) trace: Option<TraceFile>,
    pub(super) hold: Option<PathBuf>,
    pub(super) state: Option<PathBuf>,
    pub(super) seed: Option<u64>,
}

impl Settings {
    pub(super) fn new(arguments: Arguments) -> Result<Settings, Problem> {
        let (config, waits) = configuration(&arguments)?;
        let source = Source::new(&arguments)?;
        let tls = arguments.ca.as_deref().map(roots).transpose()?;
        let trace = arguments.trace.as_deref().map(|path| {
            let file = File::create(path).map_err(|error| Problem::file(path, error))?;
            Ok(Arc::new(Mutex::new(BufWriter::new(file))))
        });
        Ok(Settings {
            config,
            waits,
            source,
            tls,
            priority: arguments.priority.into(),
            ttl: arguments.ttl,
            linger: arguments.linger,
            replies: arguments.replies,
            stay: arguments.stay,
            binary: arguments.binary,
            max_message: arguments.max_message,
            json: arguments.json,
            quiet: arguments.quiet,
            trace: trace.transpose()?,
            hold: arguments.hold,
            state: arguments.state,
            seed: arguments.seed,
        })
    }
}

/// The configuration, and whether lines wait for room.
///
/// The flags override the file, which overrides the defaults. `--when-full` overrides both on what to do when the queue is
/// full; where nothing is said about it, lines wait. Where lines wait, they do not expire unless an age was asked for.
fn configuration(arguments: &Arguments) -> Result<(Config, bool), Problem> {
    let path = arguments.config.as_deref();
    let file = path.map(read_table).transpose()?.unwrap_or_default();
    let mut given = file.clone();
    merge(&mut given, arguments.configuration.0.clone());
    let said =
        |name: &str| matches!(given.get("outbox"), Some(Value::Table(outbox)) if outbox.contains_key(name));
    let waits = match arguments.when_full {
        None => !said("policy"),
        Some(what) => what == WhenFull::Wait,
    };
    let policy = match arguments.when_full {
        Some(WhenFull::Wait | WhenFull::Refuse) => Some(Policy::Refuse),
        Some(WhenFull::DropOldest) => Some(Policy::DropOldest),
        Some(WhenFull::DropLowest) => Some(Policy::DropLowest),
        None => waits.then_some(Policy::Refuse),
    };
    let wire = wire(arguments.wire, &given).map_err(Problem::usage)?;
    if wire == Wire::Native && !arguments.protocols.is_empty() {
        return Err(Problem::usage(
            "--protocol is for the other wires; the native one has a sub-protocol of its own",
        ));
    }
    if wire != Wire::Native && arguments.state.is_some() {
        return Err(Problem::usage("--state is for the native wire (--wire native)"));
    }
    let mut own = defaults();
    own.delivery.durable = arguments.state.is_some();
    own.wire = match wire {
        Wire::Raw => own.wire,
        Wire::Native => everlink::wire::Wire::Native(Default::default()),
        // A sub-protocol that is named takes the place of the wire's own.
        Wire::Json => {
            everlink::wire::Wire::Json(json::Config { subprotocol: arguments.protocols.is_empty() })
        }
    };
    own.outbox.policy = policy.unwrap_or_default();
    if waits {
        own.outbox.age = None;
    }
    if let (Some(path), Err(error)) = (path, overridden(&own, file).and_then(checked)) {
        return Err(Problem::file(path, error));
    }
    if policy.is_some() {
        set(&mut given, "outbox.policy", table_of(&own)["outbox"]["policy"].clone());
    }
    let config = overridden(&own, given).and_then(checked).map_err(Problem::usage)?;
    Ok((config, waits))
}

/// The wire: what is asked for, else that of which there are numbers, else the raw one. Numbers of another one are refused.
fn wire(asked: Option<Wire>, given: &Table) -> Result<Wire, String> {
    let numbers = match given.get("wire") {
        Some(Value::Table(wires)) => wires.keys().map(String::as_str).collect::<Vec<_>>(),
        _ => Vec::new(),
    };
    let named = |wire: &Wire| numbers == [wire.name()];
    let wire = asked.or([Wire::Native, Wire::Json].into_iter().find(named)).unwrap_or(Wire::Raw);
    match numbers.iter().find(|name| **name != wire.name()) {
        Some(other) => Err(format!("wire.{other} is of another wire than the {} one", wire.name())),
        None => Ok(wire),
    }
}

fn overridden(own: &Config, given: Table) -> Result<Config, String> {
    let mut table = table_of(own);
    merge(&mut table, given);
    table.try_into().map_err(|error: toml::de::Error| error.message().to_owned())
}

fn checked(config: Config) -> Result<Config, String> {
    config.check().map_err(|error| format!("impossible configuration: {error}"))?;
    Ok(config)
}

/// Reads a configuration file; an error names the line and shows it.
fn read_table(path: &Path) -> Result<Table, Problem> {
    let text = fs::read_to_string(path).map_err(|error| Problem::file(path, error))?;
    let wrong = |error: toml::de::Error| {
        let Some(before) = error.span().and_then(|span| text.get(..span.start)) else {
            return Problem::file(path, error.message());
        };
        let number = before.matches('\n').count();
        let line = text.lines().nth(number).unwrap_or_default().trim();
        Problem::file(path, format_args!("line {} ({line}): {}", number + 1, error.message()))
    };
    toml::from_str::<Config>(&text).map_err(wrong)?;
    toml::from_str::<Table>(&text).map_err(wrong)
}

fn roots(path: &Path) -> Result<Arc<ClientConfig>, Problem> {
    let text = fs::read(path).map_err(|error| Problem::file(path, error))?;
    let roots: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|error| Problem::file(path, format_args!("no PEM certificates: {error}")))?;
    if roots.is_empty() {
        return Err(Problem::file(path, "holds no PEM certificate"));
    }
    let config = tls_with_roots(roots).map_err(|error| Problem::file(path, error))?;
    Ok(Arc::new(config))
}

/// Gives the target of each attempt, with a fresh token.
#[derive(Clone)]
pub(super) struct Source {
    target: Target,
    token_file: Option<PathBuf>,
}

impl Source {
    fn new(arguments: &Arguments) -> Result<Source, Problem> {
        let mut target = Target::new(&arguments.url).map_err(Problem::usage)?;
        for header in &arguments.headers {
            // The header is not repeated: it may hold a secret.
            let parts = header.split_once(':').map(|(name, value)| (name.trim(), value.trim()));
            let (name, value) = parts.ok_or_else(|| Problem::usage("a --header must be \"NAME: VALUE\""))?;
            target = target.header(name, value).map_err(Problem::usage)?;
        }
        if !arguments.protocols.is_empty() {
            let names: Vec<&str> = arguments.protocols.iter().map(String::as_str).collect();
            target = target.protocols(&names).map_err(Problem::usage)?;
        }
        let source = Source { target, token_file: arguments.token_file.clone() };
        if let Some(path) = &source.token_file {
            let token = fs::read_to_string(path).map_err(|error| Problem::file(path, error))?;
            source.with_token(path, &token).map_err(|text| Problem { text, code: 1 })?;
        }
        Ok(source)
    }

    fn with_token(&self, path: &Path, token: &str) -> Result<Target, String> {
        let token = token.trim();
        if token.is_empty() {
            return Err(format!("{}: holds no token", path.display()));
        }
        self.target.clone().bearer(token).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// For one attempt.
    pub(super) async fn target(self) -> Result<Target, Box<dyn std::error::Error + Send + Sync>> {
        let Some(path) = &self.token_file else { return Ok(self.target) };
        let token =
            tokio::fs::read_to_string(path).await.map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(self.with_token(path, &token)?)
    }
}

/// The URL, as much of it as may be seen.
impl Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.target.fmt(f)
    }
}
