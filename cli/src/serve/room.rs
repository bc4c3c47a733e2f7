//! Who is connected, and who gets what.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use everlink_tokio::Kind;
use serde_json::Value;
use tokio::sync::watch;

use super::message::Message;
use super::queue::{Pushed, Queue};
use super::{Heartbeat, Mode, ServeOptions};

/// The one-byte heartbeat: ping and pong are the same binary message.
static HEARTBEAT_BYTE: [u8; 1] = [1];
const JSON_PING: &str = r#"{"type":"ping"}"#;
const JSON_PONG: &str = r#"{"type":"pong"}"#;
/// An application-level heartbeat is short; longer texts are not even looked at.
const LONGEST_JSON_HEARTBEAT: usize = 256;

/// A close code for a consumer that does not keep up: 1013, try again later.
const SLOW_CONSUMER: u16 = 1013;

/// How the server ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// With a close frame of this code, and some time for the answer.
    Close(u16),
    /// At once: the client is dead.
    Terminate,
}

/// The server's side of one client.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) id: u64,
    pub(super) queue: Queue,
    alive: AtomicBool,
    end: watch::Sender<Option<End>>,
}

impl Client {
    /// Notes that something came in.
    pub(super) fn shows_life(&self) {
        self.alive.store(true, Ordering::Relaxed);
    }

    /// Ends the connection with a close frame; `discard` throws away what still waits. The first end counts.
    pub(super) fn close(&self, code: u16, reason: &'static str, discard: bool) {
        self.queue.finish(Message::Close { code, reason }, discard);
        self.ends(End::Close(code));
    }

    fn ends(&self, how: End) {
        self.end.send_if_modified(|end| end.is_none() && end.replace(how).is_none());
    }

    /// How the server wants this connection to end, once it does.
    pub(super) fn end(&self) -> watch::Receiver<Option<End>> {
        self.end.subscribe()
    }
}

/// All clients of one server.
#[derive(Debug)]
pub(super) struct Room {
    options: ServeOptions,
    clients: Mutex<BTreeMap<u64, Arc<Client>>>,
    /// Clients, and handshakes that were promised a place.
    places: AtomicUsize,
    stopping: watch::Sender<Option<u16>>,
}

/// A place among the `max_connections`, given back when dropped.
#[derive(Debug)]
pub(super) struct Place(Arc<Room>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.places.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Room {
    pub(super) fn new(options: ServeOptions) -> Arc<Room> {
        Arc::new(Room {
            options,
            clients: Mutex::default(),
            places: AtomicUsize::new(0),
            stopping: watch::Sender::new(None),
        })
    }

    pub(super) fn options(&self) -> &ServeOptions {
        &self.options
    }

    /// A place for one more client; `None` when the server is full.
    pub(super) fn place(self: &Arc<Room>) -> Option<Place> {
        let limit = self.options.max_connections;
        self.places
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| (taken < limit).then_some(taken + 1))
            .ok()
            .map(|_| Place(Arc::clone(self)))
    }

    /// Lets a client in whose handshake is done.
    pub(super) fn enter(&self, id: u64) -> Arc<Client> {
        let client = Arc::new(Client {
            id,
            queue: Queue::new(self.options.queue_messages, self.options.queue_bytes),
            alive: AtomicBool::new(true),
            end: watch::Sender::new(None),
        });
        self.lock().insert(id, Arc::clone(&client));
        // After the insertion: whoever sets `stopping` next finds the client in the map.
        if let Some(code) = *self.stopping.borrow() {
            client.close(code, "", false);
        }
        client
    }

    /// Forgets a client.
    pub(super) fn leave(&self, id: u64) {
        self.lock().remove(&id);
    }

    /// Closes every client, and those that come later.
    pub(super) fn stop(&self, code: u16) {
        self.stopping.send_replace(Some(code));
        for client in self.lock().values() {
            client.close(code, "", false);
        }
    }

    /// Becomes some code when the server stops.
    pub(super) fn stopping(&self) -> watch::Receiver<Option<u16>> {
        self.stopping.subscribe()
    }

    /// One round of the heartbeat: terminates the clients that showed no life since the last round, pings the others.
    pub(super) fn beat(&self) {
        let ping = match self.options.heartbeat {
            Heartbeat::None => return,
            Heartbeat::Ws => Message::Ping,
            Heartbeat::Byte => Message::binary(&HEARTBEAT_BYTE),
            Heartbeat::Json => Message::text(JSON_PING),
        };
        for client in self.lock().values() {
            match client.alive.swap(false, Ordering::Relaxed) {
                true => client.queue.push_first(ping.clone()),
                false => client.ends(End::Terminate),
            }
        }
    }

    /// Answers a message if it is a heartbeat of the application's; `false` if it is data.
    pub(super) fn is_heartbeat(&self, from: &Client, kind: Kind, data: &[u8]) -> bool {
        match (self.options.heartbeat, kind) {
            (Heartbeat::Byte, Kind::Binary) => *data == HEARTBEAT_BYTE,
            (Heartbeat::Json, Kind::Text) if data.len() <= LONGEST_JSON_HEARTBEAT => {
                let value: Value = serde_json::from_slice(data).unwrap_or(Value::Null);
                let kind = value.get("type").and_then(Value::as_str);
                if kind == Some("ping") {
                    from.queue.push_first(Message::text(JSON_PONG));
                }
                matches!(kind, Some("ping" | "pong"))
            }
            _ => false,
        }
    }

    /// Hands a message to those who get it in this mode. An echo waits until there is room; a consumer of the other modes
    /// that has no room is closed with 1013, because the others must not wait for it.
    pub(super) async fn route(&self, from: &Client, message: Message) {
        let mut filling = false;
        match self.options.mode {
            Mode::Echo => filling = from.queue.push_when_room(message).await == Pushed::Filling,
            Mode::Broadcast | Mode::Others => {
                for client in self.lock().values() {
                    if self.options.mode == Mode::Others && client.id == from.id {
                        continue;
                    }
                    match client.queue.push(message.clone()) {
                        Pushed::Queued | Pushed::Finished => {}
                        Pushed::Filling => filling = true,
                        Pushed::Full => client.close(SLOW_CONSUMER, "too slow", true),
                    }
                }
            }
        }
        if filling {
            // A burst from a fast producer must not look like slow consumers: let the writers run.
            tokio::task::yield_now().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Client>>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
