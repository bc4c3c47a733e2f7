//! A server and its clients, as the tests have them.

#[path = "../../tests/sessions/client.rs"]
pub mod client;
#[path = "../../tests/sessions/server.rs"]
pub mod server;
#[path = "../../tests/sessions/world.rs"]
pub mod world;
