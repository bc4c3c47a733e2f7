//! The events of `--json`: one object a line on standard error. `docs/events.md` is their contract.

use everlink::link::{Config, Epoch};
use everlink::metrics::Report;
use everlink::quality::Quality;
use everlink_tokio::{Failure, Kind, Outcome, State, Status};
use serde::Serialize;

use super::tally::Tally;

/// Something that happened.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub(super) enum Event<'a> {
    Start {
        url: String,
        config: &'a Config,
    },
    Restored {
        last: u64,
        messages: u32,
    },
    Opening {
        epoch: Epoch,
        attempt: u32,
    },
    Failed {
        epoch: Epoch,
        failure: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        http_status: Option<u16>,
        detail: &'a str,
    },
    Open {
        epoch: Epoch,
    },
    Session {
        epoch: Epoch,
        resumed: bool,
        number: u64,
    },
    Goodbye {
        epoch: Epoch,
        code: u16,
        retry_after_ms: Option<u64>,
        reason: &'a str,
    },
    Malformed {
        epoch: Epoch,
        byte: usize,
        problem: String,
    },
    Close {
        epoch: Epoch,
        code: Option<u16>,
        reason: &'a str,
        clean: bool,
        abandoned: bool,
    },
    Status {
        from: Status,
        to: Status,
        state: State,
    },
    Quality {
        from: Quality,
        to: Quality,
    },
    Latency {
        ms: f64,
        smoothed_ms: Option<f64>,
    },
    Retry {
        in_ms: u64,
        attempt: u32,
        cause: String,
    },
    Queue {
        messages: u32,
        bytes: u32,
    },
    Accepted {
        id: u64,
        line: u64,
    },
    Refused {
        line: u64,
        reason: &'a str,
    },
    Settled {
        id: u64,
        outcome: Outcome,
    },
    Message {
        id: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        number: Option<u64>,
        kind: Kind,
        bytes: usize,
    },
    Ping {
        epoch: Epoch,
        nonce: u32,
    },
    Suspended {
        times: u64,
    },
    Lost {
        events: u64,
    },
    Summary {
        #[serde(flatten)]
        tally: Tally,
        report: &'a Report,
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<&'a str>,
    },
}

/// An event and when it happened.
#[derive(Serialize)]
pub(super) struct Stamped<'a> {
    #[serde(flatten)]
    pub(super) event: Event<'a>,
    pub(super) t_ms: u64,
    pub(super) unix_ms: u64,
}

/// The word for a failure, and its HTTP status.
pub(super) const fn failure(failure: Failure) -> (&'static str, Option<u16>) {
    match failure {
        Failure::Credentials => ("credentials", None),
        Failure::Dns => ("dns", None),
        Failure::Connect => ("connect", None),
        Failure::Tls => ("tls", None),
        Failure::Certificate => ("certificate", None),
        Failure::Http { status, .. } => ("http", Some(status)),
        Failure::Handshake => ("handshake", None),
        Failure::Url => ("url", None),
        _ => ("other", None),
    }
}
