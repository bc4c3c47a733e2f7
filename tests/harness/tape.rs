//! A link that is recorded while a history happens to it.

use everlink::link::{Config, Deliveries, Epoch, Input, Link, Next};
use everlink::metrics::Report;
use everlink::outbox::{Message, MessageId, Refused, Settlement};
use everlink::time::Instant;
use everlink::trace::{Recorder, Traced};

use super::books::Books;
use super::driven::Driven;
use super::steps::Step;

type Sink<'a> = Box<dyn FnMut(&[u8]) + 'a>;
type Tape<'a> = Traced<Vec<u8>, everlink::outbox::Storage<Vec<u8>>, Sink<'a>>;

impl Driven for Tape<'_> {
    fn handle<'f>(&mut self, now: Instant, input: Input<'f>) -> Deliveries<'f> {
        Traced::handle(self, now, input)
    }

    fn poll(&mut self) -> Next {
        Traced::poll(self)
    }

    fn send(
        &mut self,
        now: Instant,
        message: Message<Vec<u8>>,
        displaced: &mut dyn FnMut(Settlement),
    ) -> Result<MessageId, Refused<Vec<u8>>> {
        Traced::send(self, now, message, |gone, _| displaced(gone))
    }

    fn cancel(&mut self, id: MessageId) -> bool {
        Traced::cancel(self, id).is_some()
    }

    fn pull(&mut self, epoch: Epoch) -> Option<Vec<u8>> {
        Traced::pull(self, epoch).map(|frame| frame.payload().to_vec())
    }

    fn deadline(&self) -> Option<Instant> {
        Link::deadline(self)
    }

    fn report(&self, now: Instant) -> Report {
        Link::report(self, now)
    }
}

/// The trace of a history, the time at its end, and what was counted.
pub fn record(config: &Config, seed: u64, history: &[Step]) -> (Vec<u8>, Instant, Report) {
    let mut bytes = Vec::new();
    let sink: Sink<'_> = Box::new(|part: &[u8]| bytes.extend_from_slice(part));
    let link = Link::new(config.clone(), seed).expect("it can work");
    let mut books = Books::new(Traced::new(link, Some(Recorder::new(config, seed, sink))));
    for step in history {
        books.apply(step);
    }
    books.wind_up();
    let (now, report) = (books.now, books.link.report(books.now));
    drop(books);
    (bytes, now, report)
}
