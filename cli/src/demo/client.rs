//! The client: this same program, as `everlink connect … --json` in a process of its own, which can be stopped and
//! continued, and which never stays behind.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context;
use tokio::process::{Child, ChildStderr, ChildStdin, Command};
use tokio::time::timeout;

use super::hold::Hold;
use crate::connect::Wire;

/// How long it may take to end after its input has ended.
const END: Duration = Duration::from_secs(5);
/// How long it may take to end after it was interrupted.
const INTERRUPTED: Duration = Duration::from_secs(2);

/// Whether a process can be stopped and continued here.
pub(super) const CAN_SUSPEND: bool = cfg!(unix);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    Interrupt,
    Stop,
    Continue,
}

/// A running client. It is killed when this is dropped, and ends by itself when this process is killed.
#[derive(Debug)]
pub(super) struct Client {
    process: Child,
    hold: Hold,
}

impl Client {
    pub(super) fn start(
        url: &str,
        wire: Wire,
        flags: impl Iterator<Item = String>,
    ) -> anyhow::Result<(Client, ChildStdin, ChildStderr)> {
        let program = std::env::current_exe().context("cannot find this program")?;
        let hold = Hold::new();
        let mut command = Command::new(program);
        command
            .args(["connect", url, "--wire", wire.name(), "--json", "--linger", "3s"])
            .args(flags)
            .arg("--hold")
            .arg(hold.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        // Ctrl-C on the terminal is for this process, which then ends the client properly.
        #[cfg(unix)]
        command.process_group(0);
        let mut process = command.spawn().context("cannot start the client process")?;
        let pipes = process.stdin.take().zip(process.stderr.take());
        let (stdin, stderr) = pipes.context("the client process has no pipes")?;
        Ok((Client { process, hold }, stdin, stderr))
    }

    /// Sends a signal, where there are signals. A process that has ended gets none.
    #[cfg(unix)]
    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        use rustix::process::{self, Pid};
        let signal = match signal {
            Signal::Interrupt => process::Signal::INT,
            Signal::Stop => process::Signal::STOP,
            Signal::Continue => process::Signal::CONT,
        };
        let pid = self.process.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
        pid.map_or(Ok(()), |pid| Ok(process::kill_process(pid, signal)?))
    }

    #[cfg(not(unix))]
    pub(super) fn signal(&self, _: Signal) -> io::Result<()> {
        Ok(())
    }

    /// Makes what drives its connection stand still at its next action.
    pub(super) fn hold(&self) -> io::Result<()> {
        self.hold.begin()
    }

    /// Lets it run again, if it was stopped or held.
    pub(super) fn resume(&self) -> io::Result<()> {
        self.hold.end();
        self.signal(Signal::Continue)
    }

    /// Waits for its end, which the end of its input or an interrupt has begun; insists if it takes too long. `None` where
    /// it had to be killed.
    pub(super) async fn end(mut self) -> Option<ExitStatus> {
        if let Ok(status) = timeout(END, self.process.wait()).await {
            return status.ok();
        }
        let _ = self.signal(Signal::Interrupt);
        if let Ok(status) = timeout(INTERRUPTED, self.process.wait()).await {
            return status.ok();
        }
        let _ = self.process.kill().await;
        None
    }
}
