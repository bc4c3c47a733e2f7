//! A TCP relay on loopback that does to a connection what bad networks do.
//!
//! ```no_run
//! # async fn example() -> std::io::Result<()> {
//! use std::time::Duration;
//! use everlink_cli::relay::Relay;
//!
//! let relay = Relay::start("127.0.0.1:9000".parse().expect("an address"))?;
//! println!("connect to {}", relay.local_addr());
//! relay.delay(Duration::from_millis(200)).await; // a slow network:
//! relay.throttle(10_000).await; //                  faults add up
//! relay.pass().await; //                            and end together
//! # Ok(())
//! # }
//! ```
//!
//! It never loses a byte from the middle of a stream that lives on: as with real TCP, what could not be carried during a
//! fault is carried after it, in order, or the connection dies. Its buffers are small and bounded, so that a sender feels
//! a slow network as back-pressure.
//!
//! Two things differ from a real network. A client connects to the relay itself, so while the upstream is down it sees an
//! accepted connection that is reset at once ([`Relay::refuse`] shows it a refusal). And a black hole ([`Relay::stall`])
//! cannot keep the kernel from completing the TCP handshake of a new connection, on which then nothing moves.

mod pipe;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use pipe::pipe;

/// Receive and send buffers asked of the kernel, in bytes: enough for loopback, small enough to be felt.
const KERNEL_BUFFER: u32 = 64 * 1024;
const BACKLOG: u32 = 1024;
const LONGEST_DELAY: Duration = Duration::from_secs(3600);

/// What is wrong with the network at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Faults {
    delay: Duration,
    bytes_per_second: Option<u64>,
    stalled: bool,
}

#[derive(Debug)]
enum Command {
    Pass,
    Delay(Duration),
    Throttle(u64),
    Stall,
    Cut,
    Refuse,
}

/// A command, and whom to tell that it holds.
type Order = (Command, oneshot::Sender<()>);

/// A running relay. Each command holds from when its future is ready, for present and future connections. Dropping the
/// relay closes the port and cuts all connections.
#[derive(Debug)]
pub struct Relay {
    local_addr: SocketAddr,
    orders: mpsc::Sender<Order>,
}

impl Relay {
    /// A relay on a free port of 127.0.0.1 that connects to `upstream` for each connection it accepts, on the current
    /// tokio runtime.
    ///
    /// # Errors
    ///
    /// When the operating system gives no listening socket.
    pub fn start(upstream: SocketAddr) -> io::Result<Relay> {
        let socket = bound(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let local_addr = socket.local_addr()?;
        let listener = socket.listen(BACKLOG)?;
        let (orders, commands) = mpsc::channel(1);
        tokio::spawn(run(Door::Open(listener), local_addr, upstream, commands));
        Ok(Relay { local_addr, orders })
    }

    /// Where clients connect.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Ends all faults. What waited is carried now, except for bytes that a delay has already put on their way.
    pub async fn pass(&self) {
        self.order(Command::Pass).await;
    }

    /// Carries every byte `latency` later, in each direction; zero ends it. Order and, up to some 1 MiB in flight,
    /// throughput stay. Latencies of more than an hour are taken for an hour.
    pub async fn delay(&self, latency: Duration) {
        self.order(Command::Delay(latency.min(LONGEST_DELAY))).await;
    }

    /// Carries at most so many bytes per second in each direction of each connection; zero is taken for one.
    pub async fn throttle(&self, bytes_per_second: u64) {
        self.order(Command::Throttle(bytes_per_second.max(1))).await;
    }

    /// A black hole: sockets stay open, and neither a byte nor the end of a connection gets through.
    pub async fn stall(&self) {
        self.order(Command::Stall).await;
    }

    /// Resets all connections (RST). New ones are welcome.
    pub async fn cut(&self) {
        self.order(Command::Cut).await;
    }

    /// Refuses new connections. Those that are open live on.
    pub async fn refuse(&self) {
        self.order(Command::Refuse).await;
    }

    async fn order(&self, command: Command) {
        let (done, wait) = oneshot::channel();
        if self.orders.send((command, done)).await.is_ok() {
            let _ = wait.await;
        }
    }
}

/// The way in. A closed door still holds the port, so that nobody else takes it; the kernel refuses who knocks.
enum Door {
    Open(TcpListener),
    Closed(TcpSocket),
    /// The port could not be bound again: everyone is refused until `pass` finds it free.
    Lost,
}

impl Door {
    fn set(self, refusing: bool, addr: SocketAddr) -> Door {
        match (self, refusing) {
            (Door::Open(listener), true) => {
                drop(listener);
                bound(addr).map_or(Door::Lost, Door::Closed)
            }
            (Door::Closed(socket), false) => socket.listen(BACKLOG).map_or(Door::Lost, Door::Open),
            (Door::Lost, false) => {
                bound(addr).and_then(|socket| socket.listen(BACKLOG)).map_or(Door::Lost, Door::Open)
            }
            (door @ (Door::Open(_) | Door::Closed(_) | Door::Lost), _) => door,
        }
    }

