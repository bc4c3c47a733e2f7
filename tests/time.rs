//! Instants: whole microseconds since an origin, and arithmetic that stops at both ends.

use core::time::Duration;

use everlink::time::Instant;

/// The last instant that can be told from the one before it.
const LAST: u64 = u64::MAX - 1;

#[test]
fn an_instant_is_as_many_microseconds_as_it_was_made_of() {
    for micros in [0, 1, 999, 1_000, 1_000_000, LAST] {
        assert_eq!(Instant::from_micros(micros).micros(), micros);
        assert_eq!(Instant::from(micros), Instant::from_micros(micros));
        assert_eq!(u64::from(Instant::from_micros(micros)), micros);
    }
    assert_eq!(Instant::from_millis(15), Instant::from_micros(15_000));
    assert_eq!(Instant::ORIGIN, Instant::from_micros(0));
}

#[test]
fn both_ends_hold() {
    let last = Instant::from_micros(LAST);
    assert_eq!(Instant::from_micros(u64::MAX), last);
    assert_eq!(Instant::from_millis(u64::MAX), last);
    assert_eq!(Instant::from_micros(1) + Duration::MAX, last);
    assert_eq!(last + Duration::from_micros(1), last);
    assert_eq!(Instant::ORIGIN - last, Duration::ZERO);
    assert_eq!(last - Instant::ORIGIN, Duration::from_micros(LAST));
}

#[test]
fn a_part_of_a_microsecond_is_dropped() {
    let (start, step) = (Instant::from_micros(7), Duration::from_nanos(2_999));
    assert_eq!(start + step, Instant::from_micros(9));
    assert_eq!((start + step).since(start), Duration::from_micros(2));
    assert_eq!(start + Duration::new(3, 4_000), Instant::from_micros(3_000_011));
}

#[test]
fn it_is_shown_as_the_time_since_the_origin() {
    assert_eq!(format!("{:?}", Instant::from_millis(1_500)), "1.5s");
}

#[test]
fn an_option_costs_nothing() {
    assert_eq!(size_of::<Option<Instant>>(), size_of::<u64>());
}
