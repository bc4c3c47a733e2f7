//! The loop that drives a link, and the I/O that it asks for. It decides nothing.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use everlink::link::{self, Delivery, Epoch, Input};
use everlink::stream::{Action, Next, Stream};
use everlink::time::Instant;
use tokio::time::Sleep;

use crate::client::{Inner, Shared};
use crate::clock::{Clock, SleepWatch, wall_clock};
use crate::open::{OpenError, Opener, Opening};
use crate::options::Notice;
use crate::parcel::Unread;
use crate::pipe::{Moved, Pipe};
use crate::secret;
use crate::state::StateFile;
use crate::target::Target;
use crate::watched::Watched;

/// Something that happened.
enum Happened {
    Connected(Epoch, Target),
    Failed(Epoch, OpenError),
    Moved(Epoch, Moved),
    Link(Input<'static>),
    /// The application did something: to the link, or by taking what came.
    Stirred,
    /// The deadline came.
    Tick,
}

/// A way for bytes, or what is to become one.
enum Carrier {
    Opening(Opening),
    Open(Pipe),
}

/// Everything outside the link.
pub(crate) struct Io {
    opener: Opener,
    stream: Stream,
    /// Parts of a dialogue for which there was no room, on their way to the application.
    unread: Unread,
    /// Nothing is read until the application has room for what came.
    paused: bool,
    carriers: Vec<(Epoch, Carrier)>,
    /// In durable mode.
    state: Option<StateFile>,
    happened: VecDeque<Happened>,
    /// When the link wants to be ticked, if ever.
    deadline: Option<Instant>,
    /// What the observer is still to be told.
    notices: Vec<Notice>,
    watched: Watched,
    clock: Clock,
    slept: SleepWatch,
    sleep: Pin<Box<Sleep>>,
}

impl Io {
    pub(crate) fn new(
        opener: Opener,
        stream: Stream,
        state: Option<StateFile>,
        watched: Watched,
        clock: Clock,
    ) -> Io {
        let sleep = Box::pin(tokio::time::sleep(Duration::ZERO));
        Io {
            opener,
            stream,
            unread: Unread::default(),
            paused: false,
            carriers: Vec::new(),
            state,
            happened: VecDeque::new(),
            deadline: None,
            notices: Vec::new(),
            watched,
            clock,
            slept: SleepWatch::new(),
            sleep,
        }
    }

    /// Ends when the connection was closed by its owner and its sockets are gone.
    pub(crate) async fn run(mut self, shared: Arc<Shared>) {
        poll_fn(|cx| self.poll(cx, &shared)).await;
    }

