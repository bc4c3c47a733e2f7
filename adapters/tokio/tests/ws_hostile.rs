//! A plain WebSocket and a peer that wants to cost it time or memory, at either end: what is borne is bounded, and by what the options
//! say.

use std::future::Future;
use std::time::Duration;

use everlink::stream::{Fault, ROOM};
use everlink::ws::handshake::{
    Acceptance, Fault as Wrong, HandshakeError, HeadLimits, Incoming, RequestReader,
};
use everlink::ws::{Error as Broken, Mask, Violation};
use everlink_tokio::Target;
use everlink_tokio::ws::{Asked, Error, Event, Options, WebSocket, accept, connect_over};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

/// What the wire between the ends holds, each way.
const WIRE: usize = 4 << 10;

const REQUEST: &[u8] =
    b"GET / HTTP/1.1\r\nHost: example.org\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n";

#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Server,
    Client,
}

/// Far longer than anything takes here.
async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), what).await.expect("it does not come to an end")
}

fn options() -> Options {
    let mut options = Options { close_timeout: Duration::from_millis(50), ..Options::default() };
    options.limits.frames.frame = 1 << 20;
    options.limits.frames.message = 1 << 20;
    options.limits.frames.empty_fragments = 5;
    options.limits.frames.controls = 7;
    options.limits.head.bytes = 1000;
    options
}

fn target() -> Target {
    Target::new("ws://example.org/").unwrap()
}

async fn head(peer: &mut DuplexStream) -> Vec<u8> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(peer.read_u8().await.unwrap());
    }
    head
}

/// An open WebSocket, and its peer's end of the wire.
async fn open(end: End, options: Options) -> (WebSocket<DuplexStream>, DuplexStream) {
    let (ours, mut peer) = duplex(WIRE);
    match end {
        End::Server => {
            peer.write_all(REQUEST).await.unwrap();
            let mut socket = accept(ours, options).await.unwrap().agree(&Acceptance::default()).unwrap();
            socket.flush().await;
            head(&mut peer).await;
            (socket, peer)
        }
        End::Client => {
            let answering = async {
                let request = head(&mut peer).await;
                let Ok(Some(Incoming::Upgrade(upgrade))) =
                    RequestReader::new(HeadLimits::default()).read(&request)
                else {
                    panic!("no request for a WebSocket");
                };
                let mut room = [0; 256];
                let length = Acceptance::default().write(&upgrade, &mut room).unwrap();
                peer.write_all(&room[..length]).await.unwrap();
            };
            let target = target();
            let (socket, ()) = tokio::join!(connect_over(ours, &target, &options), answering);
            (socket.unwrap(), peer)
        }
    }
}

/// A frame as the peer of this end sends it, that claims so many bytes and is followed by these.
fn frame(end: End, first: u8, length: u64, payload: &[u8]) -> Vec<u8> {
    let masked = if end == End::Server { 0x80 } else { 0 };
    let mut bytes = vec![first];
    match length {
        0..126 => bytes.push(masked | length as u8),
        126..0x1_0000 => {
            bytes.push(masked | 126);
            bytes.extend((length as u16).to_be_bytes());
        }
        _ => {
            bytes.push(masked | 127);
            bytes.extend(length.to_be_bytes());
        }
    }
    let start = bytes.len();
    bytes.extend(payload);
    if end == End::Server {
        let key = [1, 2, 3, 4];
        Mask::new(key).apply(&mut bytes[start..]);
        bytes.splice(start..start, key);
    }
    bytes
}

/// The payload of the first frame of this opcode that is short; frames before it are passed over.
async fn frame_of(peer: &mut DuplexStream, opcode: u8) -> Vec<u8> {
    loop {
        let first = peer.read_u8().await.unwrap();
        let second = peer.read_u8().await.unwrap();
        let mut key = [0; 4];
        if second & 0x80 != 0 {
            peer.read_exact(&mut key).await.unwrap();
        }
        let mut payload = vec![0; usize::from(second & 0x7f)];
        peer.read_exact(&mut payload).await.unwrap();
        Mask::new(key).apply(&mut payload);
        if first & 0xf == opcode {
            return payload;
        }
    }
}

