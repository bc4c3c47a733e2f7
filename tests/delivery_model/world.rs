//! Two ends, and the sockets between them.

use std::sync::Arc;

use everlink::delivery::{Counts, Durable, Greeting};

use super::{DOWN, Trial, UP};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Frame {
    Hello { token: u8, greeting: Greeting },
    Welcome { token: u8, resumed: bool, received: u64, from: u64 },
    Message(u8),
    Ack(u64),
    Superseded(u32),
    Refused,
}

impl Frame {
    pub fn token(&self) -> Option<u8> {
        match *self {
            Frame::Hello { token, .. } | Frame::Welcome { token, .. } => Some(token),
            Frame::Message(_) | Frame::Ack(_) | Frame::Superseded(_) | Frame::Refused => None,
        }
    }
}

/// What an application knows. Messages are numbers, counted per direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct App {
    /// The first one that is not numbered yet.
    pub next: u8,
    pub acknowledged: u8,
    pub in_doubt: u8,
    pub got: u8,
    /// One more than the last one that it got.
    pub after: u8,
}

pub const fn bit(message: u8) -> u8 {
    1 << message
}

impl App {
    /// The oldest `count` of those in flight, of which there were `in_flight`.
    pub fn oldest(&self, in_flight: u32, count: u32) -> u8 {
        let first = u32::from(self.next) - in_flight;
        (first..first + count).fold(0, |mask, message| mask | bit(message as u8))
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Session {
    pub token: u8,
    pub counts: Counts,
    pub durable: Option<Durable>,
}

impl Session {
    pub fn new(trial: &Trial, end: usize) -> Session {
        Session { token: 0, counts: Counts::new(), durable: trial.durable[end].then(Durable::new) }
    }

    pub fn restored(&self) -> Session {
        let counts = Counts::restore(self.counts.save()).unwrap();
        let durable = self.durable.as_ref().map(|_| Durable::restored(&counts));
        Session { token: self.token, counts, durable }
    }
}

/// A client has one session, a server those that it has offered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct End {
    pub app: App,
    pub sessions: Vec<Session>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClientSide {
    /// The hello waits until its attempt is stored.
    Opening,
    Greeted,
    Attached,
    Closed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServerSide {
    Fresh,
    /// The welcome waits until the session is stored.
    Offering(u8),
    Attached(u8),
    Closed,
}

impl ServerSide {
    pub fn token(self) -> Option<u8> {
        match self {
            ServerSide::Offering(token) | ServerSide::Attached(token) => Some(token),
            ServerSide::Fresh | ServerSide::Closed => None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Socket {
    pub frames: [Vec<Frame>; 2],
    pub client: ClientSide,
    pub server: ServerSide,
    /// What its hello says.
    pub attempt: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    pub ends: [End; 2],
    pub sockets: Vec<Socket>,
    /// What each end has stored, and is storing.
    pub stored: [Option<Arc<End>>; 2],
    pub storing: [Option<Arc<End>>; 2],
    pub tokens: u8,
    pub deaths: u8,
    pub restarts: u8,
    pub candidates: u8,
    /// An end has lost its state.
    pub amnesia: bool,
    pub broken: Option<&'static str>,
}

impl World {
    pub fn new(trial: &Trial) -> World {
        let end = |sessions| End { app: App::default(), sessions };
        World {
            ends: [end(vec![Session::new(trial, UP)]), end(Vec::new())],
            sockets: Vec::new(),
            stored: [None, None],
            storing: [None, None],
            tokens: 0,
            deaths: 0,
            restarts: 0,
            candidates: 0,
            amnesia: false,
            broken: None,
        }
    }

    pub fn closed(&self, socket: usize, end: usize) -> bool {
        let socket = &self.sockets[socket];
        if end == UP { socket.client == ClientSide::Closed } else { socket.server == ServerSide::Closed }
    }

    /// The session that this end has on this socket.
    pub fn session(&self, socket: usize, end: usize) -> Option<usize> {
        let socket = &self.sockets[socket];
        match (end, socket.client, socket.server) {
            (UP, ClientSide::Attached, _) => Some(0),
            (DOWN, _, ServerSide::Attached(token)) => {
                self.ends[DOWN].sessions.iter().position(|session| session.token == token)
            }
            _ => None,
        }
    }

    /// This end closes its side, and hears no more of what was on its way to it.
    pub fn close(&mut self, socket: usize, end: usize) {
        if let Some(session) = self.session(socket, end) {
            self.ends[end].sessions[session].counts.detach();
        }
        let socket = &mut self.sockets[socket];
        socket.frames[1 - end].clear();
        if end == UP {
            socket.client = ClientSide::Closed;
        } else {
            socket.server = ServerSide::Closed;
        }
    }

    pub fn put(&mut self, socket: usize, end: usize, frame: Frame) {
        if !self.closed(socket, 1 - end) {
            self.sockets[socket].frames[end].push(frame);
        }
    }

    pub fn settle(&mut self, end: usize, session: usize, acknowledged: u32) {
        let End { app, sessions } = &mut self.ends[end];
        let before = sessions[session].counts.in_flight() + acknowledged;
        app.acknowledged |= app.oldest(before, acknowledged);
    }

    pub fn doubt(&mut self, end: usize, count: u32) {
        let app = &mut self.ends[end].app;
        app.in_doubt |= app.oldest(count, count);
    }

    /// Tokens are names: only which are equal and which is younger matters. Fewer names, fewer states.
    pub fn rename_tokens(&mut self) {
        let mut names = 1_u32;
        let stores = self.stored.iter().chain(&self.storing).flatten().map(|end| &**end);
        for session in self.ends.iter().chain(stores).flat_map(|end| &end.sessions) {
            names |= 1 << session.token;
        }
        for socket in &self.sockets {
            names |= socket.server.token().map_or(0, |token| 1 << token);
            for token in socket.frames.iter().flatten().filter_map(Frame::token) {
                names |= 1 << token;
            }
        }
        self.tokens = names.count_ones() as u8 - 1;
        if names.trailing_ones() < names.count_ones() {
            self.each_token(|token| *token = (names & ((1 << *token) - 1)).count_ones() as u8);
        }
    }

    fn each_token(&mut self, mut rename: impl FnMut(&mut u8)) {
        let stores = self.stored.iter_mut().chain(&mut self.storing).flatten().map(Arc::make_mut);
        for session in self.ends.iter_mut().chain(stores).flat_map(|end| &mut end.sessions) {
            rename(&mut session.token);
        }
        for socket in &mut self.sockets {
            if let ServerSide::Offering(token) | ServerSide::Attached(token) = &mut socket.server {
                rename(token);
            }
            for frame in socket.frames.iter_mut().flatten() {
                if let Frame::Hello { token, .. } | Frame::Welcome { token, .. } = frame {
                    rename(token);
                }
            }
        }
    }

    pub fn all(trial: &Trial, end: usize) -> u8 {
        bit(trial.messages[end]) - 1
    }

    /// Nothing is left undone.
    pub fn is_complete(&self, trial: &Trial) -> bool {
        [UP, DOWN].into_iter().all(|end| {
            let App { acknowledged, in_doubt, .. } = self.ends[end].app;
            let all = World::all(trial, end);
            let attached = (0..self.sockets.len()).any(|socket| self.session(socket, end).is_some());
            attached && acknowledged | in_doubt == all && self.ends[1 - end].app.got | in_doubt == all
        })
    }
}
