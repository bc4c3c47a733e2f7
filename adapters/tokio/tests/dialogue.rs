//! Requests and channels over real sockets, as async calls and streams.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may be blunt")]

use std::time::Duration;

use everlink::acceptor::SessionId;
use everlink::link::Input;
use everlink::requests::code;
use everlink::wire::Wire;
use everlink::wire::native::{Form, Limits};
use everlink_tokio::server::{Event, Handler, Options, Server, Session, serve};
use everlink_tokio::{
    Ask, Client, Config, Failed, Heard, Messages, Subscription, Target, connect, connect_with,
};
use tokio::net::TcpListener;
use tokio::time::timeout;

/// Nothing here waits for longer than this.
const SOON: Duration = Duration::from_secs(20);

/// Adds, refuses to subscribe to secrets, publishes what it is given, and asks its client when it is told to.
struct Host;

impl Handler for Host {
    async fn session(&self, mut session: Session) {
        while let Some(event) = session.recv().await {
            match event {
                Event::Request(asked) => match (asked.form, asked.name.as_str()) {
                    (_, "echo") => {
                        let words = asked.content.text().unwrap().to_owned();
                        asked.respond(words.as_str()).await.unwrap();
                    }
                    (_, "fail") => asked.reject(7, "on purpose").await.unwrap(),
                    (Form::Event, "ask me") => {
                        let peer = session.peer();
                        tokio::spawn(async move {
                            let answer = peer.request(&Ask::query("who", "")).await;
                            let words = match &answer {
                                Ok(answer) => answer.text().unwrap().to_owned(),
                                Err(error) => error.to_string(),
                            };
                            peer.send(everlink_tokio::Message::text(words)).unwrap();
                        });
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
                _ => {}
            }
        }
    }
}

async fn pair() -> (Server, Client, Messages) {
    pair_with(64).await
}

/// With room for so many at the client.
async fn pair_with(inbound: usize) -> (Server, Client, Messages) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = serve(listener, Host, Options::default()).unwrap();
    let config = Config { wire: Wire::Native(Limits::default()), ..Config::default() };
    let target = Target::new(&format!("ws://{}", server.local_addr())).unwrap();
    let source = move |_| {
        let target = target.clone();
        async move { Ok(target) }
    };
    let options = everlink_tokio::Options { config, inbound, ..Default::default() };
    let (client, messages) = connect_with(source, options).unwrap();
    (server, client, messages)
}

async fn hear(subscription: &mut Subscription) -> Heard {
    timeout(SOON, subscription.recv()).await.expect("something is heard").expect("it goes on")
}

fn published(heard: &Heard) -> &str {
    let Heard::Published(received) = heard else { panic!("{heard:?}") };
    received.text().unwrap()
}

#[tokio::test]
async fn a_request_is_an_async_call() {
    let (_server, client, _messages) = pair().await;
    let answer = timeout(SOON, client.request(&Ask::query("echo", "hello"))).await.unwrap().unwrap();
    assert_eq!(answer.text(), Some("hello"));
    let failed = timeout(SOON, client.request(&Ask::command("fail", ""))).await.unwrap();
    assert_eq!(failed, Err(Failed::Error { code: 7, reason: "on purpose".into() }));
    let unhandled = timeout(SOON, client.request(&Ask::command("what?", ""))).await.unwrap();
    assert_eq!(unhandled, Err(Failed::Error { code: code::UNHANDLED, reason: "nobody answers this".into() }));
}

#[tokio::test]
async fn a_hundred_requests_at_once_are_answered_each_to_its_own() {
    let (_server, client, _messages) = pair().await;
    let calls = (0..50).map(|number: u32| {
        let client = client.clone();
        tokio::spawn(async move {
            let words = number.to_string();
            let answer = client.request(&Ask::query("echo", words.as_str())).await.unwrap();
            assert_eq!(answer.text(), Some(&*words));
        })
    });
    for call in calls.collect::<Vec<_>>() {
        timeout(SOON, call).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_server_asks_its_client() {
    let (_server, client, mut messages) = pair().await;
    // Nobody listens yet.
    client.event("ask me", "").unwrap();
    let words = timeout(SOON, messages.recv()).await.unwrap().unwrap();
    assert_eq!(words.text(), Some("error 4110: nobody answers here"));
    let mut asks = client.asks();
    tokio::spawn(async move {
        while let Some(asked) = asks.recv().await {
            asked.respond("a client").unwrap();
        }
    });
    client.event("ask me", "").unwrap();
    let words = timeout(SOON, messages.recv()).await.unwrap().unwrap();
    assert_eq!(words.text(), Some("a client"));
}

#[tokio::test]
async fn a_subscription_is_a_stream() {
    let (server, client, _messages) = pair().await;
    let mut news = client.subscribe("news").unwrap();
    assert_eq!(hear(&mut news).await, Heard::Subscribed { gap: false });
    server.broadcast("news", "one").unwrap();
    timeout(SOON, client.publish("news", "two")).await.unwrap().unwrap();
    assert_eq!(published(&hear(&mut news).await), "one");
    assert_eq!(published(&hear(&mut news).await), "two");
    let mut secrets = client.subscribe("secrets").unwrap();
    assert_eq!(hear(&mut secrets).await, Heard::Refused { code: 9, reason: "not yours".into() });
    assert_eq!(timeout(SOON, secrets.recv()).await.unwrap(), None);
    drop(news);
    // The channel is left: it may be subscribed to again.
    let mut news = client.subscribe("news").unwrap();
    assert_eq!(hear(&mut news).await, Heard::Subscribed { gap: false });
}

#[tokio::test]
async fn what_the_server_says_to_all_is_heard_without_a_subscription() {
    let (server, client, _messages) = pair_with(4).await;
    timeout(SOON, client.request(&Ask::query("echo", ""))).await.unwrap().unwrap();
    server.broadcast("system", "for nobody").unwrap();
    timeout(SOON, client.request(&Ask::query("echo", ""))).await.unwrap().unwrap();
    let mut system = client.system();
    server.broadcast("system", "one").unwrap();
    assert_eq!(published(&hear(&mut system).await), "one");
    let mut second = client.system();
    assert_eq!(timeout(SOON, system.recv()).await.unwrap(), None, "another listens");
    drop(system);
    // More than there is room for.
    for number in 0..80 {
        server.broadcast("system", number.to_string().as_str()).unwrap();
    }
    for number in 0..80 {
        assert_eq!(published(&hear(&mut second).await), number.to_string());
    }
    assert_eq!(
        client.subscribe("system").unwrap_err(),
        Failed::Subscription(everlink::channels::RefusedReason::System)
    );
    client.close(Duration::ZERO).await;
    assert_eq!(timeout(SOON, second.recv()).await.unwrap(), None);
}

#[tokio::test]
async fn in_another_session_the_gap_on_the_system_channel_is_told() {
    let (server, client, _messages) = pair().await;
    let mut system = client.system();
    let session = async |before: Option<SessionId>| {
        while server.peers().first().is_none_or(|peer| Some(peer.id()) == before) {
            tokio::task::yield_now().await;
        }
        server.peers()[0].id()
    };
    let first = timeout(SOON, session(None)).await.unwrap();
    server.broadcast("system", "one").unwrap();
    assert_eq!(published(&hear(&mut system).await), "one", "the first session has no gap before it");
    client.tell(Input::Stop { linger: Duration::ZERO });
    client.tell(Input::Start);
    timeout(SOON, session(Some(first))).await.unwrap();
    server.broadcast("system", "two").unwrap();
    assert_eq!(hear(&mut system).await, Heard::Subscribed { gap: true });
    assert_eq!(published(&hear(&mut system).await), "two");
}

#[tokio::test]
async fn what_waits_for_an_answer_ends_with_the_connection() {
    let (_server, client, _messages) = pair().await;
    timeout(SOON, client.request(&Ask::query("echo", ""))).await.unwrap().unwrap();
    let other = client.clone();
    let waiting = tokio::spawn(async move { other.request(&Ask::command("ask nobody", "")).await });
    client.close(Duration::ZERO).await;
    let ended = timeout(SOON, waiting).await.unwrap().unwrap();
    assert!(ended.is_err(), "{ended:?}");
}

#[tokio::test]
async fn on_another_wire_there_is_no_dialogue() {
    let (client, _messages) = connect("ws://127.0.0.1:9", Config::default()).unwrap();
    let refused = client.request(&Ask::query("echo", "")).await;
    assert_eq!(refused, Err(Failed::Refused(everlink::dialogue::Refused::NoDialogue)));
}
