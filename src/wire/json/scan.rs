//! From text to values, strictly as RFC 8259 has it: each byte is looked at once, nesting is counted and not recursed into, nothing
//! is copied.
//!
//! Why not a crate: those that lend values as they are written (`serde_json`'s `RawValue`, `simd-json`) need an allocator, and those
//! that need none lend no such values.

use super::value::{Raw, Text};
use super::{DecodeError, Problem};

/// How deep arrays and objects may be in one another.
pub const DEPTH_MAX: u32 = 128;

/// Reads one text.
#[derive(Clone, Debug)]
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    pub(super) const fn new(text: &'a str) -> Scanner<'a> {
        Scanner { text, at: 0 }
    }

    pub(super) const fn at(&self) -> usize {
        self.at
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// What comes is not what must.
    const fn wrong(&self) -> DecodeError {
        let problem = if self.at < self.text.len() { Problem::Syntax } else { Problem::Truncated };
        DecodeError { at: self.at, problem }
    }

    pub(super) fn white(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at = self.at.saturating_add(1);
        }
    }

    /// Takes this byte, if it comes next.
    pub(super) fn takes(&mut self, byte: u8) -> bool {
        let comes = self.peek() == Some(byte);
        self.at = self.at.saturating_add(usize::from(comes));
        comes
    }

    fn must_take(&mut self, byte: u8) -> Result<(), DecodeError> {
        if self.takes(byte) { Ok(()) } else { Err(self.wrong()) }
    }

    /// What was read from here on.
    fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    /// Nothing but white space may come.
    pub(super) fn end(&mut self) -> Result<(), DecodeError> {
        self.white();
        if self.at == self.text.len() { Ok(()) } else { Err(self.wrong()) }
    }

    /// Any value.
    pub(super) fn value(&mut self) -> Result<Raw<'a>, DecodeError> {
        self.white();
        let start = self.at;
        // The innermost is the lowest bit, set for an object.
        let (mut nest, mut depth) = (0u128, 0u32);
        loop {
            self.white();
            let at = self.at;
            match self.peek() {
                Some(open @ (b'{' | b'[')) => {
                    self.at = self.at.saturating_add(1);
                    self.white();
                    let is_object = open == b'{';
                    if depth == DEPTH_MAX {
                        return Err(DecodeError { at, problem: Problem::Depth });
                    }
                    if !self.takes(if is_object { b'}' } else { b']' }) {
                        (nest, depth) = (nest << 1 | u128::from(is_object), depth.saturating_add(1));
                        if is_object {
                            self.key()?;
                        }
                        continue;
                    }
                }
                Some(b'"') => {
                    self.string()?;
                }
                Some(b'-' | b'0'..=b'9') => self.number()?,
                Some(b't') => self.word("true")?,
                Some(b'f') => self.word("false")?,
                Some(b'n') => self.word("null")?,
                Some(_) | None => return Err(self.wrong()),
            }
            // A value has ended, and with it perhaps some that it is the last one in.
            loop {
                if depth == 0 {
                    return Ok(Raw::scanned(self.since(start)));
                }
                self.white();
                let is_object = nest & 1 == 1;
                if self.takes(b',') {
                    if is_object {
                        self.key()?;
                    }
                    break;
                }
                self.must_take(if is_object { b'}' } else { b']' })?;
                (nest, depth) = (nest >> 1, depth.saturating_sub(1));
            }
        }
    }

    /// The name of a field, and its colon.
    pub(super) fn key(&mut self) -> Result<Text<'a>, DecodeError> {
        self.white();
        let key = self.string()?;
        self.white();
        self.must_take(b':')?;
        Ok(key)
    }

    fn string(&mut self) -> Result<Text<'a>, DecodeError> {
        self.must_take(b'"')?;
        let start = self.at;
        let mut escaped = false;
        loop {
            match self.peek() {
                Some(b'"') => {
                    let text = self.since(start);
                    self.at = self.at.saturating_add(1);
                    return Ok(Text::scanned(text, escaped));
                }
                Some(b'\\') => {
                    escaped = true;
                    self.at = self.at.saturating_add(1);
                    self.escape()?;
                }
                Some(0..0x20) | None => return Err(self.wrong()),
                Some(_) => self.at = self.at.saturating_add(1),
            }
        }
    }

    /// What comes behind a backslash.
    fn escape(&mut self) -> Result<(), DecodeError> {
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at = self.at.saturating_add(1)
            }
            Some(b'u') => {
                self.at = self.at.saturating_add(1);
                for _ in 0..4 {
                    if !self.peek().is_some_and(|byte| byte.is_ascii_hexdigit()) {
                        return Err(self.wrong());
                    }
                    self.at = self.at.saturating_add(1);
                }
            }
            Some(_) | None => return Err(self.wrong()),
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), DecodeError> {
        self.takes(b'-');
        if !self.takes(b'0') {
            self.digits()?;
        }
        if self.takes(b'.') {
            self.digits()?;
        }
        if self.takes(b'e') || self.takes(b'E') {
            let _ = self.takes(b'+') || self.takes(b'-');
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), DecodeError> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at = self.at.saturating_add(1);
        }
        if self.at == start { Err(self.wrong()) } else { Ok(()) }
    }

    fn word(&mut self, word: &str) -> Result<(), DecodeError> {
        word.bytes().try_for_each(|byte| self.must_take(byte))
    }
}

/// The fields of an object, in the order in which they are written.
#[derive(Clone, Debug)]
pub(super) struct Fields<'a> {
    scanner: Scanner<'a>,
    begun: bool,
}

/// One field.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field<'a> {
    pub(super) key: Text<'a>,
    /// The byte at which the value begins.
    pub(super) at: usize,
    pub(super) value: Raw<'a>,
}

impl<'a> Fields<'a> {
    /// Of the object that begins here, behind white space.
    pub(super) fn new(mut scanner: Scanner<'a>) -> Result<Fields<'a>, DecodeError> {
        scanner.white();
        if scanner.takes(b'{') {
            return Ok(Fields { scanner, begun: false });
        }
        match scanner.peek() {
            None => Err(scanner.wrong()),
            Some(_) => {
                // Say what it is not only if it is JSON at all.
                let at = scanner.at;
                scanner.value()?;
                Err(DecodeError { at, problem: Problem::NotObject })
            }
        }
    }

    pub(super) fn next(&mut self) -> Result<Option<Field<'a>>, DecodeError> {
        let scanner = &mut self.scanner;
        scanner.white();
        if scanner.takes(b'}') {
            return Ok(None);
        }
        if self.begun {
            scanner.must_take(b',')?;
        }
        self.begun = true;
        let key = scanner.key()?;
        scanner.white();
        let at = scanner.at();
        Ok(Some(Field { key, at, value: scanner.value()? }))
    }

    /// Nothing but white space may come behind the object.
    pub(super) fn end(&mut self) -> Result<(), DecodeError> {
        self.scanner.end()
    }
}
