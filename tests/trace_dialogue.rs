//! What is said in a dialogue is part of a trace.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test may be blunt")]
#![cfg(feature = "serde")]

use everlink::channels::State;
use everlink::dialogue::{Ask, Content, Refused};
use everlink::link::{Action, Config, Epoch, Event, Input, Link, Next};
use everlink::outbox::Kind;
use everlink::time::Instant;
use everlink::trace::{self, Recorder, Traced};
use everlink::wire::Wire;
use everlink::wire::native::{Announced, Envelope, Form, Limits, Reader, Request, Token, Welcome};

/// Of a session that has just begun.
fn new_session() -> Welcome<'static> {
    Welcome {
        version: 1,
        resumed: false,
        received: 0,
        from: 0,
        announced: Announced { envelope: 4096, window: 8, window_bytes: 4096 },
        session: 1,
        token: Token::new(b"token"),
    }
}

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
    let welcome = frame(Envelope::Welcome(new_session()));
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

/// A recorded link, welcome on its first socket.
#[allow(clippy::type_complexity, reason = "of a test")]
fn welcome(config: &Config) -> (Traced<Vec<u8>, everlink::outbox::Storage<Vec<u8>>, fn(&[u8])>, Epoch) {
    let recorder: Recorder<fn(&[u8])> = Recorder::new(config, 7, |_| ());
    let mut link = Traced::new(Link::<Vec<u8>>::new(config.clone(), 7).unwrap(), Some(recorder));
    link.handle(Instant::ORIGIN, Input::Start);
    let epoch = Epoch::new(1).unwrap();
    while matches!(link.poll(), Next::Do(_)) {}
    link.handle(Instant::ORIGIN, Input::Socket(epoch, Event::Opened));
    while matches!(link.poll(), Next::Do(_)) {}
    while link.pull(epoch).is_some() {}
    hear(&mut link, epoch, Envelope::Welcome(new_session()));
    (link, epoch)
}

fn hear<F: FnMut(&[u8])>(
    link: &mut Traced<Vec<u8>, everlink::outbox::Storage<Vec<u8>>, F>,
    epoch: Epoch,
    envelope: Envelope<'_>,
) {
    let mut data = vec![0; envelope.encoded_len()];
    envelope.encode(&mut data).unwrap();
    let event = Event::Frame { kind: Kind::Binary, data: &data };
    link.handle(Instant::ORIGIN, Input::Socket(epoch, event)).for_each(drop);
}

#[test]
fn a_recorded_link_says_what_a_link_says() {
    let config = Config { wire: Wire::Native(Default::default()), ..Config::default() };
    let (mut link, epoch) = welcome(&config);
    let now = Instant::ORIGIN;
    assert_eq!(link.request(now, &Ask::query("a", ""), |_, _| ()), Err(Refused::NoDialogue));
    link.open_dialogue();
    let id = link.request(now, &Ask::query("a", ""), |_, _| ()).unwrap();
    assert!(link.cancel_request(now, id) && !link.cancel_request(now, id));
    let news = link.subscribe(now, "news").unwrap();
    assert_eq!(link.subscription(news), Some(State::Pending));
    assert!(link.unsubscribe(now, news) && !link.unsubscribe(now, news));
    for id in [5, 6] {
        let (form, name, kind, data) = (Form::Query, "b", Kind::Text, b"".as_slice());
        hear(&mut link, epoch, Envelope::Request(Request { id, form, name, kind, data }));
    }
    assert_eq!(link.respond(now, 5, Content::Text("good"), |_, _| ()), Ok(()));
    assert_eq!(link.respond(now, 5, Content::Text("again"), |_, _| ()), Err(Refused::NotAwaited));
    assert_eq!(link.reject(now, 6, 7, "bad", |_, _| ()), Ok(()));
    assert_eq!(link.reject(now, 6, 7, "again", |_, _| ()), Err(Refused::NotAwaited));
    link.event(now, "moved", Content::Text("event"), |_, _| ()).unwrap();
    link.publish(now, "news", Content::Text("confirmed"), |_, _| ()).unwrap();
    link.publish_unconfirmed(now, "news", Content::Text("unconfirmed"), |_, _| ()).unwrap();
    let (mut said, limits) = (Vec::new(), Limits::default());
    while matches!(link.poll(), Next::Do(_)) {
        while let Some(frame) = link.pull(epoch) {
            let frame = [frame.head(), frame.payload()].concat();
            let reader = Reader::new(&frame, &limits).map(|item| format!("{:?}", item.unwrap()));
            said.extend(reader);
        }
    }
    let said = said.join("\n");
    for word in ["Response", "Error", "\"moved\"", "Publish"] {
        assert!(said.contains(word), "{word} is missing in {said}");
    }
    assert_eq!(said.matches("Publish").count(), 2);
}
