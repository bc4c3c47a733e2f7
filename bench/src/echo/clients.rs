//! Clients that send bursts and take what comes back, each as its documentation has it.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;

use bytes::Bytes;
use everlink::outbox::Kind;
use everlink_tokio::ws::{Event, Options, WebSocket, connect_over};
use everlink_tokio::{Config, Message, Target, connect};
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::load::{Traffic, ask};

/// Asked for a number of bursts, does them, and says so.
pub type Work = (mpsc::UnboundedReceiver<u64>, std::sync::mpsc::Sender<()>);

type Working = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The name of each, and how it works.
pub const ALL: [(&str, fn(SocketAddr, Traffic, Work) -> Working); 6] = [
    ("everlink", |addr, traffic, work| Box::pin(everlink_ws(addr, traffic, work))),
    ("everlink-link", |addr, traffic, work| Box::pin(everlink_link(addr, traffic, work))),
    ("tokio-tungstenite", |addr, traffic, work| Box::pin(tungstenite(addr, traffic, work, None))),
    ("tokio-tungstenite-4k", |addr, traffic, work| Box::pin(tungstenite(addr, traffic, work, Some(4 << 10)))),
    ("fastwebsockets", |addr, traffic, work| Box::pin(fastwebsockets(addr, traffic, work))),
    ("tokio-websockets", |addr, traffic, work| Box::pin(tokio_websockets(addr, traffic, work))),
];

async fn tcp(addr: SocketAddr) -> TcpStream {
    let tcp = TcpStream::connect(addr).await.expect("a server");
    tcp.set_nodelay(true).expect("an option");
    tcp
}

async fn everlink_ws(addr: SocketAddr, traffic: Traffic, (mut asked, done): Work) {
    let target = Target::new(&format!("ws://{addr}/")).expect("a target");
    let opened = connect_over(tcp(addr).await, &target, &Options::default()).await;
    let (mut socket, payload): (WebSocket<TcpStream>, _) = (opened.expect("a server"), traffic.payload());
    while let Some(bursts) = asked.recv().await {
        for _ in 0..bursts {
            for _ in 0..traffic.burst {
                socket.feed(Kind::Binary, &payload).await.expect("it is open");
            }
            let mut left = traffic.burst;
            while left > 0 {
                if let Event::Message { data, .. } = socket.next().await.expect("it is open") {
                    assert_eq!(data.len(), traffic.size);
                    left -= 1;
                }
            }
        }
        let _ = done.send(());
    }
}

async fn everlink_link(addr: SocketAddr, traffic: Traffic, (mut asked, done): Work) {
    let mut config = Config::default();
    config.outbox.bytes = config.outbox.bytes.max((2 * traffic.size * traffic.burst) as u32);
    let (client, mut messages) = connect(&format!("ws://{addr}/"), config).expect("a target");
    let payload = Bytes::from(traffic.payload());
    while let Some(bursts) = asked.recv().await {
        for _ in 0..bursts {
            let burst = (0..traffic.burst).map(|_| Message::binary(payload.clone()));
            client.send_all(burst).expect("there is room");
            for _ in 0..traffic.burst {
                let received = messages.recv().await.expect("it lives on");
                assert_eq!(received.data.len(), traffic.size);
            }
        }
        let _ = done.send(());
    }
}

async fn tungstenite(addr: SocketAddr, traffic: Traffic, (mut asked, done): Work, buffer: Option<usize>) {
    use tokio_tungstenite::{WebSocketStream, tungstenite::Message, tungstenite::protocol};
    let mut tcp = tcp(addr).await;
    ask(&mut tcp).await;
    let config = buffer.map(|bytes| protocol::WebSocketConfig::default().read_buffer_size(bytes));
    let mut socket = WebSocketStream::from_raw_socket(tcp, protocol::Role::Client, config).await;
    let payload = Bytes::from(traffic.payload());
    while let Some(bursts) = asked.recv().await {
        for _ in 0..bursts {
            for _ in 0..traffic.burst {
                socket.feed(Message::Binary(payload.clone())).await.expect("it is open");
            }
            socket.flush().await.expect("it is open");
            for _ in 0..traffic.burst {
                let message = socket.next().await.expect("it is open").expect("a message");
                assert_eq!(message.len(), traffic.size);
            }
        }
        let _ = done.send(());
    }
}

async fn tokio_websockets(addr: SocketAddr, traffic: Traffic, (mut asked, done): Work) {
    use ::tokio_websockets::{ClientBuilder, Message};
    let mut tcp = tcp(addr).await;
    ask(&mut tcp).await;
    let mut socket = ClientBuilder::new().take_over(tcp);
    let payload = Bytes::from(traffic.payload());
    while let Some(bursts) = asked.recv().await {
        for _ in 0..bursts {
            for _ in 0..traffic.burst {
                socket.feed(Message::binary(payload.clone())).await.expect("it is open");
            }
            socket.flush().await.expect("it is open");
            for _ in 0..traffic.burst {
                let message = socket.next().await.expect("it is open").expect("a message");
                assert_eq!(message.as_payload().len(), traffic.size);
            }
        }
        let _ = done.send(());
    }
}

/// Masks in place, so each message is a copy.
async fn fastwebsockets(addr: SocketAddr, traffic: Traffic, (mut asked, done): Work) {
    use ::fastwebsockets::{Frame, Payload, Role, WebSocket};
    let mut tcp = tcp(addr).await;
    ask(&mut tcp).await;
    let mut socket = WebSocket::after_handshake(tcp, Role::Client);
    let (payload, mut copy) = (traffic.payload(), traffic.payload());
    while let Some(bursts) = asked.recv().await {
        for _ in 0..bursts {
            for _ in 0..traffic.burst {
                copy.copy_from_slice(&payload);
                let frame = Frame::binary(Payload::BorrowedMut(&mut copy));
                socket.write_frame(frame).await.expect("it is open");
            }
            for _ in 0..traffic.burst {
                let frame = socket.read_frame().await.expect("it is open");
                assert_eq!(frame.payload.len(), traffic.size);
            }
        }
        let _ = done.send(());
    }
}
