//! JSON frames: no harm, the same when written and read again, and JSON if and only if another parser says so. Lines of a frame come to a
//! link and to a server one after the other: each request of the link ends once, and the server closes no socket for them.

use everlink::acceptor::{Principal, Secret};
use everlink::dialogue::{Ask, Content};
use everlink::link::{self, Action, Config, Delivery, Epoch, Event, Input, Link, Spoken};
use everlink::outbox::Kind;
use everlink::peer::{self, Connection, ConnectionAction, ConnectionNext, Heard, Sessions};
use everlink::time::Instant;
use everlink::wire::Wire;
use everlink::wire::json::{Message, Raw};
use serde_json::Value;

/// Any frame, taken for a JSON message: by the codec, by a link, by a server.
pub fn json(data: &[u8]) {
    at_a_client(data);
    at_a_server(data);
    match Message::decode(data) {
        Ok(message) => {
            let mut out = vec![0; message.encoded_len()];
            assert_eq!(message.encode(&mut out), Ok(out.len()));
            assert_eq!(Message::decode(&out), Ok(message));
        }
        Err(error) => assert!(error.at <= data.len(), "{error}"),
    }
    let Ok(text) = core::str::from_utf8(data) else { return };
    match (Raw::new(text), serde_json::from_str::<Value>(text)) {
        (Ok(raw), Ok(value)) => compare(raw, &value),
        (Err(error), theirs) => {
            assert!(error.at <= text.len());
            assert!(theirs.is_err(), "{error}");
        }
        (Ok(_), Err(error)) => {
            let error = error.to_string();
            // It takes less: no number that a float cannot hold, no half of a surrogate pair, one level less.
            let known = ["number out of range", "surrogate", "hex escape", "recursion limit"];
            assert!(known.iter().any(|known| error.contains(known)), "{error}");
        }
    }
}

fn compare(raw: Raw<'_>, value: &Value) {
    assert_eq!(raw.text().map(|text| text.to_string()).as_deref(), value.as_str());
    assert_eq!(raw.text().map(|text| text.to_cow().into_owned()).as_deref(), value.as_str());
    for (key, value) in value.as_object().into_iter().flatten().take(8) {
        compare(raw.field(key).expect("it is there"), value);
    }
}

fn lines(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    data.split(|byte| *byte == b'\n').take(32)
}

fn at_a_client(data: &[u8]) {
    let config = Config { wire: Wire::Json(Default::default()), ..Config::default() };
    let mut link = Link::<Vec<u8>>::new(config, 7).expect("it can work");
    link.open_dialogue();
    let (now, epoch) = (Instant::ORIGIN, Epoch::new(1).expect("not 0"));
    let mut ends = [0; 4];
    drive(&mut link, now, Input::Start, &mut ends);
    drive(&mut link, now, Input::Socket(epoch, Event::Opened), &mut ends);
    let asks = [Ask::query("a", ""), Ask::command("b", "1"), Ask::query("c", "{}")];
    let asked: Vec<_> =
        asks.iter().map(|ask| link.request(now, ask, |_, _| ()).expect("there is room")).collect();
    link.subscribe(now, "a").expect("there is room");
    for data in lines(data) {
        drive(&mut link, now, Input::Socket(epoch, Event::Frame { kind: Kind::Text, data }), &mut ends);
    }
    let later = now + core::time::Duration::from_secs(11);
    drive(&mut link, later, Input::Tick, &mut ends);
    for id in asked {
        assert_eq!(ends.get(id.get() as usize), Some(&1), "request {id}");
    }
}

/// Gives an input, does what is asked, answers what comes, and counts how requests end.
fn drive(link: &mut Link<Vec<u8>>, now: Instant, input: Input<'_>, ends: &mut [u32; 4]) {
    let mut ended = |id: u32| *ends.get_mut(id as usize).expect("it was asked") += 1;
    for delivery in link.handle(now, input) {
        match delivery {
            Delivery::Response { id, .. } | Delivery::Json(Spoken::Error { id: id @ 1.., .. }) => ended(id),
            Delivery::Json(Spoken::Request { id: id @ 1.., .. }) => {
                link.respond(now, id, Content::Text("1"), |_, _| ()).expect("it is awaited");
            }
            _ => {}
        }
    }
    let mut written = 0;
    for _ in 0..1000 {
        match link.poll() {
            link::Next::Do(Action::Flush { epoch }) => {
                while let Some(frame) = link.pull(epoch) {
                    written += frame.payload().len() as u64;
                    assert!(Message::decode(frame.payload()).is_ok(), "{:?}", frame.payload());
                }
                link.handle(now, Input::Socket(epoch, Event::Written(written + (1 << 32)))).for_each(drop);
            }
            link::Next::Do(Action::Ended(end)) => ended(end.id.get()),
            link::Next::Do(_) => {}
            link::Next::Wait(_) | link::Next::Idle => return,
        }
    }
    panic!("it never comes to rest");
}

fn at_a_server(data: &[u8]) {
    let (now, epoch) = (Instant::ORIGIN, Epoch::new(1).expect("not 0"));
    let config = peer::Config::default();
    let mut sessions = Sessions::<Vec<u8>>::new(config.clone(), 7, 256).expect("it can work");
    sessions.open_dialogues();
    let mut connection = Connection::json(&config, now, epoch, None);
    for data in lines(data) {
        let _ = connection.handle(&mut sessions, now, Event::Frame { kind: Kind::Text, data });
        loop {
            match connection.came(&mut sessions, now) {
                Some(Heard::Question(_)) => {
                    let secret = Secret::new([7; Secret::LEN]);
                    assert!(
                        connection.admit(&mut sessions, now, Principal::ANYONE, secret, |_| ()).is_some()
                    );
                }
                Some(Heard::Deliveries(deliveries)) => deliveries.for_each(drop),
                None => break,
            }
        }
        let mut written = 0;
        loop {
            match connection.poll(&mut sessions) {
                ConnectionNext::Do(ConnectionAction::Flush) => {
                    while let Some(frame) = connection.pull(&mut sessions) {
                        written += frame.payload().len() as u64;
                        assert!(Message::decode(frame.payload()).is_ok(), "{:?}", frame.payload());
                    }
                    let _ = connection.handle(&mut sessions, now, Event::Written(written));
                }
                ConnectionNext::Do(ConnectionAction::Close { .. } | ConnectionAction::Abandon) => {
                    panic!("nothing that a client says ends its socket");
                }
                ConnectionNext::Do(_) => {}
                ConnectionNext::Wait(_) | ConnectionNext::Idle => break,
            }
        }
    }
    assert_eq!(sessions.counts().violations, 0);
}
