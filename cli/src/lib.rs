//! The parts of the `everlink` program.
//!
//! ```text
//!  lines with times      a client           faults            a server
//!  [`drawing`]   ──►  (everlink-tokio)  ──►  [`relay`]  ──►  [`serve`]
//!                             │                                  │
//!                             └──────►  [`ledger`]  ◄────────────┘     what was accepted, what really arrived
//!                                       [`timeline`]                   the same as a picture
//! ```
//!
//! [`demo`] puts all of them to work.
//!
//! This library exists so that the program and its tests share one set of modules; it promises no stable interface.

mod colour;
pub mod connect;
pub mod demo;
pub mod drawing;
pub mod flags;
pub mod ledger;
pub mod relay;
pub mod replay;
pub mod serve;
mod signals;
pub mod timeline;
