//! Channels: what the application wants, what the other end knows, and what is told of the difference.

#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test may be blunt")]

use core::num::NonZeroU32;
use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use crate::law::proptest_config;
use everlink::channels::{
    Action, Channels, Config, Confirmed, Joined, Receiver, RefusedReason, SYSTEM, Slot, State, SubscriptionId,
};
use everlink::outbox::{self, Arena, Message, MessageId, Outbox, Outcome};
use everlink::time::Instant;
use proptest::prelude::*;

type Table = Channels<&'static str, [Slot<&'static str>; 4]>;

fn table() -> (Table, Config) {
    (Channels::new([const { Slot::EMPTY }; 4]), Config::default())
}

/// Gives the next order without an outbox: its id, and what it is.
fn give(channels: &mut Table) -> Option<(u32, String)> {
    let mut given = None;
    let is_given = channels.give::<()>(|order| {
        let (word, name) = match order.action {
            Action::Subscribe(name) => ("subscribe", name),
            Action::Unsubscribe(name) => ("unsubscribe", name),
        };
        given = Some((order.id, format!("{word} {name}")));
        Ok(None)
    });
    assert_eq!(is_given, Ok(given.is_some()));
    given
}

fn joined(channels: &mut Table, config: &Config, name: &'static str, number: u32) -> SubscriptionId {
    let id = channels.subscribe(config, name).unwrap();
    let (order, _) = give(channels).unwrap();
    assert_eq!(channels.confirmed(order, 0, number), Some(Confirmed::Subscribed { id, gap: false }));
    id
}

#[test]
fn a_subscription_is_pending_then_confirmed() {
    let (mut channels, config) = table();
    let id = channels.subscribe(&config, "a").unwrap();
    assert_eq!(channels.state(id), Some(State::Pending));
    let (order, what) = give(&mut channels).unwrap();
    assert_eq!(what, "subscribe a");
    assert_eq!(order % 2, 1);
    assert_eq!(give(&mut channels), None);
    assert_eq!(channels.order_of("a"), Some(order));
    assert_eq!(channels.confirmed(order, 0, 7), Some(Confirmed::Subscribed { id, gap: false }));
    assert_eq!(channels.state(id), Some(State::Confirmed));
    assert_eq!(channels.order_of("a"), None);
    assert_eq!(channels.receiver_of_number(7), Receiver::Subscription(id));
    assert_eq!(channels.receiver_of_name("a"), Receiver::Subscription(id));
    assert_eq!((channels.name(id), id.to_string()), (Some(&"a"), "1".into()));
    assert!(channels.unsubscribe(id));
    assert_eq!(channels.name(id), None);
}

#[test]
fn an_order_that_is_not_confirmed_is_given_again_however_late_that_is_noticed() {
    for late in [0, 1, 60_000] {
        let (mut channels, config) = table();
        channels.subscribe(&config, "a").unwrap();
        let due = Some(Instant::from_millis(1_000));
        assert_eq!(channels.give_until::<()>(due, |_| Ok(None)), Ok(true));
        channels.expire(Instant::from_millis(999), Duration::from_secs(1));
        assert_eq!(give(&mut channels), None);
        channels.expire(Instant::from_millis(1_000 + late), Duration::from_secs(1));
        assert_eq!(give(&mut channels).unwrap().1, "subscribe a", "{late} ms late");
    }
}

#[test]
fn a_refused_subscription_is_over() {
    let (mut channels, config) = table();
    let id = channels.subscribe(&config, "a").unwrap();
    let (order, _) = give(&mut channels).unwrap();
    assert_eq!(channels.confirmed(order, 13, 0), Some(Confirmed::Refused { id, code: 13 }));
    assert_eq!(channels.state(id), None);
    assert_eq!(channels.receiver_of_name("a"), Receiver::Nobody);
    assert_eq!(give(&mut channels), None);
    assert_ne!(channels.subscribe(&config, "a").unwrap(), id);
}

