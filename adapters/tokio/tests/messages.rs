//! What becomes of messages: sent, received, ordered, replaced, expired, refused, taken back.

mod rig;

use everlink::outbox::Policy;
use everlink_cli::serve::ServeOptions;
use everlink_tokio::{Error, Key, Message, Outcome, Payload, Priority, RefusedReason, Status};
use futures_util::StreamExt;
use rig::{Rig, Stage, binary, ms, next_data, quick, serve, soon};
use tokio_tungstenite::tungstenite::Message as Ws;

#[tokio::test]
async fn text_and_binary_go_out_and_come_back() {
    let (server, _events) = serve(ServeOptions::default()).await;
    let mut rig = Rig::new(server.local_addr(), quick());
    for text in ["a stroke", "", "ünïcödé 🖊"] {
        rig.client.send(Message::text(text)).unwrap();
        assert_eq!(rig.text().await, text);
    }
    let long = "x".repeat(200_000);
    let receipt = rig.client.send_tracked(Message::text(long.clone())).unwrap();
    assert_eq!(rig.text().await, long);
    assert_eq!(soon(receipt).await, Outcome::Written);
    rig.client.send(Message::binary(b"\0\xFF".as_slice())).unwrap();
    assert_eq!(rig.receive().await, binary(b"\0\xFF"));
    soon(rig.client.drained()).await;
    let report = soon(rig.client.close(ms(0))).await;
    assert_eq!((report.counts.written.get(), report.counts.messages_received.get()), (5, 5));
    assert!(soon(rig.messages.recv()).await.is_none());
}

#[tokio::test]
async fn what_was_queued_before_the_connection_goes_out_in_order_of_priority() {
    let stage = Stage::new().await;
    let rig = Rig::new(stage.addr(), quick());
    for (text, priority) in [
        ("low 1", Priority::Low),
        ("normal 1", Priority::Normal),
        ("high 1", Priority::High),
        ("low 2", Priority::Low),
        ("normal 2", Priority::Normal),
        ("high 2", Priority::High),
    ] {
        rig.client.send(Message::text(text).with_priority(priority)).unwrap();
    }
    assert_eq!(rig.client.report().queue.messages, 6);
    let mut ws = stage.ws().await;
    for text in ["high 1", "high 2", "normal 1", "normal 2", "low 1", "low 2"] {
        assert_eq!(next_data(&mut ws).await, Ws::text(text));
    }
}

#[tokio::test]
async fn receipts_tell_of_expiry_replacement_eviction_and_cancelling() {
    let mut config = quick();
    config.outbox.messages = 3;
    config.outbox.policy = Policy::DropOldest;
    let mut rig = Rig::to("ws://127.0.0.1:1/", config);
    let client = rig.client.clone();

    let brief = client.send_tracked(Message::text("brief").with_ttl(ms(20))).unwrap();
    assert_eq!(soon(brief).await, Outcome::Expired);

    let key = Key::hash(b"cursor");
    let old = client.send_tracked(Message::text("old").with_key(key)).unwrap();
    let new = client.send_tracked(Message::text("new").with_key(key)).unwrap();
    assert_eq!(soon(old).await, Outcome::Replaced);

    let taken = client.send_tracked(Message::text("taken")).unwrap();
    let payload = client.cancel(taken.id()).expect("it is still there");
    assert_eq!(payload, Payload::from("taken"));
    assert_eq!(client.cancel(taken.id()), None);
    assert_eq!(soon(taken).await, Outcome::Cancelled);

    let evicting = ["a", "b", "c"].map(|text| client.send_tracked(Message::text(text)).unwrap());
    assert_eq!(soon(new).await, Outcome::Evicted);

    let counts = client.report().counts.drops;
    assert_eq!(
        [counts.expired, counts.replaced, counts.cancelled, counts.evicted]
            .map(everlink::metrics::Counter::get),
        [1, 1, 1, 1]
    );
    // The observer hears of each, too, displaced or not.
    let mut outcomes = Vec::new();
    while outcomes.len() < 4 {
        outcomes.push(
            rig.action(|action| match action {
                everlink_tokio::Action::Settled(settlement) => Some(settlement.outcome),
                _ => None,
            })
            .await,
        );
    }
    assert_eq!(outcomes, [Outcome::Expired, Outcome::Replaced, Outcome::Cancelled, Outcome::Evicted]);

    soon(rig.client.close(ms(0))).await;
    for receipt in evicting {
        assert_eq!(soon(receipt).await, Outcome::Stopped);
    }
    assert!(matches!(client.send(Message::text("late")), Err(Error::Closed)));
}

