//! `apply_text` says what `core` says, and masks as `apply` does.

use everlink_mask::{apply, apply_text};

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

#[track_caller]
fn compare(clear: &[u8]) {
    compare_at(clear, 0);
}

/// With so many bytes in front, whose number says where the border of a vector is.
#[track_caller]
fn compare_at(clear: &[u8], offset: usize) {
    let mut buffer = vec![b'.'; offset];
    buffer.extend_from_slice(clear);
    buffer.push(0xff);
    let bytes = &mut buffer[offset..][..clear.len()];
    apply(bytes, KEY);
    let valid = apply_text(bytes, KEY).is_ok();
    assert_eq!(valid, str::from_utf8(clear).is_ok(), "{} bytes at {offset}: {clear:02x?}", clear.len());
    assert_eq!(bytes, clear, "unmasked, valid or not");
}

/// `piece` at each place of texts of several lengths, among ASCII and among characters of two bytes.
fn everywhere(piece: &[u8], lengths: impl Iterator<Item = usize> + Clone) {
    for length in lengths {
        for filling in [&b"a"[..], "é".as_bytes()] {
            let text: Vec<u8> = filling.iter().copied().cycle().take(length / 2 * 2).collect();
            for at in (0..=text.len()).step_by(filling.len()) {
                let mut bytes = text.clone();
                bytes.splice(at..at, piece.iter().copied());
                compare(&bytes);
            }
        }
    }
}

/// Likewise in long texts, at their ends and across borders, wherever they lie.
fn everywhere_in_long(piece: &[u8]) {
    for length in [2047, 2048, 2100, 2111] {
        for offset in 0..32 {
            for at in (0..70).chain(1000..1004).chain(length - 70..=length) {
                let mut bytes = vec![b'a'; length];
                bytes.splice(at..at, piece.iter().copied());
                compare_at(&bytes, offset);
            }
        }
    }
}

/// The bytes at the borders of what the rules tell apart.
const EDGES: [u8; 20] = [
    0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xed, 0xee, 0xf0, 0xf1,
    0xf4, 0xf5, 0xff,
];

#[test]
fn every_character_and_what_is_none() {
    for number in 0..=0x11_0000_u32 {
        // As UTF-8 would have it, also where there is no such character.
        let bytes = match number {
            0..0x80 => vec![number as u8],
            0x80..0x800 => vec![0xc0 | (number >> 6) as u8, 0x80 | (number & 0x3f) as u8],
            0x800..0x1_0000 => {
                vec![
                    0xe0 | (number >> 12) as u8,
                    0x80 | (number >> 6 & 0x3f) as u8,
                    0x80 | (number & 0x3f) as u8,
                ]
            }
            _ => vec![
                0xf0 | (number >> 18) as u8,
                0x80 | (number >> 12 & 0x3f) as u8,
                0x80 | (number >> 6 & 0x3f) as u8,
                0x80 | (number & 0x3f) as u8,
            ],
        };
        compare(&bytes);
        // Across the border between the second vector and the third.
        let mut text = [b'.'; 96];
        let at = 62 + number as usize % 5 - bytes.len();
        text[at..at + bytes.len()].copy_from_slice(&bytes);
        compare(&text);
    }
}

#[test]
fn all_pairs_of_bytes() {
    for first in 0..=0xff {
        for second in 0..=0xff {
            for length in [2, 8, 17, 32, 33, 66, 97] {
                let mut text = vec![b'.'; length];
                text[length - 2..].copy_from_slice(&[first, second]);
                compare(&text);
                text.rotate_right(1);
                compare(&text);
                text.rotate_left(length / 2);
                compare(&text);
            }
        }
    }
}

#[test]
fn all_that_the_rules_tell_apart() {
    for a in EDGES {
        for b in EDGES {
            for c in EDGES {
                for d in EDGES {
                    let piece = [a, b, c, d];
                    compare(&piece);
                    // Across each border, at the end, and in the middle.
                    for (length, at) in [(32, 28), (33, 0), (40, 6), (64, 30), (70, 4), (100, 96), (129, 63)]
                    {
                        let mut text = [b'.'; 129];
                        text[at..at + 4].copy_from_slice(&piece);
                        compare(&text[..length]);
                    }
                }
            }
        }
    }
}

#[test]
fn wherever_it_is() {
    let pieces: [&[u8]; 16] = [
        b"",
        b"\x80",
        b"\xc3",
        b"\xc1\xbf",
        b"\xe2\x82\xac",
        b"\xe2\x82",
        b"\xe0\x9f\xbf",
        b"\xed\xa0\x80",
        b"\xef\xbf\xbf",
        b"\xf0\x9f\xa6\x8a",
        b"\xf0\x9f\xa6",
        b"\xf0\x8f\xbf\xbf",
        b"\xf4\x90\x80\x80",
        b"\xf4\x8f\xbf\xbf",
        b"\xc3\xa9\xa9",
        b"\xff",
    ];
    for piece in pieces {
        everywhere(piece, (0..=140).chain([255, 256, 257]));
        everywhere_in_long(piece);
    }
}

#[test]
fn whatever_comes() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let characters = ['a', '~', 'é', '߿', 'ࠀ', '東', '\u{d7ff}', '\u{e000}', '🦊', '\u{10ffff}'];
    for _ in 0..200_000 {
        let length = random() as usize % 200;
        let some =
            if random() % 2 == 0 { characters.len() } else { 1 + random() as usize % characters.len() };
        let mut text = String::new();
        while text.len() < length {
            text.push(characters[random() as usize % some]);
        }
        let mut bytes = text.into_bytes();
        for _ in 0..random() % 3 {
            if let Some(at) = (random() as usize).checked_rem(bytes.len()) {
                bytes[at] =
                    if random() % 2 == 0 { random() as u8 } else { EDGES[random() as usize % EDGES.len()] };
            }
        }
        compare(&bytes);
    }
}
