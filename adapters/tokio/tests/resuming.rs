//! A session lives through whatever happens to its sockets: nothing is lost, nothing comes twice, nothing out of order.

mod rig;

use everlink::link::{Cause, State};
use everlink_cli::relay::Relay;
use everlink_tokio::{Action, Message, Notice, Options, Outcome, Status};
use rig::native::{Hand, Scribe, Seen, Served, brisk, native, quick_native};
use rig::{Rig, Stage, ms, nervous, soon};
use tokio::net::TcpListener;

/// A client, a relay, and a server that sends everything back.
async fn line(config: everlink_tokio::Config) -> (Served, Relay, Rig) {
    let served = Served::with(brisk(), |scribe| scribe.echo = true).await;
    let relay = Relay::start(served.server.local_addr()).unwrap();
    // Whoever does not take what comes gets no acknowledgements either, and the queue of what he sends fills up.
    let options = Options { config, inbound: 200, ..Options::default() };
    let mut rig = Rig::with(&format!("ws://{}", relay.local_addr()), options);
    rig.status(Status::Connected).await;
    (served, relay, rig)
}

/// Both ends have had each number once, in order.
async fn all_have(served: &mut Served, rig: &mut Rig, numbers: std::ops::Range<u32>) {
    for number in numbers {
        assert_eq!(served.message().await, number.to_string());
        assert_eq!(rig.text().await, number.to_string());
    }
}

#[tokio::test]
async fn what_was_under_way_when_a_socket_was_cut_arrives_once() {
    let mut config = quick_native();
    config.outbox.policy = everlink::outbox::Policy::Refuse;
    let (mut served, relay, mut rig) = line(config).await;
    let mut receipts = Vec::new();
    for round in 0..10 {
        for number in round * 20..round * 20 + 20 {
            receipts.push(soon(rig.client.send_waiting(Message::text(number.to_string()))).await.unwrap());
            if number % 20 == 10 {
                relay.cut().await;
            }
        }
    }
    all_have(&mut served, &mut rig, 0..200).await;
    for receipt in receipts {
        assert_eq!(soon(receipt).await, Outcome::Acknowledged);
    }
    let counts = served.server.counts();
    assert_eq!((counts.opened, counts.restarted), (1, 0));
    assert!(counts.resumed >= 1, "{counts:?}");
}

#[tokio::test]
async fn a_black_hole_is_left_and_what_fell_into_it_is_sent_again() {
    let (mut served, relay, mut rig) = line(native(nervous())).await;
    for round in 0..3 {
        relay.stall().await;
        for number in round * 10..round * 10 + 10 {
            rig.client.send(Message::text(number.to_string())).unwrap();
        }
        rig.status(Status::Degraded).await;
        relay.cut().await;
        relay.pass().await;
        all_have(&mut served, &mut rig, round * 10..round * 10 + 10).await;
    }
    assert_eq!(served.server.counts().opened, 1);
    assert_eq!(rig.client.report().counts.sessions.get(), 1);
}

#[tokio::test]
async fn a_line_that_stalls_and_heals_loses_nothing_and_is_not_killed() {
    let mut config = native(nervous());
    config.heartbeat.misses = 100;
    config.candidate = everlink::link::Candidate::Off;
    let (mut served, relay, mut rig) = line(config).await;
    relay.stall().await;
    rig.client.send(Message::text("0")).unwrap();
    rig.status(Status::Degraded).await;
    relay.pass().await;
    all_have(&mut served, &mut rig, 0..1).await;
    assert_eq!(rig.client.report().counts.attempts.get(), 1);
}

