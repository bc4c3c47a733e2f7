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
    memory::report();
    board::exit(complete && counts.messages_sent.get() > 0)
}

/// How much memory the hour took.
#[cfg(feature = "memory")]
mod memory {
    use core::fmt::Write;

    use cortex_m_rt::STACK_PAINT_VALUE;
    use everlink::link::Link;
    use everlink::outbox::Slot;
    use script::Payload;

    unsafe extern "C" {
        static _stack_end: u32;
        static _stack_start: u32;
    }

    /// The bytes of stack that were ever used: those below the top whose paint is gone.
    fn stack() -> usize {
        let (bottom, top) = (&raw const _stack_end, &raw const _stack_start);
        let words = (top as usize - bottom as usize) / size_of::<u32>();
        // SAFETY: all of it is RAM, and nothing else runs.
        let painted = |word: &usize| unsafe { bottom.add(*word).read_volatile() } == STACK_PAINT_VALUE;
        (words - (0..words).take_while(painted).count()) * size_of::<u32>()
    }

    pub fn report() {
        let stack = stack();
        if let Ok(mut host) = cortex_m_semihosting::hio::hstderr() {
            let (link, slot) = (size_of::<Link<Payload, [Slot<Payload>; 0]>>(), size_of::<Slot<Payload>>());
            let _ = writeln!(host, "link {link} B, slot {slot} B, stack {stack} B");
        }
    }
}
