//! Frames of a peer: however the bytes are split, the same comes of them.

use everlink::ws::{Decoder, Error, Limits, Role};

use crate::pick;
use crate::ws_seen::{Seen, decode};

/// An end, its limits, how to split; then what its peer sends.
pub fn ws_decode(data: &[u8]) {
    let Some(([end, limits, split], wire)) = data.split_first_chunk() else { return };
    let decoder = decoder(*end, *limits);
    let whole = decode(decoder.clone(), wire, &[0, wire.len()], None);
    let each: Vec<usize> = (0..=wire.len()).collect();
    same(&decode(decoder.clone(), wire, &each, None), &whole);
    same(&decode(decoder.clone(), wire, &each, Some(1)), &whole);
    let cuts = cuts(wire.len(), *split);
    same(&decode(decoder.clone(), wire, &cuts, None), &whole);
    same(&decode(decoder, wire, &cuts, Some(1 + usize::from(split % 3))), &whole);
    if let (_, Some(error)) = &whole {
        assert!(error.at < wire.len() as u64, "{error:?}");
        assert!(!error.to_string().is_empty());
    }
}

fn same(one: &(Vec<Seen>, Option<Error>), other: &(Vec<Seen>, Option<Error>)) {
    assert_eq!(one, other);
}

fn decoder(end: u8, limits: u8) -> Decoder {
    let role = pick(&[Role::Client, Role::Server], end);
    let decoder = Decoder::new(role, pick_limits(limits));
    if end & 2 != 0 { decoder.with_compression() } else { decoder }
}

fn pick_limits(by: u8) -> Limits {
    let small = Limits { frame: 138, message: 300, empty_fragments: 2, controls: 2 };
    if by & 1 == 0 { Limits::default() } else { small }
}

/// Where to cut so many bytes: every few, but not always as many.
pub fn cuts(length: usize, by: u8) -> Vec<usize> {
    let mut cuts = vec![0];
    let mut at = 0;
    let mut state = usize::from(by) + 1;
    while at < length {
        state = state * 31 % 257;
        at = (at + 1 + state % 23).min(length);
        cuts.push(at);
    }
    if cuts.len() == 1 {
        cuts.push(length);
    }
    cuts
}
