//! Both ends of the native wire over bytes: what a wire puts in front of a message goes into one frame with it.

use std::time::Duration;

use crate::bytes::{SECRET, quiet};
use everlink::acceptor::{Principal, Secret};
use everlink::link::{Delivery, Epoch, Input, Link, Status};
use everlink::outbox::Message;
use everlink::peer::{self, Connection, Heard, Sessions};
use everlink::stream::{self, Action, End, Heap, Memory, Next, Served, Stream, WebSocket};
use everlink::time::Instant;
use everlink::wire::Wire;
use everlink::wire::native::Limits;
use everlink::ws::handshake::{Acceptance, Request};

struct Ends {
    link: Link<Vec<u8>>,
    stream: Stream<Heap>,
    sessions: Sessions<Vec<u8>>,
    connection: Connection,
    served: Stream<Heap>,
    epoch: Epoch,
    now: Instant,
    /// What came, at the client and at the server.
    came: [Vec<Vec<u8>>; 2],
}

fn messages<'f>(deliveries: impl Iterator<Item = Delivery<'f>>) -> impl Iterator<Item = Vec<u8>> {
    deliveries.filter_map(|delivery| match delivery {
        Delivery::Message { data, .. } => Some(data.to_vec()),
        _ => None,
    })
}

/// The next bytes from one stream to the other; how many that was.
fn pour(from: &Stream<Heap>, to: &mut Stream<Heap>, epoch: Epoch) -> usize {
    let (bytes, room) = (from.transmit(epoch), to.fill(epoch));
    let count = bytes.len().min(room.len());
    room[..count].copy_from_slice(&bytes[..count]);
    count
}

impl Ends {
    fn open() -> Ends {
        let mut config = quiet();
        config.wire = Wire::Native(Limits::default());
        let (mut link, now) = (Link::new(config, 1).unwrap(), Instant::ORIGIN);
        let mut stream = Stream::on_heap(stream::Config::default(), &link);
        link.handle(now, Input::Start).for_each(drop);
        let epoch = loop {
            match stream.poll(&mut link) {
                Next::Do(Action::Connect { epoch, .. }) => break epoch,
                Next::Do(_) => {}
                next => panic!("{next:?}"),
            }
        };
        stream.connected(&mut link, now, epoch, &Request::new("example.org", "/"), SECRET);
        let memory = Memory::on_heap(1 << 16, 1 << 21, 1 << 21);
        let mut socket = WebSocket::server(memory, &stream::Config::default());
        let asked = stream.transmit(epoch);
        let count = asked.len();
        socket.fill()[..count].copy_from_slice(asked);
        socket.received(count);
        stream.sent(&mut link, now, epoch, count);
        assert!(matches!(socket.read(), Some(stream::Event::Request(_))));
        socket.accept(&Acceptance::default()).unwrap();
        let sessions = Sessions::new(peer::Config::default(), 7, 16).unwrap();
        let connection = Connection::new(&sessions.config().acceptor, now, epoch);
        let served = Stream::on_socket(epoch, socket);
        let mut ends =
            Ends { link, stream, sessions, connection, served, epoch, now, came: Default::default() };
        ends.settle();
        assert_eq!(ends.link.status(), Status::Connected);
        ends
    }

    /// Until nothing moves any more.
    fn settle(&mut self) {
        let (epoch, now) = (self.epoch, self.now);
        loop {
            let Ends { link, stream, sessions, connection, served, .. } = self;
            while let Next::Do(_) = stream.poll(link) {}
            while let Next::Do(_) = served.poll(&mut Served { connection, sessions }) {}
            let mut asked = false;
            let up = pour(stream, served, epoch);
            if up > 0 {
                stream.sent(link, now, epoch, up);
                let end = &mut Served { connection, sessions };
                served.received(end, now, epoch, up);
                while let Some(heard) = served.read(end, now, epoch) {
                    match heard {
                        Heard::Question(_) => asked = true,
                        Heard::Deliveries(deliveries) => self.came[1].extend(messages(deliveries)),
                    }
                }
            }
            if asked {
                let secret = Secret::new([9; 16]);
                connection.admit(sessions, now, Principal::ANYONE, secret, |_| ()).unwrap();
            }
            let down = pour(served, stream, epoch);
            if down > 0 {
                served.sent(&mut Served { connection, sessions }, now, epoch, down);
                stream.received(link, now, epoch, down);
                while let Some(deliveries) = stream.read(link, now, epoch) {
                    self.came[0].extend(messages(deliveries));
                }
            }
            if up + down == 0 && !asked {
                return;
            }
        }
    }
}

#[test]
fn messages_of_every_length_go_both_ways() {
    let mut ends = Ends::open();
    let session = ends.connection.session().unwrap();
    // Around the lengths at which the head of a frame grows, and those at which memory does.
    for length in (115..130).chain([0, 1, 1_000, 65_000]).chain(65_525..65_540).chain([100_000]) {
        let message: Vec<u8> = (0..length).map(|at| at as u8).collect();
        ends.link.send(ends.now, Message::binary(message.clone()), |_, _| ()).unwrap();
        let mut peer = ends.sessions.peer(session).unwrap();
        peer.send(ends.now, Message::binary(message.clone()), |_, _| ()).unwrap();
        ends.settle();
        assert!(ends.came == [vec![message.clone()], vec![message]], "{length}");
        ends.came = Default::default();
    }
}

#[test]
fn an_end_that_is_served_has_its_server_s_numbers() {
    let mut ends = Ends::open();
    let config = ends.sessions.config().clone();
    let end = &mut Served { connection: &mut ends.connection, sessions: &mut ends.sessions };
    assert!(end.largest_frame() > config.outbox.message_bytes as usize);
    assert_eq!(end.close_timeout(), Duration::from_secs(5));
    assert_eq!(end.wall_clock(ends.now), None);
}
