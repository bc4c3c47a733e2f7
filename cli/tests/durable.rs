//! Two real processes in durable mode, with a relay between them that cuts, stalls and delays; both are killed (-9) again and again, and
//! begin anew from their files. Nothing is lost, nothing comes twice, nothing out of order, in either direction.
#![cfg(unix)]

mod connect_process;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use connect_process::{EVERLINK, QUICK, SOON};
use everlink_cli::relay::Relay;
use serde_json::Value;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// Numbers that the client sends, and the server sends back.
const TOTAL: u64 = 4_000;
const FAULTS: u64 = 40;
/// Of the order of the faults.
const SEED: u64 = 7;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Lines as they come; the last one only if it is whole.
fn lines(
    from: impl AsyncBufRead + Send + Unpin + 'static,
    mut each: impl FnMut(&str) + Send + 'static,
) -> JoinHandle<()> {
    let mut from = from;
    tokio::spawn(async move {
        let mut line = String::new();
        while from.read_line(&mut line).await.is_ok_and(|len| len > 0) && line.ends_with('\n') {
            each(line.trim_end());
            line.clear();
        }
    })
}

fn everlink(words: &str, state: &Path) -> Child {
    Command::new(EVERLINK)
        .args(words.split_whitespace())
        .arg("--json")
        .arg("--state")
        .arg(state)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// Waits until `find` finds something.
async fn soon<T>(what: &str, mut find: impl FnMut() -> Option<T>) -> T {
    let wait = async {
        loop {
            if let Some(found) = find() {
                return found;
            }
            sleep(ms(2)).await;
        }
    };
    timeout(SOON, wait).await.unwrap_or_else(|_| panic!("waits in vain for {what}"))
}

/// One life of a server.
struct Server {
    process: Child,
    reading: JoinHandle<()>,
    events: Arc<Mutex<Vec<Value>>>,
}

impl Server {
    async fn start(addr: &str, state: &Path) -> (Server, SocketAddr) {
        let words = format!("serve {addr} --mode echo --messages --close-timeout 500ms");
        let mut process = everlink(&words, state);
        let events = Arc::new(Mutex::new(Vec::new()));
        let seen = events.clone();
        let reading = lines(BufReader::new(process.stderr.take().unwrap()), move |line| {
            seen.lock()
                .unwrap()
                .push(serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")));
        });
        let addr = soon("a server", || {
            let events = events.lock().unwrap();
            let first = events.iter().find(|event: &&Value| event["event"] == "listening")?;
            Some(first["addr"].as_str().unwrap().parse().unwrap())
        });
        (Server { process, reading, events: events.clone() }, addr.await)
    }

    /// Its messages: session, number, and what they say.
    async fn kill(mut self) -> Vec<(u64, u64, u64)> {
        self.process.kill().await.unwrap();
        self.reading.await.unwrap();
        let events = self.events.lock().unwrap();
        let number = |value: &Value| value.as_u64().unwrap();
        let messages = events.iter().filter(|event| event["event"] == "message");
        let content = |event: &Value| event["content"].as_str().unwrap().parse().unwrap();
        messages.map(|event| (number(&event["id"]), number(&event["number"]), content(event))).collect()
    }
}

/// One life of a client, which goes on with the input where its state says.
struct Client {
    process: Child,
    reading: [JoinHandle<()>; 2],
    feeding: JoinHandle<Option<ChildStdin>>,
    heard: Arc<Mutex<Vec<u64>>>,
    events: Arc<Mutex<Vec<Value>>>,
}

impl Client {
    async fn start(addr: SocketAddr, state: &Path) -> Client {
        let words = format!(
            "connect ws://{addr}/ --wire native --linger 60s --replies 3s {QUICK} --open_timeout 2s \
            --heartbeat.interval 500ms --heartbeat.timeout 500ms --heartbeat.min_timeout 300ms"
        );
        let mut process = everlink(&words, state);
        let (heard, events) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::<Value>::new())));
        let (all, seen) = (heard.clone(), events.clone());
        let reading = [
            lines(BufReader::new(process.stdout.take().unwrap()), move |line| {
                all.lock().unwrap().push(line.parse().unwrap());
            }),
            lines(BufReader::new(process.stderr.take().unwrap()), move |line| {
                seen.lock()
                    .unwrap()
                    .push(serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")));
            }),
        ];
        let last = soon("the state", || {
            let events = events.lock().unwrap();
            Some(events.iter().find(|event| event["event"] == "restored")?["last"].as_u64().unwrap())
        });
        let (last, mut input) = (last.await, process.stdin.take().unwrap());
        let feeding = tokio::spawn(async move {
            // Ids are counted from 1.
            for number in last..TOTAL {
                // An error means that it was killed.
                input.write_all(format!("{number}\n").as_bytes()).await.ok()?;
                sleep(ms(1)).await;
            }
            Some(input)
        });
        Client { process, reading, feeding, heard, events }
    }

    async fn rest(self) -> Vec<u64> {
        for reading in self.reading {
            reading.await.unwrap();
        }
        self.heard.lock().unwrap().clone()
    }

    async fn kill(mut self) -> Vec<u64> {
        self.process.kill().await.unwrap();
        self.feeding.abort();
        self.rest().await
    }

    /// All of the input has come to its end.
    async fn finish(mut self) -> (Vec<u64>, Value) {
        let input = timeout(SOON * 2, &mut self.feeding).await.expect("all is taken").unwrap();
        drop(input.expect("it lives"));
        let end = timeout(SOON * 2, self.process.wait()).await.expect("it ends").unwrap();
        let events = self.events.clone();
        let heard = Client { feeding: tokio::spawn(async { None }), ..self }.rest().await;
        let summary = events.lock().unwrap().last().unwrap().clone();
        assert!(end.success(), "{summary}");
        (heard, summary)
    }
}

