//! WebSockets with the codec alone: no link, no runtime, a thread for each connection. What it does with each byte is what any
//! adapter does.
//!
//! ```sh
//! cargo run --example ws_echo -- server 127.0.0.1:9001        # echoes what comes
//! cargo run --example ws_echo -- client ws://127.0.0.1:9001   # echoes what the cases of a test server send
//! ```
#![allow(clippy::expect_used, clippy::print_stdout, reason = "an example may be blunt")]

use std::fs::File;
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{TcpListener, TcpStream};

use everlink::outbox::Kind;
use everlink::ws::deflate::{Compressor, Config, Decompressor, Negotiated};
use everlink::ws::handshake::{Acceptance, HeadLimits, Incoming, Key, Refusal, Request, RequestReader};
use everlink::ws::handshake::{Response, ResponseReader};
use everlink::ws::{
    Close, CloseBody, Closing, Decoder, Encoder, Event, Frame, Limits, Mask, Part, Role, Step,
};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["server", address] => serve(address),
        ["client", url] => visit(url.strip_prefix("ws://").unwrap_or(url).trim_end_matches('/')),
        _ => Err(Error::new(ErrorKind::InvalidInput, "server ADDRESS, or client URL")),
    }
}

fn serve(address: &str) -> Result<()> {
    let listener = TcpListener::bind(address)?;
    println!("listening on {}", listener.local_addr()?);
    for stream in listener.incoming() {
        let stream = stream?;
        std::thread::spawn(move || {
            let ended =
                accept(stream).and_then(|socket| socket.map_or(Ok(()), |mut socket| socket.echo(|_| ())));
            if let Err(error) = ended {
                println!("{error}");
            }
        });
    }
    Ok(())
}

/// The server's opening handshake. `None` if the request was refused.
fn accept(mut stream: TcpStream) -> Result<Option<Socket>> {
    let config = Config::default();
    let (mut reader, mut head, mut out) = (RequestReader::new(HeadLimits::default()), Vec::new(), [0; 1024]);
    loop {
        read(&mut stream, &mut head)?;
        let (negotiated, length, written) = match reader.read(&head) {
            Ok(None) => continue,
            Ok(Some(Incoming::Upgrade(upgrade))) => {
                let (negotiated, answer) = config.accept(&upgrade).unzip();
                let acceptance = Acceptance { extensions: answer.as_deref(), ..Acceptance::default() };
                (negotiated, Some(upgrade.head().length()), acceptance.write(&upgrade, &mut out))
            }
            Ok(Some(Incoming::Plain(_))) => (
                None,
                None,
                Refusal { body: b"This is a WebSocket.\n", ..Refusal::new(200, "OK") }.write(&mut out),
            ),
            Err(error) => (None, None, error.refusal().write(&mut out)),
        };
        stream.write_all(&out[..written.map_err(Error::other)?])?;
        let Some(length) = length else { return Ok(None) };
        return Ok(Some(Socket::new(stream, Role::Server, negotiated, &config, head.split_off(length))));
    }
}

/// Visits each case of a test server, and echoes what comes.
fn visit(host: &str) -> Result<()> {
    let mut count = 0;
    open(host, "/getCaseCount")?.echo(|text| count = text.parse().unwrap_or(0))?;
    for case in 1..=count {
        if let Err(error) = open(host, &format!("/runCase?case={case}&agent=everlink-codec"))?.echo(|_| ()) {
            println!("case {case}: {error}");
        }
    }
    println!("{count} cases");
    open(host, "/updateReports?agent=everlink-codec")?.echo(|_| ())
}

/// The client's opening handshake.
fn open(host: &str, path: &str) -> Result<Socket> {
    let config = Config::default();
    let offer = config.offer();
    let key = Key::new(random()?);
    let request = Request { extensions: Some(&offer), ..Request::new(host, path) };
    let mut out = [0; 1024];
    let written = request.write(&key, &mut out).map_err(Error::other)?;
    let mut stream = TcpStream::connect(host)?;
    stream.write_all(&out[..written])?;
    let (mut reader, mut head) = (ResponseReader::new(&key, HeadLimits::default()), Vec::new());
    loop {
        read(&mut stream, &mut head)?;
        match reader.read(&request, &head).map_err(Error::other)? {
            None => {}
            Some(Response::Accepted(accepted)) => {
                let negotiated = config.agreed(&accepted).map_err(Error::other)?;
                let length = accepted.head.length();
                return Ok(Socket::new(stream, Role::Client, negotiated, &config, head.split_off(length)));
            }
            Some(Response::Refused(refused)) => {
                return Err(Error::other(format!("HTTP status {}", refused.status)));
            }
        }
    }
}

