//! The relay between plain TCP sockets. Lower bounds of time are those of the faults; upper bounds are generous.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use everlink_cli::relay::Relay;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(20);
/// How long something that must not happen is given to happen.
const A_WHILE: Duration = Duration::from_millis(200);

struct Line {
    relay: Relay,
    upstream: TcpListener,
}

impl Line {
    async fn new() -> Line {
        let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let relay = Relay::start(upstream.local_addr().unwrap()).unwrap();
        Line { relay, upstream }
    }

    /// A client and the server's end of its connection.
    async fn connect(&self) -> (TcpStream, TcpStream) {
        let near = dial(self.relay.local_addr()).await;
        (near, self.accept().await)
    }

    async fn accept(&self) -> TcpStream {
        timeout(SOON, self.upstream.accept()).await.expect("the relay connects").unwrap().0
    }
}

async fn dial(addr: SocketAddr) -> TcpStream {
    timeout(SOON, TcpStream::connect(addr)).await.expect("the kernel answers").unwrap()
}

#[track_caller]
fn is_reset(result: std::io::Result<usize>) {
    assert_eq!(result.expect_err("the connection is dead").kind(), ErrorKind::ConnectionReset);
}

async fn read(stream: &mut TcpStream) -> std::io::Result<usize> {
    timeout(SOON, stream.read(&mut [0; 64])).await.expect("something happens")
}

async fn expect(stream: &mut TcpStream, wanted: &[u8]) {
    let mut got = vec![0; wanted.len()];
    timeout(SOON, stream.read_exact(&mut got)).await.expect("the bytes come").unwrap();
    assert!(got == wanted, "other bytes came");
}

