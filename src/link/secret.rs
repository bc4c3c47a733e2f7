//! What a link keeps and no log may show: the resume token, and the application's credentials.

use core::fmt;

use crate::wire::native::{Credentials, Token};

/// What the session is resumed with; empty if it cannot be. `Debug` does not show it.
#[derive(Clone)]
pub(super) struct Kept {
    len: u8,
    bytes: [u8; Token::MAX],
}

impl Kept {
    pub(super) const NONE: Kept = Kept { len: 0, bytes: [0; Token::MAX] };

    pub(super) fn get(&self) -> Token<'_> {
        Token::new(self.bytes.get(..usize::from(self.len)).unwrap_or_default())
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Takes the place of the old one; an empty one says that the old one is still good. (One that is too long does not get
    /// through the decoder.)
    pub(super) fn replace(&mut self, token: Token<'_>) {
        let token = token.reveal();
        if let (Some(place), Ok(len @ 1..)) = (self.bytes.get_mut(..token.len()), u8::try_from(token.len())) {
            for (to, from) in place.iter_mut().zip(token) {
                *to = *from;
            }
            self.len = len;
        }
    }

    /// The session is not to be resumed.
    pub(super) fn forget(&mut self) {
        *self = Kept::NONE;
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

/// A payload that `Debug` does not show.
pub(super) struct Secret<P>(pub(super) P);

impl<P: AsRef<[u8]>> Secret<P> {
    pub(super) fn lend(&self) -> Credentials<'_> {
        Credentials::new(self.0.as_ref())
    }
}

impl<P> fmt::Debug for Secret<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}
