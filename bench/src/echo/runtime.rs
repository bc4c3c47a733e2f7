//! Threads of their own, whose CPU time can be asked for.

use std::future::Future;
use std::sync::mpsc;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};

use crate::measure::cpu_time;

/// A thread that runs what it is given, and nothing else. It lives as long as the process.
#[derive(Clone)]
pub struct Thread(Handle);

impl Thread {
    pub fn new(name: &'static str) -> Thread {
        let (sender, handle) = mpsc::channel();
        let run = move || {
            let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
            sender.send(runtime.handle().clone()).expect("somebody who waits for it");
            runtime.block_on(std::future::pending::<()>());
        };
        std::thread::Builder::new().name(name.into()).spawn(run).expect("a thread");
        Thread(handle.recv().expect("a runtime"))
    }

    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.spawn(task);
    }

    /// Waits for what a task comes to.
    pub fn call<T: Send + 'static>(&self, task: impl Future<Output = T> + Send + 'static) -> T {
        let (sender, outcome) = mpsc::channel();
        self.0.spawn(async move { sender.send(task.await) });
        outcome.recv().expect("a task that does not panic")
    }

    /// How long it has used a processor, in the program and in the kernel.
    pub fn cpu_time(&self) -> Duration {
        self.call(async { cpu_time() })
    }
}
