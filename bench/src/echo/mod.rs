//! Echoes over TCP on this machine: what a message costs one end, in the program and in the kernel, with WebSockets of others beside
//! it.
//!
//! Each contender is on a thread of its own, and its CPU time is what is measured; all threads are on one processor. The other end
//! is the same for all: servers are asked by a [client](load::Client) that only writes and reads bytes, clients are answered by a [server](load::mirror). Contenders take
//! turns, and a figure is the least of all rounds: what other programs do can only add to it.

mod clients;
mod load;
pub mod runtime;
mod servers;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use load::Traffic;
use runtime::Thread;

/// How long a round takes at least.
const ROUND: Duration = Duration::from_millis(30);

/// One that is measured.
struct Contender {
    name: &'static str,
    thread: Thread,
    /// Does so many bursts on each connection.
    run: Box<dyn FnMut(u64)>,
}

/// What is measured, and for how long.
pub struct Selection {
    /// All contenders, if it is empty.
    pub with: Vec<String>,
    pub rounds: usize,
    pub bursts: Option<u64>,
}

impl Selection {
    fn has(&self, name: &str) -> bool {
        self.with.is_empty() || self.with.iter().any(|with| with == name)
    }
}

/// Of the contenders.
pub fn names() -> PossibleValuesParser {
    let servers = servers::ALL.iter().map(|(name, _)| *name);
    let names: BTreeSet<&str> = servers.chain(clients::ALL.iter().map(|(name, _)| *name)).collect();
    PossibleValuesParser::new(names)
}

/// The figures whose name contains `only`, or ends with it if it says how many connections (one would be in a hundred); false if there is
/// none.
pub fn run(only: &str, selection: &Selection) -> bool {
    let mut any = false;
    let is_whole = only.ends_with("_1") || only.ends_with("_100");
    let wanted = |name: &str| if is_whole { name.ends_with(only) } else { name.contains(only) };
    let other_end = Thread::pinned("other end");
    for (kind, burst) in [("ping_pong", 1), ("burst", 64)] {
        for (size_name, size) in [("64B", 64), ("16KiB", 16 << 10)] {
            for connections in [1, 100] {
                let traffic = Traffic { connections, size, burst };
                let name = format!("{kind}_{size_name}_{connections}");
                let server = format!("echo_server_{name}");
                if wanted(&server) {
                    any = true;
                    compare(&server, traffic, servers(&other_end, traffic, selection), selection);
                }
                let client = format!("echo_client_{name}");
                if wanted(&client) {
                    any = true;
                    compare(&client, traffic, clients(&other_end, traffic, selection), selection);
                }
            }
        }
    }
    any
}

fn listen(thread: &Thread) -> (TcpListener, SocketAddr) {
    let listener = thread.call(async { TcpListener::bind(("127.0.0.1", 0)).await }).expect("a port");
    let addr = listener.local_addr().expect("an address");
    (listener, addr)
}

fn servers(other_end: &Thread, traffic: Traffic, selection: &Selection) -> Vec<Contender> {
    let contender = |(name, serve): (&'static str, fn(TcpListener) -> _)| {
        let thread = Thread::pinned(name);
        let (listener, addr) = listen(&thread);
        thread.spawn(serve(listener));
        let work = |_| {
            let (asks, mut asked) = mpsc::unbounded_channel::<u64>();
            let (sender, done) = std::sync::mpsc::channel();
            other_end.spawn(async move {
                let mut client = load::Client::connect(addr, traffic).await;
                while let Some(bursts) = asked.recv().await {
                    for _ in 0..bursts {
                        client.exchange().await;
                    }
                    let _ = sender.send(());
                }
            });
            (asks, done)
        };
        Contender { name, thread, run: all((0..traffic.connections).map(work).collect()) }
    };
    servers::ALL.into_iter().filter(|(name, _)| selection.has(name)).map(contender).collect()
}

fn clients(other_end: &Thread, traffic: Traffic, selection: &Selection) -> Vec<Contender> {
    let (listener, addr) = listen(other_end);
    other_end.spawn(load::mirror(listener, traffic));
    let contender = |(name, work): (&'static str, fn(SocketAddr, Traffic, clients::Work) -> _)| {
        let thread = Thread::pinned(name);
        let work = |_| {
            let (asks, asked) = mpsc::unbounded_channel();
            let (sender, done) = std::sync::mpsc::channel();
            thread.spawn(work(addr, traffic, (asked, sender)));
            (asks, done)
        };
        let run = all((0..traffic.connections).map(work).collect());
        Contender { name, thread, run }
    };
    clients::ALL.into_iter().filter(|(name, _)| selection.has(name)).map(contender).collect()
}

type Worker = (mpsc::UnboundedSender<u64>, std::sync::mpsc::Receiver<()>);

/// Sets all to work, and waits for them.
fn all(workers: Vec<Worker>) -> Box<dyn FnMut(u64)> {
    Box::new(move |bursts| {
        workers.iter().for_each(|(asks, _)| asks.send(bursts).expect("a worker"));
        workers.iter().for_each(|(_, done)| done.recv().expect("a worker that does not panic"));
    })
}

impl Contender {
    fn time(&mut self, bursts: u64) -> Duration {
        let start = self.thread.cpu_time();
        (self.run)(bursts);
        self.thread.cpu_time() - start
    }
}

fn compare(name: &str, traffic: Traffic, mut contenders: Vec<Contender>, selection: &Selection) {
    // The first is as good as any to find out how many it takes.
    let Some(first) = contenders.first_mut() else { return };
    let bursts = selection.bursts.unwrap_or_else(|| {
        let enough = |bursts: &u64| first.time(*bursts) >= ROUND;
        (0..).map(|power| 1 << power).find(enough).expect("time passes")
    });
    let mut least = vec![f64::INFINITY; contenders.len()];
    for _ in 0..selection.rounds {
        for (contender, least) in contenders.iter_mut().zip(&mut least) {
            let messages = bursts as f64 * (traffic.connections * traffic.burst) as f64;
            *least = least.min(contender.time(bursts).as_secs_f64() * 1e6 / messages);
        }
    }
    print(name, &contenders, &least);
}

/// One line for each of our ways: beside the best peer, and the others.
fn print(name: &str, contenders: &[Contender], values: &[f64]) {
    let all = contenders.iter().map(|contender| contender.name).zip(values.iter().copied());
    let (ours, mut peers): (Vec<_>, Vec<_>) = all.partition(|(name, _)| name.starts_with("everlink"));
    peers.sort_by(|a, b| a.1.total_cmp(&b.1));
    let best = peers.first().copied();
    let others: Vec<String> =
        peers.iter().skip(1).map(|(name, value)| format!("{name}:{value:.2}")).collect();
    for (way, value) in ours {
        let way = way.strip_prefix("everlink").unwrap_or_default().replace('-', "_");
        let Some((best, peer)) = best else {
            println!("{name}{way} everlink={value:.3} unit=us");
            continue;
        };
        let ratio = value / peer;
        println!(
            "{name}{way} everlink={value:.2} peer={peer:.2}:{best} ratio={ratio:.2} others={} unit=us",
            others.join(",")
        );
    }
}
