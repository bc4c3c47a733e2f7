//! Which sessions there are: whose, proved by which token, and for how long one is kept that is on no socket.
//!
//! ```text
//!   free ── enter ──► attached ◄── attach ── detached, the one that has been so for longest first
//!    ▲                    │──── detach ─────────►│
//!    │                    └──── retire ──► over  │
//!    └──────────────────── remove ──────────┴────┘
//! ```
//!
//! Each seat of the table holds one session, with a value of the caller's. A token names its seat, principals are found by a hash
//! table whose buckets are the seats themselves: every command takes O(1), those that look at all sessions of a principal as long
//! as it may have sessions.

use core::fmt;
use core::marker::PhantomData;

use super::config::Sessions as Config;
use super::lock::{Lock, Pass};
use super::principal::Principal;
use super::secret::{Secret, Ticket};
use crate::rng::Rng;
use crate::time::Instant;

/// No seat.
pub(super) const NIL: u32 = u32::MAX;

/// Names a session of one table, for as long as the table lives: a seat is used again, its name is not. Nor by another table, if
/// that has another seed (but for one in four billion). No secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct SessionId {
    pub(super) seat: u32,
    pub(super) generation: u32,
}

impl SessionId {
    /// The number by which the welcome calls it.
    #[must_use]
    pub const fn number(self) -> u64 {
        (self.generation as u64) << 32 | self.seat as u64
    }

    pub(crate) const fn from_number(number: u64) -> SessionId {
        SessionId { seat: number as u32, generation: (number >> 32) as u32 }
    }

    /// The seat that it has: no two sessions of one table have the same at the same time.
    #[must_use]
    pub const fn seat(self) -> u32 {
        self.seat
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.seat, self.generation)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Free,
    Attached,
    Detached,
    /// Nobody comes back to it. In the ring of the detached ones, in front.
    Over,
}

/// Room for one session.
#[derive(Debug)]
pub struct Seat<V> {
    pub(super) value: Option<V>,
    pub(super) lock: Lock,
    /// Since when it is detached.
    pub(super) since: Instant,
    pub(super) generation: u32,
    /// Those around it in the ring of the detached ones. In a free seat `next` is the next free one.
    pub(super) prev: u32,
    pub(super) next: u32,
    /// The first seat whose principal belongs in the bucket that has the number of *this* seat.
    pub(super) bucket: u32,
    /// The next seat in the bucket that the principal of this seat belongs in.
    pub(super) chain: u32,
    pub(super) stage: Stage,
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
/// let id = table.enter(&config, now, ann, Secret::new([1; 16]), |_| "a session").unwrap();
/// let token = table.token(id).unwrap();
/// table.detach(now, id); // the socket died
///
/// assert_eq!(table.find(now, bob, token.lend()), None);
/// assert_eq!(table.find(now, ann, token.lend()), Some(id));
/// assert_eq!(table.get(id), Some(&"a session"));
/// ```
#[derive(Debug)]
pub struct Table<V, T = Storage<V>> {
    pub(super) seats: T,
    /// Mixed into the hashes of principals, so that nobody can know which ones meet.
    pub(super) seed: u64,
    /// The seat that was left last.
    free: u32,
    /// Seats from here on never had anybody.
    fresh: u32,
    /// Seats were taken that may be among the free ones.
    unlinked: bool,
    pub(super) occupied: u32,
    pub(super) detached: u32,
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
        Table {
            seats,
            seed,
            free: NIL,
            fresh: 0,
            unlinked: false,
            occupied: 0,
            detached: 0,
            tail: NIL,
            value,
        }
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
        lock.opens(now, principal, &ticket.secret).then_some(id)
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
        core::iter::successors(self.next_from(0), |id| self.next_from(id.seat + 1))
    }

