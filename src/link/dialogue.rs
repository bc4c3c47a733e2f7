//! A link's side of a dialogue: what its application asks and says, and when the tables are told what became of the session.

use super::machine::Machine;
use super::outputs::Outputs;
use super::socket::Phase;
use super::{Action, Config, Core};
use crate::dialogue::{Numbers, Post, Speech};
use crate::outbox::{Arena, Settlement, Slots};
use crate::session::Mark;
use crate::time::Instant;
use crate::wire::Wire;
use crate::wire::native::Envelope;

pub(super) const fn numbers(config: &Config) -> Numbers<'_> {
    Numbers { requests: &config.requests, channels: &config.channels }
}

/// Where a link's dialogue posts its messages.
pub(super) fn post<'a, P, S>(
    config: &'a Config,
    core: &'a mut Core,
    arena: &'a mut Arena<P, S>,
) -> Post<'a, P, S> {
    let names = names(config);
    let speech = speech(config, core);
    Post { now: core.now, outbox: &mut core.session.outbox, arena, config: &config.outbox, names, speech }
}

/// In what words a link speaks.
fn speech(config: &Config, core: &Core) -> Speech {
    match &config.wire {
        Wire::Raw(_) | Wire::Native(_) => Speech::Native,
        Wire::Json(_) => Speech::Json { timestamp: core.timestamp() },
    }
}

/// How long a name may be, in both directions. An other end that takes less says so when it is asked.
const fn names(config: &Config) -> u8 {
    match &config.wire {
        Wire::Raw(_) => 0,
        Wire::Native(limits) => limits.name,
        Wire::Json(_) => u8::MAX,
    }
}

impl<P, S: Slots<P>> Machine<'_, P, S> {
    /// An envelope of the dialogue has come; whether it is for the application.
    pub(super) fn spoken(&mut self, envelope: &Envelope<'_>) -> Mark {
        let Some(dialogue) = self.desk.get_mut() else { return Mark::Good };
        dialogue.heard(&mut post(self.config, self.core, self.arena), numbers(self.config), envelope)
    }

    /// The session is gone.
    pub(super) fn dialogue_lost(&mut self) {
        if let Some(dialogue) = self.desk.get_mut() {
            dialogue.lost(&mut post(self.config, self.core, self.arena));
        }
    }

    /// A socket is welcome.
    pub(super) fn dialogue_welcomed(&mut self) {
        if let Some(dialogue) = self.desk.get_mut() {
            dialogue.welcomed();
        }
    }

    /// The link stops: what is queued is settled as that.
    pub(super) fn stop_messages(&mut self) {
        if let Some(dialogue) = self.desk.get_mut() {
            dialogue.stop(&mut post(self.config, self.core, self.arena));
        }
        self.core.session.outbox.stop(self.arena);
    }

    /// Ends what is due.
    pub(super) fn fire_dialogue(&mut self) {
        if let Some(dialogue) = self.desk.get_mut() {
            dialogue.expire(&mut post(self.config, self.core, self.arena), numbers(self.config));
        }
    }

    pub(super) fn dialogue_deadline(&self) -> Option<Instant> {
        self.desk.get()?.next_deadline()
    }
}

impl<P, S: Slots<P>> Outputs<'_, P, S> {
    /// What the tables want to be said is posted while there is a socket to say it on. Whether anything was.
    #[inline]
    pub(super) fn tell(&mut self) -> bool {
        self.desk.is_open() && self.tell_now()
    }

    #[inline(never)]
    fn tell_now(&mut self) -> bool {
        let Some(dialogue) = self.desk.get_mut() else { return false };
        let core = &mut *self.core;
        let json = matches!(self.config.wire, Wire::Json(_));
        let attached =
            core.online && matches!(&core.phase, Phase::Open(socket) if json || socket.attachment.is_some());
        let told = attached && dialogue.tell(&mut post(self.config, core, self.arena), numbers(self.config));
        if told {
            self.core.unstored = true;
            self.core.number_ahead(self.config, self.arena);
        }
        told
    }

    /// A message has ended. Whether the application is to be told.
    pub(super) fn is_foreign(&mut self, settlement: Settlement) -> bool {
        if settlement.id.is_own()
            && let Some(dialogue) = self.desk.get_mut()
        {
            dialogue.settled(settlement);
        }
        !settlement.id.is_own()
    }

    pub(super) fn ended(&mut self) -> Option<Action> {
        self.desk.get_mut()?.next_ended().map(Action::Ended)
    }
}

