//! The hour on a microcontroller. With the feature `trace`, the trace is what it writes to the host's stdout.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use cortex_m_semihosting::hio;
use everlink::outbox::Slot;
use script::{Payload, story};

#[entry]
fn main() -> ! {
    static mut SLOTS: [Slot<Payload>; story::MESSAGES] = [const { Slot::EMPTY }; story::MESSAGES];
    let Ok(mut host) = hio::hstdout() else { board::exit(false) };
    let mut complete = true;
    let counts = script::hour(SLOTS, |part| complete &= host.write_all(part).is_ok());
    #[cfg(feature = "memory")]
    report();
    board::exit(complete && counts.messages_sent.get() > 0)
}

/// How much memory the hour took.
#[cfg(feature = "memory")]
fn report() {
    use core::fmt::Write;

    use everlink::link::Link;

    let stack = board::stack();
    if let Ok(mut host) = hio::hstderr() {
        let (link, slot) = (size_of::<Link<Payload, [Slot<Payload>; 0]>>(), size_of::<Slot<Payload>>());
        let _ = writeln!(host, "link {link} B, slot {slot} B, stack {stack} B");
    }
}
