//! Is the other end still there? Pings, the answers that are due, and the silence that is too long.
//!
//! A [`Heartbeat`] lives exactly as long as one socket. Only what comes *in* is a sign of life; own sends never are, but
//! they make silence suspicious sooner. A missed answer is a suspicion, several in a row are a verdict.
//!
//! ```
//! use core::time::Duration;
//! use everlink::heartbeat::{Beat, Config, Heartbeat};
//! use everlink::time::Instant;
//!
//! let config = Config::default();
//! let opened = Instant::ORIGIN;
//! let mut heartbeat = Heartbeat::new(opened);
//!
//! // The first ping goes out at once: it measures the path.
//! let Some(Beat::Ping { nonce }) = heartbeat.fire(&config, opened) else { panic!() };
//! let rtt = heartbeat.pong(&config, opened + Duration::from_millis(40), Some(nonce));
//! assert_eq!(rtt, Some(Duration::from_millis(40)));
//!
//! // Then nothing until the interval has passed in silence.
//! let (at, _) = heartbeat.next(&config).unwrap();
//! assert_eq!(at, opened + Duration::from_millis(15_040));
//! ```

use core::time::Duration;

use crate::error::ConfigError;
use crate::time::{Instant, micros};

/// Who pings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Mode {
    /// This end pings when it has heard nothing for an interval, and expects answers.
    Client,
    /// The server pings; this end answers, and takes silence of interval plus margin for death. It sends no ping of its
    /// own (some servers treat one as an error).
    Server,
    /// Both ends ping and both answer.
    Both,
    /// No timer runs; the socket lives until it says that it is closed.
    Off,
}

/// The numbers of a heartbeat.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
pub struct Config {
    /// Who pings.
    pub mode: Mode,
    /// How long nothing may come in before a ping is sent; in [`Mode::Server`], how often the server pings.
    #[cfg_attr(feature = "serde", serde(with = "crate::human::duration"))]
    pub interval: Duration,
    /// When the answer to a ping is due, as long as no round trip has been measured or if `adaptive` is off.
    #[cfg_attr(feature = "serde", serde(with = "crate::human::duration"))]
    pub timeout: Duration,
    /// Derive the deadline of an answer from the measured round trips (RFC 6298: SRTT + 4·RTTVAR, doubled after each
    /// missed answer), between `min_timeout` and the larger of `timeout` and `interval` (or `min_timeout`, if that is larger still).
    pub adaptive: bool,
    /// The adaptive deadline is never shorter than this.
    #[cfg_attr(feature = "serde", serde(with = "crate::human::duration"))]
    pub min_timeout: Duration,
    /// How many answers missed in a row end the socket.
    pub misses: u8,
    /// When the answer to an urgent ping is due (the network came back, the page became visible, the machine woke up), or
    /// after the adaptive deadline, if that is longer. A single one that is missed ends the socket.
    #[cfg_attr(feature = "serde", serde(with = "crate::human::duration"))]
    pub probe_timeout: Duration,
    /// Ping already when own messages met nothing inbound for this long: while the application is sending, loss is time
    /// to notice times rate.
    #[cfg_attr(feature = "serde", serde(with = "crate::human::duration_or_off"))]
    pub early: Option<Duration>,
    /// Ping as soon as the socket is open, so that latency is known from the start.
    pub on_open: bool,
    /// Any inbound byte is a sign of life. If off, only pings and pongs are.
    pub any_inbound: bool,
    /// In [`Mode::Server`], how much later than `interval` the server's ping may be.
    #[cfg_attr(feature = "serde", serde(with = "crate::human::duration"))]
    pub margin: Duration,
    /// Ping at least this often even while data comes in: a link that is never quiet has a latency, too. Not while the
    /// page is hidden.
    #[cfg_attr(feature = "serde", serde(with = "crate::human::duration_or_off"))]
    pub measure: Option<Duration>,
    /// While the page is hidden, `interval` is this many times longer.
    pub hidden_stretch: u32,
    /// While an answer has been missed or the quality is degraded, neither `interval` nor `measure` is longer than this (unless the page is hidden): so that it is
    /// soon seen to be well again.
    #[cfg_attr(feature = "serde", serde(with = "crate::human::duration"))]
    pub watchful_interval: Duration,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            mode: Mode::Client,
            interval: Duration::from_secs(15),
            timeout: Duration::from_secs(5),
            adaptive: true,
            min_timeout: Duration::from_secs(1),
            misses: 3,
            probe_timeout: Duration::from_secs(2),
            early: Some(Duration::from_secs(2)),
            on_open: true,
            any_inbound: true,
            margin: Duration::from_secs(1),
            measure: Some(Duration::from_secs(30)),
            hidden_stretch: 4,
            watchful_interval: Duration::from_secs(5),
        }
    }
}

