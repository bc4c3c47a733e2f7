//! Who compresses how, as both ends agree in the opening handshake (RFC 7692, sections 5 and 7.1).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may be blunt")]

use everlink::ws::Role;
use everlink::ws::deflate::{Config, Context, Negotiated};
use everlink::ws::handshake::{
    Acceptance, Fault, HandshakeError, HeadLimits, Incoming, Key, Request, RequestReader, Response,
    ResponseReader,
};

const fn context(window: u8, takeover: bool) -> Context {
    Context { window, takeover }
}

fn config(own: Context, peer: Context) -> Config {
    Config { own, peer, ..Config::default() }
}

const FULL: Context = context(15, true);

/// What a server makes of these offers, and its answer.
fn accept(config: &Config, offers: &str) -> Option<(Negotiated, String)> {
    let request = format!(
        "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{offers}\r\n\r\n"
    );
    let mut reader = RequestReader::new(HeadLimits::default());
    let Ok(Some(Incoming::Upgrade(upgrade))) = reader.read(request.as_bytes()) else { panic!("{request}") };
    let (negotiated, answer) = config.accept(&upgrade)?;
    // It is one that can be sent.
    let acceptance = Acceptance { extensions: Some(&answer), ..Acceptance::default() };
    acceptance.write(&upgrade, &mut [0; 512]).unwrap();
    Some((negotiated, answer))
}

