//! What `everlink connect` does where nobody says anything else: one client, watched by a person.

use std::time::Duration;

use everlink::backoff::{self, Ratio};
use everlink::link::Config;

/// The library's configuration is for fleets, which double their waits so that they do not come back as one wave. Of this program there
/// is one, and a person waits for it: a wait is at most a quarter of a second, and a twenty-fifth of how long the outage has lasted (on
/// average, a fiftieth), up to the library's 30 s; and it does not give up. What a server asks for (`Retry-After`, 1012, 1013) is heeded all the same: it may have many clients.
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

    /// The longest wait that chance can give after an outage, where every attempt fails at once (and fewer would be made otherwise).
    #[test]
    fn who_waits_for_a_server_waits_little_longer_than_it_was_away() {
        let config = defaults().backoff;
        assert_eq!(config.check(), Ok(()));
        let mut longest = Duration::ZERO;
        for seed in 0..2000 {
            let (mut backoff, mut rng) = (Backoff::new(), Rng::new(seed));
            let (mut away, mut begun) = (Duration::ZERO, false);
            while away < Duration::from_secs(3600) {
                let wait = backoff.next(&config, &mut rng, Cause::Lost, false).expect("it never gives up");
                assert!(wait >= Duration::from_millis(125), "a storm: {wait:?}");
                let bound = Duration::from_millis(250) + away / 25;
                assert!(wait <= bound.min(config.cap), "seed {seed}: {wait:?} after {away:?}");
                if away <= Duration::from_secs(10) {
                    longest = longest.max(wait);
                }
                begun |= away > Duration::ZERO;
                away += wait;
            }
            assert!(begun);
        }
        println!("longest wait within 10 s: {longest:?}");
    }
}
