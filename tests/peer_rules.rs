//! What holds for a server whatever its clients, its sockets and its clock do: three clients that forget nothing are the oracle.

use crate::law::proptest_config;
use crate::sessions::Client;
use crate::sessions::world::{Step, World};
use everlink::link::Event;
use everlink::outbox::{Kind, Policy, Priority};
use everlink::peer::Slow;
use everlink::wire::native::VERSION;
use proptest::prelude::*;

fn step() -> impl Strategy<Value = Step> {
    let who = || 0..3_usize;
    let bytes = || proptest::collection::vec(any::<u8>(), 0..24);
    let priority = proptest::sample::select(vec![Priority::High, Priority::Normal, Priority::Low]);
    prop_oneof![
        4 => who().prop_map(Step::Connect),
        1 => who().prop_map(Step::Delay),
        1 => Just(Step::Arrive),
        8 => (who(), 1..9_usize).prop_map(|(who, most)| Step::Read(who, most)),
        6 => (who(), 0..9_usize).prop_map(|(who, most)| Step::Write(who, most, true)),
        1 => (who(), 0..9_usize).prop_map(|(who, most)| Step::Write(who, most, false)),
        1 => who().prop_map(Step::Drop),
        1 => who().prop_map(Step::Finish),
        4 => who().prop_map(Step::Queue),
        8 => (who(), priority, proptest::option::weighted(0.2, 0..30_000_u64))
            .prop_map(|(who, priority, ttl)| Step::Send(who, priority, ttl)),
        1 => who().prop_map(Step::Cancel),
        1 => (who(), any::<bool>()).prop_map(|(who, ends)| Step::Part(who, ends)),
        1 => Just(Step::PartAll),
        1 => who().prop_map(Step::Block),
        2 => Just(Step::Unblock),
        1 => who().prop_map(Step::Ping),
        1 => (0..20_u32, proptest::collection::vec(any::<u8>(), 0..12))
            .prop_map(|(socket, data)| Step::Noise(socket, data)),
        1 => (0..20_u32, 0..6_u8).prop_map(|(socket, what)| Step::Event(socket, what)),
        1 => (who(), 1..20_u32).prop_map(|(who, socket)| Step::Stale(who, socket)),
        1 => (proptest::option::of(who()), bytes(), prop_oneof![3 => Just(VERSION), 1 => 0..4_u32], 0..4_u32, 0..4_u64)
            .prop_map(|(of, token, version, attempt, received)| Step::EveHello {
                of,
                token,
                version,
                attempt,
                received,
            }),
        1 => (0..30_000_u64).prop_map(Step::Restart),
        2 => (any::<u8>(), prop_oneof![0..4_u64, any::<u64>()], bytes())
            .prop_map(|(what, number, data)| Step::EveSays { what, number, data }),
        4 => (1..20_000_u64).prop_map(Step::Pass),
        1 => (1..20_000_u64).prop_map(Step::Back),
    ]
}

proptest! {
    #![proptest_config(proptest_config("proptest-regressions/peer_rules.txt", 150))]

    /// No panic; draining ends; after a tick and a drain the deadline is later; bounds are kept; nothing is lost without being told,
    /// nothing comes twice or out of order, and what is said of a message is true.
    #[test]
    fn no_history_breaks_a_rule(
        policy in proptest::sample::select(vec![Policy::DropOldest, Policy::DropLowest, Policy::Refuse]),
        slow in proptest::sample::select(vec![Slow::Drop, Slow::Close]),
        window in 1..8_u32,
        steps in proptest::collection::vec(step(), 1..150),
    ) {
        let mut world = World::new(policy, slow, window);
        for step in steps {
            world.apply(step);
        }
        world.wind_up();
    }

    /// Whatever bytes a client says, and however often it comes back with them: no panic, and the others notice nothing.
    #[test]
    fn a_hostile_client_harms_nobody(
        frames in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 1..60),
    ) {
        let (mut server, mut ann) = crate::sessions::connected("ann", |_| ());
        let mut mallory = Client::new("eve");
        let mut number = server.connect(&mut mallory);
        for frame in frames {
            server.frame(number, &frame);
            if !server.is_open(number) {
                // Whatever its counts were, it goes on with the token that it has.
                let frames = server.fetch(number);
                for frame in &frames {
                    if let Some(token) = crate::sessions::token_of(frame) {
                        mallory.token = token;
                    }
                }
                number = server.connect(&mut mallory);
            }
            server.event(number, Event::Frame { kind: Kind::Binary, data: &[0xC9, 1, 7] });
        }
        server.send("ann", "all well").unwrap();
        ann.queue("yes");
        crate::sessions::talk(&mut server, 1, &mut ann);
        prop_assert_eq!(&ann.inbox, &["all well"]);
        prop_assert!(server.delivered.iter().any(|(name, data)| name == "ann" && data == b"yes"));
        prop_assert!(server.sessions.len() <= 17);
    }
}
