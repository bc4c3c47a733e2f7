//! Delays between attempts: the usual formulas, and the laws of each jitter.

use core::time::Duration;

use everlink::backoff::{Backoff, Cause, Config, Jitter, Ratio};
use everlink::rng::Rng;
use proptest::prelude::*;

const S: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);
const DOUBLE: Ratio = Ratio { numerator: 2, denominator: 1 };
const HALF_MORE: Ratio = Ratio { numerator: 3, denominator: 2 };

/// The first `count` delays after losses.
fn delays(config: &Config, seed: u64, count: usize) -> Vec<Duration> {
    let (mut backoff, mut rng) = (Backoff::new(), Rng::new(seed));
    (0..count).map_while(|_| backoff.next(config, &mut rng, Cause::Lost, false)).collect()
}

/// The delay before the first attempt.
#[expect(clippy::unwrap_used, reason = "a test may be blunt")]
fn one(config: &Config, seed: u64, cause: Cause, hidden: bool) -> Duration {
    Backoff::new().next(config, &mut Rng::new(seed), cause, hidden).unwrap()
}

fn plain(ratio: Ratio) -> Config {
    Config { ratio, jitter: Jitter::None, attempts: None, ..Config::default() }
}

fn jitters() -> impl Strategy<Value = Jitter> {
    prop_oneof![Just(Jitter::None), Just(Jitter::Equal), Just(Jitter::Full), Just(Jitter::Decorrelated)]
}

fn causes() -> impl Strategy<Value = Cause> {
    prop_oneof![
        Just(Cause::Lost),
        any::<Duration>().prop_map(Cause::RetryAfter),
        Just(Cause::Restart),
        Just(Cause::Online)
    ]
}

prop_compose! {
    /// Configurations that work.
    fn configs()(
        base in 1..5_000_000_u64,
        above in 0..60_000_000_u64,
        (denominator, more) in (1..100_u16, 0..300_u16),
        jitter in jitters(),
        attempts in proptest::option::of(1..20_u32),
        (least, spread) in (0..10_000_000_u64, 0..30_000_000_u64),
        hidden_stretch in 1..10_u32,
    ) -> Config {
        Config {
            base: Duration::from_micros(base),
            cap: Duration::from_micros(base + above),
            ratio: Ratio { numerator: denominator + more, denominator },
            jitter,
            attempts,
            restart_spread_min: Duration::from_micros(least),
            restart_spread_max: Duration::from_micros(least + spread),
            hidden_stretch,
            ..Config::default()
        }
    }
}

prop_compose! {
    /// Configurations of all kinds, most of which `check` refuses.
    fn absurd()(
        times in prop::array::uniform7(prop_oneof![
            Just(Duration::ZERO),
            Just(Duration::MAX),
            any::<Duration>(),
            any::<u32>().prop_map(|micros| Duration::from_micros(micros.into())),
        ]),
        (numerator, denominator) in any::<(u16, u16)>(),
        jitter in jitters(),
        attempts in any::<Option<u32>>(),
        hidden_stretch in any::<u32>(),
    ) -> Config {
        let [base, cap, stable_after, retry_after_cap, restart_spread_min, restart_spread_max, online_jitter] = times;
        Config {
            base, cap, stable_after, retry_after_cap, restart_spread_min, restart_spread_max, online_jitter,
            ratio: Ratio { numerator, denominator }, jitter, attempts, hidden_stretch,
        }
    }
}

#[test]
fn doubling_follows_the_usual_formula() {
    // min(reconnectDelay * Math.pow(2, reconnectAttempts - 1), maxReconnectDelay), attempts counted from 1.
    let expected: Vec<Duration> =
        (1..=40_i32).map(|n| S.mul_f64((1000.0 * 2_f64.powi(n - 1)).min(30_000.0) / 1000.0)).collect();
    assert_eq!(delays(&plain(DOUBLE), 0, 40), expected);
}

