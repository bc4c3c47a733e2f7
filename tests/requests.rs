//! Requests: each one ends in exactly one answer, error or reason why there is none.

#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test may be blunt")]

use core::time::Duration;
use std::collections::BTreeMap;

use crate::law::proptest_config;
use everlink::outbox::{self, Arena, Message, MessageId, Outbox, Outcome};
use everlink::requests::{Config, End, Ended, Incoming, Refused, RequestId, Requests, Slot, Unwelcome};
use everlink::time::Instant;
use proptest::prelude::*;

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

/// An outbox to get message ids from.
struct Post {
    arena: Arena<u32>,
    outbox: Outbox,
}

impl Post {
    fn new() -> Post {
        Post { arena: Arena::with_capacity(1000), outbox: Outbox::new(0) }
    }

    fn push(&mut self, payload: u32) -> MessageId {
        let config = outbox::Config { messages: 1000, age: None, ..outbox::Config::default() };
        let message = Message::binary(payload);
        self.outbox.push(&mut self.arena, &config, at(0), 4, message, |_, _| ()).unwrap()
    }
}

type Table = Requests<u32, [Slot<u32>; 4]>;

fn table() -> (Table, Post, Config) {
    (Requests::new([const { Slot::EMPTY }; 4], 0), Post::new(), Config::default())
}

fn ask(
    requests: &mut Table,
    post: &mut Post,
    config: &Config,
    now: u64,
    copy: Option<u32>,
) -> (RequestId, MessageId) {
    let id = requests.begin(config, at(now), None, copy).unwrap();
    let message = post.push(0);
    requests.queued(id, message);
    (id, message)
}

fn ended(requests: &mut Table) -> Vec<(u32, End)> {
    core::iter::from_fn(|| requests.next_ended()).map(|Ended { id, end }| (id.get(), end)).collect()
}

#[test]
fn a_request_is_answered_once() {
    let (mut requests, mut post, config) = table();
    let (id, message) = ask(&mut requests, &mut post, &config, 0, None);
    assert!(requests.settled(message, Outcome::Acknowledged));
    assert!(!requests.settled(message, Outcome::Acknowledged));
    let closed = requests.answered(id.get()).unwrap();
    assert_eq!((closed.id, closed.message), (id, None));
    assert_eq!(requests.answered(id.get()), None);
    assert_eq!(requests.strays(), 1);
    assert_eq!((requests.pending(), requests.next_deadline()), (0, None));
    assert_eq!(ended(&mut requests), []);
}

#[test]
fn answers_may_come_in_any_order_and_before_the_acknowledgement() {
    let (mut requests, mut post, config) = table();
    let (first, message) = ask(&mut requests, &mut post, &config, 0, None);
    let (second, _) = ask(&mut requests, &mut post, &config, 0, None);
    assert!(requests.answered(second.get()).is_some());
    assert_eq!(requests.answered(first.get()).unwrap().message, Some(message));
    assert!(!requests.settled(message, Outcome::Acknowledged));
}

#[test]
fn no_answer_in_time_is_told_and_takes_back_what_is_still_queued() {
    let (mut requests, mut post, config) = table();
    let (first, message) = ask(&mut requests, &mut post, &config, 0, None);
    let (second, delivered) = ask(&mut requests, &mut post, &config, 1, Some(7));
    let patient = requests.begin(&config, at(2), Some(Duration::from_secs(60)), None).unwrap();
    requests.settled(delivered, Outcome::Acknowledged);
    assert_eq!(requests.next_deadline(), Some(at(10_000)));

    let mut unsent = Vec::new();
    requests.expire(at(9_999), |message| unsent.push(message));
    assert_eq!(ended(&mut requests), []);
    requests.expire(at(10_000), |message| unsent.push(message));
    assert_eq!(unsent, [message]);
    requests.expire(at(10_001), |message| unsent.push(message));
    assert_eq!(unsent, [message]);
    assert_eq!(ended(&mut requests), [(first.get(), End::TimedOut), (second.get(), End::TimedOut)]);
    assert_eq!(requests.next_deadline(), Some(at(60_002)));

    // Too late.
    assert_eq!(requests.answered(first.get()), None);
    assert!(requests.answered(patient.get()).is_some());
}

