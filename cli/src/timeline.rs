//! What happened, as a picture: a self-contained SVG with faults, status, lines, latency and queue over time.
//!
//! ```text
//!            drop        black hole
//!           ▒▒▒▒▒        ▒▒▒▒▒▒▒▒▒
//! status   ███░░████████████▓▓▓░░████      a lane of colours
//! lines    |||||||| |||||||||||| |||||      one stroke each, in the colour of its fate
//! latency  ⎺⎺⎺⎺  ⎻⎻⎻⎻⎽⎽⎽⎽⎽⎽⎽⎺⎺            milliseconds, logarithmic
//! queue    ____╱╲__________╱⎺⎺⎺╲___       messages
//! ```

mod axis;
mod fate;

use std::fmt::Write;

use axis::{linear_ticks, log_range};
pub use fate::Fate;

/// A stretch of time with a name.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// What it was.
    pub name: String,
    /// Seconds since the start.
    pub from: f64,
    /// Seconds since the start; a mark where it equals `from`.
    pub to: f64,
}

/// The words of the status lane, with a colour each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// No socket, and none is being opened.
    Disconnected,
    /// A socket is being opened.
    Connecting,
    /// All is well.
    Connected,
    /// There is a socket, but something is wrong.
    Degraded,
    /// Given up.
    Failed,
}

impl Status {
    const ALL: [Status; 5] =
        [Status::Connected, Status::Degraded, Status::Connecting, Status::Disconnected, Status::Failed];

    const fn has_socket(self) -> bool {
        match self {
            Status::Connected | Status::Degraded => true,
            Status::Disconnected | Status::Connecting | Status::Failed => false,
        }
    }

    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Status::Disconnected => "disconnected",
            Status::Connecting => "connecting",
            Status::Connected => "connected",
            Status::Degraded => "degraded",
            Status::Failed => "failed",
        }
    }

    /// From the palette of Okabe and Ito, which people with impaired colour vision can tell apart, too.
    const fn colour(self) -> &'static str {
        match self {
            Status::Disconnected => "#9aa0a6",
            Status::Connecting => "#56b4e9",
            Status::Connected => "#009e73",
            Status::Degraded => "#e69f00",
            Status::Failed => "#b03a00",
        }
    }
}

/// Everything in the picture. Times are seconds since the start, each list in the order of time. Numbers that are not
/// finite are left out; whatever lies outside of `0..=end` is not drawn.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Timeline {
    /// What was done to the connection.
    pub faults: Vec<Span>,
    /// Each change of the status.
    pub status: Vec<(f64, Status)>,
    /// Each line, when it was accepted; left out where there are none.
    pub lines: Vec<(f64, Fate)>,
    /// Each measured latency in milliseconds.
    pub latency: Vec<(f64, f64)>,
    /// Each change of the number of waiting messages.
    pub queue: Vec<(f64, f64)>,
    /// When it ended.
    pub end: f64,
}

/// The size of the picture in pixels.
const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 446.0;
/// The plots, between the labels of the axes and the margin.
const LEFT: f64 = 76.0;
const RIGHT: f64 = 980.0;
/// Lanes from top to bottom: each from y to y.
const FAULTS: (f64, f64) = (52.0, 402.0);
const STATUS: (f64, f64) = (78.0, 98.0);
const LINES: (f64, f64) = (106.0, 120.0);
const LATENCY: (f64, f64) = (148.0, 264.0);
const QUEUE: (f64, f64) = (292.0, 402.0);

const STYLE: &str = "text{font:12px system-ui,'Segoe UI','DejaVu Sans',sans-serif;fill:#3c4043}\
.title{font-size:15px;font-weight:600;fill:#202124}.lane{font-weight:600}.tick{fill:#5f6368;font-size:11px}\
.fault{fill:#7a3b69;font-size:12px}.halo{paint-order:stroke;stroke:#fff;stroke-width:4px;stroke-linejoin:round}\
.grid{stroke:#e3e5e8}.axis{stroke:#9aa0a6}.band{fill:#cc79a7;fill-opacity:.16}.edge{stroke:#a8568a;stroke-dasharray:3 3}\
.curve{fill:none;stroke-width:1.8;stroke-linejoin:round}";

impl Timeline {
    /// The picture as an SVG document of 1000 × 446 pixels.
    #[must_use]
    pub fn svg(&self) -> String {
        let end = if self.end.is_finite() && self.end > 0.0 { self.end } else { 1.0 };
        let mut svg = Svg { text: String::new(), end };
        svg.open();
        svg.bands(&self.faults);
        svg.time_axis();
        svg.status(&self.status);
        svg.lines(&self.lines, FAULTS.1 + 35.0);
        svg.latency(&self.latency, &self.status);
        svg.queue(&self.queue);
        svg.fault_names(&self.faults);
        svg.text.push_str("</svg>\n");
        svg.text
    }
}

