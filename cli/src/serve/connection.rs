//! One client from its handshake to its end.
//!
//! ```text
//! handshake ─► reading and writing in turn ─► close frames (bounded) ─► gone
//! ```

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use everlink::wire::json;
use everlink::wire::native::SUBPROTOCOL;
use everlink::ws::handshake::Acceptance;
use everlink::ws::handshake::{Incoming, Origins, Refusal};
use everlink::ws::{Code, SendError};
use everlink_tokio::Kind;
use everlink_tokio::server::Caller;
use everlink_tokio::ws::{Asked, Event, Options, Turn, Want, WebSocket, accept};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use super::message::Message;
use super::native::Host;
use super::room::{Client, End, Place, Room};
use super::{Payload, ServerEvent};

/// No close frame came: RFC 6455, section 7.1.5.
const ABNORMAL: u16 = 1006;
/// A close frame without a code: RFC 6455, section 7.1.5.
const NO_STATUS: u16 = 1005;

type Socket = WebSocket<TcpStream>;

/// Serves one accepted socket.
pub(super) async fn serve(
    tcp: TcpStream,
    id: u64,
    room: Arc<Room>,
    native: Arc<Option<Host>>,
    events: mpsc::Sender<ServerEvent>,
) {
    let _ = tcp.set_nodelay(true);
    let mut stopping = room.stopping();
    let welcome = tokio::select! {
        welcome = shake_hands(tcp, &room, native.is_some()) => welcome,
        _ = stopping.wait_for(Option::is_some) => return,
    };
    let Welcome { mut socket, place, path, caller } = match welcome {
        Ok(welcome) => welcome,
        Err(why) => {
            let _ = events.send(ServerEvent::Refused { client: id, why }).await;
            return;
        }
    };
    if let (Some(host), Some((caller, protocol))) = (native.as_ref(), caller) {
        let _ = events.send(ServerEvent::Connected { client: id, path }).await;
        if protocol == json::SUBPROTOCOL {
            host.carry_json(caller, socket).await;
        } else {
            host.carry(caller, socket).await;
        }
        drop(place);
        // The goodbye of this wire is in its envelopes.
        let _ = events.send(ServerEvent::Disconnected { client: id, code: NO_STATUS }).await;
        return;
    }
    let client = room.enter(id);
    // Only now: who hears of a client may count on it to get messages.
    let _ = events.send(ServerEvent::Connected { client: id, path }).await;
    let code = converse(&mut socket, &client, &room, &events).await;
    room.leave(id);
    drop(place);
    let _ = events.send(ServerEvent::Disconnected { client: id, code }).await;
}

/// A client whose handshake succeeded.
struct Welcome {
    socket: Socket,
    place: Place,
    path: String,
    /// Who it is, if it speaks the native wire or the JSON one, and which.
    caller: Option<(Caller, &'static str)>,
}

/// The opening handshake, bounded in time; when it failed, why.
async fn shake_hands(tcp: TcpStream, room: &Arc<Room>, native: bool) -> Result<Welcome, &'static str> {
    let from = tcp.peer_addr().map_err(|_| "it is gone")?;
    let options = room.options();
    let mut ws = Options {
        max_send: options.max_message,
        handshake_timeout: options.handshake_timeout,
        close_timeout: options.close_timeout,
        ..Options::default()
    };
    ws.limits.frames.frame = (options.max_message as u64).max(125);
    ws.limits.frames.message = ws.limits.frames.frame;
    let asked = match accept(tcp, ws).await {
        Ok(asked) => asked,
        Err(everlink_tokio::ws::Error::TimedOut) => return Err("the handshake took too long"),
        Err(_) => return Err("not a WebSocket handshake"),
    };
    let Some(Incoming::Upgrade(upgrade)) = asked.request() else {
        return Err(refuse(asked, Refusal::new(400, "Bad Request"), "not a WebSocket handshake").await);
    };
    let allowed: Vec<&str> = options.origins.iter().map(String::as_str).collect();
    if !allowed.is_empty() && !(Origins { allowed: &allowed, absent: true }).accept_request(&upgrade) {
        return Err(refuse(asked, Refusal::new(403, "Forbidden"), "a page of another origin").await);
    }
    // The query may carry a token: only the path is ever shown.
    let path = upgrade.target().split('?').next().unwrap_or_default().to_owned();
    let Some(place) = room.place() else {
        return Err(refuse(asked, Refusal::new(503, "Service Unavailable"), "the server is full").await);
    };
    let known = |name: &str| [SUBPROTOCOL, json::SUBPROTOCOL].into_iter().find(|known| *known == name);
    // A client that demands another one finds that none was selected, and fails.
    let protocol = upgrade.protocols().find_map(known).filter(|_| native);
    let caller = protocol.map(|protocol| (Caller::of(from, &upgrade), protocol));
    let acceptance = Acceptance { protocol, ..Acceptance::default() };
    let socket = asked.agree(&acceptance).map_err(|_| "not a WebSocket handshake")?;
    Ok(Welcome { socket, place, path, caller })
}

