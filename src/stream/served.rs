//! A server's end of one socket, as a stream carries it.

use core::time::Duration;

use super::end::{Demand, End, Order};
use crate::acceptor::Seats;
use crate::link::{Epoch, Event};
use crate::outbox::Slots;
use crate::peer::{Connection, ConnectionAction, ConnectionNext, Core, Heard, Sessions};
use crate::time::Instant;
use crate::wire::Frame;
use crate::wire::native::Envelope;

/// One socket of a server, and the sessions that it may be of: what a [stream on that socket](super::Stream::on_socket) is lent
/// with each call. It ends with [`Disconnect`](super::Action::Disconnect).
///
/// ```
/// use everlink::link::Epoch;
/// use everlink::peer::{Config, Connection, Sessions};
/// use everlink::stream::{self, Memory, Next, Served, Stream, WebSocket};
/// use everlink::time::Instant;
///
/// let mut sessions = Sessions::<Vec<u8>>::new(Config::default(), 7, 1024)?;
/// let (now, epoch) = (Instant::ORIGIN, Epoch::new(1).unwrap());
/// // After a handshake in which the sub-protocol was selected:
/// let socket = WebSocket::opened(Memory::on_heap(4096, 2 << 20, 2 << 20), &stream::Config::default(), None);
/// let mut stream = Stream::on_socket(epoch, socket);
/// let mut connection = Connection::new(&sessions.config().acceptor, now, epoch);
///
/// let mut end = Served { connection: &mut connection, sessions: &mut sessions };
/// assert!(matches!(stream.poll(&mut end), Next::Wait(_))); // for the hello
/// # Ok::<(), everlink::error::ConfigError>(())
/// ```
#[derive(Debug)]
pub struct Served<'a, P, S, T> {
    /// Of this socket.
    pub connection: &'a mut Connection,
    /// All that there are.
    pub sessions: &'a mut Sessions<P, S, T>,
}

impl<P: AsRef<[u8]>, S: Slots<P>, T: Seats<Core>> End for Served<'_, P, S, T> {
    type Told = ConnectionAction;
    type Deliveries<'f> = Heard<'f>;

    fn event<'f>(&mut self, now: Instant, epoch: Epoch, event: Event<'f>) -> Heard<'f> {
        debug_assert_eq!(epoch, self.connection.epoch(), "a stream on one socket knows of no other");
        self.connection.handle(self.sessions, now, event)
    }

    fn tick(&mut self, now: Instant) {
        self.connection.tick(self.sessions, now);
    }

    fn demand(&mut self) -> Demand<ConnectionAction> {
        let epoch = self.connection.epoch();
        let action = match self.connection.poll(self.sessions) {
            ConnectionNext::Wait(at) => return Demand::Wait(at),
            ConnectionNext::Idle => return Demand::Idle,
            ConnectionNext::Do(action) => action,
        };
        let order = match action {
            ConnectionAction::Abandon => Order::Abandon(epoch),
            ConnectionAction::Close { code } => Order::Close(epoch, code),
            ConnectionAction::Flush => Order::Flush(epoch),
            ConnectionAction::Store(..)
            | ConnectionAction::Renew(_)
            | ConnectionAction::Settled(..)
            | ConnectionAction::Ended(..) => {
                return Demand::Tell(action);
            }
        };
        Demand::Do(order, action)
    }

    fn pull(&mut self, _: Epoch) -> Option<Frame<'_>> {
        self.connection.pull(self.sessions)
    }

    fn ping_frame(&self, nonce: u32) -> Frame<'_> {
        Frame::enveloped(&Envelope::Ping { nonce })
    }

    fn pong_frame(&self) -> Frame<'_> {
        Frame::enveloped(&Envelope::Pong { nonce: 0 })
    }

    fn largest_frame(&self) -> usize {
        Frame::HEAD.saturating_add(self.sessions.config().outbox.message_bytes as usize)
    }

    fn close_timeout(&self) -> Duration {
        self.sessions.config().acceptor.close_timeout
    }

    fn wall_clock(&self, _: Instant) -> Option<Duration> {
        None
    }
}
