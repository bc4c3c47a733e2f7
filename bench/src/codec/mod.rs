//! The RFC 6455 codec beside those of others, and beside memcpy.
//!
//! Decoding: messages of one size, masked, as many as make 64 KiB (at least one), come in reads of at most 64 KiB, each a copy
//! into the reader's buffer; every message is seen whole and in order. Text is validated (peers that do not are left out).
//! Encoding: one message after another into one buffer, or into a socket that takes all; keys are drawn beforehand where
//! the interface lets the caller choose them.

mod peers;
mod wire;

use std::cell::Cell;
use std::hint::black_box;

use everlink::ws::{Decoder, Encoder, Frame, Limits, Mask, Role};

use crate::measure::{Contender, interleaved, print_beside};
use wire::{Keys, READ, ROOM, Wire};

const SIZES: [(&str, usize); 6] = [
    ("16B", 16),
    ("125B", 125),
    ("1KiB", 1 << 10),
    ("16KiB", 16 << 10),
    ("64KiB", 64 << 10),
    ("1MiB", 1 << 20),
];

/// What a payload is made of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Content {
    Binary,
    Ascii,
    /// Two, three and four bytes a character, and spaces.
    MultiByte,
}

impl Content {
    fn payload(self, size: usize) -> Vec<u8> {
        let pattern = match self {
            Content::Binary => "\u{1}\u{2}\u{3}\u{4}\u{5}\u{6}\u{7}",
            Content::Ascii => "The quick brown fox jumps over the lazy dog. ",
            Content::MultiByte => "Łódź, 東京, Ελλάδα, 🦊 и лес ",
        };
        let mut text = String::new();
        for character in pattern.chars().cycle() {
            if text.len() + character.len_utf8() > size {
                break;
            }
            text.push(character);
        }
        text.extend(std::iter::repeat_n('.', size - text.len()));
        text.into_bytes()
    }
}

/// The figures whose name contains `only`.
pub fn run(only: &str) -> bool {
    let any = Cell::new(false);
    let wanted = |name: &String| {
        let wanted = name.contains(only);
        any.set(any.get() || wanted);
        wanted
    };
    for (kind, content) in
        [("binary", Content::Binary), ("ascii", Content::Ascii), ("multibyte", Content::MultiByte)]
    {
        for (size_name, size) in SIZES {
            let Some(name) = Some(format!("decode_{kind}_{size_name}")).filter(wanted) else { continue };
            let wire = Wire::masked(content, size);
            let mut contenders = vec![decode(&wire), Contender::new("memcpy", wire.copier())];
            contenders.extend(peers::decoders(&wire, content));
            compare(&name, wire.messages, contenders);
        }
    }
    for (role_name, role) in [("server", Role::Server), ("client", Role::Client)] {
        for (size_name, size) in SIZES {
            let Some(name) = Some(format!("encode_{role_name}_{size_name}")).filter(wanted) else { continue };
            let payload = wire::place_payload(&Content::Binary.payload(size));
            let mut contenders = vec![encode(role, payload), Contender::new("memcpy", copier(payload))];
            contenders.extend(peers::encoders(role, payload));
            compare(&name, 1, contenders);
        }
    }
    for (size_name, size) in SIZES {
        let Some(name) = Some(format!("encode_lending_{size_name}")).filter(wanted) else { continue };
        let payload = Content::Binary.payload(size);
        let mut contenders = vec![lend(&payload)];
        contenders.extend(peers::lenders(&payload));
        compare(&name, 1, contenders);
    }
    any.get()
}

fn compare(name: &str, messages: usize, mut contenders: Vec<Contender<'_>>) {
    let values = interleaved(messages, &mut contenders);
    print_beside(name, &contenders, &values, "ns");
}

/// Reads behind what is there, decodes, and moves what is left to the front only when the room behind it is used up.
fn decode(wire: &Wire) -> Contender<'static> {
    let mut socket = wire.socket();
    let buffer = wire::place(wire.frame() + ROOM);
    let (mut start, mut end) = (0, 0);
    let messages = wire.messages;
    let mut decoder = Decoder::new(Role::Server, Limits::default());
    Contender::new("everlink", move || {
        let mut seen = 0;
        while seen < messages {
            if start == end {
                (start, end) = (0, 0);
            } else if buffer.len() - end < READ {
                buffer.copy_within(start..end, 0);
                (start, end) = (0, end - start);
            }
            end += socket.read(&mut buffer[end..]);
            let mut bytes = &mut buffer[start..end];
            while let Some(event) = decoder.decode(&mut bytes).expect("the peer keeps to the RFC") {
                black_box(event);
                seen += 1;
            }
            start = end - bytes.len();
        }
    })
}

fn copier(payload: &[u8]) -> impl FnMut() {
    let out = wire::place(payload.len());
    move || {
        out.copy_from_slice(black_box(payload));
        black_box(&mut *out);
    }
}

fn encode(role: Role, payload: &[u8]) -> Contender<'_> {
    let out = wire::place(payload.len() + 14);
    let mut keys = Keys::new();
    let mut encoder = Encoder::new(role);
    Contender::new("everlink", move || {
        let mask = (role == Role::Client).then(|| Mask::new(keys.next()));
        let written = encoder.write(Frame::binary(black_box(payload)), mask, out).expect("there is room");
        black_box(&out[..written]);
    })
}

/// Head and payload for a vectored write.
fn lend(payload: &[u8]) -> Contender<'_> {
    let mut encoder = Encoder::new(Role::Server);
    Contender::new("everlink", move || {
        let frame = Frame::binary(black_box(payload));
        let head = encoder.head(&frame, None).expect("messages may follow each other");
        black_box((head.bytes(), frame.payload()));
    })
}
