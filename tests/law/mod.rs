//! How often a law is tried, and where the cases that broke it are kept.

use proptest::test_runner::{Config, FileFailurePersistence};

/// So many cases, or as many as `PROPTEST_CASES` says; failures are kept in this file.
pub fn proptest_config(name: &'static str, cases: u32) -> Config {
    let usual = Config::default();
    Config {
        cases: if std::env::var_os("PROPTEST_CASES").is_some() { usual.cases } else { cases },
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(name))),
        ..usual
    }
}
