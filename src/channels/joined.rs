//! Which channels one client of a server has subscribed to.

use core::num::NonZeroU32;

use super::{Config, RefusedReason};

/// The channels that one client has subscribed to, by the numbers that the server has given them. For the server's end.
///
/// A slot is a `u32`; costs are O(channels that it has subscribed to).
///
/// ```
/// use core::num::NonZeroU32;
/// use everlink::channels::{Config, Joined, RefusedReason};
///
/// let config = Config { subscriptions: 1, ..Config::default() };
/// let (one, two) = (NonZeroU32::new(1).unwrap(), NonZeroU32::new(2).unwrap());
/// let mut joined = Joined::new([0; 8]);
/// assert_eq!(joined.join(&config, one), Ok(true));
/// assert_eq!(joined.join(&config, one), Ok(false)); // it has already
/// assert_eq!(joined.join(&config, two), Err(RefusedReason::TooMany { limit: 1 }));
/// assert!(joined.leave(one));
/// assert_eq!(joined.iter().count(), 0);
/// ```
#[derive(Clone, Debug)]
pub struct Joined<S> {
    slots: S,
    len: u32,
}

#[cfg(feature = "alloc")]
impl Joined<alloc::boxed::Box<[u32]>> {
    /// Makes room for one more, if there may be more and there is none: twice as many slots as before, at most `most`.
    pub fn grow(&mut self, most: u32) {
        let slots = self.slots.len();
        if self.len as usize == slots && slots < most as usize {
            let grown = slots.saturating_mul(2).max(4).min(most as usize);
            let old = self.slots.iter().copied();
            self.slots = old.chain(core::iter::repeat(0)).take(grown).collect();
        }
    }
}

impl<S: AsRef<[u32]> + AsMut<[u32]>> Joined<S> {
    /// None, in these slots: an array, a slice, a box or a vector.
    #[must_use]
    pub const fn new(slots: S) -> Joined<S> {
        Joined { slots, len: 0 }
    }

    /// It subscribes. False if it had already, which is no error.
    ///
    /// # Errors
    /// If it has subscribed to as many as it may.
    pub fn join(&mut self, config: &Config, number: NonZeroU32) -> Result<bool, RefusedReason> {
        if self.contains(number) {
            return Ok(false);
        }
        let slots = self.slots.as_mut();
        let limit = config.subscriptions.min(u32::try_from(slots.len()).unwrap_or(u32::MAX));
        let free = slots.get_mut(self.len as usize).filter(|_| self.len < limit);
        *free.ok_or(RefusedReason::TooMany { limit })? = number.get();
        self.len += 1;
        Ok(true)
    }

    /// It unsubscribes. False if it had not subscribed.
    pub fn leave(&mut self, number: NonZeroU32) -> bool {
        let used = self.slots.as_mut().get_mut(..self.len as usize).unwrap_or_default();
        let Some(last) = used.len().checked_sub(1) else { return false };
        let Some(index) = used.iter().position(|&joined| joined == number.get()) else { return false };
        used.swap(index, last);
        self.len -= 1;
        true
    }

    /// Whether it gets what is published on this channel.
    #[must_use]
    pub fn contains(&self, number: NonZeroU32) -> bool {
        self.iter().any(|joined| joined == number)
    }

    /// All of them, in no particular order: to leave them when the session ends.
    pub fn iter(&self) -> impl Iterator<Item = NonZeroU32> {
        let used = self.slots.as_ref().get(..self.len as usize).unwrap_or_default();
        used.iter().copied().filter_map(NonZeroU32::new)
    }
}
