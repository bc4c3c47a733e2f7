//! The same work, done by others.

use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use everlink::ws::Role;
use futures_util::{SinkExt, StreamExt};
use tokio_util::codec::{Decoder as _, Encoder as _};

use super::Content;
use super::wire::{READ, ROOM, Wire};
use crate::measure::Contender;

/// A future that is ready, since its socket always is.
fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("the socket never runs dry"),
    }
}

pub fn decoders(wire: &Wire, content: Content) -> Vec<Contender<'static>> {
    let mut all = vec![
        tungstenite_decoder(wire),
        fastwebsockets_decoder(wire),
        tokio_websockets_decoder(wire),
        websocket_codec_decoder(wire),
        ws_framer_decoder(wire),
        sockudo_decoder(wire),
        yawc_decoder(wire),
    ];
    // It does not validate a text in one frame that comes in several reads.
    if content == Content::Binary || wire.frame() < READ {
        all.push(nexus_decoder(wire));
    }
    if content == Content::Binary {
        all.push(embedded_decoder(wire));
    }
    all
}

fn tungstenite_decoder(wire: &Wire) -> Contender<'static> {
    use tungstenite::protocol::{Role, WebSocket};
    let mut socket = WebSocket::from_raw_socket(wire.socket(), Role::Server, None);
    let messages = wire.messages;
    Contender::new("tungstenite", move || {
        for _ in 0..messages {
            black_box(socket.read().expect("a message"));
        }
    })
}

fn fastwebsockets_decoder(wire: &Wire) -> Contender<'static> {
    use fastwebsockets::{FragmentCollector, Role, WebSocket};
    let mut socket = FragmentCollector::new(WebSocket::after_handshake(wire.socket(), Role::Server));
    let messages = wire.messages;
    Contender::new("fastwebsockets", move || {
        for _ in 0..messages {
            black_box(now(socket.read_frame()).expect("a message").payload.len());
        }
    })
}

fn tokio_websockets_decoder(wire: &Wire) -> Contender<'static> {
    let mut socket = tokio_websockets::ServerBuilder::new().serve(wire.socket());
    let messages = wire.messages;
    Contender::new("tokio-websockets", move || {
        for _ in 0..messages {
            black_box(now(socket.next()).expect("no end").expect("a message"));
        }
    })
}

fn websocket_codec_decoder(wire: &Wire) -> Contender<'static> {
    let mut socket = wire.socket();
    let mut codec = websocket_codec::MessageCodec::server();
    let mut buffer = BytesMut::with_capacity(wire.frame() + ROOM);
    let messages = wire.messages;
    Contender::new("websocket-codec", move || {
        let mut seen = 0;
        while seen < messages {
            socket.extend(&mut buffer);
            while let Some(message) = codec.decode(&mut buffer).expect("a message") {
                black_box(message);
                seen += 1;
            }
        }
    })
}

fn sockudo_decoder(wire: &Wire) -> Contender<'static> {
    let mut socket = wire.socket();
    let mut protocol = sockudo_ws::protocol::Protocol::new(sockudo_ws::Role::Server, 16 << 20, 64 << 20);
    let mut buffer = BytesMut::with_capacity(wire.frame() + ROOM);
    let mut decoded = Vec::new();
    let messages = wire.messages;
    Contender::new("sockudo-ws", move || {
        let mut seen = 0;
        while seen < messages {
            socket.extend(&mut buffer);
            protocol.process_into(&mut buffer, &mut decoded).expect("messages");
            seen += decoded.len();
            black_box(&mut decoded);
        }
    })
}

/// Its codec leaves the validation of text to a layer above, which needs a stream: a frame's own check is what it costs at least.
fn yawc_decoder(wire: &Wire) -> Contender<'static> {
    let mut socket = wire.socket();
    let mut codec = yawc::codec::Decoder::new(yawc::Role::Server, 16 << 20);
    let mut buffer = BytesMut::with_capacity(wire.frame() + ROOM);
    let messages = wire.messages;
    Contender::new("yawc", move || {
        let mut seen = 0;
        while seen < messages {
            socket.extend(&mut buffer);
            while let Some(frame) = codec.decode(&mut buffer).expect("a message") {
                assert!(frame.opcode() != yawc::OpCode::Text || frame.is_utf8());
                black_box(frame);
                seen += 1;
            }
        }
    })
}

fn nexus_decoder(wire: &Wire) -> Contender<'static> {
    use nexus_web::ws::{FrameReader, Role};
    let mut socket = wire.socket();
    let mut reader = FrameReader::builder().role(Role::Server).buffer_capacity(wire.frame() + ROOM).build();
    let messages = wire.messages;
    Contender::new("nexus-web", move || {
        let mut seen = 0;
        while seen < messages {
            reader.read_from(&mut socket).expect("there is room");
            while let Some(message) = reader.next().expect("a message") {
                black_box(message.as_bytes());
                seen += 1;
            }
        }
    })
}

