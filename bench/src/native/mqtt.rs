//! The same job with MQTT: `rumqttc` publishes to a local `mosquitto` with QoS 1, "at least once".

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};

use super::loopback::SIZE;
use crate::echo::runtime::Thread;

/// A broker that lives as long as this.
pub struct Broker {
    process: Child,
    port: u16,
}

impl Broker {
    /// # Errors
    /// Why there is none.
    pub fn start() -> Result<Broker, String> {
        let unused = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
        let port = unused.map_err(|error| error.to_string())?.port();
        // Debian puts it where users do not look.
        let programs = ["mosquitto", "/usr/sbin/mosquitto"];
        let run = |program| {
            Command::new(program)
                .args(["-p", &port.to_string()])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
        };
        let process = programs.into_iter().find_map(|program| run(program).ok());
        process.map(|process| Broker { process, port }).ok_or_else(|| "there is no mosquitto here".into())
    }

    /// Publishes so many messages, and returns when the broker has acknowledged all; `window` of them may be under way.
    pub fn publisher(&self, thread: &Thread, window: u32) -> Box<dyn FnMut(u64)> {
        let port = self.port;
        let (client, acknowledged) = thread.call(async move { connect(port, window) });
        let acknowledged = std::sync::Arc::new(tokio::sync::Mutex::new(acknowledged));
        let thread = thread.clone();
        Box::new(move |count| {
            let (client, acknowledged) = (client.clone(), acknowledged.clone());
            thread.call(async move {
                let publish = async {
                    for _ in 0..count {
                        let payload = [b'x'; SIZE];
                        client.publish("t", QoS::AtLeastOnce, false, payload).await.expect("it is accepted");
                    }
                };
                let acknowledge = async {
                    let mut acknowledged = acknowledged.lock().await;
                    for _ in 0..count {
                        acknowledged.recv().await.expect("it goes on");
                    }
                };
                tokio::join!(publish, acknowledge);
            });
        })
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A client, and what its broker has acknowledged.
fn connect(port: u16, window: u32) -> (AsyncClient, tokio::sync::mpsc::UnboundedReceiver<()>) {
    let mut options = MqttOptions::new(format!("bench-{window}"), "127.0.0.1", port);
    options.set_inflight(window as u16);
    let (client, mut events) = AsyncClient::new(options, window as usize);
    let (sender, acknowledged) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            match events.poll().await {
                Ok(Event::Incoming(Packet::PubAck(_))) => drop(sender.send(())),
                Ok(_) => {}
                // The broker is on its way up.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    });
    (client, acknowledged)
}
