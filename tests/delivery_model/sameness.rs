//! Which worlds are the same for all that can still happen. Of those the walk needs to see one.
//!
//! Two worlds are the same if whatever can be done in one can be done in the other, leads to worlds that are the same again, and
//! keeps or breaks the same laws. What does not matter for that:
//!
//! - **A socket on which nothing is left to be learnt**: the client has closed it, and the server, which has read nothing on it,
//!   has nothing to read. All that can happen there is that the server closes it too, and that changes nothing else.
//! - **What was stored, or is being stored, when no restart is left**: only a restart reads it. What a store permits is in
//!   [`Durable`](everlink::delivery::Durable); that one is under way, which keeps the next from beginning, is remembered.
//! - **Tokens**, but for which are equal and which is younger.
//! - **Attempts**, but for which are equal and which is above which: they are compared, copied, and counted up by a client from
//!   where it is, or from where a state is that it may be restored to. So from the lowest of these on the distances count, and
//!   below it only the order.
//! - **The attempt of a session whose token no client can ever say**: no hello will be compared with it.
//! - **The attempt in what is stored of a session**, but for whether it is the session's present one, for neither attempt
//!   ever falls. **All** that is stored of a session that is over: it permits nothing.
//! - **The order in which sockets were opened**: what needs an order goes by attempts and tokens.
//! - **How many deaths there were**, if the world was seen with fewer: what can happen after more deaths can happen after
//!   fewer. This one is the [walk](super::walk)'s.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use everlink::delivery::Greeting;

use super::world::{ClientSide, End, Frame, ServerSide, Session, Socket, World};
use super::{DOWN, Trial, UP};

/// Forgets what nothing depends on any more.
pub fn forget(trial: &Trial, world: &mut World) {
    world.sockets.retain(|socket| {
        let unread = socket.server == ServerSide::Fresh && socket.frames[UP].is_empty();
        !(unread && socket.client == ClientSide::Closed)
    });
    if world.restarts == trial.restarts {
        world.stored = [None, None];
        for storing in world.storing.iter_mut().flatten().filter(|end| !end.sessions.is_empty()) {
            *storing = Arc::default();
        }
    }
}

/// The same for worlds that are the same, and else for none of billions.
pub fn key(world: &World) -> u64 {
    let mut key = Key { world, named: 0, attempts: Vec::with_capacity(16), bytes: Vec::with_capacity(256) };
    key.survey();
    key.write();
    hash(&key.bytes)
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}

struct Key<'a> {
    world: &'a World,
    /// A bit for each token that a client has, or may come to have.
    named: u32,
    /// Those up to the lowest from which a client may count on, in order.
    attempts: Vec<u32>,
    bytes: Vec<u8>,
}

/// Each number that a value hashes becomes a byte, so that what is private in it can be compared but for parts of it.
impl Hasher for Key<'_> {
    fn finish(&self) -> u64 {
        unreachable!("what was written is hashed as a whole")
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("there are only numbers")
    }

    fn write_u8(&mut self, number: u8) {
        self.bytes.push(number);
    }

    fn write_u16(&mut self, number: u16) {
        self.write_u64(number.into());
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(number.into());
    }

    fn write_u64(&mut self, number: u64) {
        // Nothing counts that far but `unread`, which the model leaves at its greatest.
        self.bytes.push(u8::try_from(number).unwrap_or(u8::MAX));
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }

    fn write_isize(&mut self, number: isize) {
        self.write_u64(number as u64);
    }
}

/// Where `Counts` hashes its attempt.
const ATTEMPT: usize = 6;
/// How many numbers `Durable` hashes for what is stored: sent, received, attempt, and whether it is of this session.
const SNAPSHOT: usize = 4;

