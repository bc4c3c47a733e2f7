//! Requests and channels of a server's clients.

use std::fmt;
use std::sync::{Arc, Weak};

use everlink::acceptor::SessionId;
use everlink::dialogue::{Ask, Content, Refused};
use everlink::link::Delivery;
use everlink::outbox::{MessageId, Settlement};
use everlink::peer::Peer as CorePeer;
use everlink::requests::{Ended, RequestId, code};
use everlink::time::Instant;
use everlink::wire::native::{Channel, Form, Request};
use tokio::sync::oneshot;

use super::hub::{Hub, Inner};
use super::{Event, Peer, Server};
use crate::dialogue::{Answer, Failed, Outcome};
use crate::{Error, Payload};

/// Something that a client wants to be done: an answer, a confirmation. Dropped without one, it is answered with
/// [`UNHANDLED`](everlink::requests::code::UNHANDLED).
struct Owed {
    hub: Weak<Hub>,
    session: SessionId,
    id: u32,
    what: What,
    /// Of what came.
    number: u64,
}

/// What is owed.
#[derive(Clone, Debug)]
enum What {
    Answer,
    Confirmation,
    Subscription(String),
    /// Nothing (any more).
    Nothing,
}

type Displaced<'a> = &'a mut dyn FnMut(Settlement);

impl Owed {
    /// Settles it, as soon as there is room.
    async fn settle(
        mut self,
        say: impl Fn(&mut CorePeer<'_, Payload>, Instant, u32, &What, Displaced<'_>) -> Result<(), Refused>,
    ) -> Result<(), Error> {
        loop {
            let Some(hub) = self.hub.upgrade() else {
                self.what = What::Nothing;
                return Err(Error::Closed);
            };
            let Some(peer) = hub.peer(self.session) else {
                self.what = What::Nothing;
                return Err(Error::Closed);
            };
            let room = peer.room();
            let said = peer.converse(|core, now, displaced| say(core, now, self.id, &self.what, displaced));
            match said {
                Err(Failed::Refused(Refused::Full)) => room.await,
                said => {
                    self.what = What::Nothing;
                    return said.map_err(|failed| match failed {
                        Failed::Refused(refused) => Error::Unsaid(refused),
                        _ => Error::Closed,
                    });
                }
            }
        }
    }
}

impl Drop for Owed {
    fn drop(&mut self) {
        let what = std::mem::replace(&mut self.what, What::Nothing);
        if matches!(what, What::Nothing) {
            return;
        }
        let (hub, session, id) = (self.hub.clone(), self.session, self.id);
        // Wherever it is dropped, somebody may hold the lock. Without a runtime there is nobody to tell.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { excuse(hub, session, id, what) });
        }
    }
}

/// Answers for a handler that did not. The client has its time-out, if this cannot be said.
fn excuse(hub: Weak<Hub>, session: SessionId, id: u32, what: What) {
    let Some(peer) = hub.upgrade().and_then(|hub| hub.peer(session)) else { return };
    let words = "nobody answers this";
    let _ = peer.converse(|core, now, displaced| match what {
        What::Answer => core.reject(now, id, code::UNHANDLED, words, |gone, _| displaced(gone)),
        What::Confirmation | What::Subscription(_) => {
            core.refuse(now, id, code::UNHANDLED, words, |gone, _| displaced(gone))
        }
        What::Nothing => Ok(()),
    });
}

/// Something that a client asks for.
pub struct Asked {
    /// To do something, to know something, or an event, which wants no answer.
    pub form: Form,
    /// What to do, or to know.
    pub name: String,
    /// The arguments.
    pub content: Answer,
    owed: Owed,
}

impl Asked {
    /// The good answer, as soon as there is room for it. To an event it says nothing.
    ///
    /// # Errors
    /// If it is not said: nobody waits for it any more, or it is too large.
    pub async fn respond<'a>(self, content: impl Into<Content<'a>>) -> Result<(), Error> {
        let content = content.into();
        let respond = move |core: &mut CorePeer<'_, Payload>,
                            now: Instant,
                            id: u32,
                            what: &What,
                            displaced: Displaced<'_>| {
            match what {
                What::Nothing => Ok(()),
                _ => core.respond(now, id, content, |gone, _| displaced(gone)),
            }
        };
        self.owed.settle(respond).await
    }

    /// The bad answer, with a code below 4000 or from 5000 on, and a reason for people. To an event it says nothing.
    ///
    /// # Errors
    /// As for [`respond`](Asked::respond).
    pub async fn reject(self, code: u32, reason: &str) -> Result<(), Error> {
        let reject = |core: &mut CorePeer<'_, Payload>,
                      now: Instant,
                      id: u32,
                      what: &What,
                      displaced: Displaced<'_>| {
            match what {
                What::Nothing => Ok(()),
                _ => core.reject(now, id, code, reason, |gone, _| displaced(gone)),
            }
        };
        self.owed.settle(reject).await
    }
}

