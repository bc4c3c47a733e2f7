//! Whose sessions they are, and who of them goes when there is no room for another.

use core::fmt;
use core::num::NonZeroU64;

use super::config::Sessions as Config;
use super::table::{NIL, Seat, Seats, SessionId, Stage, Table};

/// Who the application says that the client is. A session belongs to one principal, and only that one resumes it.
///
/// ```
/// use everlink::acceptor::Principal;
///
/// assert_ne!(Principal::new(0), Principal::ANYONE);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(from = "Option<u64>", into = "Option<u64>")
)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Principal(Option<NonZeroU64>);

impl Principal {
    /// What all clients are that were not asked who they are: only the token keeps their sessions apart, and there is no
    /// limit on how many of them there are but that on all.
    pub const ANYONE: Principal = Principal(None);

    /// The principal of this number: the application's own for its user. Two that must be kept apart need different numbers (the
    /// only two that make the same principal are `u64::MAX` and `u64::MAX - 1`).
    #[must_use]
    pub const fn new(number: u64) -> Principal {
        Principal(Some(NonZeroU64::MIN.saturating_add(number)))
    }

    /// The number that it was made from.
    #[must_use]
    pub const fn number(self) -> Option<u64> {
        match self.0 {
            Some(shifted) => Some(shifted.get() - 1),
            None => None,
        }
    }
}

impl From<Option<u64>> for Principal {
    fn from(number: Option<u64>) -> Principal {
        number.map_or(Principal::ANYONE, Principal::new)
    }
}

impl From<Principal> for Option<u64> {
    fn from(principal: Principal) -> Option<u64> {
        principal.number()
    }
}

/// Which limit leaves no room for another session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Full {
    /// That of all sessions, and each is on a socket.
    Sessions,
    /// That of the sessions of one principal, and each is on a socket.
    Principal,
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())
    }
}

impl core::error::Error for Full {}

impl Full {
    /// The reason that a goodbye gives.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Full::Sessions => "too many sessions",
            Full::Principal => "too many sessions of one principal",
        }
    }
}

impl<V, T: Seats<V>> Table<V, T> {
    /// Which session has to go before this principal may have another one: `None` if there is room. Only one that is on no socket
    /// goes: if the principal has as many as it may, its own that has been so for longest; else the one of all.
    ///
    /// # Errors
    /// If none may go.
    pub fn crowds(&self, config: &Config, principal: Principal) -> Result<Option<SessionId>, Full> {
        if principal != Principal::ANYONE {
            let (mut count, mut oldest) = (0, None);
            for (index, seat) in self.of_principal(principal) {
                count += 1;
                let rank = match seat.stage {
                    Stage::Free | Stage::Attached => continue,
                    Stage::Over => None,
                    Stage::Detached => Some(seat.since),
                };
                if oldest.is_none_or(|(before, _)| rank < before) {
                    oldest = Some((rank, SessionId { seat: index, generation: seat.generation }));
                }
            }
            if count >= config.per_principal {
                return oldest.map(|(_, id)| Some(id)).ok_or(Full::Principal);
            }
        }
        if self.occupied < config.count.min(self.capacity()) {
            return Ok(None);
        }
        self.first_detached().map(Some).ok_or(Full::Sessions)
    }

    /// The session that has to go because too many are on no socket: the one that has been so for longest.
    #[must_use]
    pub fn excess(&self, config: &Config) -> Option<SessionId> {
        self.first_detached().filter(|_| self.detached > config.detached)
    }

    /// The sessions of a principal. The bound never binds; it ends the loop whatever is wrong.
    fn of_principal(&self, principal: Principal) -> impl Iterator<Item = (u32, &Seat<V>)> {
        let first = self.seat(self.bucket(principal)).map_or(NIL, |seat| seat.bucket);
        core::iter::successors(self.seat(first).map(|seat| (first, seat)), |(_, seat)| {
            self.seat(seat.chain).map(|next| (seat.chain, next))
        })
        .take(self.occupied as usize)
        .filter(move |(_, seat)| seat.lock.principal == principal)
    }

    pub(super) fn enlist(&mut self, index: u32, principal: Principal) {
        if principal == Principal::ANYONE {
            return;
        }
        let bucket = self.bucket(principal);
        let first = self.seat_mut(bucket).map_or(NIL, |seat| core::mem::replace(&mut seat.bucket, index));
        if let Some(seat) = self.seat_mut(index) {
            seat.chain = first;
        }
    }

    pub(super) fn delist(&mut self, index: u32, principal: Principal) {
        if principal == Principal::ANYONE {
            return;
        }
        let bucket = self.bucket(principal);
        let chain = self.seat(index).map_or(NIL, |seat| seat.chain);
        let Some(head) = self.seat_mut(bucket) else { return };
        if head.bucket == index {
            head.bucket = chain;
            return;
        }
        let mut before = head.bucket;
        for _ in 0..self.occupied {
            let Some(seat) = self.seat_mut(before) else { return };
            if seat.chain == index {
                seat.chain = chain;
                return;
            }
            before = seat.chain;
        }
    }

    /// Multiplicative hashing, twice, with the seed between.
    fn bucket(&self, principal: Principal) -> u32 {
        let number = principal.0.map_or(0, NonZeroU64::get);
        let mixed = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ self.seed;
        let hash = (mixed ^ (mixed >> 32)).wrapping_mul(0xD6E8_FEB8_6659_FD93) >> 32;
        ((hash * u64::from(self.capacity())) >> 32) as u32
    }
}
