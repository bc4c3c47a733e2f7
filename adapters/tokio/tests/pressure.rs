//! One end is slower than the other: what waits is bounded, nobody is declared dead for it, and all arrives in order.

mod rig;

use std::time::Duration;

use everlink::heartbeat::Mode;
use everlink::link::{Cause, State};
use everlink::wire::{Wire, raw};
use everlink_cli::relay::Relay;
use everlink_tokio::{Action, Message, Options, Status};
use futures_util::{SinkExt, StreamExt};
use rig::{Rig, Stage, end_of, ms, nervous, next_data, quick, soon};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::Message as Ws;

fn numbered(number: usize) -> String {
    format!("{number:06}{}", "-".repeat(64 << 10))
}

#[tokio::test]
async fn a_server_that_does_not_read_stops_the_flow_and_then_gets_everything_in_order() {
    const COUNT: usize = 300;
    let mut config = quick();
    config.outbox.messages = 1000;
    config.outbox.bytes = 64 << 20;
    config.heartbeat.mode = Mode::Off;
    let stage = Stage::new().await;
    let rig = Rig::new(stage.addr(), config);
    let mut ws = stage.ws().await;
    for number in 0..COUNT {
        rig.client.send(Message::text(numbered(number))).unwrap();
    }
    rig.state(|state| *state == State::Stalled).await;
    assert_eq!(rig.client.status(), Status::Degraded);
    let report = rig.client.report();
    let handed = report.counts.messages_sent.get() - report.counts.written.get();
    assert!(handed <= 2, "{handed} messages in a socket's own buffer");
    assert!(report.queue.messages > 0);
    for number in 0..COUNT {
        assert!(next_data(&mut ws).await == Ws::text(numbered(number)), "message {number} is next");
    }
    soon(rig.client.drained()).await;
    rig.state(|state| *state == State::Connected).await;
    assert_eq!(rig.client.report().counts.connects.get(), 1);
}

#[tokio::test]
async fn an_application_that_does_not_read_is_no_dead_peer() {
    const COUNT: usize = 500;
    let stage = Stage::new().await;
    let options = Options { config: nervous(), inbound: 4, ..Options::default() };
    let mut rig = Rig::with(&format!("ws://{}", stage.addr()), options);
    let (mut write, mut read) = stage.ws().await.split();
    let server = tokio::spawn(async move {
        for number in 0..COUNT {
            write.send(Ws::text(numbered(number))).await.unwrap();
        }
        write
    });
    let pings = tokio::spawn(async move {
        // Nothing that the client says is answered: the answers would wait behind the messages.
        let mut pings = 0;
        while let Some(Ok(message)) = read.next().await {
            pings += usize::from(message.is_ping());
        }
        pings
    });
    // Longer than the deadline of an answer and all that may be missed.
    let paused = rig.client.now();
    let mut sent = 0;
    while sent < 10 {
        rig.action(|action| matches!(action, Action::Ping { .. }).then_some(())).await;
        sent += 1;
    }
    assert!(rig.client.now() - paused > ms(600));
    assert_eq!(rig.client.status(), Status::Connected);
    for number in 0..COUNT {
        assert!(rig.text().await == numbered(number), "message {number} is next");
    }
    let _write = soon(server).await.unwrap();
    let counts = rig.client.report().counts;
    assert_eq!((counts.connects.get(), counts.missed_pongs.get()), (1, 0));
    pings.abort();
}

