//! `everlink connect` against servers that break the rules, and over TLS.

mod connect_process;

use std::sync::Arc;

use connect_process::{Connect, Echo, file};
use everlink_tokio::rustls;
use everlink_tokio::rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// Completes the upgrade by hand, so that anything can follow.
async fn upgrade(listener: &TcpListener) -> TcpStream {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await.unwrap());
    }
    let request = String::from_utf8(request).unwrap();
    let key = request.lines().find_map(|line| {
        line.split_once(": ").filter(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"))
    });
    let accept = derive_accept_key(key.unwrap().1.as_bytes());
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    stream.write_all(answer.as_bytes()).await.unwrap();
    stream
}

/// The payload of the close frame that the client sends, its code first.
async fn close_frame(stream: &mut TcpStream) -> u16 {
    loop {
        let [first, second] =
            [stream.read_u8().await.expect("a close frame"), stream.read_u8().await.unwrap()];
        let mut mask = [0; 4];
        stream.read_exact(&mut mask).await.unwrap();
        let mut payload = vec![0; usize::from(second & 0x7F)];
        stream.read_exact(&mut payload).await.unwrap();
        payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
        if first == 0x88 {
            return u16::from_be_bytes([payload[0], payload[1]]);
        }
    }
}

/// A server that says this after the upgrade; then a proper echo takes its place, and the client must find it.
async fn survives(bytes: &[u8], answered: Option<u16>, flags: &str) -> Connect {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut connect = Connect::start(&format!("ws://{}", listener.local_addr().unwrap()), flags);
    let mut stream = upgrade(&listener).await;
    stream.write_all(bytes).await.unwrap();
    if let Some(code) = answered {
        assert_eq!(close_frame(&mut stream).await, code, "{bytes:x?}");
    }
    connect.event("retry").await;
    drop(stream);
    let mut echo = Echo::on(listener);
    connect.say("still there").await;
    assert_eq!(echo.receive().await, "still there");
    let (summary, code) = connect.finish().await;
    assert_eq!(code, 0, "{summary}");
    connect
}

fn count(connect: &Connect, name: &str) -> u64 {
    connect.seen("summary")[0]["report"]["counts"][name].as_u64().unwrap()
}

#[tokio::test]
async fn garbage_is_answered_with_1002_and_counted() {
    let long_ping = [&b"\x89\x7E\x01\x00"[..], &[0; 256]].concat();
    for garbage in [
        &b"\xFF\xFF\xFF\xFFgarbage without end"[..], // reserved bits and opcode
        b"\x83\x00",                                 // a reserved opcode
        b"\x81\x81\x00\x00\x00\x00x",                // a masked frame from a server
        &long_ping,
        b"\x80\x00", // a continuation of nothing
    ] {
        let connect = survives(garbage, Some(1002), "").await;
        assert_eq!(count(&connect, "protocol_violations"), 1);
    }
}

#[tokio::test]
async fn text_that_is_not_utf_8_is_answered_with_1007() {
    let connect = survives(b"\x81\x02\xC0\x80", Some(1007), "").await;
    assert_eq!(count(&connect, "protocol_violations"), 1);
}

#[tokio::test]
async fn a_huge_frame_is_answered_with_1009_before_its_bytes_are_there() {
    let announced = b"\x82\x7F\x00\x00\x01\x00\x00\x00\x00\x00";
    let connect = survives(announced, Some(1009), "").await;
    assert_eq!(count(&connect, "protocol_violations"), 1);
    let connect = survives(b"\x82\x7E\x01\x01", Some(1009), "--max-message 256").await;
    assert_eq!(count(&connect, "messages_received"), 1);
}

#[tokio::test]
async fn absurd_close_codes_end_the_socket_and_nothing_else() {
    for (code, answered) in [(0, 1002), (999, 1002), (1005, 1002), (1006, 1002), (1015, 1002), (5000, 1002)] {
        let [high, low] = u16::to_be_bytes(code);
        let connect = survives(&[0x88, 2, high, low], Some(answered), "").await;
        assert!(connect.seen("close").iter().all(|close| close["code"] != code), "{code}");
    }
    for code in [1000_u16, 1001, 1011, 3000, 4999] {
        let [high, low] = u16::to_be_bytes(code);
        let connect = survives(&[0x88, 2, high, low], Some(code), "").await;
        assert_eq!(connect.seen("close")[0]["code"], code);
    }
    survives(&[0x88, 1, 3], None, "").await;
    survives(&[0x88, 0], None, "").await;
}

