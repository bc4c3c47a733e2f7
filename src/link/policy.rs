//! Whether a lost connection is worth another attempt, and how soon.

use super::input::Failure;
use super::state::Cause;
use crate::backoff;

/// Which ends are final.
///
/// The defaults end on what another attempt with the same arguments cannot change: close codes 1002, 1003, 1007, 1008,
/// 1010 and 4001, HTTP statuses 400, 401, 403 and 404, and certificates that are not acceptable. Everything else is retried.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
pub struct Config {
    /// Close codes from the server that end the link.
    pub final_close: Codes,
    /// HTTP statuses in place of 101 that end the link.
    pub final_http: Codes,
    /// Whether a certificate that is not acceptable ends the link.
    pub final_certificate: bool,
    /// Whether a normal close by the server (1000) ends the link.
    pub final_normal: bool,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            final_close: Codes::of(&[1002, 1003, 1007, 1008, 1010, 4001]),
            final_http: Codes::of(&[400, 401, 403, 404]),
            final_certificate: true,
            final_normal: false,
        }
    }
}

/// A set of at most [`Codes::MAX`] close codes or HTTP statuses.
#[derive(Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Codes {
    len: u8,
    codes: [u16; Codes::MAX],
}

impl Codes {
    /// How many codes fit.
    pub const MAX: usize = 24;

    /// The set of these codes; those beyond [`Codes::MAX`] are left out.
    #[must_use]
    pub fn of(codes: &[u16]) -> Codes {
        let mut set = Codes { len: 0, codes: [0; Codes::MAX] };
        for code in codes {
            set.insert(*code);
        }
        set
    }

    /// Adds a code; `false` if there is no room.
    pub fn insert(&mut self, code: u16) -> bool {
        if self.contains(code) {
            return true;
        }
        let free = self.codes.get_mut(usize::from(self.len));
        let fits = free.is_some();
        if let Some(free) = free {
            *free = code;
            self.len = self.len.saturating_add(1);
        }
        fits
    }

    /// Whether the code is in the set.
    #[must_use]
    pub fn contains(&self, code: u16) -> bool {
        self.as_slice().contains(&code)
    }

    /// The codes, in the order in which they were added.
    #[must_use]
    pub fn as_slice(&self) -> &[u16] {
        self.codes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

impl core::fmt::Debug for Codes {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_set().entries(self.as_slice()).finish()
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Codes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.as_slice().serialize(serializer)
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for Codes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Codes, D::Error> {
        struct List;
        impl<'de> serde::de::Visitor<'de> for List {
            type Value = Codes;

            fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                write!(f, "a list of at most {} codes", Codes::MAX)
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut list: A) -> Result<Codes, A::Error> {
                let mut codes = Codes::of(&[]);
                while let Some(code) = list.next_element()? {
                    if !codes.insert(code) {
                        return Err(serde::de::Error::invalid_length(Codes::MAX + 1, &self));
                    }
                }
                Ok(codes)
            }
        }
        deserializer.deserialize_seq(List)
    }
}

/// What to do about a lost connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Final,
    Retry(backoff::Cause),
}

impl Config {
    /// Judges the end of a socket. `retry_after` is what a close frame asked for, where it could.
    pub(super) fn judge(&self, cause: Cause, retry_after: Option<core::time::Duration>) -> Verdict {
        let asked =
            |time: Option<_>| Verdict::Retry(time.map_or(backoff::Cause::Lost, backoff::Cause::RetryAfter));
        match cause {
            Cause::Failure(Failure::Url) | Cause::Superseded => Verdict::Final,
            Cause::Failure(Failure::Certificate) if self.final_certificate => Verdict::Final,
            Cause::Failure(Failure::Http { status, .. }) if self.final_http.contains(status) => {
                Verdict::Final
            }
            Cause::Failure(Failure::Http { retry_after, .. }) => asked(retry_after),
            Cause::Closed(1000) if self.final_normal => Verdict::Final,
            Cause::Closed(code) if self.final_close.contains(code) => Verdict::Final,
            Cause::Closed(1012 | 1013) if retry_after.is_none() => Verdict::Retry(backoff::Cause::Restart),
            Cause::Closed(_) => asked(retry_after),
            Cause::Failure(
                Failure::Credentials
                | Failure::Dns
                | Failure::Connect
                | Failure::Tls
                | Failure::Certificate
                | Failure::Handshake,
            )
            | Cause::OpenTimeout
            | Cause::HeartbeatLost
            | Cause::Unacknowledged
            | Cause::Violation(_)
            | Cause::Offline => Verdict::Retry(backoff::Cause::Lost),
        }
    }
}
