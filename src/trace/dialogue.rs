//! What is said in a dialogue, recorded.

use super::{Step, Traced};
use crate::channels::{RefusedReason, SubscriptionId};
use crate::dialogue::{Ask, Content, Refused, Say};
use crate::link::Op;
use crate::outbox::{MessageId, Settlement, Slots};
use crate::requests::RequestId;
use crate::time::Instant;

/// The methods of [`Link`](crate::link::Link) with these names, recorded. Errors are those of the link.
#[allow(clippy::missing_errors_doc, reason = "they are the link's")]
impl<P, S, F> Traced<P, S, F>
where
    P: AsRef<[u8]>,
    S: Slots<P>,
    F: FnMut(&[u8]),
{
    fn said(&mut self, now: Instant, say: Say<'_>) {
        self.now = self.now.max(now);
        self.record(|| Step::Op(Op::Say(say)));
    }

    /// From now on a dialogue is kept.
    pub fn open_dialogue(&mut self)
    where
        P: Clone + for<'a> From<&'a [u8]>,
    {
        self.said(self.now, Say::Open);
        self.link.open_dialogue();
    }

    /// Asks something.
    pub fn request(
        &mut self,
        now: Instant,
        ask: &Ask<'_>,
        displaced: impl FnMut(Settlement, P),
    ) -> Result<RequestId, Refused> {
        self.said(now, Say::Request(*ask));
        self.link.request(now, ask, displaced)
    }

    /// Nobody waits for the answer any more.
    pub fn cancel_request(&mut self, now: Instant, id: RequestId) -> bool {
        self.said(now, Say::Cancel(id));
        self.link.cancel_request(now, id)
    }

    /// Lets the other end know something.
    pub fn event(
        &mut self,
        now: Instant,
        name: &str,
        content: Content<'_>,
        displaced: impl FnMut(Settlement, P),
    ) -> Result<MessageId, Refused> {
        self.said(now, Say::Event { name, content });
        self.link.event(now, name, content, displaced)
    }

    /// The good answer to a request of the other end.
    pub fn respond(
        &mut self,
        now: Instant,
        request: u32,
        content: Content<'_>,
        displaced: impl FnMut(Settlement, P),
    ) -> Result<(), Refused> {
        self.said(now, Say::Respond { request, content });
        self.link.respond(now, request, content, displaced)
    }

    /// The bad answer to a request of the other end.
    pub fn reject(
        &mut self,
        now: Instant,
        request: u32,
        code: u32,
        reason: &str,
        displaced: impl FnMut(Settlement, P),
    ) -> Result<(), Refused> {
        self.said(now, Say::Reject { request, code, reason });
        self.link.reject(now, request, code, reason, displaced)
    }

    /// Wants what is published on a channel.
    pub fn subscribe(&mut self, now: Instant, name: &str) -> Result<SubscriptionId, RefusedReason> {
        self.said(now, Say::Subscribe(name));
        self.link.subscribe(now, name)
    }

    /// Wants no more of it.
    pub fn unsubscribe(&mut self, now: Instant, id: SubscriptionId) -> bool {
        self.said(now, Say::Unsubscribe(id));
        self.link.unsubscribe(now, id)
    }

    /// Publishes something on a channel, to be confirmed.
    pub fn publish(
        &mut self,
        now: Instant,
        channel: &str,
        content: Content<'_>,
        displaced: impl FnMut(Settlement, P),
    ) -> Result<RequestId, Refused> {
        self.said(now, Say::Publish { channel, content, confirmed: true });
        self.link.publish(now, channel, content, displaced)
    }

    /// Publishes something on a channel, without a confirmation.
    pub fn publish_unconfirmed(
        &mut self,
        now: Instant,
        channel: &str,
        content: Content<'_>,
        displaced: impl FnMut(Settlement, P),
    ) -> Result<MessageId, Refused> {
        self.said(now, Say::Publish { channel, content, confirmed: false });
        self.link.publish_unconfirmed(now, channel, content, displaced)
    }
}
