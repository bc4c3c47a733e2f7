//! What the tests connect with and to: a client under observation, and servers that do as they are told.
#![allow(dead_code, reason = "each test binary uses its part")]

pub mod native;

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use everlink::link::State;
use everlink::time::Instant;
use everlink_cli::serve::{ServeOptions, Server, ServerEvent};
use everlink_tokio::{
    Action, Bytes, Client, Config, Kind, Messages, Notice, Options, Received, Status, Target, connect_with,
};
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message as Ws;

/// How long anything may take.
pub const SOON: Duration = Duration::from_secs(20);

pub const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// The default, at the speed of a loopback.
pub fn quick() -> Config {
    let mut config = Config {
        open_timeout: Duration::from_secs(5),
        close_timeout: ms(500),
        stall_after: ms(200),
        ..Config::default()
    };
    config.backoff.base = ms(10);
    config.backoff.cap = ms(50);
    config.backoff.attempts = None;
    config.backoff.restart_spread_min = ms(20);
    config.backoff.restart_spread_max = ms(40);
    config
}

/// Pings that come quickly, and give up quickly.
pub fn nervous() -> Config {
    let mut config = quick();
    config.heartbeat.interval = ms(100);
    config.heartbeat.timeout = ms(150);
    config.heartbeat.min_timeout = ms(150);
    config.heartbeat.early = Some(ms(50));
    config
}

/// A directory that is gone with the test.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("everlink-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[track_caller]
pub fn soon<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let caller = std::panic::Location::caller();
    async move {
        match tokio::time::timeout(SOON, future).await {
            Ok(output) => output,
            Err(_) => panic!("it takes too long: {caller}"),
        }
    }
}

/// A client under observation.
pub struct Rig {
    pub client: Client,
    pub messages: Messages,
    pub notices: mpsc::UnboundedReceiver<(Instant, Notice)>,
}

impl Rig {
    pub fn new(addr: SocketAddr, config: Config) -> Rig {
        Rig::to(&format!("ws://{addr}/"), config)
    }

    pub fn to(url: &str, config: Config) -> Rig {
        Rig::with(url, Options { config, ..Options::default() })
    }

    pub fn with(url: &str, options: Options) -> Rig {
        let target = Target::new(url).unwrap();
        Rig::from_source(
            move |_| {
                let target = target.clone();
                async move { Ok(target) }
            },
            options,
        )
    }

    pub fn from_source<S, F>(source: S, options: Options) -> Rig
    where
        S: FnMut(u32) -> F + Send + 'static,
        F: Future<Output = Result<Target, Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
    {
        let (tell, notices) = mpsc::unbounded_channel();
        let observer = move |now, notice: &Notice| drop(tell.send((now, notice.clone())));
        let options = Options { observer: Some(Box::new(observer)), ..options };
        let (client, messages) = connect_with(source, options).unwrap();
        Rig { client, messages, notices }
    }

    /// Waits for a notice that `wanted` makes something of.
    #[track_caller]
    pub fn notice<T>(&mut self, mut wanted: impl FnMut(&Notice) -> Option<T>) -> impl Future<Output = T> {
        soon(async move {
            loop {
                let (_, notice) = self.notices.recv().await.expect("the task lives");
                if let Some(found) = wanted(&notice) {
                    return found;
                }
            }
        })
    }

    #[track_caller]
    pub fn action<T>(&mut self, mut wanted: impl FnMut(&Action) -> Option<T>) -> impl Future<Output = T> {
        self.notice(move |notice| match notice {
            Notice::Action(action) => wanted(action),
            _ => None,
        })
    }

    #[track_caller]
    pub fn status(&mut self, wanted: Status) -> impl Future<Output = ()> {
        self.action(move |action| matches!(action, Action::Status { to, .. } if *to == wanted).then_some(()))
    }

    #[track_caller]
    pub fn state(&self, wanted: impl FnMut(&State) -> bool) -> impl Future<Output = State> {
        let mut watch = self.client.watch_state();
        soon(async move { *watch.wait_for(wanted).await.expect("the task lives") })
    }

    #[track_caller]
    pub fn receive(&mut self) -> impl Future<Output = Received> {
        soon(async { self.messages.recv().await.expect("the task lives") })
    }

    #[track_caller]
    pub fn text(&mut self) -> impl Future<Output = String> {
        let received = self.receive();
        async { received.await.text().expect("a text").to_owned() }
    }
}

