//! A server in virtual time: sessions, a connection for each socket, an application that knows who everybody is; and clients that
//! keep naive books.
//!
//! What the server does is written down as one line for each thing, such as `1: welcome new, received 0, from 0`, `1: close 4100`
//! or `ann: hello` for a message that came in the session of Ann.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::std_instead_of_alloc,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a test may be blunt"
)]

pub mod client;
pub mod server;
pub mod world;

#[allow(unused_imports, reason = "each test file uses its part")]
pub use client::{Client, encode};
use everlink::link::Epoch;
use everlink::peer::Config;
use everlink::time::Instant;
#[allow(unused_imports, reason = "each test file uses its part")]
pub use server::{Server, describe, token_of};

pub const fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

pub fn epoch(number: u32) -> Epoch {
    Epoch::new(number).unwrap()
}

/// A server with this client on socket 1, confirmed; what was seen is taken as read.
pub fn connected(who: &str, change: impl FnOnce(&mut Config)) -> (Server, Client) {
    let mut server = Server::new(change);
    let mut client = Client::new(who);
    let number = server.connect(&mut client);
    talk(&mut server, number, &mut client);
    server.seen();
    (server, client)
}

/// All that each has for the other goes over.
pub fn talk(server: &mut Server, number: u32, client: &mut Client) {
    loop {
        let frames = server.fetch(number);
        let none = frames.is_empty();
        client.read(frames);
        let said = client.write(1_000);
        if none && said.is_empty() {
            break;
        }
        server.frame(number, &said);
    }
}
