//! A link carried by a `Stream` over bytes, to a server and back: handshakes, frames, pings and closes, in pieces of any length,
//! some of them spoilt on the way. Unlike the others it links although the compiler sees panics in it (docs/bare-metal.md); after a
//! panic it hangs.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use everlink::link::{Delivery, Epoch, Input, Link};
use everlink::outbox::Slot;
use everlink::rng::Rng;
use everlink::stream::{Action, Config, Event, Memory, Next, Room, Stream, WebSocket};
use everlink::time::Instant;
use everlink::ws::Code;
use everlink::ws::handshake::{Acceptance, Request};
use script::{Payload, story};

const LIVES: u32 = 100;
const TURNS: u32 = 1000;

/// What one socket has: room for a message of 256 bytes, in one piece or in several.
struct Buffers {
    inbound: [u8; 512],
    outbound: [u8; 1024],
    message: [u8; 512],
}

impl Buffers {
    const NEW: Buffers = Buffers { inbound: [0; 512], outbound: [0; 1024], message: [0; 512] };

    fn memory(&mut self) -> Memory<&mut [u8]> {
        Memory { inbound: &mut self.inbound, outbound: &mut self.outbound, message: &mut self.message }
    }
}

#[entry]
fn main() -> ! {
    static mut BUFFERS: [Buffers; 3] = [Buffers::NEW; 3];
    static SEED: u64 = 7;
    // SAFETY: it is a static. What a volatile read gives, the compiler does not know.
    let mut rng = Rng::new(unsafe { (&raw const SEED).read_volatile() });
    let [one, other, server] = BUFFERS;
    let (mut echoes, mut whole) = (0, true);
    for life in 0..LIVES {
        let slots = [const { Slot::EMPTY }; story::MESSAGES];
        let Ok(link) = Link::with_slots(story::config(), rng.bits(), slots) else { board::exit(false) };
        let memory = [one.memory(), other.memory()];
        let Ok(stream) = Stream::with_memory(Config::default(), &link, memory) else { board::exit(false) };
        let server = Server { socket: None, memory: Some(server.memory()), epoch: None };
        // Every other life is without faults.
        let (now, faults) = (Instant::ORIGIN, life % 2 == 1);
        let mut world = World { link, stream, server, now, rng, faults, echoes: 0 };
        world.live();
        echoes += world.echoes;
        whole &= faults || world.link.report(world.now).counts.protocol_violations.get() == 0;
        rng = world.rng;
    }
    #[cfg(feature = "memory")]
    report();
    board::exit(whole && echoes > LIVES * 10)
}

/// The server's end of the newest socket.
struct Server<B> {
    socket: Option<WebSocket<B>>,
    memory: Option<Memory<B>>,
    epoch: Option<Epoch>,
}

impl<B: Room> Server<B> {
    /// Of the one before, nothing is left but the memory.
    fn begin(&mut self, epoch: Epoch) {
        let memory = self.socket.take().map(WebSocket::into_memory).or(self.memory.take());
        self.socket = memory.map(|memory| WebSocket::server(memory, &Config::default()));
        self.epoch = Some(epoch);
    }

    /// Accepts whatever is asked, and echoes whatever comes.
    fn serve(&mut self) {
        let Some(socket) = &mut self.socket else { return };
        let mut asked = false;
        while let Some((event, mut reply)) = socket.read_with_reply() {
            match event {
                // Without room, there is no echo.
                Event::Message { kind, data } => drop(reply.send(kind, data)),
                Event::Request(_) => asked = true,
                _ => {}
            }
        }
        if asked {
            let _ = socket.accept(&Acceptance::default());
        }
    }
}

struct World<'b> {
    link: Link<Payload, [Slot<Payload>; story::MESSAGES]>,
    stream: Stream<&'b mut [u8]>,
    server: Server<&'b mut [u8]>,
    now: Instant,
    rng: Rng,
    faults: bool,
    echoes: u32,
}

