//! What a frame is: its opcode and its head (RFC 6455, section 5.2).
//!
//! ```text
//!  byte 0                  byte 1            then, as needed
//! ┌─────┬───────┬────────┬──────┬────────┬──────────────────┬─────────────┬─────────┐
//! │ FIN │ RSV×3 │ opcode │ MASK │ length │ length in 2 or 8 │ 4 bytes key │ payload │
//! └─────┴───────┴────────┴──────┴────────┴──────────────────┴─────────────┴─────────┘
//! ```

/// Which end of a connection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Role {
    /// It opened the connection; what it sends is masked.
    Client,
    /// It accepted the connection, and is the first to close the TCP connection.
    Server,
}

/// No more than this may be in a control frame.
pub(super) const CONTROL_MAX: usize = 125;

pub(super) const FIN: u8 = 0x80;
pub(super) const RSV1: u8 = 0x40;
pub(super) const RESERVED: u8 = 0x70;
pub(super) const MASKED: u8 = 0x80;

/// The opcodes that have a meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(super) enum Opcode {
    Continuation = 0,
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

impl Opcode {
    #[inline]
    pub(super) const fn of(byte: u8) -> Option<Opcode> {
        match byte & 0x0f {
            0 => Some(Opcode::Continuation),
            1 => Some(Opcode::Text),
            2 => Some(Opcode::Binary),
            8 => Some(Opcode::Close),
            9 => Some(Opcode::Ping),
            10 => Some(Opcode::Pong),
            _ => None,
        }
    }

    pub(super) const fn is_control(self) -> bool {
        self as u8 >= 8
    }
}
