//! Why a connection was closed, as a number (RFC 6455, section 7.4).

use core::fmt;

/// A close code that may stand in a close frame: 1000 to 1003, 1007 to 1014, 3000 to 4999.
///
/// The others are not on the wire in either direction: 1005, 1006 and 1015 are what an application is told when there was
/// no code, no close frame, or no TLS; 1004 and the rest below 3000 are reserved; nothing is below 1000 or from 5000 on.
/// (1012 to 1014 were added to the registry that section 11.7 founds.)
///
/// ```
/// use everlink::ws::Code;
///
/// assert_eq!(Code::new(1000), Some(Code::NORMAL));
/// assert_eq!(Code::new(1006), None);
/// assert_eq!(Code::TOO_BIG.get(), 1009);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Code(u16);

impl Code {
    /// The purpose was fulfilled.
    pub const NORMAL: Code = Code(1000);
    /// The server goes down, the user leaves the page.
    pub const GOING_AWAY: Code = Code(1001);
    /// The other end broke the protocol.
    pub const PROTOCOL: Code = Code(1002);
    /// The other end sent a kind of data that this end does not take.
    pub const UNSUPPORTED: Code = Code(1003);
    /// A message is not what its kind promises, such as text that is not UTF-8.
    pub const INVALID_DATA: Code = Code(1007);
    /// A rule of this end's own was broken, and no other code says which.
    pub const POLICY: Code = Code(1008);
    /// A message is too big.
    pub const TOO_BIG: Code = Code(1009);
    /// The server did not negotiate an extension that the client needs. Only a client says this.
    pub const EXTENSION: Code = Code(1010);
    /// The server met a condition that keeps it from going on. Only a server says this.
    pub const INTERNAL: Code = Code(1011);
    /// The server restarts: come back, after a random delay.
    pub const RESTART: Code = Code(1012);
    /// The server is overloaded: come back later.
    pub const TRY_LATER: Code = Code(1013);
    /// A gateway got a bad answer from behind it.
    pub const BAD_GATEWAY: Code = Code(1014);

    /// The code with this number, if it may be on the wire.
    #[must_use]
    pub const fn new(number: u16) -> Option<Code> {
        match number {
            1000..=1003 | 1007..=1014 | 3000..=4999 => Some(Code(number)),
            _ => None,
        }
    }

    /// Its number.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a close frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Close<'b> {
    /// Why.
    pub code: Code,
    /// Why, for people who look for a fault; up to 123 bytes, often empty.
    pub reason: &'b str,
}
