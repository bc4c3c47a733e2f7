//! The ledger against small stories.

use std::time::Duration;

use everlink_cli::ledger::{Accepted, Count, Fault, Ledger, Received};
use everlink_tokio::Outcome;

fn at(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Messages in order of acceptance, 10 ms apart; receptions in order, 10 ms apart, from 5 ms.
fn ledger<O: Copy + Into<Option<Outcome>>>(accepted: &[(&str, O)], received: &[&str]) -> Ledger {
    let accepted: Vec<Accepted> = accepted
        .iter()
        .zip(0..)
        .map(|((line, outcome), id)| Accepted {
            id,
            line: (*line).to_owned(),
            accepted_at: at(id * 10),
            outcome: (*outcome).into(),
        })
        .collect();
    let received: Vec<Received> = received
        .iter()
        .zip(0..)
        .map(|(line, n)| Received { line: (*line).to_owned(), received_at: at(5 + n * 10) })
        .collect();
    Ledger::new(&accepted, &received, 0, Vec::new())
}

use Outcome::{Acknowledged, Evicted, Expired, InDoubt, Replaced, Stopped, Written};

#[test]
fn all_well() {
    let ledger = ledger(&[("a", Written), ("b", Written), ("c", Acknowledged)], &["a", "b", "c"]);
    assert_eq!(ledger.of(Some(Written)), Count { accepted: 2, once: 2, never: 0, repeated: 0 });
    assert_eq!(ledger.total(), Count { accepted: 3, once: 3, never: 0, repeated: 0 });
    assert_eq!((ledger.median, ledger.slowest), (Some(at(5)), Some(at(5))));
    assert!(ledger.is_truthful());
}

#[test]
fn every_fate_is_counted() {
    let ledger = ledger(
        &[
            ("lost", Some(Written)),
            ("twice", Some(Written)),
            ("late", Some(Expired)),
            ("pushed out", Some(Evicted)),
            ("old cursor", Some(Replaced)),
            ("perhaps", Some(InDoubt)),
            ("perhaps not", Some(InDoubt)),
            ("open", None),
            ("quit", Some(Stopped)),
        ],
        &["twice", "twice", "perhaps", "twice"],
    );
    assert_eq!(ledger.written_but_never_received(), 1);
    assert_eq!(ledger.of(Some(Written)), Count { accepted: 2, once: 0, never: 1, repeated: 1 });
    assert_eq!(ledger.of(Some(InDoubt)), Count { accepted: 2, once: 1, never: 1, repeated: 0 });
    for outcome in [Some(Expired), Some(Evicted), Some(Replaced), None, Some(Stopped)] {
        assert_eq!(ledger.of(outcome), Count { accepted: 1, once: 0, never: 1, repeated: 0 });
    }
    assert_eq!((ledger.extra_copies, ledger.never_sent()), (2, 4));
    assert!(ledger.is_truthful());
    let text = ledger.to_string();
    let rows: Vec<_> =
        text.lines().skip(1).map_while(|row| row.split_once("  ")).map(|(word, _)| word).collect();
    assert_eq!(
        rows,
        ["written", "in doubt", "unsettled", "expired", "evicted", "replaced", "stopped", "accepted in all"]
    );
}

#[test]
fn a_message_that_was_never_sent_must_not_arrive() {
    let ledger = ledger(&[("a", Expired), ("b", Written)], &["b", "a"]);
    assert_eq!(ledger.never_sent_but_received, 1);
    assert!(!ledger.is_truthful());
    assert!(ledger.to_string().contains("VIOLATION"));
}

#[test]
fn an_acknowledged_message_must_have_arrived() {
    assert!(!ledger(&[("a", Acknowledged)], &[]).is_truthful());
}

#[test]
fn a_line_from_nowhere_is_unknown() {
    let ledger = ledger(&[("a", Written)], &["x", "a"]);
    assert_eq!(ledger.unknown, 1);
    assert!(!ledger.is_truthful());
}

#[test]
fn order_is_that_of_acceptance_and_copies_do_not_count() {
    let all = [("a", Written), ("b", Written), ("c", Written), ("d", Written)];
    assert_eq!(ledger(&all, &["a", "b", "c", "a", "d"]).out_of_order, 0);
    assert_eq!(ledger(&all, &["d", "a", "b", "c"]).out_of_order, 3);
    assert_eq!(ledger(&all, &["b", "a", "c", "d"]).out_of_order, 1);
}

#[test]
fn equal_lines_are_compared_by_number() {
    let ledger = ledger(&[("x", Expired), ("x", Written), ("x", Written)], &["x", "x"]);
    assert_eq!(ledger.of(Some(Written)), Count { accepted: 2, once: 2, never: 0, repeated: 0 });
    assert_eq!((ledger.never_sent_but_received, ledger.extra_copies), (0, 0));
}

#[test]
fn more_equal_lines_than_were_accepted_are_copies() {
    let ledger = ledger(&[("x", Written), ("x", Written)], &["x", "x", "x"]);
    assert_eq!((ledger.extra_copies, ledger.out_of_order), (1, 0));
    assert_eq!(ledger.of(Some(Written)), Count { accepted: 2, once: 1, never: 0, repeated: 1 });
}

#[test]
fn the_tables_are_aligned() {
    let accepted = [
        Accepted { id: 1, line: "a".to_owned(), accepted_at: at(0), outcome: Some(Written) },
        Accepted { id: 2, line: "b".to_owned(), accepted_at: at(10), outcome: Some(Written) },
        Accepted { id: 3, line: "c".to_owned(), accepted_at: at(20), outcome: Some(Expired) },
    ];
    let received = [Received { line: "a".to_owned(), received_at: at(1500) }];
    let fault = |name: &str, noticed, recovered| Fault {
        name: name.to_owned(),
        from: at(5000),
        healed: at(9000),
        noticed,
        recovered,
    };
    let faults = vec![
        fault("silent black hole", Some(at(6250)), Some(at(9500))),
        fault("slow network", None, Some(at(8000))),
        fault("drop", Some(at(5010)), None),
    ];
    let expected = "\
the client says          messages  received once    never   twice+
written                         2              1        1        0
expired                         1              0        1        0
accepted in all                 3              1        2        0

written but never received                    1
extra copies received                         0
received out of order                         0
received though reported never sent           0
acknowledged but never received               0
received but never accepted                   0
reconnects                                    2
accepted to received                     1.50 s  median, 1.50 s slowest

fault                        from   healed   noticed after recovered after
silent black hole          5.00 s   9.00 s          1.25 s          0.50 s
slow network               5.00 s   9.00 s     not noticed          0.00 s
drop                       5.00 s   9.00 s          0.01 s   not recovered
";
    let text = Ledger::new(&accepted, &received, 2, faults).to_string();
    assert!(text == expected, "{text}");
}
