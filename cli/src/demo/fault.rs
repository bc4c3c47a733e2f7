//! What goes wrong during the demonstration, and for how long.

use std::time::Duration;

/// A fault, as it is named on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Fault {
    /// The connection is reset.
    Drop,
    /// The server's sockets and its port are gone, and come back.
    Restart,
    /// Everything takes longer.
    Slow,
    /// Nothing gets through, and nobody says so.
    BlackHole,
    /// The client process is stopped and continued.
    Suspend,
    /// The same where there are no signals: what drives the client's connection is held.
    #[value(skip)]
    Hold,
}

impl Fault {
    /// All that can be asked for, in the order in which they happen.
    pub(super) const ALL: [Fault; 5] =
        [Fault::Drop, Fault::Restart, Fault::Slow, Fault::BlackHole, Fault::Suspend];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Fault::Drop => "drop",
            Fault::Restart => "server restart",
            Fault::Slow => "slow network",
            Fault::BlackHole => "silent black hole",
            Fault::Suspend => "suspended process",
            Fault::Hold => "held driver",
        }
    }

    /// How long until its cause is gone.
    pub(super) const fn lasts(self) -> Duration {
        match self {
            Fault::Drop => Duration::ZERO,
            Fault::Restart => Duration::from_secs(2),
            Fault::Slow => Duration::from_secs(5),
            Fault::BlackHole => Duration::from_secs(6),
            Fault::Suspend | Fault::Hold => Duration::from_secs(4),
        }
    }

    /// What is done, for the reader.
    pub(super) const fn beginning(self) -> &'static str {
        match self {
            Fault::Drop => "the connection is reset",
            Fault::Restart => "the server drops every socket; its port refuses connections",
            Fault::Slow => "every byte takes 400 ms each way, at most 8 kB a second",
            Fault::BlackHole => "sockets stay open, but not a byte gets through",
            Fault::Suspend => "the client process is stopped (SIGSTOP)",
            Fault::Hold => "the task of the client's connection is held, without signals: it does not run",
        }
    }

    /// How it ends, for the reader.
    pub(super) const fn end(self) -> &'static str {
        match self {
            Fault::Drop => "nothing stands in the way of another one",
            Fault::Restart => "the server listens again on the same port, with the sessions that it kept",
            Fault::Slow => "the network is fast again",
            Fault::BlackHole => "the network carries again; what went into the hole is lost",
            Fault::Suspend => "the client process runs again (SIGCONT)",
            Fault::Hold => "the task of the client's connection runs again",
        }
    }
}
