//! From text to values, strictly as RFC 8259 has it: each byte is looked at once, nesting is counted and not recursed into, nothing
//! is copied.
//!
//! Why not a crate: those that lend values as they are written (`serde_json`'s `RawValue`, `simd-json`) need an allocator, and those
//! that need none lend no such values.

use super::value::{Raw, Text};
use super::{DecodeError, Problem};

/// How deep arrays and objects may be in one another.
pub const DEPTH_MAX: u32 = 128;

/// Where something ends, or the byte at which it goes wrong.
type End = Result<usize, usize>;

/// How many bytes come before the first that cannot stand in a string as it is: a quote, a backslash, or a control character.
#[inline]
pub(super) fn plain(bytes: &[u8]) -> usize {
    bytes_before(bytes, special, |byte| byte < 0x20 || byte == b'"' || byte == b'\\')
}

/// Marks such a byte. One of the first two is 0 where it is meant.
#[inline(always)]
const fn special(word: u64) -> u64 {
    zero(word ^ all(b'"')) | zero(word ^ all(b'\\')) | below_space(word)
}

/// How many bytes come before the next that opens or closes an array, an object, or a string.
#[inline]
fn before_structure(bytes: &[u8]) -> usize {
    bytes_before(
        bytes,
        // Brackets and braces differ in one bit.
        |word| {
            let either = word | all(0x20);
            zero(word ^ all(b'"')) | zero(either ^ all(b'{')) | zero(either ^ all(b'}'))
        },
        |byte| matches!(byte, b'"' | b'{' | b'}' | b'[' | b']'),
    )
}

const fn all(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

/// The highest bit of the first byte that is 0; of those behind it, nothing is known.
const fn zero(word: u64) -> u64 {
    word.wrapping_sub(all(1)) & !word & all(0x80)
}

/// The same of the first byte that is below 0x20.
const fn below_space(word: u64) -> u64 {
    word.wrapping_sub(all(0x20)) & !word & all(0x80)
}

/// How many bytes come before the first that is meant, eight at a time: `marks` sets the highest bit of its place.
#[inline(always)]
fn bytes_before(bytes: &[u8], marks: impl Fn(u64) -> u64, is_meant: impl Fn(u8) -> bool) -> usize {
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let marked = marks(u64::from_le_bytes(*word));
        if marked != 0 {
            return index.wrapping_mul(8).wrapping_add(marked.trailing_zeros() as usize / 8);
        }
    }
    let len = rest.iter().take_while(|byte| !is_meant(**byte)).count();
    words.len().wrapping_mul(8).wrapping_add(len)
}

#[inline(always)]
fn peek(bytes: &[u8], at: usize) -> Option<u8> {
    bytes.get(at).copied()
}

#[inline(always)]
fn white(bytes: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\t' | b'\n' | b'\r') = peek(bytes, at) {
        at = at.wrapping_add(1);
    }
    at
}

#[inline(always)]
fn must(bytes: &[u8], at: usize, byte: u8) -> End {
    if peek(bytes, at) == Some(byte) { Ok(at.wrapping_add(1)) } else { Err(at) }
}

/// The end of the string that begins here, behind its quote; and whether there are escapes in it.
#[inline(always)]
fn string(bytes: &[u8], at: usize) -> Result<(usize, bool), usize> {
    // Most are words of a few letters.
    if let Some((word, _)) = bytes.get(at..).and_then(<[u8]>::split_first_chunk) {
        let marked = special(u64::from_le_bytes(*word));
        let end = at.wrapping_add(marked.trailing_zeros() as usize / 8);
        if marked != 0 && peek(bytes, end) == Some(b'"') {
            return Ok((end.wrapping_add(1), false));
        }
    }
    longer_string(bytes, at)
}

#[inline(never)]
fn longer_string(bytes: &[u8], mut at: usize) -> Result<(usize, bool), usize> {
    let mut escaped = false;
    loop {
        at = at.wrapping_add(plain(bytes.get(at..).unwrap_or_default()));
        match peek(bytes, at) {
            Some(b'"') => return Ok((at.wrapping_add(1), escaped)),
            Some(b'\\') => {
                escaped = true;
                at = escape(bytes, at.wrapping_add(1))?;
            }
            Some(_) | None => return Err(at),
        }
    }
}

/// What comes behind a backslash.
fn escape(bytes: &[u8], at: usize) -> End {
    match peek(bytes, at) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at.wrapping_add(1)),
        Some(b'u') => (at.wrapping_add(1)..at.wrapping_add(5)).try_fold(at.wrapping_add(1), |_, at| {
            let is_digit = peek(bytes, at).is_some_and(|byte| byte.is_ascii_hexdigit());
            if is_digit { Ok(at.wrapping_add(1)) } else { Err(at) }
        }),
        Some(_) | None => Err(at),
    }
}

