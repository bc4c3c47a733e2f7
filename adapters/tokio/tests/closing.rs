//! Ends: the server's and ours, polite and not.

mod rig;

use std::time::{Duration, Instant};

use everlink::link::{Cause, Input, State};
use everlink_cli::relay::Relay;
use everlink_cli::serve::{ServeOptions, ServerEvent};
use everlink_tokio::{Action, Message, Outcome, Status};
use futures_util::{SinkExt, StreamExt};
use rig::{Rig, Stage, end_of, event, ms, nervous, next_data, quick, serve, soon};
use tokio::io::AsyncReadExt;
use tokio_tungstenite::tungstenite::Message as Ws;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

fn closed(event: ServerEvent) -> Option<u16> {
    match event {
        ServerEvent::Disconnected { code, .. } => Some(code),
        _ => None,
    }
}

#[tokio::test]
async fn a_close_by_the_server_is_answered_and_followed_by_another_attempt() {
    for code in [1000_u16, 1001, 1011, 1012] {
        let stage = Stage::new().await;
        let mut rig = Rig::new(stage.addr(), quick());
        let mut ws = stage.ws().await;
        ws.close(Some(CloseFrame { code: code.into(), reason: "bye".into() })).await.unwrap();
        assert_eq!(end_of(ws).await, Some(code), "the close frame is answered");
        let cause = rig
            .action(|action| match action {
                Action::RetryScheduled { cause, .. } => Some(*cause),
                _ => None,
            })
            .await;
        assert_eq!(cause, Cause::Closed(code));
        let _again = stage.ws().await;
    }
}

#[tokio::test]
async fn a_close_that_no_attempt_can_mend_is_final() {
    let stage = Stage::new().await;
    let mut rig = Rig::new(stage.addr(), quick());
    let mut ws = stage.ws().await;
    ws.close(Some(CloseFrame { code: 4001.into(), reason: "token expired".into() })).await.unwrap();
    assert_eq!(end_of(ws).await, Some(4001));
    rig.status(Status::Failed).await;
    assert_eq!(rig.client.state(), State::Failed { cause: Cause::Closed(4001) });
}

#[tokio::test]
async fn a_stop_of_the_server_and_its_return_lose_nothing() {
    let (server, mut events) = serve(ServeOptions::default()).await;
    let addr = server.local_addr();
    let mut rig = Rig::new(addr, quick());
    rig.status(Status::Connected).await;
    server.stop(1012).await;
    assert_eq!(event(&mut events, closed).await, 1012);
    rig.status(Status::Disconnected).await;
    for number in 0..20 {
        rig.client.send(Message::text(number.to_string())).unwrap();
    }
    let (_server, _events) = rig::serve_at(&addr.to_string(), ServeOptions::default()).await;
    for number in 0..20 {
        assert_eq!(rig.text().await, number.to_string());
    }
}

#[tokio::test]
async fn a_lingering_close_delivers_the_queue_and_lets_the_server_hang_up_first() {
    let stage = Stage::new().await;
    let mut rig = Rig::new(stage.addr(), quick());
    let mut ws = stage.ws().await;
    rig.status(Status::Connected).await;
    let receipts: Vec<_> =
        (0..100).map(|number| rig.client.send_tracked(Message::text(number.to_string())).unwrap()).collect();
    let closing = tokio::spawn(rig.client.close(Duration::from_secs(10)));
    for number in 0..100 {
        assert_eq!(next_data(&mut ws).await, Ws::text(number.to_string()));
    }
    let Some(Ok(Ws::Close(Some(frame)))) = soon(async {
        loop {
            match ws.next().await {
                Some(Ok(Ws::Ping(_))) => {}
                other => return other,
            }
        }
    })
    .await
    else {
        panic!("a close frame comes")
    };
    assert_eq!(u16::from(frame.code), 1000);
    ws.flush().await.unwrap_or_default();
    // The client waits for this end to close the TCP connection.
    let mut tcp = ws.into_inner();
    let early = tokio::time::timeout(ms(100), tcp.read_u8()).await;
    assert!(early.is_err(), "the client must not close first: {early:?}");
    assert!(!closing.is_finished());
    drop(tcp);
    let report = soon(closing).await.unwrap();
    assert_eq!(report.counts.written.get(), 100);
    for receipt in receipts {
        assert_eq!(soon(receipt).await, Outcome::Written);
    }
    assert!(soon(rig.messages.recv()).await.is_none());
}

#[tokio::test]
async fn a_close_without_linger_settles_what_waits_as_stopped() {
    let rig = Rig::to("ws://127.0.0.1:1/", quick());
    let receipt = rig.client.send_tracked(Message::text("never")).unwrap();
    soon(rig.client.close(Duration::ZERO)).await;
    assert_eq!(soon(receipt).await, Outcome::Stopped);
}