#[cfg(not(feature = "alloc"))]
impl<P, S> super::Link<P, S> {
    /// Without an allocator there is no dialogue.
    pub(super) const fn say(&self, _: Instant, _: crate::dialogue::Say<'_>) {}
}

#[cfg(feature = "alloc")]
mod said {
    use super::{names, numbers, post, speech};
    use crate::channels::{self, SubscriptionId};
    use crate::dialogue::asking::{event, publish, response};
    use crate::dialogue::{Ask, Content, Dialogue, Numbers, Post, Refused, Say};
    use crate::link::rest::Rest;
    use crate::link::{Link, outputs};
    use crate::outbox::{MessageId, Settlement, Slots};
    use crate::requests::RequestId;
    use crate::time::Instant;
    use crate::wire::native::{Channel, Envelope};

    /// A dialogue with the other end, on the native wire or the JSON one: requests and answers, channels. Who calls what: the application.
    ///
    /// What comes of it comes as [`Delivery`](crate::link::Delivery): requests of the other end, answers, what is published, what
    /// became of subscriptions; what ended without an answer, as [`Action::Ended`](crate::link::Action::Ended). Each request ends
    /// exactly once, in one of the two.
    ///
    /// `displaced` is as in [`send`](Link::send).
    impl<P: AsRef<[u8]>, S: Slots<P>> Link<P, S> {
        /// From now on a dialogue is kept. Its tables are on the heap, each made when it is first needed, as large as the
        /// configuration says ([`requests`](crate::link::Config::requests), [`channels`](crate::link::Config::channels)).
        ///
        /// Without it, envelopes of a dialogue come as they are, and those that the application encodes itself may be sent.
        ///
        /// ```
        /// use everlink::dialogue::Ask;
        /// use everlink::link::{Config, Link};
        /// use everlink::time::Instant;
        /// use everlink::wire::{Wire, native::Limits};
        ///
        /// let config = Config { wire: Wire::Native(Limits::default()), ..Config::default() };
        /// let mut link = Link::<Vec<u8>>::new(config, 7)?;
        /// link.open_dialogue();
        /// let now = Instant::ORIGIN;
        /// let id = link.request(now, &Ask::query("weather", "{\"town\":\"Oslo\"}"), |_, _| ())?;
        /// let oslo = link.subscribe(now, "weather/oslo").unwrap();
        /// # let _ = (id, oslo);
        /// # Ok::<(), Box<dyn std::error::Error>>(())
        /// ```
        pub fn open_dialogue(&mut self)
        where
            P: Clone + for<'a> From<&'a [u8]>,
        {
            self.core.rest = Rest::Unknown;
            let begins = !self.desk.is_open() && matches!(self.core.phase, super::Phase::Open(_));
            let (dialogue, inherited) = self.desk.open();
            if begins {
                dialogue.welcomed();
            }
            dialogue.inherit(
                &post(&self.config, &mut self.core, &mut self.arena),
                numbers(&self.config),
                inherited,
            );
        }

        /// Asks something. It ends once: in a [`Response`](crate::link::Delivery::Response) or an
        /// [`Error`](crate::link::Delivery::Error) with its number, or in [`Action::Ended`](crate::link::Action::Ended).
        ///
        /// In a session that goes on over another socket it is neither lost nor repeated. If the session is lost, it is
        /// in doubt, or asked again, as it says itself.
        ///
        /// # Errors
        /// If it is not asked: says why.
        pub fn request(
            &mut self,
            now: Instant,
            ask: &Ask<'_>,
            displaced: impl FnMut(Settlement, P),
        ) -> Result<RequestId, Refused> {
            self.converse(now, displaced, |dialogue, post, config, displaced| {
                dialogue.ask(post, config, ask, displaced)
            })
        }