impl Config {
    /// Checks that these numbers can work.
    ///
    /// # Errors
    /// Names the first field that is zero where it must not be.
    pub fn check(&self) -> Result<(), ConfigError> {
        const ZERO: &str = "must not be zero";
        let some = |duration: Duration| micros(duration) > 0;
        ConfigError::unless(some(self.interval), "heartbeat.interval", ZERO)?;
        ConfigError::unless(some(self.timeout), "heartbeat.timeout", ZERO)?;
        ConfigError::unless(some(self.min_timeout), "heartbeat.min_timeout", ZERO)?;
        ConfigError::unless(some(self.probe_timeout), "heartbeat.probe_timeout", ZERO)?;
        ConfigError::unless(some(self.watchful_interval), "heartbeat.watchful_interval", ZERO)?;
        ConfigError::unless(self.misses > 0, "heartbeat.misses", ZERO)?;
        ConfigError::unless(
            self.early.is_none_or(some),
            "heartbeat.early",
            "must not be zero (off: \"off\")",
        )?;
        ConfigError::unless(
            self.measure.is_none_or(some),
            "heartbeat.measure",
            "must not be zero (off: \"off\")",
        )?;
        ConfigError::unless(self.hidden_stretch > 0, "heartbeat.hidden_stretch", ZERO)
    }

    /// Whether this end sends pings.
    const fn pings(&self) -> bool {
        matches!(self.mode, Mode::Client | Mode::Both)
    }

    /// The longest deadline that an adaptive answer may get.
    fn longest(&self) -> Duration {
        self.timeout.max(self.interval).max(self.min_timeout)
    }
}

/// What the heartbeat will do next, and why the machine wakes for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Due {
    /// A ping is to be sent.
    Ping,
    /// The answer to a ping will be overdue.
    Answer,
    /// The server's own ping will be overdue.
    Silence,
}

/// What a timer of the heartbeat led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Beat {
    /// Send a ping that carries this nonce, if the wire can carry one.
    Ping {
        /// Comes back in the pong; never zero.
        nonce: u32,
    },
    /// An answer is overdue: the socket is suspect, and is probed again with this nonce.
    Missed {
        /// Of the new ping.
        nonce: u32,
    },
    /// The socket is dead.
    Dead,
}

/// The heartbeat of one socket.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Heartbeat {
    /// When the last sign of life came, or when waiting for one began.
    quiet_since: Instant,
    /// When the first message left that nothing inbound has followed yet.
    unanswered_send: Option<Instant>,
    opened: Instant,
    /// When the last ping left.
    pinged: Option<Instant>,
    probe: Option<Probe>,
    rtt: Rtt,
    last_nonce: u32,
    /// Pings sent and not answered; on a wire without nonces, an answer is a sample only if this is one.
    open_pings: u8,
    missed: u8,
    first: bool,
    paused: bool,
    hidden: bool,
    watchful: bool,
    congested: bool,
    /// A round trip is to be measured at once.
    wanted: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
struct Probe {
    nonce: u32,
    sent: Instant,
    /// When its answer is overdue; `None` once another sign of life came, or while reading is paused: then it is still a
    /// sample, but no suspicion.
    due: Option<Instant>,
    urgent: bool,
    /// Time that does not count passed since it was sent: its answer measures nothing.
    held: bool,
}

impl Heartbeat {
    /// The heartbeat of a socket that opened at `now`.
    #[must_use]
    pub const fn new(now: Instant) -> Heartbeat {
        Heartbeat {
            quiet_since: now,
            unanswered_send: None,
            opened: now,
            pinged: None,
            probe: None,
            rtt: Rtt::new(),
            last_nonce: 0,
            open_pings: 0,
            missed: 0,
            first: true,
            paused: false,
            hidden: false,
            watchful: false,
            congested: false,
            wanted: false,
        }
    }

    /// When [`fire`](Heartbeat::fire) wants to be called next, and what for.
    #[must_use]
    pub fn next(&self, config: &Config) -> Option<(Instant, Due)> {
        match config.mode {
            Mode::Off => None,
            Mode::Server if self.paused => None,
            Mode::Server => {
                Some((self.quiet_since + self.interval(config).saturating_add(config.margin), Due::Silence))
            }
            Mode::Client | Mode::Both => match self.probe {
                Some(Probe { due: Some(due), .. }) => Some((due, Due::Answer)),
                _ => Some((self.next_ping(config), Due::Ping)),
            },
        }
    }

    fn next_ping(&self, config: &Config) -> Instant {
        if self.first && config.on_open || self.wanted {
            return self.quiet_since;
        }
        let quiet_since = self.pinged.map_or(self.quiet_since, |pinged| pinged.max(self.quiet_since));
        let mut at = quiet_since + self.interval(config);
        if let Some(early) = self.early_ping(config) {
            at = at.min(early);
        }
        if let Some(every) = config.measure
            && !self.hidden
        {
            let last = self.pinged.unwrap_or(self.opened);
            at = at.min(last + if self.watchful { every.min(config.watchful_interval) } else { every });
        }
        at
    }