pub fn binary(data: &'static [u8]) -> Received {
    Received { kind: Kind::Binary, data: Bytes::from_static(data), number: 0 }
}

/// The server of the cli.
pub async fn serve(options: ServeOptions) -> (Server, mpsc::Receiver<ServerEvent>) {
    serve_at("127.0.0.1:0", options).await
}

pub async fn serve_at(addr: &str, options: ServeOptions) -> (Server, mpsc::Receiver<ServerEvent>) {
    Server::start(TcpListener::bind(addr).await.unwrap(), options).unwrap()
}

#[track_caller]
pub fn event<T>(
    events: &mut mpsc::Receiver<ServerEvent>,
    mut wanted: impl FnMut(ServerEvent) -> Option<T>,
) -> impl Future<Output = T> {
    soon(async move {
        loop {
            if let Some(found) = wanted(events.recv().await.expect("the server lives")) {
                return found;
            }
        }
    })
}

/// A server that is played by the test.
pub struct Stage(pub TcpListener);

impl Stage {
    pub async fn new() -> Stage {
        Stage(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    pub fn addr(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    #[track_caller]
    pub fn tcp(&self) -> impl Future<Output = TcpStream> {
        soon(async { self.0.accept().await.unwrap().0 })
    }

    /// Accepts a socket and the upgrade.
    pub async fn ws(&self) -> WebSocketStream<TcpStream> {
        soon(tokio_tungstenite::accept_async(self.tcp().await)).await.unwrap()
    }

    /// The same, with nothing between the test and the bytes.
    pub async fn wire(&self) -> Wire {
        Wire(self.ws().await.into_inner())
    }

    /// Reads the request and answers it literally.
    pub async fn http(&self, answer: &str) -> String {
        let mut tcp = self.tcp().await;
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(soon(tcp.read_u8()).await.unwrap());
        }
        tcp.write_all(answer.as_bytes()).await.unwrap();
        let _ = tcp.shutdown().await;
        let _ = soon(tcp.read_to_end(&mut Vec::new())).await;
        String::from_utf8(request).unwrap()
    }
}

/// The next data message.
#[track_caller]
pub fn next_data(ws: &mut WebSocketStream<TcpStream>) -> impl Future<Output = Ws> {
    soon(async {
        loop {
            let message = ws.next().await.expect("the socket is open").unwrap();
            if message.is_text() || message.is_binary() {
                return message;
            }
        }
    })
}

/// Reads on until the end, answering what the protocol wants answered; gives the close code.
pub async fn end_of(mut ws: WebSocketStream<TcpStream>) -> Option<u16> {
    let mut code = None;
    while let Some(Ok(message)) = soon(ws.next()).await {
        if let Ws::Close(frame) = message {
            code = frame.map(|frame| frame.code.into());
        }
    }
    let _ = ws.flush().await;
    code
}

/// A server's end of a WebSocket, byte by byte.
pub struct Wire(pub TcpStream);

impl Wire {
    pub async fn write(&mut self, bytes: &[u8]) {
        soon(self.0.write_all(bytes)).await.unwrap();
    }

    /// The next frame: opcode and payload, unmasked.
    pub async fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut head = [0; 2];
        soon(self.0.read_exact(&mut head)).await.ok()?;
        assert_eq!(head[1] & 0x80, 0x80, "clients mask");
        let len = match head[1] & 0x7F {
            126 => soon(self.0.read_u16()).await.ok()?.into(),
            127 => soon(self.0.read_u64()).await.ok()?,
            short => short.into(),
        };
        let mut mask = [0; 4];
        soon(self.0.read_exact(&mut mask)).await.ok()?;
        let mut payload = vec![0; usize::try_from(len).unwrap()];
        soon(self.0.read_exact(&mut payload)).await.ok()?;
        payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
        Some((head[0] & 0x0F, payload))
    }

    /// The next frame with this opcode.
    pub async fn frame_of(&mut self, opcode: u8) -> Vec<u8> {
        loop {
            let (found, payload) = self.frame().await.expect("the frame comes");
            if found == opcode {
                return payload;
            }
        }
    }

    /// The code of the close frame that comes, and that the client then waits for the end.
    pub async fn close_code(&mut self) -> Option<u16> {
        loop {
            if let (8, payload) = self.frame().await? {
                return Some(u16::from_be_bytes([payload[0], payload[1]]));
            }
        }
    }
}