#[test]
fn across_a_resumed_session_nothing_happens() {
    let (mut requests, mut post, config) = table();
    let (id, message) = ask(&mut requests, &mut post, &config, 0, None);
    // The socket dies, the message is handed over again to the next one, and acknowledged there.
    requests.settled(message, Outcome::Acknowledged);
    assert!(requests.again().is_none());
    assert!(requests.answered(id.get()).is_some());
}

#[test]
fn in_a_lost_session_what_had_left_is_in_doubt_or_asked_again() {
    let (mut requests, mut post, config) = table();
    let (command, delivered) = ask(&mut requests, &mut post, &config, 0, None);
    let (query, also_delivered) = ask(&mut requests, &mut post, &config, 0, Some(7));
    let (in_flight, third) = ask(&mut requests, &mut post, &config, 0, None);
    let (queued, _) = ask(&mut requests, &mut post, &config, 0, None);
    requests.settled(delivered, Outcome::Acknowledged);
    requests.settled(also_delivered, Outcome::Acknowledged);

    requests.settled(third, Outcome::InDoubt);
    requests.lost();
    assert_eq!(ended(&mut requests), [(in_flight.get(), End::InDoubt), (command.get(), End::InDoubt)]);
    // In the new session nobody was asked yet: this answer is made up.
    assert_eq!(requests.answered(query.get()), None);
    assert_eq!(requests.again(), Some((query, &7)));
    let message = post.push(7);
    requests.queued(query, message);
    assert_eq!(requests.again(), None);
    requests.settled(message, Outcome::Acknowledged);
    assert!(requests.answered(query.get()).is_some());
    assert!(requests.answered(queued.get()).is_some());
}

#[test]
fn what_may_have_been_done_is_in_doubt_though_it_was_not_asked_again() {
    let (mut requests, mut post, config) = table();
    for outcome in [Outcome::Stopped, Outcome::Evicted, Outcome::Expired] {
        let (query, message) = ask(&mut requests, &mut post, &config, 0, Some(7));
        requests.settled(message, Outcome::Written);
        requests.lost();
        assert_eq!(requests.again(), Some((query, &7)));
        let message = post.push(7);
        requests.queued(query, message);
        requests.settled(message, outcome);
        assert_eq!(ended(&mut requests), [(query.get(), End::InDoubt)]);
        // The next one in its place has never left.
        for _ in 0..4 {
            let (id, message) = ask(&mut requests, &mut post, &config, 0, Some(8));
            requests.settled(message, outcome);
            assert_eq!(ended(&mut requests), [(id.get(), End::NeverSent(outcome))]);
        }
    }
}

#[test]
fn a_request_that_waits_to_be_asked_again_times_out_as_well() {
    let (mut requests, mut post, config) = table();
    let (query, message) = ask(&mut requests, &mut post, &config, 0, Some(7));
    requests.settled(message, Outcome::InDoubt);
    assert_eq!(requests.again(), Some((query, &7)));
    requests.expire(at(10_000), |message| panic!("{message} is not in the outbox"));
    assert_eq!(requests.again(), None);
    assert_eq!(ended(&mut requests), [(query.get(), End::TimedOut)]);
}

#[test]
fn what_never_left_is_told_with_the_reason() {
    for outcome in
        [Outcome::Expired, Outcome::Evicted, Outcome::Replaced, Outcome::Cancelled, Outcome::TooLarge]
    {
        let (mut requests, mut post, config) = table();
        let (id, message) = ask(&mut requests, &mut post, &config, 0, Some(7));
        assert!(requests.settled(message, outcome));
        assert_eq!(ended(&mut requests), [(id.get(), End::NeverSent(outcome))]);
    }
}

