//! The bytes below a WebSocket: TCP, or TLS over it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use everlink::link::Epoch;
use everlink::stream::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What can be read and written.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A way for the bytes of one socket.
pub(crate) struct Pipe {
    bytes: Box<dyn Duplex>,
    /// What was written may be held back: TLS does.
    unflushed: bool,
    shutting: bool,
}

/// What moved.
pub(crate) enum Moved {
    Sent(usize),
    Received(usize),
    Lost,
}

impl Pipe {
    pub(crate) fn new(bytes: Box<dyn Duplex>) -> Pipe {
        Pipe { bytes, unflushed: false, shutting: false }
    }

    /// Nothing more will be written.
    pub(crate) fn shutdown(&mut self) {
        self.shutting = true;
    }

    /// Writes and reads what the stream has and wants.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, stream: &mut Stream, epoch: Epoch) -> Poll<Moved> {
        match self.poll_out(cx, stream.transmit(epoch)) {
            Poll::Ready(Ok(0)) | Poll::Pending => {}
            Poll::Ready(Ok(count)) => return Poll::Ready(Moved::Sent(count)),
            Poll::Ready(Err(_)) => return Poll::Ready(Moved::Lost),
        }
        let mut room = ReadBuf::new(stream.fill(epoch));
        if room.capacity() == 0 {
            return Poll::Pending;
        }
        match Pin::new(&mut self.bytes).poll_read(cx, &mut room) {
            Poll::Ready(Ok(())) => Poll::Ready(Moved::Received(room.filled().len())),
            Poll::Ready(Err(_)) => Poll::Ready(Moved::Lost),
            Poll::Pending => Poll::Pending,
        }
    }

    /// How many bytes were written; 0 if there is nothing more to write, or to flush.
    fn poll_out(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if !bytes.is_empty() {
            self.unflushed = true;
            return Pin::new(&mut self.bytes).poll_write(cx, bytes).map(|written| match written {
                Ok(0) => Err(io::ErrorKind::WriteZero.into()),
                written => written,
            });
        }
        if self.unflushed {
            std::task::ready!(Pin::new(&mut self.bytes).poll_flush(cx))?;
            self.unflushed = false;
        }
        if self.shutting {
            std::task::ready!(Pin::new(&mut self.bytes).poll_shutdown(cx))?;
            self.shutting = false;
        }
        Poll::Ready(Ok(0))
    }
}
