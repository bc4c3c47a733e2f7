//! Clients on the JSON wire at a server: requests, channels, messages, as those on the native one have them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may be blunt")]

use std::time::Duration;

use everlink::wire::native::Limits;
use everlink::wire::{Wire, json, native};
use everlink_tokio::server::{
    Caller, Denial, Event, Handler, Hello, Options, Principal, Rejection, Server, Session, Speaks, serve,
};
use everlink_tokio::{Ask, Client, Config, Failed, Heard, Message, Messages, Outcome, connect};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message as Ws;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

/// Nothing here waits for longer than this.
const SOON: Duration = Duration::from_secs(20);

/// Echoes, refuses to subscribe to secrets, publishes what it is given, asks its clients, and tells what it sees.
struct Host {
    /// Whether clients that offer no sub-protocol are taken for ones that speak JSON.
    all: bool,
    seen: mpsc::UnboundedSender<String>,
}

impl Handler for Host {
    async fn admit(&self, caller: &Caller) -> Result<Speaks, Denial> {
        let offered = caller.native().or(caller.json());
        offered.or(self.all.then_some(Speaks::Json)).ok_or(Denial::new(400, "no"))
    }

    async fn authenticate(&self, _: &Caller, hello: &Hello) -> Result<Principal, Rejection> {
        let who = String::from_utf8_lossy(hello.credentials.reveal()).into_owned();
        self.seen.send(format!("credentials {who}")).unwrap();
        if who.contains("wrong") {
            return Err(Rejection::unauthenticated("who are you?"));
        }
        Ok(Principal::ANYONE)
    }

    async fn session(&self, mut session: Session) {
        while let Some(event) = session.recv().await {
            match event {
                Event::Request(asked) => match asked.name.as_str() {
                    "echo" => {
                        let words = asked.content.text().unwrap().to_owned();
                        asked.respond(words.as_str()).await.unwrap();
                    }
                    "fail" => asked.reject(7, "on \"purpose\"").await.unwrap(),
                    "ask me" => {
                        let (peer, seen) = (session.peer(), self.seen.clone());
                        tokio::spawn(async move {
                            let answer = peer.request(&Ask::query("who", "")).await;
                            seen.send(format!("answer {:?}", answer.unwrap().text())).unwrap();
                        });
                    }
                    "say" => {
                        let sent = session.send_tracked(Message::text("not JSON")).unwrap();
                        let seen = self.seen.clone();
                        tokio::spawn(async move { seen.send(format!("sent {:?}", sent.await)).unwrap() });
                    }
                    _ => drop(asked),
                },
                Event::Subscribe(wish) if wish.channel == "secrets" => {
                    wish.refuse(9, "not yours").await.unwrap()
                }
                Event::Subscribe(wish) => wish.accept().await.unwrap(),
                Event::Publish(publish) => {
                    session.broadcast(&publish.channel, publish.content.text().unwrap()).unwrap();
                    publish.confirm().await.unwrap();
                }
                Event::Message(message) => {
                    self.seen.send(format!("message {}", message.text().unwrap())).unwrap()
                }
                Event::Credentials(credentials) => {
                    self.seen
                        .send(format!("renewed {}", String::from_utf8_lossy(credentials.reveal())))
                        .unwrap();
                }
                _ => {}
            }
        }
        self.seen.send("over".into()).unwrap();
    }
}

type Seen = mpsc::UnboundedReceiver<String>;

async fn host(all: bool) -> (Server, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (sender, seen) = mpsc::unbounded_channel();
    let mut options = Options::default();
    options.config.outbox.policy = everlink::outbox::Policy::Refuse;
    options.config.acceptor.hello_timeout = Duration::from_secs(2);
    (serve(listener, Host { all, seen: sender }, options).unwrap(), seen)
}

async fn see(seen: &mut Seen) -> String {
    timeout(SOON, seen.recv()).await.unwrap().unwrap()
}

fn client(server: &Server, wire: Wire) -> (Client, Messages) {
    connect(&format!("ws://{}", server.local_addr()), Config { wire, ..Config::default() }).unwrap()
}

/// A client that knows nothing but JSON texts.
struct Plain(WebSocketStream<TcpStream>);

impl Plain {
    async fn connect(server: &Server, protocol: Option<&str>) -> Plain {
        let mut request = format!("ws://{}", server.local_addr()).into_client_request().unwrap();
        if let Some(protocol) = protocol {
            request.headers_mut().insert("sec-websocket-protocol", protocol.parse().unwrap());
        }
        let tcp = TcpStream::connect(server.local_addr()).await.unwrap();
        Plain(tokio_tungstenite::client_async(request, tcp).await.unwrap().0)
    }

