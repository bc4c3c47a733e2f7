//! What a frame does to the end that reads it.

use everlink::delivery::{Arrival, Greeting, Refusal, Resumption};

use super::world::{ClientSide, End, Frame, ServerSide, Session, World, bit};
use super::{DOWN, Trial, UP};

impl World {
    pub fn at_client(&mut self, socket: usize, frame: Frame) {
        let mut lost = 0;
        let mut acknowledged = 0;
        let session = &mut self.ends[UP].sessions[0];
        match (frame, self.sockets[socket].client) {
            (Frame::Welcome { token, resumed, received, from }, ClientSide::Greeted) => {
                if !resumed {
                    lost = session.counts.restart(session.durable.as_mut());
                    session.token = token;
                } else if let Ok(resumption) = session.counts.resume(received, from) {
                    acknowledged = resumption.acknowledged;
                } else {
                    *session = Session { token: 0, ..session.clone() };
                    return self.close(socket, UP);
                }
                self.doubt(UP, lost);
                self.settle(UP, 0, acknowledged);
                for other in 0..self.sockets.len() {
                    if self.sockets[other].client == ClientSide::Attached {
                        // `close` would detach the session from the socket that has it now.
                        self.sockets[other].frames[DOWN].clear();
                        self.sockets[other].client = ClientSide::Closed;
                    }
                }
                self.sockets[socket].client = ClientSide::Attached;
            }
            (Frame::Message(_) | Frame::Ack(_), ClientSide::Attached) => self.traffic(UP, 0, frame),
            (Frame::Superseded(attempt), _) => {
                if session.counts.is_superseded_by(attempt) {
                    self.broken = Some("superseded by nobody");
                }
                if attempt <= self.sockets[socket].attempt {
                    self.broken = Some("superseded by an older hello");
                }
                self.close(socket, UP);
            }
            _ => self.broken = Some("a frame that the client must not get"),
        }
    }

    pub fn at_server(&mut self, trial: &Trial, socket: usize, frame: Frame) {
        match (frame, self.sockets[socket].server) {
            (Frame::Hello { token, greeting }, ServerSide::Fresh) => {
                let known = self.ends[DOWN].sessions.iter().position(|session| session.token == token);
                let Some(index) = known else { return self.offer(trial, socket, greeting) };
                let session = &mut self.ends[DOWN].sessions[index];
                match session.counts.take_over(greeting, session.durable.as_ref()) {
                    Ok(resumption) => {
                        self.settle(DOWN, index, resumption.acknowledged);
                        self.prefer(index);
                        for old in 0..self.sockets.len() {
                            if self.sockets[old].server == ServerSide::Attached(token) {
                                self.put(old, DOWN, Frame::Superseded(greeting.attempt));
                                self.sockets[old].frames[UP].clear();
                                self.sockets[old].server = ServerSide::Closed;
                            }
                        }
                        self.sockets[socket].server = ServerSide::Attached(token);
                        let Resumption { received, from, .. } = resumption;
                        self.put(socket, DOWN, Frame::Welcome { token, resumed: true, received, from });
                    }
                    Err(Refusal::Overtaken) => {
                        self.put(socket, DOWN, Frame::Refused);
                        self.close(socket, DOWN);
                    }
                    Err(Refusal::Impossible) => {
                        let doubtful = self.ends[DOWN].sessions.remove(index).counts.in_flight();
                        self.doubt(DOWN, doubtful);
                        self.offer(trial, socket, greeting);
                    }
                }
            }
            (Frame::Message(_) | Frame::Ack(_), ServerSide::Attached(_)) => {
                let session = self.session(socket, DOWN).unwrap();
                self.traffic(DOWN, session, frame);
            }
            _ => self.broken = Some("a frame that the server must not get"),
        }
    }

    fn offer(&mut self, trial: &Trial, socket: usize, greeting: Greeting) {
        self.tokens += 1;
        let mut session = Session { token: self.tokens, ..Session::new(trial, DOWN) };
        session.counts.offer(greeting.attempt, session.durable.as_mut());
        self.sockets[socket].server = ServerSide::Offering(session.token);
        self.ends[DOWN].sessions.push(session);
    }

    /// A counted envelope or an acknowledgement, on a socket that has the session.
    fn traffic(&mut self, end: usize, session: usize, frame: Frame) {
        let first = self.ends[end].sessions[session].counts.heard();
        let session = if first { self.prefer(session) } else { session };
        match frame {
            Frame::Message(message) => {
                let End { app, sessions } = &mut self.ends[end];
                match sessions[session].counts.receive(1) {
                    Arrival::New if message < app.after => self.broken = Some("twice, or out of order"),
                    Arrival::New => {
                        app.got |= bit(message);
                        app.after = message + 1;
                    }
                    Arrival::Repeat if app.got & bit(message) == 0 => self.broken = Some("lost as a repeat"),
                    Arrival::Repeat => {}
                    Arrival::Stray => self.broken = Some("a stray"),
                }
            }
            Frame::Ack(total) => match self.ends[end].sessions[session].counts.acknowledged(total) {
                Ok(more) => self.settle(end, session, more),
                Err(_) => self.broken = Some("an impossible acknowledgement"),
            },
            _ => self.broken = Some("no traffic"),
        }
    }

    /// The client has this session, so it has forgotten those that were offered before. Gives the session's new index.
    fn prefer(&mut self, session: usize) -> usize {
        let token = self.ends[DOWN].sessions[session].token;
        for socket in 0..self.sockets.len() {
            if matches!(self.sockets[socket].server, ServerSide::Attached(other) if other < token) {
                self.close(socket, DOWN);
            }
        }
        let older = |session: &Session| session.token < token;
        let doubtful = self.ends[DOWN].sessions.iter().filter(|session| older(session));
        let doubtful = doubtful.map(|session| session.counts.in_flight()).sum();
        self.doubt(DOWN, doubtful);
        self.ends[DOWN].sessions.retain(|session| !older(session));
        self.ends[DOWN].sessions.iter().position(|session| session.token == token).unwrap()
    }
}
