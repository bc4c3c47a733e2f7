//! The configuration that the demonstration's client runs with: the defaults are for networks, in which a minute is a
//! short time; here a whole life of a connection has less than that.

use std::fmt::{self, Write};
use std::time::Duration;

use everlink::link::Config;

use crate::connect::defaults;

/// A setting that differs from its default.
struct Setting {
    /// As in the configuration; the flag of `everlink connect`.
    name: &'static str,
    value: &'static str,
    default: fn(&Config) -> String,
    meaning: &'static str,
}

const SETTINGS: [Setting; 11] = [
    Setting {
        name: "heartbeat.interval",
        value: "1s",
        default: |config| time(config.heartbeat.interval),
        meaning: "silence before a ping",
    },
    Setting {
        name: "heartbeat.early",
        value: "400ms",
        default: |config| config.heartbeat.early.map_or("off".to_owned(), time),
        meaning: "the same while messages leave: sooner",
    },
    Setting {
        name: "heartbeat.timeout",
        value: "2s",
        default: |config| time(config.heartbeat.timeout),
        meaning: "when an answer is overdue, at most",
    },
    Setting {
        name: "heartbeat.misses",
        value: "2",
        default: |config| config.heartbeat.misses.to_string(),
        meaning: "overdue answers that end a socket",
    },
    Setting {
        name: "heartbeat.probe_timeout",
        value: "1s",
        default: |config| time(config.heartbeat.probe_timeout),
        meaning: "for the one answer after a suspension",
    },
    Setting {
        name: "suspended_after",
        value: "1s",
        default: |config| time(config.suspended_after),
        meaning: "lateness that means: I did not run",
    },
    Setting {
        name: "stall_after",
        value: "2s",
        default: |config| time(config.stall_after),
        meaning: "time without progress: stalled",
    },
    Setting {
        name: "open_timeout",
        value: "2s",
        default: |config| time(config.open_timeout),
        meaning: "for opening a socket",
    },
    Setting {
        name: "close_timeout",
        value: "1s",
        default: |config| time(config.close_timeout),
        meaning: "for closing one",
    },
    Setting {
        name: "backoff.stable_after",
        value: "1s",
        default: |config| time(config.backoff.stable_after),
        meaning: "connected so long: first wait again",
    },
    Setting {
        name: "outbox.messages",
        value: "2000",
        default: |config| config.outbox.messages.to_string(),
        meaning: "messages that may wait",
    },
];

/// The arguments of `everlink connect` that make these settings.
pub(super) fn flags() -> impl Iterator<Item = String> {
    SETTINGS.iter().flat_map(|setting| [format!("--{}", setting.name), setting.value.to_owned()])
}

/// The settings beside their defaults, for people.
pub(super) struct Table;

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let defaults = defaults();
        writeln!(f, "  {:<24}{:>8}  {:>10}", "setting", "here", "default")?;
        for Setting { name, value, default, meaning } in &SETTINGS {
            let default = default(&defaults);
            writeln!(f, "  {name:<24}{value:>8}  {default:>10}  {meaning}")?;
        }
        Ok(())
    }
}

/// A duration as in a configuration: `15s`, `250ms`.
fn time(duration: Duration) -> String {
    let mut text = String::new();
    let _ = match duration.subsec_millis() {
        0 => write!(text, "{}s", duration.as_secs()),
        _ => write!(text, "{}ms", duration.as_millis()),
    };
    text
}
