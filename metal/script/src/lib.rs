//! An hour in the life of a link, in virtual time: a [story] of what happens, and here a network and an adapter that play
//! it. It is the same hour on every machine; with the feature `trace` it leaves a trace by which machines are compared.
#![no_std]
#![forbid(unsafe_code)]

pub mod story;

use core::marker::PhantomData;
use core::time::Duration;

use everlink::link::{Action, Close, Config, Epoch, Event, Input, Link, Next};
use everlink::metrics::Counts;
use everlink::outbox::{MessageId, Slot};
use everlink::time::Instant;
#[cfg(feature = "trace")]
use everlink::trace::{Recorder, Traced};

use story::{Network, Step};

/// What the application sends: bytes that lie in flash.
pub type Payload = &'static [u8];

/// Where they wait.
pub type Slots<'s> = &'s mut [Slot<Payload>; story::MESSAGES];

/// Plays the hour on a link that keeps its messages in these slots, and says what it counted. With the feature `trace`,
/// `sink` is given the trace.
pub fn hour<F: FnMut(&[u8])>(slots: Slots<'_>, sink: F) -> Counts {
    let Some(mut player) = Player::new(story::config(), slots, sink) else { return Counts::default() };
    while player.now < story::END {
        match player.link.poll() {
            Next::Do(action) => player.perform(action),
            Next::Wait(_) | Next::Idle => player.next(),
        }
    }
    player.link.report(player.now).counts
}

struct Player<'s, F> {
    #[cfg(feature = "trace")]
    link: Traced<Payload, Slots<'s>, F>,
    #[cfg(not(feature = "trace"))]
    link: Link<Payload, Slots<'s>>,
    sink: PhantomData<F>,
    now: Instant,
    /// What is left of the story.
    steps: &'static [(Instant, Step)],
    network: Network,
    /// What the network will deliver.
    coming: [Option<Coming>; 8],
    /// The socket that was opened last.
    epoch: Option<Epoch>,
    /// Payload bytes pulled for it.
    pulled: u64,
    strokes: u64,
    last: Option<MessageId>,
}

/// An event on its way.
struct Coming {
    at: Instant,
    epoch: Epoch,
    event: Answer,
}

/// What is on its way: an event, or a pong, which holds the bytes that it will lend.
enum Answer {
    Event(Event<'static>),
    Pong([u8; 4]),
}

impl<'s, F: FnMut(&[u8])> Player<'s, F> {
    fn new(config: Config, slots: Slots<'s>, sink: F) -> Option<Self> {
        #[cfg(feature = "trace")]
        let recorder = Recorder::new(&config, story::SEED, sink);
        #[cfg(not(feature = "trace"))]
        drop(sink);
        let link = Link::with_slots(config, story::SEED, slots).ok()?;
        Some(Player {
            #[cfg(feature = "trace")]
            link: Traced::new(link, Some(recorder)),
            #[cfg(not(feature = "trace"))]
            link,
            sink: PhantomData,
            now: Instant::ORIGIN,
            steps: story::STEPS,
            network: Network::Answers { after: Duration::from_millis(40) },
            coming: [const { None }; 8],
            epoch: None,
            pulled: 0,
            strokes: 0,
            last: None,
        })
    }

    /// Whatever happens first: a step of the story, a stroke of the user, something from the network, or the deadline.
    fn next(&mut self) {
        let step = self.steps.first().map(|(at, _)| *at);
        let stroke = Instant::ORIGIN + story::STROKE.saturating_mul(1 + self.strokes as u32);
        let coming = self.coming.iter().flatten().map(|coming| coming.at).min();
        let first = [step, Some(stroke), coming, self.link.deadline()].into_iter().flatten().min();
        self.now = self.now.max(first.unwrap_or(story::END));
        if step.is_some_and(|at| at <= self.now) {
            if let Some(((_, step), rest)) = self.steps.split_first() {
                self.steps = rest;
                self.step(step);
            }
        } else if stroke <= self.now {
            self.last = self.link.send(self.now, story::stroke(self.strokes), |_, _| ()).ok();
            self.strokes += 1;
        } else if coming.is_some_and(|at| at <= self.now) {
            let due = |slot: &&mut Option<Coming>| slot.as_ref().map(|coming| coming.at) == coming;
            if let Some(coming) = self.coming.iter_mut().find(due).and_then(Option::take) {
                match coming.event {
                    Answer::Event(event) => self.tell(coming.epoch, event),
                    Answer::Pong(nonce) => self.tell(coming.epoch, Event::Pong(&nonce)),
                }
            }
        } else {
            self.link.handle(self.now, Input::Tick).for_each(drop);
        }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Input(input) => self.link.handle(self.now, input).for_each(drop),
            Step::Network(network) => self.network = network,
            Step::Socket(event) => {
                if let Some(epoch) = self.epoch {
                    self.tell(epoch, event);
                }
            }
            Step::Sleep(duration) => self.now = self.now + duration,
            Step::Cancel => drop(self.last.and_then(|id| self.link.cancel(id))),
        }
    }

    fn tell(&mut self, epoch: Epoch, event: Event<'_>) {
        if event == Event::Opened {
            self.epoch = Some(epoch);
            self.pulled = 0;
        }
        self.link.handle(self.now, Input::Socket(epoch, event)).for_each(drop);
    }

    /// What an adapter does.
    fn perform(&mut self, action: Action) {
        match action {
            Action::Open { epoch, .. } => match self.network {
                Network::Refuses { failure } => self.later(epoch, Answer::Event(Event::Failed(failure))),
                Network::Answers { .. } | Network::Full => self.later(epoch, Answer::Event(Event::Opened)),
                Network::Silent => {}
            },
            Action::Ping { epoch, nonce } => {
                let carried = self.link.ping_frame(nonce).head().try_into();
                if let (Ok(nonce), Network::Answers { .. } | Network::Full) = (carried, self.network) {
                    self.later(epoch, Answer::Pong(nonce));
                }
            }
            Action::Flush { epoch } => {
                // A full socket takes one frame, and a part of it at that.
                while let Some(frame) = self.link.pull(epoch) {
                    self.pulled += frame.len() as u64;
                    if matches!(self.network, Network::Full) {
                        return;
                    }
                }
                self.later(epoch, Answer::Event(Event::Written(self.pulled)));
            }
            Action::Close { epoch, code } => {
                let close = Close { code: Some(code), clean: true, ..Close::default() };
                self.later(epoch, Answer::Event(Event::Closed(close)));
            }
            Action::Abandon { epoch } => {
                for coming in &mut self.coming {
                    coming.take_if(|coming| coming.epoch == epoch);
                }
            }
            Action::Pong { .. }
            | Action::Status { .. }
            | Action::RetryScheduled { .. }
            | Action::Quality { .. }
            | Action::Store { .. }
            | Action::Settled(_)
            | Action::Ended(_) => {}
        }
    }

    fn later(&mut self, epoch: Epoch, event: Answer) {
        let after = match self.network {
            Network::Answers { after } => after,
            Network::Silent | Network::Full | Network::Refuses { .. } => Duration::from_millis(40),
        };
        if let Some(room) = self.coming.iter_mut().find(|room| room.is_none()) {
            *room = Some(Coming { at: self.now + after, epoch, event });
        }
    }
}
