//! Counters, latencies, uptime, and the snapshot of them.

#![expect(clippy::float_arithmetic, reason = "the oracles are JavaScript, where every number is a float")]

use core::time::Duration;

use everlink::metrics::{Counter, Drops, Metrics, Queue, Report};
use everlink::time::Instant;
use proptest::prelude::*;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

fn report(metrics: &Metrics, now: Instant) -> Report {
    metrics.report(now, None, Queue::default())
}

/// The usual hand-written class.
#[derive(Default)]
struct ConnectionMetrics {
    total_connects: u64,
    average_latency: f64,
    latency_history: Vec<u64>,
    last_connect_time: Option<u64>,
}

impl ConnectionMetrics {
    fn record_connect(&mut self, now: u64) {
        self.total_connects += 1;
        self.last_connect_time = Some(now);
    }

    fn record_latency(&mut self, latency: u64) {
        self.latency_history.push(latency);
        if self.latency_history.len() > 20 {
            self.latency_history.remove(0);
        }
        self.average_latency =
            self.latency_history.iter().sum::<u64>() as f64 / self.latency_history.len() as f64;
    }

    fn uptime(&self, now: u64) -> Option<u64> {
        self.last_connect_time.map(|then| now - then)
    }
}

#[test]
fn nothing_happened_yet() {
    let report = report(&Metrics::new(), at(1000));
    assert_eq!((report.uptime, report.uptime_total, report.latency), (None, Duration::ZERO, None));
    assert_eq!(report.counts, Default::default());
}

#[test]
fn uptime_adds_up_over_sockets() {
    let mut metrics = Metrics::new();
    metrics.connected(at(100));
    assert_eq!(report(&metrics, at(400)).uptime, Some(ms(300)));
    metrics.disconnected(at(500));
    assert_eq!(report(&metrics, at(900)).uptime, None);
    metrics.connected(at(1000));
    let report = report(&metrics, at(1250));
    assert_eq!((report.uptime, report.uptime_total), (Some(ms(250)), ms(650)));
    assert_eq!((report.counts.connects.get(), report.counts.disconnects.get()), (2, 1));
}

#[test]
fn a_candidate_that_takes_over_is_a_connect_without_a_disconnect() {
    let mut metrics = Metrics::new();
    metrics.connected(at(0));
    metrics.connected(at(1000));
    let report = report(&metrics, at(1500));
    assert_eq!((report.uptime, report.uptime_total), (Some(ms(500)), ms(1500)));
    assert_eq!((report.counts.connects.get(), report.counts.disconnects.get()), (2, 0));
}

#[test]
fn losing_no_socket_is_no_disconnect() {
    let mut metrics = Metrics::new();
    metrics.disconnected(at(100));
    assert_eq!(metrics, Metrics::new());
}

#[test]
fn messages_and_their_bytes_are_counted_both_ways() {
    let mut metrics = Metrics::new();
    metrics.sent(10);
    metrics.sent(0);
    metrics.received(7);
    let counts = metrics.counts;
    assert_eq!((counts.messages_sent.get(), counts.bytes_sent.get()), (2, 10));
    assert_eq!((counts.messages_received.get(), counts.bytes_received.get()), (1, 7));
}

#[test]
fn counters_saturate() {
    let mut counter = Counter::from(u64::MAX - 1);
    counter += 1;
    counter += 1;
    assert_eq!(counter, u64::MAX);
    let drops = Drops { expired: counter, in_doubt: counter, ..Drops::default() };
    assert_eq!(drops.total(), u64::MAX);
}

#[test]
fn drops_are_summed_over_all_reasons() {
    let [expired, evicted, replaced, cancelled, too_large, stopped, in_doubt] =
        [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000].map(Counter::from);
    let drops = Drops { expired, evicted, replaced, cancelled, too_large, stopped, in_doubt };
    assert_eq!(drops.total(), 1_111_111);
}

#[test]
fn an_absurd_latency_is_kept_as_the_longest_that_fits() {
    let mut metrics = Metrics::new();
    metrics.latency(Duration::MAX);
    metrics.latency(Duration::MAX);
    let latency = report(&metrics, at(0)).latency.unwrap();
    assert_eq!(latency.mean, Duration::from_micros(u64::from(u32::MAX)));
    assert_eq!((latency.min, latency.max), (latency.last, latency.last));
}

