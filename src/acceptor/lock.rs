//! Whom a session opens to: its principal, with a token that is good.

use super::config::Sessions as Config;
use super::principal::Principal;
use super::secret::Secret;
use crate::time::Instant;

/// A secret, and since when it is good.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pass {
    pub(super) secret: Secret,
    /// `None` if it is good for nothing.
    pub(super) issued: Option<Instant>,
}

impl Pass {
    const NONE: Pass = Pass { secret: Secret::new([0; Secret::LEN]), issued: None };

    pub(super) const fn new(secret: Secret, now: Instant) -> Pass {
        Pass { secret, issued: Some(now) }
    }

    fn is_good(&self, config: &Config, now: Instant) -> bool {
        self.issued.is_some_and(|issued| now < issued + config.token_life)
    }
}

/// What is known of who may resume a session.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lock {
    pub(super) principal: Principal,
    /// What the client is known to have.
    current: Pass,
    /// What it was given, or is to be given, and has not used yet.
    next: Pass,
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
    pub(super) fn opens(&self, config: &Config, now: Instant, principal: Principal, secret: &Secret) -> bool {
        let current = self.current.secret.equals(secret) & self.current.is_good(config, now);
        let next = self.next.secret.equals(secret) & self.next.is_good(config, now);
        (current | next) & (self.principal == principal)
    }

    /// The pass that was made last.
    pub(super) const fn latest(&self) -> &Pass {
        if self.next.issued.is_some() { &self.next } else { &self.current }
    }

    /// A client has shown this secret. If it is the next one, the current one is good no more.
    pub(super) fn used(&mut self, secret: &Secret) {
        if self.next.issued.is_some() && self.next.secret.equals(secret) {
            *self = Lock::new(self.principal, self.next);
        }
    }

    /// Another pass. That is due when the latest one has reached half of its life: if there are two, the older one has reached its
    /// end by then, and the client had half a life to receive the other.
    pub(super) const fn renew(&mut self, pass: Pass) {
        *self = Lock { principal: self.principal, current: *self.latest(), next: pass };
    }
}
