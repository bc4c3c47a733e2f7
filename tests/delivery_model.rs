//! Two ends, a window of two, three messages, up to three socket deaths and one restart: every order in which these can meet.
//!
//! The ends are [`Counts`] (and [`Durable`]) driven as a link and a peer drive them. Sockets keep the order and lose what is
//! on the way when they die; each end learns of a death by itself, so that what an abandoned socket still holds may come
//! at any time later. `stateright` looks for a state in which a promise is broken; a walk of our own over the same states
//! shows that there is no circle, and that where nothing is left to do, nothing is left undone.

#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test may be blunt")]

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use everlink::delivery::{Arrival, Config, Counts, Durable, Greeting, Refusal, Resumption};
use stateright::{Checker, Model, Property};

const UP: usize = 0;
const DOWN: usize = 1;

/// What is tried.
#[derive(Clone, Copy, Debug)]
struct Trial {
    name: &'static str,
    /// How many messages client and server send.
    messages: [u8; 2],
    deaths: u8,
    restarts: u8,
    /// How often the client may open a second socket beside a good one.
    candidates: u8,
    /// Whether client and server store what others depend on.
    durable: [bool; 2],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Frame {
    Hello { token: u8, greeting: Greeting },
    Welcome { token: u8, resumed: bool, received: u64, from: u64 },
    Message(u8),
    Ack(u64),
    Superseded(u32),
    Refused,
}

/// What an application knows. Messages are numbers, counted per direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct App {
    /// The first one that is not numbered yet.
    next: u8,
    acknowledged: u8,
    in_doubt: u8,
    got: u8,
    /// One more than the last one that it got.
    after: u8,
}

const fn bit(message: u8) -> u8 {
    1 << message
}

