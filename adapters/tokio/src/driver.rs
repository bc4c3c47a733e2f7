//! The loop that drives a link, and the I/O that it asks for. It decides nothing.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use everlink::link::{Action, Delivery, Epoch, Input, Next};
use everlink::time::Instant;
use tokio::sync::mpsc;
use tokio::time::Sleep;

use crate::client::{Received, Shared};
use crate::clock::{Clock, SleepWatch};
use crate::open::{Opener, Opening};
use crate::options::Notice;
use crate::socket::{Socket, SocketEvent};
use crate::watched::Watched;

/// Something that happened; an [`Input`] with its bytes owned.
enum Happened {
    Socket(Epoch, SocketEvent),
    Suspended(Duration),
    WallClock(Duration),
    /// The deadline came, or the application did something to the link.
    Tick,
}

impl Happened {
    fn as_input(&self) -> Input<'_> {
        match self {
            Happened::Socket(epoch, event) => Input::Socket(*epoch, event.as_event()),
            Happened::Suspended(slept) => Input::Suspended(*slept),
            Happened::WallClock(since_1970) => Input::WallClock(*since_1970),
            Happened::Tick => Input::Tick,
        }
    }
}

/// A socket, or what is to become one.
enum Carrier {
    Opening(Opening),
    Open(Box<Socket>),
}

/// Everything outside the link.
pub(crate) struct Io {
    opener: Opener,
    messages: mpsc::Sender<Received>,
    /// A message for which there was no room, on its way to the application: nothing is read until it has arrived.
    unread: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    sockets: Vec<(Epoch, Carrier)>,
    happened: VecDeque<Happened>,
    watched: Watched,
    clock: Clock,
    slept: SleepWatch,
    sleep: Pin<Box<Sleep>>,
}

impl Io {
    pub(crate) fn new(
        opener: Opener,
        messages: mpsc::Sender<Received>,
        watched: Watched,
        clock: Clock,
    ) -> Io {
        let sleep = Box::pin(tokio::time::sleep(Duration::ZERO));
        Io {
            opener,
            messages,
            unread: None,
            sockets: Vec::new(),
            happened: VecDeque::new(),
            watched,
            clock,
            slept: SleepWatch::new(),
            sleep,
        }
    }

    /// The loop. It ends when the connection was closed by its owner and its sockets are gone.
    pub(crate) async fn run(mut self, shared: Arc<Shared>) {
        self.happened.push_back(wall_clock());
        loop {
            let next = shared.lock().link.poll();
            let deadline = match next {
                Next::Do(action) => {
                    self.perform(action, &shared);
                    continue;
                }
                Next::Wait(instant) => Some(instant),
                Next::Idle => None,
            };
            self.watched.publish();
            let Some(happened) = self.next(deadline, &shared).await else { return };
            self.announce(&happened);
            for delivery in shared.lock().link.handle(self.clock.now(), happened.as_input()) {
                self.deliver(delivery, &happened);
            }
        }
    }

    fn perform(&mut self, action: Action, shared: &Shared) {
        match action {
            Action::Open { epoch, transport: _, attempt } => {
                self.sockets.push((epoch, Carrier::Opening(self.opener.open(attempt))));
            }
            Action::Abandon { epoch } => self.sockets.retain(|(other, _)| *other != epoch),
            Action::Close { epoch, code } => self.with(epoch, |socket| socket.close(code)),
            Action::Ping { epoch, nonce } => {
                self.with(epoch, |socket| socket.write_heartbeat(shared.lock().link.ping_frame(nonce)));
            }
            Action::Pong { epoch } => {
                self.with(epoch, |socket| socket.write_heartbeat(shared.lock().link.pong_frame()));
            }
            Action::Flush { epoch } => self.with(epoch, |socket| {
                let link = &mut shared.lock().link;
                while socket.has_room()
                    && let Some(frame) = link.pull(epoch)
                {
                    socket.write_message(frame);
                }
            }),
            Action::Settled(settlement) => {
                shared.lock().settle(settlement);
                shared.room.notify_waiters();
            }
            Action::Status { .. } | Action::Quality { .. } | Action::RetryScheduled { .. } => {}
        }
        self.watched.tell(&Notice::Action(action));
    }

