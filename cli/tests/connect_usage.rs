//! What `everlink connect` and `everlink replay` say about arguments and files that cannot be used, and what they never say.

mod connect_process;

use connect_process::{Connect, Echo, SOON, fails, file, run};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;

const URL: &str = "ws://127.0.0.1:1/";

#[tokio::test]
async fn a_url_that_cannot_be_used_is_named_without_its_query() {
    for (url, word) in [
        ("http://example.org/x?token=SECRET", "must begin with ws:// or wss://"),
        ("ws://example.org:99999/?token=SECRET", "port"),
        ("ws://user:SECRET@example.org/", "user name"),
        ("ws://[::1]:0/?token=SECRET", "port"),
        ("ws:///path", "URL"),
        ("nonsense", "ws://"),
        ("", "URL"),
    ] {
        let output = run(&["connect", url]).await;
        fails(&output, 2, &["everlink: ", word]);
        assert!(!String::from_utf8_lossy(&output.stderr).contains("SECRET"));
    }
}

#[tokio::test]
async fn flags_that_cannot_be_used_are_named() {
    for (arguments, words) in [
        (&["--backoff.base", "5"][..], &["--backoff.base", "a duration with its unit"][..]),
        (&["--backoff.jitter", "some"], &["--backoff.jitter", "decorrelated"]),
        (&["--outbox.messages", "-1"], &["--outbox.messages"]),
        (&["--retry.final_close", "1002,x"], &["--retry.final_close"]),
        (&["--heartbeat.adaptive", "perhaps"], &["--heartbeat.adaptive", "boolean"]),
        (&["--wire.raw.ping", "hex:0"], &["--wire.raw.ping"]),
        (&["--linger", "10"], &["--linger"]),
        (&["--when-full", "panic"], &["--when-full"]),
        (&["--max-message", "0"], &["--max-message", "more than zero"]),
        (&["--heartbeat.intervall", "1s"], &["--heartbeat.intervall"]),
        (&["--heartbeat.interval", "0s"], &["impossible configuration: heartbeat.interval"]),
        (&["--backoff.cap", "1ms"], &["impossible configuration: backoff.cap"]),
        (&["--header", "no colon: is what this lacks".split(':').next().unwrap()], &["--header"]),
        (&["--header", "Host: elsewhere"], &["\"Host\"", "handshake"]),
        (&["--protocol", "a\nb"], &["sub-protocol"]),
    ] {
        let output = run(&[&["connect", URL], arguments].concat()).await;
        fails(&output, 2, words);
    }
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named_with_the_line() {
    let path = |name, content: &[u8]| file(name, content).to_str().unwrap().to_owned();
    let unknown = path("unknown.toml", b"[heartbeat]\ninterval = \"5s\"\nintervall = \"5s\"\n");
    let unitless = path("unitless.toml", b"\n[backoff]\nbase = 5\n");
    let impossible = path("impossible.toml", b"[heartbeat]\nmisses = 0\n");
    let broken = path("broken.toml", b"[heartbeat\n");
    let binary = path("binary.toml", &[0xFF, 0xFE]);
    let nothing = path("nothing.pem", b"no certificate here\n");
    let damaged = path("damaged.pem", b"-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n");
    let wrong = path("wrong.pem", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let empty = path("empty.token", b"\n");
    for (flag, name, words) in [
        ("--config", &unknown, &["line 3", "intervall"][..]),
        ("--config", &unitless, &["line 3 (base = 5)", "a duration with its unit"]),
        ("--config", &impossible, &["heartbeat.misses"]),
        ("--config", &broken, &["line 1"]),
        ("--config", &binary, &["UTF-8"]),
        ("--config", &"/nowhere/x.toml".to_owned(), &["No such file"]),
        ("--config", &"/".to_owned(), &["directory"]),
        ("--ca", &nothing, &["no PEM certificate"]),
        ("--ca", &damaged, &["PEM"]),
        ("--ca", &wrong, &["certificate"]),
        ("--ca", &"/nowhere/x.pem".to_owned(), &["No such file"]),
        ("--token-file", &empty, &["holds no token"]),
        ("--token-file", &"/nowhere/token".to_owned(), &["No such file"]),
        ("--trace", &"/nowhere/trace".to_owned(), &["No such file"]),
    ] {
        let output = run(&["connect", URL, flag, name]).await;
        fails(&output, 1, &[&[name.as_str()], words].concat());
        let output = run(&["connect", URL, "--json", flag, name]).await;
        let event: Value = serde_json::from_slice(&output.stderr).expect("with --json it is an event");
        assert_eq!((&event["event"], output.status.code()), (&"error".into(), Some(1)));
    }
}

#[tokio::test]
async fn flags_override_the_file_which_overrides_the_defaults() {
    let path = file("good.toml", b"[heartbeat]\ninterval = \"7s\"\nmisses = 2\n[outbox]\nage = \"9s\"\n");
    let config = async |flags: &str| {
        let mut connect = Connect::start(URL, flags);
        let start = connect.event("start").await;
        connect.finish().await;
        start["config"].clone()
    };
    let path = path.display();
    let mixed =
        config(&format!("--config {path} --heartbeat.interval 8s --retry.final_close 1008,4000")).await;
    assert_eq!(mixed["heartbeat"]["interval"], "8s");
    assert_eq!(mixed["heartbeat"]["misses"], 2);
    assert_eq!(mixed["heartbeat"]["timeout"], "5s");
    assert_eq!(mixed["retry"]["final_close"], serde_json::json!([1008, 4000]));
    // Where lines wait for room they do not expire, unless they are told to.
    assert_eq!((&mixed["outbox"]["policy"], &mixed["outbox"]["age"]), (&"refuse".into(), &"9s".into()));
    for (flags, policy, age) in [
        ("", "refuse", "off"),
        ("--when-full drop-lowest", "drop-lowest", "1m"),
        ("--outbox.policy drop-oldest", "drop-oldest", "1m"),
        ("--outbox.policy drop-oldest --when-full wait", "refuse", "off"),
        ("--when-full refuse", "refuse", "1m"),
    ] {
        let config = config(flags).await;
        assert_eq!(
            (&config["outbox"]["policy"], &config["outbox"]["age"]),
            (&policy.into(), &age.into()),
            "{flags}"
        );
    }
}

#[tokio::test]
async fn the_waits_of_one_client_give_way_one_by_one_to_the_file_and_the_flags() {
    let path = file("backoff.toml", b"[backoff]\nratio = \"2\"\ncap = \"9s\"\n");
    let path = path.to_str().unwrap();
    for (flags, expected) in [
        (&[][..], ["250ms", "51/50", "forever", "30s"]),
        (&["--config", path], ["250ms", "2", "forever", "9s"]),
        (&["--config", path, "--backoff.cap", "8s", "--backoff.base", "1s"], ["1s", "2", "forever", "8s"]),
    ] {
        let output = run(&[&["connect", URL, "--json"], flags].concat()).await;
        let start = output.stderr.split(|byte| *byte == b'\n').next().unwrap();
        let start: Value = serde_json::from_slice(start).unwrap();
        let backoff = ["base", "ratio", "attempts", "cap"].map(|name| &start["config"]["backoff"][name]);
        assert_eq!(backoff, expected, "{flags:?}");
    }
}

#[tokio::test]
async fn help_shows_every_number_with_its_default() {
    let help = String::from_utf8(run(&["connect", "--help"]).await.stdout).unwrap();
    for words in [
        "--heartbeat.interval <TIME>",
        "[default: 15s]",
        "Configuration: backoff:",
        "--open_timeout",
        "[default: 51/50]",
    ] {
        assert!(help.contains(words), "{words}");
    }
    let short = String::from_utf8(run(&["connect", "-h"]).await.stdout).unwrap();
    assert!(!short.contains("--heartbeat.interval"));
}

#[tokio::test]
async fn tokens_and_queries_are_shown_nowhere() {
    // It refuses with what it was given, as a rude server may; the body is not shown.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let mut requests = String::new();
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let n = stream.read(&mut request).await.unwrap();
            requests.push_str(&String::from_utf8_lossy(&request[..n]));
            let status =
                if requests.contains("TOKEN2") { "401 Unauthorized" } else { "503 Service Unavailable" };
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 6\r\n\r\nSECRET");
            stream.write_all(answer.as_bytes()).await.unwrap();
            std::fs::write(token_path(), "SECRETTOKEN2\n").unwrap();
        }
        requests
    });
    std::fs::write(token_path(), "SECRETTOKEN1\n").unwrap();
    let trace = file("secret.trace", b"");
    let mut output = Vec::new();
    for json in [true, false] {
        let url = format!("ws://{addr}/path?key=SECRETQUERY");
        let mut command = tokio::process::Command::new(connect_process::EVERLINK);
        command.args([
            "connect",
            &url,
            "--stay",
            "--backoff.base",
            "10ms",
            "--backoff.attempts",
            "10",
            "--trace",
            trace.to_str().unwrap(),
        ]);
        command.args(["--header", "X-Key: SECRETHEADER", "--token-file", token_path().to_str().unwrap()]);
        command.args(json.then_some("--json")).stdin(std::process::Stdio::null()).kill_on_drop(true);
        let done = timeout(SOON, command.output()).await.unwrap().unwrap();
        assert_eq!(done.status.code(), Some(1));
        output.extend([done.stdout, done.stderr, std::fs::read(&trace).unwrap()].concat());
        if json {
            // After the two attempts nobody listens: the second run ends otherwise.
            std::fs::write(token_path(), "SECRET bad \u{7f}\n").unwrap();
        }
    }
    let requests = server.await.unwrap();
    for secret in ["SECRETQUERY", "SECRETHEADER", "Bearer SECRETTOKEN1", "Bearer SECRETTOKEN2"] {
        assert!(requests.contains(secret), "the server was not told {secret}");
    }
    let output = String::from_utf8_lossy(&output);
    assert!(output.contains("HTTP status 401"), "{output}");
    assert!(!output.contains("SECRET"), "{output}");
}

