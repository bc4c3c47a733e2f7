//! A server that dies in the middle, and goes on from the sessions in its file.

mod rig;

use std::path::Path;

use everlink_tokio::server::{Event, Handler, Options, Session, Stop, serve};
use everlink_tokio::{Heard, Message, Notice, Status};
use rig::native::{Seen, Served, brisk, quick_native};
use rig::{Rig, Scratch, ms, soon};
use tokio::net::TcpListener;

fn options(file: &Path) -> Options {
    Options { state: Some(file.to_owned()), ..brisk() }
}

/// The numbers from 0 to `end`, each once and in order.
async fn all(served: &mut Served, from: u32, end: u32) {
    for number in from..end {
        assert_eq!(served.message().await, number.to_string());
    }
}

/// As a kill: nothing is said, nothing more is stored than what is. Gives the address, which is free then.
async fn kill(served: Served) -> String {
    let Served { server, mut seen } = served;
    let addr = server.local_addr().to_string();
    drop(server);
    // The last of its tasks could still tell.
    soon(async { while seen.recv().await.is_some() {} }).await;
    addr
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_dies_in_the_middle_loses_and_repeats_nothing() {
    let scratch = Scratch::new("server-dies");
    let file = scratch.path("sessions");
    let mut served = Served::with(options(&file), |scribe| scribe.echo = true).await;
    let mut rig = Rig::to(&served.url(), quick_native());
    rig.status(Status::Connected).await;
    let id = served.began().await.id();
    let mut sent = 0;
    for life in 0..4 {
        for _ in 0..50 {
            rig.client.send(Message::text(sent.to_string())).unwrap();
            sent += 1;
        }
        // All of them, so that its handler is in the middle of none.
        all(&mut served, sent - 50, sent).await;
        for number in sent - 50..sent {
            assert_eq!(rig.text().await, number.to_string(), "in life {life}");
        }
        let stored = async {
            while rig.client.report().queue.messages > 0 {
                tokio::time::sleep(ms(1)).await;
            }
        };
        soon(stored).await;
        let addr = kill(served).await;
        served = Served::at(&addr, options(&file), |scribe| scribe.echo = true).await;
        assert_eq!(served.began().await.id(), id, "its handler has it before its client is back");
        let resumed = rig.notice(|notice| match notice {
            Notice::Session { resumed, .. } => Some(*resumed),
            _ => None,
        });
        resumed.await;
    }
    assert_eq!(served.server.counts().restored, 1);
    assert_eq!(served.server.counts().opened, 0);
}

#[tokio::test]
async fn a_message_that_the_handler_was_working_on_comes_again() {
    let scratch = Scratch::new("server-works");
    let file = scratch.path("sessions");
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(2));
    let shared = gate.clone();
    let mut served = Served::with(options(&file), |scribe| scribe.gate = shared).await;
    let mut rig = Rig::to(&served.url(), quick_native());
    rig.status(Status::Connected).await;
    let receipts: Vec<_> =
        (0..5).map(|n| rig.client.send_tracked(Message::text(n.to_string())).unwrap()).collect();
    all(&mut served, 0, 2).await;
    let mut receipts = receipts.into_iter();
    for _ in 0..2 {
        soon(receipts.next().unwrap()).await;
    }
    // It works on the third, and on no other.
    let third = receipts.next().unwrap();
    assert!(tokio::time::timeout(ms(300), third).await.is_err(), "and nobody said that it has it");
    let addr = kill(served).await;
    let mut served = Served::at(&addr, options(&file), |_| ()).await;
    all(&mut served, 2, 5).await;
    soon(rig.client.drained()).await;
}

#[tokio::test]
async fn a_planned_restart_ends_no_session() {
    let scratch = Scratch::new("server-stops");
    let file = scratch.path("sessions");
    let mut served = Served::new(options(&file)).await;
    let mut rig = Rig::to(&served.url(), quick_native());
    rig.status(Status::Connected).await;
    let peer = served.began().await;
    rig.client.send(Message::text("one")).unwrap();
    assert_eq!(served.message().await, "one");
    let addr = served.server.local_addr().to_string();
    soon(served.server.stop(Stop { retry_after: ms(50), ..Stop::default() })).await;
    assert!(peer.has_ended());
    let mut served = Served::at(&addr, options(&file), |_| ()).await;
    let again = served.began().await;
    assert_eq!(again.id(), peer.id());
    again.send(Message::text("two")).unwrap();
    assert_eq!(rig.text().await, "two");
    // Over for good, it is not there the next time.
    soon(rig.client.close(ms(1000))).await;
    served.see(|seen| matches!(seen, Seen::Ended(_)).then_some(())).await;
    soon(served.server.stop(Stop::default())).await;
    let served = Served::at(&addr, options(&file), |_| ()).await;
    assert!(served.server.peers().is_empty());
}

#[tokio::test]
async fn what_is_damaged_is_refused_and_a_torn_end_is_not() {
    let scratch = Scratch::new("server-torn");
    let file = scratch.path("sessions");
    let mut served = Served::new(options(&file)).await;
    let mut rig = Rig::to(&served.url(), quick_native());
    rig.status(Status::Connected).await;
    served.began().await;
    kill(served).await;
    let whole = std::fs::read(&file).unwrap();
    for torn in [whole.len() - 1, whole.len() - 40] {
        std::fs::write(&file, &whole[..torn]).unwrap();
        let served = Served::new(options(&file)).await;
        assert!(served.server.peers().len() <= 1);
        kill(served).await;
    }
    let mut damaged = whole.clone();
    damaged[50] ^= 1;
    damaged.extend_from_slice(&whole[20..]);
    std::fs::write(&file, &damaged).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (scribe, _seen) = rig::native::Scribe::new();
    let error = serve(listener, scribe, options(&file)).unwrap_err();
    assert_eq!(error.to_string(), "the states are damaged at byte 20");
    assert_eq!(std::fs::read(&file).unwrap(), damaged, "and it is left alone");
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

#[tokio::test]
async fn a_server_that_dies_still_knows_who_has_subscribed_to_what() {
    let scratch = Scratch::new("server-subscribers");
    let file = scratch.path("sessions");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let server = serve(listener, Host, options(&file)).unwrap();
    let mut rig = Rig::new(addr, quick_native());
    rig.status(Status::Connected).await;
    let mut news = rig.client.subscribe("news").unwrap();
    assert_eq!(soon(news.recv()).await, Some(Heard::Subscribed { gap: false }));
    drop(server);
    let rebound = async {
        loop {
            match TcpListener::bind(addr).await {
                Ok(listener) => break listener,
                Err(_) => tokio::time::sleep(ms(1)).await,
            }
        }
    };
    let server = serve(soon(rebound).await, Host, options(&file)).unwrap();
    // Nobody asks for it again.
    server.broadcast("news", "still here").unwrap();
    let Some(Heard::Published(received)) = soon(news.recv()).await else { panic!("nothing is published") };
    assert_eq!(received.text(), Some("still here"));
    assert_eq!((server.counts().restored, server.counts().opened), (1, 0));
}