    /// When a ping is due because own messages have met nothing inbound.
    pub(crate) fn early_ping(&self, config: &Config) -> Option<Instant> {
        let (sent, early) = (self.unanswered_send?, config.early?);
        self.pinged.is_none_or(|pinged| pinged < sent).then(|| sent + early)
    }

    fn interval(&self, config: &Config) -> Duration {
        match (self.hidden, self.watchful) {
            (true, _) => config.interval.saturating_mul(config.hidden_stretch),
            (false, true) => config.interval.min(config.watchful_interval),
            (false, false) => config.interval,
        }
    }

    /// Fires the timer if it is due. A late call fires it once and re-arms it from `now`.
    pub fn fire(&mut self, config: &Config, now: Instant) -> Option<Beat> {
        match self.next(config)? {
            (at, _) if at > now => None,
            (_, Due::Silence) => Some(Beat::Dead),
            (_, Due::Ping) => match self.probe {
                // One is on its way: another would only take its place, and on a slow path none would ever be answered in
                // time to be a sample. Its answer is due again instead.
                Some(out) if !self.paused && !out.held && now < out.sent + config.longest() => {
                    let due = now + Duration::from_micros(self.timeout(config, false));
                    self.probe = Some(Probe { due: Some(due), ..out });
                    None
                }
                _ => Some(Beat::Ping { nonce: self.ping(config, now, false) }),
            },
            (_, Due::Answer) => {
                self.missed = self.missed.saturating_add(1);
                let urgent = self.probe.is_some_and(|probe| probe.urgent);
                if urgent || self.missed >= config.misses {
                    Some(Beat::Dead)
                } else {
                    Some(Beat::Missed { nonce: self.ping(config, now, false) })
                }
            }
        }
    }

    /// Asks at once, with a short deadline, whether the other end is there: the network came back, the page became visible,
    /// or the machine woke up. `None` where an urgent answer is already awaited, or where only the server may ping.
    pub fn probe(&mut self, config: &Config, now: Instant) -> Option<u32> {
        match self.probe {
            Some(Probe { urgent: true, due: Some(_), .. }) => None,
            _ => config.pings().then(|| self.ping(config, now, true)),
        }
    }

    fn ping(&mut self, config: &Config, now: Instant, urgent: bool) -> u32 {
        (self.first, self.wanted) = (false, false);
        self.pinged = Some(now);
        self.last_nonce = self.last_nonce.checked_add(1).unwrap_or(1);
        self.open_pings = self.open_pings.saturating_add(1);
        let due = now + Duration::from_micros(self.timeout(config, urgent));
        let due = (!self.paused).then_some(due);
        self.probe = Some(Probe { nonce: self.last_nonce, sent: now, due, urgent, held: false });
        self.last_nonce
    }

    /// Something else says that the path has become slow: a ping is due, unless one is on its way. No suspicion.
    pub const fn measure(&mut self) {
        self.wanted = self.probe.is_none();
    }

    /// How long an answer may take.
    pub(crate) fn patience(&self, config: &Config) -> Duration {
        Duration::from_micros(self.timeout(config, false))
    }

    /// How long an answer may take, in microseconds.
    fn timeout(&self, config: &Config, urgent: bool) -> u64 {
        let measured = self.rtt.timeout().filter(|_| config.adaptive && !self.congested);
        if urgent {
            return micros(config.probe_timeout).max(measured.unwrap_or(0));
        }
        measured.map_or(micros(config.timeout), |rto| {
            let doubled = rto.max(micros(config.min_timeout)).saturating_mul(1 << self.missed.min(16));
            doubled.min(micros(config.longest()))
        })
    }

    /// Bytes came in, of whatever kind. A sign of life, unless only pings and pongs are to count.
    pub fn received(&mut self, config: &Config, now: Instant) {
        if config.any_inbound {
            self.alive(now);
        }
    }

    /// The other end pinged.
    pub fn pinged(&mut self, now: Instant) {
        self.alive(now);
    }

    /// The other end answered; gives the round trip if it is certain which ping it answers (Karn's rule). A nonce that is
    /// not the last ping's proves life and measures nothing.
    pub fn pong(&mut self, config: &Config, now: Instant, nonce: Option<u32>) -> Option<Duration> {
        self.alive(now);
        let alone = self.open_pings == 1;
        self.open_pings = self.open_pings.saturating_sub(1);
        let probe =
            self.probe.take_if(|probe| !probe.held && nonce.map_or(alone, |nonce| probe.nonce == nonce))?;
        if nonce.is_some() {
            self.open_pings = 0;
        }
        let rtt = now.since(probe.sent);
        if config.pings() {
            self.rtt.sample(rtt);
        }
        Some(rtt)
    }

