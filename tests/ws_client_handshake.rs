//! The opening handshake at the client's end (RFC 6455, sections 4.1 and 4.2.2).
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a test may be blunt"
)]

use core::time::Duration;

use everlink::ws::handshake::{
    Accepted, Fault, HandshakeError, HeadLimits, Key, Request, Response, ResponseReader, WriteError,
};
use proptest::prelude::*;

const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

fn key() -> Key {
    Key::new(*b"the sample nonce")
}

fn request() -> Request<'static> {
    Request { protocols: &["chat", "superchat"], ..Request::new("server.example.com", "/chat") }
}

fn written(request: &Request<'_>) -> Result<String, WriteError> {
    let mut out = [0; 1024];
    let length = request.write(&key(), &mut out)?;
    Ok(str::from_utf8(&out[..length]).unwrap().to_string())
}

/// A response that is right, with these lines instead of, or besides, its own.
fn response(lines: &[&str]) -> String {
    let accept = format!("Sec-WebSocket-Accept: {ACCEPT}");
    let mut all = vec!["Upgrade: websocket", "Connection: Upgrade", &accept];
    for line in lines {
        let (name, value) = line.split_once(':').unwrap();
        all.retain(|own| !own.starts_with(&format!("{name}:")));
        if !value.is_empty() {
            all.push(line);
        }
    }
    format!("HTTP/1.1 101 Switching Protocols\r\n{}\r\n\r\n", all.join("\r\n"))
}

fn read<'b>(request: &Request<'_>, bytes: &'b [u8]) -> Result<Option<Response<'b>>, HandshakeError> {
    ResponseReader::new(&key(), HeadLimits::default()).read(request, bytes)
}

#[track_caller]
fn accepted<'b>(request: &Request<'_>, text: &'b str) -> Accepted<'b> {
    match read(request, text.as_bytes()) {
        Ok(Some(Response::Accepted(accepted))) => accepted,
        other => panic!("{other:?}"),
    }
}

/// The response is refused, and the fault is at the line that begins like this (or at the end).
#[track_caller]
fn refused(request: &Request<'_>, text: &str, fault: Fault, line: Option<&str>) {
    let at = line.map_or(text.len(), |line| text.find(line).unwrap());
    assert_eq!(read(request, text.as_bytes()), Err(HandshakeError { fault, at }));
}

#[test]
fn the_request_has_all_that_it_must() {
    let request = Request {
        extensions: Some("permessage-deflate; client_max_window_bits"),
        headers: &[("Origin", "http://example.com"), ("Cookie", "a=b; c=d"), ("Authorization", "Bearer x")],
        ..request()
    };
    let text = written(&request).unwrap();
    assert!(text.starts_with("GET /chat HTTP/1.1\r\nHost: server.example.com\r\n"));
    assert!(text.ends_with("\r\n\r\n"));
    for line in [
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Protocol: chat, superchat",
        "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
        "Origin: http://example.com",
        "Cookie: a=b; c=d",
        "Authorization: Bearer x",
    ] {
        assert_eq!(text.matches(&format!("\r\n{line}\r\n")).count(), 1, "{line}");
    }
}

