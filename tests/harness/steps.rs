//! What a random history is made of.

use core::time::Duration;

use everlink::link::Failure;
use everlink::outbox::{Kind, Priority};

/// The channels that a saying may name, by its number.
pub const CHANNELS: [&str; 3] = ["a", "b", "c"];

/// The channel of this number.
pub fn channel(which: u8) -> &'static str {
    CHANNELS[usize::from(which) % CHANNELS.len()]
}

/// Something that is said in a dialogue, owned.
#[derive(Clone, Debug)]
pub enum Saying {
    Open,
    Ask {
        len: usize,
        timeout: Duration,
        again: bool,
    },
    /// The request of this number, whether there is one or not.
    Cancel(u32),
    Respond(u32),
    Reject(u32),
    Subscribe(u8),
    Unsubscribe(u8),
    Publish(u8),
}

/// Which socket an event is of.
#[derive(Clone, Copy, Debug)]
pub enum Of {
    /// The one that was asked for last.
    Newest,
    /// The one before it.
    Previous,
    /// One of this number, whether there ever was such a socket or not.
    Number(u32),
}

/// Something that happens to a socket, owned.
#[derive(Clone, Debug)]
pub enum Happening {
    Failed(Failure),
    Opened,
    Frame(Kind, Vec<u8>),
    Received(u32),
    Ping,
    Pong(Vec<u8>),
    /// Answers the ping that was sent last.
    Answer,
    /// So many bytes more than before were written.
    Wrote(u64),
    /// A total as absurd as it may be.
    Written(u64),
    Writable,
    Paused,
    Resumed,
    Violation(u16),
    Closed(Option<u16>, Option<Duration>),
}

/// One step of a random history.
#[derive(Clone, Debug)]
pub enum Step {
    /// Time passes and nobody looks.
    Pass(Duration),
    /// The caller's clock runs backwards by this much, for one tick.
    Back(Duration),
    /// A tick right at the deadline, then a drain.
    Deadline,
    Start,
    Stop(Duration),
    Tick,
    Online,
    Offline,
    Visible,
    Hidden,
    Suspended(Duration),
    WallClock(Duration),
    Socket(Of, Happening),
    Send {
        len: usize,
        priority: Priority,
        ttl: Option<Duration>,
        key: Option<u64>,
    },
    /// Says something in a dialogue.
    Say(Saying),
    /// Takes back the message that was accepted as the nth before the last.
    Cancel(usize),
    /// Pulls at most so many frames.
    Pull(Of, usize),
    /// From now on the disk works at once, or does not answer.
    Disk(bool),
    /// The disk answers to what was to be stored last: it is, or it could not be.
    Stored(bool),
    /// The application has not taken the message of this number, nor what came behind it; or all was taken. Any number.
    Unread(Option<u64>),
    /// The application gets other credentials, or none.
    Credentials(bool),
    /// The process ends in good order, and the next one goes on with its state.
    Restart,
    Poll,
    Drain,
}
