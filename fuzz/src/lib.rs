//! What the fuzz targets do with their bytes, as plain functions: a fuzzer calls them for hours, `tests/corpus.rs` once for
//! each file of the committed corpus. They panic where a rule is broken.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is a finding")]

#[path = "../../tests/harness/books.rs"]
pub mod books;
#[path = "../../tests/harness/driven.rs"]
pub mod driven;
#[path = "../../tests/harness/naive_inflate.rs"]
mod naive_inflate;
#[path = "../../tests/harness/naive_outbox.rs"]
pub mod naive_outbox;
#[path = "../../tests/harness/steps.rs"]
pub mod steps;
#[path = "../../tests/harness/tape.rs"]
pub mod tape;
#[path = "../../tests/harness/ws_seen.rs"]
mod ws_seen;

mod config;
pub mod history;
mod json;
pub mod link_ops;
mod memory;
mod native;
mod outbox;
mod peer_ops;
mod restore;
mod said;
mod serial;
pub mod sessions;
mod talk;
mod trace;
mod wire;
mod ws_decode;
mod ws_handshake;
mod ws_inflate;
mod ws_round_trip;
mod ws_tungstenite;

pub use config::config;
pub use json::json;
pub use link_ops::link_ops;
pub use native::native;
pub use outbox::outbox;
pub use peer_ops::peer_ops;
pub use restore::restore;
pub use serial::serial;
pub use talk::talk;
pub use trace::trace;
pub use wire::wire;
pub use ws_decode::ws_decode;
pub use ws_handshake::ws_handshake;
pub use ws_inflate::ws_inflate;
pub use ws_round_trip::ws_round_trip;
pub use ws_tungstenite::ws_tungstenite;

/// What a target does with its bytes.
pub type Body = fn(&[u8]);

/// Every target with its name.
pub const TARGETS: [(&str, Body); 16] = [
    ("config", config),
    ("json", json),
    ("link_ops", link_ops),
    ("native", native),
    ("outbox", outbox),
    ("peer_ops", peer_ops),
    ("restore", restore),
    ("serial", serial),
    ("talk", talk),
    ("trace", trace),
    ("wire", wire),
    ("ws_decode", ws_decode),
    ("ws_handshake", ws_handshake),
    ("ws_inflate", ws_inflate),
    ("ws_round_trip", ws_round_trip),
    ("ws_tungstenite", ws_tungstenite),
];

/// One of these, whatever the byte.
fn pick<T: Copy>(of: &[T], by: u8) -> T {
    of[usize::from(by) % of.len()]
}
