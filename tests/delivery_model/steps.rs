//! What can happen next, and what then happens.

use std::sync::Arc;

use everlink::delivery::Config;

use super::world::{ClientSide, End, Frame, ServerSide, Session, Socket, World};
use super::{DOWN, Trial, UP};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    Open,
    OpenCandidate,
    /// The first frame on its way in this direction arrives.
    Arrive(usize, usize),
    /// This end hears that the other one has closed; what was on its way to it is lost.
    Gone(usize, usize),
    Send(usize, usize),
    Ack(usize, usize),
    Stored(usize),
    // Faults.
    /// This end takes the socket for dead; what was on its way to it is lost.
    Die(usize, usize),
    Restart(usize, bool),
}

impl Step {
    pub fn is_fault(self) -> bool {
        matches!(self, Step::Die(..) | Step::Restart(..) | Step::OpenCandidate)
    }
}

/// One store at a time, so that one number is enough for all of them.
pub const VERSION: u64 = 1;

pub const CONFIG: Config = Config {
    window: 2,
    window_bytes: 1000,
    ack_after: 1,
    ack_delay: std::time::Duration::ZERO,
    ack_timeout: std::time::Duration::ZERO,
    durable: false,
    in_doubt: everlink::delivery::InDoubt::Settle,
};

impl World {
    pub fn steps(&self, trial: &Trial, steps: &mut Vec<Step>) {
        let open = (0..self.sockets.len()).filter(|&socket| !self.closed(socket, UP)).count();
        if open == 0 {
            steps.push(Step::Open);
        }
        let attached = self.sockets.iter().any(|socket| socket.client == ClientSide::Attached);
        if open == 1 && attached && self.candidates < trial.candidates {
            steps.push(Step::OpenCandidate);
        }
        for socket in 0..self.sockets.len() {
            for end in [UP, DOWN] {
                if !self.sockets[socket].frames[end].is_empty() {
                    steps.push(Step::Arrive(socket, end));
                }
                if self.closed(socket, end) {
                    continue;
                }
                if self.closed(socket, 1 - end) {
                    steps.push(Step::Gone(socket, end));
                } else if self.deaths < trial.deaths {
                    steps.push(Step::Die(socket, end));
                }
                let Some(index) = self.session(socket, end) else { continue };
                let End { app, sessions } = &self.ends[end];
                let Session { counts, durable, .. } = &sessions[index];
                let waits = app.next < trial.messages[end] && counts.has_room(&CONFIG, counts.in_flight(), 1);
                if waits || counts.can_hand_over(durable.as_ref()) > 0 {
                    steps.push(Step::Send(socket, end));
                }
                if counts.clone().ack(durable.as_ref()).is_some() {
                    steps.push(Step::Ack(socket, end));
                }
            }
        }
        for end in [UP, DOWN] {
            if self.storing[end].is_some() {
                steps.push(Step::Stored(end));
            }
            if self.restarts < trial.restarts {
                steps.push(Step::Restart(end, false));
                if self.stored[end].is_some() {
                    steps.push(Step::Restart(end, true));
                }
            }
        }
    }

