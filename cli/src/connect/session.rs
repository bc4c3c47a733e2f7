//! One run: from the first attempt to the ledger.

use std::future::pending;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use everlink::link::Cause;
use everlink::wire::Wire;
use everlink_tokio::{
    Client, Error, Message, Messages, Options, Payload, Received, RefusedReason, State, connect_with,
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::input::{self, Line};
use super::journal::{Audience, Journal};
use super::output;
use super::screen::{SharedScreen, seconds};
use super::settings::{Settings, TraceFile};
use crate::colour;
use crate::signals::Signals;

/// How long lines may still leave after Ctrl-C.
const HURRY: Duration = Duration::from_secs(1);

/// How often the numbers are looked at.
const LOOK: Duration = Duration::from_millis(100);

/// How often a held connection looks whether it still is.
const HELD: Duration = Duration::from_millis(20);

/// How old the file is that does not hold any more.
const LONGEST_HOLD: Duration = Duration::from_secs(10);

/// Why a session ends.
enum End {
    /// The input has ended and everything is settled.
    Drained,
    /// The input has ended, but not everything was settled in time.
    LingerOver,
    Interrupted,
    /// The link gave up.
    Failed(Cause),
    /// Standard input cannot be read.
    Input(io::Error),
    /// Standard output cannot be written.
    Output(io::Error),
}

pub(super) async fn run(settings: Settings) -> ExitCode {
    let screen = SharedScreen::new(!settings.json && !settings.quiet);
    let audience = match () {
        () if settings.json => Audience::Machine,
        () if settings.quiet => Audience::Nobody,
        () if screen.is_there() => Audience::Screen { colours: colour::wanted() },
        () => Audience::Reader,
    };
    let journal = Arc::new(Journal::new(audience, screen.clone()));
    let trace = settings.trace.clone();
    let begun = Signals::new().map_err(|error| error.to_string()).and_then(|signals| {
        let connected = start(&settings, &journal).map_err(|error| error.to_string())?;
        Ok((signals, connected))
    });
    let (mut signals, (client, messages)) = match begun {
        Ok(begun) => begun,
        Err(error) => {
            super::complain(settings.json, &error);
            return ExitCode::FAILURE;
        }
    };
    let (printer, mut printed) = output::start(settings.binary, screen);
    let count = settings.state.is_some().then(|| printer.printed.clone());
    let heard = watch::Sender::new(());
    let quiet = heard.subscribe();
    tokio::spawn(receive(messages, printer.sender, count, Arc::clone(&journal), heard));
    let mut feed = Feed { lines: input::start(settings.config.outbox.message_bytes as usize), current: None };

    let end = tokio::select! {
        biased;
        () = signals.next() => End::Interrupted,
        cause = failed(&client) => End::Failed(cause),
        error = unwritable(&mut printed) => End::Output(error),
        end = converse(&settings, &client, &journal, &mut feed, quiet) => end,
        () = look(audience, &client, &journal) => unreachable!("it looks for ever"),
    };
    let (state, report) = (client.state(), client.report());
    feed.rest(&journal);
    let linger = if matches!(end, End::Interrupted) { HURRY.min(settings.linger) } else { Duration::ZERO };
    let printing = !matches!(end, End::Output(_));
    let closing = async {
        let report = client.close(linger).await;
        // The connection is closed; what it received is still to be printed.
        if !printing {
            return (report, None);
        }
        match timeout(settings.linger, &mut printed).await {
            Ok(Ok(Err(error))) => (report, Some(unwritable_text(&error))),
            Ok(_) => (report, None),
            Err(_) => (report, Some("standard output is not read; messages were not printed".to_owned())),
        }
    };
    let (report, problem) = tokio::select! {
        closed = closing => closed,
        () = signals.next() => (report, Some("interrupted".to_owned())),
    };
    // Now that all is over, the journal knows the words that the server closed with, too.
    let mut error = explanation(&end, state, &settings, &journal).or(problem);
    if let Err(problem) = trace.map_or(Ok(()), |trace| flush(&trace)) {
        error = error.or(Some(format!("the trace is not complete: {problem}")));
    }
    journal.finish(&report, error.as_deref())
}

fn start(settings: &Settings, journal: &Arc<Journal>) -> Result<(Client, Messages), Error> {
    let observer = Arc::clone(journal);
    let recorder = settings.trace.clone().map(|trace| {
        // An error comes back when the rest is flushed.
        move |bytes: &[u8]| drop(trace.lock().unwrap_or_else(PoisonError::into_inner).write_all(bytes))
    });
    let hold = settings.hold.clone();
    let options = Options {
        config: settings.config.clone(),
        seed: settings.seed,
        tls: settings.tls.clone(),
        max_message: settings.max_message,
        state: settings.state.clone(),
        // On the JSON wire lines are messages as they are, requests too; and so is what comes.
        dialogue: !matches!(settings.config.wire, Wire::Json(_)),
        trace: recorder.map(|recorder| Box::new(recorder) as _),
        observer: Some(Box::new(move |now, notice| {
            observer.notice(now, notice);
            hold.as_deref().inspect(|file| hold_up(file));
        })),
        ..Options::default()
    };
    let source = settings.source.clone();
    let attempt = move |_| source.clone().target();
    journal.begin(settings.source.to_string(), &settings.config, || connect_with(attempt, options))
}

/// Holds up its caller, the connection's task, while there is this file; not for ever, because its maker may be gone.
fn hold_up(file: &Path) {
    let age = || file.metadata()?.modified()?.elapsed().map_err(io::Error::other);
    while age().is_ok_and(|age| age < LONGEST_HOLD) {
        std::thread::sleep(HELD);
    }
}

fn flush(trace: &TraceFile) -> io::Result<()> {
    trace.lock().unwrap_or_else(PoisonError::into_inner).flush()
}

/// From the connection to the printer. Where a process may be killed and go on, a message is taken when it is printed.
async fn receive(
    mut messages: Messages,
    printer: mpsc::Sender<Received>,
    mut printed: Option<watch::Receiver<u64>>,
    journal: Arc<Journal>,
    heard: watch::Sender<()>,
) {
    let mut sent = 0;
    while let Some(message) = messages.recv().await {
        journal.message(&message);
        heard.send_replace(());
        if printer.send(message).await.is_err() {
            return;
        }
        sent += 1;
        if let Some(printed) = &mut printed
            && printed.wait_for(|count| *count >= sent).await.is_err()
        {
            return;
        }
    }
}

/// The input, and the line in hand.
struct Feed {
    lines: mpsc::Receiver<io::Result<Line>>,
    current: Option<u64>,
}

impl Feed {
    /// What was read and will not be sent any more.
    fn rest(&mut self, journal: &Journal) {
        self.lines.close();
        let read = std::iter::from_fn(|| self.lines.try_recv().ok()?.ok()).map(|line| line.number);
        for line in self.current.take().into_iter().chain(read.collect::<Vec<_>>()) {
            journal.refused(line, "stopped");
        }
    }
}

/// Sends the input to its end and waits for what the options say.
async fn converse(
    settings: &Settings,
    client: &Client,
    journal: &Journal,
    feed: &mut Feed,
    mut heard: watch::Receiver<()>,
) -> End {
    while let Some(line) = feed.lines.recv().await {
        match line {
            Ok(line) => {
                feed.current = Some(line.number);
                send(settings, client, journal, line).await;
                feed.current = None;
            }
            Err(error) => return End::Input(error),
        }
    }
    if settings.stay {
        return pending().await;
    }
    if !journal.has_accepted() {
        return End::Drained;
    }
    if timeout(settings.linger, client.drained()).await.is_err() {
        return End::LingerOver;
    }
    let replies = async {
        heard.mark_unchanged();
        while let Ok(Ok(())) = timeout(settings.replies, heard.changed()).await {}
    };
    let _ = timeout(settings.linger, replies).await;
    End::Drained
}

async fn send(settings: &Settings, client: &Client, journal: &Journal, line: Line) {
    let Line { number, text } = line;
    let text = match text {
        Ok(text) => text,
        Err(reason) => return journal.refused(number, reason),
    };
    let mut message = Message::text(Payload::from(text)).with_priority(settings.priority);
    message.ttl = settings.ttl;
    let sent = match settings.waits {
        true => client.send_waiting(message).await.map(|receipt| receipt.id()),
        false => client.send(message),
    };
    match sent {
        Ok(id) => journal.accepted(id, number),
        Err(Error::Refused(refused)) => journal.refused(number, reason(refused.reason)),
        Err(_) => journal.refused(number, "stopped"),
    }
}

const fn reason(reason: RefusedReason) -> &'static str {
    match reason {
        RefusedReason::Full => "full",
        RefusedReason::TooLarge => "too-large",
        RefusedReason::Heartbeat => "heartbeat",
        _ => "other",
    }
}

