//! How a connection ends (RFC 6455, section 7): who says what, and who closes the TCP connection first.
//!
//! ```text
//!               we close                               the peer closes, or breaks the protocol
//!  Open ─► Send(code) ─► AwaitClose ─┐                 Open ─► Send(code) ─┐
//!                                    ├─► server: CloseTcp ─► Ended ◄───────┤
//!                                    └─► client: AwaitTcp ─► Ended ◄───────┘
//! ```

use super::code::Code;
use super::frame::Role;

/// The closing handshake of one connection. It knows no time: bound [`Step::AwaitClose`] and [`Step::AwaitTcp`] by a time-out
/// of yours, and say [`timed_out`](Closing::timed_out).
///
/// ```
/// use everlink::ws::{Closing, Code, Role, Step};
///
/// let mut client = Closing::new(Role::Client);
/// client.close(Some(Code::NORMAL));
/// assert_eq!(client.step(), Step::Send(Some(Code::NORMAL))); // write the frame, then:
/// client.sent();
/// assert_eq!(client.step(), Step::AwaitClose);
/// client.received(Some(Code::NORMAL));
/// assert_eq!(client.step(), Step::AwaitTcp); // the server closes first
/// client.tcp_closed();
/// assert_eq!(client.step(), Step::Ended);
/// assert_eq!((client.code(), client.is_clean()), (1000, true));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Closing {
    role: Role,
    /// The frame that we owe or sent.
    ours: Frame,
    /// What the peer's frame said.
    theirs: Option<Option<Code>>,
    /// Whether the peer broke the protocol, so that nothing it says counts any more.
    failed: bool,
    timed_out: bool,
    tcp_closed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
enum Frame {
    None,
    Owed(Option<Code>),
    Sent,
}

/// What is to be done, or waited for, to end a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Step {
    /// Nothing: the connection is open.
    Open,
    /// Write a close frame with this code (`None`: without any), then say [`Closing::sent`]. After it, send nothing.
    Send(Option<Code>),
    /// Go on reading until the peer's close frame.
    AwaitClose,
    /// Go on until the peer has closed the TCP connection; a server does so first, so that the TIME_WAIT state is its own.
    AwaitTcp,
    /// Close the TCP connection; when that is done, say [`Closing::tcp_closed`].
    CloseTcp,
    /// It is over.
    Ended,
}

impl Closing {
    /// Of a connection that is open.
    #[must_use]
    pub const fn new(role: Role) -> Closing {
        Closing { role, ours: Frame::None, theirs: None, failed: false, timed_out: false, tcp_closed: false }
    }

    /// We want to close, with this code or without any. Does nothing if a close frame was sent or is owed.
    pub fn close(&mut self, code: Option<Code>) {
        if self.ours == Frame::None {
            self.ours = Frame::Owed(code);
        }
    }

    /// The peer's close frame came. It is answered with its own code, if we have not sent a frame before.
    pub fn received(&mut self, code: Option<Code>) {
        if self.theirs.is_none() && !self.failed {
            self.theirs = Some(code);
            self.close(code);
        }
    }

    /// The peer broke the protocol; the code is that of the [error](super::Error::code). The connection fails: a close frame
    /// says why, and nothing more is read.
    pub fn fail(&mut self, code: Code) {
        self.failed = true;
        match self.ours {
            Frame::None | Frame::Owed(_) => self.ours = Frame::Owed(Some(code)),
            Frame::Sent => {}
        }
    }

    /// The close frame was written.
    pub fn sent(&mut self) {
        self.ours = Frame::Sent;
    }

    /// The caller waited long enough.
    pub fn timed_out(&mut self) {
        self.timed_out = true;
    }

    /// The TCP connection is closed, by whichever end.
    pub fn tcp_closed(&mut self) {
        self.tcp_closed = true;
    }

    /// What is next.
    #[must_use]
    pub fn step(&self) -> Step {
        if self.tcp_closed {
            return Step::Ended;
        }
        match (self.ours, self.theirs) {
            _ if self.timed_out => Step::CloseTcp,
            (Frame::None, _) => Step::Open,
            (Frame::Owed(code), _) => Step::Send(code),
            (Frame::Sent, _) if self.failed => Step::CloseTcp,
            (Frame::Sent, None) => Step::AwaitClose,
            (Frame::Sent, Some(_)) => match self.role {
                Role::Client => Step::AwaitTcp,
                Role::Server => Step::CloseTcp,
            },
        }
    }

    /// The code that the application is told (section 7.1.5): the peer's; 1005 if its frame had none; 1006 if there was no
    /// frame, so far. These two are never on the wire, which is why this is no [`Code`].
    #[must_use]
    pub const fn code(&self) -> u16 {
        match self.theirs {
            Some(Some(code)) => code.get(),
            Some(None) => 1005,
            None => 1006,
        }
    }

    /// Whether both ends said that they close (section 7.1.4). TCP may still have to be closed.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.theirs.is_some() && self.ours == Frame::Sent && !self.failed
    }
}
