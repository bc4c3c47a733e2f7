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

/// Sends so many messages, and returns when all have arrived.
type Work = Box<dyn FnMut(u64)>;

struct Contender {
    name: &'static str,
    work: Work,
    /// The best of all rounds: messages a second, and microseconds of the client's CPU for a message.
    rate: f64,
    cpu: f64,
}

impl Contender {
    fn new(name: &'static str, work: Work) -> Contender {
        Contender { name, work, rate: 0.0, cpu: f64::INFINITY }
    }

    fn round(&mut self, client: &Thread) {
        let (start, before) = (Instant::now(), client.cpu_time());
        (self.work)(MESSAGES);
        self.rate = self.rate.max(MESSAGES as f64 / start.elapsed().as_secs_f64());
        self.cpu = self.cpu.min((client.cpu_time() - before).as_secs_f64() * 1e6 / MESSAGES as f64);
    }
}

pub fn run() {
    let broker = Broker::start().inspect_err(|why| println!("rumqttc is left out: {why}")).ok();
    // What comes out of the default, with which 100 messages wait and 64 of them are under way; and what if more may be.
    let default = Config::default();
    compare("native_acknowledged_64B", 2_000, 1_000, broker.as_ref());
    let (queue, window) = (default.outbox.messages, default.delivery.window);
    compare("native_acknowledged_64B_default", queue, window, broker.as_ref());
}

/// With a queue for so many messages, of which so many may be under way.
fn compare(name: &str, queue: u32, window: u32, broker: Option<&Broker>) {
    let client = Thread::new("clients");
    let config = |wire| {
        let mut config = Config { wire, ..Config::default() };
        (config.outbox.messages, config.outbox.policy) = (queue, Policy::Refuse);
        (config.delivery.window, config.delivery.window_bytes) = (window, window * 4096);
        config
    };
    let mut contenders = vec![
        Contender::new("native", everlink(&client, config(Wire::Native(Limits::default())))),
        Contender::new("raw", everlink(&client, config(Wire::default()))),
    ];
    contenders.extend(broker.map(|broker| Contender::new("rumqttc", broker.publisher(&client, window))));
    for _ in 0..ROUNDS {
        contenders.iter_mut().for_each(|contender| contender.round(&client));
    }
    let [ours, peers @ ..] = &*contenders else { return };
    for Contender { name: peer, rate, cpu, .. } in peers {
        let (rate_ratio, cpu_ratio) = (ours.rate / rate, ours.cpu / cpu);
        println!(
            "{name} everlink={:.0} peer={rate:.0}:{peer} ratio={rate_ratio:.2} unit=messages/s",
            ours.rate
        );
        println!("{name}_client everlink={:.2} peer={cpu:.2}:{peer} ratio={cpu_ratio:.2} unit=us", ours.cpu);
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