#[tokio::test]
async fn what_is_claimed_or_repeated_without_end_is_refused_by_its_head() {
    let cases = |end| {
        let empty = frame(end, 0x00, 0, b"");
        let ping = frame(end, 0x89, 1, b"x");
        let begun = frame(end, 0x01, 1, b"x");
        [
            ("2^63 bytes", frame(end, 0x82, 1 << 63, b""), Violation::HugeLength, 2, 1002),
            ("2^62 bytes", frame(end, 0x82, 1 << 62, b""), Violation::FrameTooBig(1 << 62), 1, 1009),
            (
                "a byte too much",
                frame(end, 0x82, (1 << 20) + 1, b""),
                Violation::FrameTooBig((1 << 20) + 1),
                1,
                1009,
            ),
            (
                "a message that grows",
                [begun.clone(), frame(end, 0x00, 1 << 20, b"")].concat(),
                Violation::MessageTooBig((1 << 20) + 1),
                begun.len() + 1,
                1009,
            ),
            (
                "empty fragments",
                [begun.clone(), empty.repeat(1000)].concat(),
                Violation::EmptyFragments,
                begun.len() + 5 * empty.len() + 1,
                1008,
            ),
            (
                "pings inside a message",
                [begun.clone(), ping.repeat(1000)].concat(),
                Violation::ControlFlood,
                begun.len() + 7 * ping.len(),
                1008,
            ),
        ]
    };
    for end in [End::Server, End::Client] {
        for (crime, bytes, violation, at, code) in cases(end) {
            let (mut socket, mut peer) = open(end, options()).await;
            let (answer, failed) = soon(async {
                let committing = async {
                    peer.write_all(&bytes).await.unwrap();
                    let answer = frame_of(&mut peer, 0x8).await;
                    drop(peer);
                    answer
                };
                let mut failed = Vec::new();
                let noticing = async {
                    while let Some(event) = socket.next().await {
                        match event {
                            Event::Failed(error) => failed.push(error),
                            Event::Ping(_) | Event::Ended => {}
                            other => panic!("{end:?}, {crime}: {other:?}"),
                        }
                    }
                };
                let (answer, ()) = tokio::join!(committing, noticing);
                (answer, failed)
            })
            .await;
            assert_eq!(failed, [Broken { violation, at: at as u64 }], "{end:?}, {crime}");
            assert_eq!(answer[..2], u16::to_be_bytes(code), "{end:?}, {crime}");
        }
    }
}

/// More than the wire and our buffer hold is not kept, whatever the peer sends while it takes nothing.
#[tokio::test]
async fn a_peer_that_pings_and_takes_nothing_fills_no_memory() {
    for end in [End::Server, End::Client] {
        let (mut socket, mut peer) = open(end, options()).await;
        let pings = frame(end, 0x89, 125, &[7; 125]).repeat(100);
        let last = frame(end, 0x82, 4, b"done");
        let mut count = 0;
        soon(async {
            let flooding = async {
                for _ in 0..100 {
                    peer.write_all(&pings).await.unwrap();
                }
                peer.write_all(&last).await.unwrap();
            };
            let listening = async {
                while let Some(event) = socket.next().await {
                    match event {
                        Event::Ping(_) => count += 1,
                        Event::Message { data, .. } => return assert_eq!(data, b"done"),
                        other => panic!("{other:?}"),
                    }
                }
            };
            tokio::join!(flooding, listening);
        })
        .await;
        assert_eq!(count, 10_000);
        // Now it takes what there is.
        let mut answers = Vec::new();
        let ending = async move { socket.end().await };
        let ((), read) = soon(async { tokio::join!(ending, peer.read_to_end(&mut answers)) }).await;
        read.unwrap();
        assert!(answers.len() < WIRE + ROOM + 1000, "{end:?}: {} bytes were kept", answers.len());
    }
}

async fn accepted(end: DuplexStream, options: Options) -> Result<Asked<DuplexStream>, Error> {
    soon(accept(end, options)).await
}

#[tokio::test]
async fn a_request_that_does_not_come_or_comes_too_slowly_is_given_up() {
    for pause in [Duration::from_secs(3600), Duration::from_millis(10)] {
        let (ours, mut peer) = duplex(WIRE);
        let options = Options { handshake_timeout: Duration::from_millis(150), ..options() };
        let dripping = tokio::spawn(async move {
            for byte in REQUEST.iter().copied() {
                tokio::time::sleep(pause).await;
                if peer.write_u8(byte).await.is_err() {
                    return;
                }
            }
        });
        assert!(matches!(accepted(ours, options).await, Err(Error::TimedOut)));
        dripping.abort();
    }
}

#[tokio::test]
async fn a_request_without_end_is_refused_at_the_limit() {
    let (ours, mut peer) = duplex(WIRE);
    let flooding = tokio::spawn(async move {
        peer.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        let (mut read, mut write) = tokio::io::split(peer);
        let writing = async { while write.write_all(&b"X-More: and more\r\n".repeat(50)).await.is_ok() {} };
        let mut answer = Vec::new();
        let (read, ()) = tokio::join!(read.read_to_end(&mut answer), writing);
        read.unwrap();
        answer
    });
    match accepted(ours, options()).await {
        Err(Error::Handshake(Fault::Response(error))) => {
            assert_eq!(error, HandshakeError { fault: Wrong::HeadTooLong, at: 1000 });
        }
        other => panic!("{other:?}"),
    }
    // It goes on for as long as it is let; then it meets a closed door.
    let answer = soon(flooding).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 431 "), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test]
async fn a_response_without_end_is_refused_at_the_limit() {
    let (ours, mut peer) = duplex(WIRE);
    let flooding = tokio::spawn(async move {
        head(&mut peer).await;
        peer.write_all(b"HTTP/1.1 101 Switching Protocols\r\n").await.unwrap();
        while peer.write_all(&b"X-More: and more\r\n".repeat(50)).await.is_ok() {}
    });
    let (target, options) = (target(), options());
    match soon(connect_over(ours, &target, &options)).await {
        Err(Error::Handshake(Fault::Response(error))) => {
            assert_eq!(error, HandshakeError { fault: Wrong::HeadTooLong, at: 1000 });
        }
        other => panic!("{other:?}"),
    }
    soon(flooding).await.unwrap();
}
