//! The outbox against a naive one with perfect memory, over random operations.

#![cfg(feature = "alloc")]
#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test may be blunt")]

use core::time::Duration;

use crate::law::proptest_config;
use crate::naive_outbox::{Op, run, run_swapped};
use everlink::outbox::{Config, Policy, Priority};
use proptest::prelude::*;

fn any_priority() -> impl Strategy<Value = Priority> {
    prop_oneof![Just(Priority::High), Just(Priority::Normal), Just(Priority::Low)]
}

prop_compose! {
    fn any_config()(
        messages in 1..10_u32,
        bytes in 1..40_u32,
        message_bytes in 5..12_u32,
        age in prop::option::of(1..20_u64),
        policy in prop_oneof![Just(Policy::DropOldest), Just(Policy::DropLowest), Just(Policy::Refuse)],
    ) -> Config {
        Config { messages, bytes, message_bytes, age: age.map(Duration::from_micros), policy }
    }
}

fn any_op(usual: Config) -> impl Strategy<Value = Op> {
    let config = prop_oneof![9 => Just(usual), 1 => any_config()];
    let push = (0..10_u32, any_priority(), prop::option::of(0..20_u64), prop::option::of(0..4_u64), config)
        .prop_map(|(len, priority, ttl, key, config)| Op::Push { len, priority, ttl, key, config });
    prop_oneof![
        40 => push,
        12 => Just(Op::Take),
        8 => Just(Op::Prepare),
        8 => Just(Op::HandOver),
        3 => Just(Op::Rewind),
        4 => (0..3_u32).prop_map(|count| Op::Acknowledge { count }),
        1 => Just(Op::DiscardFront),
        8 => (0..60_u64).prop_map(|total| Op::Written { total }),
        5 => Just(Op::Requeue),
        3 => Just(Op::Resend),
        2 => Just(Op::Discard),
        8 => any::<usize>().prop_map(|pick| Op::Cancel { pick }),
        5 => Just(Op::Expire),
        1 => Just(Op::Stop),
        2 => Just(Op::Doubt),
        12 => Just(Op::Drain),
        10 => (0..8_u64).prop_map(|micros| Op::Wait { micros }),
    ]
}

fn any_history() -> impl Strategy<Value = Vec<(usize, Op)>> {
    any_config().prop_flat_map(|config| prop::collection::vec((0..2_usize, any_op(config)), 1..150))
}

proptest! {
    #![proptest_config(proptest_config("proptest-regressions/outbox_model.txt", 500))]

    #[test]
    fn two_outboxes_in_one_arena_behave_like_two_naive_ones(history in any_history()) {
        run(&history);
    }

    #[test]
    fn swapped_arenas_neither_panic_nor_hang(
        history in any_history(),
        swaps in prop::collection::vec(prop::bool::weighted(0.25), 150),
    ) {
        run_swapped(&history, swaps);
    }
}