#[test]
fn three_halves_follows_the_usual_formulas() {
    // Its class: min(1000 * Math.pow(1.5, attempts), 30000), counted after the delay is taken. Its pattern further
    // down counts before, so its first delay is 1.5 s: that is the same ladder from its second rung.
    let formula = |n: i32| (1_000_000.0 * 1.5_f64.powi(n)).min(30_000_000.0).floor() as u128;
    let micros: Vec<u128> = delays(&plain(HALF_MORE), 0, 40).iter().map(Duration::as_micros).collect();
    assert_eq!(micros, (0..40).map(formula).collect::<Vec<_>>());

    let config = Config { base: 1500 * MS, ..plain(HALF_MORE) };
    let micros: Vec<u128> = delays(&config, 0, 40).iter().map(Duration::as_micros).collect();
    assert_eq!(micros, (1..=40).map(formula).collect::<Vec<_>>());
}

#[test]
fn a_ratio_close_to_one_still_grows_from_a_microsecond() {
    let ratio = Ratio { numerator: 101, denominator: 100 };
    let config = Config { base: Duration::from_micros(1), cap: S, ..plain(ratio) };
    assert_eq!(delays(&config, 0, 2_000).last(), Some(&S));
}

#[test]
fn attempts_end_and_stay_ended_until_eased_or_reset() {
    let config = Config::default();
    let (mut backoff, mut rng) = (Backoff::new(), Rng::new(1));
    let mut next = |backoff: &mut Backoff| backoff.next(&config, &mut rng, Cause::Lost, false);
    for attempt in 1..=10 {
        assert!(next(&mut backoff).is_some());
        assert_eq!(backoff.attempt(), attempt);
    }
    assert_eq!((next(&mut backoff), next(&mut backoff)), (None, None));

    backoff.ease();
    assert_eq!(backoff.attempt(), 5);
    assert!(next(&mut backoff).is_some());

    backoff.reset();
    assert_eq!(backoff, Backoff::new());
}

#[test]
fn for_ever_is_for_ever() {
    let config = Config { attempts: None, jitter: Jitter::Decorrelated, ..Config::default() };
    assert_eq!(delays(&config, 1, 10_000).len(), 10_000);
}

#[test]
fn easing_shortens_the_ladder_by_half_its_rungs() {
    let config = plain(DOUBLE);
    let (mut backoff, mut rng) = (Backoff::new(), Rng::new(1));
    for _ in 0..4 {
        backoff.next(&config, &mut rng, Cause::Lost, false);
    }
    backoff.ease();
    assert_eq!(backoff.next(&config, &mut rng, Cause::Lost, false), Some(4 * S));
}

#[test]
fn easing_forgets_the_decorrelated_memory() {
    let config = Config { jitter: Jitter::Decorrelated, attempts: None, ..Config::default() };
    for seed in 0..200 {
        let (mut backoff, mut rng) = (Backoff::new(), Rng::new(seed));
        for _ in 0..10 {
            backoff.next(&config, &mut rng, Cause::Lost, false);
        }
        backoff.ease();
        assert!(backoff.next(&config, &mut rng, Cause::Lost, false).unwrap() <= 3 * S);
    }
}

#[test]
fn a_word_of_the_server_does_not_enter_the_decorrelated_memory() {
    let config = Config { jitter: Jitter::Decorrelated, ..Config::default() };
    for seed in 0..200 {
        let (mut backoff, mut rng) = (Backoff::new(), Rng::new(seed));
        backoff.next(&config, &mut rng, Cause::RetryAfter(300 * S), false);
        assert!(backoff.next(&config, &mut rng, Cause::Lost, false).unwrap() <= 3 * S);
    }
}

#[test]
fn a_retry_after_beyond_the_cap_is_clamped_and_still_spread() {
    let config = Config::default();
    let mut seen: Vec<Duration> =
        (0..100).map(|seed| one(&config, seed, Cause::RetryAfter(Duration::MAX), false)).collect();
    assert!(seen.iter().all(|delay| (600 * S..=601 * S).contains(delay)));
    seen.sort();
    seen.dedup();
    assert!(seen.len() > 90, "peers, user report 7: a herd that was told one number");
}

