//! The main job in one command: a client that stays connected through five faults, and the truth about it.
//!
//! ```text
//!  a drawing ──► client process ──► relay ──► server        all on 127.0.0.1
//!  [`feed`]      [`client`]         [`stage`]
//!                    │                           │
//!                    └────► [`record`] ◄─────────┘ ──► lines as it happens, a ledger, a picture
//! ```
//!
//! Faults come one after the other: each is given time to heal, the client time to be well again (at most 6 s), and then
//! there is quiet for 2 s. All of it takes about 35 s, at most 60.
//!
//! Ctrl-C ends it early: the fault is healed, the client closes properly, and ledger and picture show what was until then;
//! the exit code is 130.

mod client;
mod event;
mod fault;
mod feed;
mod hold;
mod picture;
mod record;
mod screen;
mod stage;
mod timings;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::ChildStderr;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

use crate::connect::Wire;
use crate::drawing;
use crate::ledger::Ledger;
use crate::signals::Signals;
use client::{CAN_SUSPEND, Client, Signal};
use event::{Said, complaint};
pub use fault::Fault;
use feed::Feed;
use picture::Picture;
use record::Record;
use screen::Screen;
use stage::{Seen, Stage};

/// For the first connection.
const OPEN: Duration = Duration::from_secs(5);
/// For the client to be well again after a fault.
const RECOVERY: Duration = Duration::from_secs(6);
/// Before the first fault, and after each.
const QUIET: Duration = Duration::from_secs(2);
/// For all faults, if they take as long as they may; the end adds at most 12 s.
const LONGEST: Duration = Duration::from_secs(45);
/// For the last words of the client and the server.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// What a shell says of a program that Ctrl-C ended: 128 + SIGINT.
const INTERRUPTED: u8 = 130;

/// A client on a drawing through five faults, and what became of every line: about 35 seconds, on loopback only
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// What to send: NDJSON with times in milliseconds in `t`, or any file of lines; it begins again when it ends
    /// [default: a sketch of a cell, as recorded from a pen; from Wacom's universal-ink-library, Apache-2.0]
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,

    /// Where the picture goes
    #[arg(long, value_name = "FILE", default_value = "everlink-demo.svg")]
    out: PathBuf,

    /// Only these faults, in this order
    #[arg(long, value_name = "FAULTS", value_enum, value_delimiter = ',', default_values_t = Fault::ALL)]
    faults: Vec<Fault>,

    /// What client and server speak: raw or native
    #[arg(long, value_name = "WIRE", default_value = "native", value_parser = lines_wire)]
    wire: Wire,

    /// Hold the client's connection instead of suspending its process; always so where there are no signals
    #[arg(long)]
    hold: bool,

    /// Print the ledger only
    #[arg(long)]
    quiet: bool,
}

/// What tasks share: all that was observed, and the place where it is shown.
#[derive(Clone)]
struct Observed(Arc<Mutex<(Record, Screen)>>);

impl Observed {
    fn lock(&self) -> MutexGuard<'_, (Record, Screen)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How the faults came to their end.
enum End {
    /// All have happened.
    Played,
    /// Not all, because they took too long.
    OutOfTime,
    Interrupted,
    /// The client was gone before.
    ClientEnded,
}

impl End {
    const fn words(&self) -> &'static str {
        match self {
            End::Played => "the drawing ends, and so does the client's input",
            End::OutOfTime => "the minute is over; faults that are left do not happen",
            End::Interrupted => "interrupted: the client closes",
            End::ClientEnded => "the client has ended",
        }
    }
}

