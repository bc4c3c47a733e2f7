//! What a server's end costs: bytes for each client, and nanoseconds for a message, a reconnect, a stranger.

use std::hint::black_box;
use std::sync::Arc;

use everlink::acceptor::{Acceptor, Principal, Seat, Secret, SessionId};
use everlink::link::{Epoch, Event};
use everlink::outbox::{Kind, Message, Slot};
use everlink::peer::{Action, Config, Core, Input, Next, Sessions};
use everlink::time::Instant;
use everlink::wire::native::{Announced, Credentials, Envelope, Hello, Item, Limits, Reader, Token};

use crate::measure::{nanoseconds, print};

/// How many clients there are: too many for any cache.
const CLIENTS: u32 = 1 << 17;

type Payload = Arc<[u8]>;

/// A client, as far as it can be told from the server.
struct Client {
    session: SessionId,
    principal: Principal,
    epoch: Epoch,
    attempt: u32,
    token: Vec<u8>,
    /// Messages that it was sent.
    sent: u64,
}

struct Server {
    sessions: Sessions<Payload>,
    now: Instant,
    clients: Vec<Client>,
    last_epoch: u32,
    frame: [u8; 256],
}

impl Server {
    fn new() -> Server {
        let mut config = Config::default();
        config.acceptor.sessions.count = CLIENTS;
        let sessions = Sessions::new(config, 7, 4096).expect("the default works");
        let (now, frame) = (Instant::from_millis(1), [0; 256]);
        let mut server = Server { sessions, now, clients: Vec::new(), last_epoch: 0, frame };
        for number in 0..CLIENTS {
            let principal = Principal::new(number.into());
            let (session, epoch, token) = server.arrive(principal, 1, 0, &[]);
            server.clients.push(Client { session, principal, epoch, attempt: 1, token, sent: 0 });
            server.say(number, Envelope::Ack { received: 0 });
        }
        server
    }

    fn epoch(&mut self) -> Epoch {
        self.last_epoch = self.last_epoch.checked_add(1).unwrap_or(1);
        Epoch::new(self.last_epoch).expect("it is not 0")
    }

    /// A fresh socket, a hello, a decision, a welcome.
    fn arrive(
        &mut self,
        principal: Principal,
        attempt: u32,
        received: u64,
        token: &[u8],
    ) -> (SessionId, Epoch, Vec<u8>) {
        let epoch = self.epoch();
        let mut acceptor = Acceptor::new(&self.sessions.config().acceptor, self.now, epoch);
        let hello = Envelope::Hello(Hello {
            version: 1,
            attempt,
            received,
            announced: Announced { envelope: 4096, window: 64, window_bytes: 1 << 18 },
            token: Token::new(token),
            credentials: Credentials::new(b"somebody"),
        });
        let len = hello.encode(&mut self.frame).expect("there is room");
        let event = Event::Frame { kind: Kind::Binary, data: &self.frame[..len] };
        acceptor.handle(&self.sessions.config().acceptor, self.now, event).expect("it is a hello");
        let mut secret = [0; 16];
        secret[..4].copy_from_slice(&self.last_epoch.to_le_bytes());
        let admitted = self
            .sessions
            .admit(self.now, &mut acceptor, principal, Secret::new(secret), |_| ())
            .expect("there is room");
        let mut peer = self.sessions.peer(admitted.session).expect("it was admitted");
        assert_eq!(peer.poll(), Next::Do(Action::Flush { epoch }));
        let welcome = peer.pull(epoch).expect("a welcome");
        let limits = Limits::default();
        let token = match Reader::new(welcome.head(), &limits).next() {
            Some(Ok(Item::Envelope(Envelope::Welcome(welcome)))) => welcome.token.reveal().to_vec(),
            other => unreachable!("{other:?}"),
        };
        while peer.pull(epoch).is_some() {}
        (admitted.session, epoch, token)
    }

    fn say(&mut self, client: u32, envelope: Envelope<'_>) {
        let len = envelope.encode(&mut self.frame).expect("there is room");
        let Client { session, epoch, .. } = self.clients[client as usize];
        let mut peer = self.sessions.peer(session).expect("it is there");
        let event = Event::Frame { kind: Kind::Binary, data: &self.frame[..len] };
        for delivery in peer.handle(self.now, Input::Socket(epoch, event)) {
            black_box(delivery);
        }
    }

    /// Writes what there is to be written.
    fn drain(&mut self, client: u32) {
        let Client { session, .. } = self.clients[client as usize];
        let mut peer = self.sessions.peer(session).expect("it is there");
        while let Next::Do(action) = peer.poll() {
            if let Action::Flush { epoch } = action {
                while let Some(frame) = peer.pull(epoch) {
                    black_box(frame.head());
                }
            }
        }
    }
}

pub fn run() {
    print("peer_idle", size_of::<Core>() as f64, "bytes");
    print("peer_detached", size_of::<Core>() as f64, "bytes");
    print("peer_with_its_seat", size_of::<Seat<Core>>() as f64, "bytes");
    print("peer_message_in_the_arena", size_of::<Slot<Payload>>() as f64, "bytes");

    let mut server = Server::new();
    let data = [b'x'; 64];
    let message = Envelope::Message { kind: Kind::Binary, data: &data };
    // One client that speaks, and all of them in turn, so that none is in a cache.
    for (name, step) in [("", 0), ("_of_131072", 7919)] {
        let mut client = 0;
        let receive = || {
            client = (client + step) % CLIENTS;
            server.say(client, message);
            server.drain(client);
        };
        print(&format!("peer_receive_64B{name}"), nanoseconds(20_000, receive), "ns");
    }

    // Out, written, acknowledged, settled.
    let payload: Payload = data.into();
    for (name, step) in [("", 0), ("_of_131072", 7919)] {
        let mut client = 0;
        let send = || {
            client = (client + step) % CLIENTS;
            let Client { session, ref mut sent, .. } = server.clients[client as usize];
            *sent += 1;
            let received = *sent;
            let mut peer = server.sessions.peer(session).expect("it is there");
            peer.send(server.now, Message::binary(payload.clone()), |_, _| ()).expect("there is room");
            server.drain(client);
            server.say(client, Envelope::Ack { received });
            server.drain(client);
        };
        print(&format!("peer_send_64B_to_settled{name}"), nanoseconds(20_000, send), "ns");
    }

    let mut client = 0;
    let resume = || {
        client = (client + 7919) % CLIENTS;
        let known = &mut server.clients[client as usize];
        known.attempt += 1;
        let (principal, attempt, received) = (known.principal, known.attempt, known.sent);
        let token = core::mem::take(&mut known.token);
        let (session, epoch, token) = server.arrive(principal, attempt, received, &token);
        let known = &mut server.clients[client as usize];
        assert_eq!(known.session, session);
        (known.epoch, known.token) = (epoch, token);
    };
    print("peer_resume_of_131072", nanoseconds(5_000, resume), "ns");

    let mut stranger = 0;
    let refuse = || {
        stranger += 1;
        let config = &server.sessions.config().acceptor;
        let mut acceptor = Acceptor::new(config, server.now, Epoch::new(1).expect("it is not 0"));
        let noise = [0xFF, stranger as u8, 3];
        let event = Event::Frame { kind: Kind::Binary, data: &noise };
        black_box(acceptor.handle(config, server.now, event));
        black_box(acceptor.pull());
    };
    print("peer_stranger_refused", nanoseconds(20_000, refuse), "ns");
}
