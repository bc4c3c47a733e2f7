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

// Nothing defines this. A program that could panic holds a call of the handler, and so does not link.
unsafe extern "C" {
    safe fn this_program_can_panic() -> !;
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    this_program_can_panic()
}
