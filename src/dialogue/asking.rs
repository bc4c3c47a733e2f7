//! What the application says: each makes a message of the machine's own, or is refused.

use alloc::boxed::Box;
use core::time::Duration;

use super::tables::{Dialogue, Name, Numbers, Post, Speech};
use super::{Ask, Content, Refused, json};
use crate::channels::{self, Channels, SubscriptionId};
use crate::outbox::{Kind, Message, MessageId, RefusedReason, Settlement, Slots};
use crate::requests::{self, RequestId, Requests};
use crate::wire::native::{Channel, EncodeError, Envelope, Form, Limit, Request, tag};

impl<P> Dialogue<P> {
    /// Something is asked at the other end.
    pub(crate) fn ask<S: Slots<P>>(
        &mut self,
        post: &mut Post<'_, P, S>,
        config: Numbers<'_>,
        ask: &Ask<'_>,
        displaced: impl FnMut(Settlement, P),
    ) -> Result<RequestId, Refused> {
        let Ask { form, name, content, timeout, again } = *ask;
        post.may_name(name)?;
        let form = if form == Form::Query { Form::Query } else { Form::Command };
        self.begin(post, config.requests, timeout, again, displaced, |id| {
            let (kind, data) = (content.kind(), content.bytes());
            Envelope::Request(Request { id: id.get(), form, name, kind, data })
        })
    }

    /// Something is published, and confirmed or refused.
    pub(crate) fn publish<S: Slots<P>>(
        &mut self,
        post: &mut Post<'_, P, S>,
        config: Numbers<'_>,
        channel: &str,
        content: Content<'_>,
        displaced: impl FnMut(Settlement, P),
    ) -> Result<RequestId, Refused> {
        post.may_name(channel)?;
        self.begin(post, config.requests, None, false, displaced, |id| {
            publish(id.get() << 1, channel, content)
        })
    }

