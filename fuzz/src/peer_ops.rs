//! A server with three honest clients, and somebody else who is not: whatever is done to them, what `World` asserts holds.

use arbitrary::{Arbitrary, Unstructured};
use everlink::outbox::{Policy, Priority};
use everlink::peer::Slow;
use everlink::wire::native::VERSION;

use crate::pick;
use crate::sessions::world::{Step, World};

/// A longer history finds nothing that a shorter one does not.
const LONGEST: usize = 150;

/// Reads a history and lives through it.
///
/// # Panics
/// Where a rule is broken.
pub fn peer_ops(data: &[u8]) {
    let mut bytes = Unstructured::new(data);
    let Ok((policy, window)) = <(u8, u8)>::arbitrary(&mut bytes) else { return };
    let slow = if policy & 4 == 0 { Slow::Drop } else { Slow::Close };
    let policy = pick(&[Policy::DropOldest, Policy::DropLowest, Policy::Refuse], policy & 3);
    let mut world = World::new(policy, slow, 1 + u32::from(window % 8));
    for _ in 0..LONGEST {
        if bytes.is_empty() {
            break;
        }
        let Ok(what) = Move::arbitrary(&mut bytes) else { break };
        world.apply(what.step());
    }
    world.wind_up();
}

/// A step, in as few bytes as it needs.
#[derive(Arbitrary)]
enum Move {
    Connect(u8),
    Delay(u8),
    Arrive,
    Read(u8, u8),
    Write(u8, u8),
    WriteLost(u8, u8),
    Drop(u8),
    Finish(u8),
    Queue(u8),
    Send(u8, u8),
    SendBrief(u8, u8, u16),
    Cancel(u8),
    Detach(u8),
    End(u8),
    PartAll,
    Block(u8),
    Unblock,
    Ping(u8),
    Noise(u8, Vec<u8>),
    Event(u8, u8),
    Stale(u8, u8),
    Steal(u8, Version, u32, u64),
    Guess(Vec<u8>, Version, u32, u64),
    Says(u8, u64, Vec<u8>),
    Pass(u16),
    PassLong(u16),
    Restart(u16),
    Back(u16),
}

/// That of the protocol, more often than not.
#[derive(Arbitrary)]
struct Version(u8);

impl Version {
    fn get(&self) -> u32 {
        match self.0 {
            0..200 => VERSION,
            200..250 => u32::from(self.0 - 200),
            _ => u32::MAX,
        }
    }
}

impl Move {
    fn step(self) -> Step {
        let who = |who: u8| usize::from(who % 3);
        let many = |many: u8| usize::from(many % 9);
        let priority = |byte| pick(&[Priority::High, Priority::Normal, Priority::Low], byte);
        let socket = |number: u8| 1 + u32::from(number);
        match self {
            Move::Connect(one) => Step::Connect(who(one)),
            Move::Delay(one) => Step::Delay(who(one)),
            Move::Arrive => Step::Arrive,
            Move::Read(one, most) => Step::Read(who(one), many(most)),
            Move::Write(one, most) => Step::Write(who(one), many(most), true),
            Move::WriteLost(one, most) => Step::Write(who(one), many(most), false),
            Move::Drop(one) => Step::Drop(who(one)),
            Move::Finish(one) => Step::Finish(who(one)),
            Move::Queue(one) => Step::Queue(who(one)),
            Move::Send(one, byte) => Step::Send(who(one), priority(byte), None),
            Move::SendBrief(one, byte, ttl) => Step::Send(who(one), priority(byte), Some(ttl.into())),
            Move::Cancel(one) => Step::Cancel(who(one)),
            Move::Detach(one) => Step::Part(who(one), false),
            Move::End(one) => Step::Part(who(one), true),
            Move::PartAll => Step::PartAll,
            Move::Block(one) => Step::Block(who(one)),
            Move::Unblock => Step::Unblock,
            Move::Ping(one) => Step::Ping(who(one)),
            Move::Noise(number, data) => Step::Noise(socket(number), data),
            Move::Event(number, what) => Step::Event(socket(number), what % 6),
            Move::Stale(one, number) => Step::Stale(who(one), socket(number)),
            Move::Steal(one, version, attempt, received) => Step::EveHello {
                of: Some(who(one)),
                token: Vec::new(),
                version: version.get(),
                attempt,
                received,
            },
            Move::Guess(mut token, version, attempt, received) => {
                token.truncate(64);
                Step::EveHello { of: None, token, version: version.get(), attempt, received }
            }
            Move::Says(what, number, data) => Step::EveSays { what, number, data },
            Move::Pass(millis) => Step::Pass(u64::from(millis % 512) + 1),
            Move::PassLong(millis) => Step::Pass(u64::from(millis) + 1),
            Move::Restart(away) => Step::Restart(away.into()),
            Move::Back(millis) => Step::Back(millis.into()),
        }
    }
}
