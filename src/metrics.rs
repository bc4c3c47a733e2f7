//! What happened to a link, in numbers: counters that saturate, latencies, uptime, and a [`Report`] of them as plain data.
//!
//! ```
//! use core::time::Duration;
//! use everlink::metrics::{Metrics, Queue};
//! use everlink::time::Instant;
//!
//! let mut metrics = Metrics::new();
//! metrics.counts.attempts += 1;
//! metrics.connected(Instant::from_millis(100));
//! metrics.latency(Duration::from_millis(40));
//! metrics.latency(Duration::from_millis(60));
//!
//! let report = metrics.report(Instant::from_millis(5_100), None, Queue::default());
//! assert_eq!(report.counts.connects, 1);
//! assert_eq!(report.uptime, Some(Duration::from_secs(5)));
//! assert_eq!(report.latency.unwrap().mean, Duration::from_millis(50));
//! ```

use core::fmt;
use core::ops::AddAssign;
use core::time::Duration;

use crate::time::{Instant, micros};

/// How many of the last latencies [`Latency::mean`] is taken over.
pub const RECENT: usize = 20;

/// A number that only grows, by `+=`, and stays at `u64::MAX` once there.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(transparent))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Counter(u64);

impl Counter {
    /// The count.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl AddAssign<u64> for Counter {
    fn add_assign(&mut self, more: u64) {
        self.0 = self.0.saturating_add(more);
    }
}

impl From<u64> for Counter {
    fn from(count: u64) -> Counter {
        Counter(count)
    }
}

impl PartialEq<u64> for Counter {
    fn eq(&self, other: &u64) -> bool {
        self.0 == *other
    }
}

impl fmt::Debug for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Events since the link was made, over all its sockets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Counts {
    /// Sockets that the link tried to open.
    pub attempts: Counter,
    /// Of these, those that came to nothing.
    pub failed_opens: Counter,
    /// Sockets that became the link's own: counted by [`Metrics::connected`].
    pub connects: Counter,
    /// Times the link lost its socket: counted by [`Metrics::disconnected`].
    pub disconnects: Counter,
    /// Sockets opened beside one that was suspect.
    pub candidates: Counter,
    /// Sockets that were left without a closing handshake.
    pub abandoned_sockets: Counter,
    /// Times the process was found to have been suspended.
    pub suspensions: Counter,
    /// Messages handed to a socket: counted by [`Metrics::sent`].
    pub messages_sent: Counter,
    /// Their bytes.
    pub bytes_sent: Counter,
    /// Messages that came in: counted by [`Metrics::received`].
    pub messages_received: Counter,
    /// Their bytes.
    pub bytes_received: Counter,
    /// Pings that the link sent.
    pub pings_sent: Counter,
    /// Pongs that answered one of them.
    pub pongs_received: Counter,
    /// Pongs that answered no ping of the link's that was still waited for: late, repeated, or never asked for.
    pub stray_pongs: Counter,
    /// Times that a pong, or the server's own ping, was not there when it was due.
    pub missed_pongs: Counter,
    /// Times that the server went on with the session on another socket.
    pub resumptions: Counter,
    /// Times that it began a new one.
    pub sessions: Counter,
    /// Messages that came again after a resumption, and were dropped.
    pub repeats: Counter,
    /// Times that an acknowledgement was not there when it was due.
    pub overdue_acks: Counter,
    /// Messages settled as written, on a wire without acknowledgements.
    pub written: Counter,
    /// Messages settled as acknowledged.
    pub acknowledged: Counter,
    /// Sends that handed the message back to the caller.
    pub refused_sends: Counter,
    /// Messages that were accepted and settled as anything else.
    pub drops: Drops,
    /// Inputs of an epoch that was over.
    pub stale_inputs: Counter,
    /// Inputs that the peer had no right to send.
    pub protocol_violations: Counter,
    /// Frames that were no message of the JSON wire.
    pub malformed: Counter,
}

/// Messages that were accepted and whose arrival is not known, by the reason that they were settled with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Drops {
    /// Too old before they could be sent.
    pub expired: Counter,
    /// Made room for others in a full queue.
    pub evicted: Counter,
    /// A newer message of the same key took their place.
    pub replaced: Counter,
    /// Taken back by the application.
    pub cancelled: Counter,
    /// Beyond the limit that the other side announced.
    pub too_large: Counter,
    /// Still waiting when the link stopped.
    pub stopped: Counter,
    /// Sent, and the socket died before it was known whether they arrived.
    pub in_doubt: Counter,
}

impl Drops {
    /// The sum over all reasons.
    #[must_use]
    pub fn total(&self) -> u64 {
        let Drops { expired, evicted, replaced, cancelled, too_large, stopped, in_doubt } = *self;
        let mut total = Counter::default();
        for drops in [expired, evicted, replaced, cancelled, too_large, stopped, in_doubt] {
            total += drops.get();
        }
        total.get()
    }
}

/// The counters of one link, its uptime and its latencies. Never reset by a new socket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    /// Counted by the owner, `metrics.counts.pings_sent += 1`, except where a method of `Metrics` does it.
    pub counts: Counts,
    up_since: Option<Instant>,
    /// Microseconds for which earlier sockets were up.
    up_before: u64,
    samples: u64,
    /// The last latencies in microseconds; the newest one is at `(samples - 1) % RECENT`.
    recent: [u32; RECENT],
    last: u32,
    min: u32,
    max: u32,
}

