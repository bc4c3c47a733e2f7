//! The server's side of dialogues: what the application asks, answers, confirms and publishes; and when the tables are told what
//! became of a session.

use super::machine::Machine;
use super::{Config, Sessions, Told};
use crate::acceptor::Seats;
use crate::dialogue::{Dialogue, Numbers, Post, Speech};
use crate::outbox::{Arena, Outbox, Settlement, Slots};
use crate::requests::Ended;
use crate::time::Instant;

pub(super) const fn numbers(config: &Config) -> Numbers<'_> {
    Numbers { requests: &config.requests, channels: &config.channels }
}

pub(super) const fn post<'a, P, S>(
    now: Instant,
    config: &'a Config,
    outbox: &'a mut Outbox,
    arena: &'a mut Arena<P, S>,
) -> Post<'a, P, S> {
    Post {
        now,
        outbox,
        arena,
        config: &config.outbox,
        names: config.acceptor.limits.name,
        speech: Speech::Native,
    }
}

impl<P, S: Slots<P>> Machine<'_, P, S> {
    /// Does something to the dialogue, if there is one.
    fn with_dialogue<T>(
        &mut self,
        act: impl FnOnce(&mut Dialogue<P>, &mut Post<'_, P, S>) -> T,
    ) -> Option<T> {
        let dialogue = self.rooms.get_mut(self.seat)?;
        let outbox = &mut self.core.session.outbox;
        Some(act(dialogue, &mut post(self.now, self.config, outbox, self.arena)))
    }

    pub(super) fn fire_dialogue(&mut self) {
        let numbers = numbers(self.config);
        self.with_dialogue(|dialogue, post| dialogue.expire(post, numbers));
    }

    /// What the tables want to be said is posted. Whether anything was.
    pub(super) fn tell(&mut self) -> bool {
        let numbers = numbers(self.config);
        self.with_dialogue(|dialogue, post| dialogue.tell(post, numbers)).unwrap_or(false)
    }

    /// A message has ended. Whether the application is to be told.
    pub(super) fn is_foreign(&mut self, settlement: Settlement) -> bool {
        if settlement.id.is_own() {
            self.with_dialogue(|dialogue, _| dialogue.settled(settlement));
        }
        !settlement.id.is_own()
    }

    pub(super) fn next_ended(&mut self) -> Option<Ended> {
        self.rooms.get_mut(self.seat)?.next_ended()
    }
}

impl<P, S: Slots<P>, T: Seats<super::Core>> Sessions<P, S, T> {
    /// Ends what is due in the dialogues of those that are away: nobody polls them.
    pub(super) fn sweep_dialogues(&mut self, told: &mut impl FnMut(Told)) {
        let Sessions { now, config, table, arena, rooms, .. } = self;
        for seat in rooms.due(*now) {
            let Some(id) = table.next_from(seat).filter(|id| id.seat() == seat) else { continue };
            let Some(core) = table.get_mut(id).filter(|core| !core.is_there()) else { continue };
            let Some(dialogue) = rooms.get_mut(seat) else { continue };
            dialogue.expire(&mut post(*now, config, &mut core.session.outbox, arena), numbers(config));
            while let Some(ended) = dialogue.next_ended() {
                told(Told::Request(id, ended));
            }
            rooms.watch(seat);
        }
    }
}

#[cfg(feature = "alloc")]
mod said {
    use super::{numbers, post};
    use crate::acceptor::{Seats, SessionId};
    use crate::channels::{RefusedReason, SYSTEM};
    use crate::dialogue::asking::{event, response};
    use crate::dialogue::{Ask, Content, Dialogue, Post, Refused};
    use crate::outbox::{Message, MessageId, Settlement, Slots};
    use crate::peer::config::{Config, Slow};
    use crate::peer::core::{Core, Parted};
    use crate::peer::machine::Fate;
    use crate::peer::{Peer, Sessions};
    use crate::requests::{RequestId, code};
    use crate::time::Instant;
    use crate::wire::native::{self, Channel, Envelope, tag};

    /// Dialogues with clients: requests and answers, channels.
    impl<P: AsRef<[u8]>, S: Slots<P>, T: Seats<Core>> Sessions<P, S, T> {
        /// From now on dialogues are kept: one for each client that begins it, and for each that one is begun with. Their tables
        /// are on the heap, each made when it is first needed.
        ///
        /// Without it, envelopes of a dialogue come as they are, and those that the application encodes itself may be sent.
        pub fn open_dialogues(&mut self)
        where
            P: Clone + for<'a> From<&'a [u8]>,
        {
            self.rooms.make = Some(Dialogue::new);
        }

