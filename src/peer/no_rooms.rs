//! Without an allocator a server keeps no dialogue.

use core::marker::PhantomData;

use crate::dialogue::Dialogue;
use crate::time::Instant;

/// No dialogue.
#[derive(Debug)]
pub(super) struct Rooms<P>(PhantomData<P>);

#[allow(clippy::unused_self, reason = "as those that an allocator makes possible")]
impl<P> Rooms<P> {
    pub(super) const NONE: Rooms<P> = Rooms(PhantomData);

    pub(super) const fn is_open(&self) -> bool {
        false
    }

    pub(super) const fn get(&self, _: u32) -> Option<&Dialogue<P>> {
        None
    }

    pub(super) const fn get_mut(&mut self, _: u32) -> Option<&mut Dialogue<P>> {
        None
    }

    pub(super) const fn begin(&mut self, _: u32) -> Option<&mut Dialogue<P>> {
        None
    }

    pub(super) const fn rejoin(&mut self, _: u32, _: &str) {}

    pub(super) fn joined(&self, _: u32) -> impl Iterator<Item = &str> {
        core::iter::empty()
    }

    pub(super) const fn leave_all(&mut self, _: u32) {}

    pub(super) const fn remove(&mut self, _: u32) -> Option<Dialogue<P>> {
        None
    }

    pub(super) const fn watch(&mut self, _: u32) {}

    pub(super) const fn deadline(&self) -> Option<Instant> {
        None
    }

    pub(super) fn due(&mut self, _: Instant) -> impl Iterator<Item = u32> + use<P> {
        core::iter::empty()
    }
}
