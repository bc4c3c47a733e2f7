//! What a peer can do wrong after the opening handshake, and the close code that each wrong asks for.

use core::fmt;

use super::code::Code;

/// A rule of RFC 6455 that the peer broke, or a limit of ours that it went over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Violation {
    /// A reserved bit is set that no extension was negotiated for (section 5.2), or on a frame that may not bear it
    /// (RFC 7692, section 6).
    ReservedBit,
    /// Opcodes 3 to 7 and 11 to 15 mean nothing (section 5.2).
    Opcode(u8),
    /// A client's frame is not masked (section 5.1).
    Unmasked,
    /// A server's frame is masked (section 5.1).
    Masked,
    /// The length is written in more bytes than it needs (section 5.2).
    LongLength,
    /// The highest bit of a length is set (section 5.2).
    HugeLength,
    /// A ping, pong or close is in fragments (section 5.5).
    FragmentedControl,
    /// A ping, pong or close has more than 125 bytes (section 5.5).
    LongControl,
    /// A continuation, and nothing to continue (section 5.4).
    NothingToContinue,
    /// A new message inside another (section 5.4).
    MessageInMessage,
    /// Text that is not UTF-8 (sections 5.6 and 8.1). It is at the beginning of the character that cannot be; of a text that
    /// was compressed, before this byte.
    TextNotUtf8,
    /// A close frame with a single byte, which is half a code (section 5.5.1).
    HalfACode,
    /// A close code that may not be on the wire (section 7.4).
    CloseCode(u16),
    /// The reason of a close frame is not UTF-8 (section 5.5.1).
    ReasonNotUtf8,
    /// A frame beyond [`Limits::frame`](super::Limits::frame).
    FrameTooBig(u64),
    /// A message beyond [`Limits::message`](super::Limits::message), with this frame.
    MessageTooBig(u64),
    /// More than [`Limits::empty_fragments`](super::Limits::empty_fragments) in one message.
    EmptyFragments,
    /// More than [`Limits::controls`](super::Limits::controls) inside a message that does not go on.
    ControlFlood,
    /// A compressed message is no DEFLATE data (RFC 7692, section 7.2.2). What is wrong is before this byte.
    NotDeflate,
    /// A compressed message has more bytes than this, which is what `deflate::Config::inflated` allows, when inflated.
    InflatedTooBig(u64),
}

impl Violation {
    /// The close code to answer with (section 7.4.1).
    #[must_use]
    pub const fn code(self) -> Code {
        match self {
            Violation::ReservedBit
            | Violation::Opcode(_)
            | Violation::Unmasked
            | Violation::Masked
            | Violation::LongLength
            | Violation::HugeLength
            | Violation::FragmentedControl
            | Violation::LongControl
            | Violation::NothingToContinue
            | Violation::MessageInMessage
            | Violation::HalfACode
            | Violation::CloseCode(_) => Code::PROTOCOL,
            Violation::TextNotUtf8 | Violation::ReasonNotUtf8 | Violation::NotDeflate => Code::INVALID_DATA,
            Violation::FrameTooBig(_) | Violation::MessageTooBig(_) | Violation::InflatedTooBig(_) => {
                Code::TOO_BIG
            }
            Violation::EmptyFragments | Violation::ControlFlood => Code::POLICY,
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Violation::ReservedBit => "a reserved bit is set",
            Violation::Opcode(opcode) => return write!(f, "opcode {opcode} is reserved"),
            Violation::Unmasked => "a client's frame is not masked",
            Violation::Masked => "a server's frame is masked",
            Violation::LongLength => "a length is written in more bytes than it needs",
            Violation::HugeLength => "the highest bit of a length is set",
            Violation::FragmentedControl => "a control frame is fragmented",
            Violation::LongControl => "a control frame has more than 125 bytes",
            Violation::NothingToContinue => "a continuation without a message",
            Violation::MessageInMessage => "a message begins inside another",
            Violation::TextNotUtf8 => "a text is not UTF-8",
            Violation::HalfACode => "a close frame has one byte",
            Violation::CloseCode(code) => return write!(f, "close code {code} is not for the wire"),
            Violation::ReasonNotUtf8 => "the reason of a close is not UTF-8",
            Violation::FrameTooBig(bytes) => return write!(f, "a frame of {bytes} bytes is too big"),
            Violation::MessageTooBig(bytes) => return write!(f, "a message of {bytes} bytes is too big"),
            Violation::EmptyFragments => "too many empty fragments",
            Violation::ControlFlood => "too many control frames inside a message",
            Violation::NotDeflate => "a compressed message is not DEFLATE data",
            Violation::InflatedTooBig(bytes) => {
                return write!(f, "a message inflates to more than {bytes} bytes");
            }
        })
    }
}

/// A [`Violation`], and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Error {
    /// What is wrong.
    pub violation: Violation,
    /// How many bytes came before the wrong one, since the end of the opening handshake.
    pub at: u64,
}

impl Error {
    /// The close code to answer with.
    #[must_use]
    pub const fn code(self) -> Code {
        self.violation.code()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (byte {})", self.violation, self.at)
    }
}

impl core::error::Error for Error {}