#[tokio::test]
async fn a_full_queue_refuses_or_makes_the_sender_wait() {
    let stage = Stage::new().await;
    let mut config = quick();
    config.outbox.messages = 2;
    config.outbox.policy = Policy::Refuse;
    let rig = Rig::new(stage.addr(), config);
    let client = rig.client.clone();
    client.send(Message::text("1")).unwrap();
    client.send(Message::text("2")).unwrap();
    let Err(Error::Refused(refused)) = client.send(Message::text("3")) else { panic!("there is no room") };
    assert_eq!(refused.reason, RefusedReason::Full);
    // What was handed back can be sent as it is.
    let waiting = tokio::spawn(async move { client.send_waiting(refused.message).await.unwrap().await });
    let mut ws = stage.ws().await;
    for text in ["1", "2", "3"] {
        assert_eq!(next_data(&mut ws).await, Ws::text(text));
    }
    assert_eq!(soon(waiting).await.unwrap(), Outcome::Written);
}

#[tokio::test]
async fn who_waits_for_room_is_let_in_by_a_cancel_and_sent_away_by_a_close() {
    let mut config = quick();
    config.outbox.messages = 1;
    config.outbox.policy = Policy::Refuse;
    let rig = Rig::to("ws://127.0.0.1:1/", config);
    let first = rig.client.send(Message::text("first")).unwrap();
    let wait = |text: &'static str| {
        let client = rig.client.clone();
        tokio::spawn(async move { client.send_waiting(Message::text(text)).await })
    };
    let second = wait("second");
    tokio::task::yield_now().await;
    rig.client.cancel(first).unwrap();
    let second = soon(second).await.unwrap().unwrap();
    let third = wait("third");
    tokio::task::yield_now().await;
    soon(rig.client.clone().close(ms(0))).await;
    assert!(matches!(soon(third).await.unwrap(), Err(Error::Closed)));
    assert_eq!(soon(second).await, Outcome::Stopped);
}

#[tokio::test]
async fn what_cannot_be_sent_is_handed_back() {
    let mut config = quick();
    config.outbox.message_bytes = 10;
    let rig = Rig::to("ws://127.0.0.1:1/", config);
    let Err(Error::Refused(refused)) = rig.client.send(Message::binary(vec![0; 11])) else { panic!() };
    assert_eq!(refused.reason, RefusedReason::TooLarge);
    let Err(Error::NotUtf8(message)) = rig.client.send(Message::text(vec![0xFF])) else { panic!() };
    assert_eq!(message.payload, Payload::from(vec![0xFF]));
    assert_eq!(rig.client.report().queue.messages, 0);
}

#[tokio::test]
async fn many_are_sent_at_once_up_to_the_one_that_is_refused() {
    let (server, _events) = serve(ServeOptions::default()).await;
    let mut config = quick();
    (config.outbox.messages, config.outbox.policy) = (3, Policy::Refuse);
    let mut rig = Rig::new(server.local_addr(), config);
    rig.status(Status::Connected).await;
    // None leaves meanwhile: the connection waits, too.
    let mut texts = (0..5).map(|number| Message::text(number.to_string()));
    let refused = rig.client.send_all(texts.by_ref()).unwrap_err();
    let Error::Refused(refused) = refused else { panic!("{refused}") };
    assert_eq!((refused.reason, refused.message.payload.as_ref()), (RefusedReason::Full, b"3".as_slice()));
    for number in 0..3 {
        assert_eq!(rig.text().await, number.to_string());
    }
    soon(rig.client.drained()).await;
    let ids = rig.client.send_all(texts).unwrap();
    assert_eq!(rig.text().await, "4");
    assert_eq!(ids.iter().map(|id| id.sequence()).collect::<Vec<_>>(), [rig.client.last_message()]);
}

#[tokio::test]
async fn clones_share_one_connection() {
    let (server, _events) = serve(ServeOptions::default()).await;
    let mut rig = Rig::new(server.local_addr(), quick());
    let clones: Vec<_> = (0..8).map(|_| rig.client.clone()).collect();
    for (index, client) in clones.iter().enumerate() {
        client.send(Message::text(index.to_string())).unwrap();
    }
    drop(clones);
    for index in 0..8 {
        assert_eq!(rig.text().await, index.to_string());
    }
    assert_eq!(rig.client.status(), Status::Connected);
    assert_eq!(rig.client.report().counts.connects.get(), 1);
}

#[tokio::test]
async fn messages_are_a_stream() {
    let (server, _events) = serve(ServeOptions::default()).await;
    let mut rig = Rig::new(server.local_addr(), quick());
    rig.client.send(Message::text("hello")).unwrap();
    let received = soon(rig.messages.next()).await.unwrap();
    assert_eq!((received.text(), received.data.as_ref()), (Some("hello"), b"hello".as_slice()));
}

#[tokio::test]
async fn who_wants_no_messages_still_sends() {
    let (server, mut events) = serve(ServeOptions::default()).await;
    let Rig { client, messages, notices: _notices } = Rig::new(server.local_addr(), quick());
    drop(messages);
    for number in 0..200 {
        client.send(Message::text(number.to_string())).unwrap();
        soon(client.drained()).await;
    }
    let mut count = 0;
    while count < 200 {
        rig::event(&mut events, |event| {
            matches!(event, everlink_cli::serve::ServerEvent::Received { .. }).then_some(())
        })
        .await;
        count += 1;
    }
    assert_eq!(client.report().counts.connects.get(), 1);
}
