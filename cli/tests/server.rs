//! The server as a part of a program, as the demonstration uses it.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use everlink_cli::serve::{Mode, Payload, ServeOptions, Server, ServerEvent};
use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

const SOON: Duration = Duration::from_secs(20);

type Client = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn start(addr: &str, options: ServeOptions) -> (Server, mpsc::Receiver<ServerEvent>) {
    Server::start(TcpListener::bind(addr).await.unwrap(), options).unwrap()
}

async fn connect(addr: SocketAddr) -> Client {
    timeout(SOON, connect_async(format!("ws://{addr}/path?query"))).await.unwrap().unwrap().0
}

async fn next(events: &mut mpsc::Receiver<ServerEvent>) -> Option<ServerEvent> {
    timeout(SOON, events.recv()).await.expect("an event, or the end")
}

/// Everything that comes until the client's connection ends, the error of a dead one included.
async fn rest(client: &mut Client) -> Vec<Result<Message, String>> {
    let rest = async {
        let mut got = Vec::new();
        while let Some(item) = client.next().await {
            got.push(item.map_err(|error| error.to_string()));
        }
        got
    };
    timeout(SOON, rest).await.expect("the connection ends")
}

#[tokio::test]
async fn what_happens_is_observed_in_order() {
    let (server, mut events) = start("127.0.0.1:0", ServeOptions::default()).await;
    let mut client = connect(server.local_addr()).await;
    client.send(Message::text("one")).await.unwrap();
    client.send(Message::binary(vec![2])).await.unwrap();
    client.close(None).await.unwrap();
    let path = "/path".to_owned();
    assert_eq!(next(&mut events).await, Some(ServerEvent::Connected { client: 1, path }));
    for wanted in [Payload::Text("one".to_owned()), Payload::Binary(vec![2])] {
        match next(&mut events).await {
            Some(ServerEvent::Received { client: 1, payload, .. }) => assert_eq!(payload, wanted),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(next(&mut events).await, Some(ServerEvent::Disconnected { client: 1, code: 1005 }));
    server.stop(1001).await;
    assert_eq!(next(&mut events).await, None);
}

#[tokio::test]
async fn after_a_stop_the_port_is_free_and_clients_were_told() {
    let (server, mut events) = start("127.0.0.1:0", ServeOptions::default()).await;
    let addr = server.local_addr();
    let mut client = connect(addr).await;
    next(&mut events).await;
    let (told, ()) = tokio::join!(rest(&mut client), server.stop(1012));
    match &told[..] {
        [Ok(Message::Close(Some(frame)))] => assert_eq!(u16::from(frame.code), 1012),
        other => panic!("{other:?}"),
    }
    assert_eq!(next(&mut events).await, Some(ServerEvent::Disconnected { client: 1, code: 1012 }));
    let (again, _events) = start(&addr.to_string(), ServeOptions::default()).await;
    connect(again.local_addr()).await;
}

#[tokio::test]
async fn after_a_kill_the_port_is_free_and_nobody_was_told() {
    let (server, mut events) = start("127.0.0.1:0", ServeOptions::default()).await;
    let addr = server.local_addr();
    let mut client = connect(addr).await;
    next(&mut events).await;
    server.kill().await;
    let told = rest(&mut client).await;
    assert!(!told.iter().any(Result::is_ok), "{told:?}");
    assert_eq!(next(&mut events).await, None);
    let (again, _events) = start(&addr.to_string(), ServeOptions::default()).await;
    connect(again.local_addr()).await;
}

#[tokio::test]
async fn a_dropped_server_and_a_dropped_observer_harm_nobody() {
    let (server, events) = start("127.0.0.1:0", ServeOptions::default()).await;
    drop(events);
    let mut client = connect(server.local_addr()).await;
    client.send(Message::text("unobserved")).await.unwrap();
    let echo = timeout(SOON, client.next()).await.unwrap().unwrap().unwrap();
    assert_eq!(echo, Message::text("unobserved"));
    drop(server);
    rest(&mut client).await;
}

#[tokio::test]
async fn a_burst_to_willing_consumers_costs_nobody_the_connection() {
    let options = ServeOptions { mode: Mode::Broadcast, queue_messages: 64, ..ServeOptions::default() };
    let (server, mut events) = start("127.0.0.1:0", options).await;
    let observer = tokio::spawn(async move { while events.recv().await.is_some() {} });
    let (mut write, mut read) = connect(server.local_addr()).await.split();
    let writing = async {
        for n in 0..5000 {
            write.feed(Message::text(n.to_string())).await.unwrap();
        }
        write.flush().await.unwrap();
    };
    let reading = async {
        for n in 0..5000 {
            let message = timeout(SOON, read.next()).await.unwrap().unwrap().unwrap();
            assert_eq!(message, Message::text(n.to_string()));
        }
    };
    tokio::join!(writing, reading);
    drop((write, read));
    server.stop(1001).await;
    observer.await.unwrap();
}

#[tokio::test]
async fn an_option_of_zero_is_refused_by_name() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let options = ServeOptions { interval: Duration::ZERO, ..ServeOptions::default() };
    let error = Server::start(listener, options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(error.to_string(), "interval must not be zero");
}
