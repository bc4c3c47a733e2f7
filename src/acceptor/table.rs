//! Which sessions there are: whose, proved by which token, and for how long one is kept that is on no socket.
//!
//! ```text
//!   free ── enter ──► attached ◄── attach ── detached, the one that has been so for longest first
//!    ▲                    └───── detach ────────► │
//!    └────────────────────── remove ──────────────┘
//! ```
//!
//! Each seat of the table holds one session, with a value of the caller's. A token names its seat, principals are found by a hash
//! table whose buckets are the seats themselves: every command takes O(1), those that look at all sessions of a principal as long
//! as it may have sessions.

use core::fmt;
use core::marker::PhantomData;
use core::num::NonZeroU64;

use super::config::Sessions as Config;
use super::lock::{Lock, Pass};
use super::secret::{Secret, Ticket};
use crate::time::Instant;

/// No seat.
const NIL: u32 = u32::MAX;

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

/// Names a session of one table, for as long as the table lives: a seat is used again, its name is not. No secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct SessionId {
    seat: u32,
    generation: u32,
}

impl SessionId {
    /// The number by which the welcome calls it.
    #[must_use]
    pub const fn number(self) -> u64 {
        (self.generation as u64) << 32 | self.seat as u64
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.seat, self.generation)
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Free,
    Attached,
    Detached,
}

/// Room for one session.
#[derive(Debug)]
pub struct Seat<V> {
    value: Option<V>,
    lock: Lock,
    /// Since when it is detached.
    since: Instant,
    generation: u32,
    /// Those around it in the ring of the detached ones. In a free seat `next` is the next free one.
    prev: u32,
    next: u32,
    /// The first seat whose principal belongs in the bucket that has the number of *this* seat.
    bucket: u32,
    /// The next seat in the bucket that the principal of this seat belongs in.
    chain: u32,
    stage: Stage,
}

impl<V> Seat<V> {
    /// A seat that nobody has.
    pub const EMPTY: Seat<V> = Seat {
        value: None,
        lock: Lock::OPEN_TO_NOBODY,
        since: Instant::ORIGIN,
        generation: 0,
        prev: NIL,
        next: NIL,
        bucket: NIL,
        chain: NIL,
        stage: Stage::Free,
    };
}

/// What a table can be made of: an array, a slice, a box or a vector of seats.
pub trait Seats<V>: AsRef<[Seat<V>]> + AsMut<[Seat<V>]> {}

impl<V, T: AsRef<[Seat<V>]> + AsMut<[Seat<V>]>> Seats<V> for T {}

/// What a table is made of where nothing else is said: boxed seats.
#[cfg(feature = "alloc")]
pub type Storage<V> = alloc::boxed::Box<[Seat<V>]>;
/// What a table is made of where nothing else is said. Without an allocator there is no good default: this one has no
/// seats, so that nobody uses it.
#[cfg(not(feature = "alloc"))]
pub type Storage<V> = PhantomData<V>;

/// The sessions of a server, each with a value of the caller's. The configuration is lent with each call.
///
/// ```
/// use everlink::acceptor::{Config, Principal, Secret, Table};
/// use everlink::time::Instant;
///
/// let (config, now) = (Config::default().sessions, Instant::ORIGIN);
/// let mut table = Table::with_capacity(8, 7);
/// let (ann, bob) = (Principal::new(1), Principal::new(2));
///
/// let id = table.enter(&config, now, ann, Secret::new([1; 16]), "a session").unwrap();
/// let token = table.token(id).unwrap();
/// table.detach(now, id); // the socket died
///
/// assert_eq!(table.find(&config, now, bob, token.lend()), None);
/// assert_eq!(table.find(&config, now, ann, token.lend()), Some(id));
/// assert_eq!(table.get(id), Some(&"a session"));
/// ```
#[derive(Debug)]
pub struct Table<V, T = Storage<V>> {
    seats: T,
    /// Mixed into the hashes of principals, so that nobody can know which ones meet.
    seed: u64,
    /// The seat that was left last.
    free: u32,
    /// Seats from here on never had anybody.
    fresh: u32,
    occupied: u32,
    detached: u32,
    /// The one that was detached last; the one after it in the ring has been so for longest.
    tail: u32,
    value: PhantomData<V>,
}

