//! The promise of the native wire, against an oracle with perfect memory: whatever happens to sockets, every accepted message
//! arrives exactly once and in order within its priority, or is settled as never sent and never arrives, or is in doubt and
//! arrives at most once; and in doubt is nothing as long as the server remembers the session.

use core::time::Duration;
use std::collections::BTreeMap;

use crate::harness::far::Far;
use crate::harness::{Door, Script, ms};
use crate::law::proptest_config;
use everlink::backoff::Jitter;
use everlink::link::{Candidate, Failure, Input, State, Status};
use everlink::outbox::{Message, MessageId, Outcome, Policy, Priority};
use everlink::wire::Wire;
use everlink::wire::native::Limits;
use proptest::prelude::*;

const REGRESSIONS: &str = "proptest-regressions/native_promise.txt";

#[derive(Clone, Copy, Debug)]
enum Event {
    /// The path swallows everything; what was on its way comes if it heals before the socket dies.
    Hole,
    Heal,
    /// The socket of this place, from the newest on, is dropped, with or without the far end noticing.
    Drop(usize),
    /// Every socket is dropped, and what was on its way is lost.
    Lose,
    Refuse,
    Full,
    Room,
    Offline,
    Online,
    Silent,
    Acks,
    Send(Priority, Option<u64>, Option<u64>),
    Cancel,
    Tell,
    Ticks,
    Slow(u64),
    Violate,
    /// The server forgets every session.
    Forget,
    /// The client's process is killed, and restored from what it had stored.
    Kill,
    Disk(u64),
}

fn events(trouble: Event) -> impl Strategy<Value = Vec<(u64, Event)>> {
    let priority = prop_oneof![Just(Priority::High), Just(Priority::Normal), Just(Priority::Low)];
    let send =
        (priority, proptest::option::weighted(0.2, 0..3_u64), proptest::option::weighted(0.2, 0..5_000_u64))
            .prop_map(|(priority, key, ttl)| Event::Send(priority, key, ttl));
    let one = prop_oneof![
        6 => send,
        6 => Just(Event::Tell),
        2 => Just(Event::Hole),
        3 => Just(Event::Heal),
        3 => (0..2_usize).prop_map(Event::Drop),
        1 => Just(Event::Lose),
        1 => Just(Event::Refuse),
        1 => Just(Event::Full),
        1 => Just(Event::Room),
        1 => Just(Event::Offline),
        2 => Just(Event::Online),
        1 => Just(Event::Silent),
        1 => Just(Event::Acks),
        1 => Just(Event::Cancel),
        1 => Just(Event::Ticks),
        1 => (1..1_500_u64).prop_map(Event::Slow),
        1 => Just(Event::Violate),
        2 => Just(trouble),
        1 => (0..300_u64).prop_map(Event::Disk),
    ];
    let gap = prop_oneof![4 => 0..60_u64, 4 => 0..2_000_u64, 1 => 0..20_000_u64];
    proptest::collection::vec((gap, one), 1..60)
}

#[derive(Clone, Debug)]
struct Setup {
    seed: u64,
    window: u32,
    candidate: bool,
    ack_delay: u64,
    policy: Policy,
    messages: u32,
    durable: bool,
}

fn setups() -> impl Strategy<Value = Setup> {
    let policy = prop_oneof![Just(Policy::DropOldest), Just(Policy::DropLowest), Just(Policy::Refuse)];
    (any::<u64>(), 1..6_u32, any::<bool>(), 0..200_u64, policy, 1..12_u32).prop_map(
        |(seed, window, candidate, ack_delay, policy, messages)| Setup {
            seed,
            window,
            candidate,
            ack_delay,
            policy,
            messages,
            durable: false,
        },
    )
}

fn start(setup: &Setup) -> Script {
    let mut script = Script::with_seed(setup.seed, |config| {
        config.delivery.durable = setup.durable;
        config.wire = Wire::Native(Limits::default());
        config.backoff.jitter = Jitter::Equal;
        config.backoff.attempts = None;
        config.delivery.window = setup.window;
        config.delivery.ack_delay = ms(setup.ack_delay);
        config.outbox.policy = setup.policy;
        config.outbox.messages = setup.messages;
        config.candidate = if setup.candidate { Candidate::On } else { Candidate::Off };
    });
    script.far = Some(Far::default());
    script.input(Input::Start);
    script
}

/// What was sent and told, in order.
#[derive(Default)]
struct Oracle {
    sent: Vec<(MessageId, Priority, Option<u64>, String)>,
    told: Vec<String>,
    count: u32,
    cancelled: Vec<MessageId>,
    /// Accepted, and forgotten when the process was killed.
    lost: Vec<String>,
}

/// Every socket has room again.
fn make_room(script: &mut Script) {
    script.socket_is_full = false;
    for number in 1..=script.newest() {
        script.event(number, everlink::link::Event::Writable);
    }
}