#[tokio::test]
async fn a_socket_that_opens_while_the_application_does_not_read_is_no_dead_peer_either() {
    let stage = Stage::new().await;
    let options = Options { config: nervous(), inbound: 1, ..Options::default() };
    let mut rig = Rig::with(&format!("ws://{}", stage.addr()), options);
    let mut ws = stage.ws().await;
    for text in ["1", "2", "3"] {
        ws.send(Ws::text(text)).await.unwrap();
    }
    rig.status(Status::Connected).await;
    // The first one waits to be taken, and nothing more is read; that the socket is dead is noticed by writing.
    soon(async {
        while rig.client.report().counts.messages_received.get() < 1 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    ws.get_mut().set_zero_linger().unwrap();
    drop(ws);
    rig.client.send(Message::text("anybody there?")).unwrap();
    let mut ws = stage.ws().await;
    rig.status(Status::Connected).await;
    ws.send(Ws::text("4")).await.unwrap();
    for _ in 0..10 {
        rig.action(|action| matches!(action, Action::Ping { epoch, .. } if epoch.get() == 2).then_some(()))
            .await;
    }
    assert_eq!(rig.client.status(), Status::Connected);
    assert_eq!((rig.text().await.as_str(), rig.text().await.as_str()), ("1", "4"));
    assert_eq!(rig.client.report().counts.attempts.get(), 2);
    soon(rig.client.close(ms(0))).await;
    end_of(ws).await;
}

#[tokio::test]
async fn heartbeats_that_are_messages_do_not_count_as_written_messages() {
    let mut config = quick();
    config.wire = Wire::Raw(raw::Config {
        heartbeat: raw::Style::Bytes,
        ping: raw::Pattern::text(&"p".repeat(32)).unwrap(),
        ..raw::Config::default()
    });
    config.heartbeat.interval = ms(2);
    config.heartbeat.misses = u8::MAX;
    config.heartbeat.timeout = Duration::from_secs(3600);
    config.heartbeat.adaptive = false;
    config.outbox.messages = 2000;
    config.outbox.bytes = 16 << 20;
    let stage = Stage::new().await;
    let relay = Relay::start(stage.addr()).unwrap();
    let mut rig = Rig::new(relay.local_addr(), config);
    let mut ws = stage.ws().await;
    let mut pings = 0;
    while pings < 100 {
        assert_eq!(next_data(&mut ws).await, Ws::text("p".repeat(32)));
        ws.send(Ws::binary(vec![1])).await.unwrap();
        pings += 1;
    }
    rig.status(Status::Connected).await;
    // More than 3,000 bytes of pings have been written. Not one of them is a byte of a message: of the messages that got
    // stuck, as many are in flight as fill the socket's 16 KiB, or twice as many, for those before left fast.
    relay.stall().await;
    for _ in 0..2000 {
        rig.client.send(Message::binary(vec![7; 1 << 10])).unwrap();
    }
    rig.state(|state| *state == State::Stalled).await;
    let counts = rig.client.report().counts;
    let in_flight = counts.messages_sent.get() - counts.written.get();
    assert!((15..=33).contains(&in_flight), "{in_flight} messages in flight");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_ping_does_not_wait_behind_megabytes_of_own_messages() {
    const COUNT: usize = 100;
    let mut config = quick();
    config.outbox.messages = 1000;
    config.outbox.bytes = 16 << 20;
    config.heartbeat.interval = Duration::from_secs(1);
    config.heartbeat.timeout = Duration::from_secs(3600);
    config.heartbeat.adaptive = false;
    let stage = Stage::new().await;
    let relay = Relay::start(stage.addr()).unwrap();
    let mut rig = Rig::new(relay.local_addr(), config);
    let mut ws = stage.ws().await;
    rig.status(Status::Connected).await;
    relay.throttle(500_000).await;
    for _ in 0..COUNT {
        rig.client.send(Message::binary(vec![7; 20_000])).unwrap();
    }
    let reader = tokio::spawn(async move {
        let mut before_ping = 0;
        while !matches!(soon(ws.next()).await, Some(Ok(Ws::Ping(_)))) {
            before_ping += 1;
        }
        // The first ping may have been there before the messages.
        while before_ping == 0 || !matches!(soon(ws.next()).await, Some(Ok(Ws::Ping(_)))) {
            before_ping += 1;
        }
        before_ping
    });
    let before_ping = soon(reader).await.unwrap();
    // What fits into the relay, and what it carries in a second: without a bound the kernel takes all of the 2 MB at once.
    assert!(before_ping < COUNT - 10, "the ping came after {before_ping} of {COUNT} messages");
}

#[tokio::test]
async fn a_throttled_close_still_delivers() {
    let stage = Stage::new().await;
    let relay = Relay::start(stage.addr()).unwrap();
    relay.throttle(200_000).await;
    let mut rig = Rig::new(relay.local_addr(), quick());
    let mut ws = stage.ws().await;
    rig.status(Status::Connected).await;
    for _ in 0..20 {
        rig.client.send(Message::binary(vec![7; 10_000])).unwrap();
    }
    let closing = tokio::spawn(rig.client.close(Duration::from_secs(15)));
    for _ in 0..20 {
        next_data(&mut ws).await;
    }
    assert_eq!(end_of(ws).await, Some(1000));
    assert_eq!(soon(closing).await.unwrap().counts.written.get(), 20);
}

#[tokio::test]
async fn half_a_frame_that_trickles_in_is_a_sign_of_life() {
    let stage = Stage::new().await;
    let mut rig = Rig::new(stage.addr(), nervous());
    let mut wire = stage.wire().await;
    rig.status(Status::Connected).await;
    wire.write(&[0x82, 100]).await;
    for _ in 0..100 {
        // A second of it: longer than three answers may be missing.
        tokio::time::sleep(ms(10)).await;
        wire.0.write_all(b"x").await.unwrap();
    }
    assert_eq!(rig.receive().await.data.len(), 100);
    assert_eq!(rig.client.report().counts.connects.get(), 1);
    let cause = rig.state(|state| matches!(state, State::Waiting { cause: Cause::HeartbeatLost, .. }));
    // And silence afterwards is none.
    cause.await;
    let _ = soon(wire.0.read_to_end(&mut Vec::new())).await;
}
