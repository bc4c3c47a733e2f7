//! Record what happened to a link, in production, and replay it at a desk.
//!
//! A trace is the configuration and the seed, then every operation with its time, and every answer of
//! [`poll`](crate::link::Link::poll). Replaying the operations must give the same answers: if it does not, either the trace
//! is damaged or the code has changed.
//!
//! ```
//! use everlink::link::{Config, Input, Link};
//! use everlink::time::Instant;
//! use everlink::trace::{self, Recorder, Traced};
//!
//! let mut bytes = Vec::new();
//! let (config, seed) = (Config::default(), 7);
//! let recorder = Recorder::new(&config, seed, |part: &[u8]| bytes.extend_from_slice(part));
//! let mut link = Traced::new(Link::<Vec<u8>>::new(config, seed).unwrap(), Some(recorder));
//! link.handle(Instant::from_millis(5), Input::Start);
//! link.poll();
//! drop(link);
//!
//! assert_eq!(trace::replay(&bytes).unwrap().records, 2);
//! ```
//!
//! A trace holds the payloads that were sent and received. URLs and headers never reach a link, and so are not in it; resume
//! tokens and credentials of the native wire do, and are zeros of the same length in it.
//!
//! Format: the bytes `everlink` and a version byte, then in postcard the [`Header`], then [`Record`]s to the end. Behind the header
//! and each record stand two bytes, least significant first: the CRC-16 (IBM-SDLC) of the two such bytes before (zero and zero
//! for the header) and of the part. So a part that is damaged, missing or out of place is found where it stands, and a
//! difference of answers is never due to damage.

#[cfg(feature = "alloc")]
mod dialogue;
mod secrets;

use core::fmt;
use core::ops::Deref;

use crc::{CRC_16_IBM_SDLC, Crc, Digest, Table};
use postcard::experimental::serialized_size;
use serde::{Deserialize, Serialize};

use crate::link::{Config, Deliveries, Epoch, Input, Link, Next, Op};
use crate::outbox::{Message, MessageId, Refused, Settlement, Slots};
use crate::time::Instant;
use crate::wire::native::Limits;
use crate::wire::{Frame, Wire};
use secrets::Secrets;

const MAGIC: &[u8] = b"everlink\x03";

static CHECK: Crc<u16, Table<1>> = Crc::<u16, Table<1>>::new(&CRC_16_IBM_SDLC);

/// Begins the check of the part that follows one with this check.
fn digest_after(check: [u8; 2]) -> Digest<'static, u16, Table<1>> {
    let mut digest = CHECK.digest();
    digest.update(&check);
    digest
}

/// What a trace begins with: all that a link is made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// The seed.
    pub seed: u64,
    /// The configuration.
    pub config: Config,
}

/// One step of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record<'a> {
    /// Microseconds since the step before.
    pub after: u64,
    /// What was done.
    #[serde(borrow)]
    pub step: Step<'a>,
}

/// An operation, or the answer to a poll.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Step<'a> {
    /// This was done to the link. Never [`Op::Poll`].
    Op(#[serde(borrow)] Op<'a>),
    /// The link was polled, and this was its answer.
    Polled(Next),
}

/// Writes a trace, piece by piece, into a sink.
#[derive(Debug)]
pub struct Recorder<F> {
    sink: F,
    last: Instant,
    check: [u8; 2],
    /// If the wire is the native one, whose frames may hold secrets.
    native: Option<Limits>,
}

impl<F: FnMut(&[u8])> Recorder<F> {
    /// Begins a trace of a link that is made of this configuration and seed.
    pub fn new(config: &Config, seed: u64, mut sink: F) -> Recorder<F> {
        sink(MAGIC);
        let native = match config.wire {
            Wire::Raw(_) | Wire::Json(_) => None,
            Wire::Native(limits) => Some(limits),
        };
        let mut recorder = Recorder { sink, last: Instant::ORIGIN, check: [0; 2], native };
        recorder.write(&Header { seed, config: config.clone() });
        recorder
    }

    /// Records a step that was taken at `now`.
    pub fn record(&mut self, now: Instant, step: Step<'_>) {
        let now = now.max(self.last);
        let after = now.micros() - self.last.micros();
        self.last = now;
        let native = self.native;
        let secrets = Secrets::of(&step, native.as_ref());
        self.write_but(&Record { after, step }, secrets);
    }

    fn write(&mut self, value: &impl Serialize) {
        self.write_but(value, Secrets::NONE);
    }

