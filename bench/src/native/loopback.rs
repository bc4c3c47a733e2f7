//! Messages of 64 bytes from a client to a server over loopback, until the last one has arrived and is acknowledged; and the same over a
//! wire without acknowledgements, by the same adapter, and to a broker of MQTT.
//!
//! Each end is on a thread of its own. Contenders take turns, and a figure is the best of all rounds: what other programs do can only
//! make it worse.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use everlink::outbox::Policy;
use everlink::wire::{Wire, native::Limits};
use everlink_tokio::server::{Caller, Denial, Event, Handler, Session, Speaks, serve};
use everlink_tokio::ws::{self, Duplex, WebSocket};
use everlink_tokio::{Client, Config, Message, connect};
use tokio::net::TcpListener;
use tokio::sync::Notify;

use super::mqtt::Broker;
use crate::echo::runtime::Thread;

const ROUNDS: usize = 15;

/// Messages in a round.
const MESSAGES: u64 = 20_000;

/// Bytes of a message.
pub(super) const SIZE: usize = 64;

/// How many may be under way at once, for all but `native_default`.
pub(super) const QUEUE: u32 = 2_000;

/// Sends so many messages, and returns when all have arrived.
type Work = Box<dyn FnMut(u64)>;

pub fn run() {
    let client = Thread::new("clients");
    let mut contenders: Vec<(&str, Work, f64, f64)> = Vec::new();
    let config = |wire, queue, window| {
        let mut config = Config { wire, ..Config::default() };
        (config.outbox.messages, config.outbox.policy) = (queue, Policy::Refuse);
        (config.delivery.window, config.delivery.window_bytes) = (window, window * 4096);
        config
    };
    let native = || Wire::Native(Limits::default());
    let default = Config::default();
    for (name, config) in [
        ("native", config(native(), QUEUE, QUEUE / 2)),
        ("native_default", config(native(), default.outbox.messages, default.delivery.window)),
        ("raw", config(Wire::default(), QUEUE, default.delivery.window)),
    ] {
        contenders.push((name, everlink(&client, config), 0.0, f64::INFINITY));
    }
    let broker = Broker::start();
    match &broker {
        Ok(broker) => contenders.push(("rumqttc QoS 1", broker.publisher(&client), 0.0, f64::INFINITY)),
        Err(why) => println!("rumqttc is left out: {why}"),
    }
    for _ in 0..ROUNDS {
        for (_, work, best, cpu) in &mut contenders {
            let (start, cpu_before) = (Instant::now(), client.cpu_time());
            work(MESSAGES);
            *best = best.max(MESSAGES as f64 / start.elapsed().as_secs_f64());
            *cpu = cpu.min((client.cpu_time() - cpu_before).as_secs_f64() * 1e6 / MESSAGES as f64);
        }
    }
    let ours = (contenders[0].2, contenders[0].3);
    for (name, _, rate, cpu) in &contenders[1..] {
        let name = name.replace(' ', "-");
        println!(
            "native_acknowledged_64B everlink={:.0} peer={rate:.0}:{name} ratio={:.2} unit=messages/s",
            ours.0,
            ours.0 / rate
        );
        println!(
            "native_acknowledged_64B_client_cpu everlink={:.2} peer={cpu:.2}:{name} ratio={:.2} unit=us",
            ours.1,
            ours.1 / cpu
        );
    }
}

/// A client of this wire, and a server of its own.
fn everlink(thread: &Thread, config: Config) -> Work {
    let arrived = Arc::new(Arrived::default());
    let server = Thread::new("server");
    let counting = Counting(arrived.clone());
    let addr = server.call(async {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let server = serve(listener, counting, Default::default()).expect("options that work");
        let addr = server.local_addr();
        tokio::spawn(async move {
            std::future::pending::<()>().await;
            drop(server);
        });
        addr
    });
    let client = thread.call(async move { client(addr, config) });
    let thread = thread.clone();
    let mut sent = 0;
    Box::new(move |count| {
        sent += count;
        let (client, arrived) = (client.clone(), arrived.clone());
        thread.call(async move { send(&client, &arrived, count, sent).await });
    })
}

fn client(addr: SocketAddr, config: Config) -> Client {
    let (client, mut messages) = connect(&format!("ws://{addr}/"), config).expect("a target");
    tokio::spawn(async move { while messages.recv().await.is_some() {} });
    client
}

async fn send(client: &Client, arrived: &Arrived, count: u64, goal: u64) {
    let payload = Bytes::from_static(&[b'x'; SIZE]);
    for _ in 0..count {
        client.send_waiting(Message::binary(payload.clone())).await.expect("it is accepted");
    }
    client.drained().await;
    arrived.reach(goal).await;
}

/// What has come to the server's application.
#[derive(Default)]
struct Arrived {
    messages: AtomicU64,
    goal: AtomicU64,
    there: Notify,
}

impl Arrived {
    fn one_more(&self) {
        let messages = self.messages.fetch_add(1, Ordering::SeqCst) + 1;
        if messages == self.goal.load(Ordering::SeqCst) {
            self.there.notify_one();
        }
    }

    async fn reach(&self, goal: u64) {
        self.goal.store(goal, Ordering::SeqCst);
        while self.messages.load(Ordering::SeqCst) < goal {
            let _ = tokio::time::timeout(Duration::from_secs(1), self.there.notified()).await;
        }
    }
}

struct Counting(Arc<Arrived>);

impl Handler for Counting {
    async fn admit(&self, caller: &Caller) -> Result<Speaks, Denial> {
        Ok(caller.native().unwrap_or(Speaks::Plain(None)))
    }

    async fn session(&self, mut session: Session) {
        while let Some(event) = session.recv().await {
            if matches!(event, Event::Message(_)) {
                self.0.one_more();
            }
        }
    }

    async fn plain(&self, _: Caller, mut socket: WebSocket<Box<dyn Duplex>>) {
        while let Some(event) = socket.next().await {
            if matches!(event, ws::Event::Message { .. }) {
                self.0.one_more();
            }
        }
    }
}
