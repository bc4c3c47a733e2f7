//! What came for a session, until its handler takes it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use everlink::link::{Deliveries, Delivery};
use tokio::sync::Notify;

use super::Credentials;
use super::dialogue::{Asked, Publish, Subscribe};
use crate::Received;
use crate::blocks::Blocks;

/// What a session is told.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// A message, once and in order, whatever became of sockets.
    Message(Received),
    /// The client authenticates anew, before what it came with runs out. If it is not who it was, let it go
    /// ([`Peer::end`](super::Peer::end)).
    Credentials(Credentials),
    /// The client asks for something, or lets it be known. What is dropped without an answer is answered with
    /// [`UNHANDLED`](everlink::requests::code::UNHANDLED).
    Request(Asked),
    /// The client wants what is published on a channel. Dropped, it is refused.
    Subscribe(Subscribe),
    /// The client wants something to be published: [publish](super::Peer::broadcast) it, and confirm it. Dropped, it is refused.
    Publish(Publish),
}

impl Event {
    fn of(blocks: &mut Blocks, delivery: Delivery<'_>, number: u64) -> Option<Event> {
        match delivery {
            Delivery::Message { kind, data } => {
                Some(Event::Message(Received { kind, data: blocks.copy(data), number }))
            }
            Delivery::Credentials(credentials) => {
                Some(Event::Credentials(Credentials(Bytes::copy_from_slice(credentials.reveal()))))
            }
            _ => None,
        }
    }
}

impl Event {
    /// Of a message.
    const fn number(&self) -> Option<u64> {
        match self {
            Event::Message(received) => Some(received.number),
            Event::Request(asked) => Some(asked.number()),
            Event::Subscribe(subscribe) => Some(subscribe.number()),
            Event::Publish(publish) => Some(publish.number()),
            Event::Credentials(_) => None,
        }
    }
}

/// A queue that its writer can fill beyond its bound by what came in one frame, and then has to wait.
#[derive(Debug)]
pub(super) struct Inbox {
    state: Mutex<State>,
    /// There is something, or nothing more will come.
    news: Notify,
    bound: usize,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Event>,
    blocks: Blocks,
    /// The handler works on the message of this number.
    in_hand: Option<u64>,
    ended: bool,
    /// Who waits for room.
    waiting: Option<Arc<Notify>>,
}

impl Inbox {
    pub(super) fn new(bound: usize) -> Inbox {
        Inbox { state: Mutex::default(), news: Notify::new(), bound }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The events among what came; `other` makes those of a dialogue.
    pub(super) fn extend(
        &self,
        mut deliveries: Deliveries<'_>,
        mut other: impl FnMut(&Delivery<'_>, u64) -> Option<Event>,
    ) {
        let mut state = self.lock();
        if state.ended {
            return;
        }
        let before = state.queue.len();
        while let Some(delivery) = deliveries.next() {
            let number = deliveries.number();
            let event = other(&delivery, number).or_else(|| Event::of(&mut state.blocks, delivery, number));
            state.queue.extend(event);
        }
        if state.queue.len() > before {
            drop(state);
            self.news.notify_one();
        }
    }

    /// The first message that the handler has not taken; it takes one by asking for what is next.
    pub(super) fn unread(&self) -> Option<u64> {
        let state = self.lock();
        state.in_hand.or_else(|| state.queue.iter().find_map(Event::number))
    }

    /// The handler asks for what is next. Whether that takes a message.
    pub(super) fn put_down(&self) -> bool {
        self.lock().in_hand.take().is_some()
    }

    /// Whether there is no room. Then `writer` is woken when half of it is free.
    pub(super) fn is_full(&self, writer: &Arc<Notify>) -> bool {
        let mut state = self.lock();
        let full = state.queue.len() >= self.bound && !state.ended;
        if full {
            state.waiting = Some(writer.clone());
        }
        full
    }

    /// Nothing more will come.
    pub(super) fn end(&self) {
        let mut state = self.lock();
        state.ended = true;
        let waiting = state.waiting.take();
        drop(state);
        waiting.inspect(|writer| writer.notify_one());
        self.news.notify_one();
    }

    pub(super) fn has_ended(&self) -> bool {
        self.lock().ended
    }

    /// What came next; `None` when nothing more will. May be dropped and called again.
    pub(super) async fn next(&self) -> Option<Event> {
        loop {
            {
                let mut state = self.lock();
                if let Some(event) = state.queue.pop_front() {
                    state.in_hand = event.number();
                    if state.queue.len() <= self.bound / 2 {
                        state.waiting.take().inspect(|writer| writer.notify_one());
                    }
                    return Some(event);
                }
                if state.ended {
                    return None;
                }
            }
            self.news.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Kind, Received};

    #[tokio::test]
    async fn a_full_inbox_wakes_its_writer_when_half_of_it_is_free() {
        let (inbox, writer) = (Inbox::new(4), Arc::new(Notify::new()));
        let event = || Event::Message(Received { kind: Kind::Text, data: Bytes::new(), number: 7 });
        inbox.lock().queue.extend((0..3).map(|_| event()));
        assert!(!inbox.is_full(&writer));
        inbox.lock().queue.extend((0..3).map(|_| event()));
        assert!(inbox.is_full(&writer));
        for left in (0..6).rev() {
            assert!(inbox.next().await.is_some());
            let woken = tokio::time::timeout(std::time::Duration::ZERO, writer.notified()).await.is_ok();
            assert_eq!(woken, left == 2);
        }
        inbox.end();
        assert!(inbox.next().await.is_none());
    }
}
