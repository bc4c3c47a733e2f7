//! What the connection's task tells: the watchers, the observer, and in any case its end.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use everlink::link::{Action, State};
use everlink::metrics::Report;
use everlink::outbox::Settlement;
use everlink::quality::Quality;
use tokio::sync::watch;

use crate::client::{Inner, Shared};
use crate::clock::Clock;
use crate::options::{Notice, Observer};

/// What there was to show when the link was looked at.
#[derive(Default)]
pub(crate) struct Sight {
    displaced: Vec<Settlement>,
    renewed: Option<(State, Quality, Report)>,
}

/// What the connection's task tells. Dropped with the task, whether that returned, panicked or was dropped with its runtime.
pub(crate) struct Watched {
    shared: Arc<Shared>,
    clock: Clock,
    state: watch::Sender<State>,
    quality: watch::Sender<Quality>,
    report: watch::Sender<Report>,
    /// What the watchers were shown last.
    shown: (State, Quality),
    observer: Option<Observer>,
    /// Something happened that the numbers should show.
    renew: bool,
}

impl Watched {
    pub(crate) fn new(shared: Arc<Shared>, clock: Clock, observer: Option<Observer>) -> Watched {
        let (state, quality, report) = {
            let link = &shared.lock().link;
            (link.state(), link.quality(), link.report(clock.now()))
        };
        Watched {
            shared,
            clock,
            state: watch::Sender::new(state),
            quality: watch::Sender::new(quality),
            report: watch::Sender::new(report),
            shown: (state, quality),
            observer,
            renew: false,
        }
    }

    pub(crate) fn receivers(
        &self,
    ) -> (watch::Receiver<State>, watch::Receiver<Quality>, watch::Receiver<Report>) {
        (self.state.subscribe(), self.quality.subscribe(), self.report.subscribe())
    }

    /// Tells the observer, for whom the watchers are up to date.
    pub(crate) fn tell(&mut self, notice: &Notice) {
        if matches!(notice, Notice::Action(Action::Flush { .. } | Action::Settled(_))) {
            self.tell_displaced();
        } else {
            self.renew = true;
            self.publish();
        }
        if let Some(observer) = &mut self.observer {
            observer(self.clock.now(), notice);
        }
    }

    /// Whether anybody wants to know of each message.
    pub(crate) const fn is_observed(&self) -> bool {
        self.observer.is_some()
    }

    fn tell_displaced(&mut self) {
        let displaced = std::mem::take(&mut self.shared.lock().displaced);
        self.observe(displaced);
    }

    fn observe(&mut self, displaced: Vec<Settlement>) {
        if let Some(observer) = &mut self.observer {
            for settlement in displaced {
                observer(self.clock.now(), &Notice::Action(Action::Settled(settlement)));
            }
        }
    }

    /// Brings watchers up to date; some changes of state come without an action.
    pub(crate) fn publish(&mut self) {
        let shared = self.shared.clone();
        let sight = self.look(&mut shared.lock());
        self.show(sight);
    }

    /// What there is to show. It is to be [shown](Watched::show) without the lock.
    pub(crate) fn look(&mut self, inner: &mut Inner) -> Sight {
        let shown = (inner.link.state(), inner.link.quality());
        let renew = std::mem::take(&mut self.renew) || shown != self.shown;
        self.shown = shown;
        let renewed = renew.then(|| (shown.0, shown.1, inner.link.report(self.clock.now())));
        Sight { displaced: std::mem::take(&mut inner.displaced), renewed }
    }

    pub(crate) fn show(&mut self, Sight { displaced, renewed }: Sight) {
        self.observe(displaced);
        if let Some((state, quality, report)) = renewed {
            self.state.send_if_modified(|old| std::mem::replace(old, state) != state);
            self.quality.send_if_modified(|old| std::mem::replace(old, quality) != quality);
            self.report.send_replace(report);
        }
    }
}

impl Drop for Watched {
    /// However the task ended, nobody may wait for it for ever. An observer that panicked is asked no more.
    fn drop(&mut self) {
        self.observer = None;
        self.renew = true;
        let now = self.clock.now();
        // A sink of traces may be what panicked. It will again.
        let _ = catch_unwind(AssertUnwindSafe(|| self.shared.end(now)));
        self.shared.ended();
        self.publish();
    }
}