#[test]
fn nothing_can_be_smuggled_into_a_request() {
    let plain = Request::new("h", "/");
    let wrong = |request: Request<'_>| written(&request).unwrap_err();
    for value in ["a\r\nX: y", "a\nb", "a\rb", "a\0b", "\x7f"] {
        assert_eq!(wrong(Request { headers: &[("X", value)], ..plain }), WriteError::HeaderValue);
        assert_eq!(wrong(Request { extensions: Some(value), ..plain }), WriteError::Extensions);
        assert_eq!(wrong(Request { protocols: &[value], ..plain }), WriteError::Protocol);
        assert_eq!(wrong(Request { host: value, ..plain }), WriteError::Host);
        let path = format!("/{value}");
        assert_eq!(wrong(Request { path: &path, ..plain }), WriteError::Path);
    }
    for name in ["", "a b", "a:", "a\r\n", "ä"] {
        assert_eq!(wrong(Request { headers: &[(name, "x")], ..plain }), WriteError::HeaderName);
    }
    for name in
        ["Host", "CONNECTION", "upgrade", "Sec-WebSocket-Key", "sec-websocket-other", "Content-Length"]
    {
        assert_eq!(wrong(Request { headers: &[(name, "x")], ..plain }), WriteError::HeaderReserved);
    }
    for extensions in ["", ",", "a b", "a;", "a; b=", "a; b=\"c"] {
        assert_eq!(wrong(Request { extensions: Some(extensions), ..plain }), WriteError::Extensions);
    }
    for path in ["", "chat", "/a b", "/a#b", "/ä"] {
        assert_eq!(wrong(Request { path, ..plain }), WriteError::Path);
    }
    for host in ["", "a b", "a/b", "user@host", "h?x", "h#x"] {
        assert_eq!(wrong(Request { host, ..plain }), WriteError::Host);
    }
    for protocols in [&["a b"][..], &[""], &["a,b"], &["a", "b", "a"]] {
        assert_eq!(wrong(Request { protocols, ..plain }), WriteError::Protocol);
    }
}

#[test]
fn a_request_that_does_not_fit_is_not_sent() {
    let length = written(&request()).unwrap().len();
    let mut out = vec![0; length];
    assert_eq!(request().write(&key(), &mut out), Ok(length));
    for room in 0..length {
        assert_eq!(request().write(&key(), &mut out[..room]), Err(WriteError::NoRoom));
    }
}

#[test]
fn the_response_of_the_rfc_is_accepted_and_what_follows_is_left() {
    let text = response(&["Sec-WebSocket-Protocol: chat"]) + "\u{1}frames";
    let accepted = accepted(&request(), &text);
    assert_eq!(accepted.protocol, Some("chat"));
    assert_eq!(&text[accepted.head.length()..], "\u{1}frames");
}

#[test]
fn names_and_tokens_are_known_in_any_case_and_among_others() {
    let text =
        response(&["Upgrade:", "Connection: ", "upgrade: WebSocket", "connection: keep-alive, UPGRADE"]);
    accepted(&request(), &text.replace("Sec-WebSocket-Accept: ", "sec-websocket-ACCEPT:\t"));
}

#[test]
fn extra_headers_of_the_response_can_be_read() {
    let text = response(&["Set-Cookie: a=b", "X-Name: \u{fc}ber"]);
    let head = accepted(&request(), &text).head;
    assert_eq!((head.text("SET-cookie"), head.get("x-name")), (Some("a=b"), Some("über".as_bytes())));
    assert_eq!(head.fields().count(), 5);
}

#[test]
fn a_response_without_the_upgrade_fails() {
    refused(&request(), &response(&["Upgrade:"]), Fault::Upgrade, None);
    for upgrade in ["h2c", "h2c, websocket", "websocket, websocket", "websocket/13"] {
        let text = response(&[&format!("Upgrade: {upgrade}")]);
        refused(&request(), &text, Fault::Upgrade, Some("Upgrade:"));
    }
    let twice = response(&["upgrade: websocket"]);
    refused(&request(), &twice, Fault::Duplicate, Some("upgrade:"));
    refused(&request(), &response(&["Connection:"]), Fault::Connection, None);
    refused(&request(), &response(&["Connection: close"]), Fault::Connection, Some("Connection:"));
}

#[test]
fn a_response_that_does_not_belong_to_the_key_fails() {
    refused(&request(), &response(&["Sec-WebSocket-Accept:"]), Fault::Accept, None);
    for accept in ["S3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo"]
    {
        let text = response(&[&format!("Sec-WebSocket-Accept: {accept}")]);
        refused(&request(), &text, Fault::Accept, Some("Sec-WebSocket-Accept"));
    }
    let twice = response(&[&format!("sec-websocket-accept: {ACCEPT}")]);
    refused(&request(), &twice, Fault::Duplicate, Some("sec-websocket-accept"));
}