/// A token to lend to a welcome or a renewal. `Debug` does not show it.
#[derive(Clone, Copy)]
pub struct TokenBytes([u8; Ticket::LEN]);

impl TokenBytes {
    pub(super) fn of(ticket: &Ticket) -> TokenBytes {
        TokenBytes(ticket.bytes())
    }

    /// As the wire has it.
    #[must_use]
    pub const fn lend(&self) -> crate::wire::native::Token<'_> {
        crate::wire::native::Token::new(&self.0)
    }
}

impl fmt::Debug for TokenBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lend().fmt(f)
    }
}

#[cfg(feature = "alloc")]
impl<V> Table<V> {
    /// A table of `capacity` seats (at most 2²⁴) on the heap. The seed should be nobody's guess.
    #[must_use]
    pub fn with_capacity(capacity: u32, seed: u64) -> Table<V> {
        let seats = core::iter::repeat_with(|| Seat::EMPTY);
        Table::new(seats.take(capacity.min(1 << 24) as usize).collect(), seed)
    }
}

impl<V, T: Seats<V>> Table<V, T> {
    /// A table of these seats, of which it uses the first 2²⁴. The seed should be nobody's guess.
    #[must_use]
    pub fn new(seats: T, seed: u64) -> Table<V, T> {
        let value = PhantomData;
        Table { seats, seed, free: NIL, fresh: 0, occupied: 0, detached: 0, tail: NIL, value }
    }

    /// How many seats there are.
    #[must_use]
    pub fn capacity(&self) -> u32 {
        u32::try_from(self.seats.as_ref().len()).unwrap_or(NIL).min(1 << 24)
    }

    /// How many sessions there are.
    #[must_use]
    pub const fn len(&self) -> u32 {
        self.occupied
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.occupied == 0
    }

    /// How many of them are on no socket.
    #[must_use]
    pub const fn detached(&self) -> u32 {
        self.detached
    }

    // Who is it?

    /// The session that this token is good for, if this principal shows it. What it takes does not depend on what is wrong.
    #[must_use]
    pub fn find(
        &self,
        config: &Config,
        now: Instant,
        principal: Principal,
        token: crate::wire::native::Token<'_>,
    ) -> Option<SessionId> {
        let ticket = Ticket::read(token)?;
        let (lock, generation) = match self.seat(ticket.seat) {
            Some(seat) => (&seat.lock, seat.generation),
            None => (&Lock::OPEN_TO_NOBODY, 0),
        };
        let id = SessionId { seat: ticket.seat, generation };
        lock.opens(config, now, principal, &ticket.secret).then_some(id)
    }

    /// The token of a session: the latest one.
    #[must_use]
    pub fn token(&self, id: SessionId) -> Option<TokenBytes> {
        let secret = self.of(id)?.lock.latest().secret;
        Some(TokenBytes::of(&Ticket { seat: id.seat, secret }))
    }

    /// Whose it is.
    #[must_use]
    pub fn principal(&self, id: SessionId) -> Option<Principal> {
        self.of(id).map(|seat| seat.lock.principal)
    }

    /// The value of a session.
    #[must_use]
    pub fn get(&self, id: SessionId) -> Option<&V> {
        self.of(id)?.value.as_ref()
    }

    /// The value of a session.
    pub fn get_mut(&mut self, id: SessionId) -> Option<&mut V> {
        self.of_mut(id)?.value.as_mut()
    }

    /// All sessions, in the order of their seats.
    pub fn ids(&self) -> impl Iterator<Item = SessionId> {
        self.seats.as_ref().iter().zip(0..self.fresh).filter_map(|(seat, index)| {
            (seat.stage != Stage::Free).then_some(SessionId { seat: index, generation: seat.generation })
        })
    }

