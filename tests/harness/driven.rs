//! What random operations are done to.

use core::time::Duration;

use everlink::dialogue::{Ask, Content};
use everlink::link::{Deliveries, Epoch, Input, Link, Next};
use everlink::metrics::Report;
use everlink::outbox::{Message, MessageId, Refused, Settlement};
use everlink::requests::RequestId;
use everlink::time::Instant;
use everlink::wire::native::Channel;

use super::steps::{Saying, channel};

/// What came of a saying.
pub enum Said {
    /// Nothing that needs a book.
    Nothing,
    /// There is a dialogue.
    Opened,
    /// This is to end once.
    Begun(RequestId),
    /// The request of this number has its answer.
    Answered(u32),
}

/// What random operations are done to: a link, recorded or not.
pub trait Driven {
    fn handle<'f>(&mut self, now: Instant, input: Input<'f>) -> Deliveries<'f>;
    fn poll(&mut self) -> Next;
    fn send(
        &mut self,
        now: Instant,
        message: Message<Vec<u8>>,
        displaced: &mut dyn FnMut(Settlement),
    ) -> Result<MessageId, Refused<Vec<u8>>>;
    fn cancel(&mut self, id: MessageId) -> bool;
    /// The payload of the frame.
    fn pull(&mut self, epoch: Epoch) -> Option<Vec<u8>>;
    /// Says something in a dialogue.
    fn say(&mut self, _now: Instant, _say: &Saying, _displaced: &mut dyn FnMut(Settlement)) -> Said {
        Said::Nothing
    }
    /// Whether it was not over.
    fn cancel_request(&mut self, _now: Instant, _id: RequestId) -> bool {
        false
    }
    fn deadline(&self) -> Option<Instant>;
    fn report(&self, now: Instant) -> Report;
    /// Tells what it authenticates with; false if it cannot be told.
    fn set_credentials(&mut self, _: Option<Vec<u8>>) -> bool {
        false
    }
    /// Stores its state, and goes on as what is restored from it; false if it cannot.
    fn restart(&mut self, _now: Instant) -> bool {
        false
    }
}

impl Driven for Link<Vec<u8>> {
    fn handle<'f>(&mut self, now: Instant, input: Input<'f>) -> Deliveries<'f> {
        Link::handle(self, now, input)
    }

    fn poll(&mut self) -> Next {
        Link::poll(self)
    }

    fn send(
        &mut self,
        now: Instant,
        message: Message<Vec<u8>>,
        displaced: &mut dyn FnMut(Settlement),
    ) -> Result<MessageId, Refused<Vec<u8>>> {
        Link::send(self, now, message, |gone, _| displaced(gone))
    }

    fn cancel(&mut self, id: MessageId) -> bool {
        Link::cancel(self, id).is_some()
    }

    fn pull(&mut self, epoch: Epoch) -> Option<Vec<u8>> {
        Link::pull(self, epoch).map(|frame| frame.payload().to_vec())
    }

    fn say(&mut self, now: Instant, say: &Saying, displaced: &mut dyn FnMut(Settlement)) -> Said {
        let content = Content::Text("x");
        let told = |gone, _| displaced(gone);
        match *say {
            Saying::Open => {
                self.open_dialogue();
                return Said::Opened;
            }
            Saying::Ask { len, timeout, again } => {
                let words = "x".repeat(len);
                let ask = Ask { again, ..Ask::command("do", &*words).within(timeout) };
                return self.request(now, &ask, told).map_or(Said::Nothing, Said::Begun);
            }
            // The books know its id.
            Saying::Cancel(_) => {}
            Saying::Respond(request) => {
                let answered = self.respond(now, request, content, told);
                return answered.map_or(Said::Nothing, |()| Said::Answered(request));
            }
            Saying::Reject(request) => {
                let answered = self.reject(now, request, 7, "no", told);
                return answered.map_or(Said::Nothing, |()| Said::Answered(request));
            }
            Saying::Subscribe(which) => drop(self.subscribe(now, channel(which)).is_ok()),
            Saying::Unsubscribe(which) => {
                if let Some(id) = self.subscription_to(Channel::Name(channel(which))) {
                    self.unsubscribe(now, id);
                }
            }
            Saying::Publish(which) => {
                return self.publish(now, channel(which), content, told).map_or(Said::Nothing, Said::Begun);
            }
        }
        Said::Nothing
    }

    fn cancel_request(&mut self, now: Instant, id: RequestId) -> bool {
        Link::cancel_request(self, now, id)
    }

    fn deadline(&self) -> Option<Instant> {
        Link::deadline(self)
    }

    fn report(&self, now: Instant) -> Report {
        Link::report(self, now)
    }

    fn set_credentials(&mut self, credentials: Option<Vec<u8>>) -> bool {
        Link::set_credentials(self, credentials);
        true
    }

    fn restart(&mut self, now: Instant) -> bool {
        let mut state = Vec::new();
        self.store(now, |part| state.extend_from_slice(part));
        let restored = Link::restore(self.config().clone(), 7, &state, now, Duration::ZERO);
        *self = restored.expect("what a link stores can be restored");
        true
    }
}