        /// Nobody waits for the answer to a request any more: nothing more is told of it. If it has not left, it never will. False
        /// if it has ended already.
        pub fn cancel_request(&mut self, now: Instant, id: RequestId) -> bool {
            let cancelled =
                self.converse(now, |_, _| (), |dialogue, post, _, _| Ok(dialogue.cancel(post, id)));
            cancelled.unwrap_or(false)
        }

        /// Lets the other end know something; there is no answer. It is a message like others: it has one end, which is
        /// reported.
        ///
        /// # Errors
        /// If it is not said: says why.
        pub fn event(
            &mut self,
            now: Instant,
            name: &str,
            content: Content<'_>,
            displaced: impl FnMut(Settlement, P),
        ) -> Result<MessageId, Refused> {
            self.converse(now, displaced, |dialogue, post, _, displaced| {
                post.may_name(name)?;
                dialogue.say(post, &event(name, content), displaced)
            })
        }

        /// The good answer to a request of the other end.
        ///
        /// # Errors
        /// If it is not said: says why. If that is for want of room, the request still awaits its answer.
        pub fn respond(
            &mut self,
            now: Instant,
            request: u32,
            content: Content<'_>,
            displaced: impl FnMut(Settlement, P),
        ) -> Result<(), Refused> {
            self.converse(now, displaced, |dialogue, post, _, displaced| {
                dialogue.answer(post, request, &response(request, content), displaced)
            })
        }

        /// The bad answer to a request of the other end: with a code of the application's (below 4000 or from 5000 on) or of
        /// [`requests::code`](crate::requests::code), and a reason for people.
        ///
        /// # Errors
        /// As for [`respond`](Link::respond).
        pub fn reject(
            &mut self,
            now: Instant,
            request: u32,
            code: u32,
            reason: &str,
            displaced: impl FnMut(Settlement, P),
        ) -> Result<(), Refused> {
            self.converse(now, displaced, |dialogue, post, _, displaced| {
                dialogue.answer(post, request, &Envelope::Error { id: request, code, reason }, displaced)
            })
        }

        /// Wants what is published on a channel, from when [`Subscribed`](crate::link::Delivery::Subscribed) says so; in a new
        /// session it is subscribed to anew.
        ///
        /// # Errors
        /// If it is not wanted: says why. [`TooMany`](channels::RefusedReason::TooMany), with a limit of 0, where no dialogue
        /// is kept.
        pub fn subscribe(
            &mut self,
            now: Instant,
            name: &str,
        ) -> Result<SubscriptionId, channels::RefusedReason> {
            let subscribed = self.converse(
                now,
                |_, _| (),
                |dialogue, post, config, _| Ok(dialogue.subscribe(post, config, name)),
            );
            subscribed.unwrap_or(Err(channels::RefusedReason::TooMany { limit: 0 }))
        }

        /// Wants no more of it: nothing more comes. False if there is no such subscription (any more).
        pub fn unsubscribe(&mut self, now: Instant, id: SubscriptionId) -> bool {
            let left = self.converse(now, |_, _| (), |dialogue, _, _, _| Ok(dialogue.unsubscribe(id)));
            left.unwrap_or(false)
        }

        /// Publishes something on a channel. It ends once, as a request does: in
        /// [`Published`](crate::link::Delivery::Published) with its number, or in [`Action::Ended`](crate::link::Action::Ended).
        ///
        /// # Errors
        /// If it is not published: says why.
        pub fn publish(
            &mut self,
            now: Instant,
            channel: &str,
            content: Content<'_>,
            displaced: impl FnMut(Settlement, P),
        ) -> Result<RequestId, Refused> {
            self.converse(now, displaced, |dialogue, post, config, displaced| {
                dialogue.publish(post, config, channel, content, displaced)
            })
        }

        /// As [`publish`](Link::publish), without a confirmation: it is a message like others, with one end, which is reported.
        ///
        /// # Errors
        /// As there.
        pub fn publish_unconfirmed(
            &mut self,
            now: Instant,
            channel: &str,
            content: Content<'_>,
            displaced: impl FnMut(Settlement, P),
        ) -> Result<MessageId, Refused> {
            self.converse(now, displaced, |dialogue, post, _, displaced| {
                post.may_name(channel)?;
                dialogue.say(post, &publish(0, channel, content), displaced)
            })
        }

