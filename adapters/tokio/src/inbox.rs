//! What came for the application, until it takes it.

use std::collections::VecDeque;
use std::task::Waker;

use everlink::outbox::Kind;

use crate::blocks::Blocks;
use crate::messages::Received;

/// A queue behind the lock of its connection. What one frame brings may pass its bound; then the writer waits.
#[derive(Debug)]
pub(crate) struct Inbox {
    queue: VecDeque<Received>,
    /// Of those that wait.
    bytes: usize,
    bound: usize,
    /// The reader has taken so many over at once, and not come back since.
    lent: usize,
    /// Who waits for messages.
    reader: Option<Waker>,
    /// The writer waits for room.
    full: bool,
    /// Nobody wants them any more.
    abandoned: bool,
    /// In durable mode.
    unread: Option<Unread>,
    blocks: Blocks,
}

impl Inbox {
    const MUCH: usize = 32 << 10;

    pub(crate) fn new(bound: usize, durable: bool) -> Inbox {
        Inbox {
            queue: VecDeque::new(),
            bytes: 0,
            bound: bound.max(1),
            lent: 0,
            reader: None,
            full: false,
            abandoned: false,
            unread: durable.then(Unread::default),
            blocks: Blocks::default(),
        }
    }

    pub(crate) fn push(&mut self, kind: Kind, data: &[u8], number: u64) {
        if self.abandoned {
            return;
        }
        if let Some(unread) = &mut self.unread {
            unread.push(number);
        }
        self.bytes += data.len();
        self.queue.push_back(Received { kind, data: self.blocks.copy(data), number });
    }

    /// Another session has begun: nothing depends on the messages of the last one any more.
    pub(crate) fn restart(&mut self) {
        self.unread.iter_mut().for_each(Unread::restart);
    }

    /// In durable mode: the first message that the application has not taken, if there is one.
    pub(crate) fn unread(&self) -> Option<Option<u64>> {
        self.unread.as_ref().map(Unread::first)
    }

    /// Whether there is no room; then the reader says when there is.
    pub(crate) fn is_full(&mut self) -> bool {
        self.full = self.queue.len() + self.lent >= self.bound;
        self.full
    }

    /// Who is to be woken, if something is there for him.
    pub(crate) fn reader(&mut self) -> Option<Waker> {
        if self.queue.is_empty() { None } else { self.reader.take() }
    }

    /// Whether so much waits that the reader should have it while it is in the processor's cache.
    pub(crate) const fn is_much(&self) -> bool {
        self.bytes >= Inbox::MUCH
    }

    /// Nothing more will come.
    pub(crate) fn end(&mut self) -> Option<Waker> {
        self.reader.take()
    }

    /// The reader has used up what he had, and takes what is there, or in durable mode the next one. Half of the room stays for the
    /// writer. Whether the writer is to be told that there is some.
    pub(crate) fn lend(&mut self, to: &mut VecDeque<Received>) -> bool {
        let most = if self.unread.is_some() { 1 } else { (self.bound / 2).max(1) };
        if self.queue.len() <= most {
            std::mem::swap(&mut self.queue, to);
            self.bytes = 0;
        } else {
            to.extend(self.queue.drain(..most));
            self.bytes = self.queue.iter().map(|received| received.data.len()).sum();
        }
        self.lent = to.len();
        self.full && !self.is_full()
    }

    /// The reader waits.
    pub(crate) fn wait(&mut self, reader: &Waker) {
        match &mut self.reader {
            Some(old) => old.clone_from(reader),
            None => self.reader = Some(reader.clone()),
        }
    }

    /// The application is done with a message; in durable mode, the connection is to be told.
    pub(crate) fn done(&mut self) {
        self.unread.iter_mut().for_each(Unread::pop);
    }

    /// Nobody wants what comes: all of it counts as taken.
    pub(crate) fn abandon(&mut self) {
        self.abandoned = true;
        self.lent = 0;
        self.queue.clear();
        self.bytes = 0;
        self.unread.iter_mut().for_each(Unread::clear);
    }
}

/// The messages that the application has not taken: neither acknowledged nor stored as received, so they come again if the process
/// is killed.
#[derive(Debug, Default)]
struct Unread(VecDeque<Option<u64>>);

impl Unread {
    /// One more is on its way to the application, by its number in the session.
    fn push(&mut self, number: u64) {
        self.0.push_back(Some(number));
    }

    fn restart(&mut self) {
        self.0.iter_mut().for_each(|number| *number = None);
    }

    fn pop(&mut self) {
        self.0.pop_front();
    }

    fn clear(&mut self) {
        self.0.clear();
    }

    fn first(&self) -> Option<u64> {
        self.0.iter().copied().flatten().next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inbox(messages: usize) -> Inbox {
        let mut inbox = Inbox::new(4, false);
        (0..messages).for_each(|number| inbox.push(Kind::Binary, &[number as u8], number as u64));
        inbox
    }

    #[test]
    fn the_writer_hears_of_room_once_the_reader_has_used_up_what_he_took() {
        let (mut inbox, mut hands) = (inbox(6), VecDeque::new());
        assert!(inbox.is_full());
        assert!(!inbox.lend(&mut hands), "two in hand, four wait");
        assert_eq!(hands.drain(..).map(|received| received.number).collect::<Vec<_>>(), [0, 1]);
        assert!(!inbox.lend(&mut hands), "two in hand, two wait");
        hands.clear();
        assert!(inbox.lend(&mut hands), "two in hand");
        hands.clear();
        assert!(!inbox.lend(&mut hands), "it was told");
        assert!(!inbox.is_full());
    }

    #[test]
    fn what_nobody_wants_is_not_kept() {
        let mut inbox = inbox(3);
        inbox.abandon();
        inbox.push(Kind::Text, b"for nobody", 4);
        assert!(inbox.reader().is_none() && inbox.queue.is_empty() && !inbox.is_full());
    }
}
