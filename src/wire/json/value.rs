//! Values as they are written, lent from the text that they are in.

use core::fmt;

use super::encode::decimal;
use super::scan::{Fields, Scanner, plain};
use super::{DecodeError, Problem};

/// Any JSON value, as it is written: valid, without white space around it.
///
/// ```
/// use everlink::wire::json::Raw;
///
/// let raw = Raw::new(r#" {"limit": 10, "tags": ["a"]} "#)?;
/// assert_eq!(raw.as_str(), r#"{"limit": 10, "tags": ["a"]}"#);
/// assert_eq!(raw.field("limit").unwrap().integer(), Some(10));
/// assert_eq!(Raw::new("[1,]").unwrap_err().to_string(), "byte 3: not JSON");
/// # Ok::<(), everlink::wire::json::DecodeError>(())
/// ```
#[derive(Clone, Copy)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Raw<'a> {
    text: &'a str,
    /// Of an object that was checked: the byte at which the value of its last field begins, which ends where the object does. So whoever
    /// looks for a field, as a rule large and the last one, need not read it once more. 0 if it is not known.
    last: usize,
}

impl<'a> Raw<'a> {
    /// `null`
    pub const NULL: Raw<'static> = Raw::scanned("null", 0);

    /// `{}`
    pub const EMPTY: Raw<'static> = Raw::scanned("{}", 0);

    /// This text.
    ///
    /// # Errors
    /// If it is not one JSON value.
    pub fn new(text: &'a str) -> Result<Raw<'a>, DecodeError> {
        let mut scanner = Scanner::new(text);
        let value = scanner.value()?;
        scanner.end()?;
        Ok(value)
    }

    pub(super) const fn scanned(text: &'a str, last: usize) -> Raw<'a> {
        Raw { text, last }
    }

    /// The text.
    #[must_use]
    pub const fn as_str(self) -> &'a str {
        self.text
    }

    /// The value of a field, if this is an object that has it. Of several with that name the last one counts, as in JavaScript.
    #[must_use]
    pub fn field(self, name: &str) -> Option<Raw<'a>> {
        let [field] = self.fields([name]);
        field.map(|(_, value)| value)
    }

    /// The same of several, in one go, each with the byte at which it begins.
    pub(super) fn fields<const N: usize>(self, names: [&str; N]) -> [Option<(usize, Raw<'a>)>; N] {
        let mut found = [None; N];
        let Ok(mut fields) = Fields::known(self.text, self.last) else { return found };
        while let Ok(Some(key)) = fields.key()
            && let Ok(field) = fields.value()
        {
            for (name, place) in names.iter().zip(&mut found) {
                if key == **name {
                    *place = Some(field);
                }
            }
        }
        found
    }

    /// The string that it is, if it is one.
    #[must_use]
    pub fn text(self) -> Option<Text<'a>> {
        if !self.text.as_bytes().starts_with(b"\"") {
            return None;
        }
        // It ends with a quote, too, and may itself hold none but behind a backslash.
        let text = self.text.get(1..self.text.len().checked_sub(1)?)?;
        Some(Text::scanned(text, plain(text.as_bytes()) < text.len()))
    }

    /// The number that it is, if it is a whole one that fits, written without fraction and exponent.
    #[must_use]
    pub fn integer(self) -> Option<u64> {
        digits(self.text)
    }
}

/// The number that has these digits, and nothing else.
fn digits(text: &str) -> Option<u64> {
    // So many fit, whichever they are.
    if text.len() < 20 {
        let number = text.bytes().try_fold(0_u64, |number, byte| {
            let digit = byte.wrapping_sub(b'0');
            (digit <= 9).then_some(number.wrapping_mul(10).wrapping_add(digit.into()))
        });
        return number.filter(|_| !text.is_empty());
    }
    text.bytes().try_fold(0_u64, |number, byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit <= 9)?;
        number.checked_mul(10)?.checked_add(digit.into())
    })
}

/// A character's bytes, and zeros (RFC 3629, section 3). `encode_utf8` would panic without room, and the compiler does not always see that
/// there is room.
const fn utf8(char: char) -> [u8; 4] {
    const fn low(code: u32) -> u8 {
        0x80 | (code & 0x3f) as u8
    }
    let code = char as u32;
    let (a, b, c) = (low(code), low(code >> 6), low(code >> 12));
    match char.len_utf8() {
        1 => [code as u8, 0, 0, 0],
        2 => [0xc0 | (code >> 6) as u8, a, 0, 0],
        3 => [0xe0 | (code >> 12) as u8, b, a, 0],
        _ => [0xf0 | (code >> 18) as u8, c, b, a],
    }
}

