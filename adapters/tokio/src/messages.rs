//! The application's side: what came in.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use everlink::link::Input;
use everlink::outbox::Kind;
use tokio::task::coop::poll_proceed;

use crate::client::Shared;
use crate::clock::Clock;
use crate::inbox::Inbox;

/// What comes in. If it is not read, the connection stops reading from its socket.
///
/// In durable mode ([`Options::state`](crate::Options::state)) a message is taken when the next one is asked for: one that the
/// application was still working on when the process was killed comes again, with the same [number](Received::number).
pub struct Messages {
    shared: Arc<Shared>,
    clock: Clock,
    durable: bool,
    /// Taken over from the connection.
    ready: VecDeque<Received>,
    /// In durable mode: the application works on one.
    in_hand: bool,
}

impl Messages {
    pub(crate) const fn new(shared: Arc<Shared>, clock: Clock, durable: bool) -> Messages {
        Messages { shared, clock, durable, ready: VecDeque::new(), in_hand: false }
    }

    /// The next message; `None` once the connection is closed for good.
    pub async fn recv(&mut self) -> Option<Received> {
        std::future::poll_fn(|cx| self.poll_recv(cx)).await
    }

    #[inline]
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Received>> {
        if std::mem::take(&mut self.in_hand) {
            self.tell(Inbox::done);
        }
        if self.ready.is_empty() {
            // Others have their turn, too, while messages never end.
            let turn = std::task::ready!(poll_proceed(cx));
            let inner = &mut *self.shared.lock();
            if inner.inbox.lend(&mut self.ready) {
                self.shared.stir();
            }
            if self.ready.is_empty() && !inner.ended {
                inner.inbox.wait(cx.waker());
                return Poll::Pending;
            }
            turn.made_progress();
        }
        self.in_hand = self.durable && !self.ready.is_empty();
        Poll::Ready(self.ready.pop_front())
    }

    fn tell(&self, change: impl FnOnce(&mut Inbox)) {
        let inner = &mut *self.shared.lock();
        change(&mut inner.inbox);
        if let Some(first) = inner.inbox.unread() {
            let _ = inner.link.handle(self.clock.now(), Input::Unread(first));
        }
        self.shared.stir();
    }
}

impl Drop for Messages {
    fn drop(&mut self) {
        self.tell(Inbox::abandon);
    }
}

impl fmt::Debug for Messages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Messages").finish_non_exhaustive()
    }
}

impl futures_util::Stream for Messages {
    type Item = Received;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Received>> {
        self.poll_recv(cx)
    }
}

/// A message from the other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Text or binary.
    pub kind: Kind,
    /// Its payload. Small ones share memory in blocks of 4 KiB, and larger ones, up to 64 KiB, may occupy four times their size: what is
    /// to be kept for long is better copied.
    pub data: Bytes,
    /// On the native wire: its number in the session, from 1; what counts there besides messages has numbers, too. 0 elsewhere.
    pub number: u64,
}

impl Received {
    /// The text, if it is one.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self.kind {
            Kind::Text => std::str::from_utf8(&self.data).ok(),
            Kind::Binary => None,
        }
    }
}
