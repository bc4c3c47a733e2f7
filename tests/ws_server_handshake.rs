//! The opening handshake at the server's end (RFC 6455, sections 4.2 and 10.2).
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a test may be blunt"
)]

use everlink::ws::handshake::{
    Acceptance, Fault, HandshakeError, HeadLimits, Incoming, Key, Origins, Refusal, Request, RequestReader,
    Response, ResponseReader, Upgrade, WriteError,
};
use proptest::prelude::*;

/// The request of section 1.2, with these lines instead of, or besides, its own; a line without a value takes it away.
fn request(lines: &[&str]) -> String {
    let mut all = vec![
        "Host: server.example.com",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Origin: http://example.com",
        "Sec-WebSocket-Protocol: chat, superchat",
        "Sec-WebSocket-Version: 13",
    ];
    for line in lines {
        let (name, value) = line.split_once(':').unwrap();
        all.retain(|own| !own.starts_with(&format!("{name}:")));
        if !value.is_empty() {
            all.push(line);
        }
    }
    format!("GET /chat?room=1 HTTP/1.1\r\n{}\r\n\r\n", all.join("\r\n"))
}

fn read(text: &str) -> Result<Option<Incoming<'_>>, HandshakeError> {
    RequestReader::new(HeadLimits::default()).read(text.as_bytes())
}

#[track_caller]
fn upgrade(text: &str) -> Upgrade<'_> {
    match read(text) {
        Ok(Some(Incoming::Upgrade(upgrade))) => upgrade,
        other => panic!("{other:?}"),
    }
}

/// The request is refused with this status, and the fault is at the line that begins like this (or at the end).
#[track_caller]
fn refused(text: &str, fault: Fault, line: Option<&str>, status: u16) {
    let at = line.map_or(text.len(), |line| text.find(line).unwrap());
    let error = read(text).unwrap_err();
    assert_eq!(error, HandshakeError { fault, at });
    assert_eq!(error.refusal().status, status);
    assert!(error.refusal().write(&mut [0; 512]).is_ok());
}

fn answer(acceptance: Acceptance<'_>, text: &str) -> Result<String, WriteError> {
    let mut out = [0; 512];
    let length = acceptance.write(&upgrade(text), &mut out)?;
    Ok(str::from_utf8(&out[..length]).unwrap().to_string())
}

#[test]
fn the_request_of_the_rfc_is_read() {
    let text = request(&[]) + "frames";
    let upgrade = upgrade(&text);
    assert_eq!(upgrade.target(), "/chat?room=1");
    assert_eq!(upgrade.protocols().collect::<Vec<_>>(), ["chat", "superchat"]);
    assert_eq!(upgrade.extensions().count(), 0);
    assert_eq!(upgrade.head().text("host"), Some("server.example.com"));
    assert_eq!(&text[upgrade.head().length()..], "frames");
}

#[test]
fn the_answer_of_the_rfc_is_given() {
    let acceptance =
        Acceptance { protocol: Some("chat"), headers: &[("Set-Cookie", "a=b")], extensions: None };
    assert_eq!(
        answer(acceptance, &request(&[])).unwrap(),
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat\r\nSet-Cookie: a=b\r\n\r\n"
    );
}

#[test]
fn names_and_tokens_are_known_in_any_case_and_among_others() {
    upgrade(&request(&["Upgrade: h2c, WEBSOCKET", "Connection: keep-alive, upgrade"]));
    upgrade(&request(&["Sec-WebSocket-Version:", "SEC-WEBSOCKET-VERSION:13"]));
    upgrade(&request(&["Upgrade: h2c", "upgrade: websocket"]));
}

#[test]
fn a_request_that_is_no_upgrade_is_the_callers_to_answer() {
    for (text, method, target) in [
        ("GET /health HTTP/1.1\r\nHost: h\r\n\r\n", "GET", "/health"),
        ("HEAD / HTTP/1.0\r\n\r\n", "HEAD", "/"),
        ("POST /x HTTP/1.1\r\nHost: h\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nab", "POST", "/x"),
    ] {
        let Ok(Some(Incoming::Plain(plain))) = read(text) else { panic!() };
        assert_eq!((plain.method, plain.target), (method, target));
    }
    let mut out = [0; 256];
    let well =
        Refusal { headers: &[("Content-Type", "text/plain")], body: b"well", ..Refusal::new(200, "OK") };
    let length = well.write(&mut out).unwrap();
    let expected =
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\nContent-Type: text/plain\r\n\r\nwell";
    assert_eq!(str::from_utf8(&out[..length]).unwrap(), expected);
}

