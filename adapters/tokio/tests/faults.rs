//! The network fails: cut, stalled, gone and back.

mod rig;

use std::collections::HashSet;
use std::time::Duration;

use everlink::link::{Cause, Input, State};
use everlink_cli::relay::Relay;
use everlink_cli::serve::{Heartbeat, ServeOptions, Server, ServerEvent};
use everlink_tokio::{Action, Message, Outcome, Status};
use rig::{Rig, Stage, event, ms, nervous, next_data, quick, serve, soon};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message as Ws;

async fn line(config: everlink_tokio::Config) -> (Server, mpsc::Receiver<ServerEvent>, Relay, Rig) {
    // The server's own pings would be signs of life.
    let (server, events) =
        serve(ServeOptions { heartbeat: Heartbeat::None, ..ServeOptions::default() }).await;
    let relay = Relay::start(server.local_addr()).unwrap();
    let mut rig = Rig::new(relay.local_addr(), config);
    rig.status(Status::Connected).await;
    (server, events, relay, rig)
}

async fn cause(rig: &mut Rig) -> Cause {
    rig.action(|action| match action {
        Action::RetryScheduled { cause, .. } => Some(*cause),
        _ => None,
    })
    .await
}

#[tokio::test]
async fn a_cut_is_noticed_at_once_and_nothing_queued_is_lost() {
    let (_server, _events, relay, mut rig) = line(quick()).await;
    for round in 0..5 {
        relay.refuse().await;
        relay.cut().await;
        assert_eq!(cause(&mut rig).await, Cause::Closed(1006));
        for number in 0..10 {
            rig.client.send(Message::text(format!("{round}.{number}"))).unwrap();
        }
        relay.pass().await;
        for number in 0..10 {
            assert_eq!(rig.text().await, format!("{round}.{number}"));
        }
    }
    assert_eq!(rig.client.report().counts.disconnects.get(), 5);
}

#[tokio::test]
async fn a_black_hole_is_suspected_then_abandoned_and_its_bytes_are_ignored() {
    let (_server, _events, relay, mut rig) = line(nervous()).await;
    relay.stall().await;
    let stuck = rig.client.send_tracked(Message::text("into the hole")).unwrap();
    rig.state(|state| matches!(state, State::Suspect { .. })).await;
    rig.status(Status::Degraded).await;
    // Nothing more is risked on it.
    let safe = rig.client.send_tracked(Message::text("afterwards")).unwrap();
    assert_eq!(
        rig.action(|action| match action {
            Action::Abandon { epoch } => Some(epoch.get()),
            _ => None,
        })
        .await,
        1
    );
    assert_eq!(cause(&mut rig).await, Cause::HeartbeatLost);
    relay.pass().await;
    // The echo of what fell into the hole went to a socket that is gone.
    assert_eq!(rig.text().await, "afterwards");
    assert_eq!((soon(stuck).await, soon(safe).await), (Outcome::Written, Outcome::Written));
    assert_eq!(rig.client.status(), Status::Connected);
}

#[tokio::test]
async fn a_black_hole_that_heals_in_time_leaves_the_socket() {
    let mut config = nervous();
    config.heartbeat.misses = 100;
    let (_server, mut events, relay, mut rig) = line(config).await;
    relay.stall().await;
    rig.client.send(Message::text("held up")).unwrap();
    rig.status(Status::Degraded).await;
    relay.pass().await;
    assert_eq!(rig.text().await, "held up");
    rig.state(|state| !matches!(state, State::Suspect { .. })).await;
    let counts = rig.client.report().counts;
    assert_eq!((counts.attempts.get(), counts.disconnects.get()), (1, 0));
    assert!(counts.missed_pongs.get() >= 1);
    soon(rig.client.close(ms(0))).await;
    let code = event(&mut events, |event| match event {
        ServerEvent::Disconnected { client: 1, code } => Some(code),
        _ => None,
    });
    assert_eq!(code.await, 1000);
}

