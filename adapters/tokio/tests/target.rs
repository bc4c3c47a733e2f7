//! Targets: which URLs and headers are taken, and that nothing secret is ever shown.

use everlink_tokio::{Config, Error, Target, connect};

const SECRET: &str = "s3cr3t";

#[test]
fn good_urls() {
    for url in [
        "ws://example.org",
        "wss://example.org/",
        "WSS://EXAMPLE.ORG/path",
        "ws://127.0.0.1:9000/a/b?c=d",
        "wss://[::1]:65535/",
        "ws://localhost?token=x",
    ] {
        assert!(Target::new(url).is_ok(), "{url}");
    }
}

#[test]
fn bad_urls_say_what_is_wrong() {
    for (url, problem) in [
        ("", "is not a URL"),
        ("ws://", "is not a URL"),
        ("ws:///path", "is not a URL"),
        ("ws://exa mple.org", "is not a URL"),
        ("ws://host:99999", "has a port"),
        ("ws://host:0", "has a port"),
        ("ws://host:", "has a port"),
        ("http://example.org", "must begin with ws:// or wss://"),
        ("example.org", "must begin with ws:// or wss://"),
        ("/path", "must begin with ws:// or wss://"),
        ("ws://example.org/#part", "must not have a fragment"),
        ("ws://me:s3cr3t@example.org/", "must not hold a user name"),
    ] {
        let error = Target::new(url).expect_err(url).to_string();
        assert!(error.contains(problem), "{url:?}: {error}");
    }
}

#[test]
fn nothing_secret_is_shown() {
    for url in [
        "ws://example.org/path?token=s3cr3t",
        "ws://example.org/path?token=s3cr3t#part",
        "ws://example.org/path#s3cr3t",
        "ws://s3cr3t@example.org/",
        "ws://me:s3cr3t@example.org/",
        "ws://me:pass/s3cr3t@example.org/",
        "ws://me:s3cr3t/word@example.org/",
        "ws:/me:s3cr3t@example.org/",
        "wss//me:s3cr3t@example.org/",
        "me:s3cr3t@example.org",
        "http://me:s3cr3t@example.org?s3cr3t",
        "ws://exa mple.org?s3cr3t",
        "?s3cr3t",
    ] {
        match Target::new(url) {
            Ok(target) => assert!(!format!("{target:?}").contains(SECRET), "{target:?}"),
            Err(error) => assert!(!format!("{error} {error:?}").contains(SECRET), "{error} {error:?}"),
        }
        if let Err(error) =
            connect(url, Config { open_timeout: std::time::Duration::ZERO, ..Config::default() })
        {
            assert!(!format!("{error} {error:?}").contains(SECRET), "{error} {error:?}");
        }
    }
    let target = || Target::new("ws://example.org/path?s3cr3t").unwrap();
    let full = target().bearer(SECRET).unwrap().header("X-Key", SECRET).unwrap();
    assert_eq!(format!("{full:?}"), "Target(ws://example.org/path)");
    for error in [
        target().bearer("s3cr3t\n").expect_err("a line break"),
        target().header("X-Key", "s3cr3t\r\n").expect_err("a line break"),
        target().header("Authorization: s3cr3t", "").expect_err("a header is no name"),
        target().header("Host", SECRET).expect_err("the handshake's"),
        target().header("sec-websocket-extensions", SECRET).expect_err("the handshake's"),
        target().protocols(&["s3cr3t\n"]).expect_err("a line break"),
    ] {
        assert!(!format!("{error} {error:?}").contains(SECRET), "{error} {error:?}");
    }
}

#[test]
fn an_impossible_configuration_is_named() {
    let mut config = Config::default();
    config.heartbeat.misses = 0;
    let Err(Error::Config(error)) = connect("ws://example.org", config) else { panic!("it is impossible") };
    assert_eq!(error.field, "heartbeat.misses");
}