/// Runs the demonstration. Exit code 0 when it ran to its end and the client told the truth about every line; 130 after
/// Ctrl-C.
///
/// # Errors
///
/// When the input cannot be read or the picture not be written (before anything runs), when the parts cannot be started,
/// when the client does not connect or ends before its time, and when it did not tell the truth.
pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let lines = arguments.input.as_deref().map_or_else(|| Ok(drawing::included()), drawing::read)?;
    let picture = Picture::open(&arguments.out)?;
    let mut signals = Signals::new()?;
    let screen = Screen::new(arguments.quiet);
    let mut faults = arguments.faults;
    if arguments.hold || !CAN_SUSPEND {
        faults.iter_mut().filter(|fault| **fault == Fault::Suspend).for_each(|fault| *fault = Fault::Hold);
    }
    let wire = arguments.wire;
    introduce(&screen, lines.len(), &faults, wire);

    let (mut stage, seen) = Stage::open().await?;
    let observed = Observed(Arc::new(Mutex::new((Record::new(), screen))));
    let watching = tokio::spawn(watch(seen, observed.clone()));
    let (client, stdin, stderr) = Client::start(&stage.url(), wire, timings::flags())?;
    let mut listening = tokio::spawn(listen(stderr, observed.clone()));
    let (stop, stopped) = oneshot::channel();
    let feeds = observed.clone();
    let tell = move |line: &str| feeds.lock().0.sends(line);
    let mut feeding = tokio::spawn(Feed::new(lines).run(stdin, tell, stopped));

    let end = tokio::select! {
        played = timeout(LONGEST, play(&faults, &mut stage, &client, &observed)) => match played {
            Ok(played) => played.map(|()| End::Played),
            Err(_) => Ok(End::OutOfTime),
        },
        () = signals.next() => Ok(End::Interrupted),
        _ = &mut listening => Ok(End::ClientEnded),
    };
    if let Ok(end) = &end {
        let (record, screen) = &*observed.lock();
        screen.done(record.now(), end.words());
    }
    // Whatever happened: what is wrong ends, then the client, and only then the server.
    let _ = client.resume();
    let healed = stage.heal().await;
    let _ = stop.send(());
    if timeout(LAST_WORDS, &mut feeding).await.is_err() {
        feeding.abort();
    }
    if matches!(end, Ok(End::Interrupted)) {
        let _ = client.signal(Signal::Interrupt);
    }
    let ended = client.end().await;
    if !listening.is_finished() {
        let _ = timeout(LAST_WORDS, &mut listening).await;
    }
    stage.close().await;
    let _ = timeout(LAST_WORDS, watching).await;

    let (record, screen) = &mut *observed.lock();
    screen.flush();
    let ledger = record.ledger();
    conclude(screen, record, &ledger, wire);
    picture.write(&record.timeline().svg())?;
    screen.text(format_args!("The picture is in {}", arguments.out.display()));
    healed?;
    verdict(&end?, ended.is_some(), record, &ledger, wire)
}

/// The exit code of a run that has come to this end, or what is wrong with it.
/// The wires on which a line of the drawing is a message.
fn lines_wire(name: &str) -> Result<Wire, &'static str> {
    match name {
        "raw" => Ok(Wire::Raw),
        "native" => Ok(Wire::Native),
        _ => Err("the drawing goes over raw or native"),
    }
}

fn verdict(end: &End, ended: bool, record: &Record, ledger: &Ledger, wire: Wire) -> anyhow::Result<ExitCode> {
    let complaint = record.complaint().map(|words| format!(": {words}")).unwrap_or_default();
    match end {
        End::Played | End::OutOfTime => {}
        End::Interrupted => return Ok(ExitCode::from(INTERRUPTED)),
        End::ClientEnded => bail!("the client ended before its time{complaint}"),
    }
    let (lost, unsettled) = (record.lost_events(), ledger.of(None).accepted);
    if !ended || !record.is_complete() {
        bail!("the client did not end properly{complaint}");
    }
    if lost > 0 {
        bail!("{lost} events of the client were lost, so the ledger is not complete");
    }
    if !ledger.is_truthful() {
        bail!("the client did not tell the truth: see the ledger");
    }
    if unsettled > 0 {
        bail!("the client left {unsettled} messages unsettled");
    }
    if wire == Wire::Native && !ledger.is_exact() {
        bail!("the native wire did not keep its promise: see the ledger");
    }
    Ok(ExitCode::SUCCESS)
}

/// One fault after the other.
async fn play(
    faults: &[Fault],
    stage: &mut Stage,
    client: &Client,
    observed: &Observed,
) -> anyhow::Result<()> {
    let open = until(observed, Record::has_opened);
    timeout(OPEN, open).await.ok().context("the client does not connect")?;
    sleep(QUIET).await;
    for fault in faults.iter().copied() {
        {
            let (record, screen) = &mut *observed.lock();
            screen.fault(record.begins(fault), fault.name(), fault.beginning());
        }
        match fault {
            Fault::Suspend => client.signal(Signal::Stop).context("cannot stop the client process")?,
            Fault::Hold => client.hold().context("cannot hold the client's connection")?,
            Fault::Drop | Fault::Restart | Fault::Slow | Fault::BlackHole => stage.begin(fault).await,
        }
        sleep(fault.lasts()).await;
        {
            let (record, screen) = &mut *observed.lock();
            screen.healed(record.heals(), fault.name(), fault.end());
            if matches!(fault, Fault::Suspend | Fault::Hold) {
                screen.woken();
            }
        }
        match fault {
            Fault::Suspend | Fault::Hold => client.resume().context("cannot continue the client process")?,
            Fault::Drop | Fault::Restart | Fault::Slow | Fault::BlackHole => stage.end(fault).await?,
        }
        if timeout(RECOVERY, until(observed, Record::has_recovered)).await.is_ok() {
            let (record, screen) = &*observed.lock();
            record.ledger().faults.last().inspect(|fault| screen.recovered(fault));
        }
        sleep(QUIET).await;
    }
    Ok(())
}