fn ws_framer_decoder(wire: &Wire) -> Contender<'static> {
    let mut socket = wire.socket();
    let buffer = Box::leak(vec![0; wire.frame() + ROOM].into_boxed_slice());
    let mut framer = ws_framer::WsRxFramer::new(buffer);
    let messages = wire.messages;
    Contender::new("ws-framer", move || {
        let mut seen = 0;
        while seen < messages {
            let length = socket.read(framer.read_buf());
            framer.advance(length);
            while let Some(frame) = framer.next_frame() {
                black_box(frame.expect("a message"));
                seen += 1;
            }
        }
    })
}

/// Does not say whether text is valid.
fn embedded_decoder(wire: &Wire) -> Contender<'static> {
    use embedded_websocket::{WebSocketServer, WebSocketState};
    let mut socket = wire.socket();
    let mut server = WebSocketServer::new_server();
    server.state = WebSocketState::Open;
    let mut buffer = vec![0; wire.frame() * wire.messages];
    let mut payload = vec![0; wire.frame()];
    Contender::new("embedded-websocket", move || {
        let mut filled = 0;
        while filled < buffer.len() {
            match socket.read(&mut buffer[filled..]) {
                0 => break,
                length => filled += length,
            }
        }
        let mut at = 0;
        while at < filled {
            let mut written = 0;
            loop {
                let read = server.read(&buffer[at..filled], &mut payload[written..]).expect("a message");
                (at, written) = (at + read.len_from, written + read.len_to);
                if read.end_of_message {
                    break;
                }
            }
            black_box(&payload[..written]);
        }
    })
}

pub fn encoders(role: Role, payload: &[u8]) -> Vec<Contender<'_>> {
    let mut all = vec![
        tungstenite_encoder(role, payload),
        fastwebsockets_encoder(role, payload),
        websocket_codec_encoder(role, payload),
        nexus_encoder(role, payload),
        ws_framer_encoder(role, payload),
        sockudo_encoder(role, payload),
        yawc_encoder(role, payload),
    ];
    match role {
        Role::Server => all.push(embedded_encoder(payload)),
        // A server's long payloads it lends to a vectored write.
        Role::Client => all.push(tokio_websockets_encoder(role, payload)),
    }
    all
}

/// Shares the payload, and gathers frames before it writes.
fn tungstenite_encoder(role: Role, payload: &[u8]) -> Contender<'_> {
    use tungstenite::{Message, protocol};
    let role = match role {
        Role::Client => protocol::Role::Client,
        Role::Server => protocol::Role::Server,
    };
    let mut socket =
        protocol::WebSocket::from_raw_socket(Wire::masked(Content::Binary, 1).socket(), role, None);
    let payload = Bytes::copy_from_slice(payload);
    Contender::new("tungstenite", move || {
        socket.write(Message::Binary(black_box(&payload).clone())).expect("there is room");
    })
}

fn fastwebsockets_encoder(role: Role, payload: &[u8]) -> Contender<'_> {
    use fastwebsockets::{Frame, Payload};
    let mut out = Vec::new();
    let mut keys = super::Keys::new();
    let mut copy = vec![0; payload.len()];
    Contender::new("fastwebsockets", move || match role {
        Role::Server => {
            let mut frame = Frame::binary(Payload::Borrowed(black_box(payload)));
            black_box(frame.write(&mut out).len());
        }
        Role::Client => {
            // It masks in place, in what it was lent.
            copy.copy_from_slice(black_box(payload));
            let mut frame = Frame::new(
                true,
                fastwebsockets::OpCode::Binary,
                Some(keys.next()),
                Payload::BorrowedMut(&mut copy),
            );
            frame.mask();
            black_box(frame.write(&mut out).len());
        }
    })
}

fn tokio_websockets_encoder(role: Role, payload: &[u8]) -> Contender<'_> {
    use tokio_websockets::{ClientBuilder, Message, ServerBuilder};
    let socket = Wire::masked(Content::Binary, 1).socket();
    let mut socket = match role {
        Role::Client => ClientBuilder::new().take_over(socket),
        Role::Server => ServerBuilder::new().serve(socket),
    };
    let payload = Bytes::copy_from_slice(payload);
    Contender::new("tokio-websockets", move || {
        now(socket.feed(Message::binary(black_box(&payload).clone()))).expect("there is room");
    })
}

