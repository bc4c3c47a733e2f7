//! From addresses to one connection, soon after that is possible: over all of them, and over a path that heals meanwhile.
//!
//! ```text
//!   an address      ├── TCP's own SYNs: 0, 1, 3, 7 s ────────────────────────────────────────────►
//!                   │          1 s ├── another ──────────────┤ gives way to the newest
//!                   │            1.5 s ├── another ──────────────┤
//!                   │                2 s ├── another ──────────────┤      … the first that connects is kept
//!   the next one        250 ms ├── the same ─────────────────────────────────────────────────────►
//! ```

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};

/// How long one address may take before the next one is tried beside it (RFC 8305, section 8).
const NEXT_ADDRESS: Duration = Duration::from_millis(250);

/// How long a connection may take before another to the same address is begun beside it: what opens it counts as lost after as long
/// (RFC 6298, section 2.1).
const SLOW: Duration = Duration::from_secs(1);

/// How long until yet another is begun. TCP doubles its own waits, and a path that heals in the middle of one would lie unused for
/// seconds: the others are there to find it after half of one.
const AGAIN: Duration = Duration::from_millis(500);

/// How many connections to one address may be under way: the first, which has all the time that there is on a path that is slow, and
/// the newest of the others, each of which has a second and a half.
const AT_ONCE: usize = 4;

/// Dials the addresses in order, each a little after the one before, and keeps the first that connects. The others end at once.
pub(crate) async fn first<S, F>(
    addresses: Vec<SocketAddr>,
    dial: impl Fn(SocketAddr) -> F + Copy + Send + 'static,
) -> io::Result<S>
where
    S: Send + 'static,
    F: Future<Output = io::Result<S>> + Send + 'static,
{
    let mut attempts = tokio::task::JoinSet::new();
    let mut rest = addresses.into_iter();
    let mut error = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    let mut next = rest.next();
    loop {
        if let Some(address) = next.take() {
            attempts.spawn(again_and_again(move || dial(address)));
        }
        tokio::select! {
            done = attempts.join_next() => match done {
                None => return Err(error),
                Some(Ok(Ok(stream))) => return Ok(stream),
                Some(Ok(Err(failed))) => error = failed,
                Some(Err(failed)) => error = io::Error::other(failed),
            },
            () = tokio::time::sleep(NEXT_ADDRESS), if rest.len() > 0 => {}
        }
        next = rest.next();
    }
}

