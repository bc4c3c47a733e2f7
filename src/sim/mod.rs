//! A world in which a link lives in virtual time: a clock, a network that fails as networks do, a server.
//!
//! Everything follows from one seed: print it, and a run can be repeated. An hour takes as long as its events.
//!
//! ```
//! use core::time::Duration;
//! use everlink::link::{Config, Status};
//! use everlink::outbox::Message;
//! use everlink::sim::{Change, Recorder, Sim};
//! use everlink::time::Instant;
//!
//! let at = Instant::from_millis;
//! let mut sim = Sim::new(Config::default(), 7, Recorder::default()).unwrap();
//! sim.schedule(at(10_000), Change::PathDown); // from here on nothing passes, and nothing says so
//! sim.schedule(at(14_000), Change::PathUp);
//! sim.run_until(at(12_000));
//! sim.send(Message::text("a stroke".into())).unwrap();
//! sim.run_until(at(40_000));
//!
//! assert_eq!(sim.link().status(), Status::Connected);
//! assert_eq!(sim.server().received[0].data, b"a stroke");
//! ```
//!
//! The network moves frames over streams that behave like TCP: in order; what is lost is sent again after 200 ms, 400 ms, …
//! of silence, so that a path that has healed lies unused for a while; a socket takes bytes into its send buffer although
//! nothing gets through; an abandoned socket's bytes still arrive. What it leaves out: congestion and bandwidth.

mod adapter;
mod connection;
mod disk;
mod said;
mod server;
mod stream;
mod world;

pub use said::Said;
pub use server::{Out, Reception, Recorder, Server};
pub use world::{Change, Entry, Happening, Path, Sim};

/// Which connection, as the server counts them: 1, 2, ….
pub type ConnectionId = u32;
