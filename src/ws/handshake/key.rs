//! The key of a request, and the proof that a response belongs to it (RFC 6455, section 1.3).

use core::fmt;

use data_encoding::BASE64;
use sha1_smol::Sha1;

/// What is hashed behind the key, so that no other kind of server gives the answer by chance.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// What a client proves its response by. Not a secret, but a new one for each handshake, from a source of random bytes.
///
/// ```
/// use everlink::ws::handshake::Key;
///
/// assert_eq!(Key::new(*b"the sample nonce").text(), "dGhlIHNhbXBsZSBub25jZQ==");
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Key([u8; 24]);

impl Key {
    /// The key with these sixteen random bytes.
    #[must_use]
    pub fn new(nonce: [u8; 16]) -> Key {
        let mut key = [0; 24];
        BASE64.encode_mut(&nonce, &mut key);
        Key(key)
    }

    /// The key that a request shows, if it is one.
    pub(super) fn read(text: &[u8]) -> Option<Key> {
        let key: &[u8; 24] = text.try_into().ok()?;
        // Three quarters of 24; the padding makes it two less.
        let mut nonce = [0; 18];
        (BASE64.decode_mut(key, &mut nonce) == Ok(16)).then_some(Key(*key))
    }

    /// As it stands in the request.
    #[must_use]
    pub fn text(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }

    /// What the response must show.
    pub(super) fn accept(&self) -> [u8; 28] {
        let mut hash = Sha1::new();
        hash.update(&self.0);
        hash.update(GUID);
        let mut accept = [0; 28];
        BASE64.encode_mut(&hash.digest().bytes(), &mut accept);
        accept
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Key").field(&self.text()).finish()
    }
}
