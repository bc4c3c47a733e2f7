//! `everlink connect` against real servers and faults. Upper bounds of time are generous; nothing waits for a fixed time.

mod connect_process;

use connect_process::{Connect, Echo, SOON, closed_port, run};
use everlink_cli::relay::Relay;
use everlink_cli::serve::ServerEvent;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::time::timeout;

#[tokio::test]
async fn lines_go_to_the_server_and_messages_come_back_as_lines() {
    let echo = Echo::start().await;
    let mut connect = Connect::start(&echo.url(), "");
    for line in ["one", "", "drei: ö", "  spaces  "] {
        connect.say(line).await;
        connect.expect(line).await;
    }
    let (summary, code) = connect.finish().await;
    assert_eq!(code, 0);
    assert_eq!((&summary["accepted"], &summary["written"]), (&4.into(), &4.into()));
    assert_eq!(connect.hear().await, None);
}

#[tokio::test]
async fn a_file_on_standard_input_arrives_whole_and_in_order() {
    let mut echo = Echo::start().await;
    let mut connect = Connect::start(&echo.url(), "--outbox.messages 5");
    let feed = async {
        for n in 0..3000 {
            connect.say(&n.to_string()).await;
        }
        connect.end_input();
    };
    let read = async {
        for n in 0..3000 {
            assert_eq!(echo.receive().await, n.to_string());
        }
        assert_eq!(echo.closed().await, 1000);
    };
    tokio::join!(feed, read);
    for n in 0..3000 {
        connect.expect(&n.to_string()).await;
    }
    let (summary, code) = connect.finish().await;
    assert_eq!((&summary["written"], &summary["refused"], code), (&3000.into(), &0.into(), 0));
}

#[tokio::test]
async fn events_tell_the_story() {
    let echo = Echo::start().await;
    let mut connect = Connect::start(&echo.url(), "");
    let start = connect.event("start").await;
    assert_eq!(start["url"], format!("ws://{}/room", echo.server.local_addr()));
    assert_eq!(start["config"]["backoff"]["base"], "20ms");
    let config: everlink::link::Config = serde_json::from_value(start["config"].clone()).unwrap();
    assert!(config.check().is_ok());
    assert_eq!(connect.event("opening").await["attempt"], 0);
    assert_eq!(connect.event("open").await["epoch"], 1);
    let status = connect.event_where("status", |event| event["to"] == "connected").await;
    assert_eq!((&status["from"], &status["state"]), (&"connecting".into(), &"connected".into()));
    assert!(connect.event("latency").await["ms"].is_number());
    connect.say("one").await;
    let accepted = connect.event("accepted").await;
    assert_eq!((&accepted["line"], &accepted["id"]), (&1.into(), &1.into()));
    let (summary, code) = connect.finish().await;
    assert_eq!(code, 0);
    // The echo may be faster than the news that its line is written.
    let settled = &connect.seen("settled")[0];
    assert_eq!((&settled["id"], &settled["outcome"]), (&1.into(), &"written".into()));
    let message = &connect.seen("message")[0];
    assert_eq!((&message["kind"], &message["bytes"]), (&"text".into(), &3.into()));
    assert_eq!(summary["report"]["counts"]["connects"], 1);
    let close = &connect.seen("close")[0];
    assert_eq!(
        (&close["code"], &close["clean"], &close["abandoned"]),
        (&1000.into(), &true.into(), &false.into())
    );
    for name in ["ping", "quality"] {
        assert!(!connect.seen(name).is_empty(), "no {name}");
    }
}

#[tokio::test]
async fn it_stays_up_through_a_server_restart_and_every_line_arrives() {
    let mut echo = Echo::start().await;
    let addr = echo.server.local_addr();
    let mut connect = Connect::start(&echo.url(), "");
    connect.say("before").await;
    assert_eq!(echo.receive().await, "before");
    echo.server.stop(1012).await;
    connect.event("retry").await;
    for n in 0..20 {
        connect.say(&format!("during {n}")).await;
    }
    let mut echo = Echo::again(addr).await;
    for n in 0..20 {
        assert_eq!(echo.receive().await, format!("during {n}"));
    }
    connect.say("after").await;
    assert_eq!(echo.receive().await, "after");
    let (summary, code) = connect.finish().await;
    assert_eq!((&summary["written"], code), (&22.into(), 0));
    let close = &connect.seen("close")[0];
    assert_eq!((&close["code"], &close["clean"]), (&1012.into(), &true.into()));
}

#[tokio::test]
async fn a_server_that_appears_late_gets_what_waits_for_it_even_after_the_end_of_input() {
    let (port, addr) = closed_port();
    let mut connect = Connect::start(&format!("ws://{addr}"), "--linger 30s");
    connect.say("patience").await;
    connect.end_input();
    let failed = connect.event("failed").await;
    assert_eq!(failed["failure"], "connect");
    assert!(failed.get("http_status").is_none());
    let mut echo = Echo::on(port.listen(16).unwrap());
    assert_eq!(echo.receive().await, "patience");
    connect.expect("patience").await;
    assert_eq!(connect.finish().await.1, 0);
}

