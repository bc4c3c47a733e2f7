//! The JSON wire over real sockets: a client against a server that was written by hand, with another codec, and knows nothing but these
//! messages.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may be blunt")]

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use everlink::dialogue::Refused;
use everlink::wire::{Wire, json};
use everlink_tokio::{
    Ask, Client, Config, Failed, Heard, Kind, Message, Messages, Notice, Options, Outcome, Received, Target,
    connect_with,
};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message as Ws;

/// Nothing here waits for longer than this.
const SOON: Duration = Duration::from_secs(20);

/// What the test sees of the server, and does to it.
struct Server {
    url: String,
    /// Everything that came, of all sockets.
    came: Arc<Mutex<Vec<Value>>>,
    /// To all clients, as they are.
    says: tokio::sync::broadcast::Sender<String>,
    /// How often all sockets are to be cut.
    cuts: watch::Sender<u32>,
}

async fn serve() -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let (says, cuts) = (tokio::sync::broadcast::channel(64).0, watch::Sender::new(0));
    let server = Server { url, came: Arc::default(), says, cuts };
    let (came, says, cuts) = (server.came.clone(), server.says.clone(), server.cuts.subscribe());
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            tokio::spawn(carry(tcp, came.clone(), says.clone(), cuts.clone()));
        }
    });
    server
}

/// One client, as such servers treat it.
async fn carry(
    tcp: TcpStream,
    came: Arc<Mutex<Vec<Value>>>,
    says: tokio::sync::broadcast::Sender<String>,
    mut cuts: watch::Receiver<u32>,
) {
    let mut socket = tokio_tungstenite::accept_async(tcp).await.unwrap();
    let (mut channels, mut said) = (HashSet::new(), says.subscribe());
    cuts.mark_unchanged();
    loop {
        let text = tokio::select! {
            _ = cuts.changed() => return,
            Ok(text) = said.recv() => {
                let message: Value = serde_json::from_str(&text).unwrap_or_default();
                let hears = message["channel"].as_str().is_none_or(|name| name == "system" || channels.contains(name));
                if hears && socket.send(Ws::text(text)).await.is_err() {
                    return;
                }
                continue;
            }
            frame = socket.next() => match frame {
                Some(Ok(Ws::Text(text))) => text,
                Some(Ok(_)) => continue,
                Some(Err(_)) | None => return,
            },
        };
        let message: Value = serde_json::from_str(&text).unwrap();
        came.lock().unwrap().push(message.clone());
        let mut answers = Vec::new();
        match (message["type"].as_str(), message["action"].as_str()) {
            (Some("ping"), _) => answers.push(json!({"type": "pong"})),
            (Some("query" | "command"), _) => {
                let payload = &message["payload"];
                let answer = if payload["action"] == "fail" {
                    json!({"id": "e1", "type": "error", "requestId": message["id"], "error": "on \"purpose\""})
                } else if payload["resource"] == "nothing" {
                    continue;
                } else {
                    json!({"id": "r1", "type": "response", "timestamp": 1, "requestId": message["id"], "payload": payload["parameters"]})
                };
                answers.push(answer);
            }
            (_, Some("subscribe")) => {
                let channel = message["channel"].as_str().unwrap().to_owned();
                answers.push(json!({"channel": "system", "data": {"type": "subscription_confirm", "channel": channel}}));
                channels.insert(channel);
            }
            (_, Some("unsubscribe")) => drop(channels.remove(message["channel"].as_str().unwrap())),
            (_, Some("publish")) => {
                says.send(json!({"channel": message["channel"], "data": message["data"]}).to_string())
                    .unwrap();
            }
            _ => {}
        }
        for answer in answers {
            if socket.send(Ws::text(answer.to_string())).await.is_err() {
                return;
            }
        }
    }
}

