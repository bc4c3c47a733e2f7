//! Reading drawings and other files of lines.

use std::path::PathBuf;
use std::time::Duration;

use everlink_cli::drawing;
use serde_json::Value;

/// A file in the temporary directory, removed when dropped.
struct File(PathBuf);

impl File {
    fn new(name: &str, content: &[u8]) -> File {
        let path = std::env::temp_dir().join(format!("everlink-{}-{name}", std::process::id()));
        std::fs::write(&path, content).unwrap();
        File(path)
    }

    fn read(&self) -> Result<Vec<(u128, String)>, String> {
        let lines = drawing::read(&self.0).map_err(|error| format!("{error:#}"))?;
        Ok(lines.into_iter().map(|(at, line)| (at.as_millis(), line)).collect())
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn lines(wanted: &[(u128, &str)]) -> Result<Vec<(u128, String)>, String> {
    Ok(wanted.iter().map(|(at, line)| (*at, (*line).to_owned())).collect())
}

#[test]
fn the_included_drawing_is_whole() {
    let drawing = drawing::included();
    assert_eq!(drawing.len(), 1105);
    let mut down = false;
    let mut stroke = 0;
    let mut last = Duration::ZERO;
    for (at, line) in &drawing {
        let point: Value = serde_json::from_str(line).unwrap();
        assert_eq!(u128::from(point["t"].as_u64().unwrap()), at.as_millis());
        assert!(*at >= last);
        last = *at;
        let pen = point["pen"].as_str().unwrap();
        assert_eq!(pen == "down", !down, "{line}");
        stroke += u64::from(!down);
        down = pen != "up";
        assert_eq!(point["stroke"].as_u64(), Some(stroke), "{line}");
        assert!((0.0..=1000.0).contains(&point["x"].as_f64().unwrap()));
        assert!((0.0..=600.0).contains(&point["y"].as_f64().unwrap()));
        assert!(point["color"].as_str().unwrap().starts_with('#'));
    }
    assert!(!down);
    assert_eq!((stroke, last), (43, Duration::from_millis(32_036)));
}

#[test]
fn the_origin_of_every_point_is_told() {
    let told = include_str!("../data/README.md").lines().filter_map(|row| {
        let numbers = |cell: &str| -> Vec<u64> {
            cell.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
        };
        let cells: Vec<_> = row.strip_prefix("| ")?.split(" | ").map(numbers).collect();
        let strokes = *cells.first()?.first()?..=*cells[0].last()?;
        Some((strokes, cells[1][0], (cells[2][0], cells[2][1])))
    });
    let points: Vec<(u64, u64)> = drawing::included()
        .iter()
        .map(|(_, line)| serde_json::from_str::<Value>(line).unwrap())
        .map(|point| (point["stroke"].as_u64().unwrap(), point["t"].as_u64().unwrap()))
        .collect();
    let mut all = 0;
    for (strokes, count, times) in told {
        let of: Vec<u64> =
            points.iter().filter(|(stroke, _)| strokes.contains(stroke)).map(|(_, t)| *t).collect();
        assert_eq!((of.len() as u64, (of[0], of[of.len() - 1])), (count, times), "strokes {strokes:?}");
        all += of.len();
    }
    assert_eq!(all, points.len());
}

#[test]
fn lines_without_a_time_come_at_an_even_pace() {
    let file = File::new("plain", b"one\n\n{\"x\":1}\r\n[1]\n");
    assert_eq!(file.read(), lines(&[(0, "one"), (25, "{\"x\":1}"), (50, "[1]")]));
}

#[test]
fn times_never_go_back_and_mix_with_lines_that_have_none() {
    let file = File::new("mixed", b"{\"t\":100}\nnext\n{\"t\":50}\n{\"t\":200.5}\n{\"t\":-1}\n{\"t\":1e300}");
    assert_eq!(
        file.read(),
        lines(&[
            (100, "{\"t\":100}"),
            (125, "next"),
            (125, "{\"t\":50}"),
            (200, "{\"t\":200.5}"),
            (225, "{\"t\":-1}"),
            (250, "{\"t\":1e300}"),
        ])
    );
}

#[test]
fn an_unreadable_file_is_named() {
    let error = format!("{:#}", drawing::read("/no/such/file".as_ref()).unwrap_err());
    assert!(error.starts_with("cannot read /no/such/file: "), "{error}");
}

#[test]
fn a_line_that_is_not_utf8_is_numbered() {
    let file = File::new("latin1", b"fine\nna\xefve\nfine\n");
    let error = file.read().unwrap_err();
    assert!(error.ends_with(": line 2 is not UTF-8"), "{error}");
    assert!(error.starts_with(file.0.to_str().unwrap()), "{error}");
}

#[test]
fn an_empty_file_is_refused() {
    for content in [&b""[..], b"\n \n\r\n"] {
        let file = File::new(&format!("empty{}", content.len()), content);
        assert!(file.read().unwrap_err().ends_with(": there are no lines in it"));
    }
}
