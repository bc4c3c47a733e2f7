//! Delivery, case by case, and against a naive sender and receiver that forget nothing. `delivery_model` tries all that can
//! happen in the small.

#![cfg(feature = "alloc")]
#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test may be blunt")]

extern crate alloc;

use alloc::collections::VecDeque;

use everlink::delivery::{Arrival, Config, Counts, Durable, Greeting, Impossible, Refusal, Saved, Urgency};
use everlink::outbox::{self, Arena, Message, Outbox, Outcome, Priority};
use everlink::time::Instant;
use proptest::prelude::*;

/// A session on its first socket: client and server.
fn pair() -> [Counts; 2] {
    let [mut client, mut server] = [Counts::new(), Counts::new()];
    client.begin_attempt();
    let hello = client.greeting(None).unwrap();
    server.offer(hello.attempt, None);
    assert_eq!(client.restart(None), 0);
    assert_eq!(client.ack(None), Some(0));
    assert!(server.heard());
    assert_eq!(server.acknowledged(0), Ok(0));
    [client, server]
}

/// Numbers `count` messages and hands them over.
fn send(counts: &mut Counts, count: u32) {
    for _ in 0..count {
        assert!(counts.number() && counts.hand_over(None));
    }
}

fn receive(counts: &mut Counts, count: u32) {
    for _ in 0..count {
        assert_eq!(counts.receive(1), Arrival::New);
    }
}

fn reconnect([client, server]: &mut [Counts; 2]) -> (u32, u32) {
    client.begin_attempt();
    let welcome = server.take_over(client.greeting(None).unwrap(), None).unwrap();
    let resumption = client.resume(welcome.received, welcome.from).unwrap();
    (resumption.replay, welcome.replay)
}

#[test]
fn what_did_not_arrive_is_handed_over_again() {
    let mut pair = pair();
    send(&mut pair[0], 5);
    receive(&mut pair[1], 2);
    send(&mut pair[1], 3);
    receive(&mut pair[0], 1);
    assert_eq!(reconnect(&mut pair), (3, 2));
    let [client, server] = &mut pair;
    assert_eq!((client.can_hand_over(None), server.can_hand_over(None)), (3, 2));
    for _ in 0..3 {
        assert!(client.hand_over(None));
    }
    assert!(!client.hand_over(None));
    receive(server, 3);
    assert_eq!(server.ack(None), Some(5));
    assert_eq!(client.acknowledged(5), Ok(3));
    assert_eq!(client.in_flight(), 0);
}

#[test]
fn a_full_window_pushes_back() {
    let [mut client, _] = pair();
    let config = Config { window: 2, window_bytes: 100, ..Config::default() };
    assert!(client.has_room(&config, 0, 1000), "a message larger than the window goes alone");
    send(&mut client, 1);
    assert!(client.has_room(&config, 60, 40));
    assert!(!client.has_room(&config, 60, 41));
    send(&mut client, 1);
    assert!(!client.has_room(&config, 60, 1));
    client.acknowledged(1).unwrap();
    assert!(client.has_room(&config, 30, 1));
}

#[test]
fn nothing_that_counts_leaves_before_the_welcome() {
    let mut client = Counts::new();
    client.begin_attempt();
    assert!(!client.number() && !client.may_send() && !client.has_room(&Config::default(), 0, 1));
    assert_eq!(client.receive(1), Arrival::Stray);
    client.restart(None);
    assert!(client.number());
}

#[test]
fn a_server_sends_nothing_that_counts_before_the_client_knows_of_the_session() {
    let mut server = Counts::new();
    server.offer(1, None);
    assert!(!server.number());
    assert!(server.heard() && !server.heard());
    assert!(server.number());
}

#[test]
fn a_client_says_at_once_that_it_knows_of_a_new_session() {
    let mut client = Counts::new();
    client.begin_attempt();
    client.restart(None);
    assert_eq!(client.ack_due(16), Some(Urgency::Now));
    assert_eq!(client.ack(None), Some(0));
    assert_eq!(client.ack_due(16), None);
}

#[test]
fn an_acknowledgement_of_what_was_never_sent_is_impossible_and_changes_nothing() {
    let [mut client, _] = pair();
    send(&mut client, 2);
    client.acknowledged(1).unwrap();
    let before = client.clone();
    assert_eq!(client.acknowledged(3), Err(Impossible));
    assert_eq!(client.acknowledged(u64::MAX), Err(Impossible));
    assert_eq!(client.acknowledged(0), Err(Impossible), "nor can one be taken back");
    assert_eq!(client, before);
    assert_eq!(client.acknowledged(1), Ok(0), "saying it twice does no harm");
}