fn state(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("durable-{name}"));
    let _ = std::fs::remove_file(&path);
    path
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_comes_twice_however_often_both_are_killed() {
    let (at_client, at_server) = (state("client"), state("server"));
    let (mut server, addr) = Server::start("127.0.0.1:0", &at_server).await;
    let relay = Relay::start(addr).unwrap();
    let mut client = Client::start(relay.local_addr(), &at_client).await;
    let (mut said, mut heard, mut kills) = (Vec::new(), Vec::new(), [0, 0]);
    let mut dice = SEED;
    for _ in 0..FAULTS {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (fault, time) = (dice >> 33, ms((dice >> 40) % 120));
        match fault % 6 {
            0 => relay.cut().await,
            1 => {
                relay.stall().await;
                sleep(time * 5).await;
                relay.pass().await;
            }
            2 => relay.delay(time / 2).await,
            3 | 4 => {
                heard.push(client.kill().await);
                client = Client::start(relay.local_addr(), &at_client).await;
                kills[0] += 1;
            }
            _ => {
                said.extend(server.kill().await);
                sleep(time).await;
                (server, _) = Server::start(&addr.to_string(), &at_server).await;
                kills[1] += 1;
            }
        }
        sleep(time).await;
    }
    relay.pass().await;
    let (last, summary) = client.finish().await;
    heard.push(last);
    said.extend(server.kill().await);
    assert_eq!((&summary["in_doubt"], &summary["never_sent"]), (&0.into(), &0.into()), "{summary}");
    assert!(kills[0] > 5 && kills[1] > 3, "{kills:?}");

    // What the server was still working on when it was killed has come again, with the same number.
    let (mut numbers, mut repeats, the_session) = (BTreeMap::new(), 0, said[0].0);
    for (session, number, content) in said {
        assert_eq!(session, the_session, "one session for all");
        match numbers.get(&number) {
            Some(known) => {
                assert_eq!(*known, content, "of message {number}");
                repeats += 1;
            }
            None => {
                assert_eq!(content + 1, number, "nothing is left out or out of order");
                numbers.insert(number, content);
            }
        }
    }
    assert_eq!(numbers.len() as u64, TOTAL);
    // And so at the client: each life goes on at or before the place where the last one was killed, and leaves nothing out.
    let (mut next, mut again) = (0, 0);
    for life in heard.into_iter().filter(|life| !life.is_empty()) {
        assert!(life[0] <= next, "{} after {next}", life[0]);
        assert!(life.is_sorted_by(|one, other| one + 1 == *other), "{life:?}");
        again += next - life[0];
        next = next.max(life[life.len() - 1] + 1);
    }
    assert_eq!(next, TOTAL);
    println!("{kills:?} kills; shown again after a kill: {repeats} at the server, {again} at the client");
}
