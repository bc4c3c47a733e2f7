//! Which worlds are the same for all that can still happen. Of those the walk needs to see one.
//!
//! Two worlds are the same if whatever can be done in one can be done in the other, leads to worlds that are the same again, and
//! keeps or breaks the same laws. What does not matter for that:
//!
//! - **A socket on which nothing is left to be learnt**: the client has closed it, and the server, which has read nothing on it,
//!   has nothing to read. All that can happen there is that the server closes it too, and that changes nothing else.
//! - **What was stored, or is being stored, when no restart is left**: only a restart reads it. What a store permits is in
//!   [`Durable`]; that one is under way, which keeps the next from beginning, is remembered.
//! - **A server's session that no client can ever name**, if it is on no socket, has nothing in flight that would come to be in
//!   doubt, and will not ask to be stored again: nothing changes it, and it changes nothing.
//! - **Tokens**, but for which are equal and which is younger.
//! - **Attempts**, but for which are equal and which is above which: they are compared, copied, and counted up by a client from
//!   where it is, or from where a state is that it may be restored to. So from the lowest of these on the distances count, and
//!   below it only the order. (A client that has lost its state counts from zero again, so that after that more distances are
//!   told apart than matter: some worlds are then looked at more than once.)
//! - **The attempt of a session whose token no client can ever say**: no hello will be compared with it; and that of a socket which
//!   the client has closed, where it reads nothing any more.
//! - **The attempt in what is stored of a session**, but for whether it is the session's present one, for neither attempt
//!   ever falls. **All** that is stored of a session that is over: it permits nothing.
//! - **The order in which sockets were opened**: what needs an order goes by attempts and tokens.
//! - **How many deaths there were**, if the world was seen with fewer: what can happen after more deaths can happen after
//!   fewer. This one is the [walk](super::walk)'s.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use everlink::delivery::{Durable, Greeting};

use super::steps::VERSION;
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
    let named = named(world);
    let sockets = &world.sockets;
    world.ends[DOWN].sessions.retain(|session| {
        let on_a_socket = || sockets.iter().any(|socket| socket.server.token() == Some(session.token));
        !is_idle(session, named) || on_a_socket()
    });
    for store in [&mut world.stored[DOWN], &mut world.storing[DOWN]].into_iter().flatten() {
        if store.sessions.iter().any(|session| is_idle(session, named)) {
            Arc::make_mut(store).sessions.retain(|session| !is_idle(session, named));
        }
    }
}

/// Whether nothing can come of a server's session if it is on no socket.
fn is_idle(session: &Session, named: u32) -> bool {
    let Session { token, counts, durable } = session;
    let wants = |mut durable: Durable| {
        durable.stored(VERSION);
        durable.wants(counts)
    };
    named & 1 << token == 0 && counts.in_flight() == 0 && !durable.clone().is_some_and(wants)
}

/// A bit for each token that a client has, or may come to have.
fn named(world: &World) -> u32 {
    let clients = [Some(&world.ends[UP]), world.stored[UP].as_deref(), world.storing[UP].as_deref()];
    let clients = clients.into_iter().flatten().flat_map(|end| &end.sessions).map(|session| session.token);
    let frames = world.sockets.iter().flat_map(|socket| socket.frames.iter().flatten());
    let offered = world.sockets.iter().filter_map(|socket| match socket.server {
        ServerSide::Offering(token) => Some(token),
        ServerSide::Fresh | ServerSide::Attached(_) | ServerSide::Closed => None,
    });
    clients.chain(frames.filter_map(Frame::token)).chain(offered).fold(0, |named, token| named | 1 << token)
}

/// The same for worlds that are the same, and else for none of billions.
pub fn key(world: &World) -> u64 {
    let named = named(world);
    let mut key = Key { world, named, attempts: attempts(world, named), bytes: Vec::with_capacity(256) };
    key.write();
    hash(&key.bytes)
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}

/// Those that are compared, in order, up to the lowest from which a client may count on.
fn attempts(world: &World, named: u32) -> Vec<u32> {
    let sessions = |end: usize| {
        let ends = [Some(&world.ends[end]), world.stored[end].as_deref(), world.storing[end].as_deref()];
        ends.into_iter().flatten().flat_map(|end| &end.sessions)
    };
    let lowest = sessions(UP).map(|session| session.counts.attempt()).min().unwrap_or_default();
    let servers = sessions(DOWN).filter(|session| named & 1 << session.token != 0);
    let mut attempts: Vec<u32> = servers.map(|session| session.counts.attempt()).collect();
    for socket in &world.sockets {
        attempts.extend((socket.client != ClientSide::Closed).then_some(socket.attempt));
        attempts.extend(socket.frames.iter().flatten().filter_map(|frame| match frame {
            Frame::Hello { greeting, .. } => Some(greeting.attempt),
            Frame::Superseded(attempt) => Some(*attempt),
            Frame::Welcome { .. } | Frame::Message(_) | Frame::Ack(_) | Frame::Refused => None,
        }));
    }
    attempts.retain(|attempt| *attempt < lowest);
    attempts.push(lowest);
    attempts.sort_unstable();
    attempts.dedup();
    attempts
}

struct Key<'a> {
    world: &'a World,
    named: u32,
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
        let World {
            ends,
            sockets,
            stored,
            storing,
            restarts,
            candidates,
            amnesia,
            broken,
            tokens: _,
            deaths: _,
        } = self.world;
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
        let attempt = if socket.client == ClientSide::Closed { 0 } else { self.attempt(socket.attempt) };
        attempt.hash(self);
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
