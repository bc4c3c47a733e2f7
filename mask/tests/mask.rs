//! Every way that this processor can go does what a loop over bytes does, at every length, wherever the bytes lie.

use everlink_mask::{apply, copy};

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

fn expected(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key).collect()
}

#[test]
fn every_length_everywhere() {
    let buffer: Vec<u8> = (0..4400).map(|at| (at * 11) as u8).collect();
    for offset in [0, 1, 3, 8, 33, 63] {
        for length in (0..=400).chain([4095, 4096, 4097, 4200]) {
            let clear = &buffer[offset..offset + length];
            let mut bytes = buffer.clone();
            apply(&mut bytes[offset..offset + length], KEY);
            assert_eq!(bytes[offset..offset + length], expected(clear), "{length} bytes at {offset}");
            assert_eq!(bytes[..offset], buffer[..offset], "nothing before");
            assert_eq!(bytes[offset + length..], buffer[offset + length..], "nothing behind");
            let mut to = buffer.clone();
            copy(clear, &mut to[offset..offset + length], KEY);
            assert_eq!(to, bytes);
        }
    }
}

#[test]
#[should_panic(expected = "differ in length")]
fn a_copy_needs_as_much_room() {
    copy(b"abc", &mut [0; 4], KEY);
}