    /// Goes on until nothing more happens for now.
    fn poll(&mut self, cx: &mut Context<'_>, shared: &Arc<Shared>) -> Poll<()> {
        shared.driver.register(cx.waker());
        // Once: who stirs after this wakes the task again, and sockets have their turn between.
        if shared.take_stir() {
            self.turn(Happened::Stirred, shared);
        }
        loop {
            let Some(happened) = ready!(self.poll_next(cx, shared)) else { return Poll::Ready(()) };
            if self.turn(happened, shared) {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }

    /// Takes what happened, and does what is wanted then. Whether the application should have its turn.
    fn turn(&mut self, happened: Happened, shared: &Arc<Shared>) -> bool {
        if let Happened::Failed(epoch, (failure, detail)) = &happened {
            let (epoch, failure, detail) = (*epoch, *failure, detail.clone());
            self.watched.tell(&Notice::Failed { epoch, failure, detail });
        }
        let (mut happened, mut much) = (Some(happened), false);
        loop {
            let mut inner = shared.lock();
            if let Some(happened) = happened.take() {
                self.take(happened, shared, &mut inner);
                much = inner.inbox.is_much();
            }
            let (next, settled) = self.wanted(&mut inner);
            let sight = self.watched.look(&mut inner);
            let reader = inner.inbox.reader();
            drop(inner);
            reader.into_iter().for_each(Waker::wake);
            if settled {
                shared.room.notify_waiters();
            }
            self.watched.show(sight);
            for notice in self.notices.drain(..) {
                self.watched.tell(&notice);
            }
            self.deadline = match next {
                Next::Do(action) => {
                    self.perform(action, shared);
                    continue;
                }
                Next::Wait(instant) => Some(instant),
                Next::Idle => None,
            };
            return much;
        }
    }

    /// What is wanted next, and whether messages came to their end. That only concerns those who wait for them: it is done on the way.
    fn wanted(&mut self, inner: &mut Inner) -> (Next<link::Action>, bool) {
        let mut settled = false;
        let next = loop {
            match self.stream.poll(&mut inner.link) {
                Next::Do(Action::Tell(link::Action::Settled(first))) => {
                    settled = true;
                    let mut next = Some(first);
                    while let Some(settlement) = next {
                        inner.settle(settlement);
                        if self.watched.is_observed() {
                            self.notices.push(Notice::Action(link::Action::Settled(settlement)));
                        }
                        next = inner.link.settled();
                    }
                }
                // The stream has done it, and nobody looks.
                Next::Do(Action::Tell(link::Action::Flush { .. })) if !self.watched.is_observed() => {}
                next => break next,
            }
        };
        if let Next::Do(Action::Tell(link::Action::Store { version })) = next {
            self.store(&inner.link, version);
        }
        (next, settled)
    }

    /// Before anything else is done to the link.
    fn store(&mut self, link: &crate::client::TracedLink, version: u64) {
        let mut state = Vec::new();
        link.store(self.clock.now(), |part| state.extend_from_slice(part));
        if let Some(file) = &mut self.state {
            file.store(version, state);
        }
    }

    fn perform(&mut self, action: Action<link::Action>, shared: &Shared) {
        match action {
            Action::Connect { epoch, attempt } => {
                self.carriers.push((epoch, Carrier::Opening(self.opener.open(attempt))));
            }
            Action::Shutdown { epoch } => {
                let mut open = self.carriers.iter_mut().filter(|(other, _)| *other == epoch);
                if let Some((_, Carrier::Open(pipe))) = open.next() {
                    pipe.shutdown();
                }
            }
            Action::Disconnect { epoch } => self.carriers.retain(|(other, _)| *other != epoch),
            Action::Tell(action) => {
                if let link::Action::Ended(ended) = action {
                    shared.lock().dialogue.ended(ended);
                }
                self.watched.tell(&Notice::Action(action));
            }
            told => {
                if let Some(notice) = Notice::of(told, &self.stream) {
                    self.watched.tell(&notice);
                }
            }
        }
    }

    fn take(&mut self, happened: Happened, shared: &Arc<Shared>, inner: &mut Inner) {
        if matches!(happened, Happened::Stirred) && !self.paused {
            return;
        }
        let now = self.clock.now();
        if let Some(slept) = self.slept.check(now) {
            for input in [Input::Suspended(slept), wall_clock()] {
                inner.link.handle(now, input).for_each(drop);
            }
        }
        let link = &mut inner.link;
        match happened {
            Happened::Connected(epoch, target) => match secret() {
                Some(secret) => {
                    // It may have been set since.
                    link.handle(now, wall_clock()).for_each(drop);
                    link.set_credentials(target.hello());
                    let protocol = link.config().wire.subprotocol();
                    target.request(protocol, |request| {
                        self.stream.connected(link, now, epoch, request, secret)
                    });
                }
                None => self.stream.failed(link, now, epoch, link::Failure::Credentials),
            },
            Happened::Failed(epoch, (failure, _)) => self.stream.failed(link, now, epoch, failure),
            Happened::Moved(epoch, Moved::Sent(count)) => self.stream.sent(link, now, epoch, count),
            Happened::Moved(epoch, Moved::Received(count)) => {
                self.stream.received(link, now, epoch, count);
                self.deliver(shared, inner, now, epoch);
            }
            Happened::Moved(epoch, Moved::Lost) => self.stream.lost(link, now, epoch),
            Happened::Link(input) => link.handle(now, input).for_each(drop),
            Happened::Tick => self.stream.tick(link, now),
            Happened::Stirred => {
                if self.paused && self.unread.is_empty() && !inner.inbox.is_full() {
                    self.paused = false;
                    self.stream.resume(link, now);
                    let epochs: Vec<Epoch> = self.stream.epochs().collect();
                    epochs.into_iter().for_each(|epoch| self.deliver(shared, inner, now, epoch));
                }
            }
        }
    }

    /// Hands what came to the application, until there is nothing more or the application does not keep up.
    fn deliver(&mut self, shared: &Arc<Shared>, inner: &mut Inner, now: Instant, epoch: Epoch) {
        let Inner { link, inbox, dialogue, .. } = inner;
        loop {
            // By reference: what is moved right after it was made keeps the processor waiting.
            let read = &mut self.stream.read(link, now, epoch);
            // In it another session may have begun.
            if self.unread.is_empty() {
                dialogue.gap(link).into_iter().for_each(|gap| self.unread.push(gap));
            }
            let Some(deliveries) = read else { break };
            while let Some(delivery) = deliveries.next() {
                if let Delivery::Message { kind, data } = delivery {
                    inbox.push(kind, data, deliveries.number());
                } else if let Some(parcel) = dialogue.heard(shared, link, now, &delivery) {
                    self.unread.push(parcel);
                } else {
                    if let Delivery::Session { resumed: false, .. } = &delivery {
                        inbox.restart();
                    }
                    self.notices.extend(Notice::of_delivery(epoch, &delivery));
                }
            }
            if let Some(first) = inbox.unread() {
                link.handle(now, Input::Unread(first)).for_each(drop);
            }
            self.paused = !self.unread.is_empty() || inbox.is_full();
            if self.paused {
                self.stream.pause(link, now);
            }
        }
    }

    /// The next thing that happens; what sockets have to say comes before the passing of time. `None` when nothing can ever happen
    /// again.
    fn poll_next(&mut self, cx: &mut Context<'_>, shared: &Shared) -> Poll<Option<Happened>> {
        if let Poll::Ready(happened) = self.poll_carriers(cx) {
            return Poll::Ready(Some(happened));
        }
        let Some(deadline) = self.deadline else {
            let idle = self.stream.is_empty() && self.state.as_ref().is_none_or(StateFile::is_idle);
            return if idle && shared.lock().closed { Poll::Ready(None) } else { Poll::Pending };
        };
        let deadline = self.clock.at(deadline);
        // Mostly it comes later than it was: then an early tick, once in a while, costs less than to be exact.
        if deadline < self.sleep.deadline() || self.sleep.is_elapsed() {
            self.sleep.as_mut().reset(deadline);
        }
        self.sleep.as_mut().poll(cx).map(|()| Some(Happened::Tick))
    }

    fn poll_carriers(&mut self, cx: &mut Context<'_>) -> Poll<Happened> {
        if !self.unread.is_empty() && self.unread.poll(cx).is_ready() {
            self.happened.push_back(Happened::Stirred);
        }
        if let Some(Poll::Ready(input)) = self.state.as_mut().map(|state| state.poll(cx)) {
            self.happened.push_back(Happened::Link(input));
        }
        if let Some(happened) = self.happened.pop_front() {
            return Poll::Ready(happened);
        }
        for (epoch, carrier) in &mut self.carriers {
            let epoch = *epoch;
            let happened = match carrier {
                Carrier::Open(pipe) => {
                    pipe.poll(cx, &mut self.stream, epoch).map(|moved| Happened::Moved(epoch, moved))
                }
                Carrier::Opening(opening) => opening.poll(cx).map(|opened| match opened {
                    Ok((bytes, target)) => {
                        *carrier = Carrier::Open(Pipe::new(bytes));
                        Happened::Connected(epoch, target)
                    }
                    Err(error) => Happened::Failed(epoch, error),
                }),
            };
            if happened.is_ready() {
                // The other one has its turn next.
                self.carriers.rotate_left(1);
                return happened;
            }
        }
        Poll::Pending
    }
}
