//! Every way that this processor can go, not only the one that it would go by itself.

use crate::{blocks, wide};

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

fn expected(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key).collect()
}

type Apply = fn(&mut [u8], [u8; 4]);
type Copy = fn(&[u8], &mut [u8], [u8; 4]);

/// Does what a loop over bytes does, at these lengths, wherever the bytes lie.
fn is_right(apply: Apply, copy: Copy, lengths: impl Iterator<Item = usize> + Clone) {
    let buffer: Vec<u8> = (0..4400).map(|at| (at * 11) as u8).collect();
    for offset in [0, 1, 3, 8, 33, 63] {
        for length in lengths.clone() {
            let clear = &buffer[offset..offset + length];
            let mut bytes = buffer.clone();
            apply(&mut bytes[offset..offset + length], KEY);
            assert_eq!(bytes[offset..offset + length], expected(clear), "{length} bytes at {offset}");
            assert_eq!(bytes[..offset], buffer[..offset], "nothing before");
            assert_eq!(bytes[offset + length..], buffer[offset + length..], "nothing behind");
            let mut to = buffer.clone();
            copy(clear, &mut to[offset..offset + length], KEY);
            assert_eq!(to, bytes, "copied");
        }
    }
}

fn long() -> impl Iterator<Item = usize> + Clone {
    (64..=400).chain([4095, 4096, 4097, 4200])
}

#[test]
fn every_length() {
    is_right(crate::apply, crate::copy, (0..64).chain(long()));
}

#[test]
fn short_ones_at_the_place() {
    let apply = |bytes: &mut [u8], key| _ = blocks::apply_short(bytes, key);
    is_right(apply, blocks::copy_short, 0..=crate::SHORT);
}

#[test]
fn long_ones_without_wide_vectors() {
    is_right(blocks::apply_long, blocks::copy_long, long());
}

#[test]
#[cfg(any(target_arch = "x86_64", target_arch = "x86"))]
#[expect(unsafe_code, reason = "the calls of functions that need AVX")]
fn long_ones_with_wide_vectors() {
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2, which was asked just above.
        let apply: Apply = |bytes, key| unsafe { wide::x86::apply_avx2(bytes, key) };
        // SAFETY: likewise.
        let copy: Copy = |from, to, key| unsafe { wide::x86::copy_avx2(from, to, key) };
        is_right(apply, copy, long());
    }
    if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw") {
        // SAFETY: the processor has AVX-512F and AVX-512BW, which was asked just above.
        let apply: Apply = |bytes, key| unsafe { wide::x86::apply_avx512(bytes, key) };
        // SAFETY: likewise.
        let copy: Copy = |from, to, key| unsafe { wide::x86::copy_avx512(from, to, key) };
        is_right(apply, copy, long());
    }
}

#[test]
fn text_without_wide_vectors() {
    for length in [0, 1, 3, 31, 64, 127, 128, 129, 500] {
        for (filling, end) in [("a", ""), ("é", ""), ("東", ""), ("a", "\u{10ffff}")] {
            let text: String = filling.chars().cycle().take(length).chain(end.chars()).collect();
            let mut bytes = expected(text.as_bytes());
            assert!(wide::apply_text_anywhere(&mut bytes, KEY), "{text}");
            assert_eq!(bytes, text.as_bytes());
            if let Some(last) = bytes.last_mut() {
                *last = 0xff;
                let mut bytes = expected(&bytes);
                assert!(!wide::apply_text_anywhere(&mut bytes, KEY), "not {text}");
            }
        }
    }
}

#[test]
#[should_panic(expected = "differ in length")]
fn a_copy_needs_as_much_room() {
    crate::copy(b"abc", &mut [0; 4], KEY);
}
