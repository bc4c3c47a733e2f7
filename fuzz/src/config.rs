//! Configurations as people and as programs write them.

use core::time::Duration;

use everlink::link::{Config, Failure, Link};
use everlink::outbox::{Kind, Priority};
use everlink::time::Instant;

use crate::books::Books;
use crate::steps::{Happening, Of, Step};

/// How long a link lives with the configuration.
const HOURS: Duration = Duration::from_secs(6 * 3600);
/// And through how many wake-ups at most.
const ROUNDS: usize = 300;

/// Reads the bytes as TOML and as postcard; what can be read is written back the same, and is refused or can be lived with.
pub fn config(data: &[u8]) {
    let text = core::str::from_utf8(data).ok().and_then(|text| toml::from_str::<Config>(text).ok());
    let binary = postcard::from_bytes::<Config>(data).ok();
    for config in [text, binary].into_iter().flatten() {
        come_back(&config);
        live(config);
    }
}

fn come_back(config: &Config) {
    let text = toml::to_string(config).expect("a configuration can be written");
    let read = toml::from_str::<Config>(&text);
    assert_eq!(read.as_ref(), Ok(config), "{text}");
    let bytes = postcard::to_allocvec(config).expect("a configuration can be written");
    assert_eq!(postcard::from_bytes::<Config>(&bytes).as_ref(), Ok(config));
}

fn live(mut config: Config) {
    // More slots change nothing but the memory.
    config.outbox.messages = config.outbox.messages.min(16);
    let checked = config.check();
    let link = match Link::<Vec<u8>>::new(config, 7) {
        Ok(link) => link,
        Err(error) => {
            assert_eq!(checked, Err(error));
            assert!(error.to_string().starts_with(error.field));
            return;
        }
    };
    assert_eq!(checked, Ok(()));
    let newest = |what| Step::Socket(Of::Newest, what);
    let send = |priority, ttl| Step::Send { len: 20, priority, ttl, key: None };
    let minute = Duration::from_secs(60);
    let turns = [
        Step::Start,
        newest(Happening::Failed(Failure::Dns)),
        send(Priority::Low, None),
        newest(Happening::Opened),
        newest(Happening::Answer),
        Step::Pull(Of::Newest, 5),
        newest(Happening::Wrote(20)),
        newest(Happening::Frame(Kind::Text, b"news".to_vec())),
        newest(Happening::Answer),
        send(Priority::High, Some(minute)),
        Step::Pull(Of::Newest, 5),
        Step::Tick,
        Step::Tick,
        newest(Happening::Opened),
        newest(Happening::Ping),
        Step::Hidden,
        newest(Happening::Closed(Some(1012), None)),
        Step::Tick,
        Step::Visible,
        newest(Happening::Opened),
        Step::Offline,
        Step::Tick,
        Step::Online,
        newest(Happening::Closed(Some(1001), Some(minute))),
        Step::Suspended(minute),
    ];
    let mut books = Books::new(link);
    let end = Instant::ORIGIN + HOURS;
    for turn in turns.iter().cycle().take(ROUNDS) {
        books.apply(turn);
        books.apply(&Step::Drain);
        if books.link.deadline().is_some_and(|at| at <= end) {
            books.apply(&Step::Deadline);
        } else {
            books.apply(&Step::Pass(minute));
            books.apply(&Step::Tick);
        }
        if books.now > end {
            break;
        }
    }
    books.wind_up();
}
