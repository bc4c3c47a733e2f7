//! `everlink serve` as a process, with real clients. Upper bounds of time are generous; nothing waits for a fixed time.

use std::process::{Output, Stdio};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

const SOON: Duration = Duration::from_secs(20);
const EVERLINK: &str = env!("CARGO_BIN_EXE_everlink");

type Client = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A server process on a free port.
struct Serve {
    process: Child,
    events: Lines<BufReader<ChildStderr>>,
    addr: String,
}

impl Serve {
    async fn start(flags: &str) -> Serve {
        let mut process = Command::new(EVERLINK)
            .args(["serve", "127.0.0.1:0", "--json"])
            .args(flags.split_whitespace())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let events = BufReader::new(process.stderr.take().unwrap()).lines();
        let mut serve = Serve { process, events, addr: String::new() };
        serve.addr = serve.event("listening").await["addr"].as_str().unwrap().to_owned();
        serve
    }

    /// The next event of this name.
    async fn event(&mut self, name: &str) -> Value {
        let wait = async {
            while let Some(line) = self.events.next_line().await.unwrap() {
                let event: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("no JSON: {line}"));
                if event["event"] == name {
                    return event;
                }
            }
            panic!("the server ended before {name}");
        };
        timeout(SOON, wait).await.unwrap_or_else(|_| panic!("no {name}"))
    }

    /// A client, once the server knows it.
    async fn client(&mut self) -> Client {
        let url = format!("ws://{}/room?token=secret", self.addr);
        let client = timeout(SOON, connect_async(url)).await.unwrap().unwrap().0;
        assert_eq!(self.event("connected").await["path"], "/room");
        client
    }

    async fn raw(&self) -> TcpStream {
        TcpStream::connect(&self.addr).await.unwrap()
    }

    async fn signal(&self, name: &str) {
        let pid = self.process.id().unwrap().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().await.unwrap().success());
    }

    async fn exit_code(&mut self) -> Option<i32> {
        timeout(SOON, self.process.wait()).await.expect("the server ends").unwrap().code()
    }
}

async fn say(client: &mut Client, text: &str) {
    client.send(Message::text(text)).await.unwrap();
}

/// The next message that is not a ping frame.
async fn hear(client: &mut Client) -> Message {
    let wait = async {
        loop {
            match client.next().await.expect("the connection lives").unwrap() {
                Message::Ping(_) => {}
                message => return message,
            }
        }
    };
    timeout(SOON, wait).await.expect("a message comes")
}

async fn expect(client: &mut Client, text: &str) {
    assert_eq!(hear(client).await, Message::text(text));
}

/// The code of the close frame that comes, whatever comes before it.
async fn close_code(client: &mut Client) -> u16 {
    let wait = async {
        while let Some(message) = client.next().await {
            if let Message::Close(frame) = message.unwrap() {
                return frame.expect("a close code").code.into();
            }
        }
        panic!("no close frame");
    };
    timeout(SOON, wait).await.expect("a close frame comes")
}

/// Proves that the server still serves others.
async fn still_serves(serve: &mut Serve) {
    let mut client = serve.client().await;
    say(&mut client, "still there?").await;
    expect(&mut client, "still there?").await;
}

async fn run(arguments: &[&str]) -> Output {
    let command = Command::new(EVERLINK).args(arguments).kill_on_drop(true).output();
    timeout(SOON, command).await.expect("it ends").unwrap()
}

#[tokio::test]
async fn an_echo_answers_its_sender_only() {
    let mut serve = Serve::start("--mode echo").await;
    let mut one = serve.client().await;
    let mut other = serve.client().await;
    say(&mut one, "text").await;
    expect(&mut one, "text").await;
    one.send(Message::binary(vec![1, 2, 3])).await.unwrap();
    assert_eq!(hear(&mut one).await, Message::binary(vec![1, 2, 3]));
    say(&mut other, "mine").await;
    expect(&mut other, "mine").await;
}

#[tokio::test]
async fn an_echo_of_a_burst_is_whole_and_in_order() {
    let mut serve = Serve::start("--mode echo --queue 8").await;
    let (mut write, mut read) = serve.client().await.split();
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
}

