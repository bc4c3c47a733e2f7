//! A configuration and a history for a link, made of a fuzzer's bytes.

use core::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use everlink::backoff::Jitter;
use everlink::delivery::InDoubt;
use everlink::heartbeat::Mode;
use everlink::link::{Candidate, Config, Failure};
use everlink::outbox::{Kind, Policy, Priority};
use everlink::wire::Wire;
use everlink::wire::raw::{self, Style};

use crate::pick;
use crate::said::{Spoken, Word, frame, speech};
use crate::steps::{Happening, Of, Saying, Step};

/// A longer one finds nothing that a shorter one does not.
const LONGEST: usize = 600;

/// All that a link lives through.
#[derive(Clone, Debug)]
pub struct History {
    /// What the link is made of.
    pub config: Config,
    /// Its seed.
    pub seed: u64,
    /// What happens.
    pub steps: Vec<Step>,
}

impl History {
    /// Takes what is left of the bytes.
    ///
    /// # Errors
    /// There were too few for a configuration.
    pub fn take_rest(bytes: &mut Unstructured<'_>) -> arbitrary::Result<History> {
        let setup = Setup::arbitrary(bytes)?;
        let config = setup.config();
        let seed = u64::from(u16::arbitrary(bytes)?);
        let mut steps = vec![Step::Start];
        if setup.talks() {
            steps.push(Step::Say(Saying::Open));
        }
        while !bytes.is_empty() && steps.len() < LONGEST {
            if setup.talks() {
                Turn::arbitrary(bytes)?.onto(&mut steps);
            } else {
                Move::arbitrary(bytes)?.onto(&mut steps);
            }
        }
        Ok(History { config, seed, steps })
    }
}

/// A configuration that works, small enough for every bound to bite.
#[derive(Arbitrary)]
struct Setup {
    mode: u8,
    style: u8,
    candidate: bool,
    policy: u8,
    jitter: u8,
    messages: u8,
    attempts: u8,
    bits: u8,
}

impl Setup {
    /// Whether there is a dialogue.
    fn talks(&self) -> bool {
        self.bits & (8 | 64) == 8 | 64
    }

    fn config(&self) -> Config {
        let mode = pick(&[Mode::Client, Mode::Server, Mode::Both, Mode::Off], self.mode);
        // The same byte both ways cannot work where both ends ping.
        let styles = if mode == Mode::Both {
            &[Style::Websocket, Style::Json][..]
        } else {
            &[Style::Websocket, Style::Json, Style::Bytes]
        };
        let heartbeat = pick(styles, self.style);
        let wire = Wire::Raw(raw::Config { heartbeat, ..raw::Config::default() });
        let mut config = Config { wire, ..Config::default() };
        config.heartbeat.mode = mode;
        config.heartbeat.adaptive = self.bits & 1 != 0;
        config.heartbeat.any_inbound = self.bits & 2 != 0;
        config.heartbeat.on_open = self.bits & 4 != 0;
        config.candidate = if self.candidate { Candidate::On } else { Candidate::Off };
        config.outbox.policy = pick(&[Policy::DropOldest, Policy::DropLowest, Policy::Refuse], self.policy);
        config.outbox.messages = 1 + u32::from(self.messages % 11);
        config.outbox.bytes = 200;
        config.outbox.message_bytes = 50;
        config.backoff.jitter =
            pick(&[Jitter::None, Jitter::Equal, Jitter::Full, Jitter::Decorrelated], self.jitter);
        let attempts = u32::from(self.attempts % 12);
        config.backoff.attempts = (attempts > 0).then_some(attempts);
        if self.bits & 8 != 0 {
            config.wire = Wire::Native(Default::default());
            config.delivery.window = 1 + u32::from(self.messages % 4);
            config.delivery.window_bytes = 100;
            config.delivery.ack_delay = Duration::from_millis(20 * u64::from(self.style % 3));
            config.delivery.durable = self.bits & 16 != 0;
            config.delivery.in_doubt = if self.bits & 32 != 0 { InDoubt::Resend } else { InDoubt::Settle };
        }
        if self.talks() {
            config.requests.pending = 3;
            config.requests.incoming = 2;
            config.channels.subscriptions = 2;
        }
        config
    }
}

/// From nothing to three centuries, in two bytes: three bits of unit, thirteen of number.
#[derive(Arbitrary, Clone, Copy)]
struct Span(u16);

impl Span {
    fn get(self) -> Duration {
        let number = u64::from(self.0 & 0x1fff);
        match self.0 >> 13 {
            0 | 1 => Duration::from_micros(number),
            2..=4 => Duration::from_millis(number),
            5 => Duration::from_millis(100 * number),
            6 => Duration::from_secs(number),
            _ => Duration::from_secs(number * 2 * 604_800),
        }
    }
}

