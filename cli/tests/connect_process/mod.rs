//! `everlink connect` as a process, and servers for it.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::Duration;

use everlink_cli::serve::{Payload, ServeOptions, Server, ServerEvent};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::{TcpListener, TcpSocket};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

pub const SOON: Duration = Duration::from_secs(30);
pub const EVERLINK: &str = env!("CARGO_BIN_EXE_everlink");

/// Impatient, so that tests are quick.
pub const QUICK: &str = "--backoff.base 20ms --backoff.cap 100ms --backoff.attempts forever --replies 50ms \
    --backoff.restart_spread_min 10ms --backoff.restart_spread_max 50ms";

/// A client process with `--json`.
pub struct Connect {
    pub process: Child,
    input: Option<ChildStdin>,
    output: Lines<BufReader<ChildStdout>>,
    events: Lines<BufReader<ChildStderr>>,
    /// Every line of standard error so far.
    pub log: Vec<String>,
}

impl Connect {
    pub fn start(url: &str, flags: &str) -> Connect {
        let mut process = Command::new(EVERLINK)
            .args(["connect", url, "--json"])
            .args(QUICK.split_whitespace())
            .args(flags.split_whitespace())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Connect {
            input: process.stdin.take(),
            output: BufReader::new(process.stdout.take().unwrap()).lines(),
            events: BufReader::new(process.stderr.take().unwrap()).lines(),
            process,
            log: Vec::new(),
        }
    }

    pub async fn say(&mut self, line: &str) {
        let line = format!("{line}\n");
        self.input.as_mut().unwrap().write_all(line.as_bytes()).await.unwrap();
    }

    pub fn end_input(&mut self) {
        self.input = None;
    }

    /// The next line of standard output.
    pub async fn hear(&mut self) -> Option<String> {
        timeout(SOON, self.output.next_line()).await.expect("a line comes").unwrap()
    }

    pub async fn expect(&mut self, line: &str) {
        assert_eq!(self.hear().await.as_deref(), Some(line));
    }

    /// The next event of this name.
    pub async fn event(&mut self, name: &str) -> Value {
        self.event_where(name, |_| true).await
    }

    /// The next event of this name for which `wanted` holds.
    pub async fn event_where(&mut self, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let wait = async {
            while let Some(line) = self.events.next_line().await.unwrap() {
                let event: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("no JSON: {line}"));
                assert!(event["t_ms"].is_u64() && event["unix_ms"].is_u64(), "{line}");
                self.log.push(line);
                if event["event"] == name && wanted(&event) {
                    return event;
                }
            }
            panic!("it ended before {name}: {:#?}", self.log);
        };
        timeout(SOON, wait).await.unwrap_or_else(|_| panic!("no {name}"))
    }

    pub async fn signal(&self, name: &str) {
        let pid = self.process.id().unwrap().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().await.unwrap().success());
    }

    /// Ends the input and waits for the end; the summary and the exit code.
    pub async fn finish(&mut self) -> (Value, i32) {
        self.end_input();
        let summary = self.event("summary").await;
        (summary, self.exit_code().await)
    }

    pub async fn exit_code(&mut self) -> i32 {
        timeout(SOON, self.process.wait()).await.expect("it ends").unwrap().code().unwrap()
    }

    /// The events of this name so far.
    pub fn seen(&self, name: &str) -> Vec<Value> {
        let events = self.log.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
        events.filter(|event| event["event"] == name).collect()
    }
}

/// An echo, and what it observed.
pub struct Echo {
    pub server: Server,
    pub events: Receiver<ServerEvent>,
}

impl Echo {
    pub async fn start() -> Echo {
        Echo::on(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    /// At the address of one that has stopped. Whoever took its port meanwhile is waited for.
    pub async fn again(addr: SocketAddr) -> Echo {
        let bind = async {
            loop {
                match TcpListener::bind(addr).await {
                    Ok(listener) => return listener,
                    Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            }
        };
        Echo::on(timeout(SOON, bind).await.expect("the port is free again"))
    }

    pub fn on(listener: TcpListener) -> Echo {
        let (server, events) = Server::start(listener, ServeOptions::default()).unwrap();
        Echo { server, events }
    }

    pub fn url(&self) -> String {
        format!("ws://{}/room?token=SECRETQUERY", self.server.local_addr())
    }

    /// The next text that the server receives.
    pub async fn receive(&mut self) -> String {
        loop {
            if let ServerEvent::Received { payload: Payload::Text(text), .. } = self.next().await {
                return text;
            }
        }
    }

    /// The code with which the next connection ends.
    pub async fn closed(&mut self) -> u16 {
        loop {
            if let ServerEvent::Disconnected { code, .. } = self.next().await {
                return code;
            }
        }
    }

    async fn next(&mut self) -> ServerEvent {
        timeout(SOON, self.events.recv()).await.expect("something happens").expect("the server lives")
    }
}

/// A port where nobody listens, and that nobody else can take; and its address.
pub fn closed_port() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let addr = socket.local_addr().unwrap();
    (socket, addr)
}

/// Runs `everlink` without input to its end.
pub async fn run(arguments: &[&str]) -> Output {
    let command = Command::new(EVERLINK).args(arguments).stdin(Stdio::null()).kill_on_drop(true).output();
    timeout(SOON, command).await.expect("it ends").unwrap()
}

/// Asserts that it fails with this code and one line that holds all of these words; gives the line.
#[track_caller]
pub fn fails(output: &Output, code: i32, words: &[&str]) {
    let line = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{line}");
    assert_eq!(line.lines().count(), 1, "{line}");
    assert!(words.iter().all(|word| line.contains(word)), "{line} has not all of {words:?}");
    assert!(output.stdout.is_empty());
}

/// A file in a directory of this test run.
pub fn file(name: &str, content: &[u8]) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("connect-{name}"));
    std::fs::write(&path, content).unwrap();
    path
}

/// A server that completes one upgrade and then neither reads nor says anything.
pub async fn mute_server() -> (SocketAddr, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let _ws = tokio_tungstenite::accept_async(stream).await.unwrap();
        std::future::pending().await
    });
    (addr, task)
}