    /// The next connection; never one while the door is closed.
    async fn accept(&self) -> TcpStream {
        if let Door::Open(listener) = self {
            loop {
                match listener.accept().await {
                    Ok((stream, _)) => return stream,
                    // No descriptors left, or the peer is already gone: not at once again.
                    Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
        }
        std::future::pending().await
    }
}

fn bound(addr: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    if cfg!(unix) {
        // Binds beside connections of an earlier listener. (On Windows it would share the port with strangers.)
        socket.set_reuseaddr(true)?;
    }
    // Accepted sockets inherit these.
    socket.set_recv_buffer_size(KERNEL_BUFFER)?;
    socket.set_send_buffer_size(KERNEL_BUFFER)?;
    socket.bind(addr)?;
    Ok(socket)
}

async fn run(mut door: Door, addr: SocketAddr, upstream: SocketAddr, mut orders: mpsc::Receiver<Order>) {
    let faults = watch::Sender::new(Faults::default());
    let mut connections = JoinSet::new();
    loop {
        let stalled = faults.borrow().stalled;
        tokio::select! {
            order = orders.recv() => {
                let Some((command, done)) = order else { return };
                match command {
                    Command::Pass => {
                        faults.send_replace(Faults::default());
                        door = door.set(false, addr);
                    }
                    Command::Delay(latency) => faults.send_modify(|faults| faults.delay = latency),
                    Command::Throttle(rate) => faults.send_modify(|faults| faults.bytes_per_second = Some(rate)),
                    Command::Stall => faults.send_modify(|faults| faults.stalled = true),
                    Command::Cut => connections.shutdown().await,
                    Command::Refuse => door = door.set(true, addr),
                }
                let _ = done.send(());
            }
            // In a black hole, new connections stay in the kernel's backlog.
            near = door.accept(), if !stalled => {
                connections.spawn(relay(near, upstream, faults.subscribe()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// A socket that is reset (RST instead of FIN) when it is dropped before its time.
struct Socket {
    stream: TcpStream,
    ended: bool,
}

impl Socket {
    fn new(stream: TcpStream) -> Socket {
        let _ = stream.set_nodelay(true);
        Socket { stream, ended: false }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if !self.ended {
            let _ = self.stream.set_zero_linger();
        }
    }
}

/// Carries one connection to its end.
async fn relay(near: TcpStream, upstream: SocketAddr, faults: watch::Receiver<Faults>) {
    let mut near = Socket::new(near);
    let Ok(far) = dial(upstream).await else { return };
    let mut far = Socket::new(far);
    let (mut near_read, mut near_write) = near.stream.split();
    let (mut far_read, mut far_write) = far.stream.split();
    let both = tokio::try_join!(
        pipe(&mut near_read, &mut far_write, faults.clone()),
        pipe(&mut far_read, &mut near_write, faults),
    );
    near.ended = both.is_ok();
    far.ended = both.is_ok();
}

async fn dial(upstream: SocketAddr) -> io::Result<TcpStream> {
    let socket = match upstream {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_recv_buffer_size(KERNEL_BUFFER)?;
    socket.set_send_buffer_size(KERNEL_BUFFER)?;
    socket.connect(upstream).await
}
