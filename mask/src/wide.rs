//! What the processor can is asked here, and nowhere else.

use crate::{blocks, text};

/// More than 64 bytes.
#[inline(never)]
pub fn apply(bytes: &mut [u8], key: [u8; 4]) {
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
    blocks::apply_long(bytes, key);
}

/// More than 64 bytes, into as many.
#[inline(never)]
pub fn copy(from: &[u8], to: &mut [u8], key: [u8; 4]) {
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
    blocks::copy_long(from, to, key);
}

/// More than 32 bytes; whether they are UTF-8 now.
#[inline(never)]
pub fn apply_text(bytes: &mut [u8], key: [u8; 4]) -> bool {
    #[cfg(any(target_arch = "x86_64", target_arch = "x86"))]
    if is_x86_feature_detected!("avx2") {
        #[expect(unsafe_code, reason = "the call of a function that needs AVX2")]
        // SAFETY: the processor has AVX2, which was asked just above.
        return unsafe { text::x86::apply_avx2(bytes, key) };
    }
    apply_text_anywhere(bytes, key)
}

/// The same where there are no such vectors.
pub fn apply_text_anywhere(bytes: &mut [u8], key: [u8; 4]) -> bool {
    if bytes.len() <= crate::SHORT {
        blocks::apply_short(bytes, key).is_ascii() || text::is_utf8(bytes)
    } else {
        apply(bytes, key);
        text::is_utf8(bytes)
    }
}

/// Whether at most 32 bytes are UTF-8; most likely not all of them are ASCII.
#[inline(never)]
pub fn is_utf8(bytes: &[u8]) -> bool {
    #[cfg(any(target_arch = "x86_64", target_arch = "x86"))]
    if is_x86_feature_detected!("avx2") {
        #[expect(unsafe_code, reason = "the call of a function that needs AVX2")]
        // SAFETY: the processor has AVX2, which was asked just above.
        return unsafe { text::x86::is_utf8_avx2(bytes) };
    }
    text::is_utf8(bytes)
}

/// The same loops, compiled for wider vectors.
#[cfg(any(target_arch = "x86_64", target_arch = "x86"))]
pub mod x86 {
    use crate::blocks;

    #[target_feature(enable = "avx512f,avx512bw")]
    pub fn apply_avx512(bytes: &mut [u8], key: [u8; 4]) {
        blocks::apply_long(bytes, key);
    }

    #[target_feature(enable = "avx2")]
    pub fn apply_avx2(bytes: &mut [u8], key: [u8; 4]) {
        blocks::apply_long(bytes, key);
    }

    #[target_feature(enable = "avx512f,avx512bw")]
    pub fn copy_avx512(from: &[u8], to: &mut [u8], key: [u8; 4]) {
        blocks::copy_long(from, to, key);
    }

    #[target_feature(enable = "avx2")]
    pub fn copy_avx2(from: &[u8], to: &mut [u8], key: [u8; 4]) {
        blocks::copy_long(from, to, key);
    }
}
