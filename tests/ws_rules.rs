//! The table in `docs/rfc6455.md` names tests that exist.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may be blunt")]

use std::fs;
use std::path::Path;

#[test]
fn the_table_of_rules_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = fs::read_to_string(root.join("docs/rfc6455.md")).unwrap();
    let named = table.split('`').skip(1).step_by(2).filter_map(|code| code.split_once("::"));
    let mut count = 0;
    for (file, test) in named.filter(|(file, _)| file.starts_with("ws_") || *file == "backoff") {
        let source = fs::read_to_string(root.join("tests").join(file).with_extension("rs")).expect(file);
        let (before, _) = source.split_once(&format!("fn {test}(")).unwrap_or_default();
        assert!(before.trim_end().ends_with("#[test]"), "{file} has no test {test}");
        count += 1;
    }
    assert!(count > 120, "only {count} tests were found in the table");
}