#[test]
fn the_report_carries_what_others_keep() {
    let queue = Queue { messages: 3, bytes: 400 };
    let report = Metrics::new().report(at(0), Some(ms(42)), queue);
    assert_eq!((report.smoothed_latency, report.queue), (Some(ms(42)), queue));
}

proptest! {
    #[test]
    fn it_counts_as_the_usual_hand_written_class_does(events in prop::collection::vec((0..3_u8, 1..10_000_u64), 0..100)) {
        let (mut metrics, mut oracle) = (Metrics::new(), ConnectionMetrics::default());
        let (mut now, mut all, mut disconnects) = (0, vec![], 0);
        for (event, number) in events {
            now += number;
            match event {
                0 => {
                    metrics.connected(at(now));
                    oracle.record_connect(now);
                }
                1 => {
                    metrics.latency(ms(number));
                    oracle.record_latency(number);
                    all.push(ms(number));
                }
                _ => {
                    disconnects += u64::from(oracle.last_connect_time.take().is_some());
                    metrics.disconnected(at(now));
                }
            }
            let report = report(&metrics, at(now + 5));
            prop_assert_eq!(report.counts.connects, oracle.total_connects);
            prop_assert_eq!(report.counts.disconnects, disconnects);
            prop_assert_eq!(report.uptime, oracle.uptime(now + 5).map(ms));
            prop_assert_eq!(report.latency.is_some(), !all.is_empty());
            if let Some(latency) = report.latency {
                prop_assert_eq!(latency.mean.as_micros(), (oracle.average_latency * 1000.0 + 1e-6).floor() as u128);
                prop_assert_eq!(Some(&latency.last), all.last());
                prop_assert_eq!(Some(&latency.min), all.iter().min());
                prop_assert_eq!(Some(&latency.max), all.iter().max());
            }
        }
    }

    #[test]
    fn clocks_may_say_anything(events in prop::collection::vec(any::<(bool, u64)>(), 0..50), end: u64) {
        let mut metrics = Metrics::new();
        for (up, micros) in events {
            let now = Instant::from_micros(micros);
            if up { metrics.connected(now) } else { metrics.disconnected(now) }
        }
        let report = report(&metrics, Instant::from_micros(end));
        prop_assert!(report.uptime.unwrap_or_default() <= report.uptime_total);
    }
}

#[cfg(feature = "serde")]
mod as_data {
    use super::*;

    fn eventful() -> Report {
        let mut metrics = Metrics::new();
        metrics.connected(at(0));
        metrics.latency(ms(40));
        metrics.latency(Duration::from_micros(41_001));
        metrics.counts.drops.evicted += 2;
        metrics.report(at(1500), Some(ms(42)), Queue { messages: 3, bytes: 400 })
    }

    #[test]
    fn json_is_integers_with_the_unit_in_the_name() {
        let json = serde_json::to_value(eventful()).unwrap();
        assert_eq!(json["uptime_us"], 1_500_000);
        assert_eq!(json["uptime_total_us"], 1_500_000);
        assert_eq!(json["smoothed_latency_us"], 42_000);
        let latency =
            serde_json::json!({ "last_us": 41_001, "mean_us": 40_500, "min_us": 40_000, "max_us": 41_001 });
        assert_eq!(json["latency"], latency);
        assert_eq!(json["queue"], serde_json::json!({ "messages": 3, "bytes": 400 }));
        assert_eq!(json["counts"]["connects"], 1);
        assert_eq!(json["counts"]["drops"]["evicted"], 2);
    }

    #[test]
    fn text_and_bytes_carry_a_report() {
        for report in [eventful(), report(&Metrics::new(), at(0))] {
            let json = serde_json::to_string(&report).unwrap();
            assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
            let mut buffer = [0; 256];
            let bytes = postcard::to_slice(&report, &mut buffer).unwrap();
            assert_eq!(postcard::from_bytes::<Report>(bytes).unwrap(), report);
        }
    }
}

#[test]
fn a_counter_is_shown_and_compared_as_its_number() {
    let counter = Counter::from(42);
    assert_eq!((format!("{counter}"), format!("{counter:?}")), ("42".into(), "42".into()));
    assert!(counter == 42 && counter != 41);
}
