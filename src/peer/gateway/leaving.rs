//! What leaves for a client on the JSON wire, and what of it the socket has: that is all that is ever known to have arrived.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::outbox::Kind;
use crate::wire::json::Message;
use crate::wire::native::Envelope;

/// How much may wait for a client before it is told no more of what is wrong, and its pings are not answered.
const REPLIES_MAX: usize = 64;

/// A text for the client.
#[derive(Debug)]
struct Text {
    kind: Kind,
    data: Vec<u8>,
    /// How many envelopes that count the session has said when this has left; 0 if no more than before.
    received: u64,
}

/// Texts on their way to the client.
#[derive(Debug)]
pub(in crate::peer) struct Leaving {
    /// The longest that there is room for.
    longest: usize,
    queue: VecDeque<Text>,
    /// The one that left last.
    left: Vec<u8>,
    /// Whether the adapter was asked to pull.
    flush_asked: bool,
    /// Envelopes that count that the session has said.
    received: u64,
    /// Bytes that were handed to the socket.
    handed: u64,
    /// Of these, those that it has taken.
    written: u64,
    /// What the session has said and is not acknowledged: the socket has it when it has taken so many bytes.
    unwritten: VecDeque<(u64, u64)>,
}

impl Leaving {
    pub(super) const fn new(longest: usize) -> Leaving {
        Leaving {
            longest,
            queue: VecDeque::new(),
            left: Vec::new(),
            flush_asked: false,
            received: 0,
            handed: 0,
            written: 0,
            unwritten: VecDeque::new(),
        }
    }

    /// What the application sends, as it is.
    pub(super) fn push(&mut self, kind: Kind, data: Vec<u8>) {
        self.queue.push_back(Text { kind, data, received: 0 });
    }

    /// False if there is no room for so long a text.
    pub(super) fn say(&mut self, message: &Message<'_>) -> bool {
        let fits = message.encoded_len() <= self.longest;
        if fits {
            self.push(Kind::Text, message.to_text().into_bytes());
        }
        fits
    }

    /// Says something that the session knows nothing of.
    pub(super) fn reply(&mut self, message: &Message<'_>) {
        if self.queue.len() < REPLIES_MAX {
            self.say(message);
        }
    }

    /// All that was said up to now is one more envelope of the session's that counts.
    pub(super) fn counts(&mut self) {
        self.received = self.received.saturating_add(1);
        match self.queue.back_mut() {
            Some(text) => text.received = self.received,
            // There was nothing to be said of it.
            None => self.unwritten.push_back((self.handed, self.received)),
        }
    }

    /// Whether the adapter is to be asked to pull.
    pub(in crate::peer) fn wants_flush(&mut self) -> bool {
        !self.queue.is_empty() && !core::mem::replace(&mut self.flush_asked, true)
    }

    /// The adapter may be asked again.
    pub(in crate::peer) const fn flushed(&mut self) {
        self.flush_asked = false;
    }

    pub(in crate::peer) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The next frame for the client.
    pub(in crate::peer) fn pull(&mut self) -> Option<(Kind, &[u8])> {
        let Text { kind, data, received } = self.queue.pop_front()?;
        self.handed = self.handed.saturating_add(data.len() as u64);
        if received > 0 {
            self.unwritten.push_back((self.handed, received));
        }
        self.left = data;
        Some((kind, &self.left))
    }

    /// The socket has taken so many bytes in all.
    pub(in crate::peer) fn written(&mut self, total: u64) {
        self.written = self.written.max(total);
    }

    /// The frame that acknowledges what the session has said and the socket has taken, if there is anything new.
    pub(in crate::peer) fn ack(&mut self) -> Option<Vec<u8>> {
        let (mut received, written) = (None, self.written);
        while let Some((_, count)) = self.unwritten.pop_front_if(|(end, _)| *end <= written) {
            received = Some(count);
        }
        let ack = Envelope::Ack { received: received? };
        let mut frame = alloc::vec![0; ack.encoded_len()];
        ack.encode(&mut frame).ok()?;
        Some(frame)
    }
}