fn token_path() -> std::path::PathBuf {
    std::path::PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("connect-fresh.token")
}

#[tokio::test]
async fn an_argument_that_may_be_a_secret_is_not_repeated() {
    for arguments in [
        &["connect", "ws://a/", "ws://b/?token=SECRET"][..],
        &["connect", "--header", "Authorization:", "Bearer", "SECRET"],
        &["connect", URL, "--header", "Authorization SECRET"],
        &["connect", URL, "--header", "Authorization: SECRET\n"],
        &["connect", URL, "--header", "Cookie: SECRET\u{7f}"],
        &["ws://h/?token=SECRET"],
        &["ws://user:SECRET@h/"],
        &["h/?token=it's\n SECRET"],
        &["serve", "ws://h/?token=SECRET"],
        &["serve", "127.0.0.1:0", "--mode=ws://h/?token=SECRET"],
        &["replay", "ws://h/?token=SECRET"],
        &["demo", "--input", "ws://h/?token=SECRET"],
    ] {
        let output = run(arguments).await;
        assert!(!String::from_utf8_lossy(&output.stderr).contains("SECRET"), "{arguments:?}");
    }
}

#[tokio::test]
async fn a_trace_replays_and_a_damaged_one_is_refused_at_its_byte() {
    let mut echo = Echo::start().await;
    let path = file("good.trace", b"");
    let name = path.to_str().unwrap();
    let mut connect = Connect::start(&echo.url(), &format!("--trace {name} --seed 7"));
    for n in 0..50 {
        connect.say(&n.to_string()).await;
        assert_eq!(echo.receive().await, n.to_string());
    }
    assert_eq!(connect.finish().await.1, 0);
    let output = run(&["replay", name]).await;
    let line = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{line}");
    assert!(line.contains("records over") && line.ends_with("in the end disconnected\n"), "{line}");

    let trace = std::fs::read(&path).unwrap();
    let cut = file("cut.trace", &trace[..trace.len() - 1]);
    fails(&run(&["replay", cut.to_str().unwrap()]).await, 1, &["cut.trace: at byte ", "damaged or cut off"]);
    let foreign = file("foreign.trace", b"not a trace");
    fails(&run(&["replay", foreign.to_str().unwrap()]).await, 1, &["at byte 0: not a trace"]);
    fails(&run(&["replay", "/nowhere/trace"]).await, 1, &["/nowhere/trace: No such file"]);
}
