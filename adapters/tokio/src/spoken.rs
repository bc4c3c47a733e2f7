//! What the server says on the JSON wire, for a client.

use std::sync::Arc;

use bytes::Bytes;
use everlink::link::{Epoch, Spoken};
use everlink::outbox::Kind;
use everlink::time::Instant;
use everlink::wire::json::{Raw, Reason};

use crate::Received;
use crate::client::{Shared, TracedLink};
use crate::dialogue::{Answer, Dialogue, Failed, Heard};
use crate::options::Notice;
use crate::parcel::Parcel;

/// What there is no code for.
const NO_CODE: u32 = 0;

fn json(raw: Option<Raw<'_>>) -> Answer {
    Answer::new(Kind::Text, raw.map_or("", Raw::as_str).as_bytes())
}

fn words(reason: Option<Reason<'_>>) -> String {
    match reason {
        Some(Reason::Text(text)) => text.to_string(),
        Some(Reason::Raw(raw)) => raw.to_string(),
        None => String::new(),
    }
}

impl Dialogue {
    /// The server has said this; `None` if nobody waits for it.
    pub(crate) fn heard_json(
        &mut self,
        shared: &Arc<Shared>,
        link: &mut TracedLink,
        now: Instant,
        spoken: &Spoken<'_>,
    ) -> Option<Parcel> {
        match *spoken {
            Spoken::Request { id, form, name, data } => {
                let asked = (form, name.to_string(), json(data));
                return Some(self.is_asked(shared, link, now, id, asked));
            }
            Spoken::Error { id: id @ 1.., reason } => {
                self.answered(id, Err(Failed::Error { code: NO_CODE, reason: words(reason) }));
            }
            Spoken::Broadcast { subscription, data, .. } => {
                let data = Bytes::copy_from_slice(data.as_str().as_bytes());
                let heard = Heard::Published(Received { kind: Kind::Text, data, number: 0 });
                return Some(match subscription {
                    Some(id) => self.hears(id, heard),
                    None => self.system_hears(heard),
                });
            }
            Spoken::Unsubscribed { id, reason } => {
                return Some(self.is_refused(id, NO_CODE, reason.to_string()));
            }
            _ => return None,
        }
        Some(Parcel::Nothing)
    }
}

/// What an observer is told of it.
pub(crate) fn notice(epoch: Epoch, spoken: &Spoken<'_>) -> Option<Notice> {
    match *spoken {
        Spoken::Malformed { error, .. } => Some(Notice::Malformed { epoch, error }),
        Spoken::SystemError { reason } => Some(Notice::Complaint { epoch, reason: reason.to_string() }),
        Spoken::Error { id: 0, reason } => Some(Notice::Complaint { epoch, reason: words(reason) }),
        _ => None,
    }
}