/// Which socket; most often the newest.
#[derive(Arbitrary)]
struct Which(u8);

impl Which {
    fn get(&self) -> Of {
        match self.0 {
            0..180 => Of::Newest,
            180..230 => Of::Previous,
            _ => Of::Number(u32::from(self.0 % 6) + 1),
        }
    }
}

/// A close code: one that means something, or any.
#[derive(Arbitrary)]
struct Code(u16);

impl Code {
    fn get(&self) -> u16 {
        let [which, how] = self.0.to_be_bytes();
        if how < 200 { pick(&[1000, 1001, 1006, 1008, 1009, 1011, 1012, 1013], which) } else { self.0 }
    }
}

#[derive(Arbitrary)]
enum Said {
    Hello,
    One,
    Digit,
    JsonPing,
    JsonPong,
    Bytes(Vec<u8>),
}

impl Said {
    fn get(self) -> Vec<u8> {
        match self {
            Said::Hello => b"hello".to_vec(),
            Said::One => vec![1],
            Said::Digit => b"1".to_vec(),
            Said::JsonPing => br#"{"type":"ping"}"#.to_vec(),
            Said::JsonPong => br#"{ "type": "pong" }"#.to_vec(),
            Said::Bytes(bytes) => bytes,
        }
    }
}

/// A step, or a few that often follow each other.
#[derive(Arbitrary)]
enum Move {
    Pass(Span),
    Back(Span),
    Deadline,
    Start,
    Stop(Option<Span>),
    Tick,
    Online,
    Offline,
    Visible,
    Hidden,
    Suspended(Span),
    WallClock(Span),
    Failed(Which, u8, Option<Span>),
    Opened(Which),
    Frame(Which, bool, Said),
    Received(Which, u32),
    Ping(Which),
    Pong(Which, u32),
    Answer(Which),
    Wrote(Which, u8),
    Written(Which, u64),
    Writable(Which),
    Paused(Which),
    Resumed(Which),
    Violation(Which, Code),
    Closed(Which, Option<Code>, Option<Span>),
    Send {
        len: u8,
        priority: u8,
        ttl: Option<Span>,
        key: Option<u8>,
    },
    Cancel(u8),
    Pull(Which, u8),
    Poll,
    Drain,
    /// Waits for the next attempt and lets it succeed.
    Connect(Span),
    /// Waits for the next ping and answers it.
    Heartbeat(Span),
    /// Pulls what there is and says that it was written.
    Flush,
    /// What a server says on the native wire.
    Says(Which, Vec<Word>),
    /// Waits for the next attempt, lets the socket open, takes the hello and says this.
    Greet(Span, Vec<Word>),
    /// From now on the disk works, or does not answer.
    Disk(bool),
    /// It answers: the state is stored, or could not be.
    Stored(bool),
    /// The application's credentials change.
    Credentials(bool),
    /// The process ends in good order, and goes on with its state.
    Restart,
}

