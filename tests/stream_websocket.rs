//! A WebSocket over bytes alone, without a link: how far it is, and what each end may say then.

use crate::bytes::SECRET;
use everlink::outbox::Kind;
use everlink::stream::{Config, Event, Heap, Memory, WebSocket};
use everlink::ws::handshake::{Acceptance, Refusal, Request, WriteError};
use everlink::ws::{Code, SendError};

type Socket = WebSocket<Heap>;

fn memory() -> Memory<Heap> {
    Memory::on_heap(4096, 4096, 1 << 16)
}

/// A client that has asked, and a server that has read it.
fn asked() -> (Socket, Socket) {
    let request = Request::new("example.org", "/chat");
    let mut client = WebSocket::client(memory(), &Config::default(), &request, SECRET).unwrap();
    let mut server = WebSocket::server(memory(), &Config::default());
    assert!(server.asked().is_none());
    carry(&mut client, &mut server);
    assert!(matches!(server.read(), Some(Event::Request(_))));
    (client, server)
}

fn open() -> (Socket, Socket) {
    let (mut client, mut server) = asked();
    server.accept(&Acceptance::default()).unwrap();
    carry(&mut server, &mut client);
    assert!(matches!(client.read(), Some(Event::Opened(_))));
    (client, server)
}

fn carry(from: &mut Socket, to: &mut Socket) {
    let bytes = from.transmit();
    let count = bytes.len();
    to.fill()[..count].copy_from_slice(bytes);
    to.received(count);
    from.sent(count);
}

#[test]
fn each_end_knows_how_far_the_handshake_is() {
    let how = |socket: &Socket| (socket.is_shaking(), socket.asked().is_some(), socket.is_open());
    let (mut client, mut server) = asked();
    assert_eq!((how(&client), how(&server)), ((true, false, false), (true, true, false)));
    server.accept(&Acceptance::default()).unwrap();
    assert_eq!((how(&client), how(&server)), ((true, false, false), (false, false, true)));
    carry(&mut server, &mut client);
    assert!(client.read().is_some());
    assert_eq!(how(&client), (false, false, true));
    client.close(Some(Code::NORMAL), "done");
    assert_eq!(how(&client), (false, false, false), "it has said that it closes");
    assert!(server.is_open(), "it does not know yet");
    carry(&mut client, &mut server);
    assert_eq!(server.read(), Some(Event::Close { code: Some(Code::NORMAL), reason: "done" }));
    assert_eq!(how(&server), (false, false, false));
}

#[test]
fn a_socket_whose_bytes_have_ended_is_not_open() {
    let (mut client, mut server) = open();
    client.received(0);
    server.close(None, "");
    assert!(!client.is_open() && !server.is_open());
}

#[test]
fn what_is_ready_is_read_before_more_comes_in() {
    let (mut client, mut server) = open();
    assert!(!server.is_ready());
    client.send(Kind::Text, b"one").unwrap();
    carry(&mut client, &mut server);
    assert!(!server.fill().is_empty());
    assert!(server.is_ready() && server.is_ready());
    assert!(server.fill().is_empty());
    assert_eq!(server.read(), Some(Event::Message { kind: Kind::Text, data: b"one" }));
    assert!(!server.is_ready() && !server.fill().is_empty());
}

#[test]
fn a_server_refuses_a_request_and_nothing_else() {
    let refusal = Refusal { status: 403, reason: "Forbidden", headers: &[], body: b"no" };
    let (mut client, mut server) = asked();
    server.refuse(&refusal).unwrap();
    assert!(!server.is_shaking() && !server.is_open());
    assert_eq!(server.refuse(&refusal), Err(WriteError::Status), "it was refused");
    carry(&mut server, &mut client);
    let Some(Event::Refused(refused)) = client.read() else { panic!("it was refused") };
    assert_eq!(refused.status, 403);
    assert_eq!(open().1.refuse(&refusal), Err(WriteError::Status), "it was accepted");
}

#[test]
fn a_ping_is_answered_and_has_125_bytes_at_most() {
    let (mut client, mut server) = open();
    client.ping(&[7; 125]).unwrap();
    carry(&mut client, &mut server);
    assert_eq!(server.read(), Some(Event::Ping(&[7; 125])));
    carry(&mut server, &mut client);
    assert_eq!(client.read(), Some(Event::Pong(&[7; 125])));
    assert_eq!(client.ping(&[7; 126]), Err(SendError::NoRoom(126)));
    assert!(client.transmit().is_empty());
    assert_eq!(asked().0.ping(b""), Err(SendError::Closed), "there is no WebSocket yet");
}

#[test]
fn something_is_answered_while_it_is_lent() {
    let (mut client, mut server) = open();
    assert!(server.read_with_reply().is_none());
    client.send(Kind::Binary, b"echo").unwrap();
    carry(&mut client, &mut server);
    let Some((Event::Message { kind, data }, mut reply)) = server.read_with_reply() else {
        panic!("a message came")
    };
    reply.send(kind, data).unwrap();
    reply.send_plain(Kind::Text, b"plain").unwrap();
    reply.ping(b"there?").unwrap();
    carry(&mut server, &mut client);
    assert_eq!(client.read(), Some(Event::Message { kind: Kind::Binary, data: b"echo" }));
    assert_eq!(client.read(), Some(Event::Message { kind: Kind::Text, data: b"plain" }));
    assert_eq!(client.read(), Some(Event::Ping(b"there?")));
    assert_eq!(client.read(), None);
}