#[test]
fn a_stop_ends_all_and_asks_nothing_again() {
    let (mut requests, mut post, config) = table();
    let (delivered, message) = ask(&mut requests, &mut post, &config, 0, Some(1));
    requests.settled(message, Outcome::Acknowledged);
    let (again, message) = ask(&mut requests, &mut post, &config, 0, Some(2));
    requests.settled(message, Outcome::InDoubt);
    let (queued, in_queue) = ask(&mut requests, &mut post, &config, 0, Some(3));
    let (in_flight, under_way) = ask(&mut requests, &mut post, &config, 0, Some(4));

    requests.stop();
    requests.settled(in_queue, Outcome::Stopped);
    requests.settled(under_way, Outcome::InDoubt);
    assert_eq!(requests.again(), None);
    let all = [
        (delivered, End::InDoubt),
        (again, End::InDoubt),
        (queued, End::NeverSent(Outcome::Stopped)),
        (in_flight, End::InDoubt),
    ];
    assert_eq!(ended(&mut requests), all.map(|(id, end)| (id.get(), end)));
    assert_eq!(requests.next_deadline(), None);
}

#[test]
fn nobody_waits_any_more_for_what_was_cancelled() {
    let (mut requests, mut post, config) = table();
    let (id, message) = ask(&mut requests, &mut post, &config, 0, None);
    assert_eq!(requests.cancel(id).unwrap().message, Some(message));
    assert_eq!(requests.cancel(id), None);
    assert_eq!(requests.answered(id.get()), None);
    assert!(!requests.settled(message, Outcome::Cancelled));
    assert_eq!(ended(&mut requests), []);
}

#[test]
fn too_many_are_refused_with_the_limit_and_the_copy() {
    let (mut requests, _, config) = table();
    let few = Config { pending: 2, ..config.clone() };
    requests.begin(&few, at(0), None, None).unwrap();
    requests.begin(&few, at(0), None, None).unwrap();
    assert_eq!(requests.begin(&few, at(0), None, Some(7)), Err(Refused { limit: 2, copy: Some(7) }));
    requests.begin(&config, at(0), None, None).unwrap();
    requests.begin(&config, at(0), None, None).unwrap();
    let refused = requests.begin(&config, at(0), None, None).unwrap_err();
    assert_eq!(refused.to_string(), "4 requests wait for an answer, and no more may");
    assert!(Requests::<u32, _>::new([], 0).begin(&config, at(0), None, None).is_err());
}

#[test]
fn ids_start_low_and_come_back_last() {
    let (mut requests, _, config) = table();
    let mut next = || {
        let id = requests.begin(&config, at(0), None, None).unwrap();
        requests.cancel(id);
        id.get()
    };
    assert_eq!([next(), next(), next(), next(), next()], [1, 2, 3, 4, 5]);

    let mut last = Requests::<u32, _>::new([const { Slot::EMPTY }; 4], u32::MAX);
    let ids: Vec<_> = (0..12)
        .map(|_| {
            let id = last.begin(&config, at(0), None, None).unwrap();
            last.cancel(id);
            id.get()
        })
        .collect();
    assert!(ids.iter().all(|&id| (1..=RequestId::MAX).contains(&id)), "{ids:?}");
    assert_eq!(ids.iter().collect::<std::collections::BTreeSet<_>>().len(), 12);
}

#[test]
fn a_handler_answers_once_or_the_other_end_is_told() {
    let config = Config { incoming: 2, ..Config::default() };
    let mut incoming = Incoming::new([None; 3]);
    incoming.arrived(&config, at(0), "a").unwrap();
    assert_eq!(incoming.arrived(&config, at(1), "a"), Err(Unwelcome::Twice));
    incoming.arrived(&config, at(1), "b").unwrap();
    assert_eq!(incoming.waiting(), 2);
    assert_eq!(incoming.arrived(&config, at(2), "c"), Err(Unwelcome::TooMany { limit: 2 }));
    assert!(!incoming.answers(&"c"));

    assert!(incoming.answers(&"a"));
    assert!(!incoming.answers(&"a"));
    incoming.arrived(&config, at(2), "c").unwrap();
    assert_eq!(incoming.expire(at(30_000)), None);
    assert_eq!(incoming.next_deadline(), Some(at(30_001)));
    assert_eq!(incoming.expire(at(30_001)), Some("b"));
    assert!(!incoming.answers(&"b"));
    assert_eq!(incoming.expire(at(30_001)), None);
    incoming.lost();
    assert!(!incoming.answers(&"c"));
    assert_eq!((incoming.waiting(), incoming.next_deadline()), (0, None));
}

