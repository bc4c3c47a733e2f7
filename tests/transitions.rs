//! The transition matrix: every state met with every input. `docs/transitions.md` holds it, and the diagrams in there and in
//! the README are generated from it; `EVERLINK_BLESS=1 cargo test --test core transitions` writes them anew.

use core::time::Duration;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use everlink::link::{Action, Close, Config, Epoch, Event, Failure, Input, Link, Next, State, Status};
use everlink::outbox::{Kind, Message};
use everlink::time::Instant;
use everlink::wire::Wire;
use everlink::wire::native::{Announced, Envelope, Goodbye, Token, VERSION, Welcome};

/// A link in some state, and the way there.
struct Bed {
    link: Link<Vec<u8>>,
    now: Instant,
    epoch: Epoch,
    nonce: u32,
    /// Whether the server still answers pings.
    answering: bool,
    native: bool,
}

/// Which wire the link speaks.
#[derive(Clone, Copy)]
enum Speaks {
    Raw,
    Native,
}

impl Bed {
    fn new(speaks: Speaks) -> Bed {
        let mut config = Config::default();
        config.backoff.attempts = Some(3);
        let native = matches!(speaks, Speaks::Native);
        if native {
            config.wire = Wire::Native(Default::default());
        }
        let link = Link::new(config, 1).unwrap();
        Bed {
            link,
            now: Instant::from_millis(1000),
            epoch: Epoch::new(u32::MAX).unwrap(),
            nonce: 0,
            answering: false,
            native,
        }
    }

    fn input(&mut self, input: Input<'_>) {
        self.link.handle(self.now, input).for_each(drop);
        while let Next::Do(action) = self.link.poll() {
            match action {
                // A second socket beside a suspect one is not what the inputs are about.
                Action::Open { epoch, .. } if matches!(self.link.state(), State::Opening { .. }) => {
                    self.epoch = epoch;
                }
                Action::Ping { nonce, .. } => self.nonce = nonce,
                Action::Flush { epoch } => while self.link.pull(epoch).is_some() {},
                _ => {}
            }
        }
        if std::mem::take(&mut self.answering) {
            self.answer();
        }
    }

    /// The server answers the last ping.
    fn answer(&mut self) {
        if self.native {
            self.say(Envelope::Pong { nonce: self.nonce });
        } else {
            self.event(Event::Pong(&self.nonce.to_be_bytes()));
        }
    }

    /// The server says this on the native wire.
    fn say(&mut self, envelope: Envelope<'_>) {
        let mut frame = vec![0; envelope.encoded_len()];
        envelope.encode(&mut frame).unwrap();
        self.event(Event::Frame { kind: Kind::Binary, data: &frame });
    }

    fn welcome(&mut self) {
        self.say(Envelope::Welcome(Welcome {
            version: VERSION,
            resumed: false,
            received: 0,
            from: 0,
            announced: Announced { envelope: 2000, window: 10, window_bytes: 10_000 },
            session: 1,
            token: Token::new(b"token"),
        }));
    }

    /// The socket opens, and on the native wire is welcome.
    fn open(&mut self) {
        self.input(Input::Start);
        self.event(Event::Opened);
        if self.native {
            self.welcome();
        }
    }

    fn event(&mut self, event: Event<'_>) {
        self.input(Input::Socket(self.epoch, event));
    }

    fn wait(&mut self) {
        if let Some((at, _)) = self.link.wake() {
            self.now = self.now.max(at);
        }
        self.input(Input::Tick);
    }

    fn connect(&mut self) {
        self.open();
        self.answer();
        self.now = self.now + Duration::from_secs(6);
        self.event(Event::Received(1));
    }
}