#[test]
fn a_hidden_page_waits_longer_than_the_cap() {
    let config = Config { base: 30 * S, ..plain(DOUBLE) };
    assert_eq!(one(&config, 0, Cause::Lost, true), 120 * S);
}

/// Peers, user report 7: jitter missing, clamped away by the cap, or absent from the first retry.
#[test]
fn the_default_spreads_the_first_delay_and_the_capped_ones() {
    for rung in [0, 8] {
        let mut seen: Vec<Duration> =
            (0..100).map(|seed| delays(&Config::default(), seed, rung + 1)[rung]).collect();
        seen.sort();
        seen.dedup();
        assert!(seen.len() > 90, "rung {rung}");
    }
}

#[test]
fn the_default_is_fine_and_each_fault_names_its_field() {
    let fine = Config::default();
    assert_eq!(fine.check(), Ok(()));
    let ratio = |numerator, denominator| Ratio { numerator, denominator };
    let faults = [
        ("backoff.base", Config { base: Duration::ZERO, ..fine.clone() }),
        ("backoff.base", Config { base: Duration::from_nanos(999), ..fine.clone() }),
        ("backoff.cap", Config { cap: 999 * MS, ..fine.clone() }),
        ("backoff.ratio", Config { ratio: ratio(2, 0), ..fine.clone() }),
        ("backoff.ratio", Config { ratio: ratio(2, 3), ..fine.clone() }),
        ("backoff.ratio", Config { ratio: ratio(0, 0), ..fine.clone() }),
        ("backoff.attempts", Config { attempts: Some(0), ..fine.clone() }),
        ("backoff.restart_spread_max", Config { restart_spread_max: S, ..fine.clone() }),
        ("backoff.hidden_stretch", Config { hidden_stretch: 0, ..fine.clone() }),
    ];
    for (field, config) in faults {
        assert_eq!(config.check().unwrap_err().field, field);
    }
    assert_eq!(Config { cap: S, ratio: ratio(1, 1), ..fine }.check(), Ok(()));
}

proptest! {
    #[test]
    fn each_jitter_keeps_its_bounds(config in configs(), seed: u64) {
        prop_assert_eq!(config.check(), Ok(()));
        let undrawn = delays(&Config { jitter: Jitter::None, ..config.clone() }, seed, 30);
        let mut previous = config.base;
        for (drawn, undrawn) in delays(&config, seed, 30).into_iter().zip(undrawn) {
            let (least, most) = match config.jitter {
                Jitter::None => (undrawn, undrawn),
                Jitter::Equal => (Duration::from_micros(undrawn.as_micros() as u64 / 2), undrawn),
                Jitter::Full => (Duration::ZERO, undrawn),
                Jitter::Decorrelated => (config.base, (3 * previous).min(config.cap)),
            };
            prop_assert!((least..=most).contains(&drawn), "{drawn:?} outside {least:?}..={most:?}");
            previous = drawn;
        }
    }

    #[test]
    fn the_ladder_never_falls_and_ends_at_the_cap(config in configs()) {
        let config = Config { jitter: Jitter::None, ..config };
        let ladder = delays(&config, 0, 30);
        prop_assert_eq!(ladder[0], config.base);
        prop_assert!(ladder.is_sorted());
        prop_assert!(ladder.iter().all(|delay| *delay <= config.cap));
    }

    #[test]
    fn the_ladder_follows_the_exact_power(
        base in 1..1_000_000_u64, (denominator, more) in (1..10_u16, 0..9_u16), n in 0..12_u32,
    ) {
        let numerator = denominator + more;
        let ratio = Ratio { numerator, denominator };
        let config = Config { base: Duration::from_micros(base), cap: Duration::MAX, ..plain(ratio) };
        let exact = u128::from(base) * u128::from(numerator).pow(n) / u128::from(denominator).pow(n);
        let delay = delays(&config, 0, n as usize + 1)[n as usize].as_micros();
        // A long ladder magnifies its first roundings, of 2⁻³² µs each.
        prop_assert!(delay <= exact && exact - delay <= 1 + (exact >> 24), "{delay} for {exact}");
    }

    #[test]
    fn exactly_as_many_attempts_as_configured(
        config in configs(),
        seed: u64,
        attempts in 1..20_u32,
        causes in prop::collection::vec((causes(), any::<bool>()), 30),
    ) {
        let config = Config { attempts: Some(attempts), ..config };
        let (mut backoff, mut rng) = (Backoff::new(), Rng::new(seed));
        let granted = causes.iter()
            .filter_map(|&(cause, hidden)| backoff.next(&config, &mut rng, cause, hidden)).count();
        prop_assert_eq!(granted, attempts as usize);
        prop_assert_eq!(backoff.attempt(), attempts);
    }

    #[test]
    fn equal_seeds_give_equal_delays(config in configs(), seed: u64) {
        prop_assert_eq!(delays(&config, seed, 30), delays(&config, seed, 30));
    }

    #[test]
    fn causes_keep_their_bounds_and_hiding_stretches_each(
        config in configs(), seed: u64, cause in causes(),
    ) {
        let delay = one(&config, seed, cause, false);
        let (least, most) = match cause {
            Cause::Lost => (Duration::ZERO, config.cap),
            Cause::RetryAfter(asked) => {
                let clamped = asked.min(config.retry_after_cap);
                (clamped, clamped + config.base)
            }
            Cause::Restart => (config.restart_spread_min, config.restart_spread_max),
            Cause::Online => (Duration::ZERO, config.online_jitter),
        };
        prop_assert!((least..=most).contains(&delay));
        prop_assert_eq!(one(&config, seed, cause, true), delay * config.hidden_stretch);
    }

    #[test]
    fn nothing_panics_however_absurd_the_configuration(
        config in absurd(),
        seed: u64,
        causes in prop::collection::vec((causes(), any::<(bool, bool)>()), 50),
    ) {
        let _ = config.check();
        let (mut backoff, mut rng) = (Backoff::new(), Rng::new(seed));
        for (cause, (hidden, ease)) in causes {
            backoff.next(&config, &mut rng, cause, hidden);
            if ease {
                backoff.ease();
            }
        }
    }
}

