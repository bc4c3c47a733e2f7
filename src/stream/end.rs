//! What a stream carries: one end of a logical connection, such as a link.

use core::time::Duration;

use crate::link::{self, Action, Deliveries, Epoch, Event, Input, Link};
use crate::outbox::Slots;
use crate::time::Instant;
use crate::wire::{Frame, Wire};

/// One end of a logical connection, as a [`Stream`](super::Stream) sees it: it is told what sockets do, and says what is to
/// be done with them. A [`Link`] is one.
pub trait End {
    /// What its owner is told: all that it wants, what the stream does for it included.
    type Told;

    /// What a frame carried for the application, borrowed from it.
    type Deliveries<'f>;

    /// Something happened to a socket.
    fn event<'f>(&mut self, now: Instant, epoch: Epoch, event: Event<'f>) -> Self::Deliveries<'f>;

    /// Time has passed.
    fn tick(&mut self, now: Instant);

    /// What is to be done now.
    fn demand(&mut self) -> Demand<Self::Told>;

    /// The next frame for this socket.
    fn pull(&mut self, epoch: Epoch) -> Option<Frame<'_>>;

    /// What [`Order::Ping`] asks to write.
    fn ping_frame(&self, nonce: u32) -> Frame<'_>;

    /// What [`Order::Pong`] asks to write.
    fn pong_frame(&self) -> Frame<'_>;

    /// Bytes of the largest frame that [`pull`](End::pull) can give. One that is larger than what was said when the stream was made
    /// may be left out.
    fn largest_frame(&self) -> usize;

    /// How long a socket may take to close that the other end closed.
    fn close_timeout(&self) -> Duration;

    /// The wall clock at `now`, if it is known: time since 1970-01-01 00:00 UTC.
    fn wall_clock(&self, now: Instant) -> Option<Duration>;
}

/// What an [`End`] wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand<T> {
    /// Something of the stream; and what the owner is told of it.
    Do(Order, T),
    /// Something of the owner alone.
    Tell(T),
    /// Nothing until then.
    Wait(Instant),
    /// Nothing until something happens.
    Idle,
}

/// What an [`End`] wants of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Drop this socket at once.
    Abandon(Epoch),
    /// Close this socket properly, with this code.
    Close(Epoch, u16),
    /// Open a socket.
    Open {
        /// Its epoch.
        epoch: Epoch,
        /// Which attempt it is; 0 is the first.
        attempt: u32,
    },
    /// Write a pong of the wire's own.
    Pong(Epoch),
    /// Write a ping with this nonce.
    Ping(Epoch, u32),
    /// Pull and write frames.
    Flush(Epoch),
}

impl<P: AsRef<[u8]>, S: Slots<P>> End for Link<P, S> {
    type Told = Action;
    type Deliveries<'f> = Deliveries<'f>;

    #[inline]
    fn event<'f>(&mut self, now: Instant, epoch: Epoch, event: Event<'f>) -> Deliveries<'f> {
        self.handle(now, Input::Socket(epoch, event))
    }

    fn tick(&mut self, now: Instant) {
        self.handle(now, Input::Tick).for_each(drop);
    }

    fn demand(&mut self) -> Demand<Action> {
        demand(self.poll())
    }

    #[inline]
    fn pull(&mut self, epoch: Epoch) -> Option<Frame<'_>> {
        Link::pull(self, epoch)
    }

    fn ping_frame(&self, nonce: u32) -> Frame<'_> {
        Link::ping_frame(self, nonce)
    }

    fn pong_frame(&self) -> Frame<'_> {
        Link::pong_frame(self)
    }

    fn largest_frame(&self) -> usize {
        let message = self.config().outbox.message_bytes as usize;
        match self.config().wire {
            Wire::Raw(_) => message,
            Wire::Json(_) => message.max(self.credentials_len().saturating_add(Frame::HEAD)),
            Wire::Native(_) => Frame::HEAD.saturating_add(message.max(self.credentials_len())),
        }
    }

    fn close_timeout(&self) -> Duration {
        self.config().close_timeout
    }

    fn wall_clock(&self, now: Instant) -> Option<Duration> {
        Link::wall_clock(self, now)
    }
}

#[cfg(feature = "serde")]
impl<P, S, F> End for crate::trace::Traced<P, S, F>
where
    P: AsRef<[u8]>,
    S: Slots<P>,
    F: FnMut(&[u8]),
{
    type Told = Action;
    type Deliveries<'f> = Deliveries<'f>;

    #[inline]
    fn event<'f>(&mut self, now: Instant, epoch: Epoch, event: Event<'f>) -> Deliveries<'f> {
        self.handle(now, Input::Socket(epoch, event))
    }

    fn tick(&mut self, now: Instant) {
        self.handle(now, Input::Tick).for_each(drop);
    }

    fn demand(&mut self) -> Demand<Action> {
        demand(self.poll())
    }

    #[inline]
    fn pull(&mut self, epoch: Epoch) -> Option<Frame<'_>> {
        crate::trace::Traced::pull(self, epoch)
    }

    fn ping_frame(&self, nonce: u32) -> Frame<'_> {
        Link::ping_frame(self, nonce)
    }

    fn pong_frame(&self) -> Frame<'_> {
        Link::pong_frame(self)
    }

    fn largest_frame(&self) -> usize {
        End::largest_frame(&**self)
    }

    fn close_timeout(&self) -> Duration {
        self.config().close_timeout
    }

    fn wall_clock(&self, now: Instant) -> Option<Duration> {
        Link::wall_clock(self, now)
    }
}

fn demand(next: link::Next) -> Demand<Action> {
    let action = match next {
        link::Next::Wait(at) => return Demand::Wait(at),
        link::Next::Idle => return Demand::Idle,
        link::Next::Do(action) => action,
    };
    let order = match action {
        Action::Abandon { epoch } => Order::Abandon(epoch),
        Action::Close { epoch, code } => Order::Close(epoch, code),
        Action::Open { epoch, transport: link::Transport::WebSocket, attempt } => {
            Order::Open { epoch, attempt }
        }
        Action::Pong { epoch } => Order::Pong(epoch),
        Action::Ping { epoch, nonce } => Order::Ping(epoch, nonce),
        Action::Flush { epoch } => Order::Flush(epoch),
        Action::Store { .. }
        | Action::Status { .. }
        | Action::RetryScheduled { .. }
        | Action::Quality { .. }
        | Action::Settled(_)
        | Action::Ended(_) => {
            return Demand::Tell(action);
        }
    };
    Demand::Do(order, action)
}
