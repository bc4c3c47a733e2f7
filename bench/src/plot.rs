//! Line plots as SVG, as plain as they can be.

use std::fmt::Write;
use std::path::Path;

const SIZE: (f64, f64) = (1000.0, 480.0);
/// Left, top, right, bottom.
const MARGIN: (f64, f64, f64, f64) = (70.0, 50.0, 300.0, 50.0);
/// Colours that the colour-blind can tell apart (Okabe and Ito).
const COLOURS: [&str; 8] =
    ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#8c6d00"];

/// A plot of lines over a common axis.
pub struct Plot {
    title: String,
    x: String,
    y: String,
    lines: Vec<(String, Vec<(f64, f64)>)>,
    log_x: bool,
}

impl Plot {
    pub fn new(title: &str, x: &str, y: &str) -> Plot {
        Plot { title: title.into(), x: x.into(), y: y.into(), lines: Vec::new(), log_x: false }
    }

    /// With a logarithmic horizontal axis.
    pub fn log_x(mut self) -> Plot {
        self.log_x = true;
        self
    }

    pub fn line(&mut self, name: &str, points: Vec<(f64, f64)>) {
        self.lines.push((name.into(), points));
    }

    pub fn write(&self, path: &Path) {
        match std::fs::write(path, self.svg()) {
            Ok(()) => println!("plot: {}", path.display()),
            Err(error) => {
                eprintln!("cannot write {}: {error}", path.display());
                std::process::exit(1);
            }
        }
    }

    fn svg(&self) -> String {
        let points = || self.lines.iter().flat_map(|(_, points)| points.iter().copied());
        let max_y = nice(points().map(|p| p.1).fold(1e-9, f64::max));
        let max_x = points().map(|p| p.0).fold(1e-9, f64::max);
        let min_x =
            if self.log_x { points().map(|p| p.0).filter(|x| *x > 0.0).fold(max_x, f64::min) } else { 0.0 };
        let (width, height) = (SIZE.0 - MARGIN.0 - MARGIN.2, SIZE.1 - MARGIN.1 - MARGIN.3);
        let across = |x: f64| {
            let part =
                if self.log_x { (x.max(min_x) / min_x).ln() / (max_x / min_x).ln() } else { x / max_x };
            MARGIN.0 + part * width
        };
        let down = |y: f64| MARGIN.1 + height - y / max_y * height;
        let mut svg = String::new();
        let mut add = |text: std::fmt::Arguments<'_>| {
            let _ = writeln!(svg, "{text}");
        };
        add(format_args!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {} {}" font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>"#,
            SIZE.0, SIZE.1
        ));
        add(format_args!(r#"<text x="{}" y="24" font-size="15">{}</text>"#, MARGIN.0, escape(&self.title)));
        for step in 0..=4 {
            let y = max_y * f64::from(step) / 4.0;
            add(format_args!(
                r##"<line x1="{0}" x2="{1}" y1="{2:.1}" y2="{2:.1}" stroke="#ddd"/><text x="{3}" y="{4:.1}" text-anchor="end">{5}</text>"##,
                MARGIN.0,
                MARGIN.0 + width,
                down(y),
                MARGIN.0 - 6.0,
                down(y) + 4.0,
                short(y)
            ));
        }
        let ticks: Vec<f64> = if self.log_x {
            (-3..6)
                .flat_map(|e| [1.0, 2.0, 5.0].map(|m| m * 10_f64.powi(e)))
                .filter(|x| (min_x..=max_x).contains(x))
                .collect()
        } else {
            (0..=6).map(|step| max_x * f64::from(step) / 6.0).collect()
        };
        for x in ticks {
            add(format_args!(
                r#"<text x="{:.1}" y="{:.1}" text-anchor="middle">{}</text>"#,
                across(x),
                SIZE.1 - MARGIN.3 + 18.0,
                short(x)
            ));
        }
        add(format_args!(
            r#"<text x="{}" y="{}" text-anchor="middle">{}</text><text x="16" y="{3}" transform="rotate(-90 16 {3})" text-anchor="middle">{4}</text>"#,
            MARGIN.0 + width / 2.0,
            SIZE.1 - 12.0,
            escape(&self.x),
            SIZE.1 / 2.0,
            escape(&self.y)
        ));
        for (index, (name, points)) in self.lines.iter().enumerate() {
            let colour = COLOURS[index % COLOURS.len()];
            let dash = if index >= COLOURS.len() { r#" stroke-dasharray="5 3""# } else { "" };
            let path: Vec<String> =
                points.iter().map(|(x, y)| format!("{:.1},{:.1}", across(*x), down(*y))).collect();
            add(format_args!(
                r#"<polyline points="{}" fill="none" stroke="{colour}" stroke-width="1.6"{dash}/>"#,
                path.join(" ")
            ));
            let (x, y) = (MARGIN.0 + width + 14.0, MARGIN.1 + 10.0 + 18.0 * index as f64);
            add(format_args!(
                r#"<line x1="{x}" x2="{}" y1="{y}" y2="{y}" stroke="{colour}" stroke-width="3"{dash}/><text x="{}" y="{}" font-size="11">{}</text>"#,
                x + 18.0,
                x + 24.0,
                y + 4.0,
                escape(name)
            ));
        }
        svg.push_str("</svg>\n");
        svg
    }
}

/// The next round number.
fn nice(value: f64) -> f64 {
    let magnitude = 10_f64.powf(value.log10().floor());
    [1.0, 2.0, 2.5, 4.0, 5.0, 8.0, 10.0]
        .map(|m| m * magnitude)
        .into_iter()
        .find(|n| *n >= value)
        .unwrap_or(value)
}

fn short(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
