//! What a trace must not hold: resume tokens and credentials, which reach a link on the native wire.

use crate::link::{Event, Input, Op};
use crate::wire::native::{Envelope, Item, Limits, Reader};

use super::Step;

/// Where in a record there are secrets. That works because the bytes of a frame are the last thing in its record, and are written
/// in order.
pub(super) struct Secrets<'f> {
    /// What was not looked at of the frame, and the address of its end.
    rest: Option<(Reader<'f, 'f>, usize)>,
    /// Those of one envelope: each begins so many bytes before the end, and has so many.
    found: [(usize, usize); 2],
}

impl<'f> Secrets<'f> {
    pub(super) const NONE: Secrets<'f> = Secrets { rest: None, found: [(0, 0); 2] };

    /// Those of a step, on the native wire with these limits.
    pub(super) fn of(step: &Step<'f>, native: Option<&'f Limits>) -> Secrets<'f> {
        match (step, native) {
            (Step::Op(Op::Handle(Input::Socket(_, Event::Frame { data, .. }))), Some(limits)) => {
                let rest = Some((Reader::new(data, limits), data.as_ptr_range().end.addr()));
                let mut secrets = Secrets { rest, ..Secrets::NONE };
                secrets.advance();
                secrets
            }
            (Step::Op(_) | Step::Polled(_), _) => Secrets::NONE,
        }
    }

    /// To the next envelope that has some.
    fn advance(&mut self) {
        self.found = [(0, 0); 2];
        while let Some((reader, end)) = &mut self.rest {
            let found = match reader.next() {
                Some(Ok(Item::Envelope(Envelope::Welcome(welcome)))) => [welcome.token.reveal(), &[]],
                Some(Ok(Item::Envelope(Envelope::Renewal { token, credentials }))) => {
                    [token.reveal(), credentials.reveal()]
                }
                Some(Ok(Item::Envelope(_) | Item::Skipped { .. })) => continue,
                Some(Err(_)) | None => {
                    self.rest = None;
                    return;
                }
            };
            let end = *end;
            self.found = found.map(|secret| (end.saturating_sub(secret.as_ptr().addr()), secret.len()));
            if self.there_are() {
                return;
            }
        }
    }

    fn there_are(&self) -> bool {
        self.found.iter().any(|(_, len)| *len > 0)
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.there_are() && self.rest.is_none()
    }

    /// Whether the byte that is so many before the end belongs to one. Asked from the first byte to the last.
    pub(super) fn cover(&mut self, before_end: usize) -> bool {
        let is_over = |&(from, len): &(usize, usize)| len == 0 || before_end.saturating_add(len) <= from;
        while self.rest.is_some() && self.found.iter().all(is_over) {
            self.advance();
        }
        self.found.iter().any(|&(from, len)| before_end <= from && before_end.saturating_add(len) > from)
    }
}