async fn refuse(asked: Asked<TcpStream>, refusal: Refusal<'_>, why: &'static str) -> &'static str {
    let _ = asked.refuse(&refusal).await;
    why
}

/// What is to be done next.
enum Next {
    Socket(Turn),
    Say(Message),
    /// What the client said has reached those who get it.
    Routed,
}

/// Reads and writes until the end; gives the close code.
async fn converse(
    socket: &mut Socket,
    client: &Client,
    room: &Room,
    events: &mpsc::Sender<ServerEvent>,
) -> u16 {
    let mut ended = pin!(ended(client.end(), room));
    // Nothing more is said once either end has said goodbye.
    let (mut theirs, mut said_goodbye) = (None, false);
    let mut unsaid: Option<Message> = None;
    // As long as what the client said is on its way, it is not listened to.
    let mut routing: Option<Pin<Box<dyn Future<Output = ()> + Send + '_>>> = None;
    loop {
        if let Some(message) = unsaid.take_if(|message| said(socket, message)) {
            said_goodbye = matches!(message, Message::Close { .. });
        }
        let want = Want { event: routing.is_none(), room: unsaid.as_ref().map(Message::len) };
        let may_say = unsaid.is_none() && !said_goodbye && theirs.is_none();
        let next = tokio::select! {
            biased;
            code = &mut ended => return code,
            () = async { routing.as_mut().expect("it is there").await }, if routing.is_some() => Next::Routed,
            message = client.queue.pop(), if may_say => Next::Say(message),
            turn = socket.turn(want) => Next::Socket(turn),
        };
        match next {
            Next::Routed => routing = None,
            Next::Say(message) => unsaid = Some(message),
            Next::Socket(Turn::Over) => return ours(client).or(theirs).unwrap_or(ABNORMAL),
            Next::Socket(Turn::Room) => {}
            Next::Socket(Turn::Event) => {
                client.shows_life();
                match socket.event() {
                    Some(Event::Message { kind, data }) if !room.is_heartbeat(client, kind, data) => {
                        let data = Bytes::copy_from_slice(data);
                        routing = Some(Box::pin(hear(client, room, events, kind, data)));
                    }
                    Some(Event::Close { code, .. }) => theirs = Some(code.map_or(NO_STATUS, Code::get)),
                    Some(Event::Failed(error)) => theirs = Some(error.code().get()),
                    _ => {}
                }
            }
        }
    }
}

/// Comes when the server has ended the connection, and has waited long enough for the client to take what was still said.
async fn ended(mut end: watch::Receiver<Option<End>>, room: &Room) -> u16 {
    let wanted = end.wait_for(Option::is_some).await.map(|end| *end);
    match wanted {
        Ok(Some(End::Close(code))) => {
            sleep(room.options().close_timeout).await;
            code
        }
        Ok(Some(End::Terminate) | None) | Err(_) => ABNORMAL,
    }
}

/// Whether a message has found room in the socket, or can never be sent.
fn said(socket: &mut Socket, message: &Message) -> bool {
    let said = match message {
        Message::Data(kind, data) => socket.try_feed(*kind, data),
        Message::Ping => socket.ping(b""),
        Message::Close { code, reason } => {
            socket.close(Code::new(*code), reason);
            Ok(())
        }
    };
    !matches!(said, Err(SendError::NoRoom(_))) || message.len() == 0
}

/// Reports and routes what a client said.
async fn hear(client: &Client, room: &Room, events: &mpsc::Sender<ServerEvent>, kind: Kind, data: Bytes) {
    let payload = Payload::of(kind, &data);
    let event = ServerEvent::Received { client: client.id, at: Instant::now(), payload };
    let _ = events.send(event).await;
    room.route(client, Message::Data(kind, data)).await;
}

fn ours(client: &Client) -> Option<u16> {
    match *client.end().borrow() {
        Some(End::Close(code)) => Some(code),
        Some(End::Terminate) | None => None,
    }
}
