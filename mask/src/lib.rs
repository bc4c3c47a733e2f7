//! The mask of a WebSocket frame (RFC 6455, section 5.3), by the widest vectors that the processor turns out to have: AVX-512,
//! AVX2, or what the target has in any case.
//!
//! This is a crate of its own because calling a function that needs AVX2 takes `unsafe`, and `everlink` forbids it. Here it is
//! for three things, each in one place: the calls of such functions, each right behind the question whether the processor can
//! (`wide`); moving a vector from and to an array of its size (`text::x86`); and calling text what was seen to be text
//! ([`apply_text`]). The loops over bytes are safe Rust that the compiler turns into vector instructions.

mod blocks;
#[cfg(test)]
mod tests;
mod text;
mod wide;

/// Up to here (in bytes) the instructions stand at the place: a call, and the question what the processor can, cost more than they
/// save.
const SHORT: usize = 128;

/// The same for text, of which the wider vectors see in fewer steps whether it is UTF-8.
const SHORT_TEXT: usize = 32;

/// Combines `bytes` with `key`, over and over, by XOR; the first byte with the first of the key.
///
/// ```
/// let mut bytes = *b"Hello";
/// everlink_mask::apply(&mut bytes, [0x37, 0xfa, 0x21, 0x3d]);
/// assert_eq!(bytes, [0x7f, 0x9f, 0x4d, 0x51, 0x58]);
/// ```
#[inline]
pub fn apply(bytes: &mut [u8], key: [u8; 4]) {
    if bytes.len() <= SHORT {
        blocks::apply_short(bytes, key);
    } else {
        wide::apply(bytes, key);
    }
}

/// Writes `from`, combined with `key` as [`apply`] does it, over `to`.
///
/// # Panics
/// If they differ in length.
#[inline]
pub fn copy(from: &[u8], to: &mut [u8], key: [u8; 4]) {
    assert_eq!(from.len(), to.len(), "what is copied and its place differ in length");
    if from.len() <= SHORT {
        blocks::copy_short(from, to, key);
    } else {
        wide::copy(from, to, key);
    }
}

/// Does what [`apply`] does, and gives the outcome as text.
///
/// ```
/// let mut bytes = [0x7f, 0x9f, 0x4d, 0x51, 0x58];
/// assert_eq!(everlink_mask::apply_text(&mut bytes, [0x37, 0xfa, 0x21, 0x3d]), Ok("Hello"));
/// assert_eq!(everlink_mask::apply_text(&mut bytes, [0x80; 4]), Err(&[0xc8, 0xe5, 0xec, 0xec, 0xef][..]));
/// ```
///
/// # Errors
/// The outcome as bytes, if they are not UTF-8.
#[inline]
pub fn apply_text(bytes: &mut [u8], key: [u8; 4]) -> Result<&str, &[u8]> {
    let valid = if bytes.len() <= SHORT_TEXT {
        blocks::apply_short(bytes, key).is_ascii() || wide::is_utf8(bytes)
    } else {
        wide::apply_text(bytes, key)
    };
    if !valid {
        return Err(bytes);
    }
    #[expect(unsafe_code, reason = "a check that `str` does not know of")]
    // SAFETY: `bytes` is ASCII, or was checked from its first byte to its last (`tests/text.rs` compares that check with `core`'s).
    Ok(unsafe { str::from_utf8_unchecked(bytes) })
}