/// Something done to a link, and its name.
type Named = (&'static str, fn(&mut Bed));

/// Every state, and how a link gets there.
const STATES: [Named; 10] = [
    ("Stopped", |_| {}),
    ("Opening", |bed| bed.input(Input::Start)),
    ("Waiting", |bed| {
        bed.input(Input::Start);
        bed.event(Event::Failed(Failure::Connect));
    }),
    ("Offline, no socket", |bed| {
        bed.input(Input::Start);
        bed.input(Input::Offline);
    }),
    ("Connected", Bed::connect),
    ("Slow", |bed| {
        bed.open();
        bed.now = bed.now + Duration::from_millis(800);
        bed.answer();
    }),
    ("Suspect", |bed| {
        bed.connect();
        bed.wait();
        bed.wait();
    }),
    ("Stalled", |bed| {
        bed.connect();
        bed.link.send(bed.now, Message::text(vec![b'x'; 9]), |_, _| ()).unwrap();
        bed.input(Input::Tick);
        if bed.native {
            bed.say(Envelope::Ack { received: 1 });
        }
        for _ in 0..3 {
            bed.now = bed.now + Duration::from_secs(1);
            bed.event(Event::Received(1));
        }
    }),
    ("Offline, socket open", |bed| {
        bed.connect();
        bed.input(Input::Offline);
    }),
    ("Failed", |bed| {
        bed.input(Input::Start);
        bed.event(Event::Failed(Failure::Http { status: 401, retry_after: None }));
    }),
];

/// What else there is on the native wire.
const NATIVE_STATES: [Named; 2] = [
    ("Opening, hello said", |bed| {
        bed.input(Input::Start);
        bed.event(Event::Opened);
    }),
    ("Unacknowledged", |bed| {
        bed.connect();
        bed.link.send(bed.now, Message::text(vec![b'x'; 9]), |_, _| ()).unwrap();
        bed.input(Input::Tick);
        bed.event(Event::Written(u64::MAX));
        for _ in 0..10 {
            if bed.link.state() == State::Connected {
                bed.now = bed.now + Duration::from_secs(1);
                bed.event(Event::Received(1));
            }
        }
    }),
];

/// What a server can say there. (The session is always a new one.)
const NATIVE_INPUTS: [Named; 3] = [
    ("welcome", Bed::welcome),
    ("acknowledgement", |bed| bed.say(Envelope::Ack { received: 1 })),
    ("goodbye 1001", |bed| {
        bed.say(Envelope::Goodbye(Goodbye { code: 1001, retry_after: 0, attempt: 0, reason: "" }));
    }),
];

impl Speaks {
    fn states(self) -> impl Iterator<Item = Named> {
        let more = if matches!(self, Speaks::Native) { &NATIVE_STATES[..] } else { &[] };
        STATES.iter().chain(more).copied()
    }

    fn inputs(self) -> impl Iterator<Item = Named> {
        let more = if matches!(self, Speaks::Native) { &NATIVE_INPUTS[..] } else { &[] };
        INPUTS.iter().chain(more).copied()
    }
}

/// Every input that can change a state, with the words that the diagram uses for it.
const INPUTS: [Named; 20] = [
    ("start", |bed| bed.input(Input::Start)),
    ("stop", |bed| bed.input(Input::Stop { linger: Duration::ZERO })),
    ("time passes", |bed| {
        // Deadline after deadline, until something comes of it.
        let before = name(bed.link.state());
        for _ in 0..12 {
            if name(bed.link.state()) == before && bed.link.deadline().is_some() {
                bed.wait();
            }
        }
    }),
    ("slow pong", |bed| {
        if !matches!(bed.link.status(), Status::Connected | Status::Degraded) {
            return;
        }
        bed.now = bed.now + Duration::from_millis(700);
        bed.input(Input::Visible);
        bed.now = bed.now + Duration::from_millis(900);
        bed.answer();
    }),
    ("opened", |bed| bed.event(Event::Opened)),
    ("open failed", |bed| bed.event(Event::Failed(Failure::Connect))),
    ("HTTP 401", |bed| bed.event(Event::Failed(Failure::Http { status: 401, retry_after: None }))),
    ("bad certificate", |bed| bed.event(Event::Failed(Failure::Certificate))),
    ("dropped", |bed| bed.event(Event::Closed(Close::default()))),
    ("closed 1000", |bed| {
        bed.event(Event::Closed(Close { code: Some(1000), clean: true, ..Close::default() }));
    }),
    ("closed 1008", |bed| {
        bed.event(Event::Closed(Close { code: Some(1008), clean: true, ..Close::default() }));
    }),
    ("violation", |bed| bed.event(Event::Violation(1002))),
    ("message", |bed| match bed.native {
        true => bed.say(Envelope::Message { kind: Kind::Text, data: b"hi" }),
        false => bed.event(Event::Frame { kind: Kind::Text, data: b"hi" }),
    }),
    ("pong", Bed::answer),
    ("written", |bed| bed.event(Event::Written(u64::MAX))),
    ("online", |bed| bed.input(Input::Online)),
    ("offline", |bed| bed.input(Input::Offline)),
    ("visible", |bed| bed.input(Input::Visible)),
    ("hidden", |bed| bed.input(Input::Hidden)),
    ("suspended", |bed| bed.input(Input::Suspended(Duration::from_secs(60)))),
];

fn name(state: State) -> &'static str {
    match state {
        State::Stopped => "Stopped",
        State::Offline => "Offline",
        State::Waiting { .. } => "Waiting",
        State::Opening { .. } => "Opening",
        State::Connected => "Connected",
        State::Suspect { .. } => "Suspect",
        State::Unacknowledged => "Unacknowledged",
        State::Stalled => "Stalled",
        State::Slow => "Slow",
        State::Failed { .. } => "Failed",
        _ => "unknown",
    }
}

fn in_state(speaks: Speaks, reach: fn(&mut Bed)) -> Bed {
    let mut bed = Bed::new(speaks);
    reach(&mut bed);
    bed
}

