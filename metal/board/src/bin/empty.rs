//! A program that does nothing: what the others are compared with.
#![no_std]
#![no_main]

#[cortex_m_rt::entry]
fn main() -> ! {
    board::exit(true)
}
