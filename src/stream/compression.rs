//! Compression of messages (RFC 7692), where it is a feature and both ends want it.

#[cfg(feature = "deflate")]
pub(super) use on::Compression;

#[cfg(not(feature = "deflate"))]
pub(super) use off::Compression;

/// There is none.
#[cfg(not(feature = "deflate"))]
mod off {
    use crate::outbox::Kind;
    use crate::stream::Config;
    use crate::stream::assembly::Assembly;
    use crate::ws::handshake::{Acceptance, Accepted, HandshakeError, Request, Upgrade, WriteError};
    use crate::ws::{Error, Frame, Part, SendError};

    #[derive(Debug)]
    pub(in crate::stream) struct Compression;

    impl Compression {
        pub(in crate::stream) const fn new(_: &Config) -> Compression {
            Compression
        }

        pub(in crate::stream) fn offer<T>(
            &self,
            request: &Request<'_>,
            ask: impl FnOnce(&Request<'_>) -> T,
        ) -> T {
            ask(request)
        }

        pub(in crate::stream) const fn agreed(&mut self, _: &Accepted<'_>) -> Result<bool, HandshakeError> {
            Ok(false)
        }

        pub(in crate::stream) fn accept(
            &mut self,
            _: &Upgrade<'_>,
            acceptance: &Acceptance<'_>,
            answer: impl FnOnce(&Acceptance<'_>) -> Result<usize, WriteError>,
        ) -> Result<bool, WriteError> {
            answer(acceptance).map(|_| false)
        }

        pub(in crate::stream) const fn inflate<B>(
            &mut self,
            _: &mut Part<'_>,
            _: u64,
            _: &mut Assembly<B>,
        ) -> Result<bool, Option<Error>> {
            Ok(true)
        }

        #[inline]
        pub(in crate::stream) fn compress(
            &mut self,
            kind: Kind,
            payload: &[u8],
            put: impl FnOnce(Frame<'_>) -> Result<usize, SendError>,
        ) -> Result<usize, SendError> {
            put(Frame::message(kind, payload))
        }
    }
}

#[cfg(feature = "deflate")]
mod on {
    use alloc::boxed::Box;
    use alloc::vec::Vec;

    use crate::outbox::Kind;
    use crate::stream::Config;
    use crate::stream::assembly::Assembly;
    use crate::stream::room::Room;
    use crate::ws::deflate::{self, Compressor, Decompressor, Negotiated};
    use crate::ws::handshake::{Acceptance, Accepted, HandshakeError, Request, Upgrade, WriteError};
    use crate::ws::{Error, Frame, Part, Role, SendError};

    /// What of the scratch memory is kept between messages.
    const KEPT: usize = 64 << 10;

    #[derive(Debug)]
    pub(in crate::stream) enum Compression {
        Off,
        Wanted(Box<deflate::Config>),
        Agreed(Box<Ends>),
    }

    #[derive(Debug)]
    pub(in crate::stream) struct Ends {
        compressor: Compressor,
        decompressor: Decompressor,
        scratch: Vec<u8>,
    }

    impl Compression {
        pub(in crate::stream) fn new(config: &Config) -> Compression {
            config.deflate.clone().map_or(Compression::Off, |config| Compression::Wanted(Box::new(config)))
        }

        fn wanted(&self) -> Option<&deflate::Config> {
            match self {
                Compression::Wanted(config) => Some(config),
                Compression::Off | Compression::Agreed(_) => None,
            }
        }

        fn settle(&mut self, role: Role, negotiated: Option<Negotiated>) -> bool {
            let ends = negotiated.zip(self.wanted()).map(|(agreed, config)| agreed.ends(role, config));
            *self = ends.map_or(Compression::Off, |(compressor, decompressor)| {
                Compression::Agreed(Box::new(Ends { compressor, decompressor, scratch: Vec::new() }))
            });
            matches!(self, Compression::Agreed(_))
        }

        /// Asks with the offer, if there is one.
        pub(in crate::stream) fn offer<T>(
            &self,
            request: &Request<'_>,
            ask: impl FnOnce(&Request<'_>) -> T,
        ) -> T {
            match self.wanted() {
                Some(config) if request.extensions.is_none() => {
                    ask(&Request { extensions: Some(&config.offer()), ..*request })
                }
                Some(_) | None => ask(request),
            }
        }

        /// Whether the server accepted.
        pub(in crate::stream) fn agreed(&mut self, accepted: &Accepted<'_>) -> Result<bool, HandshakeError> {
            let negotiated = match self.wanted() {
                Some(config) => config.agreed(accepted)?,
                None => None,
            };
            Ok(self.settle(Role::Client, negotiated))
        }

        /// Answers an offer, and says whether it was accepted.
        pub(in crate::stream) fn accept(
            &mut self,
            upgrade: &Upgrade<'_>,
            acceptance: &Acceptance<'_>,
            answer: impl FnOnce(&Acceptance<'_>) -> Result<usize, WriteError>,
        ) -> Result<bool, WriteError> {
            let wanted = self.wanted().filter(|_| acceptance.extensions.is_none());
            let (negotiated, extensions) = wanted.and_then(|config| config.accept(upgrade)).unzip();
            let extensions = extensions.as_deref().or(acceptance.extensions);
            answer(&Acceptance { extensions, ..*acceptance })?;
            Ok(self.settle(Role::Server, negotiated))
        }

        /// Adds a part of a compressed message, inflated, and says whether it is the last. `Err(None)`: there is no memory for it.
        pub(in crate::stream) fn inflate<B: Room>(
            &mut self,
            part: &mut Part<'_>,
            offset: u64,
            message: &mut Assembly<B>,
        ) -> Result<bool, Option<Error>> {
            let Compression::Agreed(ends) = self else { return Err(None) };
            let mut last = false;
            loop {
                let mut overflow = [0];
                let (tail, fits) = match message.tail() {
                    [] => (&mut overflow[..], false),
                    tail => (tail, true),
                };
                match ends.decompressor.decompress(part, offset, tail) {
                    Ok(None) => return Ok(last),
                    Ok(Some(piece)) => {
                        last |= piece.last;
                        let length = piece.payload.len();
                        if fits {
                            message.length += length;
                        } else if length > 0 {
                            return Err(None);
                        }
                    }
                    Err(error) => return Err(Some(error)),
                }
            }
        }

        /// Puts a message, compressed if that was agreed on and makes it smaller. There must be room for it as it is.
        #[inline]
        pub(in crate::stream) fn compress(
            &mut self,
            kind: Kind,
            payload: &[u8],
            mut put: impl FnMut(Frame<'_>) -> Result<usize, SendError>,
        ) -> Result<usize, SendError> {
            match self {
                Compression::Agreed(ends) => ends.compress(kind, payload, &mut put),
                Compression::Off | Compression::Wanted(_) => put(Frame::message(kind, payload)),
            }
        }
    }

    impl Ends {
        fn compress(
            &mut self,
            kind: Kind,
            payload: &[u8],
            put: &mut impl FnMut(Frame<'_>) -> Result<usize, SendError>,
        ) -> Result<usize, SendError> {
            let Ends { compressor, scratch, .. } = self;
            let room = payload.len().saturating_add(Compressor::ROOM);
            if scratch.len() < room {
                scratch.resize(room, 0);
            }
            let mut part = Part { kind, compressed: false, first: true, last: true, payload };
            let mut length = 0;
            while let Some(piece) = compressor.compress(&mut part, scratch) {
                length += put(Frame::part(piece))?;
            }
            if scratch.len() > KEPT {
                *scratch = Vec::new();
            }
            Ok(length)
        }
    }
}
