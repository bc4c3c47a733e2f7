//! The table of pains in `docs/testing.md` is complete, and each test that it names exists and bears the number.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may be blunt")]

use std::fs;
use std::path::Path;

/// How many there are.
const PAINS: usize = 17;

/// Whether the comments and attributes right above this test have this number.
fn bears(source: &str, test: &str, pain: usize) -> bool {
    let (above, _) = source.split_once(&format!("fn {test}(")).unwrap_or_else(|| panic!("no test {test}"));
    let lines = above.lines().rev().skip(1).map(str::trim);
    lines
        .take_while(|line| line.starts_with("//") || line.starts_with('#'))
        .filter_map(|line| line.strip_prefix("// "))
        .any(|line| line.split(", ").any(|words| words == format!("pain {pain}")))
}

#[test]
fn each_pain_has_a_test_that_bears_its_number() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = fs::read_to_string(root.join("docs/testing.md")).unwrap();
    let (_, table) = docs.split_once("\n| pain |").expect("there is a table of pains");
    let rows: Vec<_> = table.lines().skip(2).take_while(|line| line.starts_with('|')).collect();
    assert_eq!(rows.len(), PAINS);
    for (index, row) in rows.into_iter().enumerate() {
        let pain = index + 1;
        assert!(row.starts_with(&format!("| {pain} |")), "{row}");
        let named = row.split('`').skip(1).step_by(2).map(|test| test.split_once("::").expect(test));
        let mut count = 0;
        for (file, test) in named {
            let source = fs::read_to_string(root.join("tests").join(file).with_extension("rs")).expect(file);
            assert!(bears(&source, test, pain), "{file}::{test} does not bear the number {pain}");
            count += 1;
        }
        assert!(count > 0, "no test for pain {pain}");
    }
}