/// Adds what comes next.
fn read(stream: &mut TcpStream, to: &mut Vec<u8>) -> Result<()> {
    let mut chunk = [0; 64 << 10];
    let length = stream.read(&mut chunk)?;
    to.extend_from_slice(&chunk[..length]);
    if length == 0 { Err(ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
}

/// Bytes that nobody can foresee.
fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// One end of a WebSocket.
struct Socket {
    stream: TcpStream,
    role: Role,
    decoder: Decoder,
    encoder: Encoder,
    compression: Option<(Compressor, Decompressor)>,
    closing: Closing,
    /// What came and was not decoded.
    bytes: Vec<u8>,
    /// What came of a message.
    message: Vec<u8>,
}

impl Socket {
    fn new(
        stream: TcpStream,
        role: Role,
        negotiated: Option<Negotiated>,
        config: &Config,
        bytes: Vec<u8>,
    ) -> Socket {
        let decoder = Decoder::new(role, Limits::default());
        Socket {
            stream,
            role,
            decoder: if negotiated.is_some() { decoder.with_compression() } else { decoder },
            encoder: Encoder::new(role),
            compression: negotiated.map(|negotiated| negotiated.ends(role, config)),
            closing: Closing::new(role),
            bytes,
            message: Vec::new(),
        }
    }

    /// Sends each message back, until the connection has ended. Texts are shown to `see`.
    fn echo(&mut self, mut see: impl FnMut(&str)) -> Result<()> {
        loop {
            self.decode(&mut see)?;
            match self.closing.step() {
                Step::Send(code) => {
                    let body = code.map(|code| CloseBody::new(code, ""));
                    self.write(Frame::close(body.as_ref()))?;
                    self.closing.sent();
                }
                Step::Open | Step::AwaitClose | Step::AwaitTcp => {
                    match read(&mut self.stream, &mut self.bytes) {
                        Err(error) if error.kind() == ErrorKind::UnexpectedEof => self.closing.tcp_closed(),
                        outcome => outcome?,
                    }
                }
                Step::CloseTcp => {
                    // Without reading on until the peer closes, too, a reset could overtake the close frame.
                    self.stream.shutdown(std::net::Shutdown::Write)?;
                    self.stream.set_read_timeout(Some(std::time::Duration::from_secs(1)))?;
                    while read(&mut self.stream, &mut self.bytes).is_ok() {}
                    self.closing.tcp_closed();
                }
                Step::Ended => return Ok(()),
            }
        }
    }

    /// Does what the bytes so far ask for.
    fn decode(&mut self, see: &mut impl FnMut(&str)) -> Result<()> {
        let mut bytes = std::mem::take(&mut self.bytes);
        let mut rest = &mut bytes[..];
        loop {
            let event = match self.decoder.decode(&mut rest) {
                Ok(Some(event)) => event,
                Ok(None) => match self.decoder.partial(&mut rest) {
                    Some(part) => Event::Part(part),
                    None => break,
                },
                Err(error) => {
                    self.closing.fail(error.code());
                    continue;
                }
            };
            match event {
                Event::Text(text) => {
                    see(text.as_str());
                    self.send(Kind::Text, text.bytes())?;
                }
                Event::Binary(payload) => self.send(Kind::Binary, payload)?,
                Event::Part(part) => self.part(part)?,
                Event::Ping(payload) => {
                    if let Some(pong) = Frame::pong(payload) {
                        self.write(pong)?;
                    }
                }
                Event::Pong(_) => {}
                Event::Close(close) => self.closing.received(close.map(|Close { code, .. }| code)),
            }
        }
        let left = rest.len();
        bytes.drain(..bytes.len() - left);
        self.bytes = bytes;
        Ok(())
    }

    fn part(&mut self, mut part: Part<'_>) -> Result<()> {
        if self.compression.is_none() {
            return self.collect(part);
        }
        let mut out = [0; 64 << 10];
        while let Some((_, decompressor)) = &mut self.compression {
            match decompressor.decompress(&mut part, self.decoder.offset(), &mut out) {
                Ok(Some(part)) => self.collect(part)?,
                Ok(None) => break,
                Err(error) => {
                    self.closing.fail(error.code());
                    break;
                }
            }
        }
        Ok(())
    }

    fn collect(&mut self, part: Part<'_>) -> Result<()> {
        self.message.extend_from_slice(part.payload);
        if part.last {
            let message = std::mem::take(&mut self.message);
            self.send(part.kind, &message)?;
        }
        Ok(())
    }

    fn send(&mut self, kind: Kind, payload: &[u8]) -> Result<()> {
        if self.closing.step() != Step::Open {
            return Ok(());
        }
        let Some((mut compressor, decompressor)) = self.compression.take() else {
            return self.write(Frame::message(kind, payload));
        };
        let mut out = vec![0; payload.len() + Compressor::ROOM];
        let mut part = Part { kind, compressed: false, first: true, last: true, payload };
        while let Some(piece) = compressor.compress(&mut part, &mut out) {
            self.write(Frame::part(piece))?;
        }
        self.compression = Some((compressor, decompressor));
        Ok(())
    }

    fn write(&mut self, frame: Frame<'_>) -> Result<()> {
        let mask = match self.role {
            Role::Client => Some(Mask::new(random()?)),
            Role::Server => None,
        };
        let mut out = vec![0; frame.payload().len() + 14];
        let written = self.encoder.write(frame, mask, &mut out).map_err(Error::other)?;
        self.stream.write_all(&out[..written])
    }
}