#[test]
fn a_resumed_session_repeats_nothing_and_a_lost_one_everything() {
    let (mut channels, config) = table();
    let (a, b) = (joined(&mut channels, &config, "a", 1), joined(&mut channels, &config, "b", 2));
    let pending = channels.subscribe(&config, "c").unwrap();
    assert_eq!(give(&mut channels).unwrap().1, "subscribe c");
    // Resumed: nobody calls anything.
    assert_eq!(give(&mut channels), None);

    channels.lost(|message| panic!("{message} is in no outbox"));
    assert_eq!(channels.state(a), Some(State::Pending));
    assert_eq!(channels.receiver_of_number(1), Receiver::Nobody);
    let orders: Vec<_> = core::iter::from_fn(|| give(&mut channels)).collect();
    assert_eq!(
        orders.iter().map(|(_, what)| what.as_str()).collect::<Vec<_>>(),
        ["subscribe a", "subscribe b", "subscribe c"]
    );
    assert_eq!(channels.confirmed(orders[0].0, 0, 2), Some(Confirmed::Subscribed { id: a, gap: true }));
    assert_eq!(channels.confirmed(orders[1].0, 0, 1), Some(Confirmed::Subscribed { id: b, gap: true }));
    assert_eq!(
        channels.confirmed(orders[2].0, 0, 3),
        Some(Confirmed::Subscribed { id: pending, gap: false })
    );
    assert_eq!(channels.receiver_of_number(1), Receiver::Subscription(b));
    assert_eq!(channels.receiver_of_number(2), Receiver::Subscription(a));
}

#[test]
fn a_gap_is_told_also_if_the_next_session_was_lost_before_it_was_confirmed() {
    let (mut channels, config) = table();
    let a = joined(&mut channels, &config, "a", 1);
    channels.lost(|_| ());
    give(&mut channels).unwrap();
    channels.lost(|_| ());
    let (order, _) = give(&mut channels).unwrap();
    assert_eq!(channels.confirmed(order, 0, 1), Some(Confirmed::Subscribed { id: a, gap: true }));
    // And only once.
    assert_eq!(channels.confirmed(order, 0, 1), None);
}

#[test]
fn nothing_comes_of_a_channel_that_was_left() {
    let (mut channels, config) = table();
    let id = joined(&mut channels, &config, "a", 7);
    assert!(channels.unsubscribe(id));
    assert!(!channels.unsubscribe(id));
    assert_eq!(channels.receiver_of_number(7), Receiver::Nobody);
    let (order, what) = give(&mut channels).unwrap();
    assert_eq!(what, "unsubscribe a");
    assert_eq!(channels.receiver_of_name("a"), Receiver::Nobody);
    assert_eq!(channels.confirmed(order, 0, 0), None);
    assert_eq!((channels.strays(), channels.iter().count()), (2, 0));
}

#[test]
fn what_was_never_ordered_is_left_without_a_word() {
    let (mut channels, config) = table();
    let id = channels.subscribe(&config, "a").unwrap();
    assert!(channels.unsubscribe(id));
    assert_eq!(give(&mut channels), None);
}

#[test]
fn a_channel_that_is_left_and_wanted_again_is_confirmed_again() {
    let (mut channels, config) = table();
    // Wanted again before the order to leave was given, while it waits to be confirmed, and before the first one was.
    let first = joined(&mut channels, &config, "a", 7);
    channels.unsubscribe(first);
    let second = channels.subscribe(&config, "a").unwrap();
    assert_ne!(first, second);
    let (order, what) = give(&mut channels).unwrap();
    assert_eq!(what, "subscribe a");
    assert_eq!(channels.confirmed(order, 0, 7), Some(Confirmed::Subscribed { id: second, gap: false }));

    channels.unsubscribe(second);
    let (leave, _) = give(&mut channels).unwrap();
    let third = channels.subscribe(&config, "a").unwrap();
    assert_eq!(give(&mut channels), None);
    assert_eq!(channels.confirmed(leave, 0, 0), None);
    let (order, what) = give(&mut channels).unwrap();
    assert_eq!(what, "subscribe a");

    channels.unsubscribe(third);
    let fourth = channels.subscribe(&config, "a").unwrap();
    assert_eq!(give(&mut channels), None);
    assert_eq!(channels.confirmed(order, 0, 8), None);
    assert_eq!((channels.state(third), channels.state(fourth)), (None, Some(State::Pending)));
    let (order, what) = give(&mut channels).unwrap();
    assert_eq!((what.as_str(), SubscriptionId::of_order(order)), ("subscribe a", Some(fourth)));
    assert_eq!(channels.confirmed(order, 0, 8), Some(Confirmed::Subscribed { id: fourth, gap: false }));
}