impl App {
    /// The oldest `count` of those in flight, of which there were `in_flight`.
    fn oldest(&self, in_flight: u32, count: u32) -> u8 {
        let first = u32::from(self.next) - in_flight;
        (first..first + count).fold(0, |mask, message| mask | bit(message as u8))
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Session {
    token: u8,
    counts: Counts,
    durable: Option<Durable>,
}

impl Session {
    fn new(trial: &Trial, end: usize) -> Session {
        Session { token: 0, counts: Counts::new(), durable: trial.durable[end].then(Durable::new) }
    }

    fn restored(&self) -> Session {
        let counts = Counts::restore(self.counts.save()).unwrap();
        let durable = self.durable.as_ref().map(|_| Durable::restored(&counts));
        Session { token: self.token, counts, durable }
    }
}

/// A client has one session, a server those that it has offered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct End {
    app: App,
    sessions: Vec<Session>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum ClientSide {
    /// The hello waits until its attempt is stored.
    Opening,
    Greeted,
    Attached,
    Closed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum ServerSide {
    Fresh,
    /// The welcome waits until the session is stored.
    Offering(u8),
    Attached(u8),
    Closed,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Socket {
    frames: [Vec<Frame>; 2],
    client: ClientSide,
    server: ServerSide,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    ends: [End; 2],
    sockets: Vec<Socket>,
    /// What each end has stored, and is storing.
    stored: [Option<Box<End>>; 2],
    storing: [Option<Box<End>>; 2],
    tokens: u8,
    deaths: u8,
    restarts: u8,
    candidates: u8,
    /// An end has lost its state.
    amnesia: bool,
    broken: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Step {
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
    fn is_fault(self) -> bool {
        matches!(self, Step::Die(..) | Step::Restart(..) | Step::OpenCandidate)
    }
}

/// One store at a time, so that one number is enough for all of them.
const VERSION: u64 = 1;

const CONFIG: Config = Config {
    window: 2,
    window_bytes: 1000,
    ack_after: 1,
    ack_delay: std::time::Duration::ZERO,
    ack_timeout: std::time::Duration::ZERO,
    durable: false,
    in_doubt: everlink::delivery::InDoubt::Settle,
};

impl World {
    fn new(trial: &Trial) -> World {
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

    fn closed(&self, socket: usize, end: usize) -> bool {
        let socket = &self.sockets[socket];
        if end == UP { socket.client == ClientSide::Closed } else { socket.server == ServerSide::Closed }
    }

    /// The session that this end has on this socket.
    fn session(&self, socket: usize, end: usize) -> Option<usize> {
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
    fn close(&mut self, socket: usize, end: usize) {
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

    fn put(&mut self, socket: usize, end: usize, frame: Frame) {
        if !self.closed(socket, 1 - end) {
            self.sockets[socket].frames[end].push(frame);
        }
    }

    fn settle(&mut self, end: usize, session: usize, acknowledged: u32) {
        let End { app, sessions } = &mut self.ends[end];
        let before = sessions[session].counts.in_flight() + acknowledged;
        app.acknowledged |= app.oldest(before, acknowledged);
    }

    fn doubt(&mut self, end: usize, count: u32) {
        let app = &mut self.ends[end].app;
        app.in_doubt |= app.oldest(count, count);
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

    fn at_client(&mut self, socket: usize, frame: Frame) {
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
                self.close(socket, UP);
            }
            _ => self.broken = Some("a frame that the client must not get"),
        }
    }

    fn at_server(&mut self, trial: &Trial, socket: usize, frame: Frame) {
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
        self.rename_tokens();
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
        self.storing[end] = Some(Box::new(End { app, sessions }));
    }

    /// Tokens are names: only which are equal and which is younger matters. Fewer names, fewer states.
    fn rename_tokens(&mut self) {
        let mut names: Vec<u8> = Vec::new();
        self.each_token(|token| names.push(*token));
        names.push(0);
        names.sort_unstable();
        names.dedup();
        self.each_token(|token| *token = names.binary_search(token).unwrap() as u8);
        self.tokens = names.len() as u8 - 1;
    }

    fn each_token(&mut self, mut with: impl FnMut(&mut u8)) {
        let stores = self.stored.iter_mut().chain(&mut self.storing).flatten().map(|end| &mut **end);
        for end in self.ends.iter_mut().chain(stores) {
            end.sessions.iter_mut().for_each(|session| with(&mut session.token));
        }
        for socket in &mut self.sockets {
            if let ServerSide::Offering(token) | ServerSide::Attached(token) = &mut socket.server {
                with(token);
            }
            for frame in socket.frames.iter_mut().flatten() {
                if let Frame::Hello { token, .. } | Frame::Welcome { token, .. } = frame {
                    with(token);
                }
            }
        }
    }

    fn steps(&self, trial: &Trial, steps: &mut Vec<Step>) {
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

    fn step(&mut self, trial: &Trial, step: Step) {
        match step {
            Step::Open | Step::OpenCandidate => {
                self.candidates += u8::from(step == Step::OpenCandidate);
                self.ends[UP].sessions[0].counts.begin_attempt();
                let frames = [Vec::new(), Vec::new()];
                let (client, server) = (ClientSide::Opening, ServerSide::Fresh);
                self.sockets.push(Socket { frames, client, server });
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
                let stored = self.storing[end].take().unwrap();
                for session in &mut self.ends[end].sessions {
                    let same = stored.sessions.iter().find(|stored| stored.token == session.token);
                    // A client's session may have begun since.
                    if (same.is_some() || end == UP)
                        && let Some(durable) = &mut session.durable
                    {
                        durable.stored(VERSION);
                    }
                }
                self.stored[end] = Some(stored);
            }
            Step::Restart(end, with_state) => {
                self.restarts += 1;
                for socket in 0..self.sockets.len() {
                    self.close(socket, end);
                }
                self.storing[end] = None;
                if with_state {
                    self.ends[end] = *self.stored[end].clone().unwrap();
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

    fn all(trial: &Trial, end: usize) -> u8 {
        bit(trial.messages[end]) - 1
    }

    /// Nothing is left undone.
    fn is_complete(&self, trial: &Trial) -> bool {
        [UP, DOWN].into_iter().all(|end| {
            let App { acknowledged, in_doubt, .. } = self.ends[end].app;
            let all = World::all(trial, end);
            let attached = (0..self.sockets.len()).any(|socket| self.session(socket, end).is_some());
            attached && acknowledged | in_doubt == all && self.ends[1 - end].app.got | in_doubt == all
        })
    }

    fn is_idle(&self, trial: &Trial) -> bool {
        let mut steps = Vec::new();
        self.steps(trial, &mut steps);
        steps.into_iter().all(Step::is_fault)
    }
}

impl Model for Trial {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(self)]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        world.steps(self, steps);
    }

    fn next_state(&self, world: &World, step: Step) -> Option<World> {
        let mut world = world.clone();
        world.step(self, step);
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Trial>> {
        vec![
            Property::always("in order and once, and nothing impossible is said", |_, world: &World| {
                world.broken.is_none()
            }),
            Property::always("what is acknowledged was delivered", |_, world: &World| {
                [UP, DOWN]
                    .into_iter()
                    .all(|end| world.ends[end].app.acknowledged & !world.ends[1 - end].app.got == 0)
            }),
            Property::always("what was passed over is in doubt", |_, world: &World| {
                [UP, DOWN].into_iter().all(|end| {
                    let App { got, after, .. } = world.ends[1 - end].app;
                    (bit(after) - 1) & !(got | world.ends[end].app.in_doubt) == 0
                })
            }),
            Property::always("nothing is in doubt unless an end has lost its state", |_, world: &World| {
                world.amnesia || world.ends.iter().all(|end| end.app.in_doubt == 0)
            }),
            Property::always(
                "where nothing is left to do, nothing is left undone",
                |trial, world: &World| !world.is_idle(trial) || world.is_complete(trial),
            ),
            Property::sometimes("all is delivered after every fault", |trial, world: &World| {
                let faults = world.deaths == trial.deaths && world.restarts == trial.restarts;
                faults && world.is_complete(trial)
            }),
        ]
    }
}

/// Walks over all states and fails if one can be reached from itself: then something could go on for ever without getting
/// anywhere. Gives the number of states.
fn assert_no_circle(trial: &Trial) -> usize {
    let hasher = RandomState::new();
    let mut done = HashMap::new();
    let mut path = vec![(World::new(trial), Vec::new(), 0)];
    trial.actions(&path[0].0.clone(), &mut path[0].1);
    done.insert(hasher.hash_one(&path[0].0), false);
    while let Some((world, steps, next)) = path.last_mut() {
        if let Some(&step) = steps.get(*next) {
            *next += 1;
            let world = trial.next_state(world, step).unwrap();
            match done.insert(hasher.hash_one(&world), false) {
                None => {
                    let mut steps = Vec::new();
                    trial.actions(&world, &mut steps);
                    path.push((world, steps, 0));
                }
                Some(true) => drop(done.insert(hasher.hash_one(&world), true)),
                Some(false) => panic!(
                    "a circle: {:#?}",
                    path.iter().map(|(_, steps, next)| steps[next - 1]).collect::<Vec<_>>()
                ),
            }
        } else {
            done.insert(hasher.hash_one(&*world), true);
            path.pop();
        }
    }
    done.len()
}

fn check(trial: Trial) {
    let checker = trial.checker().threads(2).spawn_bfs().join();
    let states = checker.unique_state_count();
    println!("{} {:?}: {states} states, depth {}", trial.name, trial.durable, checker.max_depth());
    checker.assert_properties();
}

const PLAIN: Trial =
    Trial { name: "", messages: [0, 0], deaths: 3, restarts: 1, candidates: 0, durable: [false; 2] };

const UPWARDS: Trial = Trial { name: "three up", messages: [3, 0], ..PLAIN };
const DOWNWARDS: Trial = Trial { name: "three down", messages: [0, 3], ..PLAIN };
const BOTH_WAYS: Trial = Trial { name: "two up, one down", messages: [2, 1], ..PLAIN };

#[test]
fn three_deaths_and_a_restart_without_state() {
    check(UPWARDS);
    check(DOWNWARDS);
}

#[test]
fn a_death_and_a_restart_with_or_without_state() {
    let durable = [true, true];
    check(Trial { name: "three up, durable", durable, deaths: 1, ..UPWARDS });
    check(Trial { name: "three down, durable", durable, deaths: 1, ..DOWNWARDS });
}

#[test]
#[ignore = "takes minutes in a release build, and gigabytes"]
fn two_deaths_and_a_restart_with_or_without_state() {
    let durable = [true, true];
    check(Trial { name: "three up, durable", durable, deaths: 2, ..UPWARDS });
    check(Trial { name: "three down, durable", durable, deaths: 2, ..DOWNWARDS });
}

#[test]
#[ignore = "takes long in a release build, and many gigabytes"]
fn three_deaths_and_a_restart_with_or_without_state() {
    let durable = [true, true];
    check(Trial { name: "three up, durable", durable, ..UPWARDS });
    check(Trial { name: "three down, durable", durable, ..DOWNWARDS });
}

#[test]
fn only_one_end_is_durable() {
    for durable in [[true, false], [false, true]] {
        check(Trial { name: "three up, one durable", durable, deaths: 1, ..UPWARDS });
        check(Trial { name: "three down, one durable", durable, deaths: 1, ..DOWNWARDS });
    }
}

#[test]
fn a_second_socket_beside_a_good_one() {
    for restarts in [0, 1] {
        check(Trial {
            name: "three up, candidate",
            deaths: 2 - restarts,
            restarts,
            candidates: 1,
            ..UPWARDS
        });
        check(Trial {
            name: "three down, candidate",
            deaths: 2 - restarts,
            restarts,
            candidates: 1,
            ..DOWNWARDS
        });
    }
}

#[test]
fn both_ways() {
    check(Trial { deaths: 3, restarts: 0, ..BOTH_WAYS });
    check(Trial { deaths: 1, restarts: 1, ..BOTH_WAYS });
}

#[test]
fn nothing_goes_in_circles() {
    let circle = |trial: Trial| println!("no circle in {} states", assert_no_circle(&trial));
    circle(Trial { restarts: 0, ..UPWARDS });
    circle(Trial { restarts: 0, ..DOWNWARDS });
    circle(Trial { deaths: 1, candidates: 1, ..UPWARDS });
    circle(Trial { deaths: 1, candidates: 1, ..DOWNWARDS });
    circle(Trial { deaths: 0, durable: [true, true], ..UPWARDS });
    circle(Trial { deaths: 0, durable: [true, true], ..DOWNWARDS });
}