/// Dials one address until something comes of it. There is no deadline here: the link has one, and drops this.
async fn again_and_again<S, F>(dial: impl Fn() -> F) -> io::Result<S>
where
    F: Future<Output = io::Result<S>>,
{
    let mut again = tokio::time::interval_at(Instant::now() + SLOW, AGAIN);
    // Where this process did not run, there is no burst afterwards.
    again.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut attempts = VecDeque::from([Box::pin(dial())]);
    loop {
        let any = poll_fn(|cx| {
            let done = |(number, attempt): (usize, &mut std::pin::Pin<Box<F>>)| {
                let Poll::Ready(result) = attempt.as_mut().poll(cx) else { return None };
                Some((number, result))
            };
            attempts.iter_mut().enumerate().find_map(done).map_or(Poll::Pending, Poll::Ready)
        });
        let done = tokio::select! {
            biased;
            done = any => Some(done),
            _ = again.tick() => None,
        };
        match done {
            // What the other end said, or what became of the one that has all the time.
            Some((_, Ok(stream))) => return Ok(stream),
            Some((0, Err(error))) => return Err(error),
            Some((_, Err(error))) if error.kind() == io::ErrorKind::ConnectionRefused => return Err(error),
            // Such as no descriptor left: nothing that speaks against the others.
            Some((number, Err(_))) => drop(attempts.remove(number)),
            None => {
                if attempts.len() == AT_ONCE {
                    attempts.remove(1);
                }
                attempts.push_back(Box::pin(dial()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use tokio::time::sleep;

    use super::*;

    const ROUND_TRIP: Duration = Duration::from_millis(40);

    /// Counts what has begun and what is under way.
    #[derive(Clone, Default)]
    struct Count {
        begun: Arc<AtomicUsize>,
        /// Each attempt holds one of these.
        under_way: Arc<()>,
    }

    impl Count {
        fn begin(&self) -> (usize, Arc<()>) {
            (self.begun.fetch_add(1, Relaxed), Arc::clone(&self.under_way))
        }

        fn begun(&self) -> usize {
            self.begun.load(Relaxed)
        }

        fn under_way(&self) -> usize {
            Arc::strong_count(&self.under_way) - 1
        }
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// How long it took.
    async fn timed<T>(work: impl Future<Output = T>) -> (T, Duration) {
        let begun = Instant::now();
        let done = tokio::time::timeout(Duration::from_secs(60), work).await;
        (done.expect("it ends"), begun.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_path_that_heals_is_found_within_half_a_second() {
        for healed in (0..20_000).step_by(70).map(ms) {
            let (begun, count) = (Instant::now(), Count::default());
            let dial = || async {
                let (_, _held) = count.begin();
                // TCP's own next try is too late for this.
                if begun.elapsed() < healed {
                    std::future::pending::<()>().await;
                }
                assert!(count.under_way() <= 4);
                sleep(ROUND_TRIP).await;
                Ok(())
            };
            let (done, took) = timed(again_and_again(dial)).await;
            done.unwrap();
            let latest = (healed + ms(500)).max(ms(1000)) + ROUND_TRIP;
            assert!(took >= healed + ROUND_TRIP && took <= latest, "{healed:?}: {took:?}");
            assert_eq!(count.under_way(), 0, "{healed:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_path_that_answers_in_time_is_asked_once() {
        let count = Count::default();
        let dial = || async {
            count.begin();
            sleep(ms(990)).await;
            Ok(())
        };
        assert_eq!(timed(again_and_again(dial)).await.1, ms(990));
        assert_eq!(count.begun(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_path_that_is_slower_than_every_other_attempt_has_all_the_time() {
        let count = Count::default();
        let dial = || async {
            let (number, _held) = count.begin();
            sleep(ms(7000)).await;
            Ok(number)
        };
        let (first, took) = timed(again_and_again(dial)).await;
        assert_eq!((first.unwrap(), took), (0, ms(7000)));
        assert_eq!((count.begun(), count.under_way()), (13, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_an_answer_and_a_lack_here_is_none() {
        for (kind, expected) in [
            (io::ErrorKind::ConnectionRefused, (Err(io::ErrorKind::ConnectionRefused), ms(1040))),
            (io::ErrorKind::Other, (Ok(0), ms(3000))),
        ] {
            let count = Count::default();
            let dial = || async {
                match count.begin().0 {
                    0 => sleep(ms(3000)).await,
                    _ => {
                        sleep(ROUND_TRIP).await;
                        return Err(kind.into());
                    }
                }
                Ok(0)
            };
            let (done, took) = timed(again_and_again(dial)).await;
            assert_eq!((done.map_err(|error| error.kind()), took), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_address_is_dialled_beside_one_that_is_silent_and_at_once_after_one_that_refuses() {
        let address = |last| SocketAddr::from(([192, 0, 2, last], 9));
        for (silent, expected) in [(true, NEXT_ADDRESS + ROUND_TRIP), (false, ROUND_TRIP * 2)] {
            let count: &_ = Box::leak(Box::new(Count::default()));
            let dial = move |at: SocketAddr| async move {
                let _held = count.begin();
                if at == address(1) && silent {
                    std::future::pending::<()>().await;
                }
                sleep(ROUND_TRIP).await;
                if at == address(1) { Err(io::ErrorKind::ConnectionRefused.into()) } else { Ok(at) }
            };
            let (done, took) = timed(first(vec![address(1), address(2)], dial)).await;
            assert_eq!((done.unwrap(), took), (address(2), expected), "silent: {silent}");
            sleep(ms(1)).await;
            assert_eq!(count.under_way(), 0, "silent: {silent}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_without_an_address_and_one_whose_addresses_all_refuse_are_errors() {
        let refuse = |_: SocketAddr| async { Err::<(), _>(io::ErrorKind::ConnectionRefused.into()) };
        let some = vec![SocketAddr::from(([192, 0, 2, 1], 9)); 3];
        assert_eq!(first(Vec::new(), refuse).await.unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(first(some, refuse).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }
}
