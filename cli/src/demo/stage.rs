//! Server and network of the demonstration, and what can be done to them.
//!
//! ```text
//! client process ──► relay (the network) ──► server, which may be gone for a while, always on the same port
//!                                              └──► what it received, with the time
//! ```

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::fault::Fault;
use crate::relay::Relay;
use crate::serve::{Mode, Payload, ServeOptions, Server, ServerEvent};

/// RFC 6455, section 7.4.1: an endpoint is going away.
const GOING_AWAY: u16 = 1001;
const ONE_WAY: Duration = Duration::from_millis(400);
const BYTES_PER_SECOND: u64 = 8000;

/// A line that a server received, and when.
pub(super) type Seen = (Instant, String);

#[derive(Debug)]
pub(super) struct Stage {
    server: Server,
    /// Passes on what it observes.
    observer: JoinHandle<()>,
    is_up: bool,
    addr: SocketAddr,
    relay: Relay,
}

impl Stage {
    /// A server and a relay before it on free ports of 127.0.0.1; what they observe can be read from the second value.
    pub(super) async fn open() -> anyhow::Result<(Stage, mpsc::UnboundedReceiver<Seen>)> {
        let (seen, observed) = mpsc::unbounded_channel();
        let (server, observer) = serve(seen).await.context("cannot start a server on 127.0.0.1")?;
        let addr = server.local_addr();
        let relay = Relay::start(addr).context("cannot start a relay on 127.0.0.1")?;
        Ok((Stage { server, observer, is_up: true, addr, relay }, observed))
    }

    /// Where the client connects.
    pub(super) fn url(&self) -> String {
        format!("ws://{}/drawing", self.relay.local_addr())
    }

    /// Begins a fault of the server or the network.
    pub(super) async fn begin(&mut self, fault: Fault) {
        match fault {
            Fault::Drop => self.relay.cut().await,
            Fault::Restart => {
                self.relay.refuse().await;
                self.server.vanish().await;
                self.is_up = false;
            }
            Fault::Slow => {
                self.relay.throttle(BYTES_PER_SECOND).await;
                self.relay.delay(ONE_WAY).await;
            }
            Fault::BlackHole => self.relay.stall().await,
            Fault::Suspend | Fault::Hold => {}
        }
    }

    /// Ends this fault of the server or the network.
    pub(super) async fn end(&mut self, fault: Fault) -> anyhow::Result<()> {
        if fault == Fault::BlackHole {
            // As after a change of network: the way is a new one, and what went into the hole is gone. Attempts to connect
            // wait in the kernel and are not cut.
            self.relay.cut().await;
        }
        self.heal().await
    }

    /// Ends whatever is wrong with the server and the network.
    pub(super) async fn heal(&mut self) -> anyhow::Result<()> {
        if !self.is_up {
            let listener = TcpListener::bind(self.addr)
                .await
                .with_context(|| format!("the server cannot listen on {} again", self.addr))?;
            self.server.come_back(listener).await;
            self.is_up = true;
        }
        self.relay.pass().await;
        Ok(())
    }

    /// Stops the server after all that is on its way to it.
    pub(super) async fn close(self) {
        self.server.stop(GOING_AWAY).await;
        let _ = timeout(Duration::from_secs(1), self.observer).await;
    }
}

/// A server, and the task that passes on what it observes.
async fn serve(seen: mpsc::UnboundedSender<Seen>) -> io::Result<(Server, JoinHandle<()>)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let options = ServeOptions {
        // A drawing goes to the others who look at it.
        mode: Mode::Others,
        close_timeout: Duration::from_secs(1),
        ..ServeOptions::default()
    };
    let (server, mut events) = Server::start(listener, options)?;
    let observer = tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            let (ServerEvent::Received { at, payload, .. } | ServerEvent::Delivered { at, payload, .. }) =
                event
            else {
                continue;
            };
            let line = match payload {
                Payload::Text(line) => line,
                Payload::Binary(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            };
            if seen.send((at, line)).is_err() {
                break;
            }
        }
    });
    Ok((server, observer))
}
