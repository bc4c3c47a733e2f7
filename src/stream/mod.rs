//! A link over RFC 6455 over bytes, as one machine: whoever can carry bytes needs to know nothing of WebSockets.
//!
//! A [`Stream`] stands between a [link](crate::link) and the adapter, and has the shape of a link: it is told what happened and says
//! what to do. What is to be done is little: connect, read into a [buffer](Stream::fill), write [bytes](Stream::transmit), sleep.
//! Handshakes, frames, masks, pings, close frames, their limits and their time-outs are inside.
//!
//! ```text
//!   application ──► Link ◄──── Stream ◄────► two sockets at most ◄──── bytes ────► TCP, TLS, UART …
//!                    │  lent with each call   (a WebSocket each)
//! ```
//!
//! The link is lent with each call, so that it may live where the application can reach it, behind a lock or in an arena. The
//! loop:
//!
//! ```
//! use everlink::link::{Config, Delivery, Epoch, Input, Link};
//! use everlink::stream::{self, Action, Next, Stream};
//! use everlink::time::Instant;
//! use everlink::ws::handshake::Request;
//! # struct Io { turns: u32 }
//! # enum Happened { Connected(Epoch), Received(Epoch, usize), Sent(Epoch, usize), Lost(Epoch), Application, Deadline }
//! # impl Io {
//! #     fn connect(&mut self, _: Epoch) {}
//! #     fn shutdown(&mut self, _: Epoch) {}
//! #     fn disconnect(&mut self, _: Epoch) {}
//! #     fn tell(&mut self, _: Action<everlink::link::Action>) {}
//! #     fn deliver(&mut self, _: Delivery<'_>) {}
//! #     fn now(&self) -> Instant { Instant::ORIGIN }
//! #     fn secret(&self) -> [u8; 32] { [0; 32] }
//! #     async fn next<B: stream::Room>(&mut self, _: &mut Stream<B>, _: Option<Instant>) -> Option<Happened> {
//! #         self.turns += 1;
//! #         (self.turns < 3).then_some(if self.turns == 1 { Happened::Connected(Epoch::new(1).unwrap()) } else { Happened::Deadline })
//! #     }
//! # }
//!
//! async fn run(link: &mut Link<Vec<u8>>, io: &mut Io) {
//!     let mut stream = Stream::on_heap(stream::Config::default(), link);
//!     loop {
//!         let deadline = match stream.poll(link) {
//!             Next::Do(action) => {
//!                 match action {
//!                     Action::Connect { epoch, .. } => io.connect(epoch), // DNS, TCP, TLS
//!                     Action::Shutdown { epoch } => io.shutdown(epoch), // no more will be written
//!                     Action::Disconnect { epoch } => io.disconnect(epoch), // drop it
//!                     told => io.tell(told), // status, quality, what became of messages
//!                 }
//!                 continue;
//!             }
//!             Next::Wait(instant) => Some(instant),
//!             Next::Idle => None,
//!         };
//!         // Whatever happens first: `stream.transmit(epoch)` can be written, `stream.fill(epoch)` be read into, …
//!         let Some(happened) = io.next(&mut stream, deadline).await else { return };
//!         let now = io.now();
//!         match happened {
//!             Happened::Connected(epoch) => {
//!                 let request = Request::new("example.org", "/drawing"); // and headers, for this attempt
//!                 stream.connected(link, now, epoch, &request, io.secret());
//!             }
//!             Happened::Received(epoch, count) => {
//!                 stream.received(link, now, epoch, count);
//!                 while let Some(deliveries) = stream.read(link, now, epoch) {
//!                     deliveries.for_each(|delivery| io.deliver(delivery));
//!                 }
//!             }
//!             Happened::Sent(epoch, count) => stream.sent(link, now, epoch, count),
//!             Happened::Lost(epoch) => stream.lost(link, now, epoch),
//!             Happened::Application | Happened::Deadline => stream.tick(link, now),
//!         }
//!     }
//! }
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! #     let mut link = Link::new(Config::default(), 1).unwrap();
//! #     link.handle(Instant::ORIGIN, Input::Start);
//! #     run(&mut link, &mut Io { turns: 0 }).await;
//! # });
//! ```
//!
//! What the link itself is told (start, stop, online, offline) and what is sent, the application says to the link; then the loop
//! must come round, to poll.

mod action;
mod assembly;
mod compression;
mod config;
mod end;
mod inbound;
mod machine;
mod masks;
mod outbound;
mod outputs;
mod pace;
mod room;
mod served;
mod slot;
mod websocket;

pub use action::{Action, Fault, Next};
pub use config::Config;
pub use end::{Demand, End, Order};
#[cfg(feature = "alloc")]
pub use room::Heap;
pub use room::{Memory, RESERVE, Room};
pub use served::Served;
pub use websocket::{Event, Reply, Way, WebSocket};

use crate::error::ConfigError;
use crate::link::Epoch;
use crate::ws::handshake::Head;
use slot::{Carrying, Slot};

/// What a stream is made of where nothing else is said.
#[cfg(feature = "alloc")]
pub type Storage = Heap;
/// What a stream is made of where nothing else is said. Without an allocator there is no good default: this one has no room.
#[cfg(not(feature = "alloc"))]
pub type Storage = [u8; 0];