#[derive(Clone, Debug)]
enum Op {
    Begin { timeout: u64, copy: bool },
    Settle { which: usize, outcome: Outcome },
    Answer { which: usize },
    Stray(u32),
    Cancel { which: usize },
    Wait(u64),
    Lost,
    Stop,
    AskAgain,
    Drain,
}

fn op() -> impl Strategy<Value = Op> {
    let outcome = prop::sample::select(vec![
        Outcome::Acknowledged,
        Outcome::Written,
        Outcome::InDoubt,
        Outcome::InDoubt,
        Outcome::Expired,
        Outcome::Stopped,
    ]);
    prop_oneof![
        6 => (1..40u64, any::<bool>()).prop_map(|(timeout, copy)| Op::Begin { timeout, copy }),
        5 => (any::<usize>(), outcome).prop_map(|(which, outcome)| Op::Settle { which, outcome }),
        3 => any::<usize>().prop_map(|which| Op::Answer { which }),
        1 => prop_oneof![0..20u32, any::<u32>()].prop_map(Op::Stray),
        1 => any::<usize>().prop_map(|which| Op::Cancel { which }),
        3 => (0..20u64).prop_map(Op::Wait),
        2 => Just(Op::Lost),
        1 => Just(Op::Stop),
        3 => Just(Op::AskAgain),
        2 => Just(Op::Drain),
    ]
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Asked(MessageId),
    Awaited,
    Again,
}

/// What a request is to somebody with a perfect memory and no ambition.
#[derive(Clone, Debug)]
struct Naive {
    state: State,
    copy: bool,
    /// It has left at least once.
    doubted: bool,
    due: u64,
}