impl PartialEq for Raw<'_> {
    fn eq(&self, other: &Raw<'_>) -> bool {
        self.text == other.text
    }
}

impl Eq for Raw<'_> {}

impl core::hash::Hash for Raw<'_> {
    fn hash<H: core::hash::Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl fmt::Debug for Raw<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}

/// The text itself: valid JSON.
impl fmt::Display for Raw<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}

/// JSON that no log may show: `Debug` says only how long it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Secret<'a>(Raw<'a>);

impl<'a> Secret<'a> {
    /// This.
    #[must_use]
    pub const fn new(raw: Raw<'a>) -> Secret<'a> {
        Secret(raw)
    }

    /// The JSON.
    #[must_use]
    pub const fn reveal(self) -> Raw<'a> {
        self.0
    }
}

impl fmt::Debug for Secret<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({} bytes)", self.0.as_str().len())
    }
}

/// A string, either plain or as it is written in JSON, with escapes. Two are equal if they say the same.
///
/// ```
/// use everlink::wire::json::{Raw, Text};
///
/// let escaped = Raw::new(r#""a\u0062\ud83d\ude00""#)?.text().unwrap();
/// assert_eq!(escaped, Text::from("ab😀"));
/// assert_eq!(escaped.as_str(), None);
/// assert_eq!(escaped.unescape(&mut [0; 16]), Some("ab😀"));
/// # Ok::<(), everlink::wire::json::DecodeError>(())
/// ```
#[derive(Clone, Copy)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Text<'a> {
    text: &'a str,
    escaped: bool,
}

impl<'a> Text<'a> {
    pub(super) const fn scanned(text: &'a str, escaped: bool) -> Text<'a> {
        Text { text, escaped }
    }

    /// What it says, if it is written without escapes.
    #[must_use]
    pub const fn as_str(self) -> Option<&'a str> {
        if self.escaped { None } else { Some(self.text) }
    }

    /// What it says, written to the buffer if need be; `None` if that is too short.
    #[inline]
    #[must_use]
    pub fn unescape<'b>(self, buffer: &'b mut [u8]) -> Option<&'b str>
    where
        'a: 'b,
    {
        if self.escaped { self.unescape_into(buffer) } else { Some(self.text) }
    }

    #[cold]
    fn unescape_into(self, buffer: &mut [u8]) -> Option<&str> {
        let mut end = 0_usize;
        for char in self.chars() {
            let place = buffer.get_mut(end..end.saturating_add(char.len_utf8()))?;
            end = end.saturating_add(place.len());
            place.iter_mut().zip(utf8(char)).for_each(|(place, byte)| *place = byte);
        }
        core::str::from_utf8(buffer.get(..end)?).ok()
    }

    /// What it says.
    #[cfg(feature = "alloc")]
    #[inline]
    #[must_use]
    pub fn to_cow(self) -> alloc::borrow::Cow<'a, str> {
        match self.as_str() {
            Some(text) => text.into(),
            None => self.chars().collect(),
        }
    }

    /// What it says, character by character. Half of a surrogate pair, which JSON can write and UTF-8 cannot, is U+FFFD.
    #[must_use]
    pub fn chars(self) -> Chars<'a> {
        Chars { rest: self.text.chars(), escaped: self.escaped }
    }

    /// Whether it says nothing.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.text.is_empty()
    }

    /// As it is written in JSON, with the quotes.
    #[inline]
    pub(super) fn write(self, out: &mut impl fmt::Write) -> fmt::Result {
        out.write_str("\"")?;
        if self.escaped || plain(self.text.as_bytes()) == self.text.len() {
            out.write_str(self.text)?;
        } else {
            self.write_escaped(out)?;
        }
        out.write_str("\"")
    }

    #[cold]
    fn write_escaped(self, out: &mut impl fmt::Write) -> fmt::Result {
        let mut rest = self.text;
        loop {
            let (before, behind) = rest.split_at_checked(plain(rest.as_bytes())).unwrap_or((rest, ""));
            out.write_str(before)?;
            let mut chars = behind.chars();
            match chars.next() {
                Some('"') => out.write_str("\\\"")?,
                Some('\\') => out.write_str("\\\\")?,
                Some('\n') => out.write_str("\\n")?,
                Some('\r') => out.write_str("\\r")?,
                Some('\t') => out.write_str("\\t")?,
                Some(char) => write!(out, "\\u{:04x}", u32::from(char))?,
                None => return Ok(()),
            }
            rest = chars.as_str();
        }
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Text<'a> {
        Text { text, escaped: false }
    }
}

