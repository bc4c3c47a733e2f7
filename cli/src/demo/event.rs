//! What the client process says on its standard error: one JSON object a line.
//!
//! ```text
//! {"event":"status","t_ms":3012,"from":"connected","to":"degraded","state":"slow"}
//! ```

use std::time::Duration;

use everlink_tokio::Outcome;
use serde::Deserialize;
use serde_json::Value;

use crate::timeline::Status;

/// Something that the client says, with the time since its start.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Said {
    pub(super) at: Duration,
    pub(super) what: What,
}

/// What the demonstration makes use of.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum What {
    /// It runs; the wall clock in milliseconds since 1970.
    Start { unix_ms: u64 },
    /// A socket is being opened.
    Opening { attempt: u64 },
    /// A socket could not be opened.
    Failed,
    /// A socket is open.
    Open,
    /// A socket has ended, or was given up.
    Close,
    /// The status changed; the state is a word like `slow`.
    Status { to: Status, state: String },
    /// The quality changed.
    Quality { to: String },
    /// A round trip was measured.
    Latency { ms: f64 },
    /// The next attempt is scheduled.
    Retry { wait: Duration, attempt: u64, cause: String },
    /// So many messages wait.
    Queue { messages: u64 },
    /// A ping was sent, or the process found that it had been suspended.
    Probe,
    /// A line was taken; lines are counted from 1.
    Accepted { id: u64, line: u64 },
    /// A line was not taken.
    Refused { line: u64, reason: String },
    /// A line came to its end.
    Settled { id: u64, outcome: Outcome },
    /// So many events were not told.
    Lost { events: u64 },
    /// It has ended in good order.
    Summary,
}

impl Said {
    /// Reads a line; `None` where it is no event, or none that matters here.
    pub(super) fn parse(line: &str) -> Option<Said> {
        let event = serde_json::from_str::<Value>(line).ok()?;
        let number = |name: &str| event.get(name).and_then(Value::as_u64);
        let float = |name: &str| event.get(name).and_then(Value::as_f64);
        let text = |name: &str| event.get(name).map(plain).unwrap_or_default();
        let millis =
            |name: &str| Some(Duration::try_from_secs_f64(float(name)? / 1000.0).unwrap_or_default());
        let what = match event.get("event")?.as_str()? {
            "start" => What::Start { unix_ms: number("unix_ms")? },
            "opening" => What::Opening { attempt: number("attempt").unwrap_or_default() },
            "failed" => What::Failed,
            "open" => What::Open,
            "close" => What::Close,
            "status" => What::Status {
                to: Status::deserialize(event.get("to")?).ok()?,
                state: event.get("state").map(variant).unwrap_or_default(),
            },
            "quality" => What::Quality { to: text("to") },
            "latency" => What::Latency { ms: float("ms")? },
            "retry" => What::Retry {
                wait: millis("in_ms")?,
                attempt: number("attempt").unwrap_or_default(),
                cause: text("cause"),
            },
            "queue" => What::Queue { messages: number("messages")? },
            "ping" | "suspended" => What::Probe,
            "accepted" => What::Accepted { id: number("id")?, line: number("line")? },
            "refused" => What::Refused { line: number("line")?, reason: text("reason") },
            "settled" => What::Settled {
                id: number("id")?,
                outcome: Outcome::deserialize(event.get("outcome")?).ok()?,
            },
            "lost" => What::Lost { events: number("events")? },
            "summary" => What::Summary,
            _ => return None,
        };
        Some(Said { at: millis("t_ms")?, what })
    }
}

/// What a line complains about: an event with an error, or words to people.
pub(super) fn complaint(line: &str) -> Option<String> {
    match serde_json::from_str::<Value>(line) {
        Ok(event) => event.get("error").map(plain),
        Err(_) if line.trim().is_empty() => None,
        Err(_) => Some(line.strip_prefix("everlink: ").unwrap_or(line).to_owned()),
    }
}

/// A string as it is, anything else as JSON.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The name of a variant, with fields or without.
fn variant(value: &Value) -> String {
    let name = value.as_object().and_then(|object| object.keys().next());
    name.cloned().unwrap_or_else(|| plain(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read() {
        let said = |line| Said::parse(line).unwrap();
        let at = Duration::from_millis(3012);
        let what = What::Status { to: Status::Degraded, state: "suspect".to_owned() };
        assert_eq!(
            said(r#"{"event":"status","t_ms":3012,"to":"degraded","state":{"suspect":{"missed":1}}}"#),
            Said { at, what }
        );
        let what = What::Settled { id: 7, outcome: Outcome::InDoubt };
        assert_eq!(said(r#"{"event":"settled","t_ms":3012,"id":7,"outcome":"in-doubt"}"#), Said { at, what });
        let what = What::Accepted { id: 7, line: 9 };
        assert_eq!(said(r#"{"event":"accepted","t_ms":3012,"id":7,"line":9}"#), Said { at, what });
    }

    #[test]
    fn complaints_are_found() {
        assert_eq!(complaint("everlink: no such flag").as_deref(), Some("no such flag"));
        assert_eq!(complaint(r#"{"event":"summary","error":"gave up"}"#).as_deref(), Some("gave up"));
        assert_eq!(complaint(r#"{"event":"open"}"#), None);
    }

    #[test]
    fn what_is_no_event_is_none() {
        for line in [
            "",
            "everlink: no",
            "[]",
            "{}",
            r#"{"event":"news","t_ms":1}"#,
            r#"{"event":"open","t_ms":-1e99}"#,
        ] {
            assert!(
                Said::parse(line).is_none_or(|said| said.at == Duration::ZERO),
                "{line} should be no event with a time"
            );
        }
        assert_eq!(Said::parse(r#"{"event":"settled","t_ms":1,"id":1,"outcome":"eaten"}"#), None);
        assert_eq!(Said::parse(r#"{"event":"settled","t_ms":1,"id":1,"outcome":"unsettled"}"#), None);
    }
}
