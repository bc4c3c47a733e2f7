//! The opening handshake, at both ends: however the head is split, the same comes of it, and what is accepted can be answered.

use everlink::ws::deflate::{Config, Context};
use everlink::ws::handshake::{
    Acceptance, Head, HeadLimits, Incoming, Key, Request, RequestReader, Response, ResponseReader,
};

use crate::ws_decode::cuts;

const LIMITS: HeadLimits = HeadLimits { bytes: 1024, fields: 16 };

/// Which end, how to split, how to compress; then the head.
pub fn ws_handshake(data: &[u8]) {
    let Some(([end, split, deflate], head)) = data.split_first_chunk() else { return };
    let cuts = cuts(head.len(), *split);
    let deflate = config(*deflate);
    if end & 1 == 0 { request(head, &cuts, &deflate) } else { response(head, &cuts, &deflate) }
}

fn config(by: u8) -> Config {
    let context = |by: u8| Context { window: 8 + by % 8, takeover: by & 8 != 0 };
    Config { own: context(by), peer: context(by >> 4), ..Config::default() }
}

fn request(bytes: &[u8], cuts: &[usize], deflate: &Config) {
    let whole = RequestReader::new(LIMITS).read(bytes);
    let mut reader = RequestReader::new(LIMITS);
    // As much as it takes until there is an answer.
    let split =
        cuts.iter().map(|cut| reader.read(&bytes[..*cut])).find(|read| *read != Ok(None)).unwrap_or(Ok(None));
    assert_eq!(split, whole);
    let mut out = [0; 2048];
    match whole {
        Ok(None) => {}
        Ok(Some(Incoming::Plain(plain))) => {
            assert!(!plain.method.is_empty() && !plain.target.is_empty());
            fields(plain.head, bytes);
        }
        Ok(Some(Incoming::Upgrade(upgrade))) => {
            fields(upgrade.head(), bytes);
            let chosen = upgrade.choose(&["chat", "superchat"]);
            let negotiated = deflate.accept(&upgrade);
            let acceptance = Acceptance {
                protocol: chosen,
                extensions: negotiated.as_ref().map(|(_, answer)| answer.as_str()),
                headers: &[("Server", "fuzz")],
            };
            let written = acceptance.write(&upgrade, &mut out).expect("it fits, and was offered");
            // A client that had offered all of that takes the answer, but for the key.
            let offer = negotiated.as_ref().map(|_| deflate.offer());
            let offered = ["chat", "superchat"];
            let request = Request {
                protocols: &offered,
                extensions: offer.as_deref(),
                ..Request::new("localhost", "/")
            };
            let read = ResponseReader::new(&Key::new([0; 16]), LIMITS).read(&request, &out[..written]);
            assert!(!matches!(read, Ok(Some(Response::Refused(_)) | None)), "{read:?}");
        }
        Err(error) => {
            assert!(error.at <= bytes.len(), "{error:?}");
            error.refusal().write(&mut out).expect("it can be said");
        }
    }
}

fn response(bytes: &[u8], cuts: &[usize], deflate: &Config) {
    let offer = deflate.offer();
    let request =
        Request { protocols: &["chat"], extensions: Some(&offer), ..Request::new("localhost", "/") };
    let key = Key::new(*b"the sample nonce");
    let whole = ResponseReader::new(&key, LIMITS).read(&request, bytes);
    let mut reader = ResponseReader::new(&key, LIMITS);
    let split = cuts
        .iter()
        .map(|cut| reader.read(&request, &bytes[..*cut]))
        .find(|read| *read != Ok(None))
        .unwrap_or(Ok(None));
    assert_eq!(split, whole);
    match whole {
        Ok(None) => {}
        Ok(Some(Response::Accepted(accepted))) => {
            fields(accepted.head, bytes);
            assert!(accepted.protocol.is_none_or(|protocol| protocol == "chat"));
            assert!(accepted.extensions().all(|(name, _)| name == "permessage-deflate"));
            if let Ok(Some(negotiated)) = deflate.agreed(&accepted) {
                let within = |context: Context, most: u8| (8..=most).contains(&context.window);
                assert!(within(negotiated.client, deflate.own.window));
                assert!(
                    within(negotiated.server, 15) && (deflate.own.takeover || !negotiated.client.takeover)
                );
            }
        }
        Ok(Some(Response::Refused(refused))) => {
            assert!((100..=999).contains(&refused.status) && refused.status != 101);
            let _ = (refused.retry_after(), refused.location());
            fields(refused.head, bytes);
        }
        Err(error) => assert!(error.at <= bytes.len(), "{error:?}"),
    }
}

/// What is lent from the head lies in it.
fn fields(head: Head<'_>, bytes: &[u8]) {
    assert!(head.length() <= bytes.len().min(LIMITS.bytes as usize));
    let mut count = 0;
    for field in head.fields() {
        assert!(bytes[field.at..head.length()].starts_with(field.name.as_bytes()), "{field:?}");
        assert!(head.get(field.name).is_some());
        count += 1;
    }
    assert!(count <= usize::from(LIMITS.fields));
}
