//! A date as HTTP writes it (RFC 9110, section 5.6.7).

use core::time::Duration;

/// The time since 1970-01-01 00:00 UTC of `Sun, 06 Nov 1994 08:49:37 GMT`, the form that is sent today. `None` for the two
/// obsolete ones, for what is before 1970, and for what is no date. The name of the day is not checked.
pub(super) fn parse(text: &str) -> Option<Duration> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (_, rest) = text.trim().split_once(", ")?;
    let mut words = rest.split(' ');
    let number = |word: &str, digits: usize| {
        (word.len() == digits && word.bytes().all(|byte| byte.is_ascii_digit()))
            .then(|| word.parse::<u64>().ok())
            .flatten()
    };
    let day = number(words.next()?, 2).filter(|day| (1..=31).contains(day))?;
    let name = words.next()?;
    let month = MONTHS.iter().position(|one| *one == name)? as u64 + 1;
    let year = number(words.next()?, 4).filter(|year| *year >= 1970)?;
    let mut time = words.next()?.split(':');
    let hour = number(time.next()?, 2).filter(|hour| *hour < 24)?;
    let minute = number(time.next()?, 2).filter(|minute| *minute < 60)?;
    // 60 is a leap second.
    let second = number(time.next()?, 2).filter(|second| *second <= 60)?;
    let ends = time.next().is_none() && words.next() == Some("GMT") && words.next().is_none();
    // The days since 0000-03-01, so that a leap day is the last day of its year.
    let (years, months) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * years + years / 4 - years / 100 + years / 400 + (153 * months + 2) / 5 + day - 1;
    let since_1970 = days.checked_sub(719_468)?;
    ends.then(|| Duration::from_secs(86_400 * since_1970 + 3600 * hour + 60 * minute + second))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_seconds() {
        for (text, seconds) in [
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777)),
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("Thu, 29 Feb 2024 23:59:60 GMT", Some(1_709_251_200)),
            ("Sat, 01 Mar 2025 00:00:00 GMT", Some(1_740_787_200)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", Some(253_402_300_799)),
            ("Wed, 31 Dec 1969 23:59:59 GMT", None),
            ("Sunday, 06-Nov-94 08:49:37 GMT", None),
            ("Sun Nov  6 08:49:37 1994", None),
            ("Sun, 06 Nov 1994 08:49:37", None),
            ("Sun, 06 Nov 1994 24:49:37 GMT", None),
            ("Sun, +6 Nov 1994 08:49:37 GMT", None),
            ("Sun, 00 Nov 1994 08:49:37 GMT", None),
            ("120", None),
            ("", None),
        ] {
            assert_eq!(parse(text), seconds.map(Duration::from_secs), "{text}");
        }
    }
}
