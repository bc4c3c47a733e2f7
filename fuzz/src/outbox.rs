//! Operations on two outboxes in one arena against the naive ones of `tests/outbox_model.rs`.

use core::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use everlink::outbox::{Config, Policy, Priority};

use crate::naive_outbox::{Op, run, run_swapped};
use crate::pick;

const LONGEST: usize = 400;

#[derive(Arbitrary)]
struct Bounds {
    messages: u8,
    bytes: u8,
    message_bytes: u8,
    age: u8,
    policy: u8,
}

impl Bounds {
    fn config(&self) -> Config {
        Config {
            messages: 1 + u32::from(self.messages % 9),
            bytes: 1 + u32::from(self.bytes % 39),
            message_bytes: 5 + u32::from(self.message_bytes % 7),
            age: (self.age != 0).then(|| Duration::from_micros(1 + u64::from(self.age % 19))),
            policy: pick(&[Policy::DropOldest, Policy::DropLowest, Policy::Refuse], self.policy),
        }
    }
}

#[derive(Arbitrary)]
enum Turn {
    Push { len: u8, priority: u8, ttl: u8, key: u8 },
    PushWithin { len: u8, priority: u8, bounds: Bounds },
    Take,
    Prepare,
    HandOver,
    Rewind,
    Acknowledge(u8),
    DiscardFront,
    Written(u8),
    Requeue,
    Discard,
    Cancel(u8),
    Expire,
    Stop,
    Doubt,
    Drain,
    Wait(u8),
    Resend,
}

fn op(turn: Turn, usual: &Config) -> Op {
    let push = |len: u8, priority, ttl, key, config| Op::Push {
        len: u32::from(len % 10),
        priority: pick(&[Priority::Normal, Priority::High, Priority::Low], priority),
        ttl,
        key,
        config,
    };
    match turn {
        Turn::Push { len, priority, ttl, key } => push(
            len,
            priority,
            (ttl < 128).then_some(u64::from(ttl % 20)),
            (key < 128).then_some(u64::from(key % 4)),
            usual.clone(),
        ),
        Turn::PushWithin { len, priority, bounds } => push(len, priority, None, None, bounds.config()),
        Turn::Take => Op::Take,
        Turn::Prepare => Op::Prepare,
        Turn::HandOver => Op::HandOver,
        Turn::Rewind => Op::Rewind,
        // Most often few, now and then more than there can be.
        Turn::Acknowledge(count) => {
            Op::Acknowledge { count: if count == u8::MAX { u32::MAX } else { u32::from(count % 4) } }
        }
        Turn::DiscardFront => Op::DiscardFront,
        Turn::Written(total) => Op::Written { total: u64::from(total) },
        Turn::Requeue => Op::Requeue,
        Turn::Resend => Op::Resend,
        Turn::Discard => Op::Discard,
        Turn::Cancel(pick) => Op::Cancel { pick: usize::from(pick) },
        Turn::Expire => Op::Expire,
        Turn::Stop => Op::Stop,
        Turn::Doubt => Op::Doubt,
        Turn::Drain => Op::Drain,
        Turn::Wait(micros) => Op::Wait { micros: u64::from(micros % 8) },
    }
}

/// Random operations on outboxes, which do what naive ones do; with their arenas swapped, no harm.
pub fn outbox(data: &[u8]) {
    let mut bytes = Unstructured::new(data);
    let Ok((swapped, bounds)) = <(bool, Bounds)>::arbitrary(&mut bytes) else { return };
    let usual = bounds.config();
    let (mut history, mut swaps) = (Vec::new(), Vec::new());
    while !bytes.is_empty() && history.len() < LONGEST {
        let Ok((which, turn)) = <(u8, Turn)>::arbitrary(&mut bytes) else { break };
        history.push((usize::from(which & 1), op(turn, &usual)));
        swaps.push(which & 6 == 6);
    }
    if swapped {
        run_swapped(&history, swaps);
    } else {
        run(&history);
    }
}