fn websocket_codec_encoder(role: Role, payload: &[u8]) -> Contender<'_> {
    use websocket_codec::{Message, MessageCodec};
    let mut codec = match role {
        Role::Client => MessageCodec::client(),
        Role::Server => MessageCodec::server(),
    };
    let message = Message::binary(Bytes::copy_from_slice(payload));
    let mut out = BytesMut::with_capacity(payload.len() + 14);
    Contender::new("websocket-codec", move || {
        out.clear();
        codec.encode(black_box(&message), &mut out).expect("there is room");
        black_box(&out);
    })
}

fn sockudo_encoder(role: Role, payload: &[u8]) -> Contender<'_> {
    use sockudo_ws::{OpCode, frame::encode_frame};
    let mut out = BytesMut::with_capacity(payload.len() + 14);
    let mut keys = super::Keys::new();
    Contender::new("sockudo-ws", move || {
        out.clear();
        let key = (role == Role::Client).then(|| keys.next());
        encode_frame(&mut out, OpCode::Binary, black_box(payload), true, key);
        black_box(&out);
    })
}

fn yawc_encoder(role: Role, payload: &[u8]) -> Contender<'_> {
    use yawc::Frame;
    let mut codec = yawc::codec::Encoder::new(match role {
        Role::Client => yawc::Role::Client,
        Role::Server => yawc::Role::Server,
    });
    let payload = Bytes::copy_from_slice(payload);
    let mut out = BytesMut::with_capacity(payload.len() + 14);
    let mut keys = super::Keys::new();
    Contender::new("yawc", move || {
        out.clear();
        let mut frame = Frame::binary(black_box(&payload).clone());
        if role == Role::Client {
            frame.set_mask(Some(keys.next()));
        }
        codec.encode(frame, &mut out).expect("there is room");
        black_box(&out);
    })
}

fn nexus_encoder(role: Role, payload: &[u8]) -> Contender<'_> {
    let mut writer = nexus_web::ws::FrameWriter::new(match role {
        Role::Client => nexus_web::ws::Role::Client,
        Role::Server => nexus_web::ws::Role::Server,
    });
    let out = super::wire::place(payload.len() + 14);
    Contender::new("nexus-web", move || {
        let written = writer.encode_binary(black_box(payload), out);
        black_box(&out[..written]);
    })
}

fn ws_framer_encoder(role: Role, payload: &[u8]) -> Contender<'_> {
    let buffer = super::wire::place(payload.len() + 14);
    let mut framer = ws_framer::WsTxFramer::new(role == Role::Client, buffer);
    Contender::new("ws-framer", move || {
        black_box(framer.binary(black_box(payload)).expect("there is room"));
    })
}

fn embedded_encoder(payload: &[u8]) -> Contender<'_> {
    use embedded_websocket::{WebSocketSendMessageType, WebSocketServer, WebSocketState};
    let mut server = WebSocketServer::new_server();
    server.state = WebSocketState::Open;
    let out = super::wire::place(payload.len() + 14);
    Contender::new("embedded-websocket", move || {
        let written = server
            .write(WebSocketSendMessageType::Binary, true, black_box(payload), out)
            .expect("there is room");
        black_box(&out[..written]);
    })
}

pub fn lenders(payload: &[u8]) -> Vec<Contender<'_>> {
    vec![
        fastwebsockets_lender(payload),
        nexus_lender(payload),
        sockudo_lender(payload),
        tokio_websockets_encoder(Role::Server, payload),
    ]
}

fn fastwebsockets_lender(payload: &[u8]) -> Contender<'_> {
    use fastwebsockets::{Frame, Payload};
    Contender::new("fastwebsockets", move || {
        let mut head = [0; 14];
        let mut frame = Frame::binary(Payload::Borrowed(black_box(payload)));
        let length = frame.fmt_head(&mut head);
        black_box((&head[..length], &frame.payload));
    })
}

fn nexus_lender(payload: &[u8]) -> Contender<'_> {
    let mut writer = nexus_web::ws::FrameWriter::new(nexus_web::ws::Role::Server);
    Contender::new("nexus-web", move || {
        let payload = black_box(payload);
        let (head, _) = writer.build_header(0x82, payload.len());
        black_box((head.as_bytes(), payload));
    })
}

fn sockudo_lender(payload: &[u8]) -> Contender<'_> {
    use sockudo_ws::{OpCode, frame::encode_frame_header};
    let mut head = BytesMut::with_capacity(14);
    Contender::new("sockudo-ws", move || {
        let payload = black_box(payload);
        head.clear();
        encode_frame_header(&mut head, OpCode::Binary, payload.len(), true, None);
        black_box((&head[..], payload));
    })
}
