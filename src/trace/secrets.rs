//! What a trace must not hold: resume tokens and credentials, which reach a link on the native wire.

use crate::link::{Event, Input, Op};
use crate::wire::native::{Envelope, Item, Limits, Reader};

use super::Step;

/// Where in a record there are secrets: so many bytes before its end one begins, and so many bytes it has. That works because
/// the bytes of a frame, and credentials, are the last thing in their records.
#[derive(Clone, Copy)]
pub(super) struct Secrets([(usize, usize); 4]);

impl Secrets {
    pub(super) const NONE: Secrets = Secrets([(0, 0); 4]);

    const fn all(bytes: &[u8]) -> Secrets {
        Secrets([(bytes.len(), bytes.len()), (0, 0), (0, 0), (0, 0)])
    }

    /// Those of a step, on the native wire with these limits.
    pub(super) fn of(step: &Step<'_>, native: Option<&Limits>) -> Secrets {
        match (step, native) {
            (Step::Op(Op::Handle(Input::Socket(_, Event::Frame { data, .. }))), Some(limits)) => {
                Secrets::of_frame(data, limits)
            }
            (Step::Op(_) | Step::Polled(_), _) => Secrets::NONE,
        }
    }

    /// If there are more than anyone would send, the frame is a secret as a whole.
    fn of_frame(frame: &[u8], limits: &Limits) -> Secrets {
        let end = frame.as_ptr_range().end.addr();
        let (mut secrets, mut free) = (Secrets::NONE, 0..Secrets::NONE.0.len());
        for item in Reader::new(frame, limits).map_while(Result::ok) {
            let found = match item {
                Item::Envelope(Envelope::Welcome(welcome)) => [welcome.token.reveal(), &[]],
                Item::Envelope(Envelope::Renewal { token, credentials }) => {
                    [token.reveal(), credentials.reveal()]
                }
                Item::Envelope(_) | Item::Skipped { .. } => continue,
            };
            for secret in found.into_iter().filter(|secret| !secret.is_empty()) {
                let Some(place) = free.next().and_then(|at| secrets.0.get_mut(at)) else {
                    return Secrets::all(frame);
                };
                *place = (end - secret.as_ptr().addr(), secret.len());
            }
        }
        secrets
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|(_, len)| *len == 0)
    }

    /// Whether the byte that is so many before the end belongs to one.
    pub(super) fn cover(&self, before_end: usize) -> bool {
        self.0.iter().any(|&(from, len)| before_end <= from && before_end > from - len)
    }
}
