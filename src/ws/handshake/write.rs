//! Heads into a slice, and nothing into a head that does not belong there.

use core::fmt;

use super::head::{is_token, is_value};

/// Why a request or response was not written. It is the caller's own data that is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum WriteError {
    /// The slice is too small.
    NoRoom,
    /// The host is empty, or has what a host cannot have.
    Host,
    /// The path does not begin with `/`, or has white space, a fragment (`#`), or what is not ASCII.
    Path,
    /// A sub-protocol is not a token (section 4.1), or is there twice.
    Protocol,
    /// The selected sub-protocol was not offered.
    ProtocolNotOffered,
    /// The value for `Sec-WebSocket-Extensions` is no list of extensions, or the client offered no such extension.
    Extensions,
    /// The name of an extra header is not a token.
    HeaderName,
    /// The value of an extra header has a line break or another control character.
    HeaderValue,
    /// An extra header is one that belongs to the handshake, or says that a body follows.
    HeaderReserved,
    /// A status outside 200 to 599, or a reason with a line break.
    Status,
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            WriteError::NoRoom => "there is not enough room",
            WriteError::Host => "the host cannot be one",
            WriteError::Path => "the path cannot be one",
            WriteError::Protocol => "a sub-protocol is not a token, or is there twice",
            WriteError::ProtocolNotOffered => "the sub-protocol was not offered",
            WriteError::Extensions => "the extensions cannot be said",
            WriteError::HeaderName => "a header's name is not a token",
            WriteError::HeaderValue => "a header's value has a control character",
            WriteError::HeaderReserved => "a header belongs to the handshake",
            WriteError::Status => "the status is none that refuses",
        })
    }
}

impl core::error::Error for WriteError {}

/// A slice that fills.
pub(super) struct Writer<'o> {
    out: &'o mut [u8],
    written: usize,
}

impl<'o> Writer<'o> {
    pub(super) const fn new(out: &'o mut [u8]) -> Writer<'o> {
        Writer { out, written: 0 }
    }

    pub(super) const fn written(&self) -> usize {
        self.written
    }

    /// Writes these pieces.
    pub(super) fn put(&mut self, pieces: &[&[u8]]) -> Result<(), WriteError> {
        for piece in pieces {
            let end = self.written + piece.len();
            self.out.get_mut(self.written..end).ok_or(WriteError::NoRoom)?.copy_from_slice(piece);
            self.written = end;
        }
        Ok(())
    }

    /// A field of the handshake's own.
    pub(super) fn field(&mut self, name: &str, value: &[u8]) -> Result<(), WriteError> {
        self.put(&[name.as_bytes(), b": ", value, b"\r\n"])
    }

    /// Fields of the caller's.
    pub(super) fn extra(&mut self, headers: &[(&str, &str)]) -> Result<(), WriteError> {
        for (name, value) in headers {
            if is_reserved(name) {
                return Err(WriteError::HeaderReserved);
            }
            self.checked(name, value)?;
        }
        Ok(())
    }

    /// A field that may be any.
    pub(super) fn checked(&mut self, name: &str, value: &str) -> Result<(), WriteError> {
        if !is_token(name) {
            return Err(WriteError::HeaderName);
        }
        if !is_value(value.as_bytes()) {
            return Err(WriteError::HeaderValue);
        }
        self.field(name, value.as_bytes())
    }

    /// A number in decimal.
    pub(super) fn number(&mut self, number: usize) -> Result<(), WriteError> {
        let (mut digits, mut rest) = ([b'0'; 20], number);
        let mut length = 1;
        for (place, digit) in digits.iter_mut().rev().enumerate() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
            length = place + 1;
            if rest == 0 {
                break;
            }
        }
        self.put(&[digits.get(digits.len() - length..).unwrap_or_default()])
    }
}

/// Whether the handshake writes a field of this name itself, or must not have it.
fn is_reserved(name: &str) -> bool {
    const NAMES: [&str; 6] =
        ["host", "connection", "upgrade", "content-length", "transfer-encoding", "trailer"];
    const PREFIX: &[u8] = b"sec-websocket-";
    let begins = name.as_bytes().get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX));
    begins || NAMES.iter().any(|reserved| name.eq_ignore_ascii_case(reserved))
}