/// The document as it grows. Writing to a string cannot fail.
struct Svg {
    text: String,
    end: f64,
}

impl Svg {
    fn x(&self, t: f64) -> f64 {
        LEFT + (RIGHT - LEFT) * (t / self.end).clamp(0.0, 1.0)
    }

    fn shown(&self, t: f64) -> bool {
        (0.0..=self.end).contains(&t)
    }

    fn label(&mut self, class: &str, anchor: &str, x: f64, y: f64, text: &str) {
        let text = escape(text);
        let _ = writeln!(
            self.text,
            "<text class=\"{class}\" text-anchor=\"{anchor}\" x=\"{x:.1}\" y=\"{y:.1}\">{text}</text>"
        );
    }

    fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let ((x1, y1), (x2, y2)) = (from, to);
        let _ = writeln!(
            self.text,
            "<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"
        );
    }

    fn path(&mut self, attributes: &str, d: &str) {
        if !d.is_empty() {
            let _ = writeln!(self.text, "<path {attributes} d=\"{d}\"/>");
        }
    }

    fn open(&mut self) {
        let _ = writeln!(
            self.text,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" \
             height=\"{HEIGHT}\" role=\"img\" aria-label=\"everlink: faults, status, lines, latency and queue over time\">\n\
             <style>{STYLE}</style>\n<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>"
        );
        self.label("title", "start", 14.0, 26.0, "One connection through its faults");
        let mut right = RIGHT;
        for status in Status::ALL.into_iter().rev() {
            let width = 7.0 * status.word().len() as f64;
            self.label("tick", "start", right - width, 25.0, status.word());
            let x = right - width - 16.0;
            let _ = writeln!(
                self.text,
                "<rect x=\"{x:.1}\" y=\"15.5\" width=\"11\" height=\"11\" rx=\"2\" fill=\"{}\"/>",
                status.colour()
            );
            right = x - 14.0;
        }
    }

    fn shown_faults<'a>(&self, faults: &'a [Span]) -> Vec<&'a Span> {
        faults.iter().filter(|fault| self.shown(fault.from)).collect()
    }

    /// The faults behind everything else.
    fn bands(&mut self, faults: &[Span]) {
        for fault in self.shown_faults(faults) {
            let (from, to) = (self.x(fault.from), self.x(fault.to.max(fault.from)));
            let (width, height) = ((to - from).max(2.0), FAULTS.1 - FAULTS.0);
            let _ = writeln!(
                self.text,
                "<rect class=\"band\" x=\"{from:.1}\" y=\"{}\" width=\"{width:.1}\" height=\"{height}\"/>",
                FAULTS.0
            );
            self.line("edge", (from, FAULTS.0), (from, FAULTS.1));
        }
    }

    /// The names of the faults over their bands, each cut to the room before the next.
    fn fault_names(&mut self, faults: &[Span]) {
        let shown = self.shown_faults(faults);
        for (index, fault) in shown.iter().enumerate() {
            let from = self.x(fault.from) + 5.0;
            let until = shown.get(index + 1).map_or(RIGHT, |next| self.x(next.from));
            // About 6.6 pixels a character.
            let fits = ((until - from) / 6.6).max(0.0) as usize;
            let name = match fault.name.chars().count() {
                count if count <= fits => fault.name.clone(),
                _ if fits < 3 => continue,
                _ => fault.name.chars().take(fits - 1).chain(['…']).collect(),
            };
            self.label("fault", "start", from, FAULTS.0 + 15.0, &name);
        }
    }

    fn time_axis(&mut self) {
        let y = FAULTS.1;
        for t in linear_ticks(self.end, 12) {
            let x = self.x(t);
            self.line("axis", (x, y), (x, y + 4.0));
            self.label("tick", "middle", x, y + 17.0, &number(t));
        }
        self.label("tick", "end", RIGHT, y + 35.0, "seconds");
    }

    fn status(&mut self, changes: &[(f64, Status)]) {
        let (top, bottom) = STATUS;
        self.label("lane", "end", LEFT - 10.0, (top + bottom) / 2.0 + 4.0, "status");
        let changes: Vec<_> = changes.iter().filter(|(t, _)| self.shown(*t)).collect();
        for (index, (from, status)) in changes.iter().enumerate() {
            let to = changes.get(index + 1).map_or(self.end, |(next, _)| *next);
            let (x, until) = (self.x(*from), self.x(to));
            let _ = writeln!(
                self.text,
                "<rect x=\"{x:.1}\" y=\"{top}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{}\"><title>{} from {} s to {} s\
                 </title></rect>",
                // Shorter states are still to be seen.
                (until - x).max(1.0),
                bottom - top,
                status.colour(),
                status.word(),
                number(*from),
                number(to)
            );
        }
    }

    /// The frame of a plot: its name and unit, and for each tick a line with its value.
    fn plot(&mut self, (top, bottom): (f64, f64), name: &str, unit: &str, ticks: &[(f64, String)]) {
        for (y, text) in ticks {
            self.line("grid", (LEFT, *y), (RIGHT, *y));
            self.label("tick", "end", LEFT - 8.0, y + 4.0, text);
        }
        self.line("axis", (LEFT, bottom), (RIGHT, bottom));
        self.line("axis", (LEFT, top), (LEFT, bottom));
        self.label("lane halo", "start", LEFT + 8.0, top - 6.0, &format!("{name} ({unit})"));
    }

    fn latency(&mut self, points: &[(f64, f64)], status: &[(f64, Status)]) {
        let (top, bottom) = LATENCY;
        let points: Vec<_> =
            points.iter().copied().filter(|(t, ms)| self.shown(*t) && ms.is_finite() && *ms > 0.0).collect();
        let (low, high) = log_range(points.iter().map(|(_, ms)| *ms));
        let y = |exponent: f64| bottom - (bottom - top) * ((exponent - low) / (high - low)).clamp(0.0, 1.0);
        let ticks: Vec<_> = (low as i32..=high as i32)
            .map(|exponent| (y(f64::from(exponent)), number(10_f64.powi(exponent))))
            .collect();
        self.plot(LATENCY, "latency", "ms", &ticks);
        let mut d = String::new();
        let mut dots = String::new();
        let mut last = f64::NEG_INFINITY;
        // Points of one socket are joined.
        let lost = |from: f64, to: f64| {
            status.iter().any(|(at, status)| !status.has_socket() && (from..=to).contains(at))
        };
        for (t, ms) in points {
            let (x, y) = (self.x(t), y(ms.log10()));
            let verb = if dots.is_empty() || lost(last, t) { 'M' } else { 'L' };
            let _ = write!(d, "{verb}{x:.1} {y:.1}");
            let _ = write!(dots, "M{x:.1} {y:.1}h0");
            last = t;
        }
        self.path("class=\"curve\" stroke=\"#0072b2\"", &d);
        self.path(
            "class=\"curve\" stroke=\"#0072b2\" style=\"stroke-width:4.5;stroke-linecap:round\"",
            &dots,
        );
    }

    fn queue(&mut self, changes: &[(f64, f64)]) {
        let (top, bottom) = QUEUE;
        let changes: Vec<_> =
            changes.iter().copied().filter(|(t, n)| self.shown(*t) && n.is_finite() && *n >= 0.0).collect();
        let most = changes.iter().fold(1.0_f64, |most, (_, n)| most.max(*n));
        let ticks = linear_ticks(most, 4);
        // The scale ends with a tick at or above the largest value.
        let step = ticks.get(1).copied().unwrap_or(1.0).max(1.0);
        let scale = (most / step).ceil() * step;
        let y = |n: f64| bottom - (bottom - top) * n / scale;
        let count = (scale / step).round() as usize;
        let ticks: Vec<_> = (0..=count).map(|n| (y(n as f64 * step), number(n as f64 * step))).collect();
        self.plot(QUEUE, "queue", "messages", &ticks);
        let mut steps = String::new();
        for (index, (t, n)) in changes.iter().enumerate() {
            match index {
                0 => {
                    let _ = write!(steps, "M{:.1} {:.1}", self.x(*t), y(*n));
                }
                _ => {
                    let _ = write!(steps, "H{:.1}V{:.1}", self.x(*t), y(*n));
                }
            }
        }
        if let Some((first, _)) = changes.first() {
            let _ = write!(steps, "H{:.1}", self.x(self.end));
            let area = format!("{steps}V{bottom:.1}H{:.1}Z", self.x(*first));
            self.path("fill=\"#d55e00\" fill-opacity=\".18\"", &area);
            self.path("class=\"curve\" stroke=\"#d55e00\"", &steps);
        }
    }
}

/// A number with as many digits as it needs, at most two behind the point.
fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Text as content of an element. Control characters, which XML 1.0 cannot hold, become spaces.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}
