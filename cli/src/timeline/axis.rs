//! Where the ticks of an axis are.

/// Multiples of 1, 2 or 5 times a power of ten, from zero to `end`: as many as possible, at most `most` steps.
pub(super) fn linear_ticks(end: f64, most: u32) -> Vec<f64> {
    let least = end / f64::from(most.max(1));
    let power = 10_f64.powf(least.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|digit| digit * power).find(|step| *step >= least);
    let step = step.unwrap_or(10.0 * power);
    // A tick at the very end is not lost by rounding.
    (0..=most).map(|n| f64::from(n) * step).take_while(|t| *t <= end * (1.0 + 1e-9)).collect()
}

/// The powers of ten around all `values`, as exponents; at least two apart, 1 to 100 where there are no values.
pub(super) fn log_range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (low.min(value.log10().floor()), high.max(value.log10().ceil()))
    });
    match low <= high {
        true => (low.clamp(-3.0, 4.0), high.max(low + 2.0).clamp(-1.0, 6.0)),
        false => (0.0, 2.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_numbers() {
        assert_eq!(linear_ticks(60.0, 12), (0..=12).map(|n| f64::from(n) * 5.0).collect::<Vec<_>>());
        assert_eq!(linear_ticks(7.0, 4), [0.0, 2.0, 4.0, 6.0]);
        assert_eq!(linear_ticks(1.0, 4), [0.0, 0.5, 1.0]);
        assert_eq!(linear_ticks(100_000.0, 2), [0.0, 50_000.0, 100_000.0]);
    }

    #[test]
    fn a_logarithmic_range_holds_all_values() {
        assert_eq!(log_range([0.4, 1200.0].into_iter()), (-1.0, 4.0));
        assert_eq!(log_range([5.0].into_iter()), (0.0, 2.0));
        assert_eq!(log_range([].into_iter()), (0.0, 2.0));
        assert_eq!(log_range([1e-300, 1e300].into_iter()), (-3.0, 6.0));
    }
}
