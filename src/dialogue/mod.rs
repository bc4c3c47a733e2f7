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
use alloc::boxed::Box;

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
    dialogue: Option<Box<Dialogue<P>>>,
    /// What the process before had subscribed to, until a dialogue is kept.
    #[cfg(feature = "alloc")]
    inherited: Box<[Box<str>]>,
    #[cfg(not(feature = "alloc"))]
    payload: core::marker::PhantomData<P>,
}

#[cfg(feature = "alloc")]
impl<P> Desk<P> {
    pub(crate) fn new() -> Desk<P> {
        Desk { dialogue: None, inherited: Box::default() }
    }

    /// The process before had subscribed to these.
    pub(crate) fn inherit<'a>(&mut self, names: impl Iterator<Item = &'a str>) {
        self.inherited = names.map(Box::from).collect();
    }

    /// What the other end may have subscriptions of this end to.
    pub(crate) fn channels(&self) -> impl Iterator<Item = &str> {
        let own = self.get().into_iter().flat_map(Dialogue::channels);
        own.chain(self.inherited.iter().map(AsRef::as_ref))
    }

    /// From now on one is kept. Gives what it inherits.
    pub(crate) fn open(&mut self) -> (&mut Dialogue<P>, Box<[Box<str>]>)
    where
        P: AsRef<[u8]> + Clone + for<'a> From<&'a [u8]>,
    {
        let dialogue = self.dialogue.get_or_insert_with(|| Box::new(Dialogue::new()));
        (dialogue, core::mem::take(&mut self.inherited))
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
    pub(crate) const fn new() -> Desk<P> {
        Desk { payload: core::marker::PhantomData }
    }

    pub(crate) fn inherit<'a>(&mut self, _: impl Iterator<Item = &'a str>) {}

    pub(crate) fn channels(&self) -> impl Iterator<Item = &str> {
        core::iter::empty()
    }

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
