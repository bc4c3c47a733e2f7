//! Servers that send back what they get, each as its documentation has it.

use std::future::Future;
use std::pin::Pin;

use everlink::outbox::Kind;
use everlink::ws::{Decoder, Encoder, Event as Decoded, Frame, Limits, Role};
use everlink_tokio::server::{Caller, Denial, Handler, Session, Speaks, serve};
use everlink_tokio::ws::{Event, Options, WebSocket, accept};
use futures_util::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::load::answer;

type Serving = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The name of each, and how it serves a listener.
pub const ALL: [(&str, fn(TcpListener) -> Serving); 7] = [
    ("everlink", |listener| Box::pin(each(listener, everlink_ws))),
    ("everlink-codec", |listener| Box::pin(each(listener, everlink_codec))),
    ("everlink-serve", |listener| Box::pin(everlink_serve(listener))),
    ("tokio-tungstenite", |listener| Box::pin(each(listener, |tcp| tungstenite(tcp, None)))),
    ("tokio-tungstenite-4k", |listener| Box::pin(each(listener, |tcp| tungstenite(tcp, Some(4 << 10))))),
    ("fastwebsockets", |listener| Box::pin(each(listener, fastwebsockets))),
    ("tokio-websockets", |listener| Box::pin(each(listener, tokio_websockets))),
];

async fn each<F: Future<Output = ()> + Send + 'static>(listener: TcpListener, echo: fn(TcpStream) -> F) {
    while let Ok((tcp, _)) = listener.accept().await {
        tcp.set_nodelay(true).expect("an option");
        tokio::spawn(echo(tcp));
    }
}

async fn everlink_ws(tcp: TcpStream) {
    let asked = accept(tcp, Options::default()).await.expect("a client");
    echo(asked.agree(&Default::default()).expect("an answer")).await;
}

async fn echo<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>(mut socket: WebSocket<S>) {
    while let Some((event, mut reply)) = socket.next_with_reply().await {
        if let Event::Message { kind, data } = event {
            reply.send(kind, data).expect("there is room");
        }
    }
}

/// Decoder and encoder with nothing around them: what an adapter costs is what it costs more than this.
async fn everlink_codec(mut tcp: TcpStream) {
    answer(&mut tcp).await;
    let (mut decoder, mut encoder) =
        (Decoder::new(Role::Server, Limits::default()), Encoder::new(Role::Server));
    let (mut room, mut filled, mut out) = (vec![0; 64 << 10], 0, vec![0; 128 << 10]);
    while let Ok(count @ 1..) = tcp.read(&mut room[filled..]).await {
        filled += count;
        let mut rest = &mut room[..filled];
        let mut written = 0;
        while let Some(event) = decoder.decode(&mut rest).expect("frames") {
            let frame = match &event {
                Decoded::Binary(payload) => Frame::message(Kind::Binary, payload),
                _ => panic!("nothing else is sent here"),
            };
            written += encoder.write(frame, None, &mut out[written..]).expect("there is room");
        }
        let left = rest.len();
        room.copy_within(filled - left..filled, 0);
        filled = left;
        tcp.write_all(&out[..written]).await.expect("a client");
    }
}

struct Plain;

impl Handler for Plain {
    async fn admit(&self, _: &Caller) -> Result<Speaks, Denial> {
        Ok(Speaks::Plain(None))
    }

    async fn session(&self, _: Session) {}

    async fn plain(&self, _: Caller, socket: WebSocket<Box<dyn everlink_tokio::ws::Duplex>>) {
        echo(socket).await;
    }
}

async fn everlink_serve(listener: TcpListener) {
    let server = serve(listener, Plain, Default::default()).expect("options that work");
    std::future::pending::<()>().await;
    drop(server);
}

/// Flushes when nothing more is there to be read.
async fn tungstenite(mut tcp: TcpStream, buffer: Option<usize>) {
    use tokio_tungstenite::{WebSocketStream, tungstenite::protocol};
    answer(&mut tcp).await;
    let config = buffer.map(|bytes| protocol::WebSocketConfig::default().read_buffer_size(bytes));
    let socket = WebSocketStream::from_raw_socket(tcp, protocol::Role::Server, config).await;
    let (sink, stream) = socket.split();
    let _ = stream.forward(sink).await;
}

async fn tokio_websockets(mut tcp: TcpStream) {
    answer(&mut tcp).await;
    let (sink, stream) = ::tokio_websockets::ServerBuilder::new().serve(tcp).split();
    let _ = stream.forward(sink).await;
}

/// Writes each frame at once. (A frame that is written as it was read has a mask, as if a client had sent it.)
async fn fastwebsockets(mut tcp: TcpStream) {
    use ::fastwebsockets::{Frame, Role, WebSocket};
    answer(&mut tcp).await;
    let mut socket = WebSocket::after_handshake(tcp, Role::Server);
    while let Ok(frame) = socket.read_frame().await {
        if socket.write_frame(Frame::binary(frame.payload)).await.is_err() {
            return;
        }
    }
}
