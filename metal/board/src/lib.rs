//! What the programs have in common: how they end, and what they may not link.
#![no_std]

use core::panic::PanicInfo;

use cortex_m_semihosting::debug;

/// Ends the program, and QEMU with it.
pub fn exit(success: bool) -> ! {
    debug::exit(if success { debug::EXIT_SUCCESS } else { debug::EXIT_FAILURE });
    loop {
        core::hint::spin_loop();
    }
}

/// The bytes of stack that were ever used: those below the top whose paint is gone.
#[cfg(feature = "memory")]
#[must_use]
pub fn stack() -> usize {
    unsafe extern "C" {
        static _stack_end: u32;
        static _stack_start: u32;
    }
    let (bottom, top) = (&raw const _stack_end, &raw const _stack_start);
    let words = (top as usize - bottom as usize) / size_of::<u32>();
    let painted = |word: &usize| {
        // SAFETY: all of it is RAM, and nothing else runs.
        let word = unsafe { bottom.add(*word).read_volatile() };
        word == cortex_m_rt::STACK_PAINT_VALUE
    };
    (words - (0..words).take_while(painted).count()) * size_of::<u32>()
}

// Nothing defines this. A program that could panic holds a call of the handler, and so does not link.
unsafe extern "C" {
    safe fn this_program_can_panic() -> !;
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    this_program_can_panic()
}
