//! Configurations that cannot work are refused by an error that names the field.
#![allow(clippy::expect_used, clippy::panic, reason = "a test may be blunt")]

use core::time::Duration;

use everlink::backoff::Ratio;
use everlink::heartbeat::Mode;
use everlink::link::{Config, Link};
use everlink::outbox::Slot;
use everlink::wire::Wire;
use everlink::wire::raw::{self, Pattern, Style};

const ZERO: Duration = Duration::ZERO;

fn raw(change: impl FnOnce(&mut raw::Config)) -> Wire {
    let mut config = raw::Config { heartbeat: Style::Bytes, ..raw::Config::default() };
    change(&mut config);
    Wire::Raw(config)
}

type Row = (&'static str, fn(&mut Config));

const IMPOSSIBLE: &[Row] = &[
    ("open_timeout", |c| c.open_timeout = ZERO),
    ("open_timeout", |c| c.open_timeout = Duration::from_nanos(999)),
    ("close_timeout", |c| c.close_timeout = ZERO),
    ("stall_after", |c| c.stall_after = ZERO),
    ("suspended_after", |c| c.suspended_after = ZERO),
    ("heartbeat.interval", |c| c.heartbeat.interval = ZERO),
    ("heartbeat.timeout", |c| c.heartbeat.timeout = ZERO),
    ("heartbeat.min_timeout", |c| c.heartbeat.min_timeout = ZERO),
    ("heartbeat.probe_timeout", |c| c.heartbeat.probe_timeout = ZERO),
    ("heartbeat.misses", |c| c.heartbeat.misses = 0),
    ("heartbeat.early", |c| c.heartbeat.early = Some(ZERO)),
    ("heartbeat.measure", |c| c.heartbeat.measure = Some(ZERO)),
    ("heartbeat.watchful_interval", |c| c.heartbeat.watchful_interval = ZERO),
    ("heartbeat.hidden_stretch", |c| c.heartbeat.hidden_stretch = 0),
    ("backoff.base", |c| c.backoff.base = ZERO),
    ("backoff.cap", |c| c.backoff.cap = Duration::from_millis(999)),
    ("backoff.ratio", |c| c.backoff.ratio = Ratio { numerator: 2, denominator: 0 }),
    ("backoff.ratio", |c| c.backoff.ratio = Ratio { numerator: 2, denominator: 3 }),
    ("backoff.attempts", |c| c.backoff.attempts = Some(0)),
    ("backoff.restart_spread_max", |c| c.backoff.restart_spread_max = Duration::from_secs(1)),
    ("backoff.hidden_stretch", |c| c.backoff.hidden_stretch = 0),
    ("outbox.messages", |c| c.outbox.messages = 0),
    ("outbox.messages", |c| c.outbox.messages = u32::MAX),
    ("outbox.bytes", |c| c.outbox.bytes = 0),
    ("outbox.message_bytes", |c| c.outbox.message_bytes = 0),
    ("outbox.message_bytes", |c| c.outbox.bytes = 1_000),
    ("outbox.age", |c| c.outbox.age = Some(ZERO)),
    ("quality.excellent", |c| c.quality.excellent = ZERO),
    ("quality.good", |c| c.quality.good = Duration::from_millis(100)),
    ("quality.degraded", |c| c.quality.degraded = Duration::from_millis(300)),
    ("quality.hysteresis_percent", |c| c.quality.hysteresis_percent = 100),
    ("requests.timeout", |c| c.requests.timeout = ZERO),
    ("requests.pending", |c| c.requests.pending = 0),
    ("requests.answer_timeout", |c| c.requests.answer_timeout = ZERO),
    ("requests.incoming", |c| c.requests.incoming = 0),
    ("channels.subscriptions", |c| c.channels.subscriptions = 0),
    ("channels.name_bytes", |c| c.channels.name_bytes = 0),
    ("wire.raw.ping", |c| c.wire = raw(|raw| raw.ping = Pattern::NONE)),
    ("wire.raw.pong", |c| c.wire = raw(|raw| raw.pong = Pattern::NONE)),
    ("wire.raw.pong", |c| {
        c.wire = raw(|_| ());
        c.heartbeat.mode = Mode::Both;
    }),
];

#[test]
fn every_impossible_configuration_names_its_field() {
    for (row, (field, change)) in IMPOSSIBLE.iter().enumerate() {
        let mut config = Config::default();
        change(&mut config);
        let error = config.check().expect_err(field);
        assert_eq!(error.field, *field, "row {row}: {error}");
        assert!(error.to_string().starts_with(field));
        assert_eq!(Link::<Vec<u8>>::new(config, 1).err(), Some(error), "a link is not made of it either");
    }
}

#[test]
fn the_defaults_are_those_that_were_promised() {
    let config = Config::default();
    let seconds = Duration::from_secs;
    assert!(config.check().is_ok());
    assert_eq!(config.open_timeout, seconds(10));
    assert_eq!((config.heartbeat.interval, config.heartbeat.timeout), (seconds(15), seconds(5)));
    assert_eq!(config.heartbeat.min_timeout, seconds(1));
    assert_eq!(config.heartbeat.early, Some(seconds(2)));
    assert_eq!(config.heartbeat.margin, seconds(1));
    assert_eq!((config.backoff.base, config.backoff.cap), (seconds(1), seconds(30)));
    assert_eq!(config.backoff.attempts, Some(10));
    assert_eq!(config.backoff.online_jitter, Duration::from_millis(250));
    assert_eq!((config.outbox.messages, config.outbox.age), (100, Some(seconds(60))));
    assert!(!config.retry.final_normal);
}

#[test]
fn extremes_that_can_work_do() {
    let mut config = Config::default();
    (config.requests.pending, config.requests.incoming) = (1, 1);
    (config.channels.subscriptions, config.channels.name_bytes) = (1, 1);
    config.requests.timeout = Duration::from_micros(1);
    config.requests.answer_timeout = Duration::from_micros(1);
    for long in [&mut config.open_timeout, &mut config.heartbeat.interval, &mut config.backoff.cap] {
        *long = Duration::MAX;
    }
    config.heartbeat.misses = u8::MAX;
    config.heartbeat.hidden_stretch = u32::MAX;
    config.backoff.ratio = Ratio { numerator: u16::MAX, denominator: 1 };
    assert!(config.check().is_ok());
    let mut link = Link::<Vec<u8>>::new(config, 1).expect("it can work");
    link.handle(everlink::time::Instant::from_micros(u64::MAX / 2), everlink::link::Input::Start);
    while let everlink::link::Next::Do(_) = link.poll() {}
}

#[test]
fn slots_must_suffice_for_the_queue() {
    let error = Link::<Vec<u8>, _>::with_slots(Config::default(), 1, [const { Slot::EMPTY }; 99]).err();
    assert_eq!(error.map(|error| error.field), Some("outbox.messages"));
    assert!(Link::<Vec<u8>, _>::with_slots(Config::default(), 1, [const { Slot::EMPTY }; 100]).is_ok());
}

#[cfg(feature = "serde")]
mod text {
    use super::{Config, Duration, IMPOSSIBLE, Pattern, Ratio, raw};

    fn round_trip(config: &Config) -> Config {
        let text = toml::to_string(config).expect("a configuration can be written");
        toml::from_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
    }

    #[test]
    fn toml_gives_back_what_it_was_made_of() {
        assert_eq!(round_trip(&Config::default()), Config::default());
        let mut config = Config::default();
        config.heartbeat.early = None;
        config.outbox.age = None;
        config.backoff.attempts = None;
        config.backoff.ratio = Ratio { numerator: 3, denominator: 2 };
        config.retry.final_close.insert(4002);
        config.wire = raw(|raw| raw.ping = Pattern::text("hb").expect("it is short"));
        assert_eq!(round_trip(&config), config);
        for (_, change) in IMPOSSIBLE.iter().filter(|(field, _)| *field != "open_timeout") {
            let mut config = Config::default();
            change(&mut config);
            assert_eq!(round_trip(&config), config, "text holds it; the check refuses it");
        }
    }

    #[test]
    fn a_duration_has_the_largest_unit_that_keeps_all_of_it() {
        for (micros, text) in [
            (0, "0s"),
            (1, "1us"),
            (999, "999us"),
            (1_000, "1ms"),
            (1_500_000, "1500ms"),
            (59_000_000, "59s"),
            (60_000_000, "1m"),
            (90_000_000, "90s"),
            (3_600_000_000, "1h"),
            (5_400_000_000, "90m"),
        ] {
            let config = Config { open_timeout: Duration::from_micros(micros), ..Config::default() };
            let written = toml::to_string(&config).expect("a configuration can be written");
            assert!(written.contains(&format!("open_timeout = \"{text}\"\n")), "{text}: {written}");
            assert_eq!(round_trip(&config), config);
        }
    }

    #[test]
    fn bytes_give_back_what_they_were_made_of() {
        let mut config = Config::default();
        config.heartbeat.early = None;
        config.heartbeat.measure = Some(Duration::from_micros(1_234_567));
        config.outbox.age = None;
        config.backoff.attempts = None;
        for config in [config, Config::default()] {
            let mut buffer = [0; 512];
            let bytes = postcard::to_slice(&config, &mut buffer).expect("there is room");
            assert_eq!(postcard::from_bytes::<Config>(bytes).as_ref(), Ok(&config));
        }
    }

    #[test]
    fn a_part_may_be_said_and_the_rest_is_default() {
        let text = "open_timeout = '3s'\n[heartbeat]\ninterval = '250ms'\nearly = 'off'\n[backoff]\nattempts = 'forever'\nratio = '3/2'";
        let config: Config = toml::from_str(text).expect("it is well-formed");
        assert_eq!(config.open_timeout, Duration::from_secs(3));
        assert_eq!(config.heartbeat.interval, Duration::from_millis(250));
        assert_eq!((config.heartbeat.early, config.backoff.attempts), (None, None));
        assert_eq!(config.outbox, everlink::outbox::Config::default());
    }

    #[test]
    fn what_is_misspelt_is_named() {
        for (text, wanted) in [
            ("open_timout = '3s'", "open_timout"),
            ("[heartbeat]\nintervall = '1s'", "intervall"),
            ("open_timeout = 3", "duration"),
            ("open_timeout = '3'", "duration"),
            ("[heartbeat]\nearly = 'never'", "off"),
            ("[backoff]\nattempts = -1", "forever"),
            ("[backoff]\nattempts = '5'", "a whole number"),
            ("[backoff]\nratio = '1/'", "a ratio of numbers"),
            ("[wire.raw]\nping = 'hex:0'", "pattern"),
        ] {
            let error = toml::from_str::<Config>(text).expect_err(text).to_string();
            assert!(error.contains(wanted), "{error}");
        }
    }
}