async fn until(observed: &Observed, holds: impl Fn(&Record) -> bool) {
    while !holds(&observed.lock().0) {
        sleep(Duration::from_millis(20)).await;
    }
}

/// Notes and shows what the client says, to its end.
async fn listen(stderr: ChildStderr, observed: Observed) {
    let mut lines = BufReader::new(stderr).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let (record, screen) = &mut *observed.lock();
        if let Some(said) = Said::parse(&line) {
            let at = record.said(&said);
            screen.said(at, &said.what);
        }
        if let Some(complaint) = complaint(&line) {
            record.complained(&complaint);
        }
    }
}

/// Notes what the servers receive, to their end.
async fn watch(mut seen: mpsc::UnboundedReceiver<Seen>, observed: Observed) {
    while let Some((at, line)) = seen.recv().await {
        observed.lock().0.seen(at, line);
    }
}

fn introduce(screen: &Screen, lines: usize, faults: &[Fault], wire: Wire) {
    if screen.is_quiet() {
        return;
    }
    let names: Vec<_> = faults.iter().map(|fault| fault.name()).collect();
    screen.heading("everlink demo: one connection through its faults");
    screen.text(format_args!(
        "A client process sends a drawing ({lines} lines, again and again) through a relay to a server,\n\
         all on 127.0.0.1, on the {} wire. Meanwhile: {}.\n",
        wire.name(),
        names.join(", ")
    ));
    screen.heading("The client's timings are shortened, so that all fits into a minute");
    screen.text(timings::Table);
    screen.heading("What happens");
}

fn conclude(screen: &Screen, record: &Record, ledger: &Ledger, wire: Wire) {
    screen.remark("");
    screen.heading("What the client says became of every line, and what the server received");
    screen.text(ledger);
    screen.remark(LEGEND);
    let total = ledger.total();
    let (arrived, lost) = (total.once + total.repeated, ledger.written_but_never_received());
    screen.heading("In short");
    screen.text(format_args!("{arrived} of {} lines that the client accepted arrived.", total.accepted));
    if record.refused() > 0 {
        screen.text(format_args!("{} lines were refused by the client.", record.refused()));
    }
    if record.unread() > 0 {
        screen.text(format_args!("{} lines were never read by the client.", record.unread()));
    }
    if ledger.never_sent() > 0 {
        screen.text(format_args!("{} were never sent, as the client says.", ledger.never_sent()));
    }
    if lost > 0 {
        screen.text(format_args!(
            "{lost} were written but never delivered: the connection was dead, and nobody had said so yet."
        ));
    }
    match wire {
        Wire::Raw | Wire::Json => {
            let wish = if lost > 0 { "do better" } else { "promise that" };
            screen.text(format_args!("A raw WebSocket cannot {wish}: {RAW}"));
        }
        Wire::Native => screen.text(format_args!(
            "Lost: {}. Twice: {}. Out of order: {}. In doubt: {}.\n{NATIVE}",
            ledger.lost(),
            ledger.extra_copies,
            ledger.out_of_order,
            ledger.in_doubt()
        )),
    }
}

const LEGEND: &str = "\
noticed:   from the beginning of the fault to the client's first word that something is wrong;
           who was suspended or held can say nothing before that is over
recovered: from the end of the fault until the client is connected (not only degraded) and a
           line that it accepted since has reached the server
";
const NATIVE: &str = "\
Both ends count and acknowledge, and a session outlives its sockets.
To see what a raw WebSocket does in the same network: everlink demo --wire raw";
const RAW: &str = "\
it has no acknowledgements, so the client knows what was written,
not what arrived, and sending again what may have arrived would make doubles.";
