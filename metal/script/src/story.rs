//! What happens in the hour.

use core::time::Duration;

use everlink::link::{Candidate, Close, Config, Event, Failure, Input};
use everlink::outbox::{Key, Kind, Message, Priority};
use everlink::time::Instant;

use crate::Payload;

/// When the hour ends.
pub const END: Instant = minute(60, 0);

/// How many messages may wait.
pub const MESSAGES: usize = 8;

/// How often the user draws a stroke.
pub const STROKE: Duration = Duration::from_secs(3);

/// The seed of the link.
pub const SEED: u64 = 7;

/// The defaults, for a small machine.
#[must_use]
pub fn config() -> Config {
    let mut config = Config { candidate: Candidate::On, ..Config::default() };
    config.outbox.messages = MESSAGES as u32;
    config.outbox.bytes = 1024;
    config.outbox.message_bytes = 256;
    config.backoff.attempts = None;
    config
}

/// The message that the n-th stroke sends.
#[must_use]
pub fn stroke(n: u64) -> Message<Payload> {
    let text: fn(Payload) -> Message<Payload> = Message::text;
    let binary: fn(Payload) -> Message<Payload> = Message::binary;
    match n % 6 {
        0 => text(b"stroke").with_ttl(Duration::from_secs(10)),
        1 | 2 => text(b"12,40").with_key(Key::hash(b"cursor")).with_priority(Priority::Low),
        3 => binary(&[0xA5; 200]),
        4 => text(b"help").with_priority(Priority::High),
        _ => binary(&[0x5A; 300]),
    }
}

/// One thing that happens.
pub enum Step {
    /// The user or the surroundings say this.
    Input(Input<'static>),
    /// The socket that was opened last says this.
    Socket(Event<'static>),
    /// From here on, the network is like this.
    Network(Network),
    /// The process does not run for so long.
    Sleep(Duration),
    /// The application takes its last message back.
    Cancel,
}

/// How the network behaves.
#[derive(Clone, Copy)]
pub enum Network {
    /// Everything gets through, and what answers takes this long.
    Answers {
        /// The round trip.
        after: Duration,
    },
    /// Pings are answered, but messages do not drain.
    Full,
    /// What is written vanishes, and nobody answers.
    Silent,
    /// No socket opens.
    Refuses {
        /// Why.
        failure: Failure,
    },
}

/// The story, in order.
pub const STEPS: &[(Instant, Step)] = &[
    (minute(0, 0), Step::Input(Input::WallClock(Duration::from_secs(1_767_225_600)))),
    (minute(0, 1), Step::Input(Input::Start)),
    (minute(0, 20), Step::Socket(Event::Received(64))),
    (minute(0, 20), Step::Socket(Event::Frame { kind: Kind::Text, data: b"welcome" })),
    (minute(0, 30), Step::Socket(Event::Ping)),
    (minute(2, 0), Step::Socket(closed(Some(1012), None))),
    (minute(4, 0), Step::Socket(closed(None, None))),
    // A hole: missed answers, a candidate that never opens, the verdict, attempts that time out.
    (minute(5, 0), Step::Network(Network::Silent)),
    (minute(7, 0), ANSWERS),
    // A short one, that ends when the first answer is missed: the candidate takes over.
    (minute(9, 0), Step::Network(Network::Silent)),
    (minute(9, 6), ANSWERS),
    // The network goes away while nobody is connected, and while somebody is.
    (minute(11, 0), Step::Input(Input::Offline)),
    (minute(12, 0), Step::Input(Input::Online)),
    (minute(13, 0), Step::Socket(closed(None, None))),
    (minute(13, 0), Step::Input(Input::Offline)),
    (minute(13, 34), Step::Cancel),
    (minute(14, 0), Step::Input(Input::Online)),
    (minute(15, 0), Step::Input(Input::Hidden)),
    (minute(20, 0), Step::Input(Input::Visible)),
    (minute(22, 0), Step::Socket(Event::Violation(1002))),
    // The process sleeps: once it says so, once it shows by a late tick.
    (minute(24, 0), Step::Sleep(Duration::from_secs(300))),
    (minute(29, 0), Step::Input(Input::Suspended(Duration::from_secs(300)))),
    (minute(31, 0), Step::Sleep(Duration::from_secs(120))),
    // A slow network, and a socket that is full.
    (minute(34, 0), Step::Network(Network::Answers { after: Duration::from_millis(900) })),
    (minute(37, 0), Step::Network(Network::Full)),
    (minute(38, 0), ANSWERS),
    (minute(38, 0), Step::Socket(Event::Written(100))),
    (minute(38, 1), Step::Socket(Event::Written(100_000))),
    (minute(38, 1), Step::Socket(Event::Writable)),
    (minute(39, 0), Step::Socket(Event::Paused)),
    (minute(40, 0), Step::Socket(Event::Resumed)),
    // A server in trouble.
    (minute(42, 0), Step::Network(Network::Refuses { failure: BUSY })),
    (minute(42, 0), Step::Socket(closed(Some(1013), Some(Duration::from_secs(7))))),
    (minute(43, 0), Step::Network(Network::Refuses { failure: Failure::Dns })),
    (minute(45, 0), ANSWERS),
    // The end that is final, and the user who tries again.
    (minute(47, 0), Step::Network(Network::Refuses { failure: Failure::Certificate })),
    (minute(47, 0), Step::Socket(closed(Some(1001), None))),
    (minute(48, 0), Step::Socket(Event::Received(64))), // too late
    (minute(49, 0), ANSWERS),
    (minute(49, 0), Step::Input(Input::Start)),
    // What was sent last is too large for the server.
    (minute(51, 0), Step::Network(Network::Full)),
    (minute(51, 10), Step::Socket(closed(Some(1009), None))),
    (minute(51, 10), ANSWERS),
    // Stopped with messages under way, and started again.
    (minute(53, 0), Step::Network(Network::Full)),
    (minute(53, 10), Step::Input(Input::Stop { linger: Duration::ZERO })),
    (minute(54, 0), ANSWERS),
    (minute(54, 0), Step::Input(Input::Start)),
    // Stopped gracefully: what is queued still leaves.
    (minute(59, 30), Step::Input(Input::Stop { linger: Duration::from_secs(5) })),
];

const ANSWERS: Step = Step::Network(Network::Answers { after: Duration::from_millis(40) });

const BUSY: Failure = Failure::Http { status: 503, retry_after: Some(Duration::from_secs(11)) };

const fn minute(minutes: u64, seconds: u64) -> Instant {
    Instant::from_millis((minutes * 60 + seconds) * 1000)
}

const fn closed(code: Option<u16>, retry_after: Option<Duration>) -> Event<'static> {
    Event::Closed(Close { code, reason: "", clean: code.is_some(), retry_after })
}
