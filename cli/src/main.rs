//! everlink on the command line.
fn main() {}