#[tokio::test]
async fn a_close_reason_is_shown_but_does_nothing_to_a_terminal() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let mut process = tokio::process::Command::new(connect_process::EVERLINK)
        .args(["connect", &url, "--stay"])
        .stdin(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stream = upgrade(&listener).await;
    stream.write_all(b"\x88\x09\x03\xF0\x1b[2Jbye").await.unwrap();
    let mut text = String::new();
    let read = process.stderr.as_mut().unwrap().read_to_string(&mut text);
    tokio::time::timeout(connect_process::SOON, read).await.expect("it ends").unwrap();
    assert!(text.ends_with("gave up: closed with code 1008 (\\u{1b}[2Jbye)\n"), "{text}");
}

#[tokio::test]
async fn pongs_that_nobody_asked_for_change_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut connect = Connect::start(&format!("ws://{}", listener.local_addr().unwrap()), "");
    let mut stream = upgrade(&listener).await;
    for pong in [&b"\x8A\x00"[..], b"\x8A\x04\xFF\xFF\xFF\xFF", b"\x8A\x05hello"] {
        stream.write_all(pong).await.unwrap();
    }
    stream.write_all(b"\x81\x05after").await.unwrap();
    connect.expect("after").await;
    connect.end_input();
    assert_eq!(close_frame(&mut stream).await, 1000);
    stream.write_all(b"\x88\x02\x03\xE8").await.unwrap();
    drop(stream);
    let (_, code) = connect.finish().await;
    assert_eq!((code, count(&connect, "pongs_received")), (0, 0));
}

#[tokio::test]
async fn a_server_that_refuses_or_babbles_instead_of_upgrading_is_told_by_its_kind() {
    for (answer, failure, status) in [
        ("HTTP/1.1 401 Unauthorized\r\n\r\n", "http", Some(401)),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "http", Some(200)),
        ("SSH-2.0-babble\r\n\r\n", "handshake", None),
        ("HTTP/1.1 101 Switching Protocols\r\n\r\n", "handshake", None),
        ("", "connect", None),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut connect = Connect::start(&format!("ws://{}", listener.local_addr().unwrap()), "");
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 16];
        stream.read_exact(&mut request).await.unwrap();
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let event = connect.event("failed").await;
        assert_eq!(event["failure"], failure, "{answer:?} {event}");
        assert_eq!(event["http_status"].as_u64(), status);
        if status == Some(401) {
            assert!(
                connect.event("summary").await["error"]
                    .as_str()
                    .unwrap()
                    .starts_with("gave up: HTTP status 401")
            );
            assert_eq!(connect.exit_code().await, 1);
        }
    }
}

/// TLS in front of an echo, and the file of its certificate.
async fn tls(echo: &Echo, name: &str) -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("wss://localhost:{}/", listener.local_addr().unwrap().port());
    let upstream = echo.server.local_addr();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut near) = acceptor.accept(near).await else { return };
                let mut far = TcpStream::connect(upstream).await.unwrap();
                let _ = copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    (url, file(name, made.cert.pem().as_bytes()).to_str().unwrap().to_owned())
}

#[tokio::test]
async fn wss_works_with_a_root_of_ones_own() {
    let echo = Echo::start().await;
    let (url, ca) = tls(&echo, "own.pem").await;
    let mut connect = Connect::start(&url, &format!("--ca {ca}"));
    connect.say("under cover").await;
    connect.expect("under cover").await;
    assert_eq!(connect.finish().await.1, 0);
}

#[tokio::test]
async fn a_certificate_of_nobody_known_ends_it() {
    let echo = Echo::start().await;
    let (url, _) = tls(&echo, "unknown.pem").await;
    let mut connect = Connect::start(&url, "");
    assert_eq!(connect.event("failed").await["failure"], "certificate");
    let summary = connect.event("summary").await;
    assert!(
        summary["error"].as_str().unwrap().starts_with("gave up: certificate not acceptable"),
        "{summary}"
    );
    assert_eq!(connect.exit_code().await, 1);
}
