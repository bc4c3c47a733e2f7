//! What a link costs: receiving, sending, being asked, staying alive, and memory.

use std::hint::black_box;
use std::time::Duration;

use everlink::link::{Action, Config, Epoch, Event, Input, Link, Next};
use everlink::outbox::{Kind, Message, Slot};
use everlink::time::Instant;

use crate::measure::{in_turn, nanoseconds, print};

const PAYLOAD: [u8; 64] = [b'x'; 64];
/// A payload that costs no allocation, so that the figures are the link's own.
type Payload = &'static [u8];

pub fn run() {
    let mut bed = Bed::new(100);
    print("receive_64B", nanoseconds(20_000, || bed.receive()), "ns");
    print("idle_poll", nanoseconds(100_000, || bed.idle_poll()), "ns");
    print("heartbeat_round", nanoseconds(5_000, || bed.heartbeat()), "ns");
    for slots in [100, 100_000] {
        let mut bed = Bed::new(slots);
        let (send, settle) = in_turn(&mut bed, 50, Bed::send, Bed::settle_one);
        print(&format!("send_and_flush_64B_{slots}_slots"), send, "ns");
        print(&format!("written_and_settled_{slots}_slots"), settle, "ns");
        // The same with a queue that is nearly full all the time: what the size of the queue costs.
        let mut bed = Bed::new(slots);
        bed.fill(slots - 51);
        let (send, settle) = in_turn(&mut bed, 50, Bed::send_one, Bed::settle_one);
        print(&format!("send_and_flush_64B_{slots}_slots_full"), send, "ns");
        print(&format!("written_and_settled_{slots}_slots_full"), settle, "ns");
    }
    print("link_8_slots", size_of::<Link<Payload, [Slot<Payload>; 8]>>() as f64, "bytes");
    for slots in [100, 100_000] {
        let bytes = size_of::<Link<Payload>>() + slots * size_of::<Slot<Payload>>();
        print(&format!("link_{slots}_slots"), bytes as f64, "bytes");
    }
}

/// An open link of the default configuration, whose clock moves by a microsecond with each step.
struct Bed {
    link: Link<Payload>,
    now: Instant,
    epoch: Epoch,
    settled: u64,
}

impl Bed {
    fn new(slots: u32) -> Bed {
        let mut config = Config::default();
        config.outbox.messages = slots;
        config.outbox.bytes = slots * 64 + config.outbox.message_bytes;
        let link = Link::new(config, 1).expect("a configuration that works");
        let mut bed = Bed { link, now: Instant::ORIGIN, epoch: Epoch::new(1).expect("not zero"), settled: 0 };
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
        for delivery in self.link.handle(self.now, black_box(input)) {
            black_box(delivery);
        }
    }

    fn event(&mut self, event: Event<'_>) {
        self.input(Input::Socket(self.epoch, event));
    }

    /// Does what the link asks; gives the nonce if there was a ping.
    fn drain(&mut self) -> Option<u32> {
        let mut pinged = None;
        while let Next::Do(action) = self.link.poll() {
            match black_box(action) {
                Action::Ping { nonce, .. } => pinged = Some(nonce),
                Action::Flush { epoch } => {
                    while let Some(frame) = self.link.pull(epoch) {
                        black_box(frame);
                    }
                }
                _ => {}
            }
        }
        pinged
    }

    /// A frame comes in and is handed over, and there is nothing to do for it.
    fn receive(&mut self) {
        self.event(Event::Frame { kind: Kind::Binary, data: &PAYLOAD });
        black_box(self.link.poll());
    }

    fn idle_poll(&mut self) {
        black_box(self.link.poll());
    }

    /// The interval passes, a ping goes out, its answer comes back.
    fn heartbeat(&mut self) {
        (self.now, _) = self.link.wake().expect("a heartbeat is always due");
        self.input(Input::Tick);
        let nonce = self.drain().expect("the deadline was the ping's");
        self.event(Event::Pong(&nonce.to_be_bytes()));
        self.drain();
    }

    fn push(&mut self) {
        self.now = self.now + Duration::from_micros(1);
        self.link.send(self.now, Message::binary(&PAYLOAD[..]), |_, _| ()).expect("there is room");
    }

    /// A message is accepted, and pulled by the flush that it leads to.
    fn send(&mut self) {
        self.push();
        self.drain();
    }

    /// One of the messages that were pulled is written, and settled; something comes in as well, or the link would rightly
    /// suspect the socket.
    fn settle_one(&mut self) {
        self.settled += PAYLOAD.len() as u64;
        self.event(Event::Written(self.settled));
        self.event(Event::Received(1));
        while let Next::Do(action) = self.link.poll() {
            black_box(action);
        }
    }

    fn fill(&mut self, messages: u32) {
        (0..messages).for_each(|_| self.push());
    }

    /// As [`send`](Bed::send), but the socket takes one frame at a time, and the queue stays as long as it is.
    fn send_one(&mut self) {
        self.push();
        while let Next::Do(action) = self.link.poll() {
            black_box(action);
        }
        black_box(self.link.pull(self.epoch).expect("a message waits"));
    }
}
