//! One WebSocket: frames in, frames out, and an exact account of what has been written.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use everlink::link::{Close, Epoch, Event, Failure};
use everlink::outbox::Kind;
use everlink::wire::{Frame, Opcode};
use futures_util::{Sink, Stream as _};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error as WsError, Message, Utf8Bytes};

use crate::options::Notice;

/// The bytes below a WebSocket: TCP, or TLS over it.
pub(crate) type Stream = Box<dyn Duplex>;

pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// Bytes that a socket may hold back before it counts as full. Little, because a ping waits behind all of them.
pub(crate) const ROOM: usize = 16 << 10;

/// How long it may take, behind the scenes, to part from a server that closed or broke the protocol.
const FAREWELL: Duration = Duration::from_secs(2);

/// What happened to a socket; [`Event`] with its bytes owned.
#[derive(Debug)]
pub(crate) enum SocketEvent {
    Opened,
    Failed(Failure, String),
    Frame(Kind, Bytes),
    Received(u32),
    Ping,
    Pong(Bytes),
    Written(u64),
    Writable,
    Paused,
    Resumed,
    Violation(u16),
    Closed { code: Option<u16>, reason: Utf8Bytes, clean: bool },
}

impl SocketEvent {
    const DROPPED: SocketEvent =
        SocketEvent::Closed { code: None, reason: Utf8Bytes::from_static(""), clean: false };

    /// What an observer is told of it, if it is told at all.
    pub(crate) fn as_notice(&self, epoch: Epoch) -> Option<Notice> {
        match self {
            SocketEvent::Opened => Some(Notice::Opened { epoch }),
            SocketEvent::Failed(failure, detail) => {
                Some(Notice::Failed { epoch, failure: *failure, detail: detail.clone() })
            }
            SocketEvent::Closed { code, reason, clean } => {
                Some(Notice::Closed { epoch, code: *code, reason: reason.to_string(), clean: *clean })
            }
            _ => None,
        }
    }

    pub(crate) fn as_event(&self) -> Event<'_> {
        match self {
            SocketEvent::Opened => Event::Opened,
            SocketEvent::Failed(failure, _) => Event::Failed(*failure),
            SocketEvent::Frame(kind, data) => Event::Frame { kind: *kind, data },
            SocketEvent::Received(count) => Event::Received(*count),
            SocketEvent::Ping => Event::Ping,
            SocketEvent::Pong(data) => Event::Pong(data),
            SocketEvent::Written(total) => Event::Written(*total),
            SocketEvent::Writable => Event::Writable,
            SocketEvent::Paused => Event::Paused,
            SocketEvent::Resumed => Event::Resumed,
            SocketEvent::Violation(code) => Event::Violation(*code),
            SocketEvent::Closed { code, reason, clean } => {
                Event::Closed(Close { code: *code, reason, clean: *clean, retry_after: None })
            }
        }
    }
}

/// Who said close, on a socket that is still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closing {
    No,
    /// This end, and it waits for the server to close the TCP connection.
    Ours,
    /// The server.
    Theirs,
    /// This end, after a violation: nothing more is heeded.
    Violated,
}

pub(crate) struct Socket {
    ws: WebSocketStream<Counted<Stream>>,
    /// Where on the wire each message ends that has not been written yet, and how many payload bytes there are up to there.
    ends: VecDeque<(u64, u64)>,
    /// Bytes on the wire, once all that was handed over is written.
    wire: u64,
    payload: u64,
    written: u64,
    read: u64,
    message: Option<Message>,
    dirty: bool,
    full: bool,
    closing: Closing,
}

impl Socket {
    pub(crate) fn new(ws: WebSocketStream<Counted<Stream>>) -> Socket {
        let Counted { read, written, .. } = *ws.get_ref();
        Socket {
            ws,
            ends: VecDeque::new(),
            wire: written,
            payload: 0,
            written: 0,
            read,
            message: None,
            dirty: false,
            full: false,
            closing: Closing::No,
        }
    }

    /// Whether it takes another frame. If not, it will say when it does.
    pub(crate) fn has_room(&mut self) -> bool {
        self.full = self.wire.saturating_sub(self.ws.get_ref().written) >= ROOM as u64;
        !self.full
    }

