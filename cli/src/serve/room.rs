//! Who is connected, and who gets what.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use everlink_tokio::server::{Peer, Session};
use everlink_tokio::{Kind, Message as Sent};
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
    /// The sessions of the native wire, on a socket or not.
    sessions: Mutex<BTreeMap<u64, Peer>>,
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
            sessions: Mutex::default(),
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

    /// Forgets every client: their sockets are gone without a word.
    pub(super) fn forget_all(&self) {
        self.lock().clear();
    }

    /// A session of the native wire is there.
    pub(super) fn sits_down(&self, number: u64, peer: Peer) {
        self.sessions().insert(number, peer);
    }

    /// It is no more.
    pub(super) fn gets_up(&self, number: u64) {
        self.sessions().remove(&number);
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
        let filling = match self.options.mode {
            Mode::Echo => from.queue.push_when_room(message).await == Pushed::Filling,
            Mode::Broadcast | Mode::Others => self.spread(Some(from.id), None, &message),
        };
        if filling {
            // A burst from a fast producer must not look like slow consumers: let the writers run.
            tokio::task::yield_now().await;
        }
    }

    /// The same for a message of a session. A session that has no room ends with 4103.
    pub(super) async fn hand_on(&self, number: u64, from: &Session, message: Message) {
        match self.options.mode {
            // An error means that the session has ended.
            Mode::Echo => drop(from.answer(sent(&message)).await),
            Mode::Broadcast | Mode::Others => {
                if self.spread(None, Some(number), &message) {
                    tokio::task::yield_now().await;
                }
            }
        }
    }

    /// Gives a message to all; in the mode that leaves its sender out, not to this client or this session. Whether someone falls
    /// behind.
    fn spread(&self, client: Option<u64>, session: Option<u64>, message: &Message) -> bool {
        let others = self.options.mode == Mode::Others;
        let mut filling = false;
        for to in self.lock().values().filter(|to| !(others && client == Some(to.id))) {
            match to.queue.push(message.clone()) {
                Pushed::Queued | Pushed::Finished => {}
                Pushed::Filling => filling = true,
                Pushed::Full => to.close(SLOW_CONSUMER, "too slow", true),
            }
        }
        for (number, to) in self.sessions().iter() {
            if !(others && session == Some(*number)) {
                // An error means that the session has ended, be it for this message.
                drop(to.send(sent(message)));
            }
        }
        filling
    }

    fn sessions(&self) -> MutexGuard<'_, BTreeMap<u64, Peer>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Client>>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As the native wire has it. Only data is handed on.
fn sent(message: &Message) -> Sent<Bytes> {
    match message {
        Message::Data(Kind::Text, data) => Sent::text(data.clone()),
        Message::Data(Kind::Binary, data) => Sent::binary(data.clone()),
        Message::Ping | Message::Close { .. } => Sent::binary(Bytes::new()),
    }
}