    /// The first session whose seat has this number or a higher one.
    pub(crate) fn next_from(&self, seat: u32) -> Option<SessionId> {
        (seat..self.fresh).find_map(|index| {
            let seat = self.seat(index).filter(|seat| seat.stage != Stage::Free)?;
            Some(SessionId { seat: index, generation: seat.generation })
        })
    }

    // What becomes of a session?

    /// A new session, on a socket, that this secret proves. `None` if there is no free seat, or the principal has as many as it
    /// may: see [`crowds`](Table::crowds).
    pub fn enter(
        &mut self,
        config: &Config,
        now: Instant,
        principal: Principal,
        secret: Secret,
        value: impl FnOnce(SessionId) -> V,
    ) -> Option<SessionId> {
        let Ok(None) = self.crowds(config, principal) else { return None };
        self.link_free();
        let reused = self.free != NIL;
        let index = if reused { self.free } else { self.fresh };
        let seed = self.seed;
        let seat = self.seat_mut(index)?;
        if seat.generation == 0 {
            // Tables that follow each other in one server should not give the same names again.
            seat.generation = (Rng::new(seed).bits() as u32).max(1);
        }
        let next_free = seat.next;
        let id = SessionId { seat: index, generation: seat.generation };
        seat.value = Some(value(id));
        seat.lock = Lock::new(principal, Pass::new(config, now, secret));
        seat.stage = Stage::Attached;
        if reused {
            self.free = next_free;
        } else {
            self.fresh += 1;
        }
        self.occupied += 1;
        self.enlist(index, principal);
        Some(id)
    }

    /// Whether the seat of this session is free, and there is room for it.
    pub(crate) fn has_free(&self, id: SessionId, config: &Config) -> bool {
        self.occupied < config.count && self.seat(id.seat).is_some_and(|seat| seat.stage == Stage::Free)
    }

    /// A session as it was in a table before this one, on no socket: `None` if somebody has its seat, or there is none of that
    /// number.
    pub(crate) fn put_back(&mut self, now: Instant, id: SessionId, lock: Lock, value: V) -> Option<()> {
        let seat = self.seat_mut(id.seat).filter(|seat| seat.stage == Stage::Free)?;
        (seat.value, seat.lock, seat.generation) = (Some(value), lock, id.generation);
        seat.stage = Stage::Attached;
        self.fresh = self.fresh.max(id.seat + 1);
        self.unlinked = true;
        self.occupied += 1;
        self.enlist(id.seat, lock.principal);
        self.detach(now, id);
        Some(())
    }

    /// Finds the free seats, if some were taken out of the order.
    fn link_free(&mut self) {
        if !core::mem::take(&mut self.unlinked) {
            return;
        }
        self.free = NIL;
        for index in (0..self.fresh).rev() {
            let next = self.free;
            if let Some(seat) = self.seat_mut(index).filter(|seat| seat.stage == Stage::Free) {
                seat.next = next;
                self.free = index;
            }
        }
    }

    /// Who may resume it.
    pub(crate) fn lock(&self, id: SessionId) -> Option<&Lock> {
        self.of(id).map(|seat| &seat.lock)
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
        // The ring is in the order of time, even if that runs backwards.
        let latest = self.seat(self.tail).map_or(now, |seat| seat.since.max(now));
        if self.leave_socket(id, Stage::Detached, latest) {
            self.tail = id.seat;
        }
    }

    /// No token opens the session any more.
    pub fn shut(&mut self, id: SessionId) {
        if let Some(seat) = self.of_mut(id) {
            seat.lock.shut();
        }
    }

    /// Nobody comes back to the session, on a socket or not: it is [shut](Table::shut), and [expired](Table::expired).
    pub fn retire(&mut self, now: Instant, id: SessionId) {
        self.shut(id);
        self.unlink(id);
        self.leave_socket(id, Stage::Over, now);
    }

    /// Whether it was [retired](Table::retire).
    #[must_use]
    pub fn is_over(&self, id: SessionId) -> bool {
        self.of(id).is_some_and(|seat| seat.stage == Stage::Over)
    }