fn live(script: &mut Script, events: &[(u64, Event)]) -> Oracle {
    let mut oracle = Oracle::default();
    for (gap, event) in events {
        script.until_instant(script.now + ms(*gap));
        let newest = script.newest();
        match *event {
            Event::Hole => script.server.black_hole(),
            Event::Heal => script.server.heal(),
            Event::Drop(place) => script.close(newest.saturating_sub(place as u32).max(1), None),
            Event::Lose => {
                // What a connection loses it never makes up for: it ends.
                for number in 1..=newest {
                    script.close(number, None);
                }
                script.lose_what_is_held();
            }
            Event::Refuse => script.server.door = Door::Refuses(Failure::Connect),
            Event::Full => script.socket_is_full = true,
            Event::Room => {
                make_room(script);
            }
            Event::Offline => script.input(Input::Offline),
            Event::Online => script.input(Input::Online),
            Event::Silent => script.far().acks = false,
            Event::Acks => script.far().acks = true,
            Event::Send(priority, key, ttl) => {
                oracle.count += 1;
                let text = format!("m{}", oracle.count);
                let mut message = Message::text(text.clone().into_bytes()).with_priority(priority);
                if let Some(key) = key {
                    message = message.with_key(everlink::outbox::Key::new(key));
                }
                if let Some(ttl) = ttl {
                    message = message.with_ttl(ms(ttl));
                }
                if let Ok(id) = script.post(message) {
                    oracle.sent.push((id, priority, key, text));
                }
            }
            Event::Cancel => {
                if let Some((id, ..)) = oracle.sent.last()
                    && script.link.cancel(*id).is_some()
                {
                    oracle.cancelled.push(*id);
                    script.cancelled += 1;
                    script.drain();
                }
            }
            Event::Tell => {
                // What is said in a session that the client may never hear of is lost with it.
                if script.far().sessions.last().is_some_and(|session| session.confirmed) {
                    let text = format!("t{}", oracle.told.len());
                    script.tell(&text);
                    oracle.told.push(text);
                }
            }
            Event::Ticks => script.chatty = !script.chatty,
            Event::Slow(rtt) => script.server.rtt = ms(rtt),
            Event::Violate => script.event(newest, everlink::link::Event::Violation(1002)),
            Event::Forget => script.far().forget(),
            Event::Disk(millis) => script.disk = Some(ms(millis)),
            Event::Kill => {
                let config = script.link.config().clone();
                script.kill(&config, script.now.micros());
                script.drain();
                // What the application did after the last stored state, it does not know of.
                let known = script.accepted;
                oracle.lost.extend(oracle.sent.drain(known..).map(|(.., text)| text));
                oracle.cancelled.truncate(script.cancelled);
            }
        }
    }
    script.chatty = false;
    script.far().acks = true;
    script.server.rtt = ms(40);
    script.server.heal();
    make_room(script);
    script.input(Input::Online);
    script.until_instant(script.now + Duration::from_secs(300));
    oracle
}

fn check(script: &mut Script, oracle: &Oracle, forgetful: bool) -> Result<(), TestCaseError> {
    prop_assert!(matches!(script.status(), Status::Connected), "{:?}", script.state());
    let came: Vec<String> = script.far().came().into_iter().map(str::to_owned).collect();
    let mut ends: BTreeMap<MessageId, Outcome> = BTreeMap::new();
    for end in &script.settled {
        prop_assert_eq!(ends.insert(end.id, end.outcome), None, "one end for {}", end.id);
    }
    for id in &oracle.cancelled {
        prop_assert_eq!(ends.insert(*id, Outcome::Cancelled), None);
    }
    for (id, _, _, text) in &oracle.sent {
        let times = came.iter().filter(|it| *it == text).count();
        match ends.get(id) {
            Some(Outcome::Acknowledged) => prop_assert_eq!(times, 1, "{} is acknowledged", text),
            Some(Outcome::InDoubt) => prop_assert!(forgetful && times <= 1, "{text} is in doubt: {times}"),
            Some(outcome) if outcome.never_sent() => prop_assert_eq!(times, 0, "{} is {:?}", text, outcome),
            other => prop_assert!(false, "{text} ended as {other:?}"),
        }
    }
    for text in &oracle.lost {
        prop_assert!(!came.contains(text), "{text} was not stored, and left all the same");
    }
    for of in [Priority::High, Priority::Normal, Priority::Low] {
        // A keyed message has the place of its older self; the others keep their order.
        let plain = oracle.sent.iter().filter(|(_, priority, key, _)| *priority == of && key.is_none());
        let order: Vec<_> = plain.filter_map(|(.., text)| came.iter().position(|it| it == text)).collect();
        prop_assert!(order.is_sorted(), "{of:?}: {came:?}");
    }
    let delivered: Vec<_> =
        script.delivered.iter().map(|data| String::from_utf8(data.clone()).unwrap()).collect();
    if forgetful {
        let mut rest = oracle.told.iter();
        prop_assert!(
            delivered.iter().all(|one| rest.any(|it| it == one)),
            "in order, none twice: {delivered:?}"
        );
    } else {
        prop_assert_eq!(&delivered, &oracle.told);
    }
    prop_assert!(!matches!(script.state(), State::Unacknowledged));
    Ok(())
}

proptest! {
    #![proptest_config(proptest_config(REGRESSIONS, 400))]

    #[test]
    fn nothing_is_lost_repeated_reordered_or_in_doubt(setup in setups(), events in events(Event::Heal)) {
        let mut script = start(&setup);
        let oracle = live(&mut script, &events);
        check(&mut script, &oracle, false)?;
    }

    #[test]
    fn a_server_that_forgets_leaves_doubt_and_nothing_else(setup in setups(), events in events(Event::Forget)) {
        let mut script = start(&setup);
        let oracle = live(&mut script, &events);
        check(&mut script, &oracle, true)?;
    }

    /// Whatever it says after a restart agrees with what it said before.
    #[test]
    fn a_durable_process_may_be_killed_at_any_time(setup in setups(), events in events(Event::Kill)) {
        let mut script = start(&Setup { durable: true, ..setup });
        let oracle = live(&mut script, &events);
        check(&mut script, &oracle, false)?;
    }
}