        /// How a subscription stands; `None` if it is over.
        #[must_use]
        pub fn subscription(&self, id: SubscriptionId) -> Option<channels::State> {
            self.desk.get()?.subscription(id)
        }

        /// The subscription to a channel, as a [`Broadcast`](crate::link::Delivery::Broadcast) names it; `None` for
        /// [`SYSTEM`](channels::SYSTEM), which needs none.
        #[must_use]
        pub fn subscription_to(&self, channel: Channel<'_>) -> Option<SubscriptionId> {
            self.desk.get()?.subscription_to(channel)
        }

        /// How many sessions there have been since the dialogue was opened (on the JSON wire each socket is one). In another one than the
        /// first, what the server said on [`SYSTEM`](channels::SYSTEM) since the last one ended may be missing; of subscriptions, their
        /// confirmations tell that.
        #[must_use]
        pub fn sessions(&self) -> u64 {
            self.desk.get().map_or(0, Dialogue::sessions)
        }

        /// How many answers, confirmations and broadcasts came that nobody waited for (late ones, for the most part), and requests
        /// that were one too many.
        #[must_use]
        pub fn strays(&self) -> u64 {
            self.desk.get().map_or(0, Dialogue::strays)
        }

        /// Whether a dialogue is kept.
        #[must_use]
        pub fn has_dialogue(&self) -> bool {
            self.desk.is_open()
        }

        /// What is refused is in the metrics; the operation itself cannot fail.
        pub(crate) fn say(&mut self, now: Instant, say: Say<'_>)
        where
            P: Clone + for<'a> From<&'a [u8]>,
        {
            let _is_said = match say {
                Say::Open => {
                    self.open_dialogue();
                    true
                }
                Say::Request(ask) => self.request(now, &ask, |_, _| ()).is_ok(),
                Say::Cancel(id) => self.cancel_request(now, id),
                Say::Event { name, content } => self.event(now, name, content, |_, _| ()).is_ok(),
                Say::Respond { request, content } => self.respond(now, request, content, |_, _| ()).is_ok(),
                Say::Reject { request, code, reason } => {
                    self.reject(now, request, code, reason, |_, _| ()).is_ok()
                }
                Say::Subscribe(name) => self.subscribe(now, name).is_ok(),
                Say::Unsubscribe(id) => self.unsubscribe(now, id),
                Say::Publish { channel, content, confirmed: true } => {
                    self.publish(now, channel, content, |_, _| ()).is_ok()
                }
                Say::Publish { channel, content, confirmed: false } => {
                    self.publish_unconfirmed(now, channel, content, |_, _| ()).is_ok()
                }
            };
        }

        /// The application says something.
        fn converse<T>(
            &mut self,
            now: Instant,
            mut displaced: impl FnMut(Settlement, P),
            say: impl FnOnce(
                &mut Dialogue<P>,
                &mut Post<'_, P, S>,
                Numbers<'_>,
                &mut dyn FnMut(Settlement, P),
            ) -> Result<T, Refused>,
        ) -> Result<T, Refused> {
            let core = &mut self.core;
            core.rest = Rest::Unknown;
            core.now = core.now.max(now);
            if !self.config.wire.has_dialogue() {
                return Err(Refused::NoDialogue);
            }
            let Some(dialogue) = self.desk.get_mut() else { return Err(Refused::NoDialogue) };
            let speech = speech(&self.config, core);
            let mut gone = |outcome| outputs::count(&mut core.metrics, outcome);
            let mut tell = |settlement: Settlement, payload| {
                gone(settlement.outcome);
                if !settlement.id.is_own() {
                    displaced(settlement, payload);
                }
            };
            let outbox = &mut core.session.outbox;
            let names = names(&self.config);
            let (now, arena, config) = (core.now, &mut self.arena, &self.config.outbox);
            let mut post = Post { now, outbox, arena, config, names, speech };
            let said = say(dialogue, &mut post, numbers(&self.config), &mut tell);
            match said {
                Ok(said) => {
                    core.unstored = true;
                    core.number_ahead(&self.config, &mut self.arena);
                    Ok(said)
                }
                Err(refused) => {
                    core.metrics.counts.refused_sends += 1;
                    Err(refused)
                }
            }
        }
    }
}
