//! What is said in a dialogue is part of a trace.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test may be blunt")]
#![cfg(feature = "serde")]

use everlink::dialogue::{Ask, Content};
use everlink::link::{Action, Config, Event, Input, Link, Next};
use everlink::outbox::Kind;
use everlink::time::Instant;
use everlink::trace::{self, Recorder, Traced};
use everlink::wire::Wire;
use everlink::wire::native::{Announced, Envelope, Token, Welcome};

/// What is said in a dialogue is recorded, and replays to the same answers.
#[test]
fn a_dialogue_replays() {
    let mut bytes = Vec::new();
    let config = Config { wire: Wire::Native(Default::default()), ..Config::default() };
    let recorder = Recorder::new(&config, 7, |part: &[u8]| bytes.extend_from_slice(part));
    let mut link = Traced::new(Link::<Vec<u8>>::new(config, 7).unwrap(), Some(recorder));
    let now = Instant::from_millis;
    link.open_dialogue();
    link.handle(now(1), Input::Start);
    let Next::Do(Action::Open { epoch, .. }) = link.poll() else { panic!("it opens") };
    while matches!(link.poll(), Next::Do(_)) {}
    let frame = |envelope: Envelope<'_>| {
        let mut frame = vec![0; envelope.encoded_len()];
        envelope.encode(&mut frame).unwrap();
        frame
    };
    link.handle(now(5), Input::Socket(epoch, Event::Opened));
    while matches!(link.poll(), Next::Do(_)) {}
    while link.pull(epoch).is_some() {}
    let announced = Announced { envelope: 4096, window: 8, window_bytes: 4096 };
    let welcome = frame(Envelope::Welcome(Welcome {
        version: 1,
        resumed: false,
        received: 0,
        from: 0,
        announced,
        session: 1,
        token: Token::new(b"token"),
    }));
    link.handle(now(6), Input::Socket(epoch, Event::Frame { kind: Kind::Binary, data: &welcome }));
    let (answered, late) = (
        link.request(now(7), &Ask::query("a", "x"), |_, _| ()).unwrap(),
        link.request(now(7), &Ask::command("b", "x"), |_, _| ()).unwrap(),
    );
    let id = link.subscribe(now(7), "news").unwrap();
    link.publish(now(8), "news", Content::Text("x"), |_, _| ()).unwrap();
    link.event(now(8), "moved", Content::Binary(b"x"), |_, _| ()).unwrap();
    let mut actions = 0;
    let mut drain = |link: &mut Traced<Vec<u8>, _, _>| {
        while let Next::Do(action) = link.poll() {
            actions += 1;
            if matches!(action, Action::Flush { .. }) {
                while link.pull(epoch).is_some() {}
            }
        }
    };
    drain(&mut link);
    let answer = frame(Envelope::Response { id: answered.get(), kind: Kind::Text, data: b"y" });
    link.handle(now(9), Input::Socket(epoch, Event::Frame { kind: Kind::Binary, data: &answer }));
    link.cancel_request(now(9), late);
    link.unsubscribe(now(9), id);
    drain(&mut link);
    link.handle(now(20_000), Input::Tick);
    drain(&mut link);
    drop(link);
    let replayed = trace::replay(&bytes).unwrap();
    assert!(replayed.records > 20 && actions > 3);
}
