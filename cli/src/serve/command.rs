//! `everlink serve ADDR`.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use serde_json::json;
use tokio::net::TcpListener;

use super::{Heartbeat, Mode, Payload, ServeOptions, Server, ServerEvent, Tap, Tapped};
use crate::flags;
use crate::signals::Signals;

/// RFC 6455, section 7.4.1: an endpoint is going away.
const GOING_AWAY: u16 = 1001;

/// A WebSocket server to try clients on: it echoes or broadcasts, pings, and drops the dead
///
/// A client that offers the sub-protocol everlink.v1 (everlink connect --wire native) gets the native wire, on which nothing is
/// lost and nothing comes twice; the others get a plain WebSocket. (The heartbeat flags are for the latter; on the native wire the
/// client pings.)
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Where to listen: 127.0.0.1:9000, [::1]:9000, localhost:0 (0 takes a free port)
    addr: String,

    /// Who gets a message
    #[arg(long, value_enum, default_value = "echo")]
    mode: Mode,

    /// How dead clients are found
    #[arg(long, value_enum, default_value = "ws")]
    heartbeat: Heartbeat,

    /// Time between two rounds of the heartbeat; the silent are dropped after one to two of them
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = flags::positive_duration)]
    interval: Duration,

    /// Largest message in bytes; a larger one closes its sender with 1009
    #[arg(long, value_name = "BYTES", default_value_t = 1 << 20, value_parser = flags::positive)]
    max_message: usize,

    /// Clients at the same time; one more is refused with HTTP status 503
    #[arg(long, value_name = "COUNT", default_value_t = 1024, value_parser = flags::positive)]
    max_connections: usize,

    /// Time for the opening handshake
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = flags::positive_duration)]
    handshake_timeout: Duration,

    /// Time for clients to answer a close frame
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = flags::positive_duration)]
    close_timeout: Duration,

    /// Messages that may wait for one client; when they are more, it is too slow and closed with 1013
    #[arg(long, value_name = "COUNT", default_value_t = 1024, value_parser = flags::positive)]
    queue: usize,

    /// Payload bytes that may wait for one client
    #[arg(long, value_name = "BYTES", default_value_t = 4 << 20, value_parser = flags::positive)]
    queue_bytes: usize,

    /// A web page's origin that may connect (`https://example.org`), again for others; without any, all pages may
    #[arg(long = "origin", value_name = "ORIGIN")]
    origins: Vec<String>,

    /// A file to keep the sessions of the native wire in: after a kill they go on where they were, and nothing is lost or comes
    /// twice. It holds what is queued, and the secrets that resume the sessions
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,

    /// Each message of the native wire is an event, too, with its content
    #[arg(long)]
    messages: bool,

    /// Events as JSON lines on standard error, for machines
    #[arg(long)]
    json: bool,
}

/// Serves until Ctrl-C or SIGTERM, then closes all clients with 1001.
///
/// # Errors
///
/// When it cannot listen.
pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { addr, json, .. } = arguments;
    // Before anyone can know that we listen, so that no signal is missed.
    let mut signal = Signals::new()?;
    let options = ServeOptions {
        mode: arguments.mode,
        heartbeat: arguments.heartbeat,
        interval: arguments.interval,
        max_message: arguments.max_message,
        max_connections: arguments.max_connections,
        handshake_timeout: arguments.handshake_timeout,
        close_timeout: arguments.close_timeout,
        queue_messages: arguments.queue,
        queue_bytes: arguments.queue_bytes,
        origins: arguments.origins,
        state: arguments.state,
        tap: arguments.messages.then(|| Tap(Arc::new(move |tapped| Log { json }.message(&tapped)))),
    };
    let listener = TcpListener::bind(&addr).await.with_context(|| format!("cannot listen on {addr}"))?;
    let state = options.state.clone();
    let started = Server::start(listener, options);
    let (server, mut events) = match state {
        Some(state) => started.with_context(|| format!("cannot use {}", state.display()))?,
        None => started?,
    };
    let log = Log { json };
    log.listening(server.local_addr());
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Some(event) => log.event(&event),
                None => anyhow::bail!("the server ended by itself"),
            },
            () = signal.next() => break,
        }
    }
    log.stopping();
    let stop = server.stop(GOING_AWAY);
    let drain = async {
        while let Some(event) = events.recv().await {
            log.event(&event);
        }
    };
    tokio::join!(stop, drain);
    log.stopped();
    Ok(())
}

/// What is printed on standard error: lines for people, or JSON lines. Messages themselves are never printed.
struct Log {
    json: bool,
}

impl Log {
    fn listening(&self, addr: SocketAddr) {
        self.line(|| format!("listening on ws://{addr}"), || json!({"event": "listening", "addr": addr}));
    }

    fn stopping(&self) {
        self.line(|| "stopping".to_owned(), || json!({"event": "stopping"}));
    }

    fn stopped(&self) {
        self.line(|| "stopped".to_owned(), || json!({"event": "stopped"}));
    }

    fn event(&self, event: &ServerEvent) {
        match event {
            ServerEvent::Connected { client, path } => self.line(
                || format!("client {client} connected to {}", path.escape_debug()),
                || json!({"event": "connected", "client": client, "path": path}),
            ),
            ServerEvent::Refused { client, why } => self.line(
                || format!("client {client} refused: {why}"),
                || json!({"event": "refused", "client": client, "why": why}),
            ),
            // One line a message would be more than anyone reads.
            ServerEvent::Received { .. } | ServerEvent::Delivered { .. } => {}
            ServerEvent::SessionBegan { session, id } => self.line(
                || format!("session {session} began"),
                || json!({"event": "session-began", "session": session, "id": id}),
            ),
            ServerEvent::SessionEnded { session } => self.line(
                || format!("session {session} ended"),
                || json!({"event": "session-ended", "session": session}),
            ),
            ServerEvent::Disconnected { client, code } => self.line(
                || format!("client {client} disconnected ({code})"),
                || json!({"event": "disconnected", "client": client, "code": code}),
            ),
        }
    }

    fn message(&self, tapped: &Tapped<'_>) {
        let Tapped { session, id, number, payload } = tapped;
        let (kind, content) = match payload {
            Payload::Text(text) => ("text", text.clone()),
            Payload::Binary(bytes) => ("binary", bytes.iter().map(|byte| format!("{byte:02x}")).collect()),
        };
        let place = || format!("session {session}, message {number}: {}", content.escape_debug());
        let event = || json!({"event": "message", "session": session, "id": id, "number": number, "kind": kind, "content": content});
        self.line(place, event);
    }

    fn line(&self, human: impl Fn() -> String, machine: impl Fn() -> serde_json::Value) {
        let line = match self.json {
            true => machine().to_string(),
            false => human(),
        };
        // Whoever reads this may have left; that is no reason to stop serving.
        let _ = writeln!(std::io::stderr(), "{line}");
    }
}
