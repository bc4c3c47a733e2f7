//! A link to measure, and the steps that are measured.

use std::hint::black_box;
use std::time::Duration;

use everlink::link::{Action, Config, Delivery, Epoch, Event, Input, Link, Next};
use everlink::outbox::{Kind, Message};
use everlink::time::Instant;

const PAYLOAD: [u8; 64] = [b'x'; 64];

/// A payload that costs no allocation, so that the figures are the link's own.
pub type Payload = &'static [u8];

/// An open link of the default configuration, whose clock moves by a microsecond with each step.
pub struct Bed {
    link: Link<Payload>,
    now: Instant,
    epoch: Epoch,
    settled: u64,
    /// When the link wants to be asked again.
    until: Instant,
}

impl Bed {
    pub fn new(slots: u32) -> Bed {
        let mut config = Config::default();
        config.outbox.messages = slots;
        config.outbox.bytes = slots * 64 + config.outbox.message_bytes;
        let link = Link::new(config, 1).expect("a configuration that works");
        let (now, epoch) = (Instant::ORIGIN, Epoch::new(1).expect("not zero"));
        let mut bed = Bed { link, now, epoch, settled: 0, until: now };
        bed.input(Input::Start);
        bed.drain();
        bed.event(Event::Opened);
        bed.drain();
        bed.event(Event::Pong(&1_u32.to_be_bytes()));
        bed.drain();
        bed
    }

    fn input(&mut self, input: Input<'_>) {
        self.now = self.now + Duration::from_micros(1);
        for delivery in self.link.handle(self.now, input) {
            if let Delivery::Message { kind, data } = delivery {
                black_box((kind, data));
            }
        }
    }

    fn event(&mut self, event: Event<'_>) {
        self.input(Input::Socket(self.epoch, event));
    }

    /// Does what the link asks; gives the nonce if there was a ping.
    fn drain(&mut self) -> Option<u32> {
        let mut pinged = None;
        loop {
            match self.link.poll() {
                Next::Do(Action::Ping { nonce, .. }) => pinged = Some(nonce),
                Next::Do(Action::Flush { epoch }) => {
                    while let Some(frame) = &self.link.pull(epoch) {
                        black_box((frame.head(), frame.payload()));
                    }
                }
                Next::Do(_) => {}
                Next::Wait(until) => {
                    self.until = until;
                    return pinged;
                }
                Next::Idle => return pinged,
            }
        }
    }

    /// A frame comes in and is handed over, and there is nothing to do for it.
    pub fn receive(&mut self) {
        self.event(Event::Frame { kind: Kind::Binary, data: black_box(&PAYLOAD) });
        black_box(&self.link.poll());
    }

    pub fn idle_poll(&mut self) {
        black_box(&self.link.poll());
    }

    /// The interval passes, a ping goes out, its answer comes back.
    pub fn heartbeat(&mut self) {
        let nonce = loop {
            self.now = self.until;
            self.input(Input::Tick);
            // At first the link may only ask to be woken again later: something came in since it was last asked.
            if let Some(nonce) = self.drain() {
                break nonce;
            }
        };
        self.event(Event::Pong(&nonce.to_be_bytes()));
        self.drain();
    }

    fn push(&mut self) {
        self.now = self.now + Duration::from_micros(1);
        self.link.send(self.now, Message::binary(&PAYLOAD[..]), |_, _| ()).expect("there is room");
    }

    /// A message is accepted, and pulled by the flush that it leads to.
    pub fn send(&mut self) {
        self.push();
        self.drain();
    }

    /// One of the messages that were pulled is written, and settled; something comes in as well, or the link would rightly
    /// suspect the socket.
    pub fn settle_one(&mut self) {
        self.settled += PAYLOAD.len() as u64;
        self.event(Event::Written(self.settled));
        self.event(Event::Received(1));
        while let Next::Do(action) = self.link.poll() {
            black_box(&action);
        }
    }

    pub fn fill(&mut self, messages: u32) {
        (0..messages).for_each(|_| self.push());
    }

    /// As [`send`](Bed::send), but the socket takes one frame at a time, and the queue stays as long as it is.
    pub fn send_one(&mut self) {
        self.push();
        while let Next::Do(action) = self.link.poll() {
            black_box(&action);
        }
        let frame = self.link.pull(self.epoch).expect("a message waits");
        black_box((frame.head(), frame.payload()));
    }
}