#[tokio::test]
async fn what_the_server_sends_to_a_client_that_is_away_waits_for_it() {
    let (mut served, relay, mut rig) = line(quick_native()).await;
    let peer = served.began().await;
    relay.refuse().await;
    relay.cut().await;
    soon(peer.watch_connected().wait_for(|connected| !connected)).await.unwrap();
    let receipts: Vec<_> =
        (0..10).map(|number| peer.send_tracked(Message::text(number.to_string())).unwrap()).collect();
    relay.pass().await;
    for number in 0..10 {
        assert_eq!(rig.text().await, number.to_string());
    }
    for receipt in receipts {
        assert_eq!(soon(receipt).await, Outcome::Acknowledged);
    }
    assert!(peer.is_connected());
}

#[tokio::test]
async fn a_server_that_was_replaced_knows_no_session_and_says_so() {
    let mut served = Served::new(brisk()).await;
    let addr = served.server.local_addr().to_string();
    let mut rig = Rig::to(&served.url(), quick_native());
    let session = |notice: &Notice| match notice {
        Notice::Session { resumed, .. } => Some(*resumed),
        _ => None,
    };
    assert!(!rig.notice(session).await);
    rig.client.send(Message::text("before")).unwrap();
    assert_eq!(served.message().await, "before");
    served.server.stop(everlink_tokio::server::Stop { retry_after: ms(1), ..Default::default() }).await;
    rig.client.send(Message::text("between")).unwrap();
    let mut served = Served::at(&addr, brisk(), |_| ()).await;
    assert!(!rig.notice(session).await);
    assert_eq!(served.message().await, "between");
    assert_eq!(served.server.counts().opened, 1);
}

#[tokio::test]
async fn a_socket_whose_session_another_one_took_is_told_so() {
    let mut served = Served::new(brisk()).await;
    let mut first = Hand::connect(&served.url()).await;
    first.hello(1, b"", b"ann").await;
    let (resumed, token) = first.welcome().await;
    assert!(!resumed);
    let mut second = Hand::connect(&served.url()).await;
    second.hello(2, &token, b"ann").await;
    assert!(second.welcome().await.0);
    assert_eq!(first.goodbye().await.0, 4100);
    assert_eq!(first.end().await, 4100);
    // A hello that was held up on the way does not take it back.
    let mut late = Hand::connect(&served.url()).await;
    late.hello(1, &token, b"ann").await;
    assert_eq!(late.goodbye().await.0, 4101);
    let peer = served.began().await;
    peer.send(Message::text("to the second")).unwrap();
    let text = second.hear(|envelope| match envelope {
        everlink::wire::native::Envelope::Message { data, .. } => Some(data.to_vec()),
        _ => None,
    });
    assert_eq!(text.await.unwrap(), b"to the second");
}

#[tokio::test]
async fn a_token_that_is_wrong_or_of_someone_else_resumes_nothing() {
    let mut served = Served::new(brisk()).await;
    let mut ann = Hand::connect(&served.url()).await;
    ann.hello(1, b"", b"ann").await;
    let (_, token) = ann.welcome().await;
    let session = served.began().await;
    let mut wrong = token.clone();
    *wrong.last_mut().unwrap() ^= 1;
    for (token, who) in [(&token, b"bob"), (&wrong, b"ann")] {
        let mut other = Hand::connect(&served.url()).await;
        other.hello(2, token, who).await;
        assert!(!other.welcome().await.0);
        assert_ne!(served.began().await.id(), session.id());
    }
    assert!(session.is_connected());
}

#[tokio::test]
async fn a_session_that_is_away_for_too_long_ends_and_its_messages_are_settled() {
    let mut options = brisk();
    options.config.acceptor.sessions.keep = ms(3000);
    let mut served = Served::new(options).await;
    let mut ann = Hand::connect(&served.url()).await;
    ann.hello(1, b"", b"ann").await;
    let (_, token) = ann.welcome().await;
    let peer = served.began().await;
    drop(ann);
    soon(peer.watch_connected().wait_for(|connected| !connected)).await.unwrap();
    let receipt = peer.send_tracked(Message::text("too late")).unwrap();
    assert_eq!(soon(receipt).await, Outcome::Stopped);
    assert_eq!(served.ended().await, peer.id());
    assert!(peer.has_ended());
    assert!(peer.send(Message::text("much too late")).is_err());
    let mut again = Hand::connect(&served.url()).await;
    again.hello(2, &token, b"ann").await;
    assert!(!again.welcome().await.0);
}