#[tokio::test]
async fn an_abandoned_socket_is_closed_and_not_kept() {
    let stage = Stage::new().await;
    let _rig = Rig::new(stage.addr(), nervous());
    let mut old = stage.wire().await;
    let mut new = stage.wire().await;
    // Whatever it had sent, then the end.
    while old.frame().await.is_some() {}
    // The new one lives, and is tested.
    new.frame_of(9).await;
}

#[tokio::test]
async fn offline_holds_everything_and_online_goes_on_with_a_live_socket() {
    let (_server, _events, _relay, mut rig) = line(quick()).await;
    rig.client.tell(Input::Offline);
    rig.state(|state| *state == State::Offline).await;
    let held = rig.client.send_tracked(Message::text("held")).unwrap();
    assert_eq!(rig.client.report().queue.messages, 1);
    rig.client.tell(Input::Online);
    assert_eq!(rig.text().await, "held");
    assert_eq!(soon(held).await, Outcome::Written);
    assert_eq!(rig.client.report().counts.attempts.get(), 1);
}

#[tokio::test]
async fn online_finds_a_dead_socket_dead_within_the_probe() {
    let mut config = quick();
    config.heartbeat.interval = Duration::from_secs(3600);
    config.heartbeat.probe_timeout = ms(150);
    let (_server, _events, relay, mut rig) = line(config).await;
    rig.client.tell(Input::Offline);
    relay.stall().await;
    rig.client.tell(Input::Online);
    assert_eq!(cause(&mut rig).await, Cause::HeartbeatLost);
    relay.pass().await;
    rig.status(Status::Connected).await;
}

#[tokio::test]
async fn watchers_learn_what_comes_without_an_action() {
    let mut config = quick();
    config.backoff.base = Duration::from_secs(3600);
    config.backoff.cap = Duration::from_secs(3600);
    let rig = Rig::to("ws://127.0.0.1:1/", config);
    rig.state(|state| matches!(state, State::Waiting { .. })).await;
    // Both are "disconnected".
    rig.client.tell(Input::Offline);
    rig.state(|state| *state == State::Offline).await;
    rig.client.tell(Input::Online);
    rig.state(|state| matches!(state, State::Waiting { .. })).await;
}

#[tokio::test]
async fn what_was_not_written_when_the_socket_died_goes_out_on_the_next() {
    const COUNT: usize = 400;
    let mut config = quick();
    config.outbox.messages = 1000;
    config.outbox.bytes = 64 << 20;
    let stage = Stage::new().await;
    let relay = Relay::start(stage.addr()).unwrap();
    let mut rig = Rig::new(relay.local_addr(), config);
    let mut first = stage.ws().await;
    rig.status(Status::Connected).await;
    relay.stall().await;
    let text = |number: usize| format!("{number:06}{}", "-".repeat(32 << 10));
    let receipts: Vec<_> =
        (0..COUNT).map(|number| rig.client.send_tracked(Message::text(text(number))).unwrap()).collect();
    // Buffers fill until nothing moves.
    rig.state(|state| *state == State::Stalled).await;
    let written = usize::try_from(rig.client.report().counts.written.get()).unwrap();
    assert!(written < COUNT, "{written} written into a black hole");
    assert!(
        rig.client.report().counts.messages_sent.get() < written as u64 + 3,
        "no more are in flight than fit"
    );
    relay.cut().await;
    relay.pass().await;
    let mut received = HashSet::new();
    while let Ok(Some(Ok(message))) =
        tokio::time::timeout(rig::SOON, futures_util::StreamExt::next(&mut first)).await
    {
        if let Ws::Text(text) = message {
            received.insert(text[..6].parse::<usize>().unwrap());
        }
    }
    assert!(
        received.iter().all(|number| *number <= written),
        "beyond what was written, at most a part arrived"
    );
    let mut second = stage.ws().await;
    for number in written..COUNT {
        assert!(next_data(&mut second).await == Ws::text(text(number)), "message {number} is next");
    }
    for receipt in receipts {
        assert_eq!(soon(receipt).await, Outcome::Written);
    }
}