#[test]
fn a_request_to_upgrade_by_another_method_is_refused() {
    refused(&request(&[]).replace("GET", "POST"), Fault::Method, Some("POST"), 405);
}

#[test]
fn a_request_to_upgrade_by_http_1_0_is_refused() {
    refused(&request(&[]).replace("HTTP/1.1", "HTTP/1.0"), Fault::HttpVersion, Some("GET"), 505);
}

#[test]
fn a_request_without_host_is_refused() {
    refused(&request(&["Host:"]), Fault::Host, None, 400);
    refused(&request(&["host: other"]), Fault::Duplicate, Some("host: other"), 400);
}

#[test]
fn a_request_without_the_connection_token_is_refused() {
    refused(&request(&["Connection:"]), Fault::Connection, None, 400);
    refused(&request(&["Connection: keep-alive"]), Fault::Connection, Some("Connection"), 400);
}

#[test]
fn another_version_is_refused_with_the_one_that_is_spoken() {
    for version in ["8", "14", "013", "13, 8"] {
        let text = request(&[&format!("Sec-WebSocket-Version: {version}")]);
        refused(&text, Fault::Version, Some("Sec-WebSocket-Version"), 426);
    }
    refused(&request(&["Sec-WebSocket-Version:"]), Fault::Version, None, 426);
    let error =
        read("GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n").unwrap_err();
    let mut out = [0; 256];
    let length = error.refusal().write(&mut out).unwrap();
    let text = str::from_utf8(&out[..length]).unwrap();
    assert!(text.starts_with("HTTP/1.1 426 Upgrade Required\r\n"));
    assert!(text.contains("\r\nSec-WebSocket-Version: 13\r\n"));
}

#[test]
fn a_key_that_is_not_sixteen_bytes_is_refused() {
    refused(&request(&["Sec-WebSocket-Key:"]), Fault::Key, None, 400);
    for key in [
        "dGhlIHNhbXBsZSBub25jZQ",    // no padding
        "dGhlIHNhbXBsZSBub25j",      // 15 bytes
        "dGhlIHNhbXBsZSBub25jZSE=",  // 17
        "dGhlIHNhbXBsZSBub25jZSEh",  // 18
        "dGhlIHNhbXBsZSBub25j*Q==",  // no base64
        "dGhlIHNhbXBsZSBub25jZQ==x", // more
        "dGhlIHNhbXBsZS Bub25jZQ=",
    ] {
        let text = request(&[&format!("Sec-WebSocket-Key: {key}")]);
        refused(&text, Fault::Key, Some("Sec-WebSocket-Key"), 400);
    }
    let twice = request(&["sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ=="]);
    refused(&twice, Fault::Duplicate, Some("sec-websocket-key"), 400);
}

#[test]
fn what_is_not_http_is_refused() {
    for start in ["GET / HTTP/2", "GET /", "GET  / HTTP/1.1", "G T / HTTP/1.1", "", "\u{16}\u{3}\u{1}"] {
        refused(&format!("{start}\r\n\r\n"), Fault::StartLine, Some(""), 400);
    }
    refused("GET / HTTP/1.1\r\nHost: h\r\n folded\r\n\r\n", Fault::Field, Some(" folded"), 400);
}

#[test]
fn what_a_server_will_not_or_cannot_serve_is_refused_with_a_status() {
    for (status, reason) in [(401, "Unauthorized"), (403, "Forbidden"), (404, "Not Found"), (503, "Busy")] {
        let mut out = [0; 256];
        let refusal =
            Refusal { headers: &[("Retry-After", "7")], body: b"why", ..Refusal::new(status, reason) };
        let written = refusal.write(&mut out).unwrap();
        assert_eq!(
            str::from_utf8(&out[..written]).unwrap(),
            format!(
                "HTTP/1.1 {status} {reason}\r\nConnection: close\r\nContent-Length: 3\r\nRetry-After: 7\r\n\r\nwhy"
            )
        );
        let mut reader = ResponseReader::new(&Key::new([0; 16]), HeadLimits::default());
        let Ok(Some(Response::Refused(refused))) = reader.read(&Request::new("h", "/"), &out[..written])
        else {
            panic!("{status}")
        };
        assert_eq!((refused.status, refused.retry_after().unwrap().as_secs()), (status, 7));
    }
}

