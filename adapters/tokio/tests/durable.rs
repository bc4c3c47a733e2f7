//! A process that dies in the middle, and goes on from the state in its file.

mod rig;

use everlink_tokio::server::{Event, Handler, Session, serve};
use everlink_tokio::{Error, Heard, Message, Notice, Options, connect};
use rig::native::{Served, brisk, quick_native};
use rig::{Rig, Scratch, soon};
use tokio::net::TcpListener;

fn options(scratch: &Scratch) -> Options {
    let mut config = quick_native();
    config.outbox.messages = 1000;
    Options { config, state: Some(scratch.path("state")), ..Options::default() }
}

/// One life of a process, which ends while messages are on their way: nothing of it says goodbye or is written any more.
fn life(url: String, options: Options, numbers: std::ops::Range<u32>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let rig = Rig::with(&url, options);
        for number in numbers {
            rig.client.send(Message::text(number.to_string())).unwrap();
        }
        // More than the window: so one of them was numbered, and stored, when all had been sent.
        let acknowledged = || rig.client.report().counts.acknowledged.get();
        let enough = acknowledged() + 66;
        soon(async {
            while acknowledged() < enough {
                tokio::time::sleep(rig::ms(1)).await;
            }
        })
        .await;
        // Dropping it would close it.
        std::mem::forget(rig);
    });
    // A process that is killed writes nothing afterwards: what a thread has begun to write must not end up over the next life's.
    runtime.shutdown_timeout(rig::ms(20_000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_dies_in_the_middle_loses_and_repeats_nothing() {
    let scratch = Scratch::new("dies");
    let mut served = Served::new(brisk()).await;
    let url = served.url();
    for round in 0..3 {
        let (url, options) = (url.clone(), options(&scratch));
        let numbers = round * 200..round * 200 + 200;
        tokio::task::spawn_blocking(move || life(url, options, numbers)).await.unwrap();
    }
    // A last life that sends nothing of its own.
    let mut rig = Rig::with(&url, options(&scratch));
    let resumed = rig.notice(|notice| match notice {
        Notice::Session { resumed, .. } => Some(*resumed),
        _ => None,
    });
    assert!(resumed.await);
    soon(rig.client.drained()).await;
    for number in 0..600 {
        assert_eq!(served.message().await, number.to_string());
    }
    assert_eq!(served.server.counts().opened, 1);
    soon(rig.client.close(rig::ms(0))).await;
}

/// Whoever asks for a channel gets it.
struct Host;

impl Handler for Host {
    async fn session(&self, mut session: Session) {
        while let Some(event) = session.recv().await {
            if let Event::Subscribe(wish) = event {
                wish.accept().await.unwrap();
            }
        }
    }
}

/// One life of a process that gets what it subscribes to.
fn subscribed(url: &str, options: Options, channels: [&str; 2]) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let rig = Rig::with(url, options);
        let subscriptions = channels.map(|channel| rig.client.subscribe(channel).unwrap());
        for mut subscription in subscriptions {
            assert_eq!(soon(subscription.recv()).await, Some(Heard::Subscribed { gap: false }));
            std::mem::forget(subscription);
        }
        std::mem::forget(rig);
    });
    runtime.shutdown_timeout(rig::ms(20_000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_client_that_died_had_subscribed_to_takes_no_room_from_its_next_life() {
    let scratch = Scratch::new("subscribers");
    let mut bounds = brisk();
    bounds.config.channels.subscriptions = 2;
    let server = serve(TcpListener::bind("127.0.0.1:0").await.unwrap(), Host, bounds).unwrap();
    let url = format!("ws://{}/", server.local_addr());
    for channels in [["a", "b"], ["b", "c"], ["d", "e"]] {
        let (url, options) = (url.clone(), options(&scratch));
        tokio::task::spawn_blocking(move || subscribed(&url, options, channels)).await.unwrap();
    }
    assert_eq!(server.counts().opened, 1);
}

#[tokio::test]
async fn a_file_that_holds_no_state_is_refused_and_left_alone() {
    let scratch = Scratch::new("foreign");
    std::fs::write(scratch.path("state"), b"a shopping list").unwrap();
    let source = |_| async { Err("is not asked".into()) };
    let error = everlink_tokio::connect_with(source, options(&scratch)).unwrap_err();
    assert!(matches!(error, Error::State(_)), "{error}");
    assert_eq!(std::fs::read(scratch.path("state")).unwrap(), b"a shopping list");
}

#[tokio::test]
async fn the_durable_mode_wants_a_file() {
    let mut config = quick_native();
    config.delivery.durable = true;
    let error = connect("ws://127.0.0.1:1/", config).unwrap_err();
    assert_eq!(error.to_string(), "delivery.durable needs a file for the state");
}