#[tokio::test]
async fn a_client_that_closes_for_good_ends_its_session() {
    let mut served = Served::new(brisk()).await;
    let mut rig = Rig::to(&served.url(), quick_native());
    rig.status(Status::Connected).await;
    rig.client.send(Message::text("the last")).unwrap();
    soon(rig.client.close(ms(5000))).await;
    assert_eq!(served.message().await, "the last");
    served.ended().await;
    assert_eq!(served.server.counts().ended, 1);
}

#[tokio::test]
async fn a_server_that_ends_a_session_is_heard() {
    let mut served = Served::new(brisk()).await;
    let mut rig = Rig::to(&served.url(), quick_native());
    let peer = served.began().await;
    peer.end(4001, ms(0));
    let code = rig.notice(|notice| match notice {
        Notice::Goodbye { code, .. } => Some(*code),
        _ => None,
    });
    assert_eq!(code.await, 4001);
    rig.state(|state| matches!(state, State::Failed { .. })).await;
    served.ended().await;
}

#[tokio::test]
async fn who_demands_the_native_wire_does_not_fall_back() {
    // It speaks WebSocket, and no sub-protocol.
    let stage = Stage::new().await;
    let mut rig = Rig::new(stage.addr(), quick_native());
    let _socket = stage.ws().await;
    let cause = rig.action(|action| match action {
        Action::RetryScheduled { cause, .. } => Some(*cause),
        _ => None,
    });
    let cause = cause.await;
    assert!(matches!(cause, Cause::Failure(everlink_tokio::Failure::Handshake)), "{cause:?}");
    assert_eq!(rig.client.report().counts.connects.get(), 0);
}

#[tokio::test]
async fn credentials_go_into_the_hello_and_can_be_renewed() {
    let mut served = Served::new(brisk()).await;
    let target = everlink_tokio::Target::new(&served.url()).unwrap().credentials("ann");
    let mut rig = Rig::from_source(
        move |_| std::future::ready(Ok(target.clone())),
        everlink_tokio::Options { config: quick_native(), ..Default::default() },
    );
    rig.status(Status::Connected).await;
    assert_eq!(served.began().await.principal().number(), Some(1));
    rig.client.renew("ann, again");
    let renewed = served.see(|seen| match seen {
        Seen::Renewed(credentials) => Some(credentials),
        _ => None,
    });
    assert_eq!(renewed.await, b"ann, again");
}

#[tokio::test]
async fn credentials_that_are_not_good_are_final() {
    let served = Served::new(brisk()).await;
    let target = everlink_tokio::Target::new(&served.url()).unwrap().credentials("eve");
    let rig = Rig::from_source(
        move |_| std::future::ready(Ok(target.clone())),
        everlink_tokio::Options { config: quick_native(), ..Default::default() },
    );
    let state = rig.state(|state| matches!(state, State::Failed { .. })).await;
    assert_eq!(state, State::Failed { cause: Cause::Closed(4001) });
    assert_eq!(served.server.counts().opened, 0);
}

#[tokio::test]
async fn a_dropped_server_is_gone_and_its_handlers_with_it() {
    let (scribe, mut seen) = Scribe::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = everlink_tokio::server::serve(listener, scribe, brisk()).unwrap();
    let mut hand = Hand::connect(&format!("ws://{}/", server.local_addr())).await;
    hand.hello(1, b"", b"ann").await;
    hand.welcome().await;
    drop(server);
    assert_eq!(hand.end().await, 1006);
    // The last of those that could tell is gone.
    soon(async { while seen.recv().await.is_some() {} }).await;
}