    pub fn step(&mut self, trial: &Trial, step: Step) {
        match step {
            Step::Open | Step::OpenCandidate => {
                self.candidates += u8::from(step == Step::OpenCandidate);
                let attempt = self.ends[UP].sessions[0].counts.begin_attempt();
                let frames = [Vec::new(), Vec::new()];
                let (client, server) = (ClientSide::Opening, ServerSide::Fresh);
                self.sockets.push(Socket { frames, client, server, attempt });
            }
            Step::Arrive(socket, direction) => {
                let frame = self.sockets[socket].frames[direction].remove(0);
                if direction == UP {
                    self.at_server(trial, socket, frame);
                } else {
                    self.at_client(socket, frame);
                }
            }
            Step::Gone(socket, end) => self.close(socket, end),
            Step::Die(socket, end) => {
                self.deaths += 1;
                self.close(socket, end);
            }
            Step::Send(socket, end) => {
                let index = self.session(socket, end).unwrap();
                let End { app, sessions } = &mut self.ends[end];
                let Session { counts, durable, .. } = &mut sessions[index];
                if counts.can_hand_over(durable.as_ref()) == 0 {
                    assert!(counts.number());
                    app.next += 1;
                }
                let message = app.next - (counts.in_flight() - counts.unanswered()) as u8;
                if counts.hand_over(durable.as_ref()) {
                    self.put(socket, end, Frame::Message(message));
                }
            }
            Step::Ack(socket, end) => {
                let index = self.session(socket, end).unwrap();
                let Session { counts, durable, .. } = &mut self.ends[end].sessions[index];
                let total = counts.ack(durable.as_ref()).unwrap();
                self.put(socket, end, Frame::Ack(total));
            }
            Step::Stored(end) => {
                // A session that began since waits for no version.
                for durable in
                    self.ends[end].sessions.iter_mut().filter_map(|session| session.durable.as_mut())
                {
                    durable.stored(VERSION);
                }
                self.stored[end] = self.storing[end].take();
            }
            Step::Restart(end, with_state) => {
                self.restarts += 1;
                for socket in 0..self.sockets.len() {
                    self.close(socket, end);
                }
                self.storing[end] = None;
                if with_state {
                    self.ends[end] = End::clone(self.stored[end].as_deref().unwrap());
                } else {
                    self.amnesia = true;
                    self.stored[end] = None;
                    let sessions = core::mem::take(&mut self.ends[end].sessions);
                    self.doubt(end, sessions.iter().map(|session| session.counts.in_flight()).sum());
                    if end == UP {
                        self.ends[end].sessions.push(Session::new(trial, UP));
                    }
                }
            }
        }
        self.hasten();
    }

    /// What leaves as soon as it may.
    fn hasten(&mut self) {
        for index in 0..self.sockets.len() {
            let session = &self.ends[UP].sessions[0];
            if self.sockets[index].client == ClientSide::Opening
                && let Some(greeting) = session.counts.greeting(session.durable.as_ref())
            {
                let token = session.token;
                self.sockets[index].client = ClientSide::Greeted;
                self.put(index, UP, Frame::Hello { token, greeting });
            }
            let ServerSide::Offering(token) = self.sockets[index].server else { continue };
            let sessions = &self.ends[DOWN].sessions;
            match sessions.iter().find(|session| session.token == token) {
                Some(session) if session.counts.may_welcome(session.durable.as_ref()) => {
                    self.sockets[index].server = ServerSide::Attached(token);
                    self.put(index, DOWN, Frame::Welcome { token, resumed: false, received: 0, from: 0 });
                }
                Some(_) => {}
                None => self.close(index, DOWN),
            }
        }
        self.sockets
            .retain(|socket| socket.client != ClientSide::Closed || socket.server != ServerSide::Closed);
        for end in [UP, DOWN] {
            self.store(end);
        }
    }

    /// Asks to store the state of this end, if it has to be stored. (A store that has not begun is as good as one that was
    /// not completed.)
    fn store(&mut self, end: usize) {
        let wants = |session: &Session| {
            session.durable.as_ref().is_some_and(|durable| durable.wants(&session.counts))
        };
        if self.storing[end].is_some() || !self.ends[end].sessions.iter().any(wants) {
            return;
        }
        for session in &mut self.ends[end].sessions {
            if let Some(durable) = &mut session.durable {
                durable.ask(VERSION, &session.counts);
            }
        }
        let End { app, ref sessions } = self.ends[end];
        // What concerns only a socket is not stored.
        let sessions = sessions.iter().map(Session::restored).collect();
        self.storing[end] = Some(Arc::new(End { app, sessions }));
    }

    pub fn is_idle(&self, trial: &Trial) -> bool {
        let mut steps = Vec::new();
        self.steps(trial, &mut steps);
        steps.into_iter().all(Step::is_fault)
    }
}
