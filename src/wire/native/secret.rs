//! What no log may show.

use core::fmt;

/// What a session is resumed with: at most [`Token::MAX`] bytes from the adapter's secure source. `Debug` does not show it, and
/// there is no `==` that stops at the first difference.
#[derive(Clone, Copy, Default)]
pub struct Token<'a>(&'a [u8]);

impl<'a> Token<'a> {
    /// The longest token, in bytes.
    pub const MAX: usize = 64;

    /// No token: for a new session, or the same as before.
    pub const NONE: Token<'static> = Token(&[]);

    /// This one.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Token<'a> {
        Token(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn reveal(self) -> &'a [u8] {
        self.0
    }

    /// Whether it is no token.
    #[must_use]
    pub const fn is_none(self) -> bool {
        self.0.is_empty()
    }
}

/// Takes as long for tokens that differ in the first byte as for equal ones (of one length).
impl PartialEq for Token<'_> {
    fn eq(&self, other: &Token<'_>) -> bool {
        let difference =
            self.0.iter().zip(other.0).fold(0, |all, (a, b)| core::hint::black_box(all | (a ^ b)));
        self.0.len() == other.0.len() && difference == 0
    }
}

impl Eq for Token<'_> {}

impl fmt::Debug for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({} bytes)", self.0.len())
    }
}

/// What the application authenticates with. `Debug` does not show it.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Credentials<'a>(&'a [u8]);

impl<'a> Credentials<'a> {
    /// None, or those of the request that opened the socket.
    pub const NONE: Credentials<'static> = Credentials(&[]);

    /// These.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Credentials<'a> {
        Credentials(bytes)
    }

    /// Their bytes.
    #[must_use]
    pub const fn reveal(self) -> &'a [u8] {
        self.0
    }
}

impl fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({} bytes)", self.0.len())
    }
}
