//! A link and a server's sessions in the simulated world, what befalls them, and an oracle that forgets nothing.
//!
//! A seed makes a [`Program`](program::Program): numbers for both ends, and a list of steps. [`run`](run::run) plays it and says which
//! promise was broken, if one was; [`shrink`](run::shrink) looks for the smallest program that still breaks it. `tests/model.rs` plays
//! some thousand programs, `examples/chaos.rs` as many as one likes.
#![allow(dead_code, unreachable_pub, reason = "test and example use their parts")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::std_instead_of_alloc,
    reason = "a test may be blunt"
)]

pub mod host;
pub mod ledger;
pub mod program;
pub mod run;
pub mod talk;