#[test]
fn an_acknowledgement_of_what_this_socket_was_not_given_is_impossible() {
    let mut pair = pair();
    send(&mut pair[0], 2);
    reconnect(&mut pair);
    assert_eq!(pair[0].acknowledged(1), Err(Impossible));
    pair[0].hand_over(None);
    assert_eq!(pair[0].acknowledged(1), Ok(1));
}

#[test]
fn counts_that_cannot_be_true_do_not_resume() {
    let mut pair = pair();
    send(&mut pair[0], 2);
    receive(&mut pair[1], 2);
    send(&mut pair[1], 1);
    let [client, server] = &mut pair;
    client.begin_attempt();
    let received = |received| Greeting { attempt: 2, received };
    let before = server.clone();
    assert_eq!(server.take_over(received(2), None), Err(Refusal::Impossible));
    assert_eq!(*server, before);
    assert_eq!(client.resume(3, 0), Err(Impossible), "more than was sent");
    assert_eq!(client.resume(2, 1), Err(Impossible), "a hole: message 1 never came");
    client.resume(2, 0).unwrap();
    assert_eq!(client.resume(1, 0), Err(Impossible), "less than was acknowledged");
}

#[test]
fn a_session_that_could_not_be_resumed_tells_what_is_in_doubt() {
    let [mut client, mut server] = pair();
    send(&mut client, 3);
    client.acknowledged(1).unwrap();
    client.begin_attempt();
    assert_eq!(client.restart(None), 2);
    assert_eq!(client.save(), Saved { attempt: 2, ..Saved::default() });
    send(&mut server, 1);
    assert_eq!(server.offer(2, None), 1);
}

#[test]
fn an_attempt_only_grows() {
    let [_, mut server] = pair();
    for attempt in [0, 1] {
        assert_eq!(server.take_over(Greeting { attempt, received: 0 }, None), Err(Refusal::Overtaken));
    }
    server.take_over(Greeting { attempt: 9, received: 0 }, None).unwrap();
    assert_eq!(server.take_over(Greeting { attempt: 8, received: 0 }, None), Err(Refusal::Overtaken));
    assert_eq!(server.attempt(), 9);
}

#[test]
fn to_be_superseded_is_final_unless_it_was_by_oneself() {
    let [mut client, _] = pair();
    let mut copy = client.clone();
    let candidate = client.begin_attempt();
    assert!(!client.is_superseded_by(candidate));
    copy.begin_attempt();
    let of_the_copy = copy.begin_attempt();
    assert!(client.is_superseded_by(of_the_copy));
    assert!(!copy.is_superseded_by(candidate), "so they do not evict each other for ever");
}

/// Found by the model: an acknowledgement on the old socket overtakes the hello of the candidate.
#[test]
fn a_hello_that_is_overtaken_by_an_acknowledgement_still_resumes() {
    let [mut client, mut server] = pair();
    send(&mut server, 2);
    client.begin_attempt();
    let hello = client.greeting(None).unwrap();
    receive(&mut client, 1);
    server.acknowledged(client.ack(None).unwrap()).unwrap();
    let welcome = server.take_over(hello, None).unwrap();
    assert_eq!((hello.received, welcome.from, welcome.replay), (0, 1, 1));
    client.resume(welcome.received, welcome.from).unwrap();
    assert!(!client.expects_repeat(), "so the second message is not taken for the first");
    receive(&mut client, 1);
}

#[test]
fn what_still_came_on_the_old_socket_is_a_repeat_on_the_new_one() {
    let [mut client, mut server] = pair();
    send(&mut server, 2);
    client.begin_attempt();
    let hello = client.greeting(None).unwrap();
    let welcome = server.take_over(hello, None).unwrap();
    receive(&mut client, 1);
    client.resume(welcome.received, welcome.from).unwrap();
    assert!(client.expects_repeat());
    assert_eq!([client.receive(1), client.receive(1)], [Arrival::Repeat, Arrival::New]);
    assert_eq!(client.ack(None), Some(2));
}

