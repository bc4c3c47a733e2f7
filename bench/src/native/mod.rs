//! What the native wire costs: encoding and decoding a small message, bytes on the wire, messages over [loopback], and [replay].

mod loopback;
mod mqtt;
mod replay;

use std::hint::black_box;

use everlink::outbox::Kind;
use everlink::peer::Core;
use everlink::wire::native::{Envelope, HEAD_MAX, Item, Limits, Reader};

use crate::measure::{nanoseconds, print};

pub fn run() {
    let data = [b'x'; 64];
    let limits = Limits::default();
    let mut frame = [0; 64 + HEAD_MAX];
    for kind in [Kind::Binary, Kind::Text] {
        let message = Envelope::Message { kind, data: &data };
        let name = if kind == Kind::Text { "text" } else { "binary" };
        let encode = || {
            let len = black_box(message).encode(black_box(&mut frame)).expect("there is room");
            black_box(len);
        };
        print(&format!("native_encode_64B_{name}"), nanoseconds(100_000, encode), "ns");
        let head = || {
            let len = black_box(message).encode_head(black_box(&mut frame)).expect("there is room");
            black_box(len);
        };
        print(&format!("native_encode_head_64B_{name}"), nanoseconds(100_000, head), "ns");
        let len = message.encode(&mut frame).expect("there is room");
        let decode = || {
            for item in Reader::new(black_box(&frame[..len]), black_box(&limits)) {
                assert!(matches!(black_box(&item), Ok(Item::Envelope(Envelope::Message { .. }))));
            }
        };
        print(&format!("native_decode_64B_{name}"), nanoseconds(100_000, decode), "ns");
        print(&format!("native_overhead_64B_{name}"), (len - data.len()) as f64, "bytes");
    }
    let ack = Envelope::Ack { received: 1000 };
    print("native_ack", ack.encoded_len() as f64, "bytes");
    print("native_idle_peer", size_of::<Core>() as f64, "bytes");
    print("native_detached_peer", size_of::<Core>() as f64, "bytes");
    replay::run();
    loopback::run();
}