#[test]
fn limits_are_named() {
    let (mut channels, config) = table();
    let few = Config { subscriptions: 1, name_bytes: 3 };
    let refused = |channels: &mut Table, config: &Config, name| {
        let refused = channels.subscribe(config, name).unwrap_err();
        assert_eq!(refused.name, name);
        refused.reason
    };
    assert_eq!(refused(&mut channels, &few, "abcd"), RefusedReason::NameTooLong { limit: 3 });
    assert_eq!(refused(&mut channels, &few, ""), RefusedReason::NameEmpty);
    assert_eq!(refused(&mut channels, &config, SYSTEM), RefusedReason::System);
    let id = channels.subscribe(&few, "abc").unwrap();
    assert_eq!(refused(&mut channels, &few, "abc"), RefusedReason::Twice(id));
    assert_eq!(refused(&mut channels, &few, "b"), RefusedReason::TooMany { limit: 1 });
    for name in ["b", "c", "d"] {
        channels.subscribe(&config, name).unwrap();
    }
    let reason = refused(&mut channels, &config, "e");
    assert_eq!(reason.to_string(), "there are 4 subscriptions, and no more may be");
    let refused = channels.subscribe(&config, "e").unwrap_err();
    assert_eq!(refused.to_string(), reason.to_string());
    assert_eq!(
        Channels::new([]).subscribe(&config, "a").unwrap_err().reason,
        RefusedReason::TooMany { limit: 0 }
    );
}

#[test]
fn the_system_channel_is_everyones() {
    let (mut channels, _) = table();
    assert_eq!(channels.receiver_of_name(SYSTEM), Receiver::System);
    assert_eq!(channels.strays(), 0);
}

#[test]
fn a_number_that_goes_to_another_channel_is_the_other_ones() {
    let (mut channels, config) = table();
    let a = joined(&mut channels, &config, "a", 7);
    let b = joined(&mut channels, &config, "b", 7);
    assert_eq!(channels.receiver_of_number(7), Receiver::Subscription(b));
    assert_eq!(channels.receiver_of_name("a"), Receiver::Subscription(a));
    assert_eq!(channels.receiver_of_number(0), Receiver::Nobody);
}

#[test]
fn an_order_that_cannot_leave_is_given_later_and_one_that_never_left_again() {
    let (mut channels, config) = table();
    let mut post = Post::new();
    let id = channels.subscribe(&config, "a").unwrap();
    assert_eq!(channels.give(|_| Err("full")), Err("full"));
    assert!(channels.has_orders());
    let (first, message) = post.give(&mut channels).unwrap();
    assert!(!channels.has_orders());
    assert!(channels.settled(message, Outcome::Evicted));
    assert!(!channels.settled(message, Outcome::Evicted));
    assert_eq!(channels.confirmed(first, 0, 7), None); // made up
    let (second, message) = post.give(&mut channels).unwrap();
    assert!(channels.settled(message, Outcome::Acknowledged));
    assert_eq!(channels.confirmed(second, 0, 7), Some(Confirmed::Subscribed { id, gap: false }));

    channels.unsubscribe(id);
    let (_, message) = post.give(&mut channels).unwrap();
    assert!(channels.settled(message, Outcome::Expired));
    assert!(channels.has_orders());
    let (_, queued) = post.give(&mut channels).unwrap();
    let mut unsent = Vec::new();
    channels.lost(|message| unsent.push(message));
    assert_eq!(unsent, [queued]);
    assert!(!channels.has_orders());
}

