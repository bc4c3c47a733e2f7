//! Offers of `permessage-deflate`, and the answers to them (RFC 7692, sections 5 and 7.1).

use alloc::string::String;
use core::fmt::Write;

use super::answer::Accepted;
use super::fault::{Fault, HandshakeError};
use super::list::{Items, cut};
use super::server::Upgrade;
use crate::ws::deflate::{Config, Context, Negotiated};

const NAME: &str = "permessage-deflate";
const SERVER_FORGETS: &str = "server_no_context_takeover";
const CLIENT_FORGETS: &str = "client_no_context_takeover";
const SERVER_WINDOW: &str = "server_max_window_bits";
const CLIENT_WINDOW: &str = "client_max_window_bits";

/// The largest window, which is the one that is meant if nothing is said.
const LARGEST: u8 = 15;

impl Config {
    /// What a client offers, for [`Request::extensions`](super::Request::extensions).
    ///
    /// ```
    /// use everlink::ws::deflate::Config;
    ///
    /// assert_eq!(Config::default().offer(), "permessage-deflate; client_max_window_bits");
    /// ```
    #[must_use]
    pub fn offer(&self) -> String {
        Parameters {
            server_forgets: !self.peer.takeover,
            client_forgets: !self.own.takeover,
            server_window: (self.peer.window < LARGEST).then_some(self.peer.window),
            // Always there: it allows the server to ask for a smaller one.
            client_window: Some((self.own.window < LARGEST).then_some(self.own.window)),
        }
        .write()
    }

    /// What a server takes of the client's offers, and its answer, for [`Acceptance::extensions`](super::Acceptance::extensions).
    /// `None`: nothing is offered that is valid, so nothing is compressed.
    ///
    /// The first valid offer counts. The client's window may stay larger than [`Config::peer`] says, if it cannot do with a
    /// smaller one.
    #[must_use]
    pub fn accept(&self, upgrade: &Upgrade<'_>) -> Option<(Negotiated, String)> {
        let offer = upgrade
            .extensions()
            .filter(|(name, _)| *name == NAME)
            .find_map(|(_, parameters)| Parameters::read(parameters))?;
        let server = offer.server().within(self.own);
        let client = match offer.client_window {
            Some(_) => offer.client().within(self.peer),
            None => Context { takeover: offer.client().takeover && self.peer.takeover, ..offer.client() },
        };
        let answer = Parameters {
            server_forgets: !server.takeover,
            client_forgets: !client.takeover,
            // What was asked for is granted by saying so.
            server_window: (offer.server_window.is_some() || server.window < LARGEST)
                .then_some(server.window),
            client_window: (client.window < LARGEST).then_some(Some(client.window)),
        };
        Some((Negotiated { client, server }, answer.write()))
    }

    /// What the server made of this end's [offer](Config::offer). `Ok(None)`: it compresses nothing.
    ///
    /// # Errors
    /// The answer is invalid, or none to this offer. The connection is to be dropped.
    pub fn agreed(&self, accepted: &Accepted<'_>) -> Result<Option<Negotiated>, HandshakeError> {
        let mut agreed = None;
        for field in accepted.head.fields().filter(|field| field.is("sec-websocket-extensions")) {
            for (_, parameters) in Items::of(field.value).filter(|(name, _)| *name == NAME) {
                let fault = HandshakeError::new(Fault::ExtensionParameters, field.at);
                let answer = Parameters::read(parameters).ok_or(fault)?;
                let negotiated = self.agree(&answer).ok_or(fault)?;
                if agreed.replace(negotiated).is_some() {
                    return Err(fault);
                }
            }
        }
        Ok(agreed)
    }

    fn agree(&self, answer: &Parameters) -> Option<Negotiated> {
        // An answer names its window, and none that is larger than what was offered.
        let too_large = |window: Option<u8>, offered: u8| window.is_some_and(|window| window > offered);
        if answer.client_window == Some(None)
            || too_large(answer.client_window.flatten(), self.own.window)
            || too_large(answer.server_window, self.peer.window)
        {
            return None;
        }
        let client = answer.client().within(self.own);
        Some(Negotiated { client, server: answer.server() })
    }
}

/// The parameters of an offer or an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Parameters {
    server_forgets: bool,
    client_forgets: bool,
    server_window: Option<u8>,
    /// In an offer it may be without a value.
    client_window: Option<Option<u8>>,
}

impl Parameters {
    /// `None` if one is unknown, there twice, or has a value that it cannot have.
    fn read(text: &str) -> Option<Parameters> {
        let mut read = Parameters::default();
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            let (parameter, behind) = cut(rest, b';');
            rest = behind;
            let (name, value) = match cut(parameter, b'=') {
                (name, []) if !parameter.contains(&b'=') => (name, None),
                (name, value) => (name, Some(value.trim_ascii())),
            };
            let twice = match str::from_utf8(name.trim_ascii()).ok()? {
                SERVER_FORGETS if value.is_none() => core::mem::replace(&mut read.server_forgets, true),
                CLIENT_FORGETS if value.is_none() => core::mem::replace(&mut read.client_forgets, true),
                SERVER_WINDOW => read.server_window.replace(window(value?)?).is_some(),
                CLIENT_WINDOW => {
                    let window = match value {
                        Some(value) => Some(window(value)?),
                        None => None,
                    };
                    read.client_window.replace(window).is_some()
                }
                _ => return None,
            };
            if twice {
                return None;
            }
        }
        Some(read)
    }

    fn write(&self) -> String {
        let mut text = String::from(NAME);
        let mut put = |there: bool, name: &str, window: Option<u8>| {
            // Writing to a string does not fail.
            let _ = match window {
                _ if !there => Ok(()),
                Some(window) => write!(text, "; {name}={window}"),
                None => write!(text, "; {name}"),
            };
        };
        put(self.server_forgets, SERVER_FORGETS, None);
        put(self.client_forgets, CLIENT_FORGETS, None);
        put(self.server_window.is_some(), SERVER_WINDOW, self.server_window);
        put(self.client_window.is_some(), CLIENT_WINDOW, self.client_window.flatten());
        text
    }

    fn server(&self) -> Context {
        Context { window: self.server_window.unwrap_or(LARGEST), takeover: !self.server_forgets }
    }

    fn client(&self) -> Context {
        Context { window: self.client_window.flatten().unwrap_or(LARGEST), takeover: !self.client_forgets }
    }
}

/// A number from 8 to 15 in decimal, without leading zeros, perhaps in quotes (section 7.1.2).
fn window(value: &[u8]) -> Option<u8> {
    let quoted = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
    // What a backslash quotes is what it would be without.
    let mut bytes = quoted.unwrap_or(value).iter().filter(|byte| quoted.is_none() || **byte != b'\\');
    match (bytes.next()?, bytes.next(), bytes.next()) {
        (digit @ b'8'..=b'9', None, _) => Some(digit - b'0'),
        (b'1', Some(digit @ b'0'..=b'5'), None) => Some(10 + (digit - b'0')),
        _ => None,
    }
}