#[test]
fn a_sub_protocol_that_was_not_offered_fails() {
    let line = "Sec-WebSocket-Protocol";
    for protocol in ["other", "CHAT", "chat, superchat"] {
        let text = response(&[&format!("{line}: {protocol}")]);
        refused(&request(), &text, Fault::ProtocolNotOffered, Some(line));
    }
    let text = response(&["Sec-WebSocket-Protocol: chat"]);
    refused(&Request::new("h", "/"), &text, Fault::ProtocolNotOffered, Some(line));
    let twice = response(&["Sec-WebSocket-Protocol: chat", "sec-websocket-protocol: chat"]);
    refused(&request(), &twice, Fault::Duplicate, Some("sec-websocket-protocol"));
}

#[test]
fn no_sub_protocol_fails_only_if_one_was_demanded() {
    assert_eq!(accepted(&request(), &response(&[])).protocol, None);
    let demanding = Request { protocol_required: true, ..request() };
    refused(&demanding, &response(&[]), Fault::ProtocolMissing, None);
    assert_eq!(
        accepted(&demanding, &response(&["Sec-WebSocket-Protocol: superchat"])).protocol,
        Some("superchat")
    );
}

#[test]
fn an_extension_that_was_not_offered_fails() {
    let line = "Sec-WebSocket-Extensions";
    let text = response(&["Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover"]);
    refused(&request(), &text, Fault::ExtensionNotOffered, Some(line));
    let offering = Request { extensions: Some("permessage-deflate; client_max_window_bits, x"), ..request() };
    let extensions: Vec<_> = accepted(&offering, &text).extensions().collect();
    assert_eq!(extensions, [("permessage-deflate", "server_no_context_takeover")]);
    let more = response(&["Sec-WebSocket-Extensions: x, y"]);
    refused(&offering, &more, Fault::ExtensionNotOffered, Some(line));
    let quoted = response(&["Sec-WebSocket-Extensions: x; a=\"permessage-deflate\""]);
    assert_eq!(accepted(&offering, &quoted).extensions().count(), 1);
}

/// Sections 9.1 and 11.3.2: as the grammar has it, and once.
#[test]
fn extensions_are_one_list_or_none() {
    let offering = Request { extensions: Some("x, y"), ..request() };
    let line = "Sec-WebSocket-Extensions";
    for list in ["", ";", "x; ;;", "x;", "x; a=", "x; =a", "x y", "x; a b", "x; a=\"b, \\\" c\"", "x; a=\"b"]
    {
        let text = response(&[&format!("{line}: {list}")]);
        refused(&offering, &text, Fault::ExtensionList, Some(line));
    }
    let text = response(&[&format!("{line}: x\r\n{line}: y")]);
    let second = text.rfind(line).unwrap();
    let Err(error) = read(&offering, text.as_bytes()) else { panic!() };
    assert_eq!((error.fault, error.at), (Fault::Duplicate, second));
    let text = response(&[&format!("{line}: x, y; a")]);
    assert_eq!(accepted(&offering, &text).extensions().count(), 2);
}

#[test]
fn another_status_is_reported_with_what_a_client_needs_to_go_on() {
    let text = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 120\r\nContent-Length: 2\r\n\r\nno";
    let Ok(Some(Response::Refused(refused))) = read(&request(), text.as_bytes()) else { panic!() };
    assert_eq!((refused.status, refused.retry_after()), (503, Some(Duration::from_secs(120))));
    assert_eq!(&text[refused.head.length()..], "no");
    let text =
        "HTTP/1.0 302 Found\r\nLocation: /elsewhere\r\nRetry-After: Fri, 31 Dec 1999 23:59:59 GMT\r\n\r\n";
    let Ok(Some(Response::Refused(refused))) = read(&request(), text.as_bytes()) else { panic!() };
    assert_eq!((refused.status, refused.location(), refused.retry_after()), (302, Some("/elsewhere"), None));
    let text = "HTTP/1.1 401\r\nWWW-Authenticate: Basic\r\n\r\n";
    let Ok(Some(Response::Refused(refused))) = read(&request(), text.as_bytes()) else { panic!() };
    assert_eq!((refused.status, refused.head.text("www-authenticate")), (401, Some("Basic")));
}

