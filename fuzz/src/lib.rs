//! What the fuzz targets do with their bytes, as plain functions: a fuzzer calls them for hours, `tests/corpus.rs` once for
//! each file of the committed corpus. They panic where a rule is broken.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is a finding")]

#[path = "../../tests/harness/books.rs"]
pub mod books;
#[path = "../../tests/harness/naive_outbox.rs"]
pub mod naive_outbox;
#[path = "../../tests/harness/tape.rs"]
pub mod tape;

mod config;
pub mod history;
mod json;
pub mod link_ops;
mod memory;
mod native;
mod outbox;
mod peer_ops;
mod serial;
pub mod sessions;
mod trace;
mod wire;

pub use config::config;
pub use json::json;
pub use link_ops::link_ops;
pub use native::native;
pub use outbox::outbox;
pub use peer_ops::peer_ops;
pub use serial::serial;
pub use trace::trace;
pub use wire::wire;

/// What a target does with its bytes.
pub type Body = fn(&[u8]);

/// Every target with its name.
pub const TARGETS: [(&str, Body); 9] = [
    ("config", config),
    ("json", json),
    ("link_ops", link_ops),
    ("native", native),
    ("outbox", outbox),
    ("peer_ops", peer_ops),
    ("serial", serial),
    ("trace", trace),
    ("wire", wire),
];

/// One of these, whatever the byte.
fn pick<T: Copy>(of: &[T], by: u8) -> T {
    of[usize::from(by) % of.len()]
}
