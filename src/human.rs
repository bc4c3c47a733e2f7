//! How configuration looks to a person: `"15s"`, `"250ms"`, `"off"`, `"forever"`. Binary formats get plain integers.

use core::fmt;
use core::time::Duration;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::time::micros;

/// `#[serde(with = "human::duration")]` for a `Duration`: `"1500ms"`, `"15s"`, `"2m"`, `"1h"`, `"20us"`.
pub(crate) mod duration {
    use super::{Deserializer, Duration, Serializer, Span};
    use serde::{Deserialize, Serialize};

    pub(crate) fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        Span(*value).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        Ok(Span::deserialize(deserializer)?.0)
    }
}

/// `#[serde(with = "human::duration_or_off")]` for an `Option<Duration>`, where `None` is `"off"`.
pub(crate) mod duration_or_off {
    use super::{Deserializer, Duration, Or, Serializer, Span};

    const OFF: &str = "off";

    pub(crate) fn serialize<S: Serializer>(value: &Option<Duration>, s: S) -> Result<S::Ok, S::Error> {
        Or::serialize(value.map(Span), OFF, s)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Duration>, D::Error> {
        Ok(Or::<Span>::deserialize(OFF, d)?.map(|span| span.0))
    }
}

/// `#[serde(with = "human::number_or_forever")]` for an `Option<u32>`, where `None` is `"forever"`.
pub(crate) mod number_or_forever {
    use super::{Deserializer, Or, Serializer};

    const FOREVER: &str = "forever";

    pub(crate) fn serialize<S: Serializer>(value: &Option<u32>, s: S) -> Result<S::Ok, S::Error> {
        Or::serialize(*value, FOREVER, s)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<u32>, D::Error> {
        Or::<u32>::deserialize(FOREVER, d)
    }
}

/// A duration as text with a unit for people, as microseconds for machines.
struct Span(Duration);

/// The units, largest first, in microseconds.
const UNITS: [(&str, u64); 5] =
    [("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000), ("ms", 1000), ("us", 1)];

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = micros(self.0);
        let fits = |&&(_, size): &&(&str, u64)| total >= size && total.is_multiple_of(size);
        match UNITS.iter().find(fits) {
            Some((unit, size)) => write!(f, "{}{unit}", total / size),
            None => f.write_str("0s"),
        }
    }
}

fn parse(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let size = UNITS.iter().find(|(name, _)| *name == unit.trim_start())?.1;
    Some(Duration::from_micros(number.parse::<u64>().ok()?.checked_mul(size)?))
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_u64(micros(self.0))
        }
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Span;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration with its unit, such as \"15s\", \"250ms\" or \"2m\"")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Span, E> {
                parse(text).map(Span).ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
            }
        }
        if deserializer.is_human_readable() {
            deserializer.deserialize_str(Text)
        } else {
            u64::deserialize(deserializer).map(|micros| Span(Duration::from_micros(micros)))
        }
    }
}

/// A value or a word that stands for its absence.
struct Or<T>(core::marker::PhantomData<T>, &'static str);

impl<T: Serialize> Or<T> {
    fn serialize<S: Serializer>(value: Option<T>, word: &str, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            value if !serializer.is_human_readable() => value.serialize(serializer),
            Some(value) => value.serialize(serializer),
            None => serializer.serialize_str(word),
        }
    }
}

impl<'de, T: Deserialize<'de> + Word> Or<T> {
    fn deserialize<D: Deserializer<'de>>(word: &'static str, d: D) -> Result<Option<T>, D::Error> {
        if d.is_human_readable() {
            d.deserialize_any(Or::<T>(core::marker::PhantomData, word))
        } else {
            Option::<T>::deserialize(d)
        }
    }
}

/// What a value of [`Or`] may be written as, besides the word.
trait Word: Sized {
    fn from_text(text: &str) -> Option<Self>;
    fn from_number(number: u64) -> Option<Self>;
    const EXPECTED: &str;
}

impl Word for Span {
    fn from_text(text: &str) -> Option<Span> {
        parse(text).map(Span)
    }
    fn from_number(_: u64) -> Option<Span> {
        None
    }
    const EXPECTED: &str = "a duration with its unit, such as \"15s\"";
}

impl Word for u32 {
    fn from_text(_: &str) -> Option<u32> {
        None
    }
    fn from_number(number: u64) -> Option<u32> {
        number.try_into().ok()
    }
    const EXPECTED: &str = "a whole number";
}

impl<T: Word> Visitor<'_> for Or<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} or \"{}\"", T::EXPECTED, self.1)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Option<T>, E> {
        if text == self.1 {
            return Ok(None);
        }
        T::from_text(text).map(Some).ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Option<T>, E> {
        T::from_number(number)
            .map(Some)
            .ok_or_else(|| E::invalid_value(serde::de::Unexpected::Unsigned(number), &self))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Option<T>, E> {
        match u64::try_from(number) {
            Ok(number) => self.visit_u64(number),
            Err(_) => Err(E::invalid_value(serde::de::Unexpected::Signed(number), &self)),
        }
    }
}