    fn write_but(&mut self, value: &impl Serialize, secrets: Secrets<'_>) {
        let left = if secrets.is_empty() { 0 } else { serialized_size(value).unwrap_or(0) };
        let sink = Sink { sink: &mut self.sink, digest: digest_after(self.check), left, secrets };
        // The sink takes everything, and all of the types are known: there is nothing that could fail.
        if let Ok(check) = postcard::serialize_with_flavor(value, sink) {
            self.check = check.to_le_bytes();
            (self.sink)(&self.check);
        }
    }
}

/// What postcard writes to. Secrets become zeros.
struct Sink<'a, 'f, F> {
    sink: &'a mut F,
    digest: Digest<'static, u16, Table<1>>,
    secrets: Secrets<'f>,
    /// How many bytes are still to come, where there are secrets among them.
    left: usize,
}

impl<F: FnMut(&[u8])> Sink<'_, '_, F> {
    fn put(&mut self, bytes: &[u8]) {
        self.digest.update(bytes);
        (self.sink)(bytes);
    }
}

impl<F: FnMut(&[u8])> postcard::ser_flavors::Flavor for Sink<'_, '_, F> {
    type Output = u16;

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.try_extend(&[byte])
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        if self.secrets.is_empty() {
            self.put(bytes);
            return Ok(());
        }
        for byte in bytes {
            let byte = if self.secrets.cover(self.left) { 0 } else { *byte };
            self.put(&[byte]);
            self.left = self.left.saturating_sub(1);
        }
        Ok(())
    }

    fn finalize(self) -> postcard::Result<u16> {
        Ok(self.digest.finalize())
    }
}

/// A link that records, if it is given a recorder. It has the link's methods; what only looks comes through `Deref`.
#[derive(Debug)]
pub struct Traced<P, S, F> {
    link: Link<P, S>,
    recorder: Option<Recorder<F>>,
    now: Instant,
}

impl<P, S, F> Traced<P, S, F>
where
    P: AsRef<[u8]>,
    S: Slots<P>,
    F: FnMut(&[u8]),
{
    /// A fresh link, recorded if there is a recorder. It must have been made for this link's configuration and seed.
    pub const fn new(link: Link<P, S>, recorder: Option<Recorder<F>>) -> Traced<P, S, F> {
        Traced { link, recorder, now: Instant::ORIGIN }
    }

    /// The step is only made if there is a recorder: copying it would cost as much as what is recorded.
    #[inline]
    fn record<'s>(&mut self, step: impl FnOnce() -> Step<'s>) {
        if let Some(recorder) = &mut self.recorder {
            recorder.record(self.now, step());
        }
    }

    /// [`Link::handle`], recorded.
    #[inline]
    pub fn handle<'f>(&mut self, now: Instant, input: Input<'f>) -> Deliveries<'f> {
        self.now = now;
        self.record(|| Step::Op(Op::Handle(input)));
        self.link.handle(now, input)
    }

    /// [`Link::poll`], recorded.
    #[inline]
    pub fn poll(&mut self) -> Next {
        let next = self.link.poll();
        self.record(|| Step::Polled(next));
        next
    }

    /// [`Link::settled`], without a recorder: in a trace, each has its turn.
    #[inline]
    pub fn settled(&mut self) -> Option<Settlement> {
        if self.recorder.is_some() { None } else { self.link.settled() }
    }

    /// [`Link::send`], recorded.
    ///
    /// # Errors
    /// Those of [`Link::send`].
    pub fn send(
        &mut self,
        now: Instant,
        message: Message<P>,
        displaced: impl FnMut(Settlement, P),
    ) -> Result<MessageId, Refused<P>> {
        self.now = now;
        self.record(|| Step::Op(Op::send(&message)));
        self.link.send(now, message, displaced)
    }

    /// [`Link::cancel`], recorded.
    pub fn cancel(&mut self, id: MessageId) -> Option<P> {
        self.record(|| Step::Op(Op::Cancel(id)));
        self.link.cancel(id)
    }

    /// [`Link::set_credentials`], recorded without what they are.
    pub fn set_credentials(&mut self, credentials: Option<P>) {
        let len = credentials.as_ref().map(|bytes| u32::try_from(bytes.as_ref().len()).unwrap_or(u32::MAX));
        self.record(|| Step::Op(Op::Credentials(len)));
        self.link.set_credentials(credentials);
    }

    /// [`Link::pull`], recorded.
    pub fn pull(&mut self, epoch: Epoch) -> Option<Frame<'_>> {
        self.record(|| Step::Op(Op::Pull(epoch)));
        self.link.pull(epoch)
    }
}

