//! What a fuzzer found worth keeping is run again by any toolchain.

use std::path::Path;

/// Files of one target, and bytes of each on average.
const MOST: (usize, u64) = (60, 20_000);

#[test]
fn the_corpus_breaks_no_rule() {
    let mut bytes = 0;
    for (name, body) in everlink_fuzz::TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
        let mut files: Vec<_> =
            std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        assert!((1..=MOST.0).contains(&files.len()), "{} files in {}", files.len(), folder.display());
        for file in files {
            // The last one that is shown is the one that fails.
            println!("{}", file.display());
            let data = std::fs::read(&file).unwrap();
            bytes += data.len() as u64;
            body(&data);
        }
    }
    assert!(bytes <= MOST.1 * everlink_fuzz::TARGETS.len() as u64, "{bytes} bytes");
}

/// What a fuzzer cannot be waited for: a few thousand inputs without any sense.
#[test]
fn noise_breaks_no_rule() {
    let mut state = 7_u64;
    let mut noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    for round in 0..500 {
        let data: Vec<u8> = (0..4 * round).map(|_| noise()).collect();
        for (_, body) in everlink_fuzz::TARGETS {
            body(&data);
        }
    }
}