impl PartialEq for Text<'_> {
    fn eq(&self, other: &Text<'_>) -> bool {
        match (self.as_str(), other.as_str()) {
            (Some(one), Some(other)) => one == other,
            _ => self.chars().eq(other.chars()),
        }
    }
}

impl Eq for Text<'_> {}

impl PartialEq<str> for Text<'_> {
    fn eq(&self, other: &str) -> bool {
        *self == Text::from(other)
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f)
    }
}

/// What it says, not as JSON.
impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        self.chars().try_for_each(|char| f.write_char(char))
    }
}

/// See [`Text::chars`].
#[derive(Clone, Debug)]
pub struct Chars<'a> {
    rest: core::str::Chars<'a>,
    escaped: bool,
}

impl Chars<'_> {
    fn unit(&mut self) -> u32 {
        (0..4)
            .fold(0, |unit, _| unit << 4 | self.rest.next().and_then(|digit| digit.to_digit(16)).unwrap_or(0))
    }

    /// Behind `\u`: one unit, or both of a pair.
    fn code(&mut self) -> char {
        let high = self.unit();
        if (0xD800..0xDC00).contains(&high) {
            let mut ahead = self.clone();
            if ahead.rest.next() == Some('\\') && ahead.rest.next() == Some('u') {
                let low = ahead.unit();
                if (0xDC00..0xE000).contains(&low) {
                    *self = ahead;
                    let code = 0x1_0000_u32.saturating_add((high & 0x3FF) << 10 | low & 0x3FF);
                    return char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
                }
            }
        }
        char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER)
    }
}

impl Iterator for Chars<'_> {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        let char = self.rest.next()?;
        if !self.escaped || char != '\\' {
            return Some(char);
        }
        Some(match self.rest.next()? {
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => self.code(),
            same => same,
        })
    }
}

/// How long an id may be, as it is written: so that whoever keeps some knows how much that is.
pub const ID_MAX: usize = 256;

/// The id of a message: a string or a number, whatever its sender makes; at most [`ID_MAX`] bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Id<'a> {
    /// A number in quotes: what this crate makes, and gets back in answers.
    Number(u32),
    /// Any other string or number, as it is written. It is sent back as it came.
    Raw(Raw<'a>),
}

impl<'a> Id<'a> {
    /// `None` if it is neither a string nor a number, or an empty string, or too long.
    pub(super) fn of(raw: Raw<'a>) -> Option<Id<'a>> {
        if raw.as_str().len() > ID_MAX {
            return None;
        }
        match raw.text() {
            Some(text) if text.is_empty() => None,
            Some(text) => Some(text.as_str().and_then(canonical).map_or(Id::Raw(raw), Id::Number)),
            None => raw
                .as_str()
                .starts_with(|first: char| first == '-' || first.is_ascii_digit())
                .then_some(Id::Raw(raw)),
        }
    }

    /// The number that this crate may have made it of. Also if it came back without the quotes.
    #[must_use]
    pub fn number(self) -> Option<u32> {
        match self {
            Id::Number(number) => Some(number),
            Id::Raw(raw) => canonical(raw.as_str()),
        }
    }
}

/// A number as this crate writes it.
fn canonical(text: &str) -> Option<u32> {
    let plain = text == "0" || (!text.starts_with(['0', '+']) && !text.is_empty());
    digits(text).and_then(|number| u32::try_from(number).ok()).filter(|_| plain)
}

impl From<u32> for Id<'_> {
    fn from(number: u32) -> Self {
        Id::Number(number)
    }
}

impl Id<'_> {
    /// As it is written in JSON.
    #[inline]
    pub(super) fn write(self, out: &mut impl fmt::Write) -> fmt::Result {
        match self {
            Id::Number(number) => {
                out.write_str("\"")?;
                decimal(out, number.into())?;
                out.write_str("\"")
            }
            Id::Raw(raw) => out.write_str(raw.as_str()),
        }
    }
}

impl fmt::Display for Id<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f)
    }
}

impl<'a> TryFrom<Raw<'a>> for Id<'a> {
    type Error = DecodeError;

    /// # Errors
    /// If it is neither a string nor a number, or an empty string, or longer than [`ID_MAX`].
    fn try_from(raw: Raw<'a>) -> Result<Id<'a>, DecodeError> {
        Id::of(raw).ok_or(DecodeError { at: 0, problem: Problem::Field("id") })
    }
}
