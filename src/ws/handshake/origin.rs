//! Which web pages may connect (RFC 6455, section 10.2).

use super::server::Upgrade;

/// The origins that a server accepts. A browser says where a page came from, and pages cannot forge it; so a server that
/// knows its users by a cookie must look, or any page can speak in their name.
///
/// ```
/// use everlink::ws::handshake::Origins;
///
/// let origins = Origins { allowed: &["https://example.org"], absent: true };
/// assert!(origins.accept(Some(b"https://EXAMPLE.org")));
/// assert!(!origins.accept(Some(b"https://example.org.evil.test")));
/// assert!(origins.accept(None)); // no browser
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origins<'a> {
    /// Each as a browser says it: scheme, host, and the port if it is not the scheme's; case does not count.
    pub allowed: &'a [&'a str],
    /// Whether to accept those who name no origin, which browsers always do.
    pub absent: bool,
}

impl Origins<'_> {
    /// Whether a request that names this origin may connect.
    #[must_use]
    pub fn accept(&self, origin: Option<&[u8]>) -> bool {
        match origin {
            None => self.absent,
            Some(origin) => self.allowed.iter().any(|one| one.as_bytes().eq_ignore_ascii_case(origin)),
        }
    }

    /// Whether this request may connect. Refuse it with 403 if not; one with two origins may not.
    #[must_use]
    pub fn accept_request(&self, upgrade: &Upgrade<'_>) -> bool {
        let mut origins = upgrade.head().fields().filter(|field| field.is("origin"));
        let origin = origins.next().map(|field| field.value);
        origins.next().is_none() && self.accept(origin)
    }
}
