//! The clocks of this machine: one that the link goes by, and one that goes on while the machine sleeps.

use std::time::{Duration, SystemTime};

use everlink::link::Input;
use everlink::time::Instant;
use tokio::time::Instant as Monotonic;

/// The clock that a link goes by: microseconds since the connection was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Monotonic);

impl Clock {
    pub(crate) fn new() -> Clock {
        Clock(Monotonic::now())
    }

    pub(crate) fn now(&self) -> Instant {
        Instant::ORIGIN + self.0.elapsed()
    }

    /// When that will be on tokio's clock, whose timers round up.
    pub(crate) fn at(&self, instant: Instant) -> Monotonic {
        self.0 + (instant - Instant::ORIGIN)
    }
}

/// How much longer than the monotonic clock the boot-time clock must have run to call it sleep.
const SLEEP: Duration = Duration::from_secs(1);

/// How long the machine may run before somebody asks again: under traffic, each time would be too often.
const OFTEN: Duration = Duration::from_millis(100);

/// Notices that the machine slept: by then, the boot-time clock is further ahead of the monotonic one.
#[derive(Debug)]
pub(crate) struct SleepWatch {
    ahead: Duration,
    asked: Instant,
}

impl SleepWatch {
    pub(crate) fn new() -> SleepWatch {
        SleepWatch { ahead: ahead(), asked: Instant::ORIGIN }
    }

    /// How long the machine slept since this was last asked.
    pub(crate) fn check(&mut self, now: Instant) -> Option<Duration> {
        if now.since(self.asked) < OFTEN {
            return None;
        }
        self.asked = now;
        let before = std::mem::replace(&mut self.ahead, ahead());
        self.ahead.checked_sub(before).filter(|slept| *slept >= SLEEP)
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn ahead() -> Duration {
    use rustix::time::{ClockId, clock_gettime};
    let read = |clock| Duration::try_from(clock_gettime(clock)).unwrap_or_default();
    read(ClockId::Boottime).saturating_sub(read(ClockId::Monotonic))
}

/// Elsewhere there is no such pair of clocks to be had without unsafe code; a late tick tells.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const fn ahead() -> Duration {
    Duration::ZERO
}

/// What the wall clock shows.
pub(crate) fn wall_clock() -> Input<'static> {
    Input::WallClock(since_1970())
}

/// The same as a duration.
pub(crate) fn since_1970() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}
