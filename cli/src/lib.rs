//! The parts of the `everlink` program.
//!
//! ```text
//!  recorded lines        a client           faults            a server
//!  [`drawing`]   ──►  (everlink-tokio)  ──►  [`relay`]  ──►  [`serve`]
//!                             │                                  │
//!                             └──────►  [`ledger`]  ◄────────────┘     what was accepted, what really arrived
//!                                       [`timeline`]                   the same as a picture
//! ```
//!
//! [`demo`] puts all of them to work.
//!
//! This library exists so that the program and its tests share one set of modules; it promises no stable interface.

pub mod connect;
pub mod demo;
pub mod drawing;
pub mod flags;
pub mod ledger;
pub mod relay;
pub mod replay;
pub mod serve;
pub mod timeline;
