//! What comes out of bytes, as a user sees it: from the crate's decoder, and from another implementation.

use std::io::{self, Read, Write};

use everlink::outbox::Kind;
use everlink::ws::{Code, Decoder, Error, Event, Part, Role, Violation};

/// What a user sees. Pieces of a message are joined, and what is not complete is not seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    Message(Kind, bool, Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<(u16, String)>),
}

/// Joins the pieces.
#[derive(Default)]
pub struct Observer {
    pub seen: Vec<Seen>,
    parts: Vec<u8>,
}

impl Observer {
    pub fn part(&mut self, part: Part<'_>) {
        assert_eq!(part.first, self.parts.is_empty() && part.first, "a message begins where none was open");
        self.parts.extend_from_slice(part.payload);
        if part.last {
            self.seen.push(Seen::Message(part.kind, part.compressed, core::mem::take(&mut self.parts)));
        }
    }

    pub fn event(&mut self, event: Event<'_>) {
        let seen = match event {
            Event::Text(text) => Seen::Message(Kind::Text, false, text.as_str().into()),
            Event::Binary(bytes) => Seen::Message(Kind::Binary, false, bytes.into()),
            Event::Part(part) => return self.part(part),
            Event::Ping(bytes) => Seen::Ping(bytes.into()),
            Event::Pong(bytes) => Seen::Pong(bytes.into()),
            Event::Close(close) => Seen::Close(close.map(|close| (close.code.get(), close.reason.into()))),
        };
        self.seen.push(seen);
    }
}

/// Gives the decoder these bytes in these pieces; takes what is incomplete after every `partial`-th.
pub fn decode(
    mut decoder: Decoder,
    bytes: &[u8],
    cuts: &[usize],
    partial: Option<usize>,
) -> (Vec<Seen>, Option<Error>) {
    let (mut observer, mut buffer) = (Observer::default(), Vec::new());
    for (place, cut) in cuts.windows(2).enumerate() {
        buffer.extend_from_slice(&bytes[cut[0]..cut[1]]);
        let mut rest = &mut buffer[..];
        loop {
            match decoder.decode(&mut rest) {
                Ok(Some(event)) => observer.event(event),
                Ok(None) => break,
                Err(error) => return (observer.seen, Some(error)),
            }
        }
        if partial.is_some_and(|every| place % every == 0)
            && let Some(part) = decoder.partial(&mut rest)
        {
            observer.part(part);
        }
        let left = rest.len();
        buffer.drain(..buffer.len() - left);
        assert_eq!(decoder.offset() + buffer.len() as u64, cut[1] as u64);
    }
    (observer.seen, None)
}

/// The other implementation with these limits for a frame and a message: what it read, and the close code that it then
/// answered, if it refused or the peer closed. `None` at the end of the bytes; 1005 for a close without a code.
pub fn other(bytes: &[u8], role: Role, frame: usize, message: usize) -> (Vec<Seen>, Option<u16>) {
    use tungstenite::protocol::{self, CloseFrame, WebSocket, WebSocketConfig, frame::coding::CloseCode};
    use tungstenite::{Error, Message};

    struct Stream<'b>(&'b [u8]);
    impl Read for Stream<'_> {
        fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
            self.0.read(to)
        }
    }
    impl Write for Stream<'_> {
        fn write(&mut self, from: &[u8]) -> io::Result<usize> {
            Ok(from.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    let role = match role {
        Role::Client => protocol::Role::Client,
        Role::Server => protocol::Role::Server,
    };
    let config = WebSocketConfig::default().max_frame_size(Some(frame)).max_message_size(Some(message));
    let mut socket = WebSocket::from_raw_socket(Stream(bytes), role, Some(config));
    let mut seen = Vec::new();
    loop {
        match socket.read() {
            Ok(Message::Text(text)) => seen.push(Seen::Message(Kind::Text, false, text.as_bytes().into())),
            Ok(Message::Binary(bytes)) => seen.push(Seen::Message(Kind::Binary, false, bytes.to_vec())),
            Ok(Message::Ping(bytes)) => seen.push(Seen::Ping(bytes.to_vec())),
            Ok(Message::Pong(bytes)) => seen.push(Seen::Pong(bytes.to_vec())),
            Ok(Message::Close(Some(CloseFrame { code: CloseCode::Protocol, reason })))
                if reason == "Protocol violation" =>
            {
                // That is how it tells of a code that is not allowed.
                return (seen, Some(1002));
            }
            Ok(Message::Close(close)) => {
                let code = close.as_ref().map_or(1005, |close| close.code.into());
                seen.push(Seen::Close(close.map(|close| (close.code.into(), close.reason.as_str().into()))));
                return (seen, Some(code));
            }
            Ok(Message::Frame(_)) => unreachable!("never while reading"),
            Err(Error::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake)) => {
                return (seen, None); // the end of the bytes
            }
            // It leaves the code to its caller; these are what its errors mean.
            Err(Error::Utf8(_)) => return (seen, Some(Code::INVALID_DATA.get())),
            Err(Error::Capacity(_)) => return (seen, Some(Code::TOO_BIG.get())),
            Err(_) => return (seen, Some(Code::PROTOCOL.get())),
        }
    }
}

/// Whether our end answers this as well. Of two things that are wrong in one frame, ours tells the one that comes first; the
/// other implementation looks at the length before the rest of the head, and at the reason of a close frame before its code.
pub fn answers_alike(seen: &[Seen], error: Option<Error>, other: Option<u16>) -> bool {
    let own = match (error, seen.last()) {
        (Some(error), _) => Some(error.code().get()),
        (None, Some(Seen::Close(close))) => Some(close.as_ref().map_or(1005, |(code, _)| *code)),
        (None, _) => None,
    };
    own == other
        || error.is_some_and(|error| match other {
            Some(1007) => matches!(error.violation, Violation::CloseCode(_)),
            Some(1009) => error.code() == Code::PROTOCOL,
            _ => false,
        })
}
