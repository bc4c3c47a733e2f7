//! One WebSocket over bytes, from the first byte of its handshake to its last.

mod event;
mod reading;
mod writing;

pub use event::Event;
pub(super) use event::Happened;
pub use writing::Reply;

use super::assembly::Assembly;
use super::compression::Compression;
use super::config::Config;
use super::inbound::Inbound;
use super::masks::Masks;
use super::outbound::Outbound;
use super::room::{Memory, Room};
use crate::ws::handshake::{HeadLimits, Incoming, Request, RequestReader, ResponseReader, WriteError};
use crate::ws::{Closing, Decoder, Encoder, Limits, Role, Step};

/// One WebSocket over bytes: its opening handshake, its frames, its pings, its close. Either end; without I/O, without time.
///
/// It is what a [`Stream`](super::Stream) has two of, and can be used alone, for a WebSocket without a link:
///
/// ```
/// use everlink::outbox::Kind;
/// use everlink::stream::{Config, Event, Memory, WebSocket};
/// use everlink::ws::handshake::{Acceptance, Request};
///
/// let memory = || Memory::on_heap(4096, 4096, 1 << 20);
/// let secret = [7; 32]; // from a secure source, another one for each
/// let mut client = WebSocket::client(memory(), &Config::default(), &Request::new("example.org", "/"), secret).unwrap();
/// let mut server = WebSocket::server(memory(), &Config::default());
///
/// // What carries the bytes; here, from one to the other.
/// fn carry<A: everlink::stream::Room>(from: &mut WebSocket<A>, to: &mut WebSocket<A>) {
///     let bytes = from.transmit();
///     let count = bytes.len();
///     to.fill()[..count].copy_from_slice(bytes);
///     to.received(count);
///     from.sent(count);
/// }
///
/// carry(&mut client, &mut server);
/// assert!(matches!(server.read(), Some(Event::Request(_)))); // look at it, then:
/// server.accept(&Acceptance::default()).unwrap();
/// carry(&mut server, &mut client);
/// assert!(matches!(client.read(), Some(Event::Opened(_))));
///
/// client.send(Kind::Text, b"hello").unwrap();
/// carry(&mut client, &mut server);
/// assert_eq!(server.read(), Some(Event::Message { kind: Kind::Text, data: b"hello" }));
/// assert_eq!(server.read(), None);
/// ```
#[derive(Debug)]
pub struct WebSocket<B> {
    stage: Stage,
    masks: Option<Masks>,
    encoder: Encoder,
    decoder: Decoder,
    closing: Closing,
    compression: Compression,
    inbound: Inbound<B>,
    outbound: Outbound<B>,
    message: Assembly<B>,
    last: Last,
    /// What comes in is for nobody any more.
    deaf: bool,
    /// A frame has begun to leave that must not be finished.
    broken: bool,
    /// The end of the bytes was told.
    told_end: bool,
    /// What is next, if it was asked for before.
    ready: Option<Happened>,
}

#[derive(Debug)]
enum Stage {
    /// A client: the request is at the beginning of the outgoing buffer, and stays there until the response has come.
    Asking {
        reader: ResponseReader,
        request: usize,
        protocol_required: bool,
    },
    /// A server reads the request.
    Asked(RequestReader),
    /// The request, which has so many bytes, waits for the decision.
    Deciding,
    Open,
    /// There will be no WebSocket.
    Refused,
}

/// Short bytes to remember.
#[derive(Clone, Copy, Debug)]
enum Last {
    Nothing,
    /// A ping to be answered when there is room.
    Ping(Short),
    /// The reason that the peer closed for.
    Reason(Short),
}

#[derive(Clone, Copy, Debug)]
struct Short {
    bytes: [u8; 125],
    length: u8,
}

impl Short {
    fn new(from: &[u8]) -> Short {
        let mut bytes = [0; 125];
        for (to, from) in bytes.iter_mut().zip(from) {
            *to = *from;
        }
        Short { bytes, length: from.len().min(125) as u8 }
    }

    fn get(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }
}

/// What is to become of the bytes' way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Go on reading and writing.
    Open,
    /// All was said: close it for writing (FIN; with TLS `close_notify` before), and go on reading until the peer closes it, or
    /// for as long as you will. To drop it at once could make the peer miss the last that was said.
    Shut,
    /// Drop it.
    Over,
}

impl<B: Room> WebSocket<B> {
    /// A client's end, which asks for `request`. The secret must come from a secure source of random bytes, another one for
    /// each WebSocket: masks are made of it, and they must not be foreseen (RFC 6455, section 10.3).
    ///
    /// # Errors
    /// The request is not fit for HTTP, or there is not enough room for it.
    pub fn client(
        memory: Memory<B>,
        config: &Config,
        request: &Request<'_>,
        secret: [u8; 32],
    ) -> Result<WebSocket<B>, (WriteError, Memory<B>)> {
        let mut masks = Masks::new(secret);
        let key = masks.key();
        let mut socket = WebSocket::new(Role::Client, memory, config);
        socket.masks = Some(masks);
        let WebSocket { compression, outbound, .. } = &mut socket;
        let ask = |request: &Request<'_>| outbound.put_head(|room| request.write(&key, room));
        match compression.offer(request, ask) {
            Ok(length) => {
                let reader = ResponseReader::new(&key, socket.head_limits(config));
                let protocol_required = request.protocol_required;
                socket.stage = Stage::Asking { reader, request: length, protocol_required };
                Ok(socket)
            }
            Err(error) => Err((error, socket.into_memory())),
        }
    }

