//! A state as bytes, and back: the small alphabet that stored states are written in, with a check sum behind them.
//!
//! ```text
//!   magic, version │ … numbers and bytes … │ CRC-32 of all before it
//! ```
//!
//! Numbers have a fixed length, lowest byte first. Whoever changes what is said changes [`VERSION`].

use core::fmt;

use crc::{CRC_32_ISO_HDLC, Crc, Digest, Table};

const MAGIC: &[u8] = b"everlink state ";

/// Of what is said behind the magic.
const VERSION: u8 = 2;

const CRC: Crc<u32, Table<1>> = Crc::<u32, Table<1>>::new(&CRC_32_ISO_HDLC);
static SUMS: Crc<u32, Table<1>> = CRC;

/// Why bytes are no state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum RestoreError {
    /// They are no state of this crate, or one of another version of the format.
    Foreign,
    /// They were cut off, or changed since they were stored; or there are fewer slots than the state needs.
    Damaged,
    /// The configuration cannot work.
    Config(crate::error::ConfigError),
}

impl fmt::Display for RestoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RestoreError::Foreign => f.write_str("not a stored state of this version"),
            RestoreError::Damaged => f.write_str("a stored state that is damaged, cut off or too large"),
            RestoreError::Config(error) => write!(f, "impossible configuration: {error}"),
        }
    }
}

impl core::error::Error for RestoreError {}

/// Writes a state, part by part, into a sink.
pub(crate) struct Save<F> {
    sink: F,
    sum: Digest<'static, u32, Table<1>>,
}

impl<F: FnMut(&[u8])> Save<F> {
    /// Begins one. `what` tells states of different machines apart.
    pub(crate) fn new(what: u8, sink: F) -> Save<F> {
        let mut save = Save { sink, sum: SUMS.digest() };
        save.raw(MAGIC);
        save.byte(VERSION);
        save.byte(what);
        save
    }

    fn raw(&mut self, bytes: &[u8]) {
        self.sum.update(bytes);
        (self.sink)(bytes);
    }

    pub(crate) fn byte(&mut self, byte: u8) {
        self.raw(&[byte]);
    }

    pub(crate) fn number(&mut self, number: u32) {
        self.raw(&number.to_le_bytes());
    }

    pub(crate) fn long(&mut self, number: u64) {
        self.raw(&number.to_le_bytes());
    }

    pub(crate) fn optional(&mut self, number: Option<u64>) {
        self.byte(number.is_some().into());
        self.long(number.unwrap_or(0));
    }

    /// A payload has less than 4 GiB.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.number(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        self.raw(bytes);
    }

    /// Ends it.
    pub(crate) fn finish(mut self) {
        let sum = self.sum.finalize();
        (self.sink)(&sum.to_le_bytes());
    }
}

/// Reads a state.
#[derive(Clone)]
pub(crate) struct Load<'a> {
    rest: &'a [u8],
}

impl<'a> Load<'a> {
    /// Looks whether it is one, and whole.
    pub(crate) fn new(what: u8, state: &'a [u8]) -> Result<Load<'a>, RestoreError> {
        let behind = state.strip_prefix(MAGIC).and_then(|rest| rest.strip_prefix(&[VERSION, what]));
        let behind = behind.ok_or(RestoreError::Foreign)?;
        let (rest, sum) = behind.split_last_chunk::<4>().ok_or(RestoreError::Damaged)?;
        let summed = state.split_last_chunk::<4>().map(|(summed, _)| SUMS.checksum(summed));
        if summed == Some(u32::from_le_bytes(*sum)) { Ok(Load { rest }) } else { Err(RestoreError::Damaged) }
    }

    fn chunk<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (chunk, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*chunk)
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        self.chunk().map(|[byte]| byte)
    }

    pub(crate) fn number(&mut self) -> Option<u32> {
        self.chunk().map(u32::from_le_bytes)
    }

    pub(crate) fn long(&mut self) -> Option<u64> {
        self.chunk().map(u64::from_le_bytes)
    }

    pub(crate) fn optional(&mut self) -> Option<Option<u64>> {
        let is_some = self.byte()?;
        let number = self.long()?;
        match is_some {
            0 => Some(None),
            1 => Some(Some(number)),
            _ => None,
        }
    }

    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = self.number()? as usize;
        let (bytes, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(bytes)
    }

    /// Whether all of it was read.
    pub(crate) const fn is_done(&self) -> bool {
        self.rest.is_empty()
    }
}