#[tokio::test]
async fn a_broadcast_goes_to_all_and_its_sender() {
    let mut serve = Serve::start("--mode broadcast").await;
    let mut clients = [serve.client().await, serve.client().await, serve.client().await];
    say(&mut clients[1], "hello").await;
    for client in &mut clients {
        expect(client, "hello").await;
    }
}

#[tokio::test]
async fn others_means_all_but_the_sender() {
    let mut serve = Serve::start("--mode others").await;
    let mut a = serve.client().await;
    let mut b = serve.client().await;
    let mut c = serve.client().await;
    say(&mut a, "from a").await;
    expect(&mut b, "from a").await;
    expect(&mut c, "from a").await;
    say(&mut b, "from b").await;
    expect(&mut a, "from b").await;
    expect(&mut c, "from b").await;
}

#[tokio::test]
async fn a_client_that_never_answers_is_dropped_and_others_stay() {
    let mut serve = Serve::start("--interval 300ms").await;
    let mut dead = serve.client().await;
    let mut live = serve.client().await;
    // `dead` is not read, so that it answers no ping.
    let dropped = tokio::select! {
        event = serve.event("disconnected") => event,
        message = hear(&mut live) => panic!("{message:?}"),
    };
    assert_eq!((&dropped["client"], &dropped["code"]), (&json!(1), &json!(1006)));
    say(&mut live, "alive").await;
    expect(&mut live, "alive").await;
    let end = timeout(SOON, async { while let Some(Ok(_)) = dead.next().await {} }).await;
    assert!(end.is_ok(), "the socket of the dropped client stayed open");
}

#[tokio::test]
async fn a_server_that_was_suspended_does_not_blame_its_clients() {
    let mut serve = Serve::start("--interval 300ms").await;
    let mut client = serve.client().await;
    assert!(matches!(timeout(SOON, client.next()).await, Ok(Some(Ok(Message::Ping(_))))));
    serve.signal("-STOP").await;
    // Answers the last ping while nobody reads.
    let nothing = timeout(Duration::from_secs(1), hear(&mut client)).await;
    assert!(nothing.is_err(), "{nothing:?}");
    serve.signal("-CONT").await;
    say(&mut client, "back?").await;
    expect(&mut client, "back?").await;
}

#[tokio::test]
async fn a_reader_of_the_log_that_leaves_does_not_end_the_server() {
    let mut serve = Serve::start("").await;
    let Serve { addr, events, .. } = &mut serve;
    *events =
        BufReader::new(Command::new("true").stderr(Stdio::piped()).spawn().unwrap().stderr.take().unwrap())
            .lines();
    for _ in 0..3 {
        let mut client = timeout(SOON, connect_async(format!("ws://{addr}"))).await.unwrap().unwrap().0;
        say(&mut client, "still there?").await;
        expect(&mut client, "still there?").await;
    }
}

#[tokio::test]
async fn without_a_heartbeat_nobody_is_pinged() {
    let mut serve = Serve::start("--heartbeat none --interval 1ms").await;
    let mut client = serve.client().await;
    for _ in 0..20 {
        say(&mut client, "x").await;
        assert_eq!(timeout(SOON, client.next()).await.unwrap().unwrap().unwrap(), Message::text("x"));
    }
}

#[tokio::test]
async fn a_byte_heartbeat_comes_is_answered_and_is_not_broadcast() {
    let mut serve = Serve::start("--mode broadcast --heartbeat byte --interval 300ms").await;
    let beat = Message::binary(vec![1]);
    let mut answers = serve.client().await;
    let mut dead = serve.client().await;
    // Pings that were answered for longer than a silent client lives.
    let mut answered = 0;
    let dropped = loop {
        tokio::select! {
            message = hear(&mut answers) => {
                assert_eq!(message, beat);
                answers.send(beat.clone()).await.unwrap();
                answered += 1;
            }
            event = serve.event("disconnected") => break event,
        }
    };
    assert_eq!(dropped["client"], 2);
    assert!(answered >= 1);
    // The other one got its pings and no pongs of the first: at most one frame a round.
    let mut heard = 0;
    while let Ok(Some(Ok(message))) = timeout(SOON, dead.next()).await {
        assert_eq!(message, beat);
        heard += 1;
    }
    assert!(heard <= 2, "{heard} heartbeats");
    say(&mut answers, "data").await;
    while hear(&mut answers).await != Message::text("data") {}
}

