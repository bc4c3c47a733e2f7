//! A server keeps its limits, and says goodbye.

mod rig;

use std::sync::Arc;
use std::time::{Duration, Instant};

use everlink::peer::Slow;
use everlink::wire::native::Envelope;
use everlink_tokio::server::{Caller, Denial, Handler, Options, Session, Speaks, Stop, code, serve};
use everlink_tokio::ws::{self, WebSocket};
use everlink_tokio::{Kind, Message, Notice, Outcome, Status, Target};
use rig::native::{Hand, Served, brisk, quick_native};
use rig::{Rig, ms, soon};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// What a server answers to these bytes, until it hangs up.
async fn answer(served: &Served, request: &str) -> String {
    let mut tcp = TcpStream::connect(served.server.local_addr()).await.unwrap();
    tcp.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    soon(tcp.read_to_end(&mut answer)).await.unwrap();
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn who_does_not_ask_for_the_native_wire_is_refused_in_words() {
    let served = Served::new(brisk()).await;
    for (request, status) in [
        (format!("{REQUEST}\r\n"), "HTTP/1.1 400 "),
        (format!("{REQUEST}Sec-WebSocket-Protocol: mqtt\r\n\r\n"), "HTTP/1.1 400 "),
        ("GET /health HTTP/1.1\r\nHost: here\r\n\r\n".into(), "HTTP/1.1 426 "),
        ("SPDY\r\n\r\n".into(), "HTTP/1.1 400 "),
    ] {
        let answer = answer(&served, &request).await;
        assert!(answer.starts_with(status), "{request:?}: {answer:?}");
    }
}

#[tokio::test]
async fn a_handshake_has_to_end_in_time() {
    let served = Served::new(Options { handshake_timeout: ms(200), ..brisk() }).await;
    assert_eq!(answer(&served, REQUEST).await, "");
    soon(async {
        while served.server.connections() > 0 {
            tokio::task::yield_now().await
        }
    })
    .await;
}

#[tokio::test]
async fn a_hello_has_to_come_in_time() {
    let mut options = brisk();
    options.config.acceptor.hello_timeout = ms(100);
    let served = Served::new(options).await;
    let silent = Hand::connect(&served.url()).await;
    assert_eq!(silent.end().await, 1006);
}

#[tokio::test]
async fn a_decision_that_takes_too_long_is_told() {
    let mut options = brisk();
    options.config.acceptor.decision_timeout = ms(100);
    let served = Served::new(options).await;
    let mut hand = Hand::connect(&served.url()).await;
    hand.hello(1, b"", b"never").await;
    assert_eq!(hand.goodbye().await.0, code::TRY_LATER);
    assert_eq!(hand.end().await, code::TRY_LATER);
}

#[tokio::test]
async fn one_connection_too_many_is_told_to_come_later_and_comes() {
    let mut options = Options { max_connections: 1, ..brisk() };
    options.config.acceptor.retry_after = ms(1500);
    let served = Served::new(options).await;
    let first = Hand::connect(&served.url()).await;
    let refused = answer(&served, &format!("{REQUEST}Sec-WebSocket-Protocol: everlink.v1\r\n\r\n")).await;
    assert!(refused.starts_with("HTTP/1.1 503 "), "{refused:?}");
    assert!(refused.contains("\r\nRetry-After: 1\r\n"), "{refused:?}");
    drop(first);
    let mut rig = Rig::to(&served.url(), quick_native());
    rig.status(Status::Connected).await;
}

#[tokio::test]
async fn one_session_too_many_is_told_which_limit() {
    let mut options = brisk();
    options.config.acceptor.sessions.per_principal = 1;
    let served = Served::new(options).await;
    let mut first = Hand::connect(&served.url()).await;
    first.hello(1, b"", b"ann").await;
    first.welcome().await;
    let mut second = Hand::connect(&served.url()).await;
    second.hello(1, b"", b"ann").await;
    let told = second.goodbye().await;
    assert_eq!(told, (code::TOO_MANY, 5000, "too many sessions of one principal".into()));
    let mut other = Hand::connect(&served.url()).await;
    other.hello(1, b"", b"bob").await;
    other.welcome().await;
}

#[tokio::test]
async fn a_message_that_is_too_large_closes_with_1009() {
    let served = Served::new(Options { max_message: 1000, ..brisk() }).await;
    let mut hand = Hand::connect(&served.url()).await;
    hand.hello(1, b"", b"ann").await;
    hand.welcome().await;
    soon(hand.0.send(Kind::Binary, &[0; 1001])).await.unwrap();
    assert_eq!(hand.end().await, 1009);
}

#[tokio::test]
async fn a_handler_that_does_not_keep_up_is_waited_for_and_gets_everything() {
    let gate = Arc::new(Semaphore::new(0));
    let with = gate.clone();
    let mut served = Served::with(Options { inbound: 4, ..brisk() }, move |scribe| scribe.gate = with).await;
    let mut config = quick_native();
    config.outbox.messages = 1000;
    config.delivery.window = 1000;
    let rig = Rig::to(&served.url(), config);
    let peer = served.began().await;
    for number in 0..200 {
        rig.client.send(Message::text(format!("{number}{}", " ".repeat(4000)))).unwrap();
    }
    // It takes one, and the rest does not come in; the client's socket fills up, and it is not cut off for that.
    gate.add_permits(1);
    served.message().await;
    soon(async {
        while rig.client.report().counts.messages_sent.get() < 20 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(peer.is_connected());
    gate.add_permits(1000);
    for number in 1..200 {
        assert_eq!(served.message().await.trim_end(), number.to_string());
    }
    soon(rig.client.drained()).await;
    assert_eq!(served.server.counts().opened, 1);
}

#[tokio::test]
async fn a_client_that_does_not_keep_up_is_closed_with_a_code_that_says_so() {
    let mut options = brisk();
    options.config.slow = Slow::Close;
    options.config.outbox.policy = everlink::outbox::Policy::Refuse;
    options.config.outbox.messages = 4;
    let mut served = Served::new(options).await;
    let mut slow = Hand::connect(&served.url()).await;
    slow.hello(1, b"", b"ann").await;
    slow.welcome().await;
    let peer = served.began().await;
    let mut receipts = Vec::new();
    let refused = loop {
        match peer.send_tracked(Message::text("more")) {
            Ok(receipt) => receipts.push(receipt),
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, everlink_tokio::Error::Refused(_)), "{refused}");
    assert_eq!(receipts.len(), 4);
    assert_eq!(slow.goodbye().await.0, code::TOO_SLOW);
    served.ended().await;
    for receipt in receipts {
        assert!(matches!(soon(receipt).await, Outcome::Stopped | Outcome::InDoubt));
    }
    assert_eq!(served.server.counts().too_slow, 1);
}

#[tokio::test]
async fn a_server_that_stops_says_when_to_come_back_and_waits_for_its_handlers() {
    let mut served = Served::new(brisk()).await;
    let mut rig = Rig::to(&served.url(), quick_native());
    rig.status(Status::Connected).await;
    let peer = served.began().await;
    let last = peer.send_tracked(Message::text("the last")).unwrap();
    let addr = served.server.local_addr();
    let stop = Stop { retry_after: ms(300), linger: Duration::from_secs(5), ..Stop::default() };
    let counts = soon(served.server.stop(stop)).await;
    assert_eq!((counts.opened, counts.ended), (1, 0));
    assert_eq!(rig.text().await, "the last");
    assert_eq!(soon(last).await, Outcome::Acknowledged);
    let told = rig.notice(|notice| match notice {
        Notice::Goodbye { code, retry_after, .. } => Some((*code, *retry_after)),
        _ => None,
    });
    assert_eq!(told.await, (code::RESTART, Some(ms(300))));
    let stopped = Instant::now();
    // The port is free, the handler has returned, and the client comes back, not before it was asked to.
    let ended = std::iter::from_fn(|| served.seen.try_recv().ok())
        .any(|seen| matches!(seen, rig::native::Seen::Ended(_)));
    assert!(ended);
    let mut again = Served::at(&addr.to_string(), brisk(), |_| ()).await;
    again.began().await;
    assert!(stopped.elapsed() >= ms(250), "{:?}", stopped.elapsed());
}

#[tokio::test]
async fn a_server_stops_in_time_whatever_clients_do() {
    let mut options = brisk();
    options.config.acceptor.close_timeout = ms(200);
    let served = Served::new(options).await;
    let _no_request = TcpStream::connect(served.server.local_addr()).await.unwrap();
    let _no_hello = Hand::connect(&served.url()).await;
    let mut undecided = Hand::connect(&served.url()).await;
    undecided.hello(1, b"", b"never").await;
    let mut deaf = Hand::connect(&served.url()).await;
    deaf.hello(1, b"", b"ann").await;
    deaf.welcome().await;
    soon(served.server.stop(Stop::default())).await;
}

/// Speaks what the client prefers.
struct Polyglot;

impl Handler for Polyglot {
    async fn admit(&self, caller: &Caller) -> Result<Speaks, Denial> {
        if caller.target() != "/room" {
            return Err(Denial::new(404, "no such room").header("X-Rooms", "room"));
        }
        let json = caller.protocols().any(|name| name == "json");
        Ok(caller.native().unwrap_or(Speaks::Plain(json.then(|| "json".into()))))
    }

    async fn session(&self, session: Session) {
        drop(session.send(Message::text("native")));
        // For as long as the session.
        let mut session = session;
        while session.recv().await.is_some() {}
    }

    async fn plain(&self, caller: Caller, mut socket: WebSocket<Box<dyn ws::Duplex>>) {
        let words = if caller.protocols().count() > 0 { "json" } else { "raw" };
        let _ = socket.send(Kind::Text, words.as_bytes()).await;
        socket.close(None, "");
        socket.end().await;
    }
}

#[tokio::test]
async fn one_port_speaks_what_the_client_asks_for() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = serve(listener, Polyglot, brisk()).unwrap();
    let url = format!("ws://{}/room", server.local_addr());
    let mut rig = Rig::to(&url, quick_native());
    assert_eq!(rig.text().await, "native");
    for (protocols, words) in [(&["json"][..], "json"), (&[], "raw")] {
        let target = Target::new(&url).unwrap().protocols(protocols).unwrap();
        let mut socket = soon(ws::connect(&target, None, ws::Options::default())).await.unwrap();
        let said = soon(socket.next()).await.map(|event| format!("{event:?}"));
        let expected = ws::Event::Message { kind: Kind::Text, data: words.as_bytes() };
        assert_eq!(said, Some(format!("{expected:?}")));
        soon(socket.end()).await;
    }
    let elsewhere = Target::new(&url.replace("room", "elsewhere")).unwrap();
    let error = soon(ws::connect(&elsewhere, None, ws::Options::default())).await.err().expect("a refusal");
    assert_eq!(error.to_string(), "HTTP 404 instead of 101");
}

#[tokio::test]
async fn a_panic_of_a_handler_ends_its_session_and_nothing_else() {
    struct Fragile;
    impl Handler for Fragile {
        async fn session(&self, mut session: Session) {
            session.recv().await;
            panic!("for the test");
        }
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = serve(listener, Fragile, brisk()).unwrap();
    let mut hand = Hand::connect(&format!("ws://{}/", server.local_addr())).await;
    hand.hello(1, b"", b"ann").await;
    hand.welcome().await;
    hand.say(Envelope::Message { kind: Kind::Text, data: b"x" }).await;
    assert_eq!(hand.goodbye().await.0, code::NORMAL);
    let mut other = Hand::connect(&format!("ws://{}/", server.local_addr())).await;
    other.hello(1, b"", b"").await;
    other.welcome().await;
}
