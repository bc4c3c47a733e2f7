//! One client from its handshake to its end.
//!
//! ```text
//! handshake ─► reading and writing, side by side ─► close frames (bounded) ─► gone
//! ```

use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use futures_util::{SinkExt, Stream, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};
use tokio_tungstenite::accept_hdr_async_with_config;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::StatusCode;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::room::{Client, End, Place, Room};
use super::{Payload, ServerEvent};

/// No close frame came: RFC 6455, section 7.1.5.
const ABNORMAL: u16 = 1006;
/// A close frame without a code: RFC 6455, section 7.1.5.
const NO_STATUS: u16 = 1005;
/// Read and write buffers of one client, in bytes; the automatic pongs that may wait behind them.
const BUFFER: usize = 16 * 1024;
const PONGS: usize = 16 * 1024;

const BAD_REQUEST: &[u8] = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
const NOTHING: &[u8] = b"";

/// Why nothing more is read from a client.
enum Heard {
    /// It closed with this code, and the answer was sent.
    Goodbye(u16),
    /// It broke the protocol or a limit: it is owed a close frame with this code.
    Violation(u16, &'static str),
    /// The socket is gone.
    Gone,
}

/// Serves one accepted socket.
pub(super) async fn serve(mut tcp: TcpStream, id: u64, room: Arc<Room>, events: mpsc::Sender<ServerEvent>) {
    let _ = tcp.set_nodelay(true);
    let mut stopping = room.stopping();
    let welcome = tokio::select! {
        welcome = shake_hands(&mut tcp, id, &room, &events) => welcome,
        _ = stopping.wait_for(Option::is_some) => return,
    };
    // The WebSocket borrows the socket, so that the socket outlives it.
    let Welcome { socket, place, path } = match welcome {
        Ok(welcome) => welcome,
        Err(answer) => {
            let _ = timeout(room.options().close_timeout, tcp.write_all(answer)).await;
            let _ = tcp.shutdown().await;
            return;
        }
    };
    let client = room.enter(id);
    // Only now: who hears of a client may count on it to get messages.
    let _ = events.send(ServerEvent::Connected { client: id, path }).await;
    let (code, unread) = converse(socket, &client, &room, &events).await;
    room.leave(id);
    drop(place);
    let _ = events.send(ServerEvent::Disconnected { client: id, code }).await;
    if unread {
        // Closing a socket that has unread bytes resets it, and the close frame may never be seen. So: FIN, then read on.
        let _ = tcp.shutdown().await;
        let mut waste = [0; 4096];
        let drain = async { while tcp.read(&mut waste).await.is_ok_and(|n| n > 0) {} };
        let _ = timeout(room.options().close_timeout, drain).await;
    }
}

type Socket<'a> = tokio_tungstenite::WebSocketStream<&'a mut TcpStream>;

/// A client whose handshake succeeded.
struct Welcome<'a> {
    socket: Socket<'a>,
    place: Place,
    path: String,
}

/// The opening handshake, bounded in time; when it failed, what is still to be said.
async fn shake_hands<'a>(
    tcp: &'a mut TcpStream,
    id: u64,
    room: &Arc<Room>,
    events: &mpsc::Sender<ServerEvent>,
) -> Result<Welcome<'a>, &'static [u8]> {
    let options = room.options();
    let config = WebSocketConfig::default()
        .read_buffer_size(BUFFER)
        .write_buffer_size(BUFFER)
        .max_write_buffer_size(options.max_message.saturating_add(BUFFER + PONGS))
        .max_message_size(Some(options.max_message))
        .max_frame_size(Some(options.max_message));
    let mut place = None;
    let mut path = String::new();
    #[expect(clippy::result_large_err, reason = "the signature is tungstenite's")]
    let admit = |request: &Request, response: Response| {
        // The query may carry a token: only the path is ever shown.
        request.uri().path().clone_into(&mut path);
        place = room.place();
        match place {
            Some(_) => Ok(response),
            None => {
                let mut full = ErrorResponse::new(None);
                *full.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                Err(full)
            }
        }
    };
    let handshake = accept_hdr_async_with_config(tcp, admit, Some(config));
    let (why, answer) = match (timeout(options.handshake_timeout, handshake).await, place) {
        (Ok(Ok(socket)), Some(place)) => {
            return Ok(Welcome { socket, place, path });
        }
        (Ok(Ok(_) | Err(Error::Http(_))), _) => ("the server is full", NOTHING),
        (Ok(Err(_)), _) => ("not a WebSocket handshake", BAD_REQUEST),
        (Err(_), _) => ("the handshake took too long", NOTHING),
    };
    let _ = events.send(ServerEvent::Refused { client: id, why }).await;
    Err(answer)
}

