//! What is in flight when a socket dies leaves again on the next one.

use std::hint::black_box;
use std::time::{Duration, Instant as Wall};

use everlink::link::{Action, Close, Config, Epoch, Event, Input, Link, Next};
use everlink::outbox::{Kind, Message};
use everlink::time::Instant;
use everlink::wire::Wire;
use everlink::wire::native::{Announced, Envelope, Limits, Token, Welcome};

use crate::measure::print;

const MESSAGES: u32 = 100_000;
const PAYLOAD: [u8; 64] = [b'x'; 64];
const ROUNDS: usize = 11;

struct Bed {
    link: Link<&'static [u8]>,
    now: Instant,
    epoch: Option<Epoch>,
    settled: u32,
}

impl Bed {
    fn input(&mut self, input: Input<'_>) {
        self.link.handle(self.now, black_box(input)).for_each(drop);
    }

    /// Does what is asked for, and gives how many frames that were.
    fn drain(&mut self) -> u32 {
        let mut frames = 0;
        loop {
            match self.link.poll() {
                Next::Do(Action::Open { epoch, .. }) => self.epoch = Some(epoch),
                Next::Do(Action::Flush { epoch }) => {
                    while let Some(frame) = &self.link.pull(epoch) {
                        black_box((frame.head(), frame.payload()));
                        frames += 1;
                    }
                }
                Next::Do(Action::Settled(_)) => self.settled += 1,
                Next::Do(_) => {}
                Next::Wait(_) | Next::Idle => return frames,
            }
        }
    }

    fn event(&mut self, event: Event<'_>) {
        let epoch = self.epoch.expect("a socket");
        self.input(Input::Socket(epoch, event));
    }

    /// A socket opens and is welcome, in a new session or the one of before. Gives how many frames leave after that.
    fn open(&mut self, resumed: bool) -> u32 {
        let before = self.epoch;
        while self.epoch == before {
            self.now = self.now + Duration::from_millis(100);
            self.input(Input::Tick);
            self.drain();
        }
        self.event(Event::Opened);
        self.drain();
        let announced = Announced { envelope: 4096, window: 64, window_bytes: 1 << 18 };
        let token = Token::new(b"token");
        let welcome = Welcome { version: 1, resumed, received: 0, from: 0, announced, session: 1, token };
        self.frame(Envelope::Welcome(welcome));
        self.drain()
    }

    fn frame(&mut self, envelope: Envelope<'_>) {
        let mut frame = [0; 128];
        let len = envelope.encode(&mut frame).expect("there is room");
        self.event(Event::Frame { kind: Kind::Binary, data: &frame[..len] });
    }
}

/// Milliseconds, the least of all rounds: until all have left again; and until all are settled by one acknowledgement.
pub fn run() {
    let mut least = (f64::INFINITY, f64::INFINITY);
    for _ in 0..ROUNDS {
        let mut config = Config { wire: Wire::Native(Limits::default()), ..Config::default() };
        (config.outbox.messages, config.outbox.bytes) = (MESSAGES, MESSAGES * 128);
        (config.delivery.window, config.delivery.window_bytes) = (MESSAGES, MESSAGES * 128);
        let link = Link::new(config, 1).expect("a configuration that works");
        let mut bed = Bed { link, now: Instant::ORIGIN, epoch: None, settled: 0 };
        bed.input(Input::Start);
        bed.drain();
        bed.open(false);
        for _ in 0..MESSAGES {
            bed.link.send(bed.now, Message::binary(&PAYLOAD[..]), |_, _| ()).expect("there is room");
        }
        assert!(bed.drain() >= MESSAGES);
        bed.event(Event::Closed(Close::default()));
        bed.drain();

        let start = Wall::now();
        let frames = bed.open(true);
        least.0 = least.0.min(start.elapsed().as_secs_f64() * 1e3);
        assert!(frames >= MESSAGES, "{frames}");

        let start = Wall::now();
        bed.frame(Envelope::Ack { received: MESSAGES.into() });
        bed.drain();
        least.1 = least.1.min(start.elapsed().as_secs_f64() * 1e3);
        assert_eq!(bed.settled, MESSAGES);
    }
    print("native_replay_of_100000", least.0, "ms");
    print("native_settle_100000", least.1, "ms");
}