fn connect(server: &Server) -> (Client, Messages, mpsc::UnboundedReceiver<Notice>) {
    let mut config = Config { wire: Wire::Json(json::Config { subprotocol: false }), ..Config::default() };
    config.backoff.base = Duration::from_millis(10);
    config.backoff.cap = Duration::from_millis(50);
    let (sender, notices) = mpsc::unbounded_channel();
    let observer = move |_, notice: &Notice| drop(sender.send(notice.clone()));
    let options = Options { config, observer: Some(Box::new(observer)), ..Options::default() };
    let target = Target::new(&server.url).unwrap().credentials(r#"{"token":"abc"}"#.as_bytes());
    let source = move |_| {
        let target = target.clone();
        async move { Ok(target) }
    };
    let (client, messages) = connect_with(source, options).unwrap();
    (client, messages, notices)
}

#[tokio::test]
async fn requests_are_async_calls() {
    let server = serve().await;
    let (client, _messages, _notices) = connect(&server);
    let answer = timeout(SOON, client.request(&Ask::query("echo", r#"{"n":[1]}"#))).await.unwrap().unwrap();
    assert_eq!(answer.text(), Some(r#"{"n":[1]}"#));
    let failed = timeout(SOON, client.request(&Ask::command("fail", ""))).await.unwrap();
    assert_eq!(failed, Err(Failed::Error { code: 0, reason: "on \"purpose\"".into() }));
    assert_eq!(failed.unwrap_err().to_string(), "on \"purpose\"");
    let refused = timeout(SOON, client.request(&Ask::query("echo", "no JSON"))).await.unwrap();
    assert_eq!(refused, Err(Failed::Refused(Refused::NotJson { at: 1 })));
    let hasty = Ask::query("nothing", "").within(Duration::from_millis(50));
    let late = timeout(SOON, client.request(&hasty)).await.unwrap();
    assert_eq!(late, Err(Failed::Ended(everlink::requests::End::TimedOut)));
    let came = server.came.lock().unwrap();
    assert_eq!(came[0]["type"], "auth");
    assert_eq!(came[0]["payload"], json!({"token": "abc"}));
    assert!(came[1]["timestamp"].as_u64().unwrap() > 1_600_000_000_000, "{}", came[1]);
}

#[tokio::test]
async fn a_subscription_outlives_its_socket_and_tells_the_gap() {
    let server = serve().await;
    let (client, mut messages, _notices) = connect(&server);
    let mut news = client.subscribe("news").unwrap();
    let mut heard = async || timeout(SOON, news.recv()).await.unwrap().unwrap();
    assert_eq!(heard().await, Heard::Subscribed { gap: false });
    timeout(SOON, client.publish("news", r#"{"a":1}"#)).await.unwrap().unwrap();
    let Heard::Published(received) = heard().await else { panic!("published") };
    assert_eq!(received.text(), Some(r#"{"a":1}"#));
    server.cuts.send_modify(|cuts| *cuts += 1);
    assert_eq!(heard().await, Heard::Subscribed { gap: true });
    server.says.send(r#"{"channel":"news","data":"two"}"#.into()).unwrap();
    let Heard::Published(received) = heard().await else { panic!("published") };
    assert_eq!(received.text(), Some(r#""two""#));
    // What is no part of a dialogue is a message, both ways.
    server.says.send(r#"{"type":"cursor","id":"c","payload":[1,2]}"#.into()).unwrap();
    let message = timeout(SOON, messages.recv()).await.unwrap().unwrap();
    assert_eq!(message.text(), Some(r#"{"type":"cursor","id":"c","payload":[1,2]}"#));
    let sent = client.send_tracked(Message::text(r#"{"type":"cursor","id":"d"}"#)).unwrap();
    assert_eq!(timeout(SOON, sent).await.unwrap(), Outcome::Written);
}

#[tokio::test]
async fn the_system_channel_needs_no_subscription_and_a_new_socket_is_a_gap() {
    let server = serve().await;
    let (client, _messages, _notices) = connect(&server);
    let mut system = client.system();
    let mut heard = async || timeout(SOON, system.recv()).await.unwrap().unwrap();
    let published =
        |data: &str| Heard::Published(Received { kind: Kind::Text, data: data.to_owned().into(), number: 0 });
    timeout(SOON, client.request(&Ask::query("echo", ""))).await.unwrap().unwrap();
    server.says.send(r#"{"channel":"system","data":{"type":"maintenance","at":[1]}}"#.into()).unwrap();
    assert_eq!(heard().await, published(r#"{"type":"maintenance","at":[1]}"#));
    server.cuts.send_modify(|cuts| *cuts += 1);
    assert_eq!(heard().await, Heard::Subscribed { gap: true }, "told before anything is said");
    // What is the link's own is not told twice.
    let mut news = client.subscribe("news").unwrap();
    assert_eq!(timeout(SOON, news.recv()).await.unwrap(), Some(Heard::Subscribed { gap: false }));
    server.says.send(r#"{"channel":"system","data":{"type":"error","message":"oh"}}"#.into()).unwrap();
    server.says.send(r#"{"channel":"system","data":7}"#.into()).unwrap();
    assert_eq!(heard().await, published("7"));
}

#[tokio::test]
async fn a_server_asks_and_is_answered_under_its_own_id() {
    let server = serve().await;
    let (client, _messages, _notices) = connect(&server);
    let mut asks = client.asks();
    timeout(SOON, client.request(&Ask::query("echo", ""))).await.unwrap().unwrap();
    server
        .says
        .send(r#"{"type":"query","id":"caf\u00e9","payload":{"resource":"who\n","parameters":7}}"#.into())
        .unwrap();
    let asked = timeout(SOON, asks.recv()).await.unwrap().unwrap();
    assert_eq!((asked.name.as_str(), asked.content.text()), ("who\n", Some("7")));
    asked.respond(r#""me""#).unwrap();
    let answered = async {
        loop {
            let found = server.came.lock().unwrap().iter().find(|came| came["type"] == "response").cloned();
            if let Some(found) = found {
                return found;
            }
            tokio::task::yield_now().await;
        }
    };
    let answer = timeout(SOON, answered).await.unwrap();
    assert_eq!((answer["requestId"].as_str(), answer["payload"].as_str()), (Some("café"), Some("me")));
}

#[tokio::test]
async fn what_is_malformed_is_told_and_the_connection_lives_on() {
    let server = serve().await;
    let (client, _messages, mut notices) = connect(&server);
    timeout(SOON, client.request(&Ask::query("echo", ""))).await.unwrap().unwrap();
    server.says.send(r#"{"type":"response","#.into()).unwrap();
    server.says.send(r#"{"channel":"system","data":{"type":"error","message":"oh"}}"#.into()).unwrap();
    let (mut malformed, mut complaint) = (None, None);
    while malformed.is_none() || complaint.is_none() {
        match timeout(SOON, notices.recv()).await.unwrap().unwrap() {
            Notice::Malformed { error, .. } => malformed = Some(error.to_string()),
            Notice::Complaint { reason, .. } => complaint = Some(reason),
            _ => {}
        }
    }
    assert_eq!(malformed.as_deref(), Some("byte 19: it ends too soon"));
    assert_eq!(complaint.as_deref(), Some("oh"));
    timeout(SOON, client.request(&Ask::query("echo", ""))).await.unwrap().unwrap();
    let report = client.report();
    assert_eq!((report.counts.malformed.get(), report.counts.connects.get()), (1, 1));
}

#[tokio::test]
async fn a_server_that_does_not_select_the_demanded_sub_protocol_is_left() {
    let server = serve().await;
    let mut config = Config { wire: Wire::Json(json::Config::default()), ..Config::default() };
    config.backoff.attempts = Some(1);
    config.backoff.base = Duration::from_millis(1);
    let (client, _messages) = everlink_tokio::connect(&server.url, config).unwrap();
    let mut state = client.watch_state();
    let failed = |state: &everlink_tokio::State| matches!(state, everlink_tokio::State::Failed { .. });
    timeout(SOON, state.wait_for(failed)).await.unwrap().unwrap();
    assert!(server.came.lock().unwrap().is_empty());
}