#[test]
fn what_is_not_http_fails() {
    for start in [
        "SSH-2.0-x",
        "HTTP/2 101 x",
        "HTTP/1.1 10 x",
        "HTTP/1.1 1010",
        "HTTP/1.1 abc x",
        "HTTP/1.1  101 x",
        "",
        "\u{1}",
    ] {
        refused(&request(), &format!("{start}\r\n\r\n"), Fault::StartLine, Some(""));
    }
    refused(&request(), "HTTP/1.0 101 x\r\n\r\n", Fault::HttpVersion, Some(""));
    for line in ["no colon", " folded: x", ": x", "a b: x", "a : x", "X: a\rb", "X: a\u{0}b", "\u{e4}: x"] {
        let text = format!("HTTP/1.1 101 x\r\nA: b\r\n{line}\r\n\r\n");
        assert_eq!(
            read(&request(), text.as_bytes()),
            Err(HandshakeError { fault: Fault::Field, at: 22 }),
            "{line:?}"
        );
    }
}

#[test]
fn a_head_without_end_is_given_up_at_the_limit() {
    let limits = HeadLimits { bytes: 256, fields: 8 };
    let endless = "HTTP/1.1 200 OK\r\n".to_string() + &"X: y\r\n".repeat(100);
    let mut reader = ResponseReader::new(&key(), limits.clone());
    for length in 0..256 {
        assert_eq!(reader.read(&request(), &endless.as_bytes()[..length]), Ok(None));
    }
    let error = HandshakeError { fault: Fault::HeadTooLong, at: 256 };
    assert_eq!(reader.read(&request(), &endless.as_bytes()[..256]), Err(error));
    assert_eq!(ResponseReader::new(&key(), limits.clone()).read(&request(), endless.as_bytes()), Err(error));
    let many = "HTTP/1.1 200 OK\r\n".to_string() + &"X: y\r\n".repeat(9) + "\r\n";
    let error = HandshakeError { fault: Fault::TooManyFields, at: 17 + 8 * 6 };
    assert_eq!(ResponseReader::new(&key(), limits).read(&request(), many.as_bytes()), Err(error));
}

#[test]
fn what_was_looked_at_is_not_searched_again() {
    let text = response(&[]);
    let mut reader = ResponseReader::new(&key(), HeadLimits::default());
    let (start, _) = text.as_bytes().split_at(100);
    assert_eq!(reader.read(&request(), start), Ok(None));
    // An end of the head where it has been looked for already is not found: so a byte at a time costs no more than all.
    let mut changed = text.as_bytes().to_vec();
    changed[50..54].copy_from_slice(b"\r\n\r\n");
    assert_eq!(reader.read(&request(), &changed[..120]), Ok(None));
}

#[test]
fn limits_that_cannot_work_are_named() {
    assert_eq!(HeadLimits::default().check(), Ok(()));
    let error = HeadLimits { bytes: 255, ..HeadLimits::default() }.check().unwrap_err();
    assert_eq!(error.field, "ws.head.bytes");
    let error = HeadLimits { fields: 7, ..HeadLimits::default() }.check().unwrap_err();
    assert_eq!(error.field, "ws.head.fields");
}

proptest! {
    #[test]
    fn any_split_of_a_response_gives_the_same(
        lines in prop::collection::vec("[A-Za-z-]{1,12}:[ -~]{0,20}", 0..6),
        noise in prop::option::weighted(0.5, (any::<prop::sample::Index>(), any::<u8>())),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let mut bytes = (response(&lines) + "frames").into_bytes();
        if let Some((at, byte)) = noise {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let whole = read(&request(), &bytes);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len())).chain([bytes.len()]).collect();
        cuts.sort_unstable();
        let mut reader = ResponseReader::new(&key(), HeadLimits::default());
        let split = cuts.iter().map(|&cut| reader.read(&request(), &bytes[..cut])).find(|read| *read != Ok(None));
        prop_assert_eq!(split.unwrap_or(Ok(None)), whole);
    }

    #[test]
    fn no_response_panics(bytes in prop::collection::vec(prop_oneof![any::<u8>(), Just(b'\n'), Just(b':')], 0..300)) {
        let _ = read(&request(), &bytes);
    }
}