#[tokio::test]
async fn a_cut_connection_is_replaced_and_nothing_that_waits_is_lost() {
    let mut echo = Echo::start().await;
    let relay = Relay::start(echo.server.local_addr()).unwrap();
    let mut connect = Connect::start(&format!("ws://{}", relay.local_addr()), "");
    connect.say("one").await;
    assert_eq!(echo.receive().await, "one");
    relay.refuse().await;
    relay.cut().await;
    connect.event("retry").await;
    connect.say("two").await;
    connect.event_where("accepted", |event| event["line"] == 2).await;
    relay.pass().await;
    assert_eq!(echo.receive().await, "two");
    let (summary, code) = connect.finish().await;
    assert_eq!((&summary["written"], code), (&2.into(), 0));
    assert_eq!(summary["report"]["counts"]["disconnects"], 2);
    let close = &connect.seen("close")[0];
    assert_eq!((&close["code"], &close["clean"]), (&serde_json::Value::Null, &false.into()));
}

#[tokio::test]
async fn a_black_hole_is_noticed_and_left() {
    let mut echo = Echo::start().await;
    let relay = Relay::start(echo.server.local_addr()).unwrap();
    let flags = "--heartbeat.interval 100ms --heartbeat.min_timeout 50ms --heartbeat.timeout 100ms";
    let mut connect = Connect::start(&format!("ws://{}", relay.local_addr()), flags);
    connect.event("latency").await;
    relay.stall().await;
    connect.event_where("status", |event| event["to"] == "degraded").await;
    let close = connect.event("close").await;
    assert_eq!((&close["epoch"], &close["abandoned"]), (&1.into(), &true.into()));
    assert_eq!(connect.event("retry").await["cause"], "no sign of life");
    relay.cut().await;
    relay.pass().await;
    connect.say("out of it").await;
    assert_eq!(echo.receive().await, "out of it");
    assert_eq!(connect.finish().await.1, 0);
}

#[tokio::test]
async fn a_server_that_is_never_there_is_given_up_and_the_cause_named() {
    let (_port, addr) = closed_port();
    let mut connect = Connect::start(&format!("ws://{addr}"), "--backoff.attempts 3");
    connect.say("never").await;
    let summary = connect.event("summary").await;
    assert_eq!(connect.exit_code().await, 1);
    let error = summary["error"].as_str().unwrap();
    assert!(error.starts_with("gave up: connection refused") && error.contains("os error"), "{error}");
    assert_eq!((&summary["never_sent"], &summary["report"]["counts"]["attempts"]), (&1.into(), &4.into()));
}

#[tokio::test]
async fn what_is_not_settled_within_the_linger_fails_and_is_counted() {
    let (_port, addr) = closed_port();
    let mut connect =
        Connect::start(&format!("ws://{addr}"), "--linger 500ms --backoff.base 30s --backoff.cap 30s");
    connect.say("never").await;
    let (summary, code) = connect.finish().await;
    assert_eq!((&summary["never_sent"], code), (&1.into(), 1));
    assert!(summary["error"].as_str().unwrap().contains("within 500 ms: connection refused"), "{summary}");
}

#[tokio::test]
async fn no_input_ends_at_once_and_well() {
    let echo = Echo::start().await;
    let output = run(&["connect", &echo.url()]).await;
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stdout.is_empty());
}

#[tokio::test]
async fn an_interrupt_closes_cleanly_and_shows_the_ledger() {
    let mut echo = Echo::start().await;
    for signal in ["-INT", "-TERM"] {
        let mut connect = Connect::start(&echo.url(), "--stay");
        connect.say("one").await;
        connect.end_input();
        connect.expect("one").await;
        connect.signal(signal).await;
        assert_eq!(echo.closed().await, 1000);
        let summary = connect.event("summary").await;
        assert_eq!((&summary["written"], connect.exit_code().await), (&1.into(), 0));
    }
}

#[tokio::test]
async fn an_interrupt_while_disconnected_says_what_was_never_sent() {
    let (_port, addr) = closed_port();
    let mut connect = Connect::start(&format!("ws://{addr}"), "--outbox.messages 2");
    for line in ["one", "two", "no room for three"] {
        connect.say(line).await;
    }
    connect.event_where("accepted", |event| event["line"] == 2).await;
    connect.event("retry").await;
    connect.signal("-INT").await;
    let summary = connect.event("summary").await;
    assert_eq!((&summary["accepted"], &summary["never_sent"]), (&2.into(), &2.into()));
    assert_eq!(connect.exit_code().await, 1);
}

#[tokio::test]
async fn a_second_interrupt_ends_at_once() {
    // A server that upgrades, then neither reads nor answers the close.
    let (addr, _server) = connect_process::mute_server().await;
    let mut connect = Connect::start(&format!("ws://{addr}"), "--close_timeout 10m");
    connect.event("open").await;
    connect.signal("-INT").await;
    connect.event_where("status", |event| event["to"] == "disconnected").await;
    connect.signal("-INT").await;
    assert_eq!(connect.event("summary").await["error"], "interrupted");
    assert_eq!(connect.exit_code().await, 1);
}

