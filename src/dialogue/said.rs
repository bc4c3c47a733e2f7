//! What the application says in a dialogue, and why it may not.

use core::fmt;
use core::time::Duration;

use crate::channels::SubscriptionId;
use crate::outbox::Kind;
use crate::requests::RequestId;
use crate::wire::native::Form;

/// A payload: a text or bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Content<'a> {
    /// A text.
    Text(#[cfg_attr(feature = "serde", serde(borrow))] &'a str),
    /// Any bytes.
    Binary(#[cfg_attr(feature = "serde", serde(borrow))] &'a [u8]),
}

impl<'a> Content<'a> {
    /// Its bytes.
    #[must_use]
    pub const fn bytes(self) -> &'a [u8] {
        match self {
            Content::Text(text) => text.as_bytes(),
            Content::Binary(bytes) => bytes,
        }
    }

    /// Text or binary.
    #[must_use]
    pub const fn kind(self) -> Kind {
        match self {
            Content::Text(_) => Kind::Text,
            Content::Binary(_) => Kind::Binary,
        }
    }
}

impl<'a> From<&'a str> for Content<'a> {
    fn from(text: &'a str) -> Content<'a> {
        Content::Text(text)
    }
}

impl<'a> From<&'a [u8]> for Content<'a> {
    fn from(bytes: &'a [u8]) -> Content<'a> {
        Content::Binary(bytes)
    }
}

/// A request: what is asked for, with what arguments, and what to do if there is no answer.
///
/// ```
/// use core::time::Duration;
/// use everlink::dialogue::Ask;
///
/// let ask = Ask::query("users", "{\"limit\":10}").within(Duration::from_secs(3));
/// assert!(ask.again); // asking twice does no harm
/// assert!(!Ask::command("pay", "42").again);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Ask<'a> {
    /// To do something, or to know something. (An event is no request: it has no answer.)
    pub form: Form,
    /// What to do, or to know: the application's word for it.
    pub name: &'a str,
    /// The arguments.
    #[cfg_attr(feature = "serde", serde(borrow))]
    pub content: Content<'a>,
    /// How long the answer may take, from now on; `None` for [`requests.timeout`](crate::requests::Config::timeout).
    pub timeout: Option<Duration>,
    /// Whether to ask again when the session is lost and it is unknown what became of it, because asking twice does no harm. If not,
    /// it ends [in doubt](crate::requests::End::InDoubt).
    pub again: bool,
}

impl<'a> Ask<'a> {
    /// To do something. It is not asked again if it is in doubt.
    pub fn command(name: &'a str, content: impl Into<Content<'a>>) -> Ask<'a> {
        Ask { form: Form::Command, name, content: content.into(), timeout: None, again: false }
    }

    /// To know something. It is asked again if it is in doubt.
    pub fn query(name: &'a str, content: impl Into<Content<'a>>) -> Ask<'a> {
        Ask { form: Form::Query, name, content: content.into(), timeout: None, again: true }
    }

    /// The same with a time limit of its own.
    #[must_use]
    pub fn within(self, timeout: Duration) -> Ask<'a> {
        Ask { timeout: Some(timeout), ..self }
    }

    /// The same, to be asked again if it is in doubt: doing it twice does no harm.
    #[must_use]
    pub fn idempotent(self) -> Ask<'a> {
        Ask { again: true, ..self }
    }
}

/// What the application says in a dialogue, as plain data: an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Say<'a> {
    /// From now on a dialogue is kept.
    Open,
    /// Something is asked.
    Request(#[cfg_attr(feature = "serde", serde(borrow))] Ask<'a>),
    /// Nobody waits for the answer any more.
    Cancel(RequestId),
    /// There is something to know.
    Event {
        /// What: the application's word for it.
        name: &'a str,
        /// All about it.
        content: Content<'a>,
    },
    /// The good answer to a request of the other end.
    Respond {
        /// Its id.
        request: u32,
        /// The answer.
        content: Content<'a>,
    },
    /// The bad answer to a request of the other end.
    Reject {
        /// Its id.
        request: u32,
        /// What went wrong.
        code: u32,
        /// What went wrong, for people.
        reason: &'a str,
    },
    /// To get what is published on a channel.
    Subscribe(&'a str),
    /// To get it no more.
    Unsubscribe(SubscriptionId),
    /// For everybody who has subscribed to a channel.
    Publish {
        /// Its name.
        channel: &'a str,
        /// What is published.
        content: Content<'a>,
        /// Whether the other end is to confirm it.
        confirmed: bool,
    },
}

/// Why something is not said. Nothing of it has left, and nothing will.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Refused {
    /// No dialogue is kept: it is to be opened first, on a wire that has one.
    NoDialogue,
    /// As many requests wait for an answer as may.
    TooMany {
        /// How many that is: [`requests.pending`](crate::requests::Config::pending).
        limit: u32,
    },
    /// The name is longer than a receiver takes.
    NameTooLong {
        /// How many bytes it may have.
        limit: u8,
    },
    /// The reason is too long.
    ReasonTooLong {
        /// How many bytes it may have: [`Limit::REASON`](crate::wire::native::Limit::REASON).
        limit: u8,
    },
    /// It is longer than [`outbox.message_bytes`](crate::outbox::Config::message_bytes).
    TooLarge,
    /// On the JSON wire: the payload is not JSON.
    NotJson {
        /// The byte at which it goes wrong.
        at: u32,
    },
    /// The outbox is full, and nothing may be evicted for it.
    Full,
    /// No request with this id awaits an answer (any more): it was answered, or for too long not, or its session is gone.
    NotAwaited,
    /// No such subscription is asked for (any more), or no such publish awaits a confirmation.
    NotAsked,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::NoDialogue => f.write_str("no dialogue is kept here"),
            Refused::TooMany { limit } => {
                write!(f, "{limit} requests wait for an answer, and no more may")
            }
            Refused::NameTooLong { limit } => write!(f, "the name is longer than {limit} bytes"),
            Refused::ReasonTooLong { limit } => write!(f, "the reason is longer than {limit} bytes"),
            Refused::TooLarge => f.write_str("it is too large"),
            Refused::NotJson { at } => write!(f, "it is not JSON, from byte {at} on"),
            Refused::Full => f.write_str("the outbox is full"),
            Refused::NotAwaited => f.write_str("no request with this id awaits an answer"),
            Refused::NotAsked => f.write_str("nothing with this id awaits a confirmation"),
        }
    }
}

impl core::error::Error for Refused {}