#[tokio::test]
async fn json_heartbeats_are_answered_and_not_broadcast() {
    let mut serve = Serve::start("--mode broadcast --heartbeat json --interval 300ms").await;
    let mut asks = serve.client().await;
    let mut other = serve.client().await;
    expect(&mut asks, r#"{"type":"ping"}"#).await;
    say(&mut asks, r#"{"type":"pong"}"#).await;
    say(&mut asks, r#"{ "type": "ping" }"#).await;
    while hear(&mut asks).await != Message::text(r#"{"type":"pong"}"#) {}
    say(&mut asks, r#"{"type":"pingpong"}"#).await;
    loop {
        match hear(&mut other).await {
            message if message == Message::text(r#"{"type":"ping"}"#) => {
                say(&mut other, r#"{"type":"pong"}"#).await;
            }
            message => {
                assert_eq!(message, Message::text(r#"{"type":"pingpong"}"#));
                break;
            }
        }
    }
}

#[tokio::test]
async fn an_interrupt_closes_clients_with_1001_and_exits_0() {
    for signal in ["-INT", "-TERM"] {
        let mut serve = Serve::start("").await;
        let mut one = serve.client().await;
        let mut other = serve.client().await;
        let _half_open = serve.raw().await;
        say(&mut one, "before").await;
        expect(&mut one, "before").await;
        serve.signal(signal).await;
        assert_eq!(close_code(&mut one).await, 1001);
        assert_eq!(close_code(&mut other).await, 1001);
        let _ = timeout(SOON, async { tokio::join!(one.next(), other.next()) }).await.expect("both end");
        assert_eq!(serve.event("disconnected").await["code"], 1001);
        assert_eq!(serve.event("disconnected").await["code"], 1001);
        serve.event("stopped").await;
        assert_eq!(serve.exit_code().await, Some(0));
    }
}

#[tokio::test]
async fn a_client_that_ignores_the_close_frame_does_not_hold_up_the_stop() {
    let mut serve = Serve::start("--close-timeout 300ms").await;
    let _deaf = serve.client().await;
    serve.signal("-INT").await;
    assert_eq!(serve.event("disconnected").await["code"], 1001);
    assert_eq!(serve.exit_code().await, Some(0));
}

#[tokio::test]
async fn a_close_is_answered_with_its_code() {
    let mut serve = Serve::start("").await;
    let mut client = serve.client().await;
    let frame = tokio_tungstenite::tungstenite::protocol::CloseFrame { code: 4321.into(), reason: "".into() };
    client.close(Some(frame)).await.unwrap();
    assert_eq!(close_code(&mut client).await, 4321);
    assert!(timeout(SOON, client.next()).await.expect("the server closes").is_none());
    assert_eq!(serve.event("disconnected").await["code"], 4321);
}

#[tokio::test]
async fn a_port_in_use_is_one_line_and_exit_1() {
    let serve = Serve::start("").await;
    let output = run(&["serve", &serve.addr]).await;
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.starts_with(&format!("everlink: cannot listen on {}: ", serve.addr)), "{text}");
    assert!(text.contains("in use"), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
}

#[tokio::test]
async fn a_bad_address_is_one_line_and_exit_1() {
    for addr in ["nonsense", "127.0.0.1:99999", "127.0.0.1", "300.0.0.1.:x"] {
        let output = run(&["serve", addr]).await;
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.starts_with(&format!("everlink: cannot listen on {addr}: ")), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
    }
}

#[tokio::test]
async fn a_wrong_flag_is_named_and_exits_2() {
    for (flag, value) in [
        ("--interval", "0s"),
        ("--interval", "10"),
        ("--mode", "shout"),
        ("--max-message", "0"),
        ("--queue", "many"),
    ] {
        let output = run(&["serve", "127.0.0.1:0", flag, value]).await;
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.starts_with("everlink: ") && text.contains(flag), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(!text.contains('\x1b'), "colour in a pipe: {text}");
    }
}

#[tokio::test]
async fn an_oversized_message_closes_its_sender_with_1009() {
    let mut serve = Serve::start("--max-message 1000").await;
    let mut other = serve.client().await;
    let mut client = serve.client().await;
    say(&mut client, &"x".repeat(1000)).await;
    expect(&mut client, &"x".repeat(1000)).await;
    say(&mut client, &"x".repeat(1001)).await;
    assert_eq!(close_code(&mut client).await, 1009);
    assert_eq!(serve.event("disconnected").await["code"], 1009);
    // Much of it is still on its way when the server has seen enough.
    let mut client = serve.client().await;
    let _ = client.send(Message::binary(vec![0; 8 << 20])).await;
    assert_eq!(close_code(&mut client).await, 1009);
    say(&mut other, "unharmed").await;
    expect(&mut other, "unharmed").await;
}

#[tokio::test]
async fn garbage_instead_of_a_handshake_is_refused() {
    let mut serve = Serve::start("").await;
    for garbage in [&b"\0\xff\x16\x03\x01 garbage\r\n\r\n"[..], b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"] {
        let mut socket = serve.raw().await;
        socket.write_all(garbage).await.unwrap();
        assert_eq!(serve.event("refused").await["why"], "not a WebSocket handshake");
        let mut answer = String::new();
        timeout(SOON, socket.read_to_string(&mut answer)).await.expect("it ends").unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    }
    still_serves(&mut serve).await;
}

#[tokio::test]
async fn garbage_after_the_handshake_closes_its_sender_with_1002() {
    let mut serve = Serve::start("").await;
    for garbage in
        [&[0xff; 64][..], &[0x81, 0x01, b'x'], &[0x83, 0x80, 0, 0, 0, 0], &[0x89, 0xfe, 0x00, 0x7f]]
    {
        let mut client = serve.client().await;
        let MaybeTlsStream::Plain(socket) = client.get_mut() else { panic!("no TLS here") };
        socket.write_all(garbage).await.unwrap();
        socket.write_all(&[0; 200]).await.unwrap();
        let code = close_code(&mut client).await;
        assert_eq!(code, 1002, "{garbage:02x?}");
    }
    let mut client = serve.client().await;
    let MaybeTlsStream::Plain(socket) = client.get_mut() else { panic!("no TLS here") };
    socket.write_all(&[0x81, 0x82, 0, 0, 0, 0, 0xc3, 0x28]).await.unwrap();
    assert_eq!(close_code(&mut client).await, 1007);
    still_serves(&mut serve).await;
}

#[tokio::test]
async fn a_handshake_that_is_never_finished_is_given_up() {
    let mut serve = Serve::start("--handshake-timeout 200ms").await;
    let mut socket = serve.raw().await;
    socket.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    assert_eq!(serve.event("refused").await["why"], "the handshake took too long");
    timeout(SOON, socket.read_to_end(&mut Vec::new())).await.expect("it ends").unwrap();
    still_serves(&mut serve).await;
}

#[tokio::test]
async fn one_client_too_many_gets_503_and_a_place_when_there_is_one() {
    let mut serve = Serve::start("--max-connections 1").await;
    let mut first = serve.client().await;
    match connect_async(format!("ws://{}", serve.addr)).await {
        Err(Error::Http(response)) => assert_eq!(response.status(), 503),
        other => panic!("{other:?}"),
    }
    first.close(None).await.unwrap();
    while let Some(Ok(_)) = first.next().await {}
    serve.event("disconnected").await;
    still_serves(&mut serve).await;
}

#[tokio::test]
async fn a_slow_consumer_is_closed_with_1013_and_the_others_get_everything() {
    let mut serve = Serve::start("--mode others --queue 16 --heartbeat none --close-timeout 500ms").await;
    let mut slow = serve.client().await;
    let mut quick = serve.client().await;
    let mut sender = serve.client().await;
    let text = "x".repeat(200_000);
    // One at a time, so that only the one that does not read at all can fall behind.
    let mut sent = 0;
    let closed = loop {
        say(&mut sender, &text).await;
        sent += 1;
        assert!(sent < 1000, "an unbounded queue");
        expect(&mut quick, &text).await;
        if let Ok(event) = timeout(Duration::from_millis(1), serve.event("disconnected")).await {
            break event;
        }
    };
    assert_eq!((&closed["client"], &closed["code"]), (&json!(1), &json!(1013)));
    let end = timeout(SOON, async { while let Some(Ok(_)) = slow.next().await {} }).await;
    assert!(end.is_ok(), "the socket of the slow consumer stayed open");
    say(&mut sender, "after").await;
    expect(&mut quick, "after").await;
}