    /// Writes a message that was pulled from the link.
    pub(crate) fn write_message(&mut self, frame: Frame<'_>) {
        // A socket that takes it no more will say that it is closed, and the link then takes the message back.
        if self.write(frame) {
            self.payload += frame.payload().len() as u64;
            self.ends.push_back((self.wire, self.payload));
        }
    }

    /// Writes a ping or a pong. If the peer reads nothing and the buffer is full of such, it is left out.
    pub(crate) fn write_heartbeat(&mut self, frame: Frame<'_>) {
        self.write(frame);
    }

    fn write(&mut self, frame: Frame<'_>) -> bool {
        let bytes = match frame.head() {
            [] => Bytes::copy_from_slice(frame.payload()),
            head => [head, frame.payload()].concat().into(),
        };
        let len = wire_len(bytes.len());
        let message = match frame.opcode {
            Opcode::Binary => Message::Binary(bytes),
            Opcode::Ping => Message::Ping(bytes),
            // A text that is not UTF-8 is refused before it gets to the link.
            Opcode::Text => Utf8Bytes::try_from(bytes).map_or_else(|_| Message::text(""), Message::Text),
        };
        let taken = self.start_send(message);
        self.wire += if taken { len } else { 0 };
        taken
    }

    /// Says close with this code, and goes on reading until the server has closed the TCP connection.
    pub(crate) fn close(&mut self, code: u16) {
        if self.closing == Closing::No {
            self.closing = Closing::Ours;
        }
        self.start_send(Message::Close(Some(CloseFrame { code: code.into(), reason: "".into() })));
    }

    /// Whether the message is on its way. If not, the socket is closed, which reading will tell, or its buffer is full.
    fn start_send(&mut self, message: Message) -> bool {
        self.dirty = true;
        Pin::new(&mut self.ws).start_send(message).is_ok()
    }

