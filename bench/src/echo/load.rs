//! The other end of what is measured: the same for all.

use std::net::SocketAddr;

use everlink::outbox::Kind;
use everlink::ws::{Encoder, Frame, Mask, Role};
use everlink_tokio::ws::{Event, Options, accept};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What goes to and fro.
#[derive(Clone, Copy)]
pub struct Traffic {
    pub connections: usize,
    /// Bytes of a message.
    pub size: usize,
    /// Messages on one connection that are sent before the first answer is waited for.
    pub burst: usize,
}

impl Traffic {
    pub fn payload(self) -> Vec<u8> {
        (0..self.size).map(|at| at as u8).collect()
    }

    /// A burst as a client sends it, or as a server does.
    fn frames(self, role: Role) -> Vec<u8> {
        let (payload, mut out) = (self.payload(), Vec::new());
        let mut encoder = Encoder::new(role);
        for number in 0..self.burst {
            let mask = (role == Role::Client).then(|| Mask::new((number as u32 ^ 0x9e37_79b9).to_le_bytes()));
            let at = out.len();
            out.resize(at + self.size + 14, 0);
            let written =
                encoder.write(Frame::binary(&payload), mask, &mut out[at..]).expect("there is room");
            out.truncate(at + written);
        }
        out
    }
}

/// A client that knows beforehand what it sends and how much it gets.
pub struct Client {
    tcp: TcpStream,
    burst: Vec<u8>,
    /// Bytes of the answers to a burst.
    answers: usize,
    room: Vec<u8>,
}

impl Client {
    pub async fn connect(addr: SocketAddr, traffic: Traffic) -> Client {
        let mut tcp = TcpStream::connect(addr).await.expect("a server");
        tcp.set_nodelay(true).expect("an option");
        ask(&mut tcp).await;
        let answers = traffic.frames(Role::Server).len();
        Client { tcp, burst: traffic.frames(Role::Client), answers, room: vec![0; 256 << 10] }
    }

    /// Sends a burst, and waits until all answers are there. Whether they are what was sent is seen by their number of bytes.
    pub async fn exchange(&mut self) {
        let (mut read, mut write) = self.tcp.split();
        let sending = async { write.write_all(&self.burst).await.expect("a server that reads") };
        let receiving = async {
            let mut left = self.answers;
            while left > 0 {
                match read.read(&mut self.room).await.expect("a server that answers") {
                    0 => panic!("the server has closed"),
                    count => left = left.checked_sub(count).expect("no more than was sent"),
                }
            }
        };
        tokio::join!(sending, receiving);
    }
}

/// Asks for a WebSocket, and takes what answers for one.
pub async fn ask(tcp: &mut TcpStream) {
    let request = "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    tcp.write_all(request.as_bytes()).await.expect("a server");
    head(tcp).await;
}

/// The same for a server: whoever it is, he means it.
pub async fn answer(tcp: &mut TcpStream) {
    head(tcp).await;
    let answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    tcp.write_all(answer.as_bytes()).await.expect("a client");
}

/// A byte at a time, so that nothing behind it is read.
async fn head(tcp: &mut TcpStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(tcp.read_u8().await.expect("a head"));
    }
}

/// A server that takes whole bursts, and then gives as much back: whatever a client writes before it reads, it gets rid of.
pub async fn mirror(listener: TcpListener, traffic: Traffic) {
    while let Ok((tcp, _)) = listener.accept().await {
        tokio::spawn(async move {
            tcp.set_nodelay(true).expect("an option");
            // A hundred at once are too many for the queue of connections, and who waits long opens a second one.
            let Ok(asked) = accept(tcp, Options::default()).await else { return };
            let mut socket = asked.agree(&Default::default()).expect("an answer");
            let (payload, mut count) = (traffic.payload(), 0);
            while let Some(event) = socket.next().await {
                let Event::Message { data, .. } = event else { continue };
                assert_eq!(data.len(), traffic.size, "what was sent");
                count += 1;
                if count == traffic.burst {
                    count = 0;
                    for _ in 0..traffic.burst {
                        socket.feed(Kind::Binary, &payload).await.expect("a client that reads");
                    }
                    socket.flush().await;
                }
            }
        });
    }
}
