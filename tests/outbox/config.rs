//! Its configuration, and what it does by default.

use core::time::Duration;

use everlink::outbox::{Arena, Config, Message, Outbox, Policy, Priority};
use everlink::time::Instant;
use proptest::prelude::*;

use Priority::{High, Low, Normal};

#[test]
fn a_configuration_that_cannot_work_is_refused_by_its_field() {
    let fine = Config::default();
    assert_eq!(fine.check(), Ok(()));
    for (config, field) in [
        (Config { messages: 0, ..fine.clone() }, "outbox.messages"),
        (Config { bytes: 0, ..fine.clone() }, "outbox.bytes"),
        (Config { message_bytes: 0, ..fine.clone() }, "outbox.message_bytes"),
        (Config { message_bytes: fine.bytes + 1, ..fine.clone() }, "outbox.message_bytes"),
        (Config { age: Some(Duration::ZERO), ..fine.clone() }, "outbox.age"),
    ] {
        assert_eq!(config.check().unwrap_err().field, field);
    }
}

#[cfg(feature = "serde")]
#[test]
fn a_configuration_reads_as_a_person_writes_it() {
    let text = "messages = 7\nage = \"off\"\npolicy = \"drop-lowest\"\nmessage_bytes = 512\n";
    let config: Config = toml::from_str(text).unwrap();
    let expected = Config {
        messages: 7,
        age: None,
        policy: Policy::DropLowest,
        message_bytes: 512,
        ..Config::default()
    };
    assert_eq!(config, expected);
    assert_eq!(toml::from_str::<Config>(&toml::to_string(&config).unwrap()).unwrap(), config);
    assert!(toml::from_str::<Config>("size = 1").is_err());
}

/// The usual hand-written queue: `add` drops the oldest of 100, `flush` drops what is 60 s old and sorts the rest by priority.
#[derive(Default)]
struct EventQueue {
    queue: Vec<(u64, Priority, u64)>,
}

impl EventQueue {
    fn add(&mut self, event: u64, priority: Priority, now: u64) {
        if self.queue.len() >= 100 {
            self.queue.remove(0);
        }
        self.queue.push((event, priority, now));
    }

    fn flush(&mut self, now: u64) -> Vec<u64> {
        self.queue.retain(|(_, _, timestamp)| now - timestamp < 60_000);
        self.queue.sort_by_key(|(_, priority, _)| match priority {
            High => 0,
            Normal => 1,
            Low => 2,
        });
        self.queue.drain(..).map(|(event, _, _)| event).collect()
    }
}

proptest! {
    #[test]
    fn by_default_it_sends_what_the_event_queue_of_the_seed_document_emits(
        steps in prop::collection::vec(
            (0..1000_u64, prop::sample::select(vec![High, Normal, Low]), prop::bool::weighted(0.01)),
            1..400,
        ),
    ) {
        let mut arena = Arena::with_capacity(200);
        let (mut outbox, config) = (Outbox::new(0), Config::default());
        let mut oracle = EventQueue::default();
        let mut millis = 0;
        for (event, (pause, priority, flush)) in (0..).zip(steps) {
            millis += pause;
            let now = Instant::from_millis(millis);
            oracle.add(event, priority, millis);
            outbox
                .push(&mut arena, &config, now, 8, Message::binary(event).with_priority(priority), |_, _| ())
                .unwrap();
            if flush {
                outbox.expire(&mut arena, now);
                let sent: Vec<u64> =
                    core::iter::from_fn(|| outbox.take(&mut arena).map(|sending| *sending.payload)).collect();
                prop_assert_eq!(sent, oracle.flush(millis));
                outbox.written(&mut arena, u64::MAX);
            }
            while outbox.next_settlement(&mut arena).is_some() {}
        }
    }
}
