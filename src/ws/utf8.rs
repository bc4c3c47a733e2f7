//! Whether a text is UTF-8, told as early as can be, in pieces that may cut a character anywhere.

use crate::utf8::{text, valid_up_to};

/// A validator of one text that comes in pieces.
///
/// Positions are counted as the caller likes; the validator only repeats them.
///
/// ```
/// use everlink::ws::Utf8;
///
/// let mut text = Utf8::new();
/// assert_eq!(text.push(b"caf\xc3", 100), Ok(())); // the last character is unfinished: that may be mended
/// assert_eq!(text.finish(), Err(103));
/// assert_eq!(text.push(b"\xa9!", 104), Ok(()));
/// assert_eq!(text.push(b"\xff", 106), Err(106));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Utf8 {
    /// The beginning of a character whose end has not come.
    begun: [u8; 4],
    length: u8,
    /// Where it began.
    at: u64,
}

impl Utf8 {
    /// A validator that has seen nothing.
    #[must_use]
    pub const fn new() -> Utf8 {
        Utf8 { begun: [0; 4], length: 0, at: 0 }
    }

    /// The next piece, whose first byte is at `at`.
    ///
    /// # Errors
    /// Where the character begins that no further bytes can make valid: in this piece or in an earlier one.
    pub fn push(&mut self, piece: &[u8], at: u64) -> Result<(), u64> {
        let (rest, skipped) = self.mend(piece)?;
        let at = at + skipped;
        let (whole, begun) = split(rest);
        if text(whole).is_none() {
            return Err(at + valid_up_to(whole) as u64);
        }
        if !begun.is_empty() {
            self.begin(begun, at + whole.len() as u64)?;
        }
        Ok(())
    }

    /// Completes the character that an earlier piece began, byte by byte. Gives what is left of `piece`, and how much went.
    fn mend<'a>(&mut self, piece: &'a [u8]) -> Result<(&'a [u8], u64), u64> {
        let (mut rest, mut skipped) = (piece, 0);
        while self.length > 0
            && let Some((&byte, tail)) = rest.split_first()
        {
            let [a, b, c, _] = self.begun;
            let (begun, length) = match self.length {
                1 => ([a, byte, 0, 0], 2),
                2 => ([a, b, byte, 0], 3),
                _ => ([a, b, c, byte], 4),
            };
            let at = self.at;
            self.length = 0;
            self.begin(begun.get(..length).unwrap_or_default(), at)?;
            (rest, skipped) = (tail, skipped + 1);
        }
        Ok((rest, skipped))
    }

    /// Takes a whole character, or the beginning of one.
    fn begin(&mut self, bytes: &[u8], at: u64) -> Result<(), u64> {
        let Err(error) = core::str::from_utf8(bytes) else { return Ok(()) };
        if error.error_len().is_some() {
            return Err(at + error.valid_up_to() as u64);
        }
        let begun = bytes.get(error.valid_up_to()..).unwrap_or_default();
        for (to, from) in self.begun.iter_mut().zip(begun) {
            *to = *from;
        }
        (self.length, self.at) = (begun.len() as u8, at + error.valid_up_to() as u64);
        Ok(())
    }

    /// Whether the text may end here.
    ///
    /// # Errors
    /// Where the unfinished character begins.
    pub const fn finish(&self) -> Result<(), u64> {
        if self.length == 0 { Ok(()) } else { Err(self.at) }
    }
}

/// What can be judged now, and up to three bytes that begin a character and want more.
fn split(bytes: &[u8]) -> (&[u8], &[u8]) {
    let wanting = bytes.iter().rev().take(3).enumerate().find_map(|(behind, byte)| match byte {
        0x00..=0x7f => Some(0),
        0x80..=0xbf => None,
        0xc0..=0xdf if behind < 1 => Some(behind + 1),
        0xe0..=0xef if behind < 2 => Some(behind + 1),
        0xf0..=0xff if behind < 3 => Some(behind + 1),
        0xc0..=0xff => Some(0),
    });
    bytes.split_at(bytes.len() - wanting.unwrap_or(0))
}
