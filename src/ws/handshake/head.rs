//! The head of an HTTP/1 message: found as it comes, then read once.

use super::fault::{Fault, HandshakeError};
use super::list::Items;
use crate::error::ConfigError;

/// How large the head of a request or response may be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct HeadLimits {
    /// Bytes, with the empty line at its end; 8 KiB by default, at least 256.
    pub bytes: u32,
    /// Header fields; 64 by default, at least 8.
    pub fields: u16,
}

impl Default for HeadLimits {
    fn default() -> HeadLimits {
        HeadLimits { bytes: 8 << 10, fields: 64 }
    }
}

impl HeadLimits {
    /// For heads that were within their limits before.
    pub(crate) const NONE: HeadLimits = HeadLimits { bytes: u32::MAX, fields: u16::MAX };

    /// Refuses limits under which no handshake fits.
    ///
    /// # Errors
    /// Names the first field that is wrong.
    pub fn check(&self) -> Result<(), ConfigError> {
        ConfigError::unless(self.bytes >= 256, "ws.head.bytes", "must be at least 256")?;
        ConfigError::unless(self.fields >= 8, "ws.head.fields", "must be at least 8")
    }
}

/// Finds the end of a head in bytes that grow, and looks at none of them twice.
#[derive(Clone, Debug)]
pub(super) struct Finder {
    limits: HeadLimits,
    /// How many bytes were looked at.
    seen: usize,
    /// Whether they end with an end of line, and perhaps a carriage return.
    line: Line,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Inside,
    Ended,
    EndedThenReturn,
}

impl Finder {
    pub(super) const fn new(limits: HeadLimits) -> Finder {
        Finder { limits, seen: 0, line: Line::Inside }
    }

    /// The head, if it is complete. `bytes` are all that have come.
    pub(super) fn find<'b>(&mut self, bytes: &'b [u8]) -> Result<Option<Head<'b>>, HandshakeError> {
        let limit = self.limits.bytes as usize;
        let fresh = bytes.get(self.seen..bytes.len().min(limit)).unwrap_or_default();
        for byte in fresh {
            self.seen += 1;
            self.line = match (byte, self.line) {
                (b'\n', Line::Ended | Line::EndedThenReturn) => {
                    let (head, _) = bytes.split_at_checked(self.seen).unwrap_or_default();
                    return Head::parse(head, self.limits.fields).map(Some);
                }
                (b'\n', Line::Inside) => Line::Ended,
                (b'\r', Line::Ended) => Line::EndedThenReturn,
                _ => Line::Inside,
            };
        }
        if self.seen >= limit {
            return Err(HandshakeError::new(Fault::HeadTooLong, limit));
        }
        Ok(None)
    }
}

/// The head of a request or response: a first line, then fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head<'b> {
    pub(super) start: &'b str,
    fields: &'b [u8],
    length: usize,
}

impl<'b> Head<'b> {
    /// Checks every line.
    pub(crate) fn parse(bytes: &'b [u8], limit: u16) -> Result<Head<'b>, HandshakeError> {
        let (start, fields) = line(bytes).ok_or(HandshakeError::new(Fault::StartLine, 0))?;
        let start = str::from_utf8(start)
            .ok()
            .filter(|start| start.bytes().all(|byte| matches!(byte, b' '..=b'~')))
            .ok_or(HandshakeError::new(Fault::StartLine, 0))?;
        let head = Head { start, fields, length: bytes.len() };
        let mut rest = fields;
        let mut count: u16 = 0;
        while let Some((bytes, behind)) = line(rest)
            && !bytes.is_empty()
        {
            let at = head.length - rest.len();
            Field::parse(bytes, at).ok_or(HandshakeError::new(Fault::Field, at))?;
            count = count.saturating_add(1);
            if count > limit {
                return Err(HandshakeError::new(Fault::TooManyFields, at));
            }
            rest = behind;
        }
        Ok(head)
    }

    /// How many bytes it has; what comes behind it is not HTTP any more.
    #[must_use]
    pub const fn length(&self) -> usize {
        self.length
    }

    /// The fields, in their order.
    #[must_use]
    pub const fn fields(&self) -> Fields<'b> {
        Fields { rest: self.fields, length: self.length }
    }

    /// The first field of this name, which is ASCII in any case.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'b [u8]> {
        self.find(name).map(|field| field.value)
    }

    pub(super) fn find(&self, name: &str) -> Option<Field<'b>> {
        self.fields().find(|field| field.is(name))
    }

    /// The value of the first field of this name, if it is UTF-8.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&'b str> {
        self.get(name).and_then(|value| str::from_utf8(value).ok())
    }

    /// The field of this name, which must not be there twice.
    pub(super) fn only(&self, name: &str) -> Result<Option<Field<'b>>, HandshakeError> {
        let mut all = self.fields().filter(|field| field.is(name));
        let first = all.next();
        match all.next() {
            Some(second) => Err(HandshakeError::new(Fault::Duplicate, second.at)),
            None => Ok(first),
        }
    }

    /// Whether a field of this name has this item, in any case; otherwise where it should have.
    pub(super) fn lists(&self, name: &str, item: &str) -> Result<(), usize> {
        let mut at = None;
        for field in self.fields().filter(|field| field.is(name)) {
            if Items::of(field.value).any(|(one, _)| one.eq_ignore_ascii_case(item)) {
                return Ok(());
            }
            at = at.or(Some(field.at));
        }
        Err(at.unwrap_or(self.length))
    }
}

/// A header field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'b> {
    /// Its name, as it was written; case does not count.
    pub name: &'b str,
    /// Its value, without the white space around it. Most are ASCII, but they need not be.
    pub value: &'b [u8],
    /// Where the line begins in the head.
    pub at: usize,
}

impl<'b> Field<'b> {
    /// A line, without its end.
    fn parse(line: &'b [u8], at: usize) -> Option<Field<'b>> {
        let colon = line.iter().position(|&byte| byte == b':')?;
        let (name, value) = line.split_at_checked(colon)?;
        let name = str::from_utf8(name).ok().filter(|name| is_token(name))?;
        let value = value.get(1..)?;
        is_value(value).then_some(Field { name, value: value.trim_ascii(), at })
    }

    /// Whether it has this name.
    #[must_use]
    pub const fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

/// The fields of a head.
#[derive(Clone, Debug)]
pub struct Fields<'b> {
    rest: &'b [u8],
    length: usize,
}

impl<'b> Iterator for Fields<'b> {
    type Item = Field<'b>;

    fn next(&mut self) -> Option<Field<'b>> {
        let at = self.length - self.rest.len();
        let (bytes, behind) = line(self.rest)?;
        self.rest = behind;
        Field::parse(bytes, at)
    }
}

/// The first line without its end, and what is behind it.
fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|&byte| byte == b'\n')?;
    let (line, rest) = (bytes.get(..end)?, bytes.get(end + 1..)?);
    Some((line.strip_suffix(b"\r").unwrap_or(line), rest))
}

/// Whether it is a token (RFC 9110, section 5.6.2): a name of a field, a method, a sub-protocol.
pub(super) fn is_token(text: impl AsRef<[u8]>) -> bool {
    let mut bytes = text.as_ref().iter();
    bytes.len() > 0 && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

/// Whether it may be the value of a field: no control characters, so that nothing can be smuggled in.
pub(super) fn is_value(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~' | 0x80..))
}