#[test]
fn a_server_knows_what_each_client_has_joined() {
    let number = |number| NonZeroU32::new(number).unwrap();
    let config = Config { subscriptions: 3, ..Config::default() };
    let mut joined = Joined::new([0; 8]);
    for one in 1..=3 {
        assert_eq!(joined.join(&config, number(one)), Ok(true));
    }
    assert_eq!(joined.join(&config, number(2)), Ok(false));
    assert_eq!(joined.join(&config, number(4)), Err(RefusedReason::TooMany { limit: 3 }));
    assert!(joined.leave(number(1)));
    assert!(!joined.leave(number(1)));
    assert!(joined.contains(number(3)) && !joined.contains(number(1)));
    assert_eq!(joined.join(&config, number(4)), Ok(true));
    let mut all: Vec<_> = joined.iter().map(NonZeroU32::get).collect();
    all.sort();
    assert_eq!(all, [2, 3, 4]);
    assert_eq!(Joined::new([0; 1]).join(&config, number(1)), Ok(true));
    assert_eq!(Joined::new([]).join(&config, number(1)), Err(RefusedReason::TooMany { limit: 0 }));
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

    fn give(&mut self, channels: &mut Table) -> Option<(u32, MessageId)> {
        let config = outbox::Config { messages: 1000, age: None, ..outbox::Config::default() };
        let mut given = None;
        let result = channels.give(|order| {
            let message = Message::binary(0);
            let id = self.outbox.push(&mut self.arena, &config, Instant::ORIGIN, 4, message, |_, _| ())?;
            given = Some((order.id, id));
            Ok::<_, outbox::Refused<u32>>(Some(id))
        });
        assert_eq!(result, Ok(given.is_some()));
        given
    }
}

#[derive(Clone, Debug)]
enum Op {
    Subscribe(usize),
    Unsubscribe(usize),
    Give,
    /// The server reads the next order, and confirms it by this number or refuses it.
    Serve(Option<u32>),
    /// The next order was never sent.
    Evict,
    Lost,
    Broadcast(usize),
    Numbered(u32),
    MadeUp(u32),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        5 => (0..6usize).prop_map(Op::Subscribe),
        3 => (0..6usize).prop_map(Op::Unsubscribe),
        6 => Just(Op::Give),
        6 => prop_oneof![1 => Just(None), 5 => (0..6u32).prop_map(Some)].prop_map(Op::Serve),
        1 => Just(Op::Evict),
        1 => Just(Op::Lost),
        2 => (0..6usize).prop_map(Op::Broadcast),
        2 => (0..6u32).prop_map(Op::Numbered),
        1 => any::<u32>().prop_map(Op::MadeUp),
    ]
}

const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

/// What the application knows of a subscription, by a memory that forgets nothing.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    id: SubscriptionId,
    confirmed: bool,
    gap: bool,
}

/// An order on its way to the server.
#[derive(Clone, Debug)]
struct UnderWay {
    id: u32,
    message: MessageId,
    subscribe: bool,
    name: &'static str,
}