#[inline(always)]
fn number(bytes: &[u8], at: usize) -> End {
    let at = must(bytes, at, b'-').unwrap_or(at);
    let mut at = match peek(bytes, at) {
        Some(b'0') => at.wrapping_add(1),
        _ => digits(bytes, at)?,
    };
    if peek(bytes, at) == Some(b'.') {
        at = digits(bytes, at.wrapping_add(1))?;
    }
    if let Some(b'e' | b'E') = peek(bytes, at) {
        at = at.wrapping_add(1);
        if let Some(b'+' | b'-') = peek(bytes, at) {
            at = at.wrapping_add(1);
        }
        at = digits(bytes, at)?;
    }
    Ok(at)
}

/// At least one.
#[inline(always)]
fn digits(bytes: &[u8], start: usize) -> End {
    let mut at = start;
    while let Some(b'0'..=b'9') = peek(bytes, at) {
        at = at.wrapping_add(1);
    }
    if at == start { Err(at) } else { Ok(at) }
}

fn word(bytes: &[u8], at: usize, word: &str) -> End {
    word.bytes().try_fold(at, |at, byte| must(bytes, at, byte))
}

/// The name of a field, and its colon.
#[inline(never)]
fn key(bytes: &[u8], at: usize) -> End {
    let at = must(bytes, white(bytes, at), b'"')?;
    let (at, _) = string(bytes, at)?;
    must(bytes, white(bytes, at), b':')
}

/// The end of the value that begins here, in a text that is known to be JSON.
fn passed(bytes: &[u8], mut at: usize) -> usize {
    let mut depth = 0_usize;
    loop {
        match peek(bytes, at) {
            // What it is known to be cannot be wrong.
            Some(b'"') => at = string(bytes, at.wrapping_add(1)).map_or(bytes.len(), |(end, _)| end),
            Some(b'{' | b'[') => (at, depth) = (at.wrapping_add(1), depth.wrapping_add(1)),
            Some(b'}' | b']') => (at, depth) = (at.wrapping_add(1), depth.saturating_sub(1)),
            Some(_) => {
                let rest = bytes.get(at..).unwrap_or_default();
                let is_end = |byte: &u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r');
                return at.wrapping_add(rest.iter().position(is_end).unwrap_or(rest.len()));
            }
            None => return at,
        }
        if depth == 0 {
            return at;
        }
        at = at.wrapping_add(before_structure(bytes.get(at..).unwrap_or_default()));
    }
}

/// Reads one text.
#[derive(Clone, Debug)]
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
    /// It is known to be JSON.
    known: bool,
    /// Of an object that is known to be JSON: where the value of its last field begins, behind its colon, if that is known.
    last: usize,
}

impl<'a> Scanner<'a> {
    pub(super) const fn new(text: &'a str) -> Scanner<'a> {
        Scanner { text, at: 0, known: false, last: 0 }
    }

    pub(super) const fn at(&self) -> usize {
        self.at
    }

    #[inline(always)]
    fn peek(&self) -> Option<u8> {
        peek(self.text.as_bytes(), self.at)
    }

    /// What comes here is not what must.
    #[cold]
    const fn wrong_at(&self, at: usize) -> DecodeError {
        let problem = if at < self.text.len() { Problem::Syntax } else { Problem::Truncated };
        DecodeError { at, problem }
    }

    #[inline(always)]
    pub(super) fn white(&mut self) {
        self.at = white(self.text.as_bytes(), self.at);
    }

    /// Takes this byte, if it comes next.
    #[inline(always)]
    pub(super) fn takes(&mut self, byte: u8) -> bool {
        let comes = self.peek() == Some(byte);
        self.at = self.at.wrapping_add(usize::from(comes));
        comes
    }

    #[inline(always)]
    fn must_take(&mut self, byte: u8) -> Result<(), DecodeError> {
        if self.takes(byte) { Ok(()) } else { Err(self.wrong_at(self.at)) }
    }

    /// What was read from here on.
    #[inline(always)]
    fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    /// Nothing but white space may come.
    pub(super) fn end(&mut self) -> Result<(), DecodeError> {
        self.white();
        if self.at == self.text.len() { Ok(()) } else { Err(self.wrong_at(self.at)) }
    }

    /// Any value.
    #[inline(always)]
    pub(super) fn value(&mut self) -> Result<Raw<'a>, DecodeError> {
        let is_last = self.known && self.at == self.last;
        self.white();
        let (start, mut last) = (self.at, 0);
        let bytes = self.text.as_bytes();
        self.at = if !is_last && peek(bytes, start) == Some(b'"') {
            let (end, _) = string(bytes, start.wrapping_add(1)).map_err(|at| self.wrong_at(at))?;
            end
        } else if is_last {
            // Behind it, there is the end of the object.
            let inside = self.text.get(start..).and_then(|text| text.strip_suffix('}')).unwrap_or_default();
            let ws = |char| matches!(char, ' ' | '\t' | '\n' | '\r');
            start.wrapping_add(inside.trim_end_matches(ws).len())
        } else if self.known {
            passed(bytes, start)
        } else {
            self.checked(start, &mut last)?
        };
        Ok(Raw::scanned(self.since(start), last.saturating_sub(start)))
    }