    /// Attached → detached or over, between the tail of the ring and its head.
    fn leave_socket(&mut self, id: SessionId, stage: Stage, since: Instant) -> bool {
        let tail = if self.tail == NIL { id.seat } else { self.tail };
        let head = self.seat(self.tail).map_or(id.seat, |seat| seat.next);
        let Some(seat) = self.of_mut(id).filter(|seat| seat.stage == Stage::Attached) else { return false };
        (seat.stage, seat.since, seat.prev, seat.next) = (stage, since, tail, head);
        if let Some(seat) = self.seat_mut(tail) {
            seat.next = id.seat;
        }
        if let Some(seat) = self.seat_mut(head) {
            seat.prev = id.seat;
        }
        if self.tail == NIL {
            self.tail = id.seat;
        }
        self.detached += 1;
        true
    }

    /// Whether the session should get another token: the latest one has reached half of its life.
    #[must_use]
    pub fn renewal_due(&self, config: &Config, now: Instant, id: SessionId) -> bool {
        self.renewal(config, id).is_some_and(|at| at <= now)
    }

    /// When the session should get another token.
    #[must_use]
    pub fn renewal(&self, config: &Config, id: SessionId) -> Option<Instant> {
        self.of(id)?.lock.latest().half(config)
    }

    /// Another token for a session, if one is [due](Table::renewal_due). The one before it stays good until this one was used, as
    /// long as it lives.
    pub fn renew(&mut self, config: &Config, now: Instant, id: SessionId, secret: Secret) -> bool {
        if !self.renewal_due(config, now, id) {
            return false;
        }
        if let Some(seat) = self.of_mut(id) {
            seat.lock.renew(Pass::new(config, now, secret));
        }
        true
    }

    /// A new session has taken the seat of one that could not go on: no token of that is good any more, and it has another name.
    pub fn replace(
        &mut self,
        config: &Config,
        now: Instant,
        id: SessionId,
        secret: Secret,
    ) -> Option<SessionId> {
        self.unlink(id);
        let seat = self.of_mut(id)?;
        seat.lock = Lock::new(seat.lock.principal, Pass::new(config, now, secret));
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

    /// A session that is to end: one that was [retired](Table::retire), or has been on no socket for too long at `now`.
    #[must_use]
    pub fn expired(&self, config: &Config, now: Instant) -> Option<SessionId> {
        self.first_detached().filter(|_| self.next_expiry(config).is_some_and(|at| at <= now))
    }

    /// When the next one is to end.
    #[must_use]
    pub fn next_expiry(&self, config: &Config) -> Option<Instant> {
        let seat = self.of(self.first_detached()?)?;
        Some(if seat.stage == Stage::Over { seat.since } else { seat.since + config.keep })
    }

    // Seats.

    pub(super) fn seat(&self, index: u32) -> Option<&Seat<V>> {
        if index < self.capacity() { self.seats.as_ref().get(index as usize) } else { None }
    }

    pub(super) fn seat_mut(&mut self, index: u32) -> Option<&mut Seat<V>> {
        if index < self.capacity() { self.seats.as_mut().get_mut(index as usize) } else { None }
    }

    fn of(&self, id: SessionId) -> Option<&Seat<V>> {
        self.seat(id.seat).filter(|seat| seat.stage != Stage::Free && seat.generation == id.generation)
    }

    fn of_mut(&mut self, id: SessionId) -> Option<&mut Seat<V>> {
        self.seat_mut(id.seat).filter(|seat| seat.stage != Stage::Free && seat.generation == id.generation)
    }

    pub(super) fn first_detached(&self) -> Option<SessionId> {
        let head = self.seat(self.tail)?.next;
        Some(SessionId { seat: head, generation: self.seat(head)?.generation })
    }

    /// Detached or over → attached.
    fn unlink(&mut self, id: SessionId) {
        let Some(seat) = self.of_mut(id).filter(|seat| seat.stage != Stage::Attached) else { return };
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
}