#[test]
fn an_acknowledgement_is_due_by_count_and_by_size() {
    let [_, mut server] = pair();
    assert_eq!(server.ack_due(3), None);
    server.receive(10);
    assert_eq!(server.ack_due(3), Some(Urgency::Delayed));
    server.receive(1024);
    assert_eq!((server.owed(), server.ack_due(3)), (3, Some(Urgency::Now)));
    assert_eq!(server.ack(None), Some(2));
    assert_eq!((server.ack_due(1), server.ack(None)), (None, None));
    server.receive(u32::MAX);
    assert_eq!(server.owed(), 1 + u32::from(u16::MAX));
}

#[test]
fn a_small_window_is_acknowledged_before_half_of_it_is_used() {
    let config = Config::default();
    assert_eq!(config.ack_after(64, 256 << 10), 16);
    assert_eq!(config.ack_after(8, 256 << 10), 4);
    assert_eq!(config.ack_after(64, 8 << 10), 4);
    assert_eq!(config.ack_after(1, 1), 1);
    assert_eq!(config.ack_after(0, 0), 1);
}

#[test]
fn nothing_leaves_that_is_not_stored() {
    let (mut counts, mut durable) = (Counts::new(), Durable::new());
    counts.begin_attempt();
    assert_eq!(counts.greeting(Some(&durable)), None);
    durable.ask(1, &counts);
    assert!(!durable.stored(2) && durable.stored(1) && !durable.stored(1));
    assert_eq!(counts.greeting(Some(&durable)), Some(Greeting { attempt: 1, received: 0 }));

    counts.restart(Some(&mut durable));
    assert_eq!(counts.ack(Some(&durable)), None, "the session is not stored");
    assert!(durable.wants(&counts));
    durable.ask(2, &counts);
    durable.stored(2);
    assert_eq!(counts.ack(Some(&durable)), Some(0));

    assert!(counts.number());
    durable.ask(3, &counts);
    assert!(counts.number());
    counts.receive(1);
    assert_eq!((counts.can_hand_over(Some(&durable)), counts.ack(Some(&durable))), (0, None));
    assert!(!durable.wants(&counts), "one store at a time");
    durable.stored(3);
    assert_eq!(counts.can_hand_over(Some(&durable)), 1);
    assert!(counts.hand_over(Some(&durable)) && !counts.hand_over(Some(&durable)));
    durable.ask(4, &counts);
    durable.failed(4);
    assert!(!durable.stored(4) && durable.wants(&counts));
    durable.ask(5, &counts);
    durable.stored(5);
    assert_eq!((counts.can_hand_over(Some(&durable)), counts.ack(Some(&durable))), (1, Some(1)));
}

#[test]
fn a_store_of_the_old_session_says_nothing_of_the_new_one() {
    let (mut counts, mut durable) = (Counts::new(), Durable::new());
    counts.begin_attempt();
    durable.ask(1, &counts);
    counts.restart(Some(&mut durable));
    assert!(durable.stored(1));
    assert_eq!((counts.ack(Some(&durable)), counts.greeting(Some(&durable))), (None, None));
    let mut server = Counts::new();
    let mut durable = Durable::new();
    server.offer(1, Some(&mut durable));
    assert!(!server.may_welcome(Some(&durable)));
    durable.ask(1, &server);
    durable.stored(1);
    assert!(server.may_welcome(Some(&durable)));
}

#[test]
fn what_was_stored_is_restored_unless_it_cannot_be_true() {
    let [mut client, _] = pair();
    send(&mut client, 3);
    client.acknowledged(1).unwrap();
    let restored = Counts::restore(client.save()).unwrap();
    client.detach();
    assert_eq!(restored, client);
    assert_eq!(Counts::restore(Saved { acknowledged: 1, ..Saved::default() }), None);
    assert_eq!(Counts::restore(Saved { sent: u64::MAX, ..Saved::default() }), None);
}

#[test]
fn counts_are_small() {
    assert_eq!(size_of::<Counts>(), 40);
}

// Against a naive sender and receiver.

/// A message is its number.
struct End {
    counts: Counts,
    outbox: Outbox,
    arena: Arena<u32>,
    accepted: Vec<Priority>,
    delivered: Vec<u32>,
    acknowledged: Vec<u64>,
}

#[derive(Clone, Copy, Debug)]
enum Envelope {
    Message(u32),
    Ack(u64),
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Push(usize, Priority),
    Pull(usize),
    Ack(usize),
    Arrive(usize),
    /// A new socket; what is on its way on the old one is lost. Is the hello, and is the welcome?
    Reconnect {
        hello: bool,
        welcome: bool,
    },
}