async fn expect_silence(stream: &mut TcpStream) {
    let silence = timeout(A_WHILE, stream.read(&mut [0; 64])).await;
    assert!(silence.is_err(), "something came: {silence:?}");
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

#[tokio::test]
async fn bytes_and_ends_pass_both_ways() {
    let line = Line::new().await;
    let (mut near, mut far) = line.connect().await;
    near.write_all(b"question").await.unwrap();
    expect(&mut far, b"question").await;
    near.shutdown().await.unwrap();
    assert_eq!(read(&mut far).await.unwrap(), 0);
    far.write_all(b"answer to a closed half").await.unwrap();
    expect(&mut near, b"answer to a closed half").await;
    drop(far);
    assert_eq!(read(&mut near).await.unwrap(), 0);
}

#[tokio::test]
async fn a_delay_holds_for_each_direction_and_keeps_order_and_throughput() {
    let line = Line::new().await;
    let (mut near, mut far) = line.connect().await;
    let latency = Duration::from_millis(100);
    line.relay.delay(latency).await;
    let start = Instant::now();
    near.write_all(b"ping").await.unwrap();
    expect(&mut far, b"ping").await;
    assert!(start.elapsed() >= latency);
    far.write_all(b"pong").await.unwrap();
    expect(&mut near, b"pong").await;
    assert!(start.elapsed() >= 2 * latency);

    let start = Instant::now();
    let bytes = pattern(1000);
    for byte in &bytes {
        near.write_all(&[*byte]).await.unwrap();
    }
    expect(&mut far, &bytes).await;
    assert!(start.elapsed() < 1000 * latency / 4, "one after the other: {:?}", start.elapsed());
}

#[tokio::test]
async fn bytes_do_not_overtake_when_a_delay_ends() {
    let line = Line::new().await;
    let (mut near, mut far) = line.connect().await;
    line.relay.delay(Duration::from_millis(300)).await;
    near.write_all(b"first").await.unwrap();
    expect_silence(&mut far).await;
    line.relay.pass().await;
    near.write_all(b"second").await.unwrap();
    expect(&mut far, b"firstsecond").await;
}

#[tokio::test]
async fn a_throttled_line_has_its_rate() {
    let line = Line::new().await;
    let (mut near, mut far) = line.connect().await;
    line.relay.throttle(100_000).await;
    let bytes = pattern(60_000);
    let start = Instant::now();
    near.write_all(&bytes).await.unwrap();
    expect(&mut far, &bytes).await;
    // 60 kB at 100 kB/s, less one portion of 20 ms.
    assert!(start.elapsed() >= Duration::from_millis(570), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_lifted_throttle_is_felt_at_once() {
    let line = Line::new().await;
    let (mut near, mut far) = line.connect().await;
    line.relay.throttle(1).await;
    near.write_all(b"this would take half a minute").await.unwrap();
    line.relay.pass().await;
    let start = Instant::now();
    expect(&mut far, b"this would take half a minute").await;
    assert!(start.elapsed() < Duration::from_secs(15));
}

#[tokio::test]
async fn a_black_hole_carries_nothing_and_loses_nothing() {
    let line = Line::new().await;
    let (mut near, mut far) = line.connect().await;
    line.relay.stall().await;
    near.write_all(b"up").await.unwrap();
    far.write_all(b"down").await.unwrap();
    expect_silence(&mut far).await;
    expect_silence(&mut near).await;
    line.relay.pass().await;
    near.write_all(b" and on").await.unwrap();
    expect(&mut far, b"up and on").await;
    expect(&mut near, b"down").await;
}

#[tokio::test]
async fn the_end_of_a_peer_is_not_seen_through_a_black_hole() {
    let line = Line::new().await;
    let (mut near, far) = line.connect().await;
    line.relay.stall().await;
    drop(far);
    expect_silence(&mut near).await;
    line.relay.pass().await;
    assert_eq!(read(&mut near).await.unwrap(), 0);
}

#[tokio::test]
async fn a_connection_made_in_a_black_hole_works_when_it_is_healed() {
    let line = Line::new().await;
    line.relay.stall().await;
    let mut near = dial(line.relay.local_addr()).await;
    near.write_all(b"anyone?").await.unwrap();
    expect_silence(&mut near).await;
    line.relay.pass().await;
    let mut far = line.accept().await;
    expect(&mut far, b"anyone?").await;
}

#[tokio::test]
async fn a_cut_resets_both_ends_and_lets_new_ones_in() {
    let line = Line::new().await;
    let (mut near, mut far) = line.connect().await;
    line.relay.cut().await;
    is_reset(read(&mut near).await);
    is_reset(read(&mut far).await);
    let (mut near, mut far) = line.connect().await;
    near.write_all(b"again").await.unwrap();
    expect(&mut far, b"again").await;
}

#[tokio::test]
async fn a_reset_is_passed_on() {
    let line = Line::new().await;
    let (mut near, far) = line.connect().await;
    far.set_zero_linger().unwrap();
    drop(far);
    is_reset(read(&mut near).await);
}

#[tokio::test]
async fn a_refusal_is_for_new_connections_and_ends_on_the_same_port() {
    let line = Line::new().await;
    let (mut near, mut far) = line.connect().await;
    line.relay.refuse().await;
    for _ in 0..3 {
        let refused = timeout(SOON, TcpStream::connect(line.relay.local_addr())).await.unwrap();
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    }
    near.write_all(b"still here").await.unwrap();
    expect(&mut far, b"still here").await;
    line.relay.pass().await;
    line.connect().await;
}

#[tokio::test]
async fn a_connection_is_reset_while_the_upstream_is_down() {
    let Line { relay, upstream } = Line::new().await;
    let addr = upstream.local_addr().unwrap();
    drop(upstream);
    let mut near = dial(relay.local_addr()).await;
    is_reset(read(&mut near).await);
    let upstream = TcpListener::bind(addr).await.unwrap();
    Line { relay, upstream }.connect().await;
}

#[tokio::test]
async fn a_reader_that_stops_holds_up_the_writer_and_loses_nothing() {
    let line = Line::new().await;
    let (mut near, mut far) = line.connect().await;
    let chunk = pattern(64 * 1024);
    let mut written = 0;
    loop {
        let at = written % chunk.len();
        match timeout(Duration::from_secs(1), near.write(&chunk[at..])).await {
            Ok(count) => written += count.unwrap(),
            Err(_) => break,
        }
        assert!(written < 64 << 20, "the relay swallows everything");
    }
    near.shutdown().await.unwrap();
    let mut got = Vec::new();
    timeout(SOON, far.read_to_end(&mut got)).await.expect("the rest comes").unwrap();
    assert_eq!(got.len(), written);
    assert!(got.chunks(chunk.len()).all(|part| part == &chunk[..part.len()]));
}

#[tokio::test]
async fn a_stream_is_whole_through_all_faults_that_it_survives() {
    let line = Line::new().await;
    let (mut near, mut far) = line.connect().await;
    let bytes = pattern(3 << 20);
    let copy = bytes.clone();
    let writer = tokio::spawn(async move {
        near.write_all(&copy).await.unwrap();
        near
    });
    let faults = async {
        for step in 0..10 {
            line.relay.delay(Duration::from_millis(step * 3)).await;
            tokio::time::sleep(Duration::from_millis(5)).await;
            line.relay.throttle(2_000_000).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
            line.relay.stall().await;
            tokio::time::sleep(Duration::from_millis(5)).await;
            line.relay.pass().await;
        }
    };
    tokio::join!(expect(&mut far, &bytes), faults);
    drop(writer.await.unwrap());
    assert_eq!(read(&mut far).await.unwrap(), 0);
}

#[tokio::test]
async fn dropping_the_relay_closes_the_port_and_resets_connections() {
    let Line { relay, upstream } = Line::new().await;
    let line = Line { relay, upstream };
    let (mut near, mut far) = line.connect().await;
    let addr = line.relay.local_addr();
    drop(line.relay);
    is_reset(read(&mut near).await);
    is_reset(read(&mut far).await);
    let refused = timeout(SOON, TcpStream::connect(addr)).await.unwrap();
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::ConnectionRefused);
}