    fn with(&mut self, epoch: Epoch, act: impl FnOnce(&mut Socket)) {
        let open = self.sockets.iter_mut().find_map(|(other, carrier)| match carrier {
            Carrier::Open(socket) if *other == epoch => Some(socket),
            Carrier::Open(_) | Carrier::Opening(_) => None,
        });
        if let Some(socket) = open {
            act(socket);
        }
    }

    fn announce(&mut self, happened: &Happened) {
        if let Happened::Socket(epoch, event) = happened
            && let Some(notice) = event.as_notice(*epoch)
        {
            self.watched.tell(&notice);
        }
    }

    /// Hands a message to the application, or keeps it and stops reading until there is room.
    fn deliver(&mut self, delivery: Delivery<'_>, happened: &Happened) {
        let (Delivery::Message { kind, data }, Happened::Socket(epoch, SocketEvent::Frame(_, frame))) =
            (delivery, happened)
        else {
            return;
        };
        let received = Received { kind, data: frame.slice_ref(data) };
        if let Err(mpsc::error::TrySendError::Full(received)) = self.messages.try_send(received) {
            let messages = self.messages.clone();
            // An error means that the application does not want messages any more.
            self.unread = Some(Box::pin(async move { drop(messages.send(received).await) }));
            self.happened.push_back(Happened::Socket(*epoch, SocketEvent::Paused));
        }
    }

    /// Waits for the next thing to happen; what sockets have to say comes before the passing of time. `None` when nothing can
    /// ever happen again.
    async fn next(&mut self, deadline: Option<Instant>, shared: &Shared) -> Option<Happened> {
        if deadline.is_none() && self.happened.is_empty() && self.sockets.is_empty() && shared.lock().closed {
            return None;
        }
        if let Some(deadline) = deadline.map(|deadline| self.clock.at(deadline))
            && self.sleep.deadline() != deadline
        {
            self.sleep.as_mut().reset(deadline);
        }
        let changed = shared.changed.notified();
        tokio::pin!(changed);
        let happened = poll_fn(|cx| {
            if let Poll::Ready(happened) = self.poll_sockets(cx) {
                return Poll::Ready(happened);
            }
            if changed.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Happened::Tick);
            }
            match deadline {
                Some(_) => self.sleep.as_mut().poll(cx).map(|()| Happened::Tick),
                None => Poll::Pending,
            }
        })
        .await;
        let Some(slept) = self.slept.check() else { return Some(happened) };
        self.happened.push_front(happened);
        self.happened.push_front(wall_clock());
        Some(Happened::Suspended(slept))
    }

    fn poll_sockets(&mut self, cx: &mut Context<'_>) -> Poll<Happened> {
        if let Some(sent) = &mut self.unread
            && sent.as_mut().poll(cx).is_ready()
        {
            self.unread = None;
            let open = self.sockets.iter().filter(|(_, carrier)| matches!(carrier, Carrier::Open(_)));
            self.happened.extend(open.map(|(epoch, _)| Happened::Socket(*epoch, SocketEvent::Resumed)));
        }
        if let Some(happened) = self.happened.pop_front() {
            return Poll::Ready(happened);
        }
        let may_read = self.unread.is_none();
        for index in 0..self.sockets.len() {
            let (epoch, carrier) = &mut self.sockets[index];
            let epoch = *epoch;
            let event = match carrier {
                Carrier::Open(socket) => socket.poll_event(cx, may_read),
                Carrier::Opening(opening) => opening.poll(cx).map(|opened| match opened {
                    Ok(socket) => {
                        *carrier = Carrier::Open(Box::new(socket));
                        if !may_read {
                            self.happened.push_back(Happened::Socket(epoch, SocketEvent::Paused));
                        }
                        SocketEvent::Opened
                    }
                    Err((failure, detail)) => SocketEvent::Failed(failure, detail),
                }),
            };
            if let Poll::Ready(event) = event {
                if matches!(event, SocketEvent::Closed { .. } | SocketEvent::Failed(..)) {
                    self.end(index);
                }
                return Poll::Ready(Happened::Socket(epoch, event));
            }
        }
        Poll::Pending
    }

    /// A socket has said its last; the closing handshake may still be completed behind the scenes.
    fn end(&mut self, index: usize) {
        if let (_, Carrier::Open(socket)) = self.sockets.swap_remove(index)
            && socket.owes_farewell()
        {
            tokio::spawn(socket.farewell());
        }
    }
}

fn wall_clock() -> Happened {
    Happened::WallClock(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}
