//! All that can be told to a link and asked of it, in an order and with arguments that the compiler knows nothing of. That
//! it links proves that none of it can panic; running it tries a good many of the orders.
#![no_std]
#![no_main]

use core::hint::black_box;
use core::time::Duration;

use cortex_m_rt::entry;
use everlink::backoff::{Jitter, Ratio};
use everlink::delivery::InDoubt;
use everlink::heartbeat::Mode;
use everlink::link::{
    Action, Candidate, Close, Codes, Config, Epoch, Event, Failure, Input, Link, Next, RetryConfig,
};
use everlink::outbox::{Key, Kind, Message, MessageId, Policy, Priority, Slot, Slots};
use everlink::rng::Rng;
use everlink::time::Instant;
use everlink::wire::Wire;
use everlink::wire::raw::{self, Pattern, Style};
use everlink::{backoff, delivery, heartbeat, outbox, quality};

const LINKS: u32 = 200;
const OPERATIONS: u32 = 1000;

type Payload = &'static [u8];

#[entry]
fn main() -> ! {
    static mut BYTES: [u8; 300] = [0; 300];
    static SEED: u64 = 7;
    // SAFETY: it is a static. What a volatile read gives, the compiler does not know.
    let mut dice = Dice { rng: Rng::new(unsafe { (&raw const SEED).read_volatile() }), opened: None };
    BYTES.fill_with(|| dice.below(256) as u8);
    for (byte, json) in BYTES.iter_mut().zip(br#"{"type":"ping"}{"type":"pong"}"#) {
        *byte = *json;
    }
    let (mut links, mut busy) = (0_u32, 0_u32);
    while links < LINKS {
        let slots = [const { Slot::EMPTY }; 6];
        if let Ok(link) = Link::with_slots(dice.config(BYTES), dice.bits(), slots) {
            links = links.saturating_add(1);
            busy = busy.saturating_add(live(link, &mut dice, BYTES).into());
        }
    }
    board::exit(busy > LINKS / 2)
}

/// A short and confused life; whether it had its moments.
fn live<S: Slots<Payload>>(mut link: Link<Payload, S>, dice: &mut Dice, bytes: &'static [u8]) -> bool {
    let (mut now, mut last) = (Instant::ORIGIN, None);
    dice.opened = None;
    for _ in 0..OPERATIONS {
        now = match dice.below(1000) {
            0 => Instant::from_micros(dice.wide()),
            1..300 => link.deadline().filter(|at| *at - now < Duration::from_secs(100)).unwrap_or(now),
            _ => now + Duration::from_micros(dice.bits() >> 42),
        };
        match dice.below(12) {
            0 | 1 => last = link.send(now, dice.message(bytes), |gone, was| use_up((gone, was))).ok(),
            2 => use_up(last.and_then(|id: MessageId| link.cancel(id))),
            3 => use_up(link.pull(dice.epoch())),
            4 => use_up((link.ping_frame(dice.bits() as u32).head(), link.pong_frame().payload())),
            5 => use_up((link.state(), link.status(), link.quality(), link.wake())),
            6 => use_up((link.report(now), link.wall_clock(now), link.config())),
            _ => link.handle(now, dice.input(bytes)).for_each(use_up),
        }
        // Not always to the end, for several inputs may come before the outputs are drained; nor is all of it done.
        for _ in 0..dice.below(8) {
            match black_box(link.poll()) {
                Next::Do(Action::Open { epoch, .. }) => dice.opened = Some(epoch),
                Next::Do(Action::Ping { epoch, nonce }) if dice.yes() => {
                    let pong = nonce.to_be_bytes();
                    link.handle(now, Input::Socket(epoch, Event::Pong(&pong))).for_each(use_up);
                }
                Next::Do(Action::Flush { epoch }) if dice.yes() => use_up(link.pull(epoch)),
                Next::Do(_) | Next::Wait(_) | Next::Idle => {}
            }
        }
    }
    let counts = link.report(now).counts;
    counts.written.get() > 0 && counts.disconnects.get() > 0
}

