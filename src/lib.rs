//! everlink
#![no_std]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

pub mod error;
#[cfg(feature = "serde")]
mod human;
pub mod rng;
pub mod time;