    /// What happens next on this socket. After `Closed`, nothing does.
    pub(crate) fn poll_event(&mut self, cx: &mut Context<'_>, may_read: bool) -> Poll<SocketEvent> {
        loop {
            if self.dirty {
                match Pin::new(&mut self.ws).poll_flush(cx) {
                    Poll::Ready(Ok(())) => self.dirty = false,
                    Poll::Ready(Err(_)) => return Poll::Ready(SocketEvent::DROPPED),
                    Poll::Pending => {}
                }
                if let Some(total) = self.progress() {
                    return Poll::Ready(SocketEvent::Written(total));
                }
            }
            if self.full && self.has_room() {
                return Poll::Ready(SocketEvent::Writable);
            }
            if self.closing == Closing::Violated {
                return if self.dirty { Poll::Pending } else { Poll::Ready(SocketEvent::DROPPED) };
            }
            // What a closing socket says is for nobody: the application cannot hold it up.
            if !may_read && self.closing == Closing::No {
                return Poll::Pending;
            }
            if let Some(event) = self.message.take().and_then(|message| self.event_of(message)) {
                return Poll::Ready(event);
            }
            let next = Pin::new(&mut self.ws).poll_next(cx);
            let bytes = self.ws.get_ref().read - std::mem::replace(&mut self.read, self.ws.get_ref().read);
            match next {
                Poll::Ready(Some(Ok(message))) => {
                    if let Message::Ping(data) = &message {
                        self.owe_pong(data.len());
                    }
                    self.message = Some(message);
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(self.error(&error)),
                Poll::Ready(None) => {
                    let clean = self.closing == Closing::Ours;
                    let code = clean.then_some(1000);
                    return Poll::Ready(SocketEvent::Closed { code, reason: Utf8Bytes::default(), clean });
                }
                Poll::Pending if bytes == 0 => return Poll::Pending,
                Poll::Pending => {}
            }
            if bytes > 0 {
                return Poll::Ready(SocketEvent::Received(u32::try_from(bytes).unwrap_or(u32::MAX)));
            }
        }
    }

    fn event_of(&mut self, message: Message) -> Option<SocketEvent> {
        match message {
            Message::Text(text) => Some(SocketEvent::Frame(Kind::Text, text.into())),
            Message::Binary(data) => Some(SocketEvent::Frame(Kind::Binary, data)),
            Message::Ping(_) => Some(SocketEvent::Ping),
            Message::Pong(data) => Some(SocketEvent::Pong(data)),
            // The answer to our own close; the server closes the TCP connection next.
            Message::Close(_) if self.closing == Closing::Ours => None,
            Message::Close(frame) => Some(match frame {
                // This is how an impossible code reaches us.
                Some(frame) if frame.code == 1002.into() && frame.reason == "Protocol violation" => {
                    self.closing = Closing::Violated;
                    SocketEvent::Violation(1002)
                }
                frame => {
                    self.closing = Closing::Theirs;
                    let (code, reason) = frame.map(|frame| (frame.code.into(), frame.reason)).unzip();
                    SocketEvent::Closed { code, reason: reason.unwrap_or_default(), clean: true }
                }
            }),
            Message::Frame(_) => None,
        }
    }

    /// A ping was read. Its pong is written by itself, in front of or behind what waits: count on the later. And count it at
    /// once: it goes out with the next write, which may come before the link hears of the ping.
    fn owe_pong(&mut self, payload: usize) {
        let pong = wire_len(payload);
        self.wire += pong;
        self.ends.iter_mut().for_each(|(end, _)| *end += pong);
        self.dirty = true;
    }

    fn error(&mut self, error: &WsError) -> SocketEvent {
        let code = match error {
            WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => return SocketEvent::DROPPED,
            WsError::Protocol(_) | WsError::AttackAttempt => 1002,
            WsError::Utf8(_) => 1007,
            WsError::Capacity(_) => 1009,
            _ => return SocketEvent::DROPPED,
        };
        self.closing = Closing::Violated;
        SocketEvent::Violation(code)
    }

    /// Payload bytes written in all, if they are more than were told.
    fn progress(&mut self) -> Option<u64> {
        let done = if self.dirty { self.ws.get_ref().written } else { u64::MAX };
        let before = self.written;
        while let Some((_, payload)) = self.ends.pop_front_if(|(end, _)| *end <= done) {
            self.written = payload;
        }
        if !self.dirty {
            self.wire = self.ws.get_ref().written;
        }
        (self.written > before || (self.ends.is_empty() && !self.dirty)).then_some(self.written)
    }

    /// Whether the server has not had all of what is owed to it. If messages are still in the buffer, nothing is: they go
    /// on the next socket, and must not go on this one as well.
    pub(crate) fn owes_farewell(&self) -> bool {
        matches!(self.closing, Closing::Theirs | Closing::Violated) && self.ends.is_empty()
    }

    /// Ends a socket that the server has closed, or that broke the protocol: sends what the closing handshake still wants,
    /// and lets the server close the TCP connection first. To drop it with bytes unread would reset the connection, and the
    /// close frame might never be seen.
    pub(crate) async fn farewell(mut self) {
        let part = async {
            std::future::poll_fn(|cx| Pin::new(&mut self.ws).poll_flush(cx)).await.ok()?;
            let stream = self.ws.get_mut();
            if self.closing == Closing::Violated {
                stream.shutdown().await.ok()?;
            }
            let mut waste = [0; 4096];
            while stream.read(&mut waste).await.ok()? > 0 {}
            Some(())
        };
        let _ = tokio::time::timeout(FAREWELL, part).await;
    }
}

/// Bytes on the wire of a client's frame: header, mask, payload (RFC 6455, section 5.2).
const fn wire_len(payload: usize) -> u64 {
    let header = match payload {
        0..=125 => 2,
        126..=0xFFFF => 4,
        _ => 10,
    };
    header + 4 + payload as u64
}

/// A stream that counts what passes.
pub(crate) struct Counted<S> {
    stream: S,
    read: u64,
    written: u64,
}

impl<S> Counted<S> {
    pub(crate) const fn new(stream: S) -> Counted<S> {
        Counted { stream, read: 0, written: 0 }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.read += (buf.filled().len() - before) as u64;
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, buf);
        if let Poll::Ready(Ok(count)) = &result {
            self.written += *count as u64;
        }
        result
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
