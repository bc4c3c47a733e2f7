//! Shows the history that a file for `link_ops` stands for:
//! `cargo run --manifest-path fuzz/Cargo.toml --no-default-features --example history -- FILE`

fn main() {
    let file = std::env::args().nth(1).expect("a file");
    let data = std::fs::read(&file).expect("a file that can be read");
    let (question, history) = everlink_fuzz::link_ops::read(&data).expect("enough bytes for a history");
    println!("seed {}\n{:#?}\n{question:?}", history.seed, history.config);
    for step in &history.steps {
        println!("{step:?}");
    }
}
