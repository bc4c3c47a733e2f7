//! What comes in: one pass over a frame for what it does to the session. What it has for the application is read a second
//! time, when it is asked for.

use core::time::Duration;

use super::{Attachment, Context, Deliveries, Mark, Marks, Session};
use crate::delivery::Arrival;
use crate::outbox::{Arena, Slots};
use crate::wire::native::{Envelope, Item, Limits, Reader, code};

/// Which end reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The one that says hello.
    Client,
    /// The one that says welcome.
    Server,
}

/// What in a frame is for the machine.
#[derive(Debug)]
pub(crate) enum Step<'f> {
    /// An envelope that does not count and is no ack.
    Control(Envelope<'f>),
    /// To an end that keeps a dialogue: an envelope of it, which has not come before.
    Spoken(Envelope<'f>),
    /// The frame cannot be read any further: close with this code. What came before stands.
    Refused(u16),
}

/// A frame that is being read.
pub(crate) struct Reading<'f, 'l> {
    reader: Reader<'f, 'l>,
    frame: &'f [u8],
    role: Role,
    /// What was read and stands.
    good: usize,
    /// What was read before the last step.
    before: usize,
    news: News,
    /// How many that count have come in the session.
    received: u64,
    /// Where a dialogue is kept, what it says of its envelopes.
    marks: Option<Marks>,
}

/// What a frame has brought.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct News {
    /// Envelopes for the application that count.
    pub(crate) messages: u64,
    /// Bytes of their payloads.
    pub(crate) bytes: u64,
    /// Envelopes, in front of these, that the application has already.
    pub(crate) repeats: u32,
    /// Own messages were acknowledged.
    pub(crate) acknowledged: bool,
    /// How long a message took to be acknowledged.
    pub(crate) round_trip: Option<Duration>,
}

impl<'f, 'l> Reading<'f, 'l> {
    pub(crate) fn new(frame: &'f [u8], limits: &'l Limits, role: Role, dialogue: bool) -> Reading<'f, 'l> {
        Reading {
            reader: Reader::new(frame, limits),
            frame,
            role,
            good: 0,
            before: 0,
            news: News::default(),
            received: 0,
            marks: dialogue.then_some(Marks::NONE),
        }
    }

    /// What becomes of the envelope that was [spoken](Step::Spoken) last.
    pub(crate) fn mark(&mut self, mark: Mark) {
        if let Some(marks) = &mut self.marks {
            marks.last(mark);
        }
    }

    /// Reads on to what is for the machine, or to the end. `attachment` is `None` until the session is on this socket: then
    /// nothing may come that counts.
    #[inline]
    pub(crate) fn next<P, S: Slots<P>>(
        &mut self,
        cx: &Context<'_>,
        session: &mut Session,
        attachment: Option<&mut Attachment>,
        arena: &mut Arena<P, S>,
    ) -> Option<Step<'f>> {
        let step = self.advance(cx, session, attachment, arena);
        if matches!(step, Some(Step::Refused(_))) {
            self.reader = Reader::new(&[], self.reader.limits());
        }
        step
    }

    fn advance<P, S: Slots<P>>(
        &mut self,
        cx: &Context<'_>,
        session: &mut Session,
        mut attachment: Option<&mut Attachment>,
        arena: &mut Arena<P, S>,
    ) -> Option<Step<'f>> {
        while let Some(item) = self.reader.next() {
            let item = match item {
                Ok(item) => item,
                Err(error) => return Some(Step::Refused(error.problem.code())),
            };
            let counted = match item {
                Item::Envelope(envelope) if !self.role.may_hear(&envelope) => {
                    return Some(Step::Refused(code::PROTOCOL));
                }
                Item::Envelope(Envelope::Ack { received }) => {
                    let Some(attachment) = attachment.as_deref_mut() else {
                        return Some(Step::Refused(code::PROTOCOL));
                    };
                    session.counts.heard();
                    let Ok(arrived) = session.counts.acknowledged(received) else {
                        return Some(Step::Refused(code::IMPOSSIBLE_COUNT));
                    };
                    if arrived > 0 {
                        self.news.acknowledged = true;
                        session.outbox.acknowledge(arena, arrived);
                        attachment.answered(cx.now, session.counts.unanswered() > 0);
                        self.news.round_trip = attachment.arrived(cx.now, received);
                    }
                    None
                }
                Item::Envelope(envelope) if envelope.counts() => Some(envelope.payload().len()),
                Item::Envelope(envelope) => {
                    self.before = self.good;
                    self.good = self.reader.byte();
                    return Some(Step::Control(envelope));
                }
                Item::Skipped { .. } => item.counts().then_some(0),
            };
            let spoken = match (&mut self.marks, item) {
                (Some(marks), Item::Envelope(envelope))
                    if counted.is_some()
                        && !matches!(envelope, Envelope::Message { .. })
                        && !session.counts.expects_repeat() =>
                {
                    if !marks.begin() {
                        return Some(Step::Refused(code::TOO_MANY));
                    }
                    Some(envelope)
                }
                _ => None,
            };
            if let Some(len) = counted {
                let Some(attachment) = attachment.as_deref_mut() else {
                    return Some(Step::Refused(code::PROTOCOL));
                };
                match session.counts.receive(u32::try_from(len).unwrap_or(u32::MAX)) {
                    Arrival::New => {
                        self.news.messages = self.news.messages.saturating_add(1);
                        self.news.bytes = self.news.bytes.saturating_add(len as u64);
                        self.received = session.counts.received();
                    }
                    Arrival::Repeat => self.news.repeats = self.news.repeats.saturating_add(1),
                    Arrival::Stray => return Some(Step::Refused(code::PROTOCOL)),
                }
                attachment.owes(cx.config, cx.now);
            }
            self.good = self.reader.byte();
            if let Some(envelope) = spoken {
                return Some(Step::Spoken(envelope));
            }
        }
        None
    }

    /// The last step was not what the machine may take: it is not for the application either.
    pub(crate) const fn reject(&mut self) {
        self.good = self.before;
    }

    /// What was read so far has brought this.
    pub(crate) const fn news(&self) -> News {
        self.news
    }

    /// What was read so far, for the application.
    pub(crate) fn deliveries(&self) -> Deliveries<'f> {
        Deliveries::envelopes(
            self.frame.get(..self.good).unwrap_or_default(),
            self.news.repeats,
            self.received.saturating_sub(self.news.messages),
            self.marks,
        )
    }
}

impl Role {
    /// The column "from" of the table of envelopes in `docs/protocol.md`.
    const fn may_hear(self, envelope: &Envelope<'_>) -> bool {
        match envelope {
            Envelope::Hello(_)
            | Envelope::Publish { .. }
            | Envelope::Subscribe { .. }
            | Envelope::Unsubscribe { .. } => matches!(self, Role::Server),
            Envelope::Welcome(_) | Envelope::Broadcast { .. } | Envelope::Confirmation { .. } => {
                matches!(self, Role::Client)
            }
            Envelope::Ping { .. }
            | Envelope::Pong { .. }
            | Envelope::Ack { .. }
            | Envelope::Goodbye(_)
            | Envelope::Health(_)
            | Envelope::Renewal { .. }
            | Envelope::Message { .. }
            | Envelope::Request(_)
            | Envelope::Response { .. }
            | Envelope::Error { .. } => true,
        }
    }
}