    fn begin<'e, S: Slots<P>>(
        &mut self,
        post: &mut Post<'_, P, S>,
        config: &requests::Config,
        timeout: Option<Duration>,
        again: bool,
        displaced: impl FnMut(Settlement, P),
        envelope: impl FnOnce(RequestId) -> Envelope<'e>,
    ) -> Result<RequestId, Refused> {
        let start = post.start(config.pending, RequestId::MAX);
        let requests = &mut self.tables.requests;
        let requests = requests.get_or_insert_with(|| Requests::with_capacity(config.pending, start));
        let begun = requests.begin(config, post.now, timeout, None);
        let id = begun.map_err(|refused| Refused::TooMany { limit: refused.limit })?;
        let envelope = envelope(id);
        let left = timeout.unwrap_or(config.timeout);
        let (posted, copy) =
            self.post(post, tag::own(envelope.tag()), &envelope, Some(left), again, displaced);
        let Some(requests) = &mut self.tables.requests else { return Err(Refused::NoDialogue) };
        match posted {
            Ok(message) => {
                requests.queued(id, message);
                // On this wire nobody answers what is published.
                if matches!((post.speech, envelope), (Speech::Json { .. }, Envelope::Publish { .. })) {
                    requests.expect_nothing(id);
                }
                if let Some(copy) = copy {
                    requests.keep(id, copy);
                }
                Ok(id)
            }
            Err(refused) => {
                requests.cancel(id);
                Err(refused)
            }
        }
    }

    /// Says something that is not answered. What became of its message is the application's to know.
    pub(crate) fn say<S: Slots<P>>(
        &mut self,
        post: &mut Post<'_, P, S>,
        envelope: &Envelope<'_>,
        displaced: impl FnMut(Settlement, P),
    ) -> Result<MessageId, Refused> {
        self.post(post, envelope.tag(), envelope, None, false, displaced).0
    }

    /// The application answers a request of the other end.
    pub(crate) fn answer<S: Slots<P>>(
        &mut self,
        post: &mut Post<'_, P, S>,
        id: u32,
        envelope: &Envelope<'_>,
        displaced: impl FnMut(Settlement, P),
    ) -> Result<(), Refused> {
        let awaits = |tables: &super::tables::Tables<P>| {
            tables.incoming.as_ref().is_some_and(|incoming| incoming.awaits(&id))
        };
        if !awaits(&self.tables) {
            return Err(Refused::NotAwaited);
        }
        self.confirm(post, envelope, displaced)?;
        if let Some(incoming) = &mut self.tables.incoming {
            incoming.answers(&id);
        }
        self.tables.foreign.forget(id);
        Ok(())
    }

    /// Says something whose message is nobody else's business.
    pub(crate) fn confirm<S: Slots<P>>(
        &mut self,
        post: &mut Post<'_, P, S>,
        envelope: &Envelope<'_>,
        displaced: impl FnMut(Settlement, P),
    ) -> Result<(), Refused> {
        self.post(post, tag::own(envelope.tag()), envelope, None, false, displaced).0.map(drop)
    }

    /// Nobody waits for the answer any more; false if it has ended already.
    pub(crate) fn cancel<S: Slots<P>>(&mut self, post: &mut Post<'_, P, S>, id: RequestId) -> bool {
        let closed = self.tables.requests.as_mut().and_then(|requests| requests.cancel(id));
        super::tables::close(post, closed)
    }

    /// What the process before had subscribed to.
    pub(crate) fn inherit<S: Slots<P>>(
        &mut self,
        post: &Post<'_, P, S>,
        config: Numbers<'_>,
        names: Box<[Box<str>]>,
    ) {
        for name in names {
            self.channels_mut(post, config).inherit(name);
        }
    }

    /// What the other end may have subscriptions of this end to.
    pub(crate) fn channels(&self) -> impl Iterator<Item = &str> {
        self.tables.channels.iter().flat_map(Channels::names).map(AsRef::as_ref)
    }

    fn channels_mut<S: Slots<P>>(
        &mut self,
        post: &Post<'_, P, S>,
        config: Numbers<'_>,
    ) -> &mut Channels<Name, Box<[channels::Slot<Name>]>> {
        let capacity = config.channels.subscriptions;
        let start = post.start(capacity, SubscriptionId::MAX);
        self.tables.channels.get_or_insert_with(|| Channels::with_capacity(capacity, start))
    }

    /// The application wants what is published on a channel.
    pub(crate) fn subscribe<S: Slots<P>>(
        &mut self,
        post: &Post<'_, P, S>,
        config: Numbers<'_>,
        name: &str,
    ) -> Result<SubscriptionId, channels::RefusedReason> {
        let channels = self.channels_mut(post, config);
        channels.subscribe(config.channels, name.into()).map_err(|refused| refused.reason)
    }

    pub(crate) fn unsubscribe(&mut self, id: SubscriptionId) -> bool {
        self.tables.channels.as_mut().is_some_and(|channels| channels.unsubscribe(id))
    }

    /// How a subscription stands.
    pub(crate) fn subscription(&self, id: SubscriptionId) -> Option<channels::State> {
        self.tables.channels.as_ref()?.state(id)
    }

    /// The subscription to a channel.
    pub(crate) fn subscription_to(&self, channel: Channel<'_>) -> Option<SubscriptionId> {
        let channels = self.tables.channels.as_ref()?;
        match channel {
            Channel::Name(name) => channels.of_name(name),
            Channel::Number(number) => channels.of_number(number.get()),
        }
    }

    fn post<S: Slots<P>>(
        &mut self,
        post: &mut Post<'_, P, S>,
        tag: u8,
        envelope: &Envelope<'_>,
        ttl: Option<Duration>,
        again: bool,
        mut displaced: impl FnMut(Settlement, P),
    ) -> (Result<MessageId, Refused>, Option<P>) {
        let body = match post.speech {
            Speech::Native => envelope.body().map_err(refused).map(|body| (Kind::Binary, body)),
            Speech::Json { .. } => {
                let text = json::text(envelope, post.stamp(), &self.tables.foreign);
                text.map(|text| (Kind::Text, text.into_bytes()))
            }
        };
        let (kind, body) = match body {
            Ok(body) => body,
            Err(refused) => return (Err(refused), None),
        };
        let Ok(len) = u32::try_from(body.len()) else { return (Err(Refused::TooLarge), None) };
        let payload = (self.from)(&body);
        let copy = again.then(|| (self.copy)(&payload));
        let message = Message { ttl, kind, ..Message::binary(payload).with_tag(tag) };
        let tables = &mut self.tables;
        let pushed = post.outbox.push(post.arena, post.config, post.now, len, message, |gone, payload| {
            if gone.id.is_own() {
                tables.settled(gone);
            }
            displaced(gone, payload);
        });
        let pushed = pushed.map_err(|refused| match refused.reason {
            RefusedReason::TooLarge => Refused::TooLarge,
            RefusedReason::Full | RefusedReason::Heartbeat | RefusedReason::Tag => Refused::Full,
        });
        (pushed, copy)
    }
}

impl<P, S: Slots<P>> Post<'_, P, S> {
    /// Whether a receiver takes this name.
    pub(crate) const fn may_name(&self, name: &str) -> Result<(), Refused> {
        if name.len() > self.names as usize {
            return Err(Refused::NameTooLong { limit: self.names });
        }
        Ok(())
    }
}

const fn refused(error: EncodeError) -> Refused {
    match error {
        EncodeError::TooLong(Limit::Channel | Limit::Name) => Refused::NameTooLong { limit: u8::MAX },
        EncodeError::TooLong(Limit::Reason) => Refused::ReasonTooLong { limit: Limit::REASON as u8 },
        EncodeError::TooLong(Limit::Envelope | Limit::Token | Limit::Credentials) | EncodeError::NoRoom => {
            Refused::TooLarge
        }
    }
}

/// A publish; its id is 0 if it is not to be confirmed.
pub(crate) const fn publish<'a>(id: u32, channel: &'a str, content: Content<'a>) -> Envelope<'a> {
    Envelope::Publish { id, channel: Channel::Name(channel), kind: content.kind(), data: content.bytes() }
}

/// An event.
pub(crate) const fn event<'a>(name: &'a str, content: Content<'a>) -> Envelope<'a> {
    Envelope::Request(Request { id: 0, form: Form::Event, name, kind: content.kind(), data: content.bytes() })
}

/// A good answer.
pub(crate) const fn response<'a>(id: u32, content: Content<'a>) -> Envelope<'a> {
    Envelope::Response { id, kind: content.kind(), data: content.bytes() }
}