proptest! {
    #![proptest_config(proptest_config("proptest-regressions/requests.txt", 400))]

    /// Every request that began ends in exactly one way: answered, cancelled, or told with a reason, as the naive one has it.
    #[test]
    fn every_request_ends_once_and_as_it_should(ops in prop::collection::vec(op(), 1..120), start in prop_oneof![Just(0), any::<u32>()]) {
        let (_, mut post, config) = table();
        let mut requests: Table = Requests::new([const { Slot::EMPTY }; 4], start);
        let mut naive = BTreeMap::<u64, (RequestId, Naive)>::new();
        let (mut untold, mut now, mut count) = (Vec::new(), 0, 0u64);
        let mut strays = 0;
        let pick = |naive: &BTreeMap<u64, (RequestId, Naive)>, which: usize| {
            naive.iter().nth(which % naive.len().max(1)).map(|(key, (id, request))| (*key, *id, request.clone()))
        };
        for op in ops {
            match op {
                Op::Begin { timeout, copy } => {
                    let begun = requests.begin(&config, at(now), Some(Duration::from_millis(timeout)), copy.then_some(7));
                    let full = naive.len() + untold.len() == 4;
                    prop_assert_eq!(begun.is_err(), full);
                    let Ok(id) = begun else { continue };
                    prop_assert!(naive.values().all(|(other, _)| *other != id));
                    let message = post.push(0);
                    requests.queued(id, message);
                    count += 1;
                    naive.insert(count, (id, Naive { state: State::Asked(message), copy, doubted: false, due: now + timeout }));
                }
                Op::Settle { which, outcome } => {
                    let Some((key, id, request)) = pick(&naive, which) else { continue };
                    let State::Asked(message) = request.state else { continue };
                    prop_assert!(requests.settled(message, outcome));
                    let known = naive.get_mut(&key).unwrap();
                    match outcome {
                        Outcome::Acknowledged | Outcome::Written => known.1.state = State::Awaited,
                        Outcome::InDoubt if request.copy => (known.1.state, known.1.doubted) = (State::Again, true),
                        outcome => {
                            naive.remove(&key);
                            let doubt = request.doubted || outcome == Outcome::InDoubt;
                            untold.push((id.get(), if doubt { End::InDoubt } else { End::NeverSent(outcome) }));
                        }
                    }
                }
                Op::Answer { which } => {
                    let Some((key, id, request)) = pick(&naive, which) else { continue };
                    let closed = requests.answered(id.get());
                    prop_assert_eq!(closed.is_some(), request.state != State::Again);
                    match closed {
                        Some(closed) => {
                            prop_assert_eq!(closed.id, id);
                            let message = match request.state { State::Asked(message) => Some(message), _ => None };
                            prop_assert_eq!(closed.message, message);
                            naive.remove(&key);
                        }
                        None => strays += 1,
                    }
                }
                Op::Stray(id) => {
                    if naive.values().all(|(known, _)| known.get() != id) {
                        prop_assert_eq!(requests.answered(id), None);
                        strays += 1;
                    }
                }
                Op::Cancel { which } => {
                    let Some((key, id, request)) = pick(&naive, which) else { continue };
                    let message = match request.state { State::Asked(message) => Some(message), _ => None };
                    prop_assert_eq!(requests.cancel(id).map(|closed| closed.message), Some(message));
                    naive.remove(&key);
                }
                Op::Wait(millis) => {
                    now += millis;
                    let mut unsent = Vec::new();
                    requests.expire(at(now), |message| unsent.push(message));
                    unsent.sort();
                    let due: Vec<_> = naive.iter().filter(|(_, (_, request))| request.due <= now).map(|(key, _)| *key).collect();
                    let mut messages = Vec::new();
                    for key in due {
                        let (id, request) = naive.remove(&key).unwrap();
                        untold.push((id.get(), End::TimedOut));
                        if let State::Asked(message) = request.state {
                            messages.push(message);
                        }
                    }
                    messages.sort();
                    prop_assert_eq!(unsent, messages);
                }
                Op::Lost => {
                    requests.lost();
                    let away: Vec<_> = naive.iter().filter(|(_, (_, request))| request.state == State::Awaited).map(|(key, _)| *key).collect();
                    for key in away {
                        let known = naive.get_mut(&key).unwrap();
                        if known.1.copy {
                            (known.1.state, known.1.doubted) = (State::Again, true);
                        } else {
                            untold.push((known.0.get(), End::InDoubt));
                            naive.remove(&key);
                        }
                    }
                }
                Op::Stop => {
                    requests.stop();
                    naive.retain(|_, (id, request)| {
                        request.copy = false;
                        let stays = matches!(request.state, State::Asked(_));
                        if !stays {
                            untold.push((id.get(), End::InDoubt));
                        }
                        stays
                    });
                }
                Op::AskAgain => {
                    let again = requests.again().map(|(id, copy)| (id, *copy));
                    let expected = naive.values().any(|(_, request)| request.state == State::Again);
                    prop_assert_eq!(again.is_some(), expected);
                    let Some((id, copy)) = again else { continue };
                    prop_assert_eq!(copy, 7);
                    let message = post.push(copy);
                    requests.queued(id, message);
                    let (_, request) = naive.values_mut().find(|(known, _)| *known == id).unwrap();
                    prop_assert_eq!(request.state, State::Again);
                    request.state = State::Asked(message);
                }
                Op::Drain => {
                    let mut told = ended(&mut requests);
                    told.sort_by_key(|(id, _)| *id);
                    untold.sort_by_key(|(id, _)| *id);
                    prop_assert_eq!(told, core::mem::take(&mut untold));
                }
            }
            prop_assert_eq!(requests.pending() as usize, naive.len());
            prop_assert_eq!(requests.has_ended(), !untold.is_empty());
            prop_assert_eq!(requests.strays(), strays);
            let first = naive.values().map(|(_, request)| at(request.due)).min();
            match (requests.next_deadline(), first) {
                (Some(deadline), Some(first)) => prop_assert!(deadline <= first),
                (deadline, first) => prop_assert_eq!(deadline, first),
            }
        }
    }
}
