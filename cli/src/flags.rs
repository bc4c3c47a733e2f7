//! How values are written on the command line.

use std::time::Duration;

/// The units of a duration, in microseconds.
const UNITS: [(&str, u64); 5] =
    [("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000), ("ms", 1000), ("us", 1)];

/// Reads a duration such as `10s`, `250ms`, `2m`, `1h` or `20us`: an unsigned integer and its unit, as in a
/// configuration file of the core. For clap's `value_parser`.
///
/// # Errors
///
/// A sentence for people where the unit is missing or unknown, or the number is none or too large.
///
/// ```
/// use std::time::Duration;
/// use everlink_cli::flags::duration;
///
/// assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
/// assert!(duration("10").is_err());
/// ```
pub fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    UNITS
        .iter()
        .find(|(name, _)| *name == unit.trim_start())
        .and_then(|(_, size)| number.parse::<u64>().ok()?.checked_mul(*size))
        .map(Duration::from_micros)
        .ok_or_else(|| "expected a number and a unit, such as 10s, 250ms or 2m".to_owned())
}

/// Like [`duration`], but refuses zero.
///
/// # Errors
///
/// As [`duration`], and for zero.
pub fn positive_duration(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("must be more than zero".to_owned()),
        time => Ok(time),
    }
}

/// Reads a number that is not zero.
///
/// # Errors
///
/// A sentence for people, for zero and for what is no whole number.
pub fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("must be more than zero".to_owned()),
        Ok(number) => Ok(number),
        Err(_) => Err("expected a whole number".to_owned()),
    }
}
