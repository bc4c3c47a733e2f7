//! Stored states that are whole by their check sum, and otherwise anything.

use core::time::Duration;

use crc::{CRC_32_ISO_HDLC, Crc};
use everlink::link::{Config, Event, Input, Link, Next};
use everlink::time::Instant;
use everlink::wire::Wire;

const SUMS: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

/// What is restored is stored the same, and the link that it makes lives, stops, and settles all that it has.
pub fn restore(data: &[u8]) {
    let Some((&bits, body)) = data.split_first() else { return };
    let mut state = head();
    state.extend_from_slice(body);
    state.extend_from_slice(&SUMS.checksum(&state).to_le_bytes());
    let mut config = Config::default();
    config.outbox.messages = 20;
    if bits & 1 == 0 {
        config.wire = Wire::Native(Default::default());
        config.delivery.durable = bits & 2 != 0;
    }
    let restored =
        |state: &[u8]| Link::<Vec<u8>>::restore(config.clone(), 7, state, Instant::ORIGIN, Duration::ZERO);
    let Ok(link) = restored(&state) else { return };
    let stored = |link: &Link<Vec<u8>>| {
        let mut state = Vec::new();
        link.store(Instant::ORIGIN, |part| state.extend_from_slice(part));
        state
    };
    let first = stored(&link);
    let mut link = restored(&first).expect("what a link stores can be restored");
    assert_eq!(stored(&link), first);

    // What the process before had subscribed to is left.
    if bits & 4 != 0 {
        link.open_dialogue();
    }
    let socket = everlink::link::Epoch::new(1).unwrap();
    let (now, later) = (Instant::from_millis(bits.into()), Instant::from_millis(60_000));
    for (at, input) in [
        (now, Input::Tick),
        (now, Input::Start),
        (now, Input::Stored(u64::MAX)),
        (now, Input::Socket(socket, Event::Opened)),
        (now, Input::Stop { linger: Duration::ZERO }),
        // What the socket has may still be written until it is closed, for which it has its time.
        (later, Input::Tick),
    ] {
        link.handle(at, input).for_each(drop);
        let mut bound = 100;
        while let Next::Do(action) = link.poll() {
            bound -= 1;
            assert!(bound > 0, "{action:?} and still no rest");
            if let everlink::link::Action::Flush { epoch } = action {
                while link.pull(epoch).is_some() {}
            }
        }
    }
    assert_eq!(link.report(Instant::ORIGIN).queue.messages, 0, "a stop settles everything");
}

/// How a state of a link begins, in whatever version.
fn head() -> Vec<u8> {
    let mut state = Vec::new();
    let link = Link::<Vec<u8>>::new(Config::default(), 7).expect("the default can work");
    link.store(Instant::ORIGIN, |part| state.extend_from_slice(part));
    state.truncate(b"everlink state ".len() + 2);
    state
}
