//! Everything that changes a link, as plain data: for traces, generators and stores.

use core::time::Duration;

use super::action::Next;
use super::input::{Epoch, Input};
use super::{Deliveries, Link};
use crate::dialogue::Say;
use crate::outbox::{Key, Kind, Message, MessageId, Priority, Slots};
use crate::time::Instant;

/// One operation on a link: the methods that change it, with their arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Op<'a> {
    /// [`Link::handle`].
    Handle(#[cfg_attr(feature = "serde", serde(borrow))] Input<'a>),
    /// [`Link::send`].
    Send {
        /// Text or binary.
        kind: Kind,
        /// 0, or the tag of the envelope whose body the payload is.
        tag: u8,
        /// The payload.
        #[cfg_attr(feature = "serde", serde(borrow))]
        payload: &'a [u8],
        /// The priority.
        priority: Priority,
        /// The time to live, if it has one of its own.
        ttl: Option<Duration>,
        /// The key, if it has one.
        key: Option<Key>,
    },
    /// [`Link::cancel`].
    Cancel(MessageId),
    /// [`Link::pull`].
    Pull(Epoch),
    /// [`Link::poll`].
    Poll,
    /// What the application says in a dialogue: [`Link::request`], [`Link::subscribe`] and so on.
    Say(Say<'a>),
    /// [`Link::set_credentials`], with how many bytes, if with any. What they are is secret, and means nothing to the link: a
    /// replay gives zeros, 8 KiB at most.
    Credentials(Option<u32>),
}

static ZEROS: [u8; 8 << 10] = [0; 8 << 10];

impl<'a> Op<'a> {
    /// A send, as an operation.
    pub fn send<P: AsRef<[u8]>>(message: &'a Message<P>) -> Op<'a> {
        Op::Send {
            kind: message.kind,
            tag: message.tag,
            payload: message.payload.as_ref(),
            priority: message.priority,
            ttl: message.ttl,
            key: message.key,
        }
    }
}

impl<P, S> Link<P, S>
where
    P: AsRef<[u8]> + Clone + for<'a> From<&'a [u8]>,
    S: Slots<P>,
{
    /// Applies an operation at `now`; gives what [`Op::Poll`] answered, and what an input delivered.
    pub fn apply<'a>(&mut self, now: Instant, op: Op<'a>) -> (Option<Next>, Option<Deliveries<'a>>) {
        match op {
            Op::Handle(input) => return (None, Some(self.handle(now, input))),
            Op::Send { kind, tag, payload, priority, ttl, key } => {
                let message = Message { kind, tag, payload: P::from(payload), priority, ttl, key };
                // What is refused or displaced is in the metrics; the operation itself cannot fail.
                let _ = self.send(now, message, |_, _| ());
            }
            Op::Cancel(id) => drop(self.cancel(id)),
            Op::Pull(epoch) => {
                let _ = self.pull(epoch);
            }
            Op::Say(say) => self.say(now, say),
            Op::Poll => return (Some(self.poll()), None),
            Op::Credentials(len) => {
                let blank = |len: u32| ZEROS.get(..len as usize).unwrap_or(&ZEROS);
                self.set_credentials(len.map(blank).map(P::from));
            }
        }
        (None, None)
    }
}