/// Bytes of messages that wait in a socket's buffer before it counts as full; twice as many where the tenth of a second was enough for
/// them. Little, because a ping waits behind all of them.
pub const ROOM: usize = 16 << 10;

/// The sockets of one [end](End) of a logical connection, over bytes.
#[derive(Debug)]
pub struct Stream<B = Storage> {
    config: Config,
    /// At most two: what else the link had it has abandoned.
    slots: [Option<Slot<B>>; 2],
    /// What they are not using.
    spare: [Option<Memory<B>>; 2],
    /// A socket that the link wants, and for which another one has to go first.
    wanted: Option<(Epoch, u32)>,
    /// The application does not keep up.
    paused: bool,
}

#[cfg(feature = "alloc")]
impl Stream {
    /// A stream without sockets, for this end, with memory of its own: up to 64 KiB for what comes in, twice [`ROOM`] and one message for
    /// what goes out, and as much as the largest message for those that come in pieces; none of it before it is needed.
    #[must_use]
    pub fn on_heap(config: Config, end: &impl End) -> Stream {
        let message = usize::try_from(config.frames.message).unwrap_or(usize::MAX);
        // Credentials may become longer later.
        let largest = end.largest_frame().saturating_add(64 << 10);
        let memory = || Memory::on_heap(64 << 10, pace::Pace::MOST.saturating_add(largest), message);
        let spare = [Some(memory()), Some(memory())];
        Stream { config, slots: [None, None], spare, wanted: None, paused: false }
    }
}

impl<B: Room> Stream<B> {
    /// A stream without sockets, for this end, in memory of the caller's.
    ///
    /// # Errors
    /// Names the part that is too small for anything to work, or the limit that is.
    pub fn with_memory(
        config: Config,
        end: &impl End,
        memory: [Memory<B>; 2],
    ) -> Result<Stream<B>, ConfigError> {
        config.check()?;
        let fits =
            |needed: usize, room: fn(&Memory<B>) -> &B| memory.iter().all(|one| room(one).limit() >= needed);
        let outbound = end.largest_frame().saturating_add(14).saturating_add(RESERVE);
        ConfigError::unless(fits(256, |one| &one.inbound), "stream.inbound", "must have at least 256 bytes")?;
        ConfigError::unless(
            fits(outbound, |one| &one.outbound),
            "stream.outbound",
            "must have room for the largest message (outbox.message_bytes) and some 350 bytes besides",
        )?;
        let [one, other] = memory;
        Ok(Stream {
            config,
            slots: [None, None],
            spare: [Some(one), Some(other)],
            wanted: None,
            paused: false,
        })
    }

    /// A server's: the one socket of this epoch, with a WebSocket on it whose request was [accepted](WebSocket::accept).
    #[must_use]
    pub fn on_socket(epoch: Epoch, socket: WebSocket<B>) -> Stream<B> {
        let mut carrying = Carrying::new(socket);
        carrying.opened = true;
        let mut slot = Slot::new(epoch);
        slot.carrying = Some(carrying);
        let (slots, spare) = ([Some(slot), None], [None, None]);
        Stream { config: Config::default(), slots, spare, wanted: None, paused: false }
    }

    fn slot(&mut self, epoch: Epoch) -> Option<&mut Slot<B>> {
        self.slots.iter_mut().flatten().find(|slot| slot.epoch == epoch)
    }

    fn carrying(&self, epoch: Epoch) -> Option<&Carrying<B>> {
        self.slots.iter().flatten().find(|slot| slot.epoch == epoch)?.carrying.as_ref()
    }

    /// Whether there are no sockets.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.iter().all(Option::is_none)
    }

    /// The sockets that carry bytes, now.
    pub fn epochs(&self) -> impl Iterator<Item = Epoch> {
        let up = self.slots.iter().flatten().filter(|slot| slot.carrying.is_some() && !slot.over);
        up.map(|slot| slot.epoch)
    }

    /// The bytes that are to go out on this socket, from the next on. [Poll](Stream::poll) before.
    #[inline]
    #[must_use]
    pub fn transmit(&self, epoch: Epoch) -> &[u8] {
        let up = self.slots.iter().flatten().find(|slot| slot.epoch == epoch && !slot.over);
        up.and_then(|slot| slot.carrying.as_ref()).map_or(&[], |up| up.socket.transmit())
    }

    /// Where to put what comes in on this socket next. Empty if nothing is wanted now.
    #[inline]
    pub fn fill(&mut self, epoch: Epoch) -> &mut [u8] {
        let paused = self.paused;
        match self.slot(epoch).and_then(Slot::up) {
            // What a closing socket says is for nobody: the application cannot hold it up.
            Some(up) if !(paused && up.is_current()) => {
                up.head = 0;
                up.socket.fill()
            }
            Some(_) | None => &mut [],
        }
    }

    /// What the server answered to the upgrade, after [`Action::Opened`] or [`Action::Failed`] until more is read: the sub-protocol,
    /// cookies, `Location` and so on.
    #[must_use]
    pub fn response(&self, epoch: Epoch) -> Option<Head<'_>> {
        let up = self.carrying(epoch)?;
        up.socket.head(up.head)
    }

    /// The words that the peer closed with, after [`Action::Closed`] until [`Action::Disconnect`]; mostly none.
    #[must_use]
    pub fn reason(&self, epoch: Epoch) -> &str {
        self.carrying(epoch).map_or("", |up| up.socket.reason())
    }
}
