//! Who knocks: TCP, TLS, the opening handshake; and what is spoken then.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use everlink::stream;
use everlink::wire::json;
use everlink::wire::native::SUBPROTOCOL;
use everlink::ws::handshake::{Acceptance, Incoming, Refusal};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsAcceptor;

use super::carrier::{Carrier, Speech};
use super::hub::{Hub, Stage, TURN_AWAY};
use super::{Caller, Denial, Handler, Options, Speaks};
use crate::open::prepare;
use crate::pipe::Duplex;
use crate::ws::{self, Asked};

/// How long to wait when no socket can be accepted: out of descriptors, mostly.
const BREATH: Duration = Duration::from_millis(50);

/// How many are told at once that there is no room. The others are dropped without a word.
const TURNED_AWAY: usize = 64;

pub(super) struct Door<H> {
    hub: Arc<Hub>,
    handler: Arc<H>,
    options: Options,
}

impl<H: Handler> Door<H> {
    pub(super) fn new(hub: Arc<Hub>, handler: Arc<H>, options: Options) -> Arc<Door<H>> {
        Arc::new(Door { hub, handler, options })
    }

    /// Accepts sockets until the server stops. The port is free when it ends.
    pub(super) async fn run(self: Arc<Door<H>>, listener: TcpListener) {
        let accepting = async {
            loop {
                match listener.accept().await {
                    Ok((tcp, from)) => self.clone().knock(tcp, from),
                    Err(_) => tokio::time::sleep(BREATH).await,
                }
            }
        };
        tokio::select! {
            () = accepting => {}
            () = self.hub.reached(Stage::Closing) => {}
        }
    }

    fn knock(self: Arc<Door<H>>, tcp: TcpStream, from: SocketAddr) {
        let (counted, count) = self.hub.sockets.enter();
        let room = self.options.max_connections;
        if count > room.saturating_add(TURNED_AWAY) {
            return;
        }
        tokio::spawn(async move {
            let _counted = counted;
            let hub = self.hub.clone();
            tokio::select! {
                () = self.open(tcp, from, count > room) => {}
                () = hub.reached(Stage::Over) => {}
            }
        });
    }

    /// One socket from its first byte to its last.
    async fn open(self: Arc<Door<H>>, tcp: TcpStream, from: SocketAddr, crowded: bool) {
        let hub = self.hub.clone();
        let opened = tokio::select! {
            opened = self.shake(tcp, from, crowded) => opened,
            () = hub.reached(Stage::Closing) => None,
        };
        let Some((caller, socket, speaks)) = opened else { return };
        match speaks {
            Speaks::Native | Speaks::Json => {
                let speech = if speaks == Speaks::Json { Speech::Json } else { Speech::Native };
                let (bytes, socket) = socket.into_parts();
                Carrier::new(hub, self.handler.clone(), caller, bytes, socket, speech).run().await;
            }
            Speaks::Plain(_) => self.handler.plain(caller, socket).await,
        }
    }

    /// The handshake; `None` if there is no socket.
    async fn shake(
        &self,
        tcp: TcpStream,
        from: SocketAddr,
        crowded: bool,
    ) -> Option<(Caller, ws::WebSocket<Box<dyn Duplex>>, Speaks)> {
        prepare(&tcp);
        let time = if crowded { TURN_AWAY } else { self.options.handshake_timeout };
        let until = Instant::now() + time;
        let bytes: Box<dyn Duplex> = match self.options.tls.clone() {
            None => Box::new(tcp),
            Some(tls) => {
                let mut bytes = timeout_at(until, TlsAcceptor::from(tls).accept(tcp)).await.ok()?.ok()?;
                // What TLS holds back counts as written: let it be little.
                bytes.get_mut().1.set_buffer_limit(Some(stream::ROOM));
                Box::new(bytes)
            }
        };
        let asked = ws::accept(bytes, self.ws_options(until.saturating_duration_since(Instant::now()))).await;
        let asked = asked.ok()?;
        let incoming = asked.request()?;
        let caller = Caller::new(from, &incoming);
        let upgrade = matches!(incoming, Incoming::Upgrade(_));
        let answer = match (crowded, upgrade) {
            (true, _) => Err(crowd(self.hub.lock().sessions.config().acceptor.retry_after)),
            (false, false) => Err(Denial::new(426, "a WebSocket is expected").header("Upgrade", "websocket")),
            (false, true) => timeout_at(until, self.handler.admit(&caller)).await.ok()?,
        };
        let speaks = match answer {
            Ok(speaks) => speaks,
            Err(denial) => {
                refuse(asked, &denial).await;
                return None;
            }
        };
        let protocol = match &speaks {
            Speaks::Native => Some(SUBPROTOCOL),
            // One that does not offer it knows no such name.
            Speaks::Json => caller.json().map(|_| json::SUBPROTOCOL),
            Speaks::Plain(protocol) => protocol.as_deref(),
        };
        let socket = asked.agree(&Acceptance { protocol, ..Acceptance::default() }).ok()?;
        Some((caller, socket, speaks))
    }

    fn ws_options(&self, handshake_timeout: Duration) -> ws::Options {
        let config = &self.options.config;
        let mut limits = stream::Config::default();
        limits.frames.frame = (self.options.max_message as u64).max(125);
        limits.frames.message = limits.frames.frame;
        limits.deflate = self.options.compression.clone();
        ws::Options {
            limits,
            max_send: (config.outbox.message_bytes as usize).saturating_add(HEAD),
            handshake_timeout,
            close_timeout: config.acceptor.close_timeout,
        }
    }
}

/// More than any head of an envelope.
const HEAD: usize = 1 << 10;

fn crowd(retry_after: Duration) -> Denial {
    Denial::new(503, "too many connections").header("Retry-After", retry_after.as_secs().max(1).to_string())
}

async fn refuse(asked: Asked<Box<dyn Duplex>>, denial: &Denial) {
    let headers: Vec<_> =
        denial.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let reason = http::StatusCode::from_u16(denial.status).ok().and_then(|status| status.canonical_reason());
    let refusal = Refusal {
        status: denial.status,
        reason: reason.unwrap_or(""),
        headers: &headers,
        body: denial.body.as_bytes(),
    };
    // What cannot be written is the application's mistake: the client sees the socket end.
    drop(asked.refuse(&refusal).await);
}