/// Ready when the link has given up.
async fn failed(client: &Client) -> Cause {
    let mut state = client.watch_state();
    loop {
        if let State::Failed { cause } = *state.borrow_and_update() {
            return cause;
        }
        if state.changed().await.is_err() {
            return pending().await;
        }
    }
}

/// Ready when standard output does not take anything more.
async fn unwritable(printed: &mut oneshot::Receiver<io::Result<()>>) -> io::Error {
    match printed.await {
        Ok(Err(error)) => error,
        _ => pending().await,
    }
}

async fn look(audience: Audience, client: &Client, journal: &Journal) {
    if matches!(audience, Audience::Reader | Audience::Nobody) {
        return pending().await;
    }
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        journal.look(client);
    }
}

fn unwritable_text(error: &io::Error) -> String {
    format!("cannot write to standard output: {error}")
}

/// What went wrong, if the end is not a good one by itself.
fn explanation(end: &End, state: State, settings: &Settings, journal: &Journal) -> Option<String> {
    match end {
        End::Drained | End::Interrupted => None,
        End::LingerOver => {
            let why = match state {
                State::Waiting { cause, .. } => format!(": {cause}{}", journal.last_words()),
                _ => String::new(),
            };
            Some(format!("not everything was settled within {}{why}", seconds(settings.linger)))
        }
        End::Failed(cause) => Some(format!("gave up: {cause}{}", journal.last_words())),
        End::Input(error) => Some(format!("cannot read standard input: {error}")),
        End::Output(error) => Some(unwritable_text(error)),
    }
}