/// What each state becomes by each input.
fn matrix(speaks: Speaks) -> Vec<(&'static str, Vec<&'static str>)> {
    let row = |(state, reach): Named| {
        let after = speaks.inputs().map(|(_, input)| {
            let mut bed = in_state(speaks, reach);
            input(&mut bed);
            name(bed.link.state())
        });
        (state, after.collect())
    };
    speaks.states().map(row).collect()
}

fn table(speaks: Speaks) -> String {
    let mut text = String::from("| input |");
    speaks.states().for_each(|(state, _)| write!(text, " {state} |").unwrap());
    text.push_str("\n| --- |");
    speaks.states().for_each(|_| text.push_str(" --- |"));
    let matrix = matrix(speaks);
    for (index, (input, _)) in speaks.inputs().enumerate() {
        write!(text, "\n| **{input}** |").unwrap();
        for (state, after) in &matrix {
            let same = state.split(',').next() == Some(after[index]);
            write!(text, " {} |", if same { "·" } else { after[index] }).unwrap();
        }
    }
    text.push('\n');
    text
}

/// The states that a picture shows: those that a user interface calls degraded are one.
fn shown(state: &str) -> &str {
    match state {
        "Suspect" | "Unacknowledged" | "Stalled" | "Slow" => "Degraded",
        state => state.split(',').next().unwrap(),
    }
}

fn diagram(speaks: Speaks) -> String {
    let mut arrows: BTreeMap<(usize, usize), Vec<&str>> = BTreeMap::new();
    let order = ["Stopped", "Opening", "Waiting", "Connected", "Degraded", "Offline", "Failed"];
    let place = |state: &str| order.iter().position(|name| *name == shown(state)).unwrap();
    for (state, after) in matrix(speaks) {
        for ((input, _), after) in speaks.inputs().zip(after) {
            let (from, to) = (place(state), place(after));
            // A stop leads to one state from anywhere: one arrow says so. And a socket that is open does not fail to open.
            let opening = matches!(input, "open failed" | "HTTP 401" | "bad certificate");
            if from != to && input != "stop" && (!opening || state == "Opening") {
                let words = arrows.entry((from, to)).or_default();
                if !words.contains(&input) {
                    words.push(input);
                }
            }
        }
    }
    let mut text = String::from("```mermaid\nstateDiagram-v2\n    [*] --> Stopped\n");
    for ((from, to), words) in arrows {
        writeln!(text, "    {} --> {}: {}", order[from], order[to], words.join(", ")).unwrap();
    }
    text.push_str("    note right of Stopped: stop leads here from everywhere\n```\n");
    text
}

/// Compares what stands between two marks of a file with what should stand there, or writes it.
#[track_caller]
fn stands(file: &str, mark: &str, wanted: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(file);
    let text = std::fs::read_to_string(&path).unwrap();
    let (begin, end) = (format!("<!-- {mark} -->\n"), format!("<!-- end of {mark} -->\n"));
    let from = text.find(&begin).expect("the mark") + begin.len();
    let to = from + text[from..].find(&end).expect("the mark of the end");
    if std::env::var_os("EVERLINK_BLESS").is_some() {
        std::fs::write(&path, format!("{}{wanted}{}", &text[..from], &text[to..])).unwrap();
    } else {
        let hint = "what the machine does has changed: look at it, then EVERLINK_BLESS=1 cargo test --test core transitions";
        assert_eq!(&text[from..to], wanted, "{file}: {hint}");
    }
}

const WIRES: [Speaks; 2] = [Speaks::Raw, Speaks::Native];

#[test]
fn every_state_of_the_matrix_is_reached() {
    for speaks in WIRES {
        for (state, reach) in speaks.states() {
            let bed = in_state(speaks, reach);
            assert!(state.starts_with(name(bed.link.state())), "{state}: {:?}", bed.link.state());
        }
    }
}

#[test]
fn a_stop_leads_to_stopped_from_everywhere() {
    let index = INPUTS.iter().position(|(input, _)| *input == "stop").unwrap();
    for speaks in WIRES {
        assert!(matrix(speaks).iter().all(|(_, after)| after[index] == "Stopped"));
    }
}

#[test]
fn only_start_leaves_stopped() {
    for speaks in WIRES {
        let (_, after) = matrix(speaks).remove(0);
        let leaving: Vec<_> = speaks.inputs().zip(after).filter(|(_, after)| *after != "Stopped").collect();
        assert!(matches!(leaving[..], [(("start", _), "Opening")]));
    }
}

#[test]
fn the_documents_show_the_matrix_as_it_is() {
    stands("docs/transitions.md", "matrix", &table(Speaks::Raw));
    stands("docs/transitions.md", "diagram", &diagram(Speaks::Raw));
    stands("README.md", "diagram", &diagram(Speaks::Raw));
    stands("docs/transitions.md", "native matrix", &table(Speaks::Native));
    stands("docs/transitions.md", "native diagram", &diagram(Speaks::Native));
}