/// A client wants what is published on a channel.
pub struct Subscribe {
    /// Its name.
    pub channel: String,
    owed: Owed,
}

impl Subscribe {
    /// It gets it from now on.
    ///
    /// # Errors
    /// If it cannot be told so: it is gone. If it has subscribed to as many as it may, it is told that.
    pub async fn accept(self) -> Result<(), Error> {
        let accept = |core: &mut CorePeer<'_, Payload>,
                      now: Instant,
                      id: u32,
                      what: &What,
                      displaced: Displaced<'_>| {
            match what {
                What::Subscription(channel) => core.accept(now, id, channel, |gone, _| displaced(gone)),
                _ => Ok(()),
            }
        };
        self.owed.settle(accept).await
    }

    /// It does not, for this reason; with a code below 4000 or from 5000 on.
    ///
    /// # Errors
    /// If it cannot be told so.
    pub async fn refuse(self, code: u32, reason: &str) -> Result<(), Error> {
        refuse(self.owed, code, reason).await
    }
}

/// A client wants something to be published.
pub struct Publish {
    /// On which channel.
    pub channel: String,
    /// What.
    pub content: Answer,
    owed: Owed,
}

impl Publish {
    /// It is [published](Peer::broadcast): the client is told so, if it wants to know.
    ///
    /// # Errors
    /// If it cannot be told.
    pub async fn confirm(self) -> Result<(), Error> {
        let confirm =
            |core: &mut CorePeer<'_, Payload>, now: Instant, id: u32, _: &What, displaced: Displaced<'_>| {
                core.confirm(now, id, |gone, _| displaced(gone))
            };
        self.owed.settle(confirm).await
    }

    /// It is not, for this reason; with a code below 4000 or from 5000 on.
    ///
    /// # Errors
    /// If it cannot be told.
    pub async fn refuse(self, code: u32, reason: &str) -> Result<(), Error> {
        refuse(self.owed, code, reason).await
    }
}

async fn refuse(owed: Owed, code: u32, reason: &str) -> Result<(), Error> {
    let refuse =
        |core: &mut CorePeer<'_, Payload>, now: Instant, id: u32, _: &What, displaced: Displaced<'_>| {
            core.refuse(now, id, code, reason, |gone, _| displaced(gone))
        };
    owed.settle(refuse).await
}

/// What of a dialogue a session's handler is told; `None` for what is nothing to it.
pub(super) fn event(
    hub: &Arc<Hub>,
    session: SessionId,
    delivery: &Delivery<'_>,
    number: u64,
) -> Option<Event> {
    let owed = |id: u32, what: What| {
        let what = if id == 0 { What::Nothing } else { what };
        Owed { hub: Arc::downgrade(hub), session, id, what, number }
    };
    Some(match *delivery {
        Delivery::Request(Request { id, form, name, kind, data }) => Event::Request(Asked {
            form,
            name: name.into(),
            content: Answer::new(kind, data),
            owed: owed(id, What::Answer),
        }),
        Delivery::Subscribe { id, channel } => Event::Subscribe(Subscribe {
            channel: channel.into(),
            owed: owed(id, What::Subscription(channel.into())),
        }),
        Delivery::Publish { id, channel: Channel::Name(channel), kind, data } => Event::Publish(Publish {
            channel: channel.into(),
            content: Answer::new(kind, data),
            owed: owed(id, What::Confirmation),
        }),
        _ => return None,
    })
}

impl Inner {
    /// What a client has said in answer, or to leave a channel; whether it was that.
    pub(super) fn answered(&mut self, session: SessionId, now: Instant, delivery: &Delivery<'_>) -> bool {
        let (id, outcome) = match *delivery {
            Delivery::Response { id, kind, data } => (id, Ok(Answer::new(kind, data))),
            Delivery::Error { id, code, reason } => (id, Err(Failed::Error { code, reason: reason.into() })),
            Delivery::Unsubscribe { id, channel: Channel::Name(channel) } => {
                if let Some(mut peer) = self.sessions.peer(session) {
                    // If there is no room to say so, the client asks again.
                    let _ = peer.leave(now, id, channel, |_, _| ());
                }
                return true;
            }
            _ => return false,
        };
        self.answer(session, id, outcome);
        true
    }