impl Key<'_> {
    fn stores(&self, end: usize) -> impl Iterator<Item = &Session> {
        let stores = [&self.world.stored[end], &self.world.storing[end]];
        stores.into_iter().flatten().flat_map(|end| &end.sessions)
    }

    fn survey(&mut self) {
        let mut attempts = core::mem::take(&mut self.attempts);
        let mut named = 0;
        let clients = self.world.ends[UP].sessions.iter().chain(self.stores(UP));
        let mut lowest = u32::MAX;
        for session in clients {
            named |= 1 << session.token;
            lowest = lowest.min(session.counts.attempt());
        }
        for socket in &self.world.sockets {
            if let ServerSide::Offering(token) = socket.server {
                named |= 1 << token;
            }
            for frame in socket.frames.iter().flatten() {
                match *frame {
                    Frame::Hello { token, greeting } => {
                        named |= 1 << token;
                        attempts.push(greeting.attempt);
                    }
                    Frame::Welcome { token, .. } => named |= 1 << token,
                    Frame::Superseded(attempt) => attempts.push(attempt),
                    Frame::Message(_) | Frame::Ack(_) | Frame::Refused => {}
                }
            }
        }
        let servers = self.world.ends[DOWN].sessions.iter().chain(self.stores(DOWN));
        let servers = servers.filter(|session| named & 1 << session.token != 0);
        attempts.extend(servers.map(|session| session.counts.attempt()));
        attempts.retain(|attempt| *attempt < lowest);
        attempts.push(lowest);
        attempts.sort_unstable();
        attempts.dedup();
        (self.attempts, self.named) = (attempts, named);
    }

    /// The name of an attempt: its rank, or behind that its distance from the lowest from which a client may count on.
    fn attempt(&self, attempt: u32) -> u8 {
        let rank = self.attempts.partition_point(|other| *other < attempt) as u32;
        let beyond = self.attempts.last().map_or(0, |lowest| attempt.saturating_sub(*lowest));
        (rank + beyond.saturating_sub(1)) as u8
    }

    fn attempt_of(&self, end: usize, session: &Session) -> u8 {
        let named = end == UP || self.named & 1 << session.token != 0;
        if named { self.attempt(session.counts.attempt()) } else { 0 }
    }

    fn write(&mut self) {
        let World { ends, sockets, stored, storing, tokens: _, deaths: _, restarts, .. } = self.world;
        let World { candidates, amnesia, broken, .. } = self.world;
        (restarts, candidates, amnesia, broken.is_some()).hash(self);
        for end in [UP, DOWN] {
            ends[end].app.hash(self);
            ends[end].sessions.len().hash(self);
            for session in &ends[end].sessions {
                self.session(end, session);
            }
            for store in [&stored[end], &storing[end]] {
                store.is_some().hash(self);
                if let Some(store) = store {
                    self.store(end, store);
                }
            }
        }
        let begin = self.bytes.len();
        let mut keys: Vec<u64> = Vec::with_capacity(sockets.len());
        for socket in sockets {
            self.socket(socket);
            keys.push(hash(&self.bytes[begin..]));
            self.bytes.truncate(begin);
        }
        keys.sort_unstable();
        self.bytes.extend(keys.iter().flat_map(|key| key.to_ne_bytes()));
    }

    fn store(&mut self, end: usize, store: &End) {
        store.app.hash(self);
        store.sessions.len().hash(self);
        for session in &store.sessions {
            let saved = session.counts.save();
            (session.token, saved.sent, saved.acknowledged, saved.received).hash(self);
            self.attempt_of(end, session).hash(self);
        }
    }

    fn session(&mut self, end: usize, session: &Session) {
        session.token.hash(self);
        let begin = self.bytes.len();
        session.counts.hash(self);
        debug_assert_eq!(u32::from(self.bytes[begin + ATTEMPT]), session.counts.attempt());
        self.bytes[begin + ATTEMPT] = self.attempt_of(end, session);
        let Some(durable) = &session.durable else { return };
        let begin = self.bytes.len();
        durable.hash(self);
        let is_storing = self.bytes[begin] == 1;
        debug_assert_eq!(is_storing, durable.is_storing());
        if is_storing {
            // Behind the version.
            self.snapshot(begin + 2, session);
        }
        // In front of `unread`.
        self.snapshot(self.bytes.len() - 1 - SNAPSHOT, session);
    }

    fn snapshot(&mut self, begin: usize, session: &Session) {
        let [sent, received, attempt, current] = &mut self.bytes[begin..begin + SNAPSHOT] else {
            unreachable!()
        };
        if *current == 0 {
            (*sent, *received, *attempt) = (0, 0, 0);
        } else {
            let stored = u32::from(*attempt);
            let present = session.counts.attempt();
            // It is never ahead; if it were, that would be told apart.
            *attempt = if stored < present { 1 } else { 2 * (stored - present) as u8 };
        }
    }

    fn socket(&mut self, socket: &Socket) {
        (socket.client, socket.server).hash(self);
        for frames in &socket.frames {
            frames.len().hash(self);
            for frame in frames {
                let mut frame = *frame;
                match &mut frame {
                    Frame::Hello { greeting: Greeting { attempt, .. }, .. } | Frame::Superseded(attempt) => {
                        *attempt = self.attempt(*attempt).into();
                    }
                    Frame::Welcome { .. } | Frame::Message(_) | Frame::Ack(_) | Frame::Refused => {}
                }
                frame.hash(self);
            }
        }
    }
}
