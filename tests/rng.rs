//! The generator of jitter: the published sequence, and ranges that are kept and used to both ends.

use core::time::Duration;

use everlink::rng::Rng;
use proptest::prelude::*;

#[test]
fn the_sequence_is_that_of_splitmix64() {
    let mut rng = Rng::new(1_234_567);
    let bits = core::array::from_fn(|_| rng.bits());
    let published: [u64; 5] = [
        6_457_827_717_110_365_317,
        3_203_168_211_198_807_973,
        9_817_491_932_198_370_423,
        4_593_380_528_125_082_431,
        16_408_922_859_458_223_821,
    ];
    assert_eq!(bits, published);
}

#[test]
fn each_number_of_a_range_comes_about_as_often() {
    let mut rng = Rng::new(7);
    let mut seen = [0_u32; 6];
    for _ in 0..6_000 {
        seen[usize::try_from(rng.up_to(5)).expect("at most 5")] += 1;
    }
    assert!(seen.iter().all(|times| (850..1_150).contains(times)), "{seen:?}");
}

#[test]
fn the_largest_range_is_all_bits() {
    assert_eq!(Rng::new(3).up_to(u64::MAX), Rng::new(3).bits());
    assert_eq!(Rng::new(3).up_to(0), 0);
}

proptest! {
    #[test]
    fn a_duration_lies_in_its_range(seed: u64, from in 0..1_000_000_u64, spread in 0..1_000_000_u64) {
        let (from, to) = (Duration::from_micros(from), Duration::from_micros(from + spread));
        let drawn = Rng::new(seed).between(from, to);
        prop_assert!((from..=to).contains(&drawn), "{drawn:?}");
        let offset = Rng::new(seed).up_to(spread);
        prop_assert_eq!(drawn, from + Duration::from_micros(offset));
        prop_assert_eq!(Rng::new(seed).between(to, from), if spread == 0 { drawn } else { to });
    }
}
