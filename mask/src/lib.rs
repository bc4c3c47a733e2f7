//! The mask of a WebSocket frame (RFC 6455, section 5.3) over long payloads, by the widest vectors that the processor turns out to
//! have: AVX-512, AVX2, or what the target has in any case.
//!
//! This is a crate of its own because calling a function that needs AVX2 takes `unsafe`, and `everlink` forbids it. The only
//! `unsafe` here is these calls, each right behind the question whether the processor can; the functions themselves are
//! ordinary safe loops that the compiler turns into vector instructions.
//!
//! For short payloads (below some 256 bytes) a loop at the place is quicker than the call.

/// What the loops take at once: a cache line, and the widest vector.
const BLOCK: usize = 64;

/// From here on it pays to begin with what makes the rest aligned.
const LONG: usize = 4096;

/// Combines `bytes` with `key`, over and over, by XOR; the first byte with the first of the key.
///
/// ```
/// let mut bytes = *b"Hello";
/// everlink_mask::apply(&mut bytes, [0x37, 0xfa, 0x21, 0x3d]);
/// assert_eq!(bytes, [0x7f, 0x9f, 0x4d, 0x51, 0x58]);
/// ```
pub fn apply(bytes: &mut [u8], key: [u8; 4]) {
    let (bytes, key) = if bytes.len() < LONG { (bytes, key) } else { apply_to_border(bytes, key) };
    #[cfg(any(target_arch = "x86_64", target_arch = "x86"))]
    {
        if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw") {
            #[expect(unsafe_code, reason = "the call of a function that needs AVX-512")]
            // SAFETY: the processor has AVX-512F and AVX-512BW, which was asked just above.
            return unsafe { x86::apply_avx512(bytes, key) };
        }
        if is_x86_feature_detected!("avx2") {
            #[expect(unsafe_code, reason = "the call of a function that needs AVX2")]
            // SAFETY: the processor has AVX2, which was asked just above.
            return unsafe { x86::apply_avx2(bytes, key) };
        }
    }
    apply_blocks(bytes, key);
}

/// Writes `from`, combined with `key` as [`apply`] does it, over `to`.
///
/// # Panics
/// If they differ in length.
pub fn copy(from: &[u8], to: &mut [u8], key: [u8; 4]) {
    assert_eq!(from.len(), to.len(), "what is copied and its place differ in length");
    let (from, to, key) = if to.len() < LONG { (from, to, key) } else { copy_to_border(from, to, key) };
    #[cfg(any(target_arch = "x86_64", target_arch = "x86"))]
    {
        if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw") {
            #[expect(unsafe_code, reason = "the call of a function that needs AVX-512")]
            // SAFETY: the processor has AVX-512F and AVX-512BW, which was asked just above.
            return unsafe { x86::copy_avx512(from, to, key) };
        }
        if is_x86_feature_detected!("avx2") {
            #[expect(unsafe_code, reason = "the call of a function that needs AVX2")]
            // SAFETY: the processor has AVX2, which was asked just above.
            return unsafe { x86::copy_avx2(from, to, key) };
        }
    }
    copy_blocks(from, to, key);
}

/// The same loops, compiled for wider vectors.
#[cfg(any(target_arch = "x86_64", target_arch = "x86"))]
mod x86 {
    #[target_feature(enable = "avx512f,avx512bw")]
    pub fn apply_avx512(bytes: &mut [u8], key: [u8; 4]) {
        super::apply_blocks(bytes, key);
    }

    #[target_feature(enable = "avx2")]
    pub fn apply_avx2(bytes: &mut [u8], key: [u8; 4]) {
        super::apply_blocks(bytes, key);
    }

    #[target_feature(enable = "avx512f,avx512bw")]
    pub fn copy_avx512(from: &[u8], to: &mut [u8], key: [u8; 4]) {
        super::copy_blocks(from, to, key);
    }

    #[target_feature(enable = "avx2")]
    pub fn copy_avx2(from: &[u8], to: &mut [u8], key: [u8; 4]) {
        super::copy_blocks(from, to, key);
    }
}

/// Takes the bytes before the first border of a block, so that the blocks behind it do not straddle cache lines. Gives the rest, and
/// the key for it.
#[inline(never)]
fn apply_to_border(bytes: &mut [u8], key: [u8; 4]) -> (&mut [u8], [u8; 4]) {
    let before = bytes.as_ptr().align_offset(BLOCK).min(bytes.len());
    let (start, rest) = bytes.split_at_mut(before);
    apply_short(start, key);
    (rest, turned(key, before))
}

#[inline(never)]
fn copy_to_border<'a>(from: &'a [u8], to: &'a mut [u8], key: [u8; 4]) -> (&'a [u8], &'a mut [u8], [u8; 4]) {
    let before = to.as_ptr().align_offset(BLOCK).min(to.len());
    let ((first, from), (start, to)) = (from.split_at(before), to.split_at_mut(before));
    copy_short(first, start, key);
    (from, to, turned(key, before))
}

