//! everlink
#![no_std]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

pub mod backoff;
pub mod error;
pub mod heartbeat;
#[cfg(feature = "serde")]
mod human;
pub mod link;
pub mod metrics;
pub mod outbox;
pub mod quality;
pub mod rng;
pub mod time;
#[cfg(feature = "serde")]
pub mod trace;
pub mod wire;
