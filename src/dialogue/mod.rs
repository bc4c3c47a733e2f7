//! What two ends say to each other beyond messages: requests and their answers, channels. One end of it, on one session.
//!
//! ```text
//!   ask, subscribe, publish ──► tables ──► a message of its own in the outbox ──► …
//!
//!   …  ──► Step::Spoken ──► heard: the tables say whether it is for the application ──► Mark ──► Deliveries
//! ```
//!
//! A client's link and a server's peer each keep one, if they are asked to: the tables of
//! [`requests`](crate::requests) and [`channels`](crate::channels), made when they are first needed, and how to make a payload.
//! Its messages are the machine's own: their ends are not reported, for what became of a request is told by its answer, or by
//! [`Ended`](crate::requests::Ended).

#[cfg(feature = "alloc")]
pub(crate) mod asking;
#[cfg(feature = "alloc")]
mod json;
mod said;
#[cfg_attr(not(feature = "alloc"), expect(dead_code, reason = "without an allocator there is no dialogue"))]
mod tables;

#[cfg(feature = "alloc")]
pub(crate) use json::Foreign;
pub use said::{Ask, Content, Refused, Say};
pub(crate) use tables::{Dialogue, Numbers, Post, Speech};

/// A dialogue, or none. Without an allocator there is none.
#[derive(Debug)]
pub(crate) struct Desk<P> {
    #[cfg(feature = "alloc")]
    dialogue: Option<alloc::boxed::Box<Dialogue<P>>>,
    #[cfg(not(feature = "alloc"))]
    payload: core::marker::PhantomData<P>,
}

#[cfg(feature = "alloc")]
impl<P> Desk<P> {
    pub(crate) const NONE: Desk<P> = Desk { dialogue: None };

    /// From now on one is kept.
    pub(crate) fn open(&mut self)
    where
        P: AsRef<[u8]> + Clone + for<'a> From<&'a [u8]>,
    {
        self.dialogue.get_or_insert_with(|| alloc::boxed::Box::new(Dialogue::new()));
    }

    pub(crate) fn get(&self) -> Option<&Dialogue<P>> {
        self.dialogue.as_deref()
    }

    pub(crate) fn get_mut(&mut self) -> Option<&mut Dialogue<P>> {
        self.dialogue.as_deref_mut()
    }
}

#[cfg(not(feature = "alloc"))]
impl<P> Desk<P> {
    pub(crate) const NONE: Desk<P> = Desk { payload: core::marker::PhantomData };

    pub(crate) const fn get(&self) -> Option<&Dialogue<P>> {
        None
    }

    pub(crate) const fn get_mut(&mut self) -> Option<&mut Dialogue<P>> {
        None
    }
}

impl<P> Desk<P> {
    pub(crate) fn is_open(&self) -> bool {
        self.get().is_some()
    }
}