#[tokio::test]
async fn a_full_queue_does_what_it_was_told() {
    let (_port, addr) = closed_port();
    for (when_full, refused, never_sent) in [("refuse", 3, 2), ("drop-oldest", 0, 5), ("drop-lowest", 0, 5)] {
        let flags = format!("--when-full {when_full} --outbox.messages 2 --linger 50ms");
        let mut connect = Connect::start(&format!("ws://{addr}"), &flags);
        for n in 0..5 {
            connect.say(&n.to_string()).await;
        }
        let (summary, code) = connect.finish().await;
        assert_eq!(code, 1);
        assert_eq!((&summary["refused"], &summary["never_sent"]), (&refused.into(), &never_sent.into()));
        let evicted = connect.seen("settled").iter().filter(|event| event["outcome"] == "evicted").count();
        assert_eq!(evicted, if refused == 0 { 3 } else { 0 });
    }
}

#[tokio::test]
async fn a_line_that_cannot_be_sent_is_refused_and_the_others_are_sent() {
    let mut echo = Echo::start().await;
    let mut connect = Connect::start(
        &echo.url(),
        "--outbox.message_bytes 15 --wire.raw.heartbeat json --heartbeat.mode server",
    );
    connect.say("0123456789012345").await;
    connect.say(r#"{"type":"ping"}"#).await;
    connect.say("fine").await;
    assert_eq!(echo.receive().await, "fine");
    let (summary, code) = connect.finish().await;
    assert_eq!((&summary["accepted"], &summary["refused"], code), (&1.into(), &2.into(), 1));
    let refused = connect.seen("refused");
    assert_eq!((&refused[0]["line"], &refused[0]["reason"]), (&1.into(), &"too-large".into()));
    assert_eq!((&refused[1]["line"], &refused[1]["reason"]), (&2.into(), &"heartbeat".into()));
}

#[tokio::test]
async fn a_reader_of_neither_output_nor_events_does_not_stop_the_lines() {
    let mut echo = Echo::start().await;
    // Nothing reads its standard output and error, and they hold some 64 KiB each.
    let mut connect = Connect::start(&echo.url(), "--linger 1s");
    let feed = async {
        for n in 0..2000 {
            connect.say(&format!("{n} {}", "x".repeat(200))).await;
        }
    };
    let read = async {
        for n in 0..2000 {
            assert!(echo.receive().await.starts_with(&format!("{n} ")));
        }
    };
    timeout(SOON, async { tokio::join!(feed, read) }).await.expect("all lines arrive");
    drop(connect);
    while !matches!(echo.events.recv().await, Some(ServerEvent::Disconnected { .. })) {}
}

#[tokio::test]
async fn binary_messages_are_hex_or_raw() {
    use futures_util::{SinkExt, StreamExt};
    use tokio_tungstenite::tungstenite::Message;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    for (flags, line) in [("", "hex:00ff7a"), ("--binary raw", "z")] {
        let mut connect = Connect::start(&url, flags);
        let (stream, _) = listener.accept().await.unwrap();
        let mut ws = tokio_tungstenite::accept_async(stream).await.unwrap();
        let bytes = if flags.is_empty() { vec![0, 255, b'z'] } else { vec![b'z'] };
        ws.send(Message::binary(bytes)).await.unwrap();
        connect.expect(line).await;
        assert_eq!(connect.event("message").await["kind"], "binary");
        connect.end_input();
        while ws.next().await.is_some() {}
        drop(ws);
        assert_eq!(connect.exit_code().await, 0);
    }
}

#[tokio::test]
async fn without_a_terminal_people_get_plain_lines_and_quiet_means_quiet() {
    let echo = Echo::start().await;
    for (flag, lines) in [("--stay", 3), ("--quiet", 0)] {
        let mut process = tokio::process::Command::new(connect_process::EVERLINK)
            .args(["connect", &echo.url(), flag, "--replies", "50ms"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        process.stdin.take().unwrap().write_all(b"one\n").await.unwrap();
        if flag == "--stay" {
            // The echo proves that it is connected.
            let mut byte = [0];
            let output = process.stdout.as_mut().unwrap();
            timeout(SOON, tokio::io::AsyncReadExt::read_exact(output, &mut byte)).await.unwrap().unwrap();
            let pid = process.id().unwrap().to_string();
            tokio::process::Command::new("kill").args(["-INT", &pid]).status().await.unwrap();
        }
        let output = timeout(SOON, process.wait_with_output()).await.unwrap().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(text.lines().count(), lines, "{text}");
        assert!(!text.contains('\x1b'), "{text}");
        assert!(lines == 0 || text.ends_with("1 line accepted: 1 written\n"), "{text}");
        assert_eq!(output.status.code(), Some(0));
    }
}