    /// The end of the value that begins here; and where the last field begins, if it is an object.
    #[inline(never)]
    fn checked(&self, mut at: usize, last: &mut usize) -> Result<usize, DecodeError> {
        let bytes = self.text.as_bytes();
        let wrong = |at| self.wrong_at(at);
        // The innermost is the lowest bit, set for an object.
        let (mut nest, mut depth) = (0u128, 0u32);
        loop {
            at = white(bytes, at);
            at = match peek(bytes, at) {
                Some(b'-' | b'0'..=b'9') => number(bytes, at).map_err(wrong)?,
                Some(b'"') => string(bytes, at.wrapping_add(1)).map_err(wrong)?.0,
                Some(open @ (b'{' | b'[')) => {
                    let is_object = open == b'{';
                    if depth == DEPTH_MAX {
                        return Err(DecodeError { at, problem: Problem::Depth });
                    }
                    at = white(bytes, at.wrapping_add(1));
                    match must(bytes, at, if is_object { b'}' } else { b']' }) {
                        Ok(end) => end,
                        Err(_) => {
                            (nest, depth) = (nest << 1 | u128::from(is_object), depth.wrapping_add(1));
                            if is_object {
                                at = key(bytes, at).map_err(wrong)?;
                                if depth == 1 {
                                    *last = at;
                                }
                            }
                            continue;
                        }
                    }
                }
                Some(b't') => word(bytes, at, "true").map_err(wrong)?,
                Some(b'f') => word(bytes, at, "false").map_err(wrong)?,
                Some(b'n') => word(bytes, at, "null").map_err(wrong)?,
                Some(_) | None => return Err(wrong(at)),
            };
            // A value has ended, and with it perhaps some that it is the last one in.
            loop {
                if depth == 0 {
                    return Ok(at);
                }
                at = white(bytes, at);
                let is_object = nest & 1 == 1;
                if peek(bytes, at) == Some(b',') {
                    at = at.wrapping_add(1);
                    if is_object {
                        at = key(bytes, at).map_err(wrong)?;
                        if depth == 1 {
                            *last = at;
                        }
                    }
                    break;
                }
                at = must(bytes, at, if is_object { b'}' } else { b']' }).map_err(wrong)?;
                (nest, depth) = (nest >> 1, depth.wrapping_sub(1));
            }
        }
    }

    /// The name of a field, and its colon.
    #[inline(always)]
    pub(super) fn key(&mut self) -> Result<Text<'a>, DecodeError> {
        self.white();
        self.must_take(b'"')?;
        let start = self.at;
        let (end, escaped) = string(self.text.as_bytes(), start).map_err(|at| self.wrong_at(at))?;
        let key = self.text.get(start..end.wrapping_sub(1)).unwrap_or_default();
        self.at = end;
        self.white();
        self.must_take(b':')?;
        Ok(Text::scanned(key, escaped))
    }
}

/// The fields of an object, in the order in which they are written.
#[derive(Clone, Debug)]
pub(super) struct Fields<'a> {
    scanner: Scanner<'a>,
    begun: bool,
}

impl<'a> Fields<'a> {
    /// Of an object that is known to be JSON; see [`Raw`] for `last`.
    pub(super) fn known(text: &'a str, last: usize) -> Result<Fields<'a>, DecodeError> {
        Fields::new(Scanner { text, at: 0, known: true, last })
    }

    /// Of the object that begins here, behind white space.
    pub(super) fn new(mut scanner: Scanner<'a>) -> Result<Fields<'a>, DecodeError> {
        scanner.white();
        if scanner.takes(b'{') {
            return Ok(Fields { scanner, begun: false });
        }
        match scanner.peek() {
            None => Err(scanner.wrong_at(scanner.at)),
            Some(_) => {
                // Say what it is not only if it is JSON at all.
                let at = scanner.at;
                scanner.value()?;
                Err(DecodeError { at, problem: Problem::NotObject })
            }
        }
    }

    /// The name of the next one, whose value must be read next.
    #[inline(always)]
    pub(super) fn key(&mut self) -> Result<Option<Text<'a>>, DecodeError> {
        let scanner = &mut self.scanner;
        scanner.white();
        if scanner.takes(b'}') {
            return Ok(None);
        }
        if self.begun {
            scanner.must_take(b',')?;
        }
        self.begun = true;
        scanner.key().map(Some)
    }

    /// The value of the last name, and the byte at which it begins.
    #[inline(always)]
    pub(super) fn value(&mut self) -> Result<(usize, Raw<'a>), DecodeError> {
        let value = self.scanner.value()?;
        Ok((self.scanner.at().wrapping_sub(value.as_str().len()), value))
    }

    /// Nothing but white space may come behind the object.
    pub(super) fn end(&mut self) -> Result<(), DecodeError> {
        self.scanner.end()
    }
}
