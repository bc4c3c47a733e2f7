//! Sessions without a listener, for a program that does the opening handshakes itself.

use std::sync::Arc;

use everlink::peer::Counts;
use everlink::ws::handshake::Upgrade;
use std::net::SocketAddr;

use super::carrier::{Carrier, Speech};
use super::hub::{Hub, Stage};
use super::{Caller, Handler, Options, Peer, Stop};
use crate::Error;
use crate::pipe::Duplex;
use crate::ws::WebSocket;

/// The sessions of a server that accepts its sockets itself and speaks other wires, too: what is in a socket whose
/// client offers [`SUBPROTOCOL`](everlink::wire::native::SUBPROTOCOL) is handed to [`carry`](Host::carry). Of the options those
/// about listening, TLS and the handshake are the caller's to heed. Dropping it drops all sockets and sessions at once.
#[derive(Debug)]
pub struct Host<H> {
    hub: Arc<Hub>,
    handler: Arc<H>,
}

impl<H: Handler> Host<H> {
    /// No session yet, or those of [`Options::state`]. Call it inside a tokio runtime.
    ///
    /// # Errors
    /// If the configuration cannot work, or the file of the state cannot be used.
    pub fn new(handler: H, options: &Options) -> Result<Host<H>, Error> {
        let handler = Arc::new(handler);
        Ok(Host { hub: Hub::open(&handler, options)?, handler })
    }

    /// Carries a socket on which the sub-protocol of the native wire was selected, to its end. Dropping the future drops the
    /// socket without a word; its session stays.
    pub async fn carry(&self, caller: Caller, socket: WebSocket<impl Duplex + 'static>) {
        self.carry_speech(caller, socket, Speech::Native).await;
    }

    /// As [`carry`](Host::carry), for a socket on which the [JSON wire](super::Speaks::Json) is spoken. Its session ends with it.
    pub async fn carry_json(&self, caller: Caller, socket: WebSocket<impl Duplex + 'static>) {
        self.carry_speech(caller, socket, Speech::Json).await;
    }

    async fn carry_speech(&self, caller: Caller, socket: WebSocket<impl Duplex + 'static>, speech: Speech) {
        let (_counted, _) = self.hub.sockets.enter();
        let (bytes, socket) = socket.into_parts();
        let (hub, handler) = (self.hub.clone(), self.handler.clone());
        let carrier = Carrier::new(hub, handler, caller, Box::new(bytes), socket, speech);
        tokio::select! {
            () = carrier.run() => {}
            () = self.hub.reached(Stage::Over) => {}
        }
    }

    /// The sessions that there are, on a socket or not.
    #[must_use]
    pub fn peers(&self) -> Vec<Peer> {
        self.hub.peers()
    }

    /// As [`Server::stop`](super::Server::stop).
    pub async fn stop(&self, stop: Stop) -> Counts {
        self.hub.stop(stop).await
    }
}

impl Caller {
    /// Who asks for this upgrade, from this address.
    #[must_use]
    pub fn of(from: SocketAddr, upgrade: &Upgrade<'_>) -> Caller {
        Caller::new(from, &everlink::ws::handshake::Incoming::Upgrade(*upgrade))
    }
}

impl<H> Drop for Host<H> {
    fn drop(&mut self) {
        self.hub.stage.send_replace(Stage::Over);
    }
}