impl World<'_> {
    fn live(&mut self) {
        self.link.handle(self.now, Input::Start).for_each(drop);
        for turn in 0..TURNS {
            let until = self.settle();
            match self.rng.up_to(20) {
                0 => {
                    self.now = until.unwrap_or(self.now);
                    self.stream.tick(&mut self.link, self.now);
                }
                1..4 => drop(self.link.send(self.now, story::stroke(turn.into()), |_, _| ())),
                4..12 => self.up(),
                12..20 => self.down(),
                _ => self.trouble(),
            }
        }
    }

    /// Does what is to be done; says until when there is nothing more.
    fn settle(&mut self) -> Option<Instant> {
        loop {
            match self.stream.poll(&mut self.link) {
                Next::Do(Action::Connect { epoch, .. }) => {
                    let mut secret = [0; 32];
                    secret.fill_with(|| self.rng.bits() as u8);
                    let request = Request::new("example.org", "/drawing");
                    self.stream.connected(&mut self.link, self.now, epoch, &request, secret);
                    self.server.begin(epoch);
                }
                Next::Do(Action::Shutdown { epoch } | Action::Disconnect { epoch })
                    if self.server.epoch == Some(epoch) =>
                {
                    if let Some(socket) = &mut self.server.socket {
                        socket.received(0);
                    }
                }
                Next::Do(_) => {}
                Next::Wait(at) => return Some(at),
                Next::Idle => return None,
            }
        }
    }

    /// Some bytes go to the server.
    fn up(&mut self) {
        let (Some(epoch), Some(socket)) = (self.server.epoch, &mut self.server.socket) else { return };
        let fault = self.faults && self.rng.up_to(100) == 0;
        let count = copy(self.stream.transmit(epoch), socket.fill(), &mut self.rng, fault);
        if count > 0 {
            socket.received(count);
            self.stream.sent(&mut self.link, self.now, epoch, count);
        }
        self.server.serve();
    }

    /// Some bytes come from the server.
    fn down(&mut self) {
        let (Some(epoch), Some(socket)) = (self.server.epoch, &mut self.server.socket) else { return };
        let fault = self.faults && self.rng.up_to(100) == 0;
        let count = copy(socket.transmit(), self.stream.fill(epoch), &mut self.rng, fault);
        if count == 0 {
            return;
        }
        socket.sent(count);
        self.stream.received(&mut self.link, self.now, epoch, count);
        while let Some(deliveries) = self.stream.read(&mut self.link, self.now, epoch) {
            let messages = deliveries.filter(|delivery| matches!(delivery, Delivery::Message { .. }));
            self.echoes += messages.count() as u32;
        }
    }

    /// A server that pings or restarts, a way that breaks, an application that is too slow.
    fn trouble(&mut self) {
        let (Some(epoch), Some(socket)) = (self.server.epoch, &mut self.server.socket) else { return };
        match self.rng.up_to(9) {
            0 => socket.close(Code::new(1012), "restart"),
            1 => self.stream.lost(&mut self.link, self.now, epoch),
            2 => self.stream.received(&mut self.link, self.now, epoch, 0),
            3 => self.stream.pause(&mut self.link, self.now),
            4..7 => self.stream.resume(&mut self.link, self.now),
            _ => drop(socket.ping(b"still there?")),
        }
    }
}

/// Moves a piece of any length from here to there, perhaps with one bit wrong; says how long it is.
fn copy(from: &[u8], to: &mut [u8], rng: &mut Rng, fault: bool) -> usize {
    let limit = from.len().min(to.len()).min(rng.up_to(400) as usize);
    let wrong = if fault { rng.up_to(limit as u64) as usize } else { usize::MAX };
    for (at, (to, from)) in to.iter_mut().zip(from).take(limit).enumerate() {
        *to = if at == wrong { from ^ (1 << rng.up_to(7)) } else { *from };
    }
    limit
}

/// How much memory it took.
#[cfg(feature = "memory")]
fn report() {
    use core::fmt::Write;

    let stack = board::stack();
    if let Ok(mut host) = cortex_m_semihosting::hio::hstderr() {
        let stream = size_of::<Stream<&mut [u8]>>();
        let _ = writeln!(host, "stream {stream} B without its buffers, stack {stack} B");
    }
}
