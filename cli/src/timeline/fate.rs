//! The lane of lines: one stroke for each, at the time when the client accepted it, in the colour of what became of it.

use std::fmt::Write;

use super::{LEFT, LINES, RIGHT, Svg};

/// What became of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Received within a second.
    OnTime,
    /// Received later.
    Late,
    /// Never received.
    Lost,
}

impl Fate {
    const ALL: [Fate; 3] = [Fate::OnTime, Fate::Late, Fate::Lost];

    const fn words(self) -> &'static str {
        match self {
            Fate::OnTime => "received within 1 s",
            Fate::Late => "received later",
            Fate::Lost => "never received",
        }
    }

    /// Dark enough for a thin stroke.
    const fn colour(self) -> &'static str {
        match self {
            Fate::OnTime => "#009e73",
            Fate::Late => "#0072b2",
            Fate::Lost => "#d55e00",
        }
    }
}

impl Svg {
    /// The lane, and at the bottom of the picture what its colours mean.
    pub(super) fn lines(&mut self, lines: &[(f64, Fate)], legend: f64) {
        if lines.is_empty() {
            return;
        }
        let (top, bottom) = LINES;
        self.label("lane", "end", LEFT - 10.0, (top + bottom) / 2.0 + 4.0, "lines");
        let mut x = LEFT;
        for fate in Fate::ALL {
            // What was lost stands out.
            let (top, bottom) = if fate == Fate::Lost { (top - 2.0, bottom + 2.0) } else { (top, bottom) };
            let mut d = String::new();
            for (at, _) in lines.iter().filter(|(at, other)| *other == fate && self.shown(*at)) {
                let _ = write!(d, "M{:.1} {top}V{bottom}", self.x(*at));
            }
            self.path(&format!("stroke=\"{}\" stroke-width=\"1.2\"", fate.colour()), &d);
            let count = lines.iter().filter(|(_, other)| *other == fate).count();
            let text = format!("{count} {}", fate.words());
            self.path(
                &format!("stroke=\"{}\" stroke-width=\"3\"", fate.colour()),
                &format!("M{x:.1} {:.1}v11", legend - 10.0),
            );
            self.label("tick", "start", x + 7.0, legend, &text);
            x += 7.0 * text.len() as f64 + 20.0;
        }
        debug_assert!(x < RIGHT);
    }
}
