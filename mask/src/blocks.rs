//! Blocks of bytes under a key: what the compiler makes vectors of, as wide as the function allows that this is compiled into.

/// The bits that any of some bytes has.
#[derive(Clone, Copy, Default)]
pub struct Seen(u64);

impl Seen {
    #[inline(always)]
    pub fn is_ascii(self) -> bool {
        self.0 & 0x8080_8080_8080_8080 == 0
    }
}

/// The key for what follows after `length` bytes.
#[inline(always)]
pub const fn turned(key: [u8; 4], length: usize) -> [u8; 4] {
    u32::from_le_bytes(key).rotate_right(8 * (length as u32 & 3)).to_le_bytes()
}

/// A block under the key; `N` is 4, or a multiple of 8.
#[inline(always)]
pub fn under<const N: usize>(mut block: [u8; N], key: [u8; 4]) -> [u8; N] {
    let key = u32::from_ne_bytes(key);
    if N == 4 {
        for word in block.as_chunks_mut::<4>().0 {
            *word = (u32::from_ne_bytes(*word) ^ key).to_ne_bytes();
        }
    } else {
        let key = u64::from(key) << 32 | u64::from(key);
        for word in block.as_chunks_mut::<8>().0 {
            *word = (u64::from_ne_bytes(*word) ^ key).to_ne_bytes();
        }
    }
    block
}

#[inline(always)]
fn seen<const N: usize>(first: &[u8; N], last: &[u8; N]) -> Seen {
    if N == 4 {
        return Seen(first.iter().zip(last).fold(0, |seen, (a, b)| seen | u64::from(a | b)));
    }
    let (first, last) = (first.as_chunks::<8>().0, last.as_chunks::<8>().0);
    let words = first.iter().zip(last).map(|(a, b)| u64::from_ne_bytes(*a) | u64::from_ne_bytes(*b));
    Seen(words.fold(0, |seen, word| seen | word))
}

/// As [`under`], for a loop. Byte by byte: of words the compiler makes something ten times slower for AVX-512.
#[inline(always)]
fn block_under(block: &[u8; BLOCK], keys: &[u8; BLOCK]) -> [u8; BLOCK] {
    let mut under = *block;
    for (byte, key) in under.iter_mut().zip(keys) {
        *byte ^= key;
    }
    under
}

/// `N` to `2 * N` bytes: the first `N` and the last, which may overlap, so both are read before either is written.
#[inline(always)]
fn apply_ends<const N: usize>(bytes: &mut [u8], key: [u8; 4]) -> Seen {
    let (Some(&first), Some(&last)) = (bytes.first_chunk::<N>(), bytes.last_chunk::<N>()) else {
        return Seen::default();
    };
    let (first, last) = (under(first, key), under(last, turned(key, bytes.len())));
    if let Some(place) = bytes.first_chunk_mut() {
        *place = first;
    }
    if let Some(place) = bytes.last_chunk_mut() {
        *place = last;
    }
    seen(&first, &last)
}

#[inline(always)]
fn copy_ends<const N: usize>(from: &[u8], to: &mut [u8], key: [u8; 4]) {
    if let (Some(&first), Some(&last)) = (from.first_chunk::<N>(), from.last_chunk::<N>()) {
        if let Some(place) = to.first_chunk_mut() {
            *place = under(first, key);
        }
        if let Some(place) = to.last_chunk_mut() {
            *place = under(last, turned(key, from.len()));
        }
    }
}

/// At most 128 bytes.
#[inline(always)]
pub fn apply_short(bytes: &mut [u8], key: [u8; 4]) -> Seen {
    match bytes.len() {
        0..4 => bytes.iter_mut().zip(key).fold(Seen::default(), |seen, (byte, key)| {
            *byte ^= key;
            Seen(seen.0 | u64::from(*byte))
        }),
        4..8 => apply_ends::<4>(bytes, key),
        8..16 => apply_ends::<8>(bytes, key),
        16..=32 => apply_ends::<16>(bytes, key),
        33..=64 => apply_ends::<32>(bytes, key),
        _ => apply_ends::<64>(bytes, key),
    }
}

/// At most 128 bytes.
#[inline(always)]
pub fn copy_short(from: &[u8], to: &mut [u8], key: [u8; 4]) {
    match from.len() {
        0..4 => to.iter_mut().zip(from).zip(key).for_each(|((to, from), key)| *to = from ^ key),
        4..8 => copy_ends::<4>(from, to, key),
        8..16 => copy_ends::<8>(from, to, key),
        16..=32 => copy_ends::<16>(from, to, key),
        33..=64 => copy_ends::<32>(from, to, key),
        _ => copy_ends::<64>(from, to, key),
    }
}

/// What the loops take at once: a cache line, and the widest vector.
const BLOCK: usize = 64;

/// More than 64 bytes. The blocks in the middle begin at the border of a cache line; the first and the last overlap with them, and so
/// are read before and written after them.
#[inline(always)]
pub fn apply_long(bytes: &mut [u8], key: [u8; 4]) {
    let (Some(&first), Some(&last)) = (bytes.first_chunk::<BLOCK>(), bytes.last_chunk::<BLOCK>()) else {
        return;
    };
    let (first, last) = (under(first, key), under(last, turned(key, bytes.len())));
    let before = bytes.as_ptr().align_offset(BLOCK).min(BLOCK);
    let keys = under([0; BLOCK], turned(key, before));
    for block in bytes.get_mut(before..).unwrap_or_default().as_chunks_mut::<BLOCK>().0 {
        *block = block_under(block, &keys);
    }
    if let Some(place) = bytes.first_chunk_mut() {
        *place = first;
    }
    if let Some(place) = bytes.last_chunk_mut() {
        *place = last;
    }
}

/// More than 64 bytes, into as many.
#[inline(always)]
pub fn copy_long(from: &[u8], to: &mut [u8], key: [u8; 4]) {
    copy_ends::<BLOCK>(from, to, key);
    let before = to.as_ptr().align_offset(BLOCK).min(BLOCK);
    let keys = under([0; BLOCK], turned(key, before));
    let from = from.get(before..).unwrap_or_default().as_chunks::<BLOCK>().0;
    let to = to.get_mut(before..).unwrap_or_default().as_chunks_mut::<BLOCK>().0;
    for (place, block) in to.iter_mut().zip(from) {
        *place = block_under(block, &keys);
    }
}
