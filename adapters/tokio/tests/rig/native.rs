//! Both ends on the native wire: a server that writes down what it sees, and clients, one of them made by hand.

use std::sync::Arc;

use everlink::wire::Wire;
use everlink::wire::native::{Announced, Credentials, Envelope, Hello, Item, Limits, Reader, Token, VERSION};
use everlink_tokio::server::{
    self, Caller, Event, Handler, Peer, Principal, Rejection, Server, Session, SessionId, serve,
};
use everlink_tokio::ws::{self, WebSocket};
use everlink_tokio::{Config, Kind, Message, Received, Target};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};

use super::{ms, quick, soon};

/// What a server has seen.
#[derive(Clone, Debug)]
pub enum Seen {
    Began(Peer),
    Message(SessionId, String),
    Renewed(Vec<u8>),
    Ended(SessionId),
}

/// Writes down what it sees. `ann` and `bob` may come in.
pub struct Scribe {
    seen: mpsc::UnboundedSender<Seen>,
    /// Sends every message back.
    pub echo: bool,
    /// Takes a permit for each message.
    pub gate: Arc<Semaphore>,
}

impl Scribe {
    pub fn new() -> (Scribe, mpsc::UnboundedReceiver<Seen>) {
        let (seen, all) = mpsc::unbounded_channel();
        (Scribe { seen, echo: false, gate: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)) }, all)
    }

    fn tell(&self, seen: Seen) {
        // The test may have seen enough.
        let _ = self.seen.send(seen);
    }
}

impl Handler for Scribe {
    async fn authenticate(&self, _: &Caller, hello: &server::Hello) -> Result<Principal, Rejection> {
        match hello.credentials.reveal() {
            b"" => Ok(Principal::ANYONE),
            b"ann" => Ok(Principal::new(1)),
            b"bob" => Ok(Principal::new(2)),
            b"never" => std::future::pending().await,
            _ => Err(Rejection::unauthenticated("nobody knows you")),
        }
    }

    async fn session(&self, mut session: Session) {
        self.tell(Seen::Began(session.peer()));
        while let Some(event) = session.recv().await {
            match event {
                Event::Message(received) => {
                    self.gate.acquire().await.expect("the gate stays").forget();
                    let text = received.text().expect("a text").to_owned();
                    if self.echo {
                        drop(session.send_waiting(Message::text(text.clone())).await);
                    }
                    self.tell(Seen::Message(session.id(), text));
                }
                Event::Credentials(credentials) => self.tell(Seen::Renewed(credentials.reveal().to_vec())),
                _ => {}
            }
        }
        self.tell(Seen::Ended(session.id()));
    }
}

/// A server under observation.
pub struct Served {
    pub server: Server,
    pub seen: mpsc::UnboundedReceiver<Seen>,
}

impl Served {
    pub async fn new(options: server::Options) -> Served {
        Served::with(options, |_| ()).await
    }

    pub async fn with(options: server::Options, change: impl FnOnce(&mut Scribe)) -> Served {
        Served::at("127.0.0.1:0", options, change).await
    }

    pub async fn at(addr: &str, options: server::Options, change: impl FnOnce(&mut Scribe)) -> Served {
        let (mut scribe, seen) = Scribe::new();
        change(&mut scribe);
        let server = serve(TcpListener::bind(addr).await.unwrap(), scribe, options).unwrap();
        Served { server, seen }
    }

    pub fn url(&self) -> String {
        format!("ws://{}/", self.server.local_addr())
    }

    #[track_caller]
    pub fn see<T>(&mut self, mut wanted: impl FnMut(Seen) -> Option<T>) -> impl Future<Output = T> {
        soon(async move {
            loop {
                let seen = self.seen.recv().await.expect("the server lives");
                if let Some(found) = wanted(seen) {
                    return found;
                }
            }
        })
    }

    #[track_caller]
    pub fn began(&mut self) -> impl Future<Output = Peer> {
        self.see(|seen| match seen {
            Seen::Began(peer) => Some(peer),
            _ => None,
        })
    }

    #[track_caller]
    pub fn message(&mut self) -> impl Future<Output = String> {
        self.see(|seen| match seen {
            Seen::Message(_, text) => Some(text),
            _ => None,
        })
    }

    #[track_caller]
    pub fn ended(&mut self) -> impl Future<Output = SessionId> {
        self.see(|seen| match seen {
            Seen::Ended(session) => Some(session),
            _ => None,
        })
    }
}

/// The server's default, at the speed of a loopback.
pub fn brisk() -> server::Options {
    let mut options = server::Options::default();
    options.config.acceptor.close_timeout = ms(500);
    options.config.delivery.ack_delay = ms(5);
    options
}

/// The client's, on the native wire.
pub fn native(mut config: Config) -> Config {
    config.wire = Wire::Native(Limits::default());
    config.delivery.ack_delay = ms(5);
    config
}

pub fn quick_native() -> Config {
    native(quick())
}

/// A client's end of the native wire by hand.
pub struct Hand(pub WebSocket<Box<dyn ws::Duplex>>);

impl Hand {
    pub async fn connect(url: &str) -> Hand {
        let target = Target::new(url).unwrap().protocols(&["everlink.v1"]).unwrap();
        Hand(soon(ws::connect(&target, None, ws::Options::default())).await.unwrap())
    }

    pub async fn say(&mut self, envelope: Envelope<'_>) {
        let mut frame = [0; 512];
        let len = envelope.encode(&mut frame).unwrap();
        soon(self.0.send(Kind::Binary, &frame[..len])).await.unwrap();
    }

    pub async fn hello(&mut self, attempt: u32, token: &[u8], credentials: &[u8]) {
        let announced = Announced { envelope: 1 << 16, window: 16, window_bytes: 1 << 16 };
        self.say(Envelope::Hello(Hello {
            version: VERSION,
            attempt,
            received: 0,
            announced,
            token: Token::new(token),
            credentials: Credentials::new(credentials),
        }))
        .await;
    }

    /// The next thing that `wanted` makes something of; `None` when the socket is closed.
    pub async fn hear<T>(&mut self, mut wanted: impl FnMut(&Envelope<'_>) -> Option<T>) -> Option<T> {
        soon(async {
            loop {
                let ws::Event::Message { data, .. } = self.0.next().await? else { continue };
                let limits = Limits::default();
                for item in Reader::new(data, &limits) {
                    if let Item::Envelope(envelope) = item.expect("the server speaks well")
                        && let Some(found) = wanted(&envelope)
                    {
                        return Some(found);
                    }
                }
            }
        })
        .await
    }

    /// Whether the session went on, and its token.
    pub async fn welcome(&mut self) -> (bool, Vec<u8>) {
        let welcome = self.hear(|envelope| match envelope {
            Envelope::Welcome(welcome) => Some((welcome.resumed, welcome.token.reveal().to_vec())),
            _ => None,
        });
        welcome.await.expect("a welcome")
    }

    /// Code, time to stay away in ms, and reason.
    pub async fn goodbye(&mut self) -> (u16, u32, String) {
        let goodbye = self.hear(|envelope| match envelope {
            Envelope::Goodbye(goodbye) => {
                Some((goodbye.code, goodbye.retry_after, goodbye.reason.to_owned()))
            }
            _ => None,
        });
        goodbye.await.expect("a goodbye")
    }

    /// The code of the close frame at the end.
    pub async fn end(mut self) -> u16 {
        soon(self.0.end()).await;
        self.0.ending().0
    }
}

pub fn text(received: &Received) -> &str {
    received.text().expect("a text")
}
