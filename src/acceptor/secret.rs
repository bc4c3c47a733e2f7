//! What a client proves a session with: where it is, and a secret.

use core::fmt;

use crate::wire::native::Token;

/// Sixteen bytes from the adapter's secure source, good for one resume token. `Debug` does not show them, and they are compared
/// in constant time.
///
/// ```
/// use everlink::acceptor::Secret;
///
/// let secret = Secret::new([7; 16]);
/// assert_eq!(format!("{secret:?}"), "Secret(..)");
/// ```
#[derive(Clone, Copy)]
pub struct Secret([u8; Secret::LEN]);

impl Secret {
    /// Its length in bytes.
    pub const LEN: usize = 16;

    /// These bytes. Whoever knows them can take the session over (if it can authenticate as the same principal): they must come
    /// from a generator that is made for secrets, and never be used twice.
    #[must_use]
    pub const fn new(bytes: [u8; Secret::LEN]) -> Secret {
        Secret(bytes)
    }

    /// Its bytes, to be stored.
    pub(crate) const fn reveal(&self) -> &[u8; Secret::LEN] {
        &self.0
    }

    /// Takes as long for secrets that differ in the first byte as for equal ones.
    pub(super) fn equals(&self, other: &Secret) -> bool {
        Token::new(&self.0) == Token::new(&other.0)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// A resume token as this crate makes it: the seat of the session, which is no secret, and a secret. So a session is found
/// without a search, and what is compared takes as long for a wrong token as for a good one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticket {
    pub(super) seat: u32,
    pub(super) secret: Secret,
}

impl Ticket {
    pub(crate) const LEN: usize = 4 + Secret::LEN;

    /// `None` if no such token was ever given out.
    pub(crate) fn read(token: Token<'_>) -> Option<Ticket> {
        let (seat, secret) = token.reveal().split_first_chunk()?;
        Some(Ticket { seat: u32::from_le_bytes(*seat), secret: Secret(secret.try_into().ok()?) })
    }

    /// The bytes of the token.
    pub(crate) fn bytes(&self) -> [u8; Ticket::LEN] {
        let mut bytes = [0; Ticket::LEN];
        let (seat, secret) = bytes.split_at_mut(4);
        seat.copy_from_slice(&self.seat.to_le_bytes());
        secret.copy_from_slice(&self.secret.0);
        bytes
    }
}