    async fn say(&mut self, message: Value) {
        self.0.send(Ws::text(message.to_string())).await.unwrap();
    }

    async fn hear(&mut self) -> Value {
        loop {
            match timeout(SOON, self.0.next()).await.unwrap().unwrap().unwrap() {
                Ws::Text(text) => {
                    return serde_json::from_str(&text).unwrap_or(Value::String(text.to_string()));
                }
                Ws::Close(close) => return json!({"closed": close.map(|close| u16::from(close.code))}),
                _ => {}
            }
        }
    }
}

#[tokio::test]
async fn both_ends_are_this_crate_on_the_json_wire() {
    let (server, mut seen) = host(false).await;
    let (client, mut messages) = client(&server, Wire::Json(json::Config::default()));
    let answer = timeout(SOON, client.request(&Ask::query("echo", r#"{"n":1}"#))).await.unwrap().unwrap();
    assert_eq!(answer.text(), Some(r#"{"n":1}"#));
    let failed = timeout(SOON, client.request(&Ask::command("fail", ""))).await.unwrap();
    assert_eq!(failed, Err(Failed::Error { code: 0, reason: "on \"purpose\"".into() }));
    assert_eq!(see(&mut seen).await, "credentials ");
    client.event("ask me", "").unwrap();
    let mut asks = client.asks();
    timeout(SOON, asks.recv()).await.unwrap().unwrap().respond(r#""a client""#).unwrap();
    assert_eq!(see(&mut seen).await, r#"answer Some("\"a client\"")"#);
    client.event("say", "").unwrap();
    assert_eq!(see(&mut seen).await, "sent Written", "nobody says that it has arrived");
    // It is no message of the wire, but it is what the application said.
    drop(messages.recv());
    let mut news = client.subscribe("news").unwrap();
    assert_eq!(timeout(SOON, news.recv()).await.unwrap(), Some(Heard::Subscribed { gap: false }));
    timeout(SOON, client.publish("news", "[1]")).await.unwrap().unwrap();
    let Some(Heard::Published(received)) = timeout(SOON, news.recv()).await.unwrap() else {
        panic!("published")
    };
    assert_eq!(received.text(), Some("[1]"));
    let mut secrets = client.subscribe("secrets").unwrap();
    let refused = Heard::Refused { code: 0, reason: "not yours".into() };
    assert_eq!(timeout(SOON, secrets.recv()).await.unwrap(), Some(refused));
    let sent = client.send_tracked(Message::text(r#"{"type":"cursor","id":"c"}"#)).unwrap();
    assert_eq!(timeout(SOON, sent).await.unwrap(), Outcome::Written);
    assert_eq!(see(&mut seen).await, r#"message {"type":"cursor","id":"c"}"#);
    assert_eq!(server.peers().len(), 1);
    // Nothing that is to be said again holds it up.
    timeout(Duration::from_secs(5), client.close(Duration::ZERO)).await.unwrap();
    assert_eq!(see(&mut seen).await, "over");
    assert!(server.peers().is_empty(), "the session ends with its socket");
}

#[tokio::test]
async fn one_channel_spans_both_wires() {
    let (server, _seen) = host(false).await;
    let (native, _messages) = client(&server, Wire::Native(Limits::default()));
    let (json, _others) = client(&server, Wire::Json(json::Config::default()));
    let (mut first, mut second) = (native.subscribe("news").unwrap(), json.subscribe("news").unwrap());
    assert_eq!(timeout(SOON, first.recv()).await.unwrap(), Some(Heard::Subscribed { gap: false }));
    assert_eq!(timeout(SOON, second.recv()).await.unwrap(), Some(Heard::Subscribed { gap: false }));
    timeout(SOON, native.publish("news", "what a \"day\"")).await.unwrap().unwrap();
    let Some(Heard::Published(one)) = timeout(SOON, first.recv()).await.unwrap() else { panic!("published") };
    let Some(Heard::Published(two)) = timeout(SOON, second.recv()).await.unwrap() else {
        panic!("published")
    };
    assert_eq!((one.text(), two.text()), (Some("what a \"day\""), Some(r#""what a \"day\"""#)));
}

#[tokio::test]
async fn a_client_that_knows_nothing_but_json_is_served() {
    let (server, mut seen) = host(true).await;
    let mut plain = Plain::connect(&server, None).await;
    plain.say(json!({"id": "k1", "type": "auth", "timestamp": 1, "payload": {"token": "abc"}})).await;
    assert_eq!(see(&mut seen).await, r#"credentials {"token":"abc"}"#);
    plain.say(json!({"type": "ping"})).await;
    assert_eq!(plain.hear().await, json!({"type": "pong"}));
    plain.say(json!({"id": "k2", "type": "query", "payload": {"resource": "echo", "parameters": [1]}})).await;
    let answer = plain.hear().await;
    assert_eq!(
        (&answer["type"], &answer["requestId"], &answer["payload"]),
        (&json!("response"), &json!("k2"), &json!([1]))
    );
    assert!(
        answer["timestamp"].as_u64().unwrap() > 1_600_000_000_000 && answer["id"].is_string(),
        "{answer}"
    );
    plain.say(json!({"id": 7, "type": "command", "payload": {"action": "fail"}})).await;
    let error = plain.hear().await;
    assert_eq!(
        (&error["type"], &error["requestId"], &error["error"]),
        (&json!("error"), &json!(7), &json!("on \"purpose\""))
    );
    plain.say(json!({"action": "subscribe", "channel": "news"})).await;
    let confirm = json!({"channel": "system", "data": {"type": "subscription_confirm", "channel": "news"}});
    assert_eq!(plain.hear().await, confirm);
    plain.say(json!({"action": "publish", "channel": "news", "data": {"a": 1}})).await;
    assert_eq!(plain.hear().await, json!({"channel": "news", "data": {"a": 1}}));
    plain.say(json!({"action": "unsubscribe", "channel": "news"})).await;
    plain.say(json!({"action": "subscribe", "channel": "secrets"})).await;
    let refused =
        json!({"channel": "system", "data": {"type": "error", "message": "not yours", "channel": "secrets"}});
    assert_eq!(plain.hear().await, refused);
    server.broadcast("news", "1").unwrap();
    plain.say(json!({"id": "k3", "type": "auth", "payload": "again"})).await;
    assert_eq!(see(&mut seen).await, r#"renewed "again""#);
    plain.0.send(Ws::text("{\"type\":")).await.unwrap();
    let malformed =
        json!({"channel": "system", "data": {"type": "error", "message": "byte 8: it ends too soon"}});
    assert_eq!(plain.hear().await, malformed);
    plain.0.close(None).await.unwrap();
    assert_eq!(see(&mut seen).await, "over");
    assert_eq!((server.counts().malformed, server.counts().violations), (1, 0));
}

#[tokio::test]
async fn who_says_nothing_for_long_is_let_in_without_credentials() {
    let (server, mut seen) = host(false).await;
    let mut plain = Plain::connect(&server, Some(json::SUBPROTOCOL)).await;
    assert_eq!(see(&mut seen).await, "credentials ");
    while server.peers().is_empty() {
        tokio::task::yield_now().await;
    }
    server.broadcast("system", r#"{"type":"hello"}"#).unwrap();
    assert_eq!(plain.hear().await, json!({"channel": "system", "data": {"type": "hello"}}));
}

#[tokio::test]
async fn who_is_not_let_in_is_told_why_and_closed() {
    let (server, _seen) = host(false).await;
    let mut plain = Plain::connect(&server, Some(json::SUBPROTOCOL)).await;
    plain.say(json!({"id": "k1", "type": "auth", "payload": "wrong"})).await;
    let why = json!({"channel": "system", "data": {"type": "error", "message": "who are you?"}});
    assert_eq!(plain.hear().await, why);
    assert_eq!(plain.hear().await, json!({"closed": native::code::UNAUTHENTICATED}));
    assert!(server.peers().is_empty());
}

#[tokio::test]
async fn more_messages_than_a_window_arrive_in_order() {
    let (server, mut seen) = host(false).await;
    let mut plain = Plain::connect(&server, Some(json::SUBPROTOCOL)).await;
    plain.say(json!({"type": "ping"})).await;
    assert_eq!(see(&mut seen).await, "credentials ");
    assert_eq!(plain.hear().await, json!({"type": "pong"}));
    while server.peers().is_empty() {
        tokio::task::yield_now().await;
    }
    let peer = server.peers().pop().unwrap();
    tokio::spawn(async move {
        for number in 0..1000 {
            peer.send_waiting(Message::text(number.to_string())).await.unwrap();
        }
    });
    for number in 0..1000 {
        assert_eq!(plain.hear().await, json!(number));
    }
}