proptest! {
    #![proptest_config(proptest_config("proptest-regressions/channels.txt", 400))]

    /// Whatever happens, when all orders were served the server has what the application wants; each subscription is confirmed
    /// once in each session that it sees, with the gaps that there were; broadcasts go to whom they are for.
    #[test]
    fn the_other_end_comes_to_know_what_is_wanted(ops in prop::collection::vec(op(), 1..150)) {
        let (mut channels, config) = table();
        let mut post = Post::new();
        let mut wanted = BTreeMap::<&str, Wanted>::new();
        let mut under_way = VecDeque::<UnderWay>::new();
        let mut server = BTreeMap::<&str, u32>::new();
        let rest = core::iter::repeat_n([Op::Give, Op::Serve(Some(0))], 40).flatten();
        for op in ops.into_iter().chain(rest) {
            match op {
                Op::Subscribe(which) => {
                    let name = NAMES[which];
                    match channels.subscribe(&config, name) {
                        Ok(id) => {
                            let old = wanted.insert(name, Wanted { id, confirmed: false, gap: false });
                            prop_assert!(old.is_none());
                        }
                        Err(refused) => match refused.reason {
                            RefusedReason::Twice(id) => prop_assert_eq!(id, wanted[name].id),
                            RefusedReason::TooMany { limit } => {
                                prop_assert_eq!(limit, 4);
                                prop_assert!(!wanted.contains_key(name));
                            }
                            reason => panic!("{reason}"),
                        },
                    }
                }
                Op::Unsubscribe(which) => {
                    let Some(known) = wanted.remove(NAMES[which]) else { continue };
                    prop_assert!(channels.unsubscribe(known.id));
                    prop_assert_eq!(channels.state(known.id), None);
                }
                Op::Give => {
                    let mut what = None;
                    let _ = channels.clone().give::<()>(|order| {
                        let (subscribe, name) = match order.action {
                            Action::Subscribe(name) => (true, name),
                            Action::Unsubscribe(name) => (false, name),
                        };
                        what = NAMES.iter().find(|known| **known == name).map(|name| (subscribe, *name));
                        Ok(None)
                    });
                    let given = post.give(&mut channels);
                    prop_assert_eq!(given.is_some(), what.is_some());
                    let (Some((id, message)), Some((subscribe, name))) = (given, what) else { continue };
                    prop_assert_eq!(subscribe, wanted.contains_key(name));
                    prop_assert!(under_way.iter().all(|other| other.name != name), "one at a time");
                    under_way.push_back(UnderWay { id, message, subscribe, name });
                }
                Op::Serve(answer) => {
                    let Some(order) = under_way.pop_front() else { continue };
                    prop_assert!(channels.settled(order.message, Outcome::Acknowledged));
                    let number = answer.unwrap_or(0);
                    let mut expected = None;
                    if !order.subscribe {
                        server.remove(order.name);
                    } else if answer.is_some() {
                        // A number that another channel had is now this one's.
                        server.values_mut().filter(|other| **other == number).for_each(|other| *other = 0);
                        server.insert(order.name, number);
                        let meant = |known: &&mut Wanted| SubscriptionId::of_order(order.id) == Some(known.id);
                        if let Some(known) = wanted.get_mut(order.name).filter(meant) {
                            expected = Some(Confirmed::Subscribed { id: known.id, gap: known.gap });
                            (known.confirmed, known.gap) = (true, false);
                        }
                    } else {
                        server.remove(order.name);
                        let meant = |known: &Wanted| SubscriptionId::of_order(order.id) == Some(known.id);
                        if wanted.get(order.name).is_some_and(meant) {
                            let known = wanted.remove(order.name).unwrap();
                            expected = Some(Confirmed::Refused { id: known.id, code: 9 });
                        }
                    }
                    let code = if answer.is_some() { 0 } else { 9 };
                    prop_assert_eq!(channels.confirmed(order.id, code, number), expected);
                }
                Op::Evict => {
                    let Some(order) = under_way.pop_back() else { continue };
                    prop_assert!(channels.settled(order.message, Outcome::Evicted));
                }
                Op::Lost => {
                    let mut unsent = Vec::new();
                    channels.lost(|message| unsent.push(message));
                    unsent.sort();
                    let mut expected: Vec<_> = under_way.drain(..).map(|order| order.message).collect();
                    expected.sort();
                    prop_assert_eq!(unsent, expected);
                    server.clear();
                    for known in wanted.values_mut() {
                        known.gap |= known.confirmed;
                        known.confirmed = false;
                    }
                }
                Op::Broadcast(which) => {
                    let expected = wanted.get(NAMES[which]).map_or(Receiver::Nobody, |known| Receiver::Subscription(known.id));
                    prop_assert_eq!(channels.receiver_of_name(NAMES[which]), expected);
                }
                Op::Numbered(number) => {
                    let name = server.iter().find(|(_, known)| **known == number && number != 0).map(|(name, _)| *name);
                    let receiver = channels.receiver_of_number(number);
                    // One that is being left and was wanted again is found only by who has confirmed it.
                    match name.and_then(|name| wanted.get(name)) {
                        Some(known) if known.confirmed => prop_assert_eq!(receiver, Receiver::Subscription(known.id)),
                        Some(known) => prop_assert!([Receiver::Subscription(known.id), Receiver::Nobody].contains(&receiver)),
                        None => prop_assert_eq!(receiver, Receiver::Nobody),
                    }
                }
                Op::MadeUp(id) => {
                    if under_way.iter().all(|order| order.id != id) {
                        prop_assert_eq!(channels.confirmed(id, 0, 3), None);
                    }
                }
            }
            let all: BTreeMap<_, _> = channels.iter().map(|(id, name)| (*name, id)).collect();
            prop_assert_eq!(all, wanted.iter().map(|(name, known)| (*name, known.id)).collect::<BTreeMap<_, _>>());
            for known in wanted.values() {
                let state = if known.confirmed { State::Confirmed } else { State::Pending };
                prop_assert_eq!(channels.state(known.id), Some(state));
            }
        }
        prop_assert!(!channels.has_orders());
        prop_assert!(server.keys().eq(wanted.keys()));
        prop_assert!(wanted.values().all(|known| known.confirmed));
    }
}

