//! One direction of one connection, under the faults of the moment.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::Faults;

/// Bytes in flight at most.
const MOST: u64 = 1 << 20;
/// Bytes in flight that are always allowed.
const LEAST: u64 = 4 * 1024;
/// A throttled line has a queue of this time before it, as a cheap router has.
const BUFFERBLOAT: Duration = Duration::from_millis(250);
/// A throttled line sends in portions of this time.
const PORTION: Duration = Duration::from_millis(20);

/// Bytes on their way; the end of the stream where there are none.
struct Segment {
    due: Instant,
    bytes: Vec<u8>,
    written: usize,
}

/// Carries bytes from `input` to `output` until the end of the stream, which it passes on. An error on either side ends
/// it; a stalled pipe notices neither.
pub(super) async fn pipe(
    input: &mut (impl AsyncRead + Unpin),
    output: &mut (impl AsyncWrite + Unpin),
    mut faults: watch::Receiver<Faults>,
) -> io::Result<()> {
    let mut flight: VecDeque<Segment> = VecDeque::new();
    let mut in_flight = 0_u64;
    let mut ended = false;
    let mut last_due = Instant::now();
    // When a throttled line is free again.
    let mut free = last_due;
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let now = Instant::now();
        let Faults { delay, bytes_per_second, stalled } = *faults.borrow_and_update();
        let room = usize::try_from(capacity(delay, bytes_per_second).saturating_sub(in_flight))
            .unwrap_or(usize::MAX);
        let portion = bytes_per_second.map_or(usize::MAX, portion);
        let room = room.min(buffer.len());
        let ready_at = flight.front().map(|segment| match bytes_per_second {
            Some(_) => segment.due.max(free),
            None => segment.due,
        });
        let ready = ready_at.is_some_and(|at| at <= now);
        let wait = ready_at.unwrap_or(now);
        let head = flight.front().map_or(&[][..], |head| &head.bytes[head.written..]);
        let head = &head[..head.len().min(portion)];
        tokio::select! {
            // First, so that a fault holds from the moment when it is set.
            biased;
            changed = faults.changed() => {
                if changed.is_err() {
                    return Err(io::ErrorKind::ConnectionReset.into());
                }
            }
            written = write_some(output, head), if ready && !stalled => {
                let written = written?;
                if let Some(rate) = bytes_per_second {
                    free = free.max(now) + time_for(written, rate);
                }
                in_flight -= written as u64;
                let Some(segment) = flight.front_mut() else { continue };
                segment.written += written;
                if segment.bytes.is_empty() {
                    return output.shutdown().await;
                }
                if segment.written == segment.bytes.len() {
                    flight.pop_front();
                }
            }
            () = sleep_until(wait), if ready_at.is_some() && !ready && !stalled => {}
            read = input.read(&mut buffer[..room]), if room > 0 && !ended && !stalled => {
                let read = read?;
                ended = read == 0;
                // A shorter delay must not let bytes overtake others.
                last_due = last_due.max(Instant::now() + delay);
                in_flight += read as u64;
                flight.push_back(Segment { due: last_due, bytes: buffer[..read].to_vec(), written: 0 });
            }
        }
    }
}

/// Writes some of `bytes`; of an empty slice, nothing. Loses nothing when dropped before it is ready.
async fn write_some(output: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<usize> {
    if bytes.is_empty() {
        return Ok(0);
    }
    match output.write(bytes).await? {
        0 => Err(io::ErrorKind::WriteZero.into()),
        written => Ok(written),
    }
}

/// Bytes that may be in flight: what the line holds and a short queue before it.
fn capacity(delay: Duration, bytes_per_second: Option<u64>) -> u64 {
    bytes_per_second.map_or(MOST, |rate| {
        let millis = u64::try_from((delay + BUFFERBLOAT).as_millis()).unwrap_or(u64::MAX);
        (rate.saturating_mul(millis) / 1000).clamp(LEAST, MOST)
    })
}

fn portion(rate: u64) -> usize {
    usize::try_from(rate.saturating_mul(PORTION.as_millis() as u64) / 1000).unwrap_or(usize::MAX).max(1)
}

fn time_for(bytes: usize, rate: u64) -> Duration {
    Duration::from_nanos((bytes as u64).saturating_mul(1_000_000_000) / rate)
}
