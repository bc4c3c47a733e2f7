//! Tells the linker where memory is, and which program may link although the compiler sees a panic in it.

fn main() {
    println!("cargo:rerun-if-changed=memory.x");
    println!("cargo:rustc-link-search={}", std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    println!("cargo:rustc-link-arg-bins=-Tlink.x");
    // A panic is then a jump to nowhere, and the program hangs.
    println!("cargo:rustc-link-arg-bin=carried=--defsym=this_program_can_panic=0");
}
