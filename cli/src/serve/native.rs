//! Sessions of the native wire, and of the JSON one: one task each, however many sockets it lives through.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use everlink::dialogue::Content;
use everlink::outbox::Policy;
use everlink::peer::Slow;
use everlink_tokio::Answer;
use everlink_tokio::server::{self, Event, Handler, Session};
use tokio::sync::mpsc;

use super::message::Message;
use super::room::Room;
use super::{Mode, Payload, ServeOptions, ServerEvent, Tapped};

/// Of an envelope, beside its payload; more than any message has.
const HEAD: usize = 64;
/// The least that an envelope may have (`wire.native.envelope`), and so the shortest `max_message` with which the wire is spoken.
const SHORTEST: usize = 1024 + HEAD;

/// What the server does with a session.
#[derive(Debug)]
pub(super) struct Guests {
    room: Arc<Room>,
    events: mpsc::Sender<ServerEvent>,
    last: AtomicU64,
}

/// The native side of a server.
pub(super) type Host = server::Host<Guests>;

/// `None` where messages are too short for this wire: its sub-protocol is not selected then.
pub(super) fn host(
    room: &Arc<Room>,
    events: mpsc::Sender<ServerEvent>,
) -> Result<Option<Host>, everlink_tokio::Error> {
    let options = room.options();
    if options.max_message < SHORTEST {
        if options.state.is_some() {
            let words = format!("a state is for the native wire, whose messages have {SHORTEST} bytes");
            return Err(everlink_tokio::Error::Io(std::io::Error::other(words)));
        }
        return Ok(None);
    }
    let guests = Guests { room: Arc::clone(room), events, last: AtomicU64::new(0) };
    Host::new(guests, &native_options(options)).map(Some)
}

fn native_options(options: &ServeOptions) -> server::Options {
    let bounded = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let mut native = server::Options { state: options.state.clone(), ..server::Options::default() };
    let config = &mut native.config;
    config.acceptor.close_timeout = options.close_timeout;
    config.acceptor.limits.envelope = bounded(options.max_message - HEAD);
    // The client pings; this end asks when it has not for this long.
    config.heartbeat.quiet = options.interval;
    config.heartbeat.timeout = options.interval;
    config.outbox.messages = bounded(options.queue_messages).min(1 << 24);
    config.outbox.bytes = bounded(options.queue_bytes.max(options.max_message));
    config.outbox.message_bytes = bounded(options.max_message);
    config.outbox.policy = Policy::Refuse;
    // Nothing that was accepted expires: who is slow is told so instead.
    config.outbox.age = None;
    config.slow = match options.mode {
        // It waits for room, and is not read meanwhile.
        Mode::Echo => Slow::Drop,
        Mode::Broadcast | Mode::Others => Slow::Close,
    };
    native
}

/// Requests are answered with their own arguments, everybody may subscribe, and what is published is. What cannot be said has nobody
/// to hear it.
async fn serve(session: &Session, event: Event) {
    match event {
        Event::Request(asked) => {
            let answer = asked.content.clone();
            drop(asked.respond(content(&answer)).await);
        }
        Event::Subscribe(wish) => drop(wish.accept().await),
        Event::Publish(publish) => {
            drop(session.broadcast(&publish.channel, content(&publish.content)));
            drop(publish.confirm().await);
        }
        // Nobody is asked who they are, so nothing has to be renewed.
        _ => {}
    }
}

fn content(answer: &Answer) -> Content<'_> {
    answer.text().map_or(Content::Binary(&answer.data), Content::Text)
}

impl Handler for Guests {
    async fn session(&self, mut session: Session) {
        let number = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        self.room.sits_down(number, session.peer());
        let _ =
            self.events.send(ServerEvent::SessionBegan { session: number, id: session.id().number() }).await;
        while let Some(event) = session.recv().await {
            let message = match event {
                Event::Message(message) => message,
                event => {
                    serve(&session, event).await;
                    continue;
                }
            };
            let payload = Payload::of(message.kind, &message.data);
            if let Some(tap) = &self.room.options().tap {
                tap.0(Tapped {
                    session: number,
                    id: session.id().number(),
                    number: message.number,
                    payload: &payload,
                });
            }
            let event = ServerEvent::Delivered { session: number, at: Instant::now(), payload };
            let _ = self.events.send(event).await;
            self.room.hand_on(number, &session, Message::Data(message.kind, message.data)).await;
        }
        self.room.gets_up(number);
        let _ = self.events.send(ServerEvent::SessionEnded { session: number }).await;
    }
}
