//! Bytes on their way: a socket in memory that never runs dry.

use std::hint::black_box;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::BytesMut;
use everlink::ws::{Encoder, Frame, Mask, Role};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Content;

/// The most that a socket gives at once.
pub const READ: usize = 64 << 10;

/// What a buffer holds beside a message, so that what is left of a read is seldom moved.
pub const ROOM: usize = 2 * READ;

/// How many bytes short messages make together.
const WIRE: usize = 64 << 10;

/// A buffer to encode into, and a payload to encode, at the same places of a page for everyone: how they lie to each other makes a
/// difference of half a copy.
pub fn place(length: usize) -> &'static mut [u8] {
    let buffer = Box::leak(vec![0; length + 4096].into_boxed_slice());
    let start = buffer.as_ptr().align_offset(4096);
    &mut buffer[start..start + length]
}

/// See [`place`].
pub fn place_payload(bytes: &[u8]) -> &'static [u8] {
    let (_, payload) = place(2048 + bytes.len()).split_at_mut(2048);
    payload.copy_from_slice(bytes);
    payload
}

/// Keys that were drawn beforehand.
pub struct Keys {
    drawn: Vec<[u8; 4]>,
    next: usize,
}

impl Keys {
    pub fn new() -> Keys {
        let mut rng = everlink::rng::Rng::new(7);
        Keys { drawn: (0..1024).map(|_| (rng.bits() as u32).to_ne_bytes()).collect(), next: 0 }
    }

    #[inline]
    pub fn next(&mut self) -> [u8; 4] {
        self.next = (self.next + 1) & 1023;
        self.drawn[self.next]
    }
}

/// What a client sent.
pub struct Wire {
    bytes: &'static [u8],
    pub messages: usize,
}

impl Wire {
    pub fn masked(content: Content, size: usize) -> Wire {
        let payload = content.payload(size);
        let frame = match content {
            Content::Binary => Frame::binary(&payload),
            Content::Ascii | Content::MultiByte => Frame::text(str::from_utf8(&payload).expect("it is text")),
        };
        let (mut encoder, mut keys, mut bytes) = (Encoder::new(Role::Client), Keys::new(), Vec::new());
        let mut one = vec![0; size + 14];
        let mut messages = 0;
        loop {
            let written =
                encoder.write(frame, Some(Mask::new(keys.next())), &mut one).expect("there is room");
            if messages > 0 && bytes.len() + written > WIRE {
                break Wire { bytes: place_payload(&bytes), messages };
            }
            bytes.extend_from_slice(&one[..written]);
            messages += 1;
        }
    }

    /// Bytes of one frame, about.
    pub fn frame(&self) -> usize {
        self.bytes.len() / self.messages
    }

    pub fn socket(&self) -> Socket {
        Socket { bytes: self.bytes, at: 0 }
    }

    /// What it costs to copy all of it.
    pub fn copier(&self) -> impl FnMut() + use<> {
        let mut socket = self.socket();
        let buffer = place(self.bytes.len());
        move || {
            let mut filled = 0;
            while filled < buffer.len() {
                filled += socket.read(&mut buffer[filled..]);
            }
            black_box(&mut *buffer);
        }
    }
}

/// Gives the bytes of a wire again and again, and takes whatever is written.
pub struct Socket {
    bytes: &'static [u8],
    at: usize,
}

impl Socket {
    #[inline]
    pub fn read(&mut self, to: &mut [u8]) -> usize {
        let left = &self.bytes[self.at..];
        let length = left.len().min(to.len()).min(READ);
        to[..length].copy_from_slice(&left[..length]);
        self.at = if length == left.len() { 0 } else { self.at + length };
        length
    }

    /// The same to the end of a buffer that grows.
    #[inline]
    pub fn extend(&mut self, to: &mut BytesMut) {
        let left = &self.bytes[self.at..];
        let length = left.len().min(READ);
        to.extend_from_slice(&left[..length]);
        self.at = if length == left.len() { 0 } else { self.at + length };
    }
}

impl io::Read for Socket {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        Ok(Socket::read(self, to))
    }
}

impl io::Write for Socket {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        Ok(black_box(from).len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let left = &self.bytes[self.at..];
        let length = left.len().min(to.remaining()).min(READ);
        to.put_slice(&left[..length]);
        self.at = if length == left.len() { 0 } else { self.at + length };
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(black_box(from).len()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        from: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(black_box(from).iter().map(|slice| slice.len()).sum()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
