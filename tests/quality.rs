//! The class of a connection: the usual borders, smoothing, hysteresis, missed pongs.

use core::time::Duration;

use everlink::quality::{Config, Monitor, Quality};
use proptest::prelude::*;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// The usual hand-written chain of comparisons.
fn usual_formula(latency: Duration) -> Quality {
    if latency < ms(100) {
        Quality::Excellent
    } else if latency < ms(300) {
        Quality::Good
    } else if latency < ms(1000) {
        Quality::Degraded
    } else {
        Quality::Poor
    }
}

/// A monitor that has seen these.
fn after(config: &Config, samples: impl IntoIterator<Item = Duration>) -> Monitor {
    let mut monitor = Monitor::new();
    for rtt in samples {
        monitor.sample(config, rtt);
    }
    monitor
}

#[test]
fn the_first_sample_is_taken_as_it_is() {
    let monitor = after(&Config::default(), [ms(250)]);
    assert_eq!(monitor.latency(), Some(ms(250)));
    assert_eq!(monitor.jitter(), Duration::ZERO);
    assert_eq!(monitor.quality(), Quality::Good);
}

#[test]
fn a_longer_sample_moves_latency_and_jitter_by_a_quarter_and_a_shorter_one_latency_by_half() {
    let config = Config::default();
    let mut monitor = after(&config, [ms(100), ms(180)]);
    assert_eq!(monitor.latency(), Some(ms(120)));
    assert_eq!(monitor.jitter(), ms(20));
    monitor.sample(&config, ms(40)); // 80 below
    assert_eq!(monitor.latency(), Some(ms(80)));
    assert_eq!(monitor.jitter(), ms(15));
}

#[test]
fn jitter_counts_as_latency() {
    let samples = [ms(80), ms(120), ms(80)]; // smoothed 85 ms, jitter 7.5 ms
    assert_eq!(after(&Config::default(), samples).quality(), Quality::Good);
    let config = Config { jitter_percent: 0, ..Config::default() };
    assert_eq!(after(&config, samples).quality(), Quality::Excellent);
}

#[test]
fn worse_comes_at_the_border_and_better_only_well_below_it() {
    let config = Config { jitter_percent: 0, ..Config::default() };
    let mut monitor = after(&config, [ms(99)]);
    assert_eq!(monitor.quality(), Quality::Excellent);
    monitor.sample(&config, ms(103)); // smoothed to 100 ms
    assert_eq!(monitor.quality(), Quality::Good);
    monitor.sample(&config, ms(80)); // 90 ms
    assert_eq!(monitor.quality(), Quality::Good);
    monitor.sample(&config, ms(89)); // 89.5 ms
    assert_eq!(monitor.quality(), Quality::Excellent);
}

#[test]
fn missed_pongs_degrade_at_once_then_ruin() {
    let config = Config::default();
    let mut monitor = after(&config, [ms(20)]);
    monitor.missed();
    assert_eq!(monitor.quality(), Quality::Degraded);
    monitor.missed();
    assert_eq!(monitor.quality(), Quality::Poor);
    for _ in 0..1000 {
        monitor.missed();
    }
    assert_eq!(monitor.quality(), Quality::Poor);
    monitor.sample(&config, ms(20));
    assert_eq!(monitor.quality(), Quality::Excellent);
    monitor.missed();
    assert_eq!(monitor.quality(), Quality::Degraded, "the row of missed pongs was broken");
}

#[test]
fn a_missed_pong_on_a_fresh_socket_is_known_to_be_bad() {
    let mut monitor = Monitor::new();
    monitor.missed();
    assert_eq!((monitor.quality(), monitor.latency()), (Quality::Degraded, None));
}

#[test]
fn a_missed_pong_does_not_make_a_poor_link_better() {
    let mut monitor = after(&Config::default(), [ms(2000)]);
    monitor.missed();
    assert_eq!(monitor.quality(), Quality::Poor);
}

/// Peers, user report 16: state that survives a reconnect.
#[test]
fn a_new_socket_is_a_clean_slate() {
    let mut monitor = after(&Config::default(), [ms(20), ms(900)]);
    monitor.missed();
    monitor.reset();
    assert_eq!(monitor, Monitor::new());
    assert_eq!((monitor.quality(), monitor.latency()), (Quality::Unknown, None));
}

#[test]
fn the_words_are_lower_case_and_in_order() {
    use Quality::{Degraded, Excellent, Good, Poor, Unknown};
    let all = [Unknown, Excellent, Good, Degraded, Poor];
    assert!(all.is_sorted());
    assert_eq!(all.map(|q| q.to_string()), ["unknown", "excellent", "good", "degraded", "poor"]);
    assert_eq!(format!("{Good:>6}"), "  good");
}

#[test]
fn the_default_is_fine_and_each_fault_names_its_field() {
    let fine = Config::default();
    assert_eq!(fine.check(), Ok(()));
    let faults = [
        ("quality.excellent", Config { excellent: Duration::ZERO, ..fine.clone() }),
        ("quality.good", Config { good: ms(100), ..fine.clone() }),
        ("quality.degraded", Config { degraded: ms(299), ..fine.clone() }),
        ("quality.hysteresis_percent", Config { hysteresis_percent: 100, ..fine.clone() }),
    ];
    for (field, config) in faults {
        assert_eq!(config.check().unwrap_err().field, field);
    }
}