        /// Publishes something: everybody gets it who has subscribed to the channel, or, on the channel
        /// [`SYSTEM`], every client. It is encoded once. `reached` is told whom to wake.
        ///
        /// Somebody whose outbox is full may lose older messages for it, which is told to `displaced`, or this one; what
        /// becomes of those who do not keep up is [configured](super::super::Config::slow). What was published to a client is
        /// not reported; that something may be missing is told when a session is lost.
        ///
        /// # Errors
        /// If nobody can get it: says why.
        pub fn broadcast(
            &mut self,
            now: Instant,
            channel: &str,
            content: Content<'_>,
            mut displaced: impl FnMut(SessionId, Settlement, P),
            mut reached: impl FnMut(SessionId),
        ) -> Result<(), Refused>
        where
            P: Clone + for<'a> From<&'a [u8]>,
        {
            self.pass(now);
            if !self.rooms.is_open() {
                return Err(Refused::NoDialogue);
            }
            let limit = self.config.acceptor.limits.name;
            if channel.len() > limit.into() {
                return Err(Refused::NameTooLong { limit });
            }
            let (kind, data) = (content.kind(), content.bytes());
            let envelope = Envelope::Broadcast { channel: Channel::Name(channel), kind, data };
            let body = envelope.body().map_err(|_| Refused::TooLarge)?;
            let len = u32::try_from(body.len()).map_err(|_| Refused::TooLarge)?;
            if len > self.config.outbox.message_bytes {
                return Err(Refused::TooLarge);
            }
            let body = P::from(&body);
            let receivers: alloc::vec::Vec<SessionId> = if channel == SYSTEM {
                self.ids().collect()
            } else {
                let seats = self.rooms.members(channel).into_iter().flatten();
                let id = |seat: &u32| self.table.next_from(*seat).filter(|id| id.seat() == *seat);
                seats.filter_map(id).collect()
            };
            for id in receivers {
                let message = Message::binary(body.clone()).with_tag(tag::own(tag::BROADCAST));
                let Some(mut machine) = self.machine(id) else { continue };
                let (_, fate) = machine.post(len, message, |gone, payload| displaced(id, gone, payload));
                self.changed(id);
                self.note(id, fate);
                reached(id);
            }
            Ok(())
        }

        /// How many clients have subscribed to a channel.
        #[must_use]
        pub fn subscribers(&self, channel: &str) -> usize {
            self.rooms.members(channel).map_or(0, alloc::collections::BTreeSet::len)
        }
    }