#[cfg(feature = "serde")]
mod as_data {
    use super::*;

    #[test]
    fn a_person_reads_and_writes_it_as_text() {
        let text =
            toml::to_string(&Config { ratio: HALF_MORE, attempts: None, ..Config::default() }).unwrap();
        assert_eq!(
            text,
            r#"base = "1s"
cap = "30s"
ratio = "3/2"
jitter = "equal"
attempts = "forever"
stable_after = "5s"
retry_after_cap = "10m"
restart_spread_min = "5s"
restart_spread_max = "30s"
online_jitter = "250ms"
hidden_stretch = 4
"#
        );
        assert_eq!(toml::from_str::<Config>("").unwrap(), Config::default());
        for ratio in ["2", "\"2\"", "\"2/1\"", "\"2 / 1\""] {
            assert_eq!(toml::from_str::<Config>(&format!("ratio = {ratio}")).unwrap().ratio, DOUBLE);
        }
    }

    #[test]
    fn what_it_does_not_know_is_refused() {
        let faults = [
            "factor = 2",
            "base = 1",
            "base = \"1\"",
            "attempts = \"never\"",
            "attempts = -1",
            "ratio = \"3/\"",
            "ratio = \"65536\"",
            "ratio = -2",
            "ratio = 65536",
            "ratio = 1.5",
            "ratio = \"1/2/3\"",
            "jitter = \"some\"",
        ];
        for text in faults {
            assert!(toml::from_str::<Config>(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn text_and_bytes_carry_every_configuration(config in configs()) {
            let text = toml::to_string(&config).unwrap();
            prop_assert_eq!(&toml::from_str::<Config>(&text).unwrap(), &config);
            let json = serde_json::to_string(&config).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Config>(&json).unwrap(), &config);
            let mut buffer = [0; 128];
            let bytes = postcard::to_slice(&config, &mut buffer).unwrap();
            prop_assert_eq!(&postcard::from_bytes::<Config>(bytes).unwrap(), &config);
        }
    }
}
