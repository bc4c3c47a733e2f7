//! What can be seen of a connection: the observer, the watchers, the trace; and that nothing happens while nothing happens.

mod rig;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use everlink::link::{Input, Next, State};
use everlink::trace::{Reader, Step, replay};
use everlink_cli::relay::Relay;
use everlink_cli::serve::{Heartbeat, ServeOptions};
use everlink_tokio::{Action, Error, Message, Notice, Options, Outcome, Status, Target, connect_with};
use rig::{Rig, SOON, ms, quick, serve, soon};

#[tokio::test]
async fn the_observer_sees_the_actions_in_order() {
    let (server, _events) = serve(ServeOptions::default()).await;
    let mut rig = Rig::new(server.local_addr(), quick());
    rig.client.send(Message::text("hello")).unwrap();
    rig.text().await;
    soon(rig.client.drained()).await;
    soon(rig.client.close(ms(0))).await;
    let (mut seen, mut last) = (Vec::new(), None);
    while let Ok((now, notice)) = rig.notices.try_recv() {
        assert!(last <= Some(now), "time does not go back");
        last = Some(now);
        seen.push(match notice {
            Notice::Action(Action::Open { .. }) => "open",
            Notice::Action(Action::Ping { .. }) => "ping",
            Notice::Action(Action::Flush { .. }) => "flush",
            Notice::Action(Action::Settled(_)) => "settled",
            Notice::Action(Action::Close { .. }) => "close",
            Notice::Action(Action::Status { to, .. }) => to.word(),
            _ => continue,
        });
    }
    assert_eq!(
        seen,
        ["open", "connecting", "ping", "flush", "connected", "settled", "close", "disconnected"]
    );
}

#[tokio::test]
async fn a_trace_replays_to_the_same_actions() {
    let (server, _events) = serve(ServeOptions::default()).await;
    let relay = Relay::start(server.local_addr()).unwrap();
    let trace = Arc::new(Mutex::new(Vec::new()));
    let sink = trace.clone();
    let options = Options {
        config: quick(),
        seed: Some(7),
        trace: Some(Box::new(move |bytes: &[u8]| sink.lock().unwrap().extend_from_slice(bytes))),
        ..Options::default()
    };
    let mut rig = Rig::with(&format!("ws://{}/?token=s3cr3t", relay.local_addr()), options);
    for round in 0..3 {
        for number in 0..20 {
            rig.client.send(Message::text(format!("{round}.{number}"))).unwrap();
        }
        let taken = rig.client.send(Message::text("taken back").with_ttl(ms(1))).unwrap();
        rig.client.cancel(taken);
        for number in 0..20 {
            assert_eq!(rig.text().await, format!("{round}.{number}"));
        }
        relay.cut().await;
        rig.status(Status::Disconnected).await;
    }
    rig.client.tell(Input::Offline);
    rig.client.tell(Input::Online);
    let report = soon(rig.client.close(ms(100))).await;
    let trace = trace.lock().unwrap();
    let replayed = replay(&trace).unwrap();
    assert_eq!(replayed.link.report(replayed.now).counts, report.counts);
    assert_eq!(replayed.link.state(), State::Stopped);
    assert!(!trace.windows(6).any(|window| window == b"s3cr3t"), "no secret is in a trace");
}

#[tokio::test]
async fn watchers_follow_state_quality_and_numbers() {
    let (server, _events) = serve(ServeOptions::default()).await;
    let rig = Rig::new(server.local_addr(), quick());
    rig.state(|state| *state == State::Connected).await;
    let (mut quality, mut report) = (rig.client.watch_quality(), rig.client.watch_report());
    soon(quality.wait_for(|quality| *quality == everlink::quality::Quality::Excellent)).await.unwrap();
    soon(report.wait_for(|report| report.counts.pongs_received == 1_u64)).await.unwrap();
}

#[tokio::test]
async fn an_observer_that_panics_ends_the_connection_and_hangs_nobody() {
    let (server, _events) = serve(ServeOptions::default()).await;
    let target = Target::new(&format!("ws://{}", server.local_addr())).unwrap();
    let fuse = Arc::new(AtomicBool::new(false));
    let burning = fuse.clone();
    let mut options = Options {
        config: quick(),
        observer: Some(Box::new(move |_, _| {
            assert!(!burning.load(Ordering::SeqCst), "the observer's own fault")
        })),
        ..Options::default()
    };
    options.config.outbox.messages = 1;
    options.config.outbox.policy = everlink::outbox::Policy::Refuse;
    let (client, mut messages) = connect_with(
        move |_| {
            let target = target.clone();
            async move { Ok(target) }
        },
        options,
    )
    .unwrap();
    let mut state = client.watch_state();
    soon(state.wait_for(|state| *state == State::Connected)).await.unwrap();
    fuse.store(true, Ordering::SeqCst);
    let receipt = client.send_tracked(Message::text("unlucky")).unwrap();
    let waiting = client.send_waiting(Message::text("more unlucky"));
    let (outcome, waited, drained, received) =
        soon(async { tokio::join!(receipt, waiting, client.drained(), messages.recv()) }).await;
    assert_eq!(outcome, Outcome::InDoubt);
    assert!(matches!(waited, Err(Error::Closed)));
    assert_eq!(((), None), (drained, received));
    assert!(matches!(client.send(Message::text("late")), Err(Error::Closed)));
    assert_eq!(client.state(), State::Stopped);
    assert_eq!(*state.borrow(), State::Stopped);
    soon(client.close(SOON)).await;
}

#[test]
fn a_runtime_that_goes_away_hangs_nobody() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let guard = runtime.enter();
    let rig = Rig::to("ws://127.0.0.1:1/", quick());
    let receipt = rig.client.send_tracked(Message::text("orphan")).unwrap();
    drop(guard);
    runtime.shutdown_timeout(SOON);
    let outcome = tokio::runtime::Runtime::new().unwrap().block_on(soon(async {
        let outcome = receipt.await;
        rig.client.drained().await;
        rig.client.close(ms(0)).await;
        outcome
    }));
    assert_eq!(outcome, Outcome::Stopped);
}

#[tokio::test]
async fn an_idle_connection_wakes_for_its_heartbeats_and_for_nothing_else() {
    const BEATS: usize = 10;
    let (server, _events) =
        serve(ServeOptions { heartbeat: Heartbeat::None, ..ServeOptions::default() }).await;
    let trace = Arc::new(Mutex::new(Vec::new()));
    let sink = trace.clone();
    let mut config = quick();
    config.heartbeat.interval = ms(50);
    let options = Options {
        config,
        trace: Some(Box::new(move |bytes: &[u8]| sink.lock().unwrap().extend_from_slice(bytes))),
        ..Options::default()
    };
    let mut rig = Rig::with(&format!("ws://{}", server.local_addr()), options);
    let turns = || {
        let trace = trace.lock().unwrap();
        let (_, records) = Reader::new(&trace).unwrap();
        records
            .filter(|record| {
                matches!(record.as_ref().unwrap().step, Step::Polled(Next::Wait(_) | Next::Idle))
            })
            .count()
    };
    let ping = |action: &Action| matches!(action, Action::Ping { .. }).then_some(());
    rig.action(ping).await;
    rig.action(ping).await;
    let before = turns();
    for _ in 0..BEATS {
        rig.action(ping).await;
    }
    // The ping is due, it is written, bytes came, a pong came.
    let per_beat = (turns() - before) as f64 / BEATS as f64;
    assert!(per_beat <= 4.5, "{per_beat} turns per heartbeat");
    soon(rig.client.close(Duration::ZERO)).await;
}