    // Is there room?

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
                if seat.stage == Stage::Detached && oldest.is_none_or(|(since, _)| seat.since < since) {
                    oldest = Some((seat.since, SessionId { seat: index, generation: seat.generation }));
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

    // What becomes of a session?

    /// A new session, on a socket, that this secret proves.
    ///
    /// # Errors
    /// Hands the value back if there is no free seat, or the principal has as many as it may: see [`crowds`](Table::crowds).
    pub fn enter(
        &mut self,
        config: &Config,
        now: Instant,
        principal: Principal,
        secret: Secret,
        value: V,
    ) -> Result<SessionId, V> {
        let Ok(None) = self.crowds(config, principal) else { return Err(value) };
        let reused = self.free != NIL;
        let index = if reused { self.free } else { self.fresh };
        let Some(seat) = self.seat_mut(index) else { return Err(value) };
        let next_free = seat.next;
        seat.value = Some(value);
        seat.lock = Lock::new(principal, Pass::new(secret, now));
        seat.stage = Stage::Attached;
        let id = SessionId { seat: index, generation: seat.generation };
        if reused {
            self.free = next_free;
        } else {
            self.fresh += 1;
        }
        self.occupied += 1;
        self.enlist(index, principal);
        Ok(id)
    }

    /// A hello with this token was accepted: the session is on a socket. If it was the latest token, older ones are good no more.
    pub fn attach(&mut self, id: SessionId, token: crate::wire::native::Token<'_>) {
        self.unlink(id);
        if let Some(ticket) = Ticket::read(token)
            && let Some(seat) = self.of_mut(id)
        {
            seat.lock.used(&ticket.secret);
        }
    }

    /// The session is on no socket from now on.
    pub fn detach(&mut self, now: Instant, id: SessionId) {
        let tail = self.tail;
        let latest = self.seat(tail).map_or(now, |seat| seat.since.max(now));
        let head = self.seat(tail).map_or(id.seat, |seat| seat.next);
        let Some(seat) = self.of_mut(id).filter(|seat| seat.stage == Stage::Attached) else { return };
        seat.stage = Stage::Detached;
        seat.since = latest;
        (seat.prev, seat.next) = (if tail == NIL { id.seat } else { tail }, head);
        self.link(tail, head, id.seat);
        self.tail = id.seat;
        self.detached += 1;
    }

    /// Whether the session should get another token: the latest one has reached half of its life.
    #[must_use]
    pub fn renewal_due(&self, config: &Config, now: Instant, id: SessionId) -> bool {
        self.renewal(config, id).is_some_and(|at| at <= now)
    }

    /// When the session should get another token.
    #[must_use]
    pub fn renewal(&self, config: &Config, id: SessionId) -> Option<Instant> {
        Some(self.of(id)?.lock.latest().issued? + config.token_life / 2)
    }

    /// Another token for a session, if one is [due](Table::renewal_due). The one before it stays good until this one was used, as
    /// long as it lives.
    pub fn renew(&mut self, config: &Config, now: Instant, id: SessionId, secret: Secret) -> bool {
        if !self.renewal_due(config, now, id) {
            return false;
        }
        if let Some(seat) = self.of_mut(id) {
            seat.lock.renew(Pass::new(secret, now));
        }
        true
    }

    /// A new session has taken the seat of one that could not go on: no token of that is good any more, and it has another name.
    pub fn replace(&mut self, now: Instant, id: SessionId, secret: Secret) -> Option<SessionId> {
        self.unlink(id);
        let seat = self.of_mut(id)?;
        seat.lock = Lock::new(seat.lock.principal, Pass::new(secret, now));
        seat.generation = seat.generation.wrapping_add(1);
        Some(SessionId { generation: seat.generation, ..id })
    }

    /// The session ends; its value is given back.
    pub fn remove(&mut self, id: SessionId) -> Option<V> {
        self.unlink(id);
        let principal = self.principal(id)?;
        self.delist(id.seat, principal);
        let free = self.free;
        let seat = self.of_mut(id)?;
        seat.lock = Lock::OPEN_TO_NOBODY;
        seat.generation = seat.generation.wrapping_add(1);
        seat.stage = Stage::Free;
        seat.next = free;
        let value = seat.value.take();
        self.free = id.seat;
        self.occupied -= 1;
        value
    }

    /// The first session that has been on no socket for too long at `now`.
    #[must_use]
    pub fn expired(&self, config: &Config, now: Instant) -> Option<SessionId> {
        self.first_detached().filter(|_| self.next_expiry(config).is_some_and(|at| at <= now))
    }

    /// When the next one will have been.
    #[must_use]
    pub fn next_expiry(&self, config: &Config) -> Option<Instant> {
        Some(self.of(self.first_detached()?)?.since + config.keep)
    }

    // Seats.

    fn seat(&self, index: u32) -> Option<&Seat<V>> {
        if index < self.capacity() { self.seats.as_ref().get(index as usize) } else { None }
    }

    fn seat_mut(&mut self, index: u32) -> Option<&mut Seat<V>> {
        if index < self.capacity() { self.seats.as_mut().get_mut(index as usize) } else { None }
    }

    fn of(&self, id: SessionId) -> Option<&Seat<V>> {
        self.seat(id.seat).filter(|seat| seat.stage != Stage::Free && seat.generation == id.generation)
    }

    fn of_mut(&mut self, id: SessionId) -> Option<&mut Seat<V>> {
        self.seat_mut(id.seat).filter(|seat| seat.stage != Stage::Free && seat.generation == id.generation)
    }

    fn first_detached(&self) -> Option<SessionId> {
        let head = self.seat(self.tail)?.next;
        Some(SessionId { seat: head, generation: self.seat(head)?.generation })
    }

    /// Makes two seats of the ring neighbours of what stands between them.
    fn link(&mut self, before: u32, after: u32, between: u32) {
        if let Some(seat) = self.seat_mut(before) {
            seat.next = between;
        }
        if let Some(seat) = self.seat_mut(after) {
            seat.prev = between;
        }
    }

    /// Detached → attached.
    fn unlink(&mut self, id: SessionId) {
        let Some(seat) = self.of_mut(id).filter(|seat| seat.stage == Stage::Detached) else { return };
        seat.stage = Stage::Attached;
        let (prev, next) = (seat.prev, seat.next);
        if let Some(seat) = self.seat_mut(prev) {
            seat.next = next;
        }
        if let Some(seat) = self.seat_mut(next) {
            seat.prev = prev;
        }
        if self.tail == id.seat {
            self.tail = if prev == id.seat { NIL } else { prev };
        }
        self.detached -= 1;
    }

    // Principals.

    /// The sessions of a principal. The bound never binds; it ends the loop whatever is wrong.
    fn of_principal(&self, principal: Principal) -> impl Iterator<Item = (u32, &Seat<V>)> {
        let first = self.seat(self.bucket(principal)).map_or(NIL, |seat| seat.bucket);
        core::iter::successors(self.seat(first).map(|seat| (first, seat)), |(_, seat)| {
            self.seat(seat.chain).map(|next| (seat.chain, next))
        })
        .take(self.occupied as usize)
        .filter(move |(_, seat)| seat.lock.principal == principal)
    }

    fn enlist(&mut self, index: u32, principal: Principal) {
        if principal == Principal::ANYONE {
            return;
        }
        let bucket = self.bucket(principal);
        let first = self.seat_mut(bucket).map_or(NIL, |seat| core::mem::replace(&mut seat.bucket, index));
        if let Some(seat) = self.seat_mut(index) {
            seat.chain = first;
        }
    }

    fn delist(&mut self, index: u32, principal: Principal) {
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
