//! The picture as text. To look at the sample: `EVERLINK_TIMELINE=/tmp/t.svg cargo test -p everlink-cli --test timeline`.

use everlink_cli::timeline::{Fate, Span, Status, Timeline};

use Status::{Connected, Connecting, Degraded, Disconnected};

fn span(name: &str, from: f64, to: f64) -> Span {
    Span { name: name.to_owned(), from, to }
}

/// A run such as the demonstration's.
fn sample() -> Timeline {
    let status = vec![
        (0.0, Connecting),
        (0.05, Connected),
        (7.0, Disconnected),
        (7.5, Connecting),
        (7.6, Connected),
        (14.0, Disconnected),
        (14.5, Connecting),
        (14.52, Disconnected),
        (15.5, Connecting),
        (15.52, Disconnected),
        (17.2, Connecting),
        (17.3, Connected),
        (24.5, Degraded),
        (30.6, Connected),
        (36.2, Degraded),
        (38.0, Disconnected),
        (38.3, Connecting),
        (40.3, Disconnected),
        (41.5, Connecting),
        (41.6, Connected),
        (50.2, Disconnected),
        (50.3, Connecting),
        (50.4, Connected),
    ];
    let down = |t: f64| {
        [(7.0, 7.6), (14.0, 17.3), (36.0, 41.6), (46.0, 50.4)].iter().any(|(a, b)| (*a..*b).contains(&t))
    };
    let slow = |t: f64| (23.0..30.0).contains(&t);
    let latency = (0..116)
        .map(|n| f64::from(n) * 0.5 + 0.2)
        .filter(|t| !down(*t))
        .map(|t| {
            (t, if slow(t) { 420.0 + 60.0 * (t * 3.0).sin() } else { 0.9 + 0.5 * (t * 7.0).sin().abs() })
        })
        .collect();
    let mut waiting = 0.0_f64;
    let queue = (0..580)
        .map(|n| f64::from(n) * 0.1)
        .map(|t| {
            waiting = if down(t) {
                waiting + 1.0
            } else if slow(t) {
                (t * 2.0).sin().abs() * 6.0
            } else {
                0.0
            };
            (t, waiting.floor())
        })
        .collect();
    let faults = vec![
        span("drop", 7.0, 7.0),
        span("server restart", 14.0, 17.0),
        span("slow network", 23.0, 30.0),
        span("silent black hole", 35.5, 41.0),
        span("suspended process", 46.0, 50.0),
    ];
    let lines = (0..580).map(|n| f64::from(n) * 0.1).map(|t| match t {
        _ if (36.0..36.8).contains(&t) => (t, Fate::Lost),
        _ if down(t) => (t, Fate::Late),
        _ => (t, Fate::OnTime),
    });
    let lines = lines.collect();
    Timeline { faults, status, lines, latency, queue, end: 58.0 }
}

/// Checks that elements are closed and attributes quoted, as far as this writer uses XML.
fn is_well_formed(svg: &str) {
    let mut open = Vec::new();
    let mut rest = svg;
    while let Some(start) = rest.find('<') {
        assert!(!rest[..start].contains('>'), "a bare > before {}", &rest[start..]);
        let end = start + rest[start..].find('>').expect("a tag ends");
        let tag = &rest[start + 1..end];
        assert!(tag.matches('"').count().is_multiple_of(2), "{tag}");
        match (tag.strip_prefix('/'), tag.ends_with('/')) {
            (Some(name), _) => assert_eq!(open.pop(), Some(name)),
            (None, true) => {}
            (None, false) => open.push(tag.split_whitespace().next().expect("a name")),
        }
        rest = &rest[end + 1..];
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn a_full_timeline_shows_everything() {
    let svg = sample().svg();
    is_well_formed(&svg);
    for text in [
        "silent black hole",
        "degraded",
        "latency (ms)",
        "queue (messages)",
        "seconds",
        ">100<",
        ">55<",
        "never received",
    ] {
        assert!(svg.contains(text), "no {text}");
    }
    assert!(!svg.contains("NaN") && !svg.contains("inf"));
    assert!(!svg.contains("http://www.w3.org/1999"), "refers to elsewhere");
    if let Ok(path) = std::env::var("EVERLINK_TIMELINE") {
        std::fs::write(path, svg).unwrap();
    }
}

#[test]
fn an_empty_timeline_is_a_picture_too() {
    for end in [0.0, 10.0, f64::NAN, f64::INFINITY, -1.0] {
        let svg = Timeline { end, ..Timeline::default() }.svg();
        is_well_formed(&svg);
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
}

#[test]
fn names_are_escaped() {
    let faults = vec![span("<script>\"&\u{1}", 1.0, 2.0)];
    let svg = Timeline { faults, end: 10.0, ..Timeline::default() }.svg();
    is_well_formed(&svg);
    assert!(svg.contains("&lt;script&gt;&quot;&amp; <"), "{svg}");
}

#[test]
fn impossible_numbers_are_left_out() {
    let timeline = Timeline {
        faults: vec![span("never", f64::NAN, 1.0), span("endless", 5.0, f64::INFINITY)],
        status: vec![(f64::NAN, Connected), (1.0, Connected), (99.0, Degraded)],
        latency: vec![(1.0, f64::NAN), (2.0, -1.0), (3.0, 0.0), (4.0, 1e300), (5.0, 1e-300)],
        lines: vec![(f64::NAN, Fate::Lost), (99.0, Fate::Late), (-1.0, Fate::OnTime)],
        queue: vec![(1.0, f64::INFINITY), (2.0, -5.0), (3.0, 1e6)],
        end: 10.0,
    };
    let svg = timeline.svg();
    is_well_formed(&svg);
    assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    assert!(svg.contains("endless") && !svg.contains(">never<"));
}