impl Move {
    fn onto(self, steps: &mut Vec<Step>) {
        let at = |which: Which, what| Step::Socket(which.get(), what);
        let newest = |what| Step::Socket(Of::Newest, what);
        let last = match self {
            Move::Pass(by) => Step::Pass(by.get()),
            Move::Back(by) => Step::Back(by.get()),
            Move::Deadline => Step::Deadline,
            Move::Start => Step::Start,
            Move::Stop(linger) => Step::Stop(linger.map_or(Duration::ZERO, Span::get)),
            Move::Tick => Step::Tick,
            Move::Online => Step::Online,
            Move::Offline => Step::Offline,
            Move::Visible => Step::Visible,
            Move::Hidden => Step::Hidden,
            Move::Suspended(by) => Step::Suspended(by.get()),
            Move::WallClock(time) => Step::WallClock(time.get()),
            Move::Failed(of, how, retry_after) => at(of, Happening::Failed(failure(how, retry_after))),
            Move::Opened(of) => at(of, Happening::Opened),
            Move::Frame(of, text, said) => {
                at(of, Happening::Frame(if text { Kind::Text } else { Kind::Binary }, said.get()))
            }
            Move::Received(of, bytes) => at(of, Happening::Received(bytes)),
            Move::Ping(of) => at(of, Happening::Ping),
            Move::Pong(of, nonce) => at(of, Happening::Pong(nonce.to_be_bytes().to_vec())),
            Move::Answer(of) => at(of, Happening::Answer),
            Move::Wrote(of, bytes) => at(of, Happening::Wrote(bytes.into())),
            Move::Written(of, total) => at(of, Happening::Written(total)),
            Move::Writable(of) => at(of, Happening::Writable),
            Move::Paused(of) => at(of, Happening::Paused),
            Move::Resumed(of) => at(of, Happening::Resumed),
            Move::Violation(of, code) => at(of, Happening::Violation(code.get())),
            Move::Closed(of, code, retry_after) => {
                at(of, Happening::Closed(code.map(|code| code.get()), retry_after.map(Span::get)))
            }
            Move::Send { len, priority, ttl, key } => Step::Send {
                len: usize::from(len % 60),
                priority: pick(&[Priority::Normal, Priority::High, Priority::Low], priority),
                ttl: ttl.map(Span::get),
                key: key.map(|key| u64::from(key % 3)),
            },
            Move::Cancel(back) => Step::Cancel(usize::from(back % 10)),
            Move::Pull(of, most) => Step::Pull(of.get(), usize::from(most % 8)),
            Move::Poll => Step::Poll,
            Move::Drain => Step::Drain,
            Move::Connect(takes) => {
                steps.extend([Step::Deadline, Step::Pass(takes.get()), newest(Happening::Opened)]);
                Step::Drain
            }
            Move::Heartbeat(rtt) => {
                steps.extend([Step::Deadline, Step::Pass(rtt.get()), newest(Happening::Answer)]);
                Step::Drain
            }
            Move::Flush => {
                steps.extend([Step::Drain, Step::Pull(Of::Newest, 20)]);
                newest(Happening::Wrote(200))
            }
            Move::Says(of, words) => at(of, Happening::Frame(Kind::Binary, frame(&words))),
            Move::Greet(takes, words) => return greet(steps, takes, frame(&words)),
            Move::Disk(works) => Step::Disk(works),
            Move::Stored(well) => Step::Stored(well),
            Move::Credentials(some) => Step::Credentials(some),
            Move::Restart => Step::Restart,
        };
        steps.push(last);
    }
}

/// Waits for the next attempt, lets the socket open, takes the hello and says this.
fn greet(steps: &mut Vec<Step>, takes: Span, frame: Vec<u8>) {
    let newest = |what| Step::Socket(Of::Newest, what);
    steps.extend([Step::Deadline, Step::Pass(takes.get()), newest(Happening::Opened)]);
    steps.extend([Step::Drain, Step::Pull(Of::Newest, 3), newest(Happening::Frame(Kind::Binary, frame))]);
}

/// What the application says in a dialogue.
#[derive(Arbitrary)]
enum Utterance {
    Open,
    Ask(u8, Span, bool),
    Cancel(u8),
    Respond(u8),
    Reject(u8),
    Subscribe(u8),
    Unsubscribe(u8),
    Publish(u8),
}

impl Utterance {
    fn get(&self) -> Saying {
        let small = |id: u8| u32::from(id % 16);
        match *self {
            Utterance::Open => Saying::Open,
            Utterance::Ask(len, timeout, again) => {
                Saying::Ask { len: usize::from(len % 60), timeout: timeout.get(), again }
            }
            Utterance::Cancel(back) => Saying::Cancel(u32::from(back % 4)),
            Utterance::Respond(id) => Saying::Respond(small(id)),
            Utterance::Reject(id) => Saying::Reject(small(id)),
            Utterance::Subscribe(which) => Saying::Subscribe(which),
            Utterance::Unsubscribe(which) => Saying::Unsubscribe(which),
            Utterance::Publish(which) => Saying::Publish(which),
        }
    }
}

/// A move where there is a dialogue.
#[derive(Arbitrary)]
enum Turn {
    Move(Move),
    Say(Utterance),
    /// What the server says in it.
    Speaks(Which, Vec<Spoken>),
    /// Waits for the next attempt, lets the socket open, takes the hello and says this.
    Greet(Span, Vec<Spoken>),
}

impl Turn {
    fn onto(self, steps: &mut Vec<Step>) {
        match self {
            Turn::Move(what) => what.onto(steps),
            Turn::Say(what) => steps.push(Step::Say(what.get())),
            Turn::Speaks(of, spoken) => {
                steps.push(Step::Socket(of.get(), Happening::Frame(Kind::Binary, speech(&spoken))));
            }
            Turn::Greet(takes, spoken) => greet(steps, takes, speech(&spoken)),
        }
    }
}

fn failure(how: u8, retry_after: Option<Span>) -> Failure {
    pick(
        &[
            Failure::Connect,
            Failure::Dns,
            Failure::Tls,
            Failure::Credentials,
            Failure::Certificate,
            Failure::Handshake,
            Failure::Url,
            Failure::Http { status: 503, retry_after: retry_after.map(Span::get) },
            Failure::Http { status: 401, retry_after: None },
        ],
        how,
    )
}
