//! One direction of a connection, as TCP treats it.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use super::world::Path;
use crate::rng::Rng;
use crate::time::Instant;

/// The first retransmission comes after this, the next ones after twice the time each (RFC 6298, section 5.5).
const FIRST_RETRY: Duration = Duration::from_millis(200);
const LAST_RETRY: Duration = Duration::from_secs(120);

/// What travels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Packet {
    Text(Vec<u8>),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    /// A close frame, then the end of the stream.
    Close {
        code: u16,
    },
    /// The end of the stream without a word, or a reset.
    End,
}

impl Packet {
    /// Bytes of payload.
    pub(super) const fn len(&self) -> usize {
        match self {
            Packet::Text(data) | Packet::Binary(data) | Packet::Ping(data) | Packet::Pong(data) => data.len(),
            Packet::Close { .. } | Packet::End => 0,
        }
    }
}

/// A stream of packets in order.
#[derive(Debug, Default)]
pub(super) struct Stream {
    /// With the time of arrival, or `None` for what was lost and is to be sent again.
    packets: VecDeque<(Option<Instant>, Packet)>,
    last_arrival: Option<Instant>,
    /// While something is lost: when it is sent again, and how long it takes until it is sent once more.
    retry: Option<(Instant, Duration)>,
    /// Bytes that have not arrived.
    pub(super) outstanding: usize,
}

impl Stream {
    pub(super) fn send(&mut self, now: Instant, packet: Packet, path: &Path, rng: &mut Rng) {
        self.outstanding += packet.len();
        let arrival = (path.up && self.retry.is_none()).then(|| self.arrival(now, path, rng));
        self.packets.push_back((arrival, packet));
        if arrival.is_none() && self.retry.is_none() {
            self.retry = Some((now + FIRST_RETRY, FIRST_RETRY * 2));
        }
    }

    fn arrival(&mut self, now: Instant, path: &Path, rng: &mut Rng) -> Instant {
        let arrival = now + path.latency + rng.between(Duration::ZERO, path.jitter);
        let arrival = self.last_arrival.map_or(arrival, |last| arrival.max(last));
        self.last_arrival = Some(arrival);
        arrival
    }

    /// The path is gone: what is on its way is lost.
    pub(super) fn path_down(&mut self, now: Instant) {
        let mut lost = false;
        for (arrival, _) in &mut self.packets {
            lost |= arrival.take_if(|arrival| *arrival > now).is_some();
        }
        if lost && self.retry.is_none() {
            self.retry = Some((now + FIRST_RETRY, FIRST_RETRY * 2));
        }
    }

    /// When something happens on it.
    pub(super) fn next(&self) -> Option<Instant> {
        let arrival = self.packets.front().and_then(|(arrival, _)| *arrival);
        [arrival, self.retry.map(|(at, _)| at)].into_iter().flatten().min()
    }

    /// What has arrived by `now`, one at a time; also sends again what was lost, when that is due.
    pub(super) fn arrived(&mut self, now: Instant, path: &Path, rng: &mut Rng) -> Option<Packet> {
        if let Some((at, wait)) = self.retry.filter(|(at, _)| *at <= now) {
            if path.up {
                self.retry = None;
                for index in 0..self.packets.len() {
                    if self.packets.get(index).is_some_and(|(arrival, _)| arrival.is_none()) {
                        let arrival = self.arrival(at, path, rng);
                        if let Some((lost, _)) = self.packets.get_mut(index) {
                            *lost = Some(arrival);
                        }
                    }
                }
            } else {
                self.retry = Some((at + wait, (wait * 2).min(LAST_RETRY)));
            }
        }
        let (_, packet) = self.packets.pop_front_if(|(arrival, _)| arrival.is_some_and(|at| at <= now))?;
        self.outstanding -= packet.len();
        Some(packet)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// Nobody is there any more to send it.
    pub(super) fn clear(&mut self) {
        *self = Stream::default();
    }
}
