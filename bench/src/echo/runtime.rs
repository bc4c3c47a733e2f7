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
        Thread::after(name, || ())
    }

    /// On the same processor as all others of this kind.
    pub fn pinned(name: &'static str) -> Thread {
        Thread::after(name, pin)
    }

    fn after(name: &'static str, prepare: fn()) -> Thread {
        let (sender, handle) = mpsc::channel();
        let run = move || {
            prepare();
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

/// Whether the system puts the two ends of an exchange on one processor or on two decides what a wake costs, up to four times as much as
/// the message, and it may decide anew at any time. Elsewhere than on Linux it is left to the system.
#[cfg(target_os = "linux")]
fn pin() {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

    let allowed = sched_getaffinity(None).expect("the processors");
    let last = (0..CpuSet::MAX_CPU).rev().find(|cpu| allowed.is_set(*cpu)).expect("one that is allowed");
    let mut one = CpuSet::new();
    one.set(last);
    sched_setaffinity(None, &one).expect("a processor that is allowed");
}

#[cfg(not(target_os = "linux"))]
const fn pin() {}