/// Reads and writes until the end; the close code, and whether the client may still be sending what nobody wants to read.
async fn converse(
    socket: Socket<'_>,
    client: &Client,
    room: &Room,
    events: &mpsc::Sender<ServerEvent>,
) -> (u16, bool) {
    let (sink, stream) = socket.split();
    let mut reading = pin!(read(stream, client, room, events));
    let mut writing = pin!(write(sink, client));
    let mut ending = pin!(ended(client.end(), room));
    let heard = tokio::select! {
        heard = &mut reading => heard,
        written = &mut writing => match written {
            // We have said goodbye. Until the deadline the client may finish and say it, too.
            Ok(()) => tokio::select! {
                heard = &mut reading => heard,
                end = &mut ending => return end,
            },
            // The client has said goodbye, and reading is about to answer.
            Err(Error::Protocol(ProtocolError::SendAfterClosing)) => reading.await,
            Err(_) => Heard::Gone,
        },
        end = &mut ending => return end,
    };
    let ours = match *client.end().borrow() {
        Some(End::Close(code)) => Some(code),
        Some(End::Terminate) | None => None,
    };
    match heard {
        Heard::Goodbye(theirs) => (ours.unwrap_or(theirs), false),
        Heard::Gone => (ours.unwrap_or(ABNORMAL), false),
        Heard::Violation(code, reason) => {
            client.close(code, reason, true);
            let told = timeout(room.options().close_timeout, writing).await;
            (ours.unwrap_or(code), matches!(told, Ok(Ok(()))))
        }
    }
}

/// Comes when the server has ended the connection and waited long enough for the client's answer.
async fn ended(mut end: watch::Receiver<Option<End>>, room: &Room) -> (u16, bool) {
    let wanted = end.wait_for(Option::is_some).await.map(|end| *end);
    match wanted {
        Ok(Some(End::Close(code))) => {
            sleep(room.options().close_timeout).await;
            (code, false)
        }
        Ok(Some(End::Terminate) | None) | Err(_) => (ABNORMAL, false),
    }
}

/// Writes the queue to the end; ready when the close frame is written.
async fn write(mut sink: impl SinkExt<Message, Error = Error> + Unpin, client: &Client) -> Result<(), Error> {
    loop {
        let mut message = client.queue.pop().await;
        loop {
            let last = message.is_close();
            sink.feed(message).await?;
            if last {
                return sink.flush().await;
            }
            match client.queue.try_pop() {
                Some(next) => message = next,
                None => break,
            }
        }
        sink.flush().await?;
    }
}

/// Reads, reports and routes until nothing more can be read.
async fn read(
    mut stream: impl Stream<Item = Result<Message, Error>> + Unpin,
    client: &Client,
    room: &Room,
    events: &mpsc::Sender<ServerEvent>,
) -> Heard {
    while let Some(item) = stream.next().await {
        let message = match item {
            Ok(message) => message,
            Err(error) => return violation(&error),
        };
        client.shows_life();
        let payload = match &message {
            Message::Close(frame) => {
                let code = frame.as_ref().map_or(NO_STATUS, |frame| frame.code.into());
                // To read on is to send the answer; then the stream ends.
                let _ = timeout(room.options().close_timeout, stream.next()).await;
                return Heard::Goodbye(code);
            }
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
            Message::Text(_) | Message::Binary(_) if room.is_heartbeat(client, &message) => continue,
            Message::Text(text) => Payload::Text(text.as_str().to_owned()),
            Message::Binary(bytes) => Payload::Binary(bytes.to_vec()),
        };
        let event = ServerEvent::Received { client: client.id, at: Instant::now(), payload };
        let _ = events.send(event).await;
        room.route(client, message).await;
    }
    Heard::Gone
}

/// What a client is told that sent something impossible.
fn violation(error: &Error) -> Heard {
    match error {
        Error::Capacity(_) => Heard::Violation(1009, "message too big"),
        Error::Utf8(_) => Heard::Violation(1007, "not UTF-8"),
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Heard::Gone,
        Error::Protocol(_) => Heard::Violation(1002, "protocol error"),
        _ => Heard::Gone,
    }
}