/// The key for what follows after `length` bytes.
const fn turned(key: [u8; 4], length: usize) -> [u8; 4] {
    u32::from_le_bytes(key).rotate_right(8 * (length as u32 & 3)).to_le_bytes()
}

#[inline(always)]
fn apply_blocks(bytes: &mut [u8], key: [u8; 4]) {
    let wide = [key; BLOCK / 4];
    let (blocks, rest) = bytes.as_chunks_mut::<BLOCK>();
    for bytes in blocks {
        // Byte by byte: of words the compiler makes something ten times slower for AVX-512.
        for (byte, key) in bytes.iter_mut().zip(wide.as_flattened()) {
            *byte ^= key;
        }
    }
    apply_short(rest, key);
}

#[inline(always)]
fn copy_blocks(from: &[u8], to: &mut [u8], key: [u8; 4]) {
    let wide = [key; BLOCK / 4];
    let ((blocks, rest), (places, room)) = (from.as_chunks::<BLOCK>(), to.as_chunks_mut::<BLOCK>());
    for (place, bytes) in places.iter_mut().zip(blocks) {
        for ((to, from), key) in place.iter_mut().zip(bytes).zip(wide.as_flattened()) {
            *to = from ^ key;
        }
    }
    copy_short(rest, room, key);
}

#[inline(always)]
fn xor(word: [u8; 4], key: [u8; 4]) -> [u8; 4] {
    (u32::from_ne_bytes(word) ^ u32::from_ne_bytes(key)).to_ne_bytes()
}

#[inline(always)]
fn apply_short(bytes: &mut [u8], key: [u8; 4]) {
    let wide = twice(key);
    let (words, rest) = bytes.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    let (words, rest) = rest.as_chunks_mut::<4>();
    for word in words {
        *word = xor(*word, key);
    }
    for (byte, key) in rest.iter_mut().zip(key) {
        *byte ^= key;
    }
}

#[inline(always)]
fn copy_short(from: &[u8], to: &mut [u8], key: [u8; 4]) {
    let wide = twice(key);
    let ((words, from), (places, to)) = (from.as_chunks::<8>(), to.as_chunks_mut::<8>());
    for (place, word) in places.iter_mut().zip(words) {
        *place = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    let ((words, rest), (places, room)) = (from.as_chunks::<4>(), to.as_chunks_mut::<4>());
    for (place, word) in places.iter_mut().zip(words) {
        *place = xor(*word, key);
    }
    for ((to, from), key) in room.iter_mut().zip(rest).zip(key) {
        *to = from ^ key;
    }
}

const fn twice(key: [u8; 4]) -> u64 {
    let key = u32::from_ne_bytes(key) as u64;
    key << 32 | key
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

    fn expected(bytes: &[u8]) -> Vec<u8> {
        bytes.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key).collect()
    }

    /// Every way that this processor can go, and every length, wherever the bytes lie.
    #[test]
    fn each_width_does_what_a_loop_over_bytes_does() {
        type Apply = fn(&mut [u8], [u8; 4]);
        type Copy = fn(&[u8], &mut [u8], [u8; 4]);
        let mut ways: Vec<(Apply, Copy)> =
            vec![(apply, copy), (apply_blocks, copy_blocks), (apply_short, copy_short)];
        #[cfg(any(target_arch = "x86_64", target_arch = "x86"))]
        #[expect(unsafe_code, reason = "the calls of functions that need AVX")]
        {
            if is_x86_feature_detected!("avx2") {
                // SAFETY: the processor has AVX2, which was asked just above.
                let way: (Apply, Copy) = (
                    |bytes, key| unsafe { x86::apply_avx2(bytes, key) },
                    |from, to, key| unsafe {
                        x86::copy_avx2(from, to, key);
                    },
                );
                ways.push(way);
            }
            if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw") {
                // SAFETY: the processor has AVX-512F and AVX-512BW, which was asked just above.
                let way: (Apply, Copy) = (
                    |bytes, key| unsafe { x86::apply_avx512(bytes, key) },
                    |from, to, key| unsafe {
                        x86::copy_avx512(from, to, key);
                    },
                );
                ways.push(way);
            }
        }
        let buffer: Vec<u8> = (0..4400).map(|at| (at * 11) as u8).collect();
        for (apply, copy) in ways {
            for offset in [0, 1, 3, 8, 33, 63] {
                for length in (0..=400).chain([4095, 4096, 4097, 4200]) {
                    let clear = &buffer[offset..offset + length];
                    let mut bytes = buffer.clone();
                    apply(&mut bytes[offset..offset + length], KEY);
                    assert_eq!(bytes[offset..offset + length], expected(clear));
                    assert_eq!(bytes[..offset], buffer[..offset], "nothing before");
                    assert_eq!(bytes[offset + length..], buffer[offset + length..], "nothing behind");
                    let mut to = buffer.clone();
                    copy(clear, &mut to[offset..offset + length], KEY);
                    assert_eq!(to, bytes);
                }
            }
        }
    }
}