    /// A request has ended without an answer.
    pub(super) fn ended(&mut self, session: SessionId, ended: Ended) {
        self.answer(session, ended.id.get(), Err(Failed::Ended(ended.end)));
    }

    fn answer(&mut self, session: SessionId, id: u32, outcome: Outcome) {
        if let Some(waiting) = self.asked.remove(&(session, id)) {
            // Nobody needs to wait for it.
            let _ = waiting.send(outcome);
        }
    }
}

/// A dialogue with the client.
impl Peer {
    /// Asks something, and waits for the answer: as [`Client::request`](crate::Client::request).
    ///
    /// # Errors
    /// If it is not asked, if the client says that it cannot be, or if no answer comes.
    pub async fn request(&self, ask: &Ask<'_>) -> Result<Answer, Failed> {
        let (sender, answer) = oneshot::channel();
        let id = {
            let inner = &mut *self.hub().lock();
            let id = self.converse_in(inner, |peer, now, displaced| {
                peer.request(now, ask, |gone, _| displaced(gone))
            })?;
            inner.asked.insert((self.id(), id.get()), sender);
            id
        };
        let cancel = Cancel { peer: self, id };
        let answer = answer.await.unwrap_or(Err(Failed::Closed));
        drop(cancel);
        answer
    }

    /// Lets the client know something; there is no answer. It is a message like others.
    ///
    /// # Errors
    /// If it is not said.
    pub fn event<'a>(&self, name: &str, content: impl Into<Content<'a>>) -> Result<MessageId, Failed> {
        let content = content.into();
        self.converse(|peer, now, displaced| peer.event(now, name, content, |gone, _| displaced(gone)))
    }

    /// As [`Server::broadcast`].
    ///
    /// # Errors
    /// As there.
    pub fn broadcast<'a>(&self, channel: &str, content: impl Into<Content<'a>>) -> Result<(), Failed> {
        broadcast(self.hub(), channel, content.into())
    }
}

impl Server {
    /// Publishes something: every client gets it that has subscribed to the channel, or, on the channel
    /// [`SYSTEM`](everlink::channels::SYSTEM), every client that there is.
    ///
    /// # Errors
    /// If nobody can get it: it is too large, or the name is too long.
    pub fn broadcast<'a>(&self, channel: &str, content: impl Into<Content<'a>>) -> Result<(), Failed> {
        broadcast(&self.hub, channel, content.into())
    }
}

fn broadcast(hub: &Hub, channel: &str, content: Content<'_>) -> Result<(), Failed> {
    let inner = &mut *hub.lock();
    let now = hub.clock.now();
    let (mut gone, mut reached) = (Vec::new(), Vec::new());
    let displaced = |session, settlement: Settlement, _| gone.push((session, settlement));
    let said = inner.sessions.broadcast(now, channel, content, displaced, |session| reached.push(session));
    for (session, settlement) in gone {
        inner.settled(session, settlement);
    }
    for session in reached {
        if let Some(carrier) = inner.carrier(session) {
            carrier.notify_one();
        }
        inner.rest(session, now);
    }
    hub.settle(inner, now);
    said.map_err(Failed::Refused)
}

/// Cancels a request if nobody waits for it any more.
struct Cancel<'a> {
    peer: &'a Peer,
    id: RequestId,
}

impl Drop for Cancel<'_> {
    fn drop(&mut self) {
        let inner = &mut *self.peer.hub().lock();
        if inner.asked.remove(&(self.peer.id(), self.id.get())).is_some()
            && let Some(mut peer) = inner.sessions.peer(self.peer.id())
        {
            peer.cancel_request(self.peer.hub().clock.now(), self.id);
        }
    }
}

macro_rules! shown {
    ($($owner:ident $field:ident),*) => { $(
        impl $owner {
            pub(super) const fn number(&self) -> u64 {
                self.owed.number
            }
        }

        impl fmt::Debug for $owner {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($owner)).field(stringify!($field), &self.$field).finish_non_exhaustive()
            }
        }
    )* };
}
shown!(Asked name, Subscribe channel, Publish channel);