/// What a client makes of the extensions in a response to its offer.
fn agreed(config: &Config, extensions: &str) -> Result<Option<Negotiated>, HandshakeError> {
    let offer = config.offer();
    let request = Request { extensions: Some(&offer), ..Request::new("h", "/") };
    let response = format!(
        "HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n{extensions}\r\n\r\n"
    );
    let mut reader = ResponseReader::new(&Key::new(*b"the sample nonce"), HeadLimits::default());
    match reader.read(&request, response.as_bytes())? {
        Some(Response::Accepted(accepted)) => config.agreed(&accepted),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_client_offers_what_its_configuration_says() {
    for (own, peer, offer) in [
        (FULL, FULL, "; client_max_window_bits"),
        (context(10, true), FULL, "; client_max_window_bits=10"),
        (FULL, context(9, true), "; server_max_window_bits=9; client_max_window_bits"),
        (FULL, context(15, false), "; server_no_context_takeover; client_max_window_bits"),
        (context(15, false), FULL, "; client_no_context_takeover; client_max_window_bits"),
        (
            context(8, false),
            context(8, false),
            "; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=8; client_max_window_bits=8",
        ),
    ] {
        assert_eq!(config(own, peer).offer(), format!("permessage-deflate{offer}"));
    }
}

#[test]
fn a_server_grants_what_is_asked_and_asks_for_what_it_wants() {
    const E: &str = "Sec-WebSocket-Extensions: permessage-deflate";
    // The configuration's contexts, the offer, the contexts of client and server, the answer.
    for (own, peer, offer, client, server, answer) in [
        (FULL, FULL, "", FULL, FULL, ""),
        (FULL, FULL, "; client_max_window_bits", FULL, FULL, ""),
        (FULL, FULL, "; client_max_window_bits=15", FULL, FULL, ""),
        (FULL, FULL, "; client_max_window_bits=10", context(10, true), FULL, "; client_max_window_bits=10"),
        (
            FULL,
            FULL,
            ";client_max_window_bits = \"10\"",
            context(10, true),
            FULL,
            "; client_max_window_bits=10",
        ),
        (FULL, FULL, "; server_max_window_bits=15", FULL, FULL, "; server_max_window_bits=15"),
        (FULL, FULL, "; server_max_window_bits=8", FULL, context(8, true), "; server_max_window_bits=8"),
        (
            context(9, true),
            FULL,
            "; server_max_window_bits=12",
            FULL,
            context(9, true),
            "; server_max_window_bits=9",
        ),
        (context(9, true), FULL, "", FULL, context(9, true), "; server_max_window_bits=9"),
        (
            FULL,
            FULL,
            "; server_no_context_takeover",
            FULL,
            context(15, false),
            "; server_no_context_takeover",
        ),
        (context(15, false), FULL, "", FULL, context(15, false), "; server_no_context_takeover"),
        (
            FULL,
            FULL,
            "; client_no_context_takeover",
            context(15, false),
            FULL,
            "; client_no_context_takeover",
        ),
        (FULL, context(15, false), "", context(15, false), FULL, "; client_no_context_takeover"),
        (
            FULL,
            context(11, true),
            "; client_max_window_bits",
            context(11, true),
            FULL,
            "; client_max_window_bits=11",
        ),
        (
            FULL,
            context(11, true),
            "; client_max_window_bits=9",
            context(9, true),
            FULL,
            "; client_max_window_bits=9",
        ),
        // What the client did not say that it can do must not be asked for.
        (FULL, context(11, true), "", FULL, FULL, ""),
        // The first that is valid counts.
        (
            FULL,
            FULL,
            "; server_max_window_bits=7, permessage-deflate; x, other, permessage-deflate; server_max_window_bits=10, permessage-deflate",
            FULL,
            context(10, true),
            "; server_max_window_bits=10",
        ),
        (
            FULL,
            FULL,
            "; x\r\nSec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover",
            context(15, false),
            FULL,
            "; client_no_context_takeover",
        ),
    ] {
        let answer = format!("permessage-deflate{answer}");
        let expected = Some((Negotiated { client, server }, answer));
        assert_eq!(accept(&config(own, peer), &format!("{E}{offer}")), expected, "{offer}");
    }
}

/// Invalid parameters, in an offer as well as in an answer (section 7.1).
const INVALID: [&str; 14] = [
    "; unknown",
    "; server_max_window_bits",
    "; server_max_window_bits=7",
    "; server_max_window_bits=16",
    "; server_max_window_bits=08",
    "; server_max_window_bits=+9",
    "; server_max_window_bits=\"9x\"",
    "; server_max_window_bits=10; server_max_window_bits=10",
    "; client_max_window_bits=100",
    "; client_max_window_bits=10; client_max_window_bits=11",
    "; server_no_context_takeover=1",
    "; server_no_context_takeover; server_no_context_takeover",
    "; client_no_context_takeover=true",
    "; client_no_context_takeover; client_no_context_takeover",
];

#[test]
fn an_offer_with_an_invalid_parameter_is_declined() {
    for parameters in INVALID {
        let offer = format!("Sec-WebSocket-Extensions: permessage-deflate{parameters}");
        assert_eq!(accept(&Config::default(), &offer), None, "{parameters}");
    }
    for offer in ["X: y", "Sec-WebSocket-Extensions: x-webkit-deflate-frame"] {
        assert_eq!(accept(&Config::default(), offer), None, "{offer}");
    }
}

#[test]
fn an_answer_with_an_invalid_parameter_fails_the_connection() {
    let asked = config(context(12, true), context(12, true));
    let at = "HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
              Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
        .len();
    let more = [
        "; client_max_window_bits",    // an answer must say which
        "; client_max_window_bits=13", // more than was offered
        "; server_max_window_bits=13",
        ", permessage-deflate",
    ];
    // These are not even what the grammar has (RFC 6455, section 9.1), or come in two headers (section 11.3.2).
    let worse = [
        ("; server_max_window_bits=", Fault::ExtensionList),
        ("; server_no_context_takeover=", Fault::ExtensionList),
        ("; ; client_no_context_takeover", Fault::ExtensionList),
        ("\r\nSec-WebSocket-Extensions: permessage-deflate", Fault::Duplicate),
    ];
    let bad = INVALID.into_iter().chain(more).map(|parameters| (parameters, Fault::ExtensionParameters));
    for (parameters, fault) in bad.chain(worse) {
        let error =
            agreed(&asked, &format!("Sec-WebSocket-Extensions: permessage-deflate{parameters}")).unwrap_err();
        assert_eq!(error.fault, fault, "{parameters}");
        assert!(error.at == at || parameters.starts_with('\r') && error.at > at, "{parameters}");
    }
}

#[test]
fn a_client_takes_what_the_server_answers() {
    let smaller = config(context(12, true), context(12, true));
    let forgetful = config(context(15, false), context(15, false));
    for (config, answer, client, server) in [
        (&Config::default(), "", FULL, FULL),
        (&Config::default(), "; server_max_window_bits=8", FULL, context(8, true)),
        (&Config::default(), "; client_max_window_bits=8", context(8, true), FULL),
        (&Config::default(), "; client_max_window_bits=\"1\\1\"", context(11, true), FULL),
        (&Config::default(), "; server_no_context_takeover", FULL, context(15, false)),
        (&Config::default(), "; client_no_context_takeover", context(15, false), FULL),
        // A limit of one's own holds whether it is granted or not; the peer's is what it says.
        (&smaller, "; server_max_window_bits=11", context(12, true), context(11, true)),
        (
            &smaller,
            "; client_max_window_bits=9; server_max_window_bits=12",
            context(9, true),
            context(12, true),
        ),
        (&smaller, "", context(12, true), FULL),
        (&forgetful, "; server_no_context_takeover", context(15, false), context(15, false)),
        (&forgetful, "", context(15, false), FULL),
    ] {
        let agreed = agreed(config, &format!("Sec-WebSocket-Extensions: permessage-deflate{answer}"));
        assert_eq!(agreed, Ok(Some(Negotiated { client, server })), "{answer}");
    }
    assert_eq!(agreed(&Config::default(), "X: y"), Ok(None));
}

#[test]
fn both_ends_come_to_the_same() {
    let contexts = || (8..=15).flat_map(|window| [context(window, true), context(window, false)]);
    for own in contexts() {
        for peer in contexts().step_by(3) {
            let client = config(own, peer);
            for server in
                [config(FULL, FULL), config(peer, own), config(context(10, false), context(12, true))]
            {
                let offer = format!("Sec-WebSocket-Extensions: {}", client.offer());
                let (negotiated, answer) = accept(&server, &offer).expect("the offer is valid");
                assert_eq!(
                    agreed(&client, &format!("Sec-WebSocket-Extensions: {answer}")),
                    Ok(Some(negotiated))
                );
                let allows = |context: Context, limit: Context| {
                    context.window <= limit.window && (limit.takeover || !context.takeover)
                };
                assert!(allows(negotiated.client, client.own) && allows(negotiated.client, server.peer));
                assert!(allows(negotiated.server, client.peer) && allows(negotiated.server, server.own));
                // Each end compresses as it said.
                let (compressor, _) = negotiated.ends(Role::Client, &client);
                assert!(format!("{compressor:?}").contains(&format!("{:?}", negotiated.client)));
                let (compressor, _) = negotiated.ends(Role::Server, &server);
                assert!(format!("{compressor:?}").contains(&format!("{:?}", negotiated.server)));
            }
        }
    }
}
