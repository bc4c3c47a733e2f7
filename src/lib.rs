//! Keeps one logical connection alive over many sockets.
//!
//! A [`Link`](link::Link) is a state machine without I/O: it owns no clock, no socket, no thread and no global. You tell it
//! what happened, and do what it asks. What is hard about staying connected is inside: noticing a dead link, deciding when
//! to reconnect, keeping what was sent while offline, saying how good the link is. For a runtime of your own,
//! write this loop:
//!
//! ```
//! use everlink::link::{Link, Next};
//! # use everlink::{link::{Action, Delivery, Input}, time::Instant};
//! # struct Io; struct Happened;
//! # impl Happened { fn as_input(&self) -> Input<'_> { Input::Tick } }
//! # impl Io {
//! #     fn perform(&mut self, _: Action, _: &mut Link<Vec<u8>>) {}
//! #     async fn next(&mut self, _: Option<Instant>) -> Option<Happened> { None }
//! #     fn now(&self) -> Instant { Instant::ORIGIN }
//! #     fn deliver(&mut self, _: Delivery<'_>) {}
//! # }
//!
//! async fn run(link: &mut Link<Vec<u8>>, io: &mut Io) {
//!     loop {
//!         let deadline = match link.poll() {
//!             Next::Do(action) => {
//!                 io.perform(action, link); // open, close, abandon, ping, flush; or tell the user
//!                 continue;
//!             }
//!             Next::Wait(instant) => Some(instant),
//!             Next::Idle => None,
//!         };
//!         // Whatever happens first: a socket speaks, the user acts, the deadline comes (a tick).
//!         let Some(happened) = io.next(deadline).await else { return };
//!         for delivery in link.handle(io.now(), happened.as_input()) {
//!             io.deliver(delivery); // a message for the application
//!         }
//!     }
//! }
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! #     let mut link = Link::new(Default::default(), 1).unwrap();
//! #     run(&mut link, &mut Io).await;
//! # });
//! ```
//!
//! Where there is a WebSocket already, as in a browser, that is all of the protocol between a link and its adapter. Where there are
//! only bytes (TCP, TLS), put a [`stream`] between: handshakes, frames, masks and close frames are then inside, too, and the loop
//! connects, reads, writes and sleeps. `everlink-tokio` is that loop.
//!
//! Time is what the inputs say it is ([`time`]), so all of it
//! can be tested without waiting: `examples/outage.rs` plays an outage of half a minute in no time.
//!
//! # Rules
//!
//! 1. Only inputs carry time. Polling does no protocol work.
//! 2. [`handle`](link::Link::handle) never fails and never panics; what is hostile, late or stale is counted and ignored.
//! 3. Outputs are derived from state: one slot for each kind, a fixed order, bounded memory. Two inputs may be handled before
//!    the outputs are drained.
//! 4. What to do and how long to wait are one answer ([`Next`](link::Next)).
//! 5. Ticks are idempotent: a driver that sleeps exactly to the deadline behaves as one that ticks all the time.
//! 6. Every socket has an [`Epoch`](link::Epoch), and what an old one says is ignored. At most two sockets exist.
//! 7. Chance comes from a seed that the caller gives. Same seed and same inputs, same outputs, on every platform.
//! 8. Nothing is allocated after a link is made. Every queue has a bound, and every bound a policy.
//!
//! # The house
//!
//! | floor | modules | what lives there |
//! | --- | --- | --- |
//! | machines | [`link`], [`peer`], [`acceptor`], [`stream`] | the client's end of a logical connection, the server's, and its door; either over RFC 6455 over bytes |
//! | wire | [`wire`], [`ws`] | what bytes mean: messages; and RFC 6455 itself |
//! | | [`dialogue`] | requests and channels of one session, as both ends keep them |
//! | parts | [`heartbeat`], [`backoff`], [`quality`], [`outbox`], [`delivery`], [`requests`], [`channels`], [`metrics`] | one concern each, usable alone |
//! | ground | [`time`], [`rng`], [`error`] | |
//! | beside | `trace`, `sim` | record and replay (feature `serde`); a simulated world for tests (feature `sim`) |
//!
//! A module uses only what stands on a lower floor.
//!
//! # Features
//!
//! None changes behaviour; each adds. `alloc`: [`Link::new`](link::Link::new) makes its own slots. `std` (default): implies
//! `alloc`; [`ws`] then asks the processor for its widest vectors (`everlink-mask`, which has the only `unsafe` code of this
//! project's libraries, and `simdutf8`). `serde`: configuration, metrics, states and operations as data, and `trace`. `sim`:
//! a virtual clock and a seeded network. `deflate`: compressed WebSocket messages, by option. `defmt`: formatting on
//! microcontrollers.
#![no_std]
// What a core that hostile peers talk to must not do; tests and adapters may.
#![deny(
    clippy::alloc_instead_of_core,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::expect_used,
    clippy::float_arithmetic,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::std_instead_of_alloc,
    clippy::std_instead_of_core,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm
)]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

pub mod acceptor;
pub mod backoff;
pub mod channels;
pub mod delivery;
pub mod dialogue;
pub mod error;
pub mod heartbeat;
#[cfg(feature = "serde")]
mod human;
pub mod link;
pub mod metrics;
pub mod outbox;
pub mod peer;
pub mod quality;
pub mod requests;
pub mod rng;
mod session;
#[cfg(feature = "sim")]
pub mod sim;
mod store;
pub mod stream;
pub mod time;
#[cfg(feature = "serde")]
pub mod trace;
mod utf8;
pub mod wire;
pub mod ws;