#[test]
fn lists_that_are_none_are_refused() {
    let line = "Sec-WebSocket-Protocol:";
    for list in ["chat room", "chat; q=1", "chat/2", "\"chat\"", ",", "caf\u{e9}"] {
        refused(&request(&[&format!("{line} {list}")]), Fault::ProtocolList, Some(line), 400);
    }
    let line = "Sec-WebSocket-Extensions:";
    for list in [
        "x y",
        "x;",
        "x; ;y",
        ";y",
        "x; y=",
        "x; y=\"\"",
        "x; y=\"z",
        "x; y=\"a b\"",
        "x; y=z z",
        "x; =z",
        ",",
        "x; y=\"z\\\"",
        "x; y=\"z\"z",
    ] {
        refused(&request(&[&format!("{line} {list}")]), Fault::ExtensionList, Some(line), 400);
    }
    for list in ["x", "x;y", " x ; y = z , ,w;v=\"u\\t\";s", "a, b"] {
        assert!(upgrade(&request(&[&format!("{line} {list}")])).extensions().count() > 0, "{list}");
    }
}

#[test]
fn a_head_without_end_is_given_up_at_the_limit() {
    let limits = HeadLimits { bytes: 256, fields: 8 };
    let endless = "GET / HTTP/1.1\r\nX: ".to_string() + &"y".repeat(300);
    let error = RequestReader::new(limits.clone()).read(endless.as_bytes()).unwrap_err();
    assert_eq!((error, error.refusal().status), (HandshakeError { fault: Fault::HeadTooLong, at: 256 }, 431));
    let many = "GET / HTTP/1.1\r\n".to_string() + &"X: y\r\n".repeat(9) + "\r\n";
    let error = RequestReader::new(limits).read(many.as_bytes()).unwrap_err();
    assert_eq!((error.fault, error.refusal().status), (Fault::TooManyFields, 431));
}

#[test]
fn the_server_chooses_by_its_own_order_among_what_is_offered() {
    let text = request(&[]);
    let upgrade = upgrade(&text);
    assert_eq!(upgrade.choose(&["superchat", "chat"]), Some("superchat"));
    assert_eq!(upgrade.choose(&["other", "chat"]), Some("chat"));
    assert_eq!((upgrade.choose(&["CHAT"]), upgrade.choose(&[])), (None, None));
}

#[test]
fn nothing_is_accepted_that_was_not_offered() {
    let text = request(&["Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"]);
    let accept = |protocol, extensions| answer(Acceptance { protocol, extensions, headers: &[] }, &text);
    assert_eq!(accept(Some("other"), None), Err(WriteError::ProtocolNotOffered));
    assert_eq!(accept(None, Some("x-other")), Err(WriteError::Extensions));
    assert_eq!(accept(None, Some("")), Err(WriteError::Extensions));
    let answer = accept(Some("superchat"), Some("permessage-deflate; server_no_context_takeover")).unwrap();
    assert!(
        answer.contains("\r\nSec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n")
    );
}

#[test]
fn nothing_can_be_smuggled_into_a_response() {
    let text = request(&["Sec-WebSocket-Extensions: x"]);
    let accept = |headers: &[(&str, &str)]| {
        answer(Acceptance { headers, ..Acceptance::default() }, &text).unwrap_err()
    };
    assert_eq!(accept(&[("X", "a\r\nY: b")]), WriteError::HeaderValue);
    assert_eq!(accept(&[("X\r\nY", "b")]), WriteError::HeaderName);
    assert_eq!(accept(&[("Sec-WebSocket-Accept", "b")]), WriteError::HeaderReserved);
    let extensions = Acceptance { extensions: Some("x; a\r\nY: b"), ..Acceptance::default() };
    assert_eq!(answer(extensions, &text), Err(WriteError::Extensions));
    let refuse = |refusal: Refusal<'_>| refusal.write(&mut [0; 256]).unwrap_err();
    let plain = Refusal::new(403, "Forbidden");
    assert_eq!(refuse(Refusal { reason: "a\r\nb", ..plain }), WriteError::Status);
    assert_eq!(refuse(Refusal { status: 101, ..plain }), WriteError::Status);
    assert_eq!(refuse(Refusal { headers: &[("X", "\n")], ..plain }), WriteError::HeaderValue);
    assert_eq!(refuse(Refusal { headers: &[("Content-Length", "1")], ..plain }), WriteError::HeaderReserved);
}

