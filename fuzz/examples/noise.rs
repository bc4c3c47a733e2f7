fn main() {
    let mut state: u64 = std::env::args().nth(1).unwrap().parse().unwrap();
    let mut next = || { state ^= state << 13; state ^= state >> 7; state ^= state << 17; state };
    let end = std::time::Instant::now() + std::time::Duration::from_secs(150);
    let mut count = 0u64;
    while std::time::Instant::now() < end {
        let len = 200 + (next() % 1500) as usize;
        let mut data: Vec<u8> = (0..len).map(|_| (next() >> 24) as u8).collect();
        // question: 4 bytes; setup: mode style candidate policy jitter messages attempts bits
        data[11] |= 8;
        if next() % 2 == 0 { data[11] |= 16; }
        let copy = data.clone();
        if std::panic::catch_unwind(move || everlink_fuzz::link_ops(&copy)).is_err() {
            std::fs::write(format!("/tmp/cg/crash-{count}"), &data).unwrap(); println!("crash {count}"); break;
        }
        count += 1;
    }
    println!("{count} histories");
}
