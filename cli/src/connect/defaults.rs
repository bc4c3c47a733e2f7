//! What `everlink connect` does where nobody says anything else: one client, watched by a person.

use std::time::Duration;

use everlink::backoff::{self, Ratio};
use everlink::link::Config;

/// The library's configuration is for fleets, whose waits double so that they do not come back as one wave. Of this program there is
/// one, and a person waits for it: it waits at most a quarter of a second and a twenty-fifth of how long the outage has lasted (on
/// average half of that), up to the library's 30 s, and does not give up. What a server asks for (`Retry-After`, 1012, 1013) is heeded
/// as in the library, for the server may have a fleet of clients, and this be one of them.
pub(crate) fn defaults() -> Config {
    let backoff = backoff::Config {
        base: Duration::from_millis(250),
        ratio: Ratio { numerator: 51, denominator: 50 },
        attempts: None,
        ..backoff::Config::default()
    };
    Config { backoff, ..Config::default() }
}

#[cfg(test)]
mod tests {
    use everlink::backoff::{Backoff, Cause};
    use everlink::rng::Rng;

    use super::*;

    #[test]
    fn who_waits_for_a_server_waits_little_longer_than_it_was_away_and_is_no_storm() {
        let config = defaults().backoff;
        assert_eq!(config.check(), Ok(()));
        for seed in 0..500 {
            let (mut backoff, mut rng) = (Backoff::new(), Rng::new(seed));
            let mut away = Duration::ZERO; // every attempt fails at once, which makes as many as there can be
            while away < Duration::from_secs(3600) {
                let wait = backoff.next(&config, &mut rng, Cause::Lost, false).expect("it never gives up");
                let most = Duration::from_millis(250) + away / 25;
                assert!(wait <= most.min(config.cap), "seed {seed}: {wait:?} after {away:?}");
                assert!(wait >= Duration::from_millis(125), "seed {seed}: {wait:?} after {away:?}");
                away += wait;
            }
            assert!(backoff.attempt() < 500, "seed {seed}: {} attempts in an hour", backoff.attempt());
        }
    }
}