    fn alive(&mut self, now: Instant) {
        self.quiet_since = self.quiet_since.max(now);
        self.unanswered_send = None;
        self.congested = false;
        self.missed = 0;
        if let Some(probe) = &mut self.probe {
            probe.due = None;
            probe.urgent = false;
        }
    }

    /// An own message left. No sign of life, but from here on silence is suspicious sooner.
    pub fn sent(&mut self, now: Instant) {
        if self.unanswered_send.is_none() {
            self.unanswered_send = Some(now);
        }
    }

    /// The application stopped reading: silence proves nothing until [`resume`](Heartbeat::resume).
    pub fn pause(&mut self) {
        self.paused = true;
        if let Some(probe) = &mut self.probe {
            probe.due = None;
        }
    }

    /// The application reads again; silence counts from `now`.
    pub fn resume(&mut self, now: Instant) {
        if self.paused {
            self.paused = false;
            self.hold_until(now);
        }
    }

    /// Time until `now` is not to count, as silence or as a round trip (the network was known to be off, the process did not
    /// run).
    pub fn hold_until(&mut self, now: Instant) {
        self.quiet_since = self.quiet_since.max(now);
        self.unanswered_send = self.unanswered_send.map(|_| now);
        if let Some(probe) = &mut self.probe {
            probe.held = true;
            probe.due = probe.due.map(|due| due.max(now + due.since(probe.sent)));
        }
    }

    /// Whether the urgent ping that is out was given more time already, and nothing has come in since it was sent.
    #[must_use]
    pub const fn is_excused(&self) -> bool {
        matches!(self.probe, Some(Probe { urgent: true, held: true, due: Some(_), .. }))
    }

    /// The page is hidden or visible: intervals are stretched while hidden.
    pub const fn set_hidden(&mut self, hidden: bool) {
        self.hidden = hidden;
    }

    /// Whether the link is shown as degraded, and so is to be looked at more often.
    pub const fn set_watchful(&mut self, watchful: bool) {
        self.watchful = watchful;
    }

    /// The socket is full, so that the answer to a ping will have waited behind own data: until the next sign of life,
    /// answers are due after `timeout`, for what was measured on a free path says nothing.
    pub const fn set_congested(&mut self) {
        self.congested = true;
    }

    /// Whether the answer to a ping is due: a sign of life then brings the next ping forward, or puts it off.
    #[must_use]
    pub const fn is_awaiting(&self) -> bool {
        matches!(self.probe, Some(Probe { due: Some(_), .. }))
    }

    /// Whether an answer is overdue and nothing has come in since.
    #[must_use]
    pub const fn is_suspect(&self) -> bool {
        self.missed > 0
    }

    /// Answers missed in a row.
    #[must_use]
    pub const fn missed(&self) -> u8 {
        self.missed
    }

    /// Whether an urgent ping has been sent whose answer is still due.
    #[must_use]
    pub const fn is_probing(&self) -> bool {
        matches!(self.probe, Some(Probe { urgent: true, due: Some(_), .. }))
    }

    /// The smoothed round trip (SRTT), once one was measured.
    #[must_use]
    pub fn round_trip(&self) -> Option<Duration> {
        (self.rtt.smoothed > 0).then(|| Duration::from_micros(self.rtt.smoothed.into()))
    }
}

/// The estimator of RFC 6298, section 2, in microseconds (saturating at 71 minutes). Zero smoothed means "no sample".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
struct Rtt {
    smoothed: u32,
    variation: u32,
}

impl Rtt {
    const fn new() -> Rtt {
        Rtt { smoothed: 0, variation: 0 }
    }

    fn sample(&mut self, rtt: Duration) {
        let rtt = u32::try_from(micros(rtt)).unwrap_or(u32::MAX).max(1);
        if self.smoothed == 0 {
            *self = Rtt { smoothed: rtt, variation: rtt / 2 };
        } else {
            let (smoothed, variation) = (u64::from(self.smoothed), u64::from(self.variation));
            let error = u64::from(self.smoothed.abs_diff(rtt));
            let narrow = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
            self.variation = narrow((3 * variation + error) / 4);
            self.smoothed = narrow((7 * smoothed + u64::from(rtt)) / 8).max(1);
        }
    }

    /// RTO before its bounds: SRTT + max(G, 4·RTTVAR), with a clock granularity G of 1 µs.
    fn timeout(&self) -> Option<u64> {
        (self.smoothed > 0)
            .then(|| u64::from(self.smoothed).saturating_add((4 * u64::from(self.variation)).max(1)))
    }
}