impl<P, S, F> Deref for Traced<P, S, F> {
    type Target = Link<P, S>;

    fn deref(&self) -> &Link<P, S> {
        &self.link
    }
}

/// Why a trace cannot be read, or does not replay.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TraceError {
    /// The byte at which the part begins that is at fault.
    pub at: usize,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a trace.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Problem {
    /// It is no trace, or one of another version of the format.
    Foreign,
    /// The bytes make no header or record.
    Damaged,
    /// The configuration cannot work.
    Config(crate::error::ConfigError),
    /// The link answers otherwise than it did when the trace was recorded.
    Diverged {
        /// What the trace holds.
        recorded: Next,
        /// What the link answers now.
        replayed: Next,
    },
}

impl fmt::Display for TraceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at byte {}: ", self.at)?;
        match &self.problem {
            Problem::Foreign => f.write_str("not a trace of this version"),
            Problem::Damaged => f.write_str("damaged or cut off"),
            Problem::Config(error) => write!(f, "impossible configuration: {error}"),
            Problem::Diverged { recorded, replayed } => {
                write!(f, "the link answered {recorded:?} then and {replayed:?} now")
            }
        }
    }
}

impl core::error::Error for TraceError {}

/// Reads a trace, record by record.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    all: usize,
    rest: &'a [u8],
    check: [u8; 2],
}

impl<'a> Reader<'a> {
    /// Reads the header.
    ///
    /// # Errors
    /// Says at which byte, and whether the trace is foreign or damaged.
    pub fn new(trace: &'a [u8]) -> Result<(Header, Reader<'a>), TraceError> {
        let foreign = TraceError { at: 0, problem: Problem::Foreign };
        let rest = trace.strip_prefix(MAGIC).ok_or(foreign)?;
        let mut reader = Reader { all: trace.len(), rest, check: [0; 2] };
        Ok((reader.read()?, reader))
    }

    /// The byte at which the next record begins.
    #[must_use]
    pub const fn byte(&self) -> usize {
        self.all - self.rest.len()
    }

    fn read<T: Deserialize<'a>>(&mut self) -> Result<T, TraceError> {
        let damaged = TraceError { at: self.byte(), problem: Problem::Damaged };
        let Ok((value, behind)) = postcard::take_from_bytes(self.rest) else { return Err(damaged) };
        let part = self.rest.len() - behind.len();
        let (Some(part), Some((check, rest))) = (self.rest.get(..part), behind.split_first_chunk()) else {
            return Err(damaged);
        };
        let mut digest = digest_after(self.check);
        digest.update(part);
        if digest.finalize().to_le_bytes() != *check {
            return Err(damaged);
        }
        (self.rest, self.check) = (rest, *check);
        Ok(value)
    }
}

/// Ends after the last record, or after the first error.
impl<'a> Iterator for Reader<'a> {
    type Item = Result<Record<'a>, TraceError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let record = self.read();
        if record.is_err() {
            self.rest = &[];
        }
        Some(record)
    }
}

/// A trace that was replayed.
#[cfg(feature = "alloc")]
#[derive(Debug)]
pub struct Replayed {
    /// The link as it was at the end.
    pub link: Link<alloc::vec::Vec<u8>>,
    /// The time at the end.
    pub now: Instant,
    /// How many records were replayed.
    pub records: u64,
}

/// Replays a trace on a new link, and compares every answer with the recorded one.
///
/// # Errors
/// Says at which byte the trace is foreign, damaged, or answered otherwise.
#[cfg(feature = "alloc")]
pub fn replay(trace: &[u8]) -> Result<Replayed, TraceError> {
    let (Header { seed, config }, mut reader) = Reader::new(trace)?;
    let at = MAGIC.len();
    // A send takes several bytes of trace; so a damaged number of messages cannot ask for all the memory there is.
    let link = Link::with_history(config, seed, trace.len())
        .map_err(|error| TraceError { at, problem: Problem::Config(error) })?;
    let mut replayed = Replayed { link, now: Instant::ORIGIN, records: 0 };
    loop {
        let at = reader.byte();
        let Some(record) = reader.next() else { return Ok(replayed) };
        let Record { after, step } = record?;
        replayed.now = replayed.now + core::time::Duration::from_micros(after);
        replayed.records += 1;
        match step {
            Step::Op(op) => drop(replayed.link.apply(replayed.now, op)),
            Step::Polled(recorded) => {
                let now = replayed.link.poll();
                if now != recorded {
                    let problem = Problem::Diverged { recorded, replayed: now };
                    return Err(TraceError { at, problem });
                }
            }
        }
    }
}