fn any_op() -> impl Strategy<Value = Op> {
    let priority = prop_oneof![Just(Priority::High), Just(Priority::Normal), Just(Priority::Low)];
    prop_oneof![
        4 => (0..2_usize, priority).prop_map(|(end, priority)| Op::Push(end, priority)),
        6 => (0..2_usize).prop_map(Op::Pull),
        3 => (0..2_usize).prop_map(Op::Ack),
        8 => (0..2_usize).prop_map(Op::Arrive),
        1 => any::<(bool, bool)>().prop_map(|(hello, welcome)| Op::Reconnect { hello, welcome }),
        1 => Just(Op::Reconnect { hello: true, welcome: true }),
    ]
}

struct Pair {
    ends: [End; 2],
    /// On their way from each end.
    wire: [VecDeque<Envelope>; 2],
}

impl Pair {
    fn new() -> Pair {
        let end = |counts| End {
            counts,
            outbox: Outbox::new(0),
            arena: Arena::with_capacity(400),
            accepted: Vec::new(),
            delivered: Vec::new(),
            acknowledged: Vec::new(),
        };
        Pair { ends: pair().map(end), wire: Default::default() }
    }

    fn apply(&mut self, op: Op) {
        let config = Config { window: 4, window_bytes: 20, ..Config::default() };
        match op {
            Op::Push(end, priority) => {
                let End { outbox, arena, accepted, .. } = &mut self.ends[end];
                let number = accepted.len() as u32;
                let message = Message::binary(number).with_priority(priority);
                let limits = outbox::Config { messages: 1000, ..outbox::Config::default() };
                outbox.push(arena, &limits, Instant::ORIGIN, number % 9, message, |_, _| panic!()).unwrap();
                accepted.push(priority);
            }
            Op::Pull(end) => {
                let End { counts, outbox, arena, .. } = &mut self.ends[end];
                if counts.can_hand_over(None) == 0
                    && let Some(front) = outbox.front(arena)
                    && counts.has_room(&config, outbox.in_flight_bytes(), front.len)
                {
                    assert!(outbox.prepare(arena) && counts.number());
                }
                if counts.hand_over(None) {
                    let message = *outbox.hand_over(arena).unwrap().payload;
                    self.wire[end].push_back(Envelope::Message(message));
                } else {
                    assert!(!counts.may_send() || outbox.hand_over(arena).is_none());
                }
                assert!(
                    counts.in_flight() <= config.window && outbox.in_flight_bytes() <= config.window_bytes
                );
                assert_eq!(counts.in_flight(), outbox.in_flight());
            }
            Op::Ack(end) => {
                self.wire[end].extend(self.ends[end].counts.ack(None).map(Envelope::Ack));
            }
            Op::Arrive(from) => {
                let End { counts, outbox, arena, delivered, acknowledged, .. } = &mut self.ends[1 - from];
                match self.wire[from].pop_front() {
                    Some(Envelope::Message(message)) => match counts.receive(message % 9) {
                        Arrival::New => delivered.push(message),
                        Arrival::Repeat => assert!(delivered.contains(&message)),
                        Arrival::Stray => panic!("nobody was there"),
                    },
                    Some(Envelope::Ack(total)) => {
                        outbox.acknowledge(arena, counts.acknowledged(total).unwrap());
                        while let Some(settlement) = outbox.next_settlement(arena) {
                            assert_eq!(settlement.outcome, Outcome::Acknowledged);
                            acknowledged.push(settlement.id.sequence());
                        }
                    }
                    None => {}
                }
            }
            Op::Reconnect { hello, welcome } => {
                let [client, server] = &mut self.ends;
                self.wire.iter_mut().for_each(VecDeque::clear);
                client.counts.detach();
                client.counts.begin_attempt();
                if !hello {
                    return;
                }
                let greeting = client.counts.greeting(None).unwrap();
                let answer = server.counts.take_over(greeting, None).unwrap();
                server.outbox.acknowledge(&mut server.arena, answer.acknowledged);
                server.outbox.rewind(&server.arena);
                if welcome {
                    let resumption = client.counts.resume(answer.received, answer.from).unwrap();
                    client.outbox.acknowledge(&mut client.arena, resumption.acknowledged);
                    client.outbox.rewind(&client.arena);
                }
            }
        }
        // What a server sends to a client that is not there is lost.
        if !self.ends[0].counts.may_send() {
            self.wire[1].clear();
        }
    }
}

