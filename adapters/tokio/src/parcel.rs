//! Parts of a dialogue on their way to the application.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::sync::mpsc;

use crate::dialogue::{Asked, Heard};

/// Something for the application, on its way to whoever takes it.
pub(crate) enum Parcel {
    Heard(mpsc::Sender<Heard>, Heard),
    Asked(mpsc::Sender<Asked>, Asked),
    /// It has arrived, or nobody wants it.
    Nothing,
}

impl Parcel {
    /// Delivers it if there is room; else gives it back.
    fn try_deliver(self) -> Option<Parcel> {
        fn attempt<T>(
            to: mpsc::Sender<T>,
            what: T,
            parcel: fn(mpsc::Sender<T>, T) -> Parcel,
        ) -> Option<Parcel> {
            match to.try_send(what) {
                Err(mpsc::error::TrySendError::Full(what)) => Some(parcel(to, what)),
                // Nobody wants it any more.
                Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => None,
            }
        }
        match self {
            Parcel::Heard(to, what) => attempt(to, what, Parcel::Heard),
            Parcel::Asked(to, what) => attempt(to, what, Parcel::Asked),
            Parcel::Nothing => None,
        }
    }

    /// Waits until there is room.
    async fn deliver(self) {
        // An error means that nobody wants it any more.
        match self {
            Parcel::Heard(to, what) => drop(to.send(what).await),
            Parcel::Asked(to, what) => drop(to.send(what).await),
            Parcel::Nothing => {}
        }
    }
}

/// What there was no room for, in the order in which it came.
#[derive(Default)]
pub(crate) struct Unread {
    waiting: VecDeque<Parcel>,
    /// The first one.
    leaving: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Unread {
    /// Delivers it, at once or behind those that wait.
    pub(crate) fn push(&mut self, parcel: Parcel) {
        if self.is_empty() {
            self.waiting.extend(parcel.try_deliver());
        } else {
            self.waiting.push_back(parcel);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.leaving.is_none() && self.waiting.is_empty()
    }

    /// Ready when all of it is delivered.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if let Some(leaving) = &mut self.leaving {
                ready!(leaving.as_mut().poll(cx));
                self.leaving = None;
            }
            let Some(parcel) = self.waiting.pop_front() else { return Poll::Ready(()) };
            self.leaving = Some(Box::pin(parcel.deliver()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;
    use crate::dialogue::Heard;

    #[tokio::test]
    async fn what_comes_while_something_waits_goes_behind_it() {
        let (to, mut heard) = mpsc::channel(1);
        let (other, mut free) = mpsc::channel(1);
        let parcel = |to: &mpsc::Sender<Heard>, code| {
            Parcel::Heard(to.clone(), Heard::Refused { code, reason: String::new() })
        };
        let code = |heard: Option<Heard>| match heard {
            Some(Heard::Refused { code, .. }) => Some(code),
            Some(Heard::Subscribed { .. } | Heard::Published(_)) | None => None,
        };
        let mut unread = Unread::default();
        (1..=3).for_each(|number| unread.push(parcel(&to, number)));
        unread.push(parcel(&other, 4));
        assert!(free.try_recv().is_err(), "the order is kept across subscriptions");
        let all = tokio::spawn(async move {
            let mut codes = Vec::new();
            for _ in 0..3 {
                codes.push(code(heard.recv().await));
            }
            codes.push(code(free.recv().await));
            codes
        });
        poll_fn(|cx| unread.poll(cx)).await;
        assert_eq!(all.await.ok(), Some(vec![Some(1), Some(2), Some(3), Some(4)]));
        assert!(unread.is_empty());
    }
}