    /// A server's end, which waits for a request.
    #[must_use]
    pub fn server(memory: Memory<B>, config: &Config) -> WebSocket<B> {
        let mut socket = WebSocket::new(Role::Server, memory, config);
        socket.stage = Stage::Asked(RequestReader::new(socket.head_limits(config)));
        socket
    }

    /// Either end after a handshake that somebody else made, in which no extension was agreed on. A client gives the secret for
    /// its masks.
    #[must_use]
    pub fn opened(memory: Memory<B>, config: &Config, secret: Option<[u8; 32]>) -> WebSocket<B> {
        let role = if secret.is_some() { Role::Client } else { Role::Server };
        let mut socket = WebSocket::new(role, memory, config);
        socket.masks = secret.map(Masks::new);
        socket
    }

    fn new(role: Role, memory: Memory<B>, config: &Config) -> WebSocket<B> {
        let Memory { inbound, outbound, message } = memory;
        // What there is no memory for is refused as soon as the head of its frame is there.
        let room = inbound.limit().max(message.limit()) as u64;
        let (frame, message_limit) = (config.frames.frame.min(room), config.frames.message.min(room));
        let limits = Limits { frame, message: message_limit, ..config.frames.clone() };
        WebSocket {
            stage: Stage::Open,
            masks: None,
            encoder: Encoder::new(role),
            decoder: Decoder::new(role, limits),
            closing: Closing::new(role),
            compression: Compression::new(config),
            inbound: Inbound::new(inbound),
            outbound: Outbound::new(outbound),
            message: Assembly::new(message),
            last: Last::Nothing,
            deaf: false,
            broken: false,
            told_end: false,
            ready: None,
        }
    }

    fn head_limits(&self, config: &Config) -> HeadLimits {
        let room = u32::try_from(self.inbound.room.limit()).unwrap_or(u32::MAX);
        HeadLimits { bytes: config.head.bytes.min(room), ..config.head.clone() }
    }

    /// Its memory, for the next one.
    pub fn into_memory(self) -> Memory<B> {
        let mut memory =
            Memory { inbound: self.inbound.room, outbound: self.outbound.room, message: self.message.room };
        memory.release();
        memory
    }

    // Bytes in.

    /// Where to put what comes in next. Empty if nothing can be taken before a request is decided upon, or before what came was
    /// [read](WebSocket::read), and once the bytes have ended.
    #[inline]
    pub fn fill(&mut self) -> &mut [u8] {
        match self.stage {
            _ if self.ready.is_some() || self.inbound.ended => &mut [],
            Stage::Deciding => &mut [],
            Stage::Asking { .. } | Stage::Asked(_) | Stage::Open | Stage::Refused => self.inbound.spare(),
        }
    }

    /// So many bytes came into [`fill`](WebSocket::fill); 0: there will be no more.
    #[inline]
    pub fn received(&mut self, count: usize) {
        self.inbound.filled(count);
        if count == 0 {
            self.inbound.ended = true;
        }
    }

    /// The end of the bytes' way: what is to be done about it now.
    #[must_use]
    pub fn way(&self) -> Way {
        let (said, ended) = (self.outbound.len() == 0, self.inbound.ended);
        let step = match self.stage {
            Stage::Asking { .. } | Stage::Asked(_) | Stage::Deciding => Step::Open,
            Stage::Open => self.closing.step(),
            Stage::Refused => Step::CloseTcp,
        };
        // A close frame is for a peer that has stopped talking, too.
        let owes = self.encoder.is_closed() || matches!(self.stage, Stage::Refused);
        if self.broken || (ended && (said || !owes)) {
            Way::Over
        } else if said && step == Step::CloseTcp {
            Way::Shut
        } else {
            Way::Open
        }
    }

    /// Whether the opening handshake is under way.
    #[must_use]
    pub const fn is_shaking(&self) -> bool {
        matches!(self.stage, Stage::Asking { .. } | Stage::Asked(_) | Stage::Deciding)
    }

    /// A server: the request that waits for the decision.
    #[must_use]
    pub fn asked(&self) -> Option<Incoming<'_>> {
        match self.stage {
            Stage::Deciding => reading::request_in(self.inbound.pending()),
            Stage::Asking { .. } | Stage::Asked(_) | Stage::Open | Stage::Refused => None,
        }
    }

    /// Whether the opening handshake is over, and neither end has said that it closes.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Open)
            && self.closing.step() == Step::Open
            && !self.deaf
            && !self.inbound.ended
    }

    /// Who said what about the end.
    #[must_use]
    pub const fn closing(&self) -> &Closing {
        &self.closing
    }
}