proptest! {
    #[test]
    fn every_message_arrives_once_and_in_order(ops in prop::collection::vec(any_op(), 1..300)) {
        let mut pair = Pair::new();
        ops.into_iter().for_each(|op| pair.apply(op));
        pair.apply(Op::Reconnect { hello: true, welcome: true });
        for _ in 0..400 {
            for end in [0, 1] {
                let round = [Op::Pull(end), Op::Arrive(end), Op::Ack(1 - end), Op::Arrive(1 - end)];
                round.into_iter().for_each(|op| pair.apply(op));
            }
        }
        for end in [0, 1] {
            let End { accepted, outbox, arena, .. } = &mut pair.ends[end];
            prop_assert!(outbox.is_empty());
            while outbox.next_settlement(arena).is_some() {}
            prop_assert_eq!(arena.available(), arena.capacity());
            let accepted = accepted.clone();
            let delivered = pair.ends[1 - end].delivered.clone();
            let mut sorted = delivered.clone();
            sorted.sort_unstable();
            prop_assert_eq!(sorted, (0..accepted.len() as u32).collect::<Vec<_>>(), "each once");
            for priority in [Priority::High, Priority::Normal, Priority::Low] {
                let of_it = delivered.iter().filter(|message| accepted[**message as usize] == priority);
                prop_assert!(of_it.is_sorted());
            }
        }
    }
}

#[test]
fn a_configuration_that_cannot_work_names_its_field() {
    let good = Config { window: 1, window_bytes: 1, ack_after: 1, ..Config::default() };
    let shortest = core::time::Duration::from_micros(1);
    assert_eq!(Config { ack_timeout: shortest, ..good.clone() }.check(), Ok(()));
    for (field, config) in [
        ("delivery.window", Config { window: 0, ..good.clone() }),
        ("delivery.window_bytes", Config { window_bytes: 0, ..good.clone() }),
        ("delivery.ack_after", Config { ack_after: 0, ..good.clone() }),
        ("delivery.ack_timeout", Config { ack_timeout: shortest / 2, ..good }),
    ] {
        assert_eq!(config.check().map_err(|error| error.field), Err(field));
    }
    assert_eq!(Impossible.to_string(), "a count that cannot be true");
}

#[test]
fn what_is_out_and_what_came_can_be_asked() {
    let [mut client, mut server] = pair();
    send(&mut client, 5);
    assert!(client.number(), "a sixth waits to be handed over");
    assert_eq!((client.unanswered(), client.received()), (5, 0));
    receive(&mut server, 3);
    assert_eq!((server.unanswered(), server.received()), (0, 3));
    let told = server.ack(None).unwrap();
    assert_eq!(client.acknowledged(told), Ok(3));
    assert_eq!(client.unanswered(), 2);
}

#[test]
fn what_was_restored_is_stored() {
    let saved = Saved { sent: 7, acknowledged: 5, received: 9, attempt: 3 };
    let mut counts = Counts::restore(saved).unwrap();
    let durable = Durable::restored(&counts);
    assert!(!durable.wants(&counts), "it is what is stored");
    counts.begin_attempt();
    assert!(durable.wants(&counts));
    assert_eq!(counts.greeting(Some(&durable)), None, "the attempt is not stored yet");
}

#[test]
fn only_what_no_socket_was_given_is_taken_back() {
    let [mut client, _] = pair();
    assert!(!client.retract(None), "there is nothing");
    assert!(client.number() && client.number() && client.hand_over(None));
    assert!(!client.retract(None), "the first was handed over");
    assert_eq!((client.in_flight(), client.marks().sent), (2, 2));
    let greeting = Greeting { attempt: client.begin_attempt(), ..client.greeting(None).unwrap() };
    let _ = greeting;
    client.resume(0, 0).unwrap();
    assert!(client.retract(None), "this socket has had none");
    assert_eq!((client.in_flight(), client.marks().sent), (1, 1));
}

#[test]
fn an_acknowledgement_may_come_before_anything_else_in_a_session_and_in_no_session_not_at_all() {
    assert_eq!(Counts::new().acknowledged(0), Err(Impossible));
    let mut server = Counts::new();
    server.offer(1, None);
    assert_eq!(server.acknowledged(0), Ok(0));
    let [mut client, _] = pair();
    assert_eq!(client.ack_due(0), None, "nothing is owed");
    client.detach();
    assert_eq!(client.acknowledged(0), Err(Impossible));
}