fn use_up<T>(value: T) {
    black_box(value);
}

/// Chooses. Small values are as likely as those at the far ends.
struct Dice {
    rng: Rng,
    /// The socket that the link asked for last.
    opened: Option<Epoch>,
}

impl Dice {
    fn bits(&mut self) -> u64 {
        self.rng.bits()
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.rng.up_to(bound - 1)
    }

    fn wide(&mut self) -> u64 {
        let shift = self.below(64);
        self.bits().wrapping_shr(shift as u32)
    }

    fn yes(&mut self) -> bool {
        self.below(2) == 0
    }

    fn maybe<T>(&mut self, value: impl FnOnce(&mut Dice) -> T) -> Option<T> {
        if self.yes() { Some(value(self)) } else { None }
    }

    /// One of these.
    fn of<T: Copy, const N: usize>(&mut self, choices: [T; N]) -> T {
        choices.get(self.below(N as u64) as usize).copied().unwrap_or(choices[0])
    }

    fn bytes(&mut self, bytes: &'static [u8]) -> &'static [u8] {
        let from = self.of([0, 15, 30]);
        let len = if self.yes() { self.of([0, 1, 4, 15]) } else { self.below(300) as usize };
        bytes.get(from..).and_then(|bytes| bytes.get(..len)).unwrap_or(bytes)
    }

    fn duration(&mut self) -> Duration {
        if self.yes() { Duration::from_micros(self.wide()) } else { Duration::from_secs(self.wide()) }
    }

    /// Any number; mostly one that is used for something.
    fn code(&mut self) -> u16 {
        let any = self.bits() as u16;
        self.of([any, 400, 503, 1000, 1009, 1012, 1013, 4001])
    }

    fn epoch(&mut self) -> Epoch {
        let other = Epoch::new(self.wide() as u32);
        let epoch = if self.below(10) == 0 { other } else { self.opened };
        epoch.or(other).unwrap_or_else(|| self.epoch())
    }

    fn kind(&mut self) -> Kind {
        self.of([Kind::Text, Kind::Binary])
    }

    fn message(&mut self, bytes: &'static [u8]) -> Message<Payload> {
        Message {
            kind: self.kind(),
            // Only an envelope's body has another one; the raw wire refuses those.
            tag: if self.below(10) == 0 { self.bits() as u8 } else { 0 },
            payload: self.bytes(bytes),
            priority: self.of([Priority::High, Priority::Normal, Priority::Low]),
            ttl: self.maybe(Dice::duration),
            key: self.maybe(|dice| Key::new(dice.wide())),
        }
    }

    fn input(&mut self, bytes: &'static [u8]) -> Input<'static> {
        match self.below(40) {
            0..3 => Input::Start,
            3 => Input::Stop { linger: self.duration() },
            4..6 => Input::Tick,
            6..9 => Input::Online,
            9 => Input::Offline,
            10 => Input::Visible,
            11 => Input::Hidden,
            12 => Input::Suspended(self.duration()),
            13 => Input::WallClock(self.duration()),
            _ => Input::Socket(self.epoch(), self.event(bytes)),
        }
    }

    fn event(&mut self, bytes: &'static [u8]) -> Event<'static> {
        match self.below(30) {
            0 => Event::Failed(self.failure()),
            1 => Event::Received(self.bits() as u32),
            2 => Event::Ping,
            3 => Event::Pong(self.bytes(bytes)),
            4 => Event::Written(self.wide()),
            5 => Event::Writable,
            6 => Event::Paused,
            7 => Event::Resumed,
            8 => Event::Violation(self.code()),
            9 => Event::Closed(Close {
                code: self.maybe(Dice::code),
                reason: "",
                clean: self.yes(),
                retry_after: self.maybe(Dice::duration),
            }),
            10..16 => Event::Frame { kind: self.kind(), data: self.bytes(bytes) },
            _ => Event::Opened,
        }
    }

    fn failure(&mut self) -> Failure {
        let http = Failure::Http { status: self.code(), retry_after: self.maybe(Dice::duration) };
        self.of([
            Failure::Credentials,
            Failure::Dns,
            Failure::Connect,
            Failure::Tls,
            Failure::Certificate,
            http,
            Failure::Handshake,
            Failure::Url,
        ])
    }

    /// Any configuration. A link refuses most of them.
    fn config(&mut self, bytes: &'static [u8]) -> Config {
        Config {
            open_timeout: self.time(),
            close_timeout: self.time(),
            stall_after: self.time(),
            suspended_after: self.time(),
            candidate: self.of([Candidate::Auto, Candidate::On, Candidate::Off]),
            wire: Wire::Raw(raw::Config {
                heartbeat: self.of([Style::Websocket, Style::Bytes, Style::Json]),
                ping: self.pattern(bytes),
                also_ping: self.pattern(bytes),
                pong: self.pattern(bytes),
            }),
            // Without an allocator there is no dialogue.
            requests: Default::default(),
            channels: Default::default(),
            heartbeat: heartbeat::Config {
                mode: self.of([Mode::Client, Mode::Server, Mode::Both, Mode::Off]),
                interval: self.time(),
                timeout: self.time(),
                adaptive: self.yes(),
                min_timeout: self.time(),
                measure: self.maybe(Dice::time),
                watchful_interval: self.time(),
                misses: self.bits() as u8,
                probe_timeout: self.time(),
                early: self.maybe(Dice::time),
                on_open: self.yes(),
                any_inbound: self.yes(),
                margin: self.time(),
                hidden_stretch: self.wide() as u32,
            },
            backoff: backoff::Config {
                base: self.time(),
                cap: self.time(),
                ratio: Ratio { numerator: self.bits() as u16, denominator: self.bits() as u16 },
                jitter: self.of([Jitter::None, Jitter::Equal, Jitter::Full, Jitter::Decorrelated]),
                attempts: self.maybe(|dice| dice.wide() as u32),
                stable_after: self.time(),
                retry_after_cap: self.time(),
                restart_spread_min: self.time(),
                restart_spread_max: self.time(),
                online_jitter: self.time(),
                hidden_stretch: self.wide() as u32,
            },
            retry: RetryConfig {
                final_close: Codes::of(&[self.code(), self.code()]),
                final_http: Codes::of(&[self.code(), self.code()]),
                final_certificate: self.yes(),
                final_normal: self.yes(),
            },
            outbox: outbox::Config {
                messages: self.below(8) as u32,
                bytes: self.wide() as u32,
                message_bytes: self.wide() as u32,
                age: self.maybe(Dice::duration),
                policy: self.of([Policy::DropOldest, Policy::DropLowest, Policy::Refuse]),
            },
            delivery: delivery::Config {
                window: self.wide() as u32,
                window_bytes: self.wide() as u32,
                ack_after: self.wide() as u32,
                ack_delay: self.time(),
                ack_timeout: self.time(),
                durable: self.yes(),
                in_doubt: self.of([InDoubt::Settle, InDoubt::Resend]),
            },
            quality: quality::Config {
                excellent: self.time(),
                good: self.time(),
                degraded: self.time(),
                hysteresis_percent: self.below(120) as u8,
                jitter_percent: self.bits() as u16,
            },
        }
    }

    /// A duration such as configurations have, or any other.
    fn time(&mut self) -> Duration {
        if self.below(20) == 0 { self.duration() } else { Duration::from_micros(self.bits() >> 38) }
    }

    fn pattern(&mut self, bytes: &'static [u8]) -> Pattern {
        let text = core::str::from_utf8(self.bytes(bytes)).unwrap_or_default();
        let binary = Pattern::binary(self.bytes(bytes)).unwrap_or(Pattern::NONE);
        if self.yes() { Pattern::text(text).unwrap_or(Pattern::NONE) } else { binary }
    }
}