#[test]
fn an_order_that_is_not_confirmed_may_have_been_done_all_the_same() {
    let (mut channels, config) = table();
    let (now, more) = (Instant::from_millis(1), core::time::Duration::from_secs(10));
    let id = channels.subscribe(&config, "a").unwrap();
    channels.give_until::<()>(Some(now), |_| Ok(None)).unwrap();
    channels.unsubscribe(id);
    assert!(!channels.has_orders());
    assert_eq!(channels.next_deadline(), Some(now));
    channels.expire(now, more);
    assert_eq!(channels.next_deadline(), None);
    let (leave, what) = give(&mut channels).unwrap();
    assert_eq!(what, "unsubscribe a");
    assert_eq!(channels.confirmed(leave, 0, 0), None);
    assert!(!channels.has_orders());
}

#[test]
fn what_is_to_be_given_again_does_not_outlive_its_session() {
    let (mut channels, config) = table();
    let now = Instant::from_millis(1);
    channels.subscribe(&config, "a").unwrap();
    channels.give_until::<()>(Some(now), |_| Ok(None)).unwrap();
    channels.lost(|_| ());
    assert_eq!(channels.next_deadline(), None);
}

#[test]
fn a_channel_that_was_left_gives_its_slot_back_once_that_is_confirmed() {
    let (mut channels, config) = table();
    for name in ["a", "b", "c", "d", "e", "f", "g", "h", "i"] {
        let id = joined(&mut channels, &config, name, 7);
        assert!(channels.unsubscribe(id));
        let (order, what) = give(&mut channels).unwrap();
        assert_eq!(what, format!("unsubscribe {name}"));
        assert_eq!(channels.confirmed(order, 0, 0), None);
        assert_eq!(channels.iter().count(), 0);
        assert_eq!(channels.of_name(name), None);
    }
    for name in ["a", "b", "c", "d"] {
        channels.subscribe(&config, name).unwrap();
    }
    let full = RefusedReason::TooMany { limit: 4 };
    assert_eq!(channels.subscribe(&config, "e").unwrap_err().reason, full);
}

#[test]
fn a_server_s_slots_grow_when_they_are_full_and_no_further_than_they_may() {
    let config = Config { subscriptions: 10, name_bytes: 8 };
    let mut joined = Joined::new(Box::<[u32]>::default());
    let room = |joined: &Joined<Box<[u32]>>| {
        let mut joined = joined.clone();
        let numbers = (100..).map_while(NonZeroU32::new);
        numbers.take_while(|number| joined.join(&config, *number).is_ok()).take(20).count()
    };
    let mut rooms = Vec::new();
    for number in 1..=10 {
        joined.grow(10);
        rooms.push(room(&joined) + number - 1);
        joined.join(&config, NonZeroU32::new(number as u32).unwrap()).unwrap();
    }
    assert_eq!(rooms, [4, 4, 4, 4, 8, 8, 8, 8, 10, 10], "twice as many each time");
    joined.grow(10);
    assert_eq!(room(&joined), 0);
}

#[test]
fn a_number_that_another_channel_got_does_not_come_back_to_the_first_when_that_is_left() {
    let (mut channels, config) = table();
    joined(&mut channels, &config, "a", 7);
    let other = joined(&mut channels, &config, "b", 7);
    assert_eq!(channels.of_number(7), Some(other));
    assert!(channels.unsubscribe(other));
    let (order, _) = give(&mut channels).unwrap();
    assert_eq!(channels.confirmed(order, 0, 0), None);
    assert_eq!(channels.of_number(7), None);
    assert_eq!(channels.receiver_of_number(7), Receiver::Nobody);
}