#[test]
fn only_allowed_origins_may_connect() {
    let origins = Origins { allowed: &["http://example.com", "https://a.test:8443"], absent: false };
    let accepts = |lines: &[&str]| origins.accept_request(&upgrade(&request(lines)));
    assert!(accepts(&[]) && accepts(&["Origin: HTTPS://A.test:8443"]));
    for origin in ["http://example.com.evil.test", "https://example.com", "http://example.com:80", "null"] {
        assert!(!accepts(&[&format!("Origin: {origin}")]), "{origin}");
    }
    assert!(!accepts(&["Origin:"]), "no origin");
    assert!(!accepts(&["origin: http://example.com"]), "two origins");
    let lenient = Origins { absent: true, ..origins };
    assert!(lenient.accept_request(&upgrade(&request(&["Origin:"]))));
}

proptest! {
    #[test]
    fn any_split_of_a_request_gives_the_same(
        lines in prop::collection::vec("[A-Za-z-]{1,12}:[ -~]{0,20}", 0..6),
        noise in prop::option::weighted(0.5, (any::<prop::sample::Index>(), any::<u8>())),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let mut bytes = (request(&lines) + "frames").into_bytes();
        if let Some((at, byte)) = noise {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let whole = RequestReader::new(HeadLimits::default()).read(&bytes);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len())).chain([bytes.len()]).collect();
        cuts.sort_unstable();
        let mut reader = RequestReader::new(HeadLimits::default());
        let split = cuts.iter().map(|&cut| reader.read(&bytes[..cut])).find(|read| *read != Ok(None));
        prop_assert_eq!(split.unwrap_or(Ok(None)), whole);
    }

    #[test]
    fn both_ends_agree(
        nonce: [u8; 16],
        path in "/[a-z0-9/?=&%-]{0,20}",
        protocols in prop::collection::hash_set("[a-z.0-9]{1,10}", 0..4),
        value in "[ -~]{0,20}",
    ) {
        let protocols: Vec<&str> = protocols.iter().map(String::as_str).collect();
        let headers = [("Authorization", value.as_str())];
        let request = Request {
            protocols: &protocols,
            headers: &headers,
            protocol_required: !protocols.is_empty(),
            ..Request::new("h.test:8080", &path)
        };
        let key = Key::new(nonce);
        let (mut asked, mut answered) = ([0; 1024], [0; 1024]);
        let length = request.write(&key, &mut asked).unwrap();
        let text = str::from_utf8(&asked[..length]).unwrap();
        let upgrade = upgrade(text);
        prop_assert_eq!(upgrade.target(), &path);
        prop_assert_eq!(upgrade.head().text("authorization"), Some(value.trim_ascii()));
        let chosen = upgrade.choose(&protocols);
        let length = Acceptance { protocol: chosen, ..Acceptance::default() }.write(&upgrade, &mut answered).unwrap();
        let mut reader = ResponseReader::new(&key, HeadLimits::default());
        let Ok(Some(Response::Accepted(accepted))) = reader.read(&request, &answered[..length]) else { panic!() };
        prop_assert_eq!(accepted.protocol, chosen);
    }
}

#[test]
fn errors_are_sentences_and_a_key_shows_its_text() {
    let error = read("POST\r\n\r\n").unwrap_err();
    assert_eq!(error.fault, Fault::StartLine);
    assert!(error.to_string().contains("the first line is not HTTP"), "{error}");
    assert_eq!(WriteError::NoRoom.to_string(), "there is not enough room");
    let key = Key::new([0; 16]);
    assert_eq!(format!("{key:?}"), "Key(\"AAAAAAAAAAAAAAAAAAAAAA==\")");
}
