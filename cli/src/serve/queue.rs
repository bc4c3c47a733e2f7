//! What waits to be written to one client: bounded by count and by bytes.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::message::Message;

/// An outgoing queue with many producers and one consumer, which is the client's writer.
///
/// The queue ends with [`Queue::finish`]: what is queued and then the given close frame still come out, nothing more goes
/// in.
#[derive(Debug)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    /// Something went in.
    filled: Notify,
    /// Something came out.
    drained: Notify,
    max_messages: usize,
    max_bytes: usize,
}

#[derive(Debug, Default)]
struct Waiting {
    messages: VecDeque<Message>,
    /// Control messages, which overtake the others and are not counted.
    urgent: VecDeque<Message>,
    bytes: usize,
    finished: bool,
}

/// How a push went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    /// It waits, and less than half of the room is taken.
    Queued,
    /// It waits, but the consumer is falling behind.
    Filling,
    /// There is no room. The message was not taken.
    Full,
    /// The queue has ended. The message was not taken.
    Finished,
}

impl Queue {
    /// Room for `max_messages` messages of together `max_bytes` payload bytes; one message always fits.
    pub(super) fn new(max_messages: usize, max_bytes: usize) -> Queue {
        Queue {
            waiting: Mutex::default(),
            filled: Notify::new(),
            drained: Notify::new(),
            max_messages,
            max_bytes,
        }
    }

    /// Appends a message where there is room.
    pub(super) fn push(&self, message: Message) -> Pushed {
        let mut waiting = self.lock();
        if waiting.finished {
            return Pushed::Finished;
        }
        let messages = waiting.messages.len() + 1;
        let bytes = waiting.bytes.saturating_add(message.len());
        if messages > 1 && (messages > self.max_messages || bytes > self.max_bytes) {
            return Pushed::Full;
        }
        waiting.bytes = bytes;
        waiting.messages.push_back(message);
        self.filled.notify_one();
        match messages > self.max_messages / 2 || bytes > self.max_bytes / 2 {
            true => Pushed::Filling,
            false => Pushed::Queued,
        }
    }

    /// Appends a message, as soon as there is room. For one producer at a time.
    pub(super) async fn push_when_room(&self, message: Message) -> Pushed {
        loop {
            match self.push(message.clone()) {
                Pushed::Full => self.drained.notified().await,
                pushed @ (Pushed::Queued | Pushed::Filling | Pushed::Finished) => return pushed,
            }
        }
    }

    /// Puts a small control message before all others, room or not: a heartbeat must not wait behind data. Equal ones that
    /// wait at the same time become one, so that a peer cannot pile them up.
    pub(super) fn push_first(&self, message: Message) {
        let mut waiting = self.lock();
        if !waiting.finished && !waiting.urgent.contains(&message) {
            waiting.urgent.push_back(message);
            self.filled.notify_one();
        }
    }

    /// Ends the queue with `close`; `discard` throws away what waits before it. The first end counts.
    pub(super) fn finish(&self, close: Message, discard: bool) {
        let mut waiting = self.lock();
        if waiting.finished {
            return;
        }
        if discard {
            waiting.messages.clear();
            waiting.urgent.clear();
        }
        waiting.finished = true;
        waiting.messages.push_back(close);
        self.filled.notify_one();
        self.drained.notify_one();
    }

    /// The next message if there is one.
    pub(super) fn try_pop(&self) -> Option<Message> {
        let mut waiting = self.lock();
        if let Some(message) = waiting.urgent.pop_front() {
            return Some(message);
        }
        let message = waiting.messages.pop_front()?;
        waiting.bytes = waiting.bytes.saturating_sub(message.len());
        self.drained.notify_one();
        Some(message)
    }

    /// The next message.
    pub(super) async fn pop(&self) -> Message {
        loop {
            match self.try_pop() {
                Some(message) => return message,
                None => self.filled.notified().await,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOSE: Message = Message::Close { code: 1000, reason: "" };

    fn text(text: &'static str) -> Message {
        Message::text(text)
    }

    #[test]
    fn a_full_queue_refuses_and_takes_again_when_drained() {
        let queue = Queue::new(4, 100);
        assert_eq!(queue.push(text("a")), Pushed::Queued);
        assert_eq!(queue.push(text("b")), Pushed::Queued);
        assert_eq!(queue.push(text("c")), Pushed::Filling);
        assert_eq!(queue.push(text("d")), Pushed::Filling);
        assert_eq!(queue.push(text("e")), Pushed::Full);
        assert_eq!(queue.try_pop(), Some(text("a")));
        assert_eq!(queue.push(text("e")), Pushed::Filling);
    }

    #[test]
    fn bytes_are_bounded_but_one_message_always_fits() {
        let queue = Queue::new(100, 10);
        assert_eq!(queue.push(text("more than ten bytes")), Pushed::Filling);
        assert_eq!(queue.push(text("x")), Pushed::Full);
        assert!(queue.try_pop().is_some());
        assert_eq!(queue.push(text("x")), Pushed::Queued);
    }

    #[test]
    fn a_heartbeat_goes_first_and_does_not_pile_up() {
        let queue = Queue::new(4, 100);
        queue.push(text("data"));
        for _ in 0..10 {
            queue.push_first(Message::Ping);
        }
        assert_eq!(queue.try_pop(), Some(Message::Ping));
        assert_eq!(queue.try_pop(), Some(text("data")));
    }

    #[test]
    fn nothing_goes_in_after_the_close_frame() {
        let queue = Queue::new(4, 100);
        queue.push(text("kept"));
        queue.finish(CLOSE, false);
        queue.finish(CLOSE, true);
        assert_eq!(queue.push(text("late")), Pushed::Finished);
        assert_eq!(queue.try_pop(), Some(text("kept")));
        assert_eq!(queue.try_pop(), Some(CLOSE));
        assert_eq!(queue.try_pop(), None);
    }
}