#[tokio::test]
async fn a_close_towards_a_dead_peer_is_bounded() {
    let (server, _events) = serve(ServeOptions::default()).await;
    let relay = Relay::start(server.local_addr()).unwrap();
    let mut rig = Rig::new(relay.local_addr(), quick());
    rig.status(Status::Connected).await;
    relay.stall().await;
    let began = Instant::now();
    soon(rig.client.close(ms(200))).await;
    assert!(began.elapsed() >= ms(490), "it was given its time: {:?}", began.elapsed());
    assert!(soon(rig.messages.recv()).await.is_none());
}

#[tokio::test]
async fn an_application_that_reads_no_messages_does_not_hold_up_the_close() {
    let (server, mut events) = serve(ServeOptions::default()).await;
    let mut config = quick();
    config.close_timeout = Duration::from_secs(3600);
    config.outbox.messages = 1000;
    let mut rig = Rig::new(server.local_addr(), config);
    rig.status(Status::Connected).await;
    for number in 0..500 {
        rig.client.send(Message::text(number.to_string())).unwrap();
    }
    // 64 of the echoes wait for the application, and nothing more is read.
    soon(async {
        while rig.client.report().counts.messages_received.get() < 64 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    soon(rig.client.close(Duration::ZERO)).await;
    assert_eq!(event(&mut events, closed).await, 1000);
}

#[tokio::test]
async fn the_last_client_takes_the_connection_with_it() {
    let (server, mut events) = serve(ServeOptions::default()).await;
    let mut rig = Rig::new(server.local_addr(), quick());
    rig.status(Status::Connected).await;
    let clone = rig.client.clone();
    drop(rig.client);
    clone.send(Message::text("still there")).unwrap();
    assert_eq!(soon(rig.messages.recv()).await.unwrap().text(), Some("still there"));
    let mut state = clone.watch_state();
    drop(clone);
    assert!(soon(rig.messages.recv()).await.is_none());
    assert_eq!(event(&mut events, closed).await, 1000);
    soon(async { while state.changed().await.is_ok() {} }).await;
    assert_eq!(*state.borrow(), State::Stopped);
}

#[tokio::test]
async fn a_disconnect_for_a_while_is_no_close() {
    let (server, mut events) = serve(ServeOptions::default()).await;
    let mut rig = Rig::new(server.local_addr(), quick());
    rig.status(Status::Connected).await;
    rig.client.tell(Input::Stop { linger: Duration::ZERO });
    assert_eq!(event(&mut events, closed).await, 1000);
    rig.state(|state| *state == State::Stopped).await;
    rig.client.send(Message::text("kept")).unwrap();
    rig.client.tell(Input::Start);
    assert_eq!(rig.text().await, "kept");
}

#[tokio::test]
async fn a_message_given_to_a_socket_that_the_server_has_just_closed_is_not_called_written() {
    let stage = Stage::new().await;
    let rig = Rig::new(stage.addr(), nervous());
    let mut wire = stage.wire().await;
    // While there is doubt, messages are held.
    rig.state(|state| matches!(state, State::Suspect { .. })).await;
    let receipt = rig.client.send_tracked(Message::text("held")).unwrap();
    // The close frame is a sign of life, but nothing can go out behind it.
    wire.write(&[0x88, 0x02, 0x03, 0xE9]).await;
    assert_eq!(wire.close_code().await, Some(1001));
    drop(wire);
    let mut ws = stage.ws().await;
    assert_eq!(next_data(&mut ws).await, Ws::text("held"));
    assert_eq!(soon(receipt).await, Outcome::Written);
    assert_eq!(rig.client.report().counts.messages_sent.get(), 1, "it was given to one socket only");
}

/// What the server's close finds in the adapter's buffer goes on the next socket, and so must not go on this one as well.
#[tokio::test]
async fn a_close_that_meets_a_full_socket_makes_no_message_arrive_twice() {
    const MESSAGES: usize = 400;
    let stage = Stage::new().await;
    let mut config = quick();
    config.outbox.messages = MESSAGES as u32;
    config.outbox.bytes = 16 << 20;
    config.outbox.age = None;
    let mut rig = Rig::new(stage.addr(), config);
    let mut ws = stage.ws().await;
    rig.status(Status::Connected).await;
    for number in 0..MESSAGES {
        rig.client.send(Message::text(format!("{number:>20000}"))).unwrap();
    }
    // The socket is full once no more is written; only then does the server close, and then reads all that still comes.
    let number_of = |data: &Ws| data.to_text().unwrap().trim().parse::<usize>().unwrap();
    let mut seen = vec![0; MESSAGES];
    seen[number_of(&next_data(&mut ws).await)] += 1;
    ws.close(Some(CloseFrame { code: 1001.into(), reason: "".into() })).await.unwrap();
    while let Some(Ok(data)) = soon(ws.next()).await {
        if data.is_text() {
            seen[number_of(&data)] += 1;
        }
    }
    drop(ws);
    let mut ws = stage.ws().await;
    while seen.contains(&0) {
        seen[number_of(&next_data(&mut ws).await)] += 1;
    }
    assert!(seen.iter().all(|times| *times == 1), "{seen:?}");
}