#[test]
fn jitter_counts_by_its_percentage_to_the_microsecond() {
    for (border, quality) in [(226, Quality::Excellent), (225, Quality::Good)] {
        let excellent = Duration::from_micros(border);
        let config = Config { excellent, jitter_percent: 50, hysteresis_percent: 0, ..Config::default() };
        let mut monitor = Monitor::new();
        monitor.sample(&config, Duration::ZERO);
        monitor.sample(&config, Duration::from_micros(600));
        // 150 and half of 150.
        assert_eq!(
            (monitor.latency(), monitor.jitter()),
            (Some(Duration::from_micros(150)), Duration::from_micros(150))
        );
        assert_eq!(monitor.quality(), quality, "border {border}");
    }
}

proptest! {
    #[test]
    fn a_constant_latency_is_classed_as_usual(
        micros in prop_oneof![0..2_000_000_u64, Just(99_999), Just(100_000), Just(299_999), Just(300_000),
                              Just(999_999), Just(1_000_000), any::<u64>()],
        jitter_percent: u16,
        hysteresis_percent in 0..100_u8,
    ) {
        let config = Config { jitter_percent, hysteresis_percent, ..Config::default() };
        let latency = Duration::from_micros(micros);
        for count in [1, 2, 50] {
            let monitor = after(&config, core::iter::repeat_n(latency, count));
            prop_assert_eq!(monitor.quality(), usual_formula(latency));
            prop_assert_eq!(monitor.jitter(), Duration::ZERO);
        }
    }

    #[test]
    fn a_latency_that_stays_is_reached_without_a_remainder(
        before in prop::collection::vec(0..5_000_000_u64, 0..20),
        latency in 0..5_000_000_u64,
    ) {
        let samples = before.into_iter().chain(core::iter::repeat_n(latency, 200)).map(Duration::from_micros);
        let monitor = after(&Config::default(), samples);
        prop_assert_eq!(monitor.latency(), Some(Duration::from_micros(latency)));
        prop_assert_eq!(monitor.jitter(), Duration::ZERO);
    }

    #[test]
    fn a_latency_that_dances_on_a_border_does_not_flap(
        border in prop::sample::select(vec![100_000_u64, 300_000, 1_000_000]),
        hysteresis_percent in 1..30_u8,
        jitter_percent in 0..=200_u16,
        dance in prop::collection::vec(-50..=50_i64, 1..200),
    ) {
        // Each sample within half the hysteresis around the border.
        let config = Config { hysteresis_percent, jitter_percent, ..Config::default() };
        let width = border as i64 * i64::from(hysteresis_percent);
        let mut monitor = Monitor::new();
        let mut classes = vec![];
        for step in dance {
            monitor.sample(&config, Duration::from_micros((border as i64 + width * step / 10_000) as u64));
            classes.push(monitor.quality());
        }
        classes.dedup();
        prop_assert!(classes.len() <= 2, "{classes:?}");
    }

    #[test]
    fn smoothed_latency_lies_between_the_samples(samples in prop::collection::vec(0..5_000_000_u64, 1..50)) {
        let monitor = after(&Config::default(), samples.iter().copied().map(Duration::from_micros));
        let micros = monitor.latency().unwrap().as_micros() as u64;
        prop_assert!(samples.iter().min() <= Some(&micros) && Some(&micros) <= samples.iter().max());
    }

    #[test]
    fn nothing_panics_however_absurd_the_numbers(
        excellent: Duration, good: Duration, degraded: Duration, hysteresis_percent: u8, jitter_percent: u16,
        samples in prop::collection::vec(any::<Option<Duration>>(), 0..50),
    ) {
        let config = Config { excellent, good, degraded, hysteresis_percent, jitter_percent };
        let mut monitor = Monitor::new();
        for sample in samples.into_iter().chain([Some(Duration::MAX), Some(Duration::ZERO), Some(Duration::MAX)]) {
            match sample {
                Some(rtt) => monitor.sample(&config, rtt),
                None => monitor.missed(),
            }
            prop_assert!(monitor.quality() > Quality::Unknown);
            let _ = (monitor.latency(), monitor.jitter());
        }
    }
}

#[cfg(feature = "serde")]
mod as_data {
    use super::*;

    #[test]
    fn a_person_reads_and_writes_it_as_text() {
        assert_eq!(
            toml::to_string(&Config::default()).unwrap(),
            r#"excellent = "100ms"
good = "300ms"
degraded = "1s"
hysteresis_percent = 10
jitter_percent = 100
"#
        );
        assert_eq!(toml::from_str::<Config>("").unwrap(), Config::default());
        assert_eq!(toml::from_str::<Config>("good = \"250 ms\"").unwrap().good, ms(250));
        for fault in ["poor = \"2s\"", "good = 250", "hysteresis_percent = 256"] {
            assert!(toml::from_str::<Config>(fault).is_err(), "{fault}");
        }
        assert_eq!(serde_json::to_string(&Quality::Excellent).unwrap(), "\"excellent\"");
    }

    proptest! {
        #[test]
        fn text_and_bytes_carry_every_configuration(
            (excellent, good, degraded) in any::<(u32, u32, u32)>(), hysteresis_percent: u8, jitter_percent: u16,
        ) {
            let [excellent, good, degraded] =
                [excellent, good, degraded].map(|micros| Duration::from_micros(micros.into()));
            let config = Config { excellent, good, degraded, hysteresis_percent, jitter_percent };
            let text = toml::to_string(&config).unwrap();
            prop_assert_eq!(&toml::from_str::<Config>(&text).unwrap(), &config);
            let mut buffer = [0; 64];
            let bytes = postcard::to_slice(&config, &mut buffer).unwrap();
            prop_assert_eq!(&postcard::from_bytes::<Config>(bytes).unwrap(), &config);
        }
    }
}