    /// A dialogue with this client. What the client says comes as [`Delivery`](crate::peer::Delivery); what ended without an
    /// answer, as [`Action::Ended`](crate::peer::Action::Ended), or [`Told::Request`](crate::peer::Told::Request) while it is away.
    ///
    /// `displaced` is as in [`send`](Peer::send).
    impl<P: AsRef<[u8]>, S: Slots<P>, T: Seats<Core>> Peer<'_, P, S, T> {
        /// Asks something: as [`Link::request`](crate::link::Link::request).
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
                dialogue.ask(post, numbers(config), ask, displaced)
            })
        }

        /// Nobody waits for the answer any more. False if it has ended already.
        pub fn cancel_request(&mut self, now: Instant, id: RequestId) -> bool {
            let cancelled =
                self.converse(now, |_, _| (), |dialogue, post, _, _| Ok(dialogue.cancel(post, id)));
            cancelled.unwrap_or(false)
        }

        /// Lets the client know something; there is no answer.
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

        /// The good answer to a request of the client.
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

        /// The bad answer to a request of the client: with a code of the application's (below 4000 or from 5000 on) or of
        /// [`requests::code`](crate::requests::code), and a reason for people.
        ///
        /// # Errors
        /// As for [`respond`](Peer::respond).
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

        /// The client gets what is published on a channel, as it has [asked](crate::peer::Delivery::Subscribe): from now on, and it is
        /// told so. If it has subscribed to as many as it may, it is told that instead.
        ///
        /// # Errors
        /// If it is not told: says why. Then it has not subscribed.
        pub fn accept(
            &mut self,
            now: Instant,
            id: u32,
            channel: &str,
            displaced: impl FnMut(Settlement, P),
        ) -> Result<(), Refused> {
            self.sessions.pass(now);
            let seat = self.session.seat();
            let Sessions { config, rooms, .. } = &mut *self.sessions;
            match rooms.join(&config.channels, seat, channel) {
                Ok(is_new) => {
                    let told = self.confirm(now, id, displaced);
                    if is_new && told.is_err() {
                        self.sessions.rooms.leave(seat, channel);
                    }
                    told
                }
                Err(reason) => {
                    let words = alloc::format!("{reason}");
                    let words = words.get(..words.len().min(native::Limit::REASON)).unwrap_or_default();
                    let code = match reason {
                        RefusedReason::TooMany { .. } => code::TOO_MANY,
                        RefusedReason::NameTooLong { .. } => code::NAME_TOO_LONG,
                        RefusedReason::NameEmpty | RefusedReason::System | RefusedReason::Twice(_) => {
                            code::UNHANDLED
                        }
                    };
                    self.refuse(now, id, code, words, displaced)
                }
            }
        }

        /// The client gets no more of it, as it has [asked](crate::peer::Delivery::Unsubscribe), and is told so.
        ///
        /// # Errors
        /// If it is not told: says why. It gets no more of it all the same.
        pub fn leave(
            &mut self,
            now: Instant,
            id: u32,
            channel: &str,
            displaced: impl FnMut(Settlement, P),
        ) -> Result<(), Refused> {
            self.sessions.rooms.leave(self.session.seat(), channel);
            self.confirm(now, id, displaced)
        }

        /// What the client has [published](crate::peer::Delivery::Publish) is published. Nothing is said if it did not ask.
        ///
        /// # Errors
        /// If it is not told: says why.
        pub fn confirm(
            &mut self,
            now: Instant,
            id: u32,
            displaced: impl FnMut(Settlement, P),
        ) -> Result<(), Refused> {
            self.told(now, Envelope::Confirmation { id, code: 0, number: 0, reason: "" }, displaced)
        }

        /// What the client wants, to publish or to subscribe, is not to be; with a code as in [`reject`](Peer::reject), and a reason
        /// for people.
        ///
        /// # Errors
        /// If it is not told: says why.
        pub fn refuse(
            &mut self,
            now: Instant,
            id: u32,
            code: u32,
            reason: &str,
            displaced: impl FnMut(Settlement, P),
        ) -> Result<(), Refused> {
            let code = if code == 0 { native::code::INTERNAL.into() } else { code };
            self.told(now, Envelope::Confirmation { id, code, number: 0, reason }, displaced)
        }

        fn told(
            &mut self,
            now: Instant,
            confirmation: Envelope<'_>,
            displaced: impl FnMut(Settlement, P),
        ) -> Result<(), Refused> {
            if matches!(confirmation, Envelope::Confirmation { id: 0, .. }) {
                return Ok(());
            }
            self.converse(now, displaced, |dialogue, post, _, displaced| {
                dialogue.confirm(post, &confirmation, displaced)
            })
        }

        /// How much came that nobody waited for.
        #[must_use]
        pub fn strays(&self) -> u64 {
            self.sessions.rooms.get(self.session.seat()).map_or(0, Dialogue::strays)
        }

        /// The application says something.
        fn converse<R>(
            &mut self,
            now: Instant,
            mut displaced: impl FnMut(Settlement, P),
            say: impl FnOnce(
                &mut Dialogue<P>,
                &mut Post<'_, P, S>,
                &Config,
                &mut dyn FnMut(Settlement, P),
            ) -> Result<R, Refused>,
        ) -> Result<R, Refused> {
            self.sessions.pass(now);
            let seat = self.session.seat();
            let Sessions { now, config, table, arena, rooms, .. } = &mut *self.sessions;
            let Some(core) = table.get_mut(self.session) else { return Err(Refused::Full) };
            let Some(dialogue) = rooms.begin(seat) else { return Err(Refused::NoDialogue) };
            let mut foreign = |settlement: Settlement, payload| {
                if !settlement.id.is_own() {
                    displaced(settlement, payload);
                }
            };
            let mut post = post(*now, config, &mut core.session.outbox, arena);
            let said = say(dialogue, &mut post, config, &mut foreign);
            if !core.is_there() {
                rooms.watch(seat);
            }
            self.sessions.changed(self.session);
            if matches!(said, Err(Refused::Full)) && self.sessions.config.slow == Slow::Close {
                self.sessions.counts.too_slow += 1;
                self.sessions.counts.ended += 1;
                if let Some(mut machine) = self.machine() {
                    machine.release(Parted::told(native::code::TOO_SLOW, core::time::Duration::ZERO));
                }
                self.sessions.note(self.session, Fate::Over);
            }
            said
        }
    }
}
