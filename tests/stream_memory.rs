//! The memory that bytes pass through: how it grows with what comes, and is given back.

use crate::bytes::{Rig, SECRET, frame, quiet};
use everlink::outbox::Kind;
use everlink::stream::{Config, Event, Heap, Memory, RESERVE, ROOM, Room, WebSocket};
use everlink::ws::SendError;

#[test]
fn memory_comes_when_it_is_needed_in_steps_that_double_up_to_its_limit() {
    let mut heap = Heap::new(100_000);
    assert_eq!((heap.bytes().len(), heap.limit()), (0, 100_000));
    for (wanted, has) in [
        (0, 0),
        (1, 4_096),
        (4_096, 4_096),
        (4_097, 8_192),
        (10, 8_192),
        (50_000, 50_000),
        (50_001, 100_000),
        (200_000, 100_000),
    ] {
        heap.grow(wanted);
        assert_eq!((heap.bytes().len(), heap.bytes_mut().len()), (has, has), "{wanted}");
        assert!(
            has == 0 || heap.bytes().as_ptr().addr().is_multiple_of(64),
            "it begins where copying is fast"
        );
        // What it holds stays.
        for at in [0, 4_095, 8_191, 49_999].into_iter().filter(|at| *at < has) {
            let byte = (at % 251 + 1) as u8;
            assert!([0, byte].contains(&heap.bytes()[at]));
            assert!(at > 4_095 || wanted < 2 || heap.bytes()[at] == byte, "{at} of {wanted}");
            heap.bytes_mut()[at] = byte;
        }
    }
    assert_eq!(Heap::new(100).limit(), 100);
    let mut small = Heap::new(100);
    small.grow(1);
    assert_eq!(small.bytes().len(), 100);
}

#[test]
fn much_memory_is_given_back_when_nothing_is_in_it_and_little_is_kept() {
    for (has, kept) in [(100, 4_096), (65_536, 65_536), (65_537, 0), (1_000_000, 0)] {
        let mut heap = Heap::new(1 << 20);
        heap.grow(has);
        heap.release();
        assert_eq!(heap.bytes().len(), kept, "{has}");
    }
    let mut memory = Memory::on_heap(1 << 20, 1 << 20, 1 << 20);
    assert_eq!(memory.outbound.limit(), (1 << 20) + RESERVE, "what is kept for a close comes on top");
    for heap in [&mut memory.inbound, &mut memory.outbound, &mut memory.message] {
        heap.grow(100_000);
    }
    let memory = WebSocket::opened(memory, &Config::default(), None).into_memory();
    let left = [memory.inbound, memory.outbound, memory.message].map(|heap| heap.bytes().len());
    assert_eq!(left, [0, 0, 0], "the next socket begins with none");
}

#[test]
fn memory_of_the_callers_is_as_it_is() {
    let mut array = [7_u8; 16];
    let mut slice = &mut [7_u8; 16][..];
    for room in [&mut array as &mut dyn Room, &mut slice] {
        room.grow(100);
        room.release();
        assert_eq!((room.limit(), room.bytes()), (16, &[7; 16][..]));
        assert_eq!(room.bytes_mut(), [7; 16]);
    }
}

/// A client whose handshake somebody else made.
fn client(inbound: usize, outbound: usize, message: usize) -> WebSocket<Heap> {
    WebSocket::opened(Memory::on_heap(inbound, outbound, message), &Config::default(), Some(SECRET))
}

/// So many bytes come at once.
fn come(socket: &mut WebSocket<Heap>, bytes: &[u8]) {
    socket.fill()[..bytes.len()].copy_from_slice(bytes);
    socket.received(bytes.len());
}

#[test]
fn what_comes_fast_is_read_in_larger_pieces_and_what_comes_slowly_in_small_ones() {
    // A message that is put together elsewhere, so that what comes is consumed at once.
    let long = frame(0x82, &vec![9; 500_000]);
    let mut socket = client(1 << 16, 1 << 16, 1 << 20);
    let (mut rest, mut rooms) = (&long[..], Vec::new());
    while rooms.len() < 6 {
        let room = socket.fill().len();
        rooms.push(room);
        let (piece, later) = rest.split_at(room);
        come(&mut socket, piece);
        assert_eq!(socket.read(), None);
        rest = later;
    }
    assert_eq!(rooms, [4_096, 8_192, 16_384, 32_768, 65_536, 65_536]);

    let mut socket = client(1 << 16, 1 << 16, 1 << 20);
    for piece in long.chunks(4_095).take(20) {
        assert_eq!(socket.fill().len(), 4_096);
        come(&mut socket, piece);
        assert_eq!(socket.read(), None);
    }
}

#[test]
fn what_is_there_is_moved_to_the_front_when_no_room_is_left_behind_it() {
    let mut socket = client(256, 4_096, 4_096);
    let (first, second) = (frame(0x82, &[1; 198]), frame(0x82, &[2; 198]));
    come(&mut socket, &first);
    assert_eq!(socket.read(), Some(Event::Message { kind: Kind::Binary, data: &[1; 198] }));
    // From the front again, for nothing is left.
    assert_eq!(socket.fill().len(), 256);
    come(&mut socket, &[&first[..], &second[..54]].concat());
    assert_eq!(socket.fill().len(), 0, "what came is to be read first");
    assert_eq!(socket.read(), Some(Event::Message { kind: Kind::Binary, data: &[1; 198] }));
    assert_eq!(socket.read(), None);
    assert_eq!(socket.fill().len(), 206, "50 bytes have moved: the head is read");
    come(&mut socket, &second[54..]);
    assert_eq!(socket.read(), Some(Event::Message { kind: Kind::Binary, data: &[2; 198] }));
}

#[test]
fn what_goes_out_finds_as_much_room_as_there_is() {
    // A frame of a client has 6 to 14 bytes besides its payload; 14 are asked for.
    let mut socket = client(4_096, 1_000, 4_096);
    assert_eq!(socket.send(Kind::Binary, &[1; 987]), Err(SendError::NoRoom(1_001)));
    assert_eq!(socket.send(Kind::Binary, &[1; 986]), Ok(()));
    // What is kept for a pong and a close frame is no message's.
    assert!(socket.send(Kind::Binary, b"").is_err());
    let waiting = socket.transmit().len();
    socket.sent(waiting);
    assert_eq!(socket.send(Kind::Binary, &[1; 986]), Ok(()), "all of it is free again");
    // And half of it, where the rest has not left yet.
    socket.sent(494);
    let rest = socket.transmit().to_vec();
    assert_eq!(socket.send(Kind::Binary, &[2; 400]), Ok(()));
    assert_eq!(socket.transmit()[..rest.len()], rest, "it stays in front");
}

#[test]
fn a_link_s_socket_takes_messages_up_to_the_point_at_which_a_ping_would_wait_too_long() {
    let mut config = quiet();
    config.outbox.messages = 1_000;
    config.outbox.bytes = 1 << 20;
    let mut rig = Rig::open(config);
    let epoch = rig.epoch();
    for _ in 0..200 {
        rig.give(&"x".repeat(1_000));
    }
    // 1 006 or 1 008 bytes each.
    let waiting = rig.stream.transmit(epoch).len();
    assert!((ROOM..ROOM + 1_008).contains(&waiting), "{waiting}");
    // As many as can be accounted for.
    let mut rig = Rig::open(quiet());
    let epoch = rig.epoch();
    for _ in 0..80 {
        rig.give("x");
    }
    assert_eq!(rig.stream.transmit(epoch).len(), 64 * 7);
    rig.take(epoch);
    assert_eq!(rig.said(epoch).len(), 80);
}
