//! `everlink connect --wire native` against a server that speaks both wires on one port.

mod connect_process;

use connect_process::{Connect, Echo, SOON, fails, run};
use everlink_cli::serve::{Payload, ServeOptions, Server, ServerEvent};
use tokio::net::TcpListener;
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

/// The next text that a session delivers.
async fn delivered(events: &mut Receiver<ServerEvent>) -> String {
    let wait = async {
        loop {
            let event = events.recv().await.expect("the server lives");
            if let ServerEvent::Delivered { payload: Payload::Text(text), .. } = event {
                return text;
            }
        }
    };
    timeout(SOON, wait).await.expect("a message comes")
}

#[tokio::test]
async fn lines_are_acknowledged_and_echoed_beside_a_raw_client_on_the_same_port() {
    let echo = Echo::start().await;
    let mut native = Connect::start(&echo.url(), "--wire native");
    let mut raw = Connect::start(&echo.url(), "");
    for line in ["one", "", "drei: ö"] {
        native.say(line).await;
        native.expect(line).await;
        raw.say(line).await;
        raw.expect(line).await;
    }
    let session = native.event("session").await;
    assert_eq!((&session["epoch"], &session["resumed"]), (&1.into(), &false.into()));
    let (summary, code) = native.finish().await;
    assert_eq!((&summary["acknowledged"], &summary["written"], code), (&3.into(), &0.into(), 0));
    let ids: Vec<_> = native.seen("message").iter().map(|event| event["id"].as_u64()).collect();
    assert_eq!(ids, [Some(1), Some(2), Some(3)]);
    let (summary, code) = raw.finish().await;
    assert_eq!((&summary["acknowledged"], &summary["written"], code), (&0.into(), &3.into(), 0));
}

#[tokio::test]
async fn a_session_outlives_a_server_that_was_gone_and_every_line_arrives_once_and_in_order() {
    let Echo { server, mut events } = Echo::start().await;
    let url = format!("ws://{}/", server.local_addr());
    let mut connect = Connect::start(&url, "--wire native");
    let mut expected = 0..200;
    for n in 0..200 {
        connect.say(&n.to_string()).await;
        if n % 50 == 25 {
            // In the middle of what is under way.
            server.vanish().await;
            connect.say("").await;
            let listener = bind(server.local_addr()).await;
            server.come_back(listener).await;
        }
    }
    while let Some(n) = expected.next() {
        match delivered(&mut events).await.as_str() {
            "" => expected = n..200,
            text => assert_eq!(text, n.to_string()),
        }
    }
    connect.end_input();
    let summary = connect.event("summary").await;
    assert_eq!(connect.exit_code().await, 0);
    assert_eq!((&summary["acknowledged"], &summary["in_doubt"]), (&204.into(), &0.into()));
    assert!(connect.seen("session").iter().skip(1).all(|session| session["resumed"] == true));
}

async fn bind(addr: std::net::SocketAddr) -> TcpListener {
    let bind = async {
        loop {
            match TcpListener::bind(addr).await {
                Ok(listener) => return listener,
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
            }
        }
    };
    timeout(SOON, bind).await.expect("the port is free again")
}

#[tokio::test]
async fn messages_go_from_one_wire_to_the_other() {
    let options = ServeOptions { mode: everlink_cli::serve::Mode::Others, ..ServeOptions::default() };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (server, _events) = Server::start(listener, options).unwrap();
    let url = format!("ws://{}/", server.local_addr());
    let mut native = Connect::start(&url, "--wire native");
    let mut raw = Connect::start(&url, "");
    for client in [&mut native, &mut raw] {
        client.event_where("status", |event| event["to"] == "connected").await;
    }
    native.say("from native").await;
    raw.expect("from native").await;
    raw.say("from raw").await;
    native.expect("from raw").await;
}

#[tokio::test]
async fn a_server_that_does_not_select_the_sub_protocol_is_never_spoken_to_raw() {
    let options = ServeOptions { max_message: 500, ..ServeOptions::default() };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (server, _events) = Server::start(listener, options).unwrap();
    let url = format!("ws://{}/", server.local_addr());
    let mut connect = Connect::start(&url, "--wire native --backoff.attempts 2");
    connect.say("secret").await;
    let summary = connect.event("summary").await;
    assert_eq!(connect.exit_code().await, 1);
    assert!(summary["error"].as_str().unwrap().contains("no sub-protocol was selected"), "{summary}");
    assert_eq!((&summary["never_sent"], connect.seen("open").len()), (&1.into(), 0));
}

#[tokio::test]
async fn what_belongs_to_another_wire_is_refused() {
    for (flags, words) in [
        (&["--wire", "native", "--wire.raw.heartbeat", "json"][..], &["wire.raw", "native"][..]),
        (&["--wire", "raw", "--wire.native.name", "9"], &["wire.native", "raw"]),
        (&["--wire", "native", "--protocol", "chat"], &["--protocol", "native"]),
        (&["--wire", "carrier-pigeon"], &["carrier-pigeon"]),
    ] {
        let output = run(&[&["connect", "ws://127.0.0.1:9/"], flags].concat()).await;
        fails(&output, 2, words);
    }
}
