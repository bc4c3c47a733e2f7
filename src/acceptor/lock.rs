//! Whom a session opens to: its principal, with a token that is good.

use super::config::Sessions as Config;
use super::principal::Principal;
use super::secret::Secret;
use crate::time::{Instant, micros};

/// A secret, and until when it is good.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pass {
    pub(crate) secret: Secret,
    /// `None` if it is good for nothing.
    pub(crate) until: Option<Instant>,
}

impl Pass {
    pub(crate) const NONE: Pass = Pass { secret: Secret::new([0; Secret::LEN]), until: None };

    /// A new one.
    pub(super) fn new(config: &Config, now: Instant, secret: Secret) -> Pass {
        Pass { secret, until: Some(now + config.token_life) }
    }

    fn is_good(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// When it has reached half of its life.
    pub(super) fn half(&self, config: &Config) -> Option<Instant> {
        let half = micros(config.token_life / 2);
        Some(Instant::from_micros(self.until?.micros().saturating_sub(half)))
    }
}

/// What is known of who may resume a session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lock {
    pub(crate) principal: Principal,
    /// What the client is known to have.
    pub(crate) current: Pass,
    /// What it was given, or is to be given, and has not used yet.
    pub(crate) next: Pass,
}

impl Lock {
    pub(super) const OPEN_TO_NOBODY: Lock =
        Lock { principal: Principal::ANYONE, current: Pass::NONE, next: Pass::NONE };

    pub(super) const fn new(principal: Principal, pass: Pass) -> Lock {
        Lock { principal, current: pass, next: Pass::NONE }
    }

    /// From now on it opens to nobody.
    pub(super) const fn shut(&mut self) {
        *self = Lock::new(self.principal, Pass::NONE);
    }

    /// Both secrets are compared, and to their ends, whatever is wrong: the time that it takes tells nothing.
    pub(super) fn opens(&self, now: Instant, principal: Principal, secret: &Secret) -> bool {
        let current = self.current.secret.equals(secret) & self.current.is_good(now);
        let next = self.next.secret.equals(secret) & self.next.is_good(now);
        (current | next) & (self.principal == principal)
    }

    /// The pass that was made last.
    pub(super) const fn latest(&self) -> &Pass {
        if self.next.until.is_some() { &self.next } else { &self.current }
    }

    /// A client has shown this secret. If it is the next one, the current one is good no more.
    pub(super) fn used(&mut self, secret: &Secret) {
        if self.next.until.is_some() && self.next.secret.equals(secret) {
            *self = Lock::new(self.principal, self.next);
        }
    }

    /// Another pass. That is due when the latest one has reached half of its life: if there are two, the older one has reached its
    /// end by then, and the client had half a life to receive the other.
    pub(super) const fn renew(&mut self, pass: Pass) {
        *self = Lock { principal: self.principal, current: *self.latest(), next: pass };
    }
}