impl Metrics {
    /// Everything at zero.
    #[must_use]
    pub fn new() -> Metrics {
        Metrics::default()
    }

    /// A socket became the link's own. If another one was (a candidate takes over), its uptime ends here, and that is no
    /// disconnect.
    pub fn connected(&mut self, now: Instant) {
        self.counts.connects += 1;
        self.up_before = micros(self.uptime_total(now));
        self.up_since = Some(now);
    }

    /// The link lost its socket. Does nothing if it had none.
    pub fn disconnected(&mut self, now: Instant) {
        if self.up_since.is_some() {
            self.counts.disconnects += 1;
            self.up_before = micros(self.uptime_total(now));
            self.up_since = None;
        }
    }

    /// A round trip was measured. Kept in microseconds, at most 2³² − 1 (71 minutes).
    pub fn latency(&mut self, rtt: Duration) {
        let rtt = u32::try_from(micros(rtt)).unwrap_or(u32::MAX);
        let slot = (self.samples % RECENT as u64) as usize;
        if let Some(slot) = self.recent.get_mut(slot) {
            *slot = rtt;
        }
        self.min = if self.samples == 0 { rtt } else { self.min.min(rtt) };
        self.max = self.max.max(rtt);
        self.last = rtt;
        self.samples = self.samples.saturating_add(1);
    }

    /// A message of `bytes` was handed to the socket.
    pub fn sent(&mut self, bytes: usize) {
        self.counts.messages_sent += 1;
        self.counts.bytes_sent += bytes as u64;
    }

    /// A message of `bytes` came in.
    pub fn received(&mut self, bytes: usize) {
        self.counts.messages_received += 1;
        self.counts.bytes_received += bytes as u64;
    }

    /// All numbers as of `now`, with those that others keep: the smoothed latency (see
    /// [`quality`](crate::quality::Monitor::latency)) and what waits in the queue.
    #[must_use]
    pub fn report(&self, now: Instant, smoothed: Option<Duration>, queue: Queue) -> Report {
        Report {
            counts: self.counts,
            uptime: self.up_since.map(|since| now - since),
            uptime_total: self.uptime_total(now),
            smoothed_latency: smoothed,
            latency: self.latencies(),
            queue,
        }
    }

    fn uptime_total(&self, now: Instant) -> Duration {
        let current = self.up_since.map_or(Duration::ZERO, |since| now - since);
        Duration::from_micros(self.up_before.saturating_add(micros(current)))
    }

    fn latencies(&self) -> Option<Latency> {
        let recent = self.samples.min(RECENT as u64);
        // Slots without a sample are zero and add nothing.
        let sum: u64 = self.recent.iter().copied().map(u64::from).fold(0, u64::saturating_add);
        let span = |micros: u32| Duration::from_micros(micros.into());
        Some(Latency {
            mean: Duration::from_micros(sum.checked_div(recent)?),
            last: span(self.last),
            min: span(self.min),
            max: span(self.max),
        })
    }
}

/// What waits to be sent, as the queue's owner tells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Queue {
    /// How many messages.
    pub messages: u32,
    /// Their bytes.
    pub bytes: u32,
}

/// A snapshot of a link's [`Metrics`]: plain data that hangs together.
///
/// As serde data all times are whole microseconds in fields whose name ends in `_us`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Report {
    /// Events since the link was made.
    pub counts: Counts,
    /// How long the current socket has been up; `None` without one.
    #[cfg_attr(feature = "serde", serde(rename = "uptime_us", with = "in_micros::optional"))]
    pub uptime: Option<Duration>,
    /// How long sockets have been up in all, the current one included.
    #[cfg_attr(feature = "serde", serde(rename = "uptime_total_us", with = "in_micros"))]
    pub uptime_total: Duration,
    /// The smoothed latency of the current socket; `None` before its first sample.
    #[cfg_attr(feature = "serde", serde(rename = "smoothed_latency_us", with = "in_micros::optional"))]
    pub smoothed_latency: Option<Duration>,
    /// The latencies over all sockets; `None` before the first sample.
    pub latency: Option<Latency>,
    /// What waits to be sent.
    pub queue: Queue,
}

/// Round trips over the life of a link, in whole microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Latency {
    /// The newest.
    #[cfg_attr(feature = "serde", serde(rename = "last_us", with = "in_micros"))]
    pub last: Duration,
    /// The mean of the last [`RECENT`], rounded down.
    #[cfg_attr(feature = "serde", serde(rename = "mean_us", with = "in_micros"))]
    pub mean: Duration,
    /// The shortest of all.
    #[cfg_attr(feature = "serde", serde(rename = "min_us", with = "in_micros"))]
    pub min: Duration,
    /// The longest of all.
    #[cfg_attr(feature = "serde", serde(rename = "max_us", with = "in_micros"))]
    pub max: Duration,
}

#[cfg(feature = "serde")]
mod in_micros {
    use core::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    use crate::time::micros;

    pub(super) fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(micros(*value))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_micros)
    }

    pub(super) mod optional {
        use core::time::Duration;

        use serde::{Deserialize, Deserializer, Serialize, Serializer};

        use crate::time::micros;

        pub(in super::super) fn serialize<S: Serializer>(
            value: &Option<Duration>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            value.map(micros).serialize(serializer)
        }

        pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<Duration>, D::Error> {
            Ok(Option::<u64>::deserialize(deserializer)?.map(Duration::from_micros))
        }
    }
}
