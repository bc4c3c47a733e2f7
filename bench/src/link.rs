//! What a link costs: receiving, sending, being asked, staying alive, and memory.

use everlink::link::Link;
use everlink::outbox::Slot;

use crate::bed::{Bed, Payload};
use crate::measure::{in_turn, nanoseconds, print};

pub fn run() {
    let mut bed = Bed::new(100);
    print("receive_64B", nanoseconds(20_000, || bed.receive()), "ns");
    print("idle_poll", nanoseconds(100_000, || bed.idle_poll()), "ns");
    print("heartbeat_round", nanoseconds(5_000, || bed.heartbeat()), "ns");
    for slots in [100, 100_000] {
        let mut bed = Bed::new(slots);
        let (send, settle) = in_turn(&mut bed, 50, Bed::send, Bed::settle_one);
        print(&format!("send_and_flush_64B_{slots}_slots"), send, "ns");
        print(&format!("written_and_settled_{slots}_slots"), settle, "ns");
        // The same with a queue that is nearly full all the time: what the size of the queue costs.
        let mut bed = Bed::new(slots);
        bed.fill(slots - 51);
        let (send, settle) = in_turn(&mut bed, 50, Bed::send_one, Bed::settle_one);
        print(&format!("send_and_flush_64B_{slots}_slots_full"), send, "ns");
        print(&format!("written_and_settled_{slots}_slots_full"), settle, "ns");
    }
    print("link_8_slots", size_of::<Link<Payload, [Slot<Payload>; 8]>>() as f64, "bytes");
    for slots in [100, 100_000] {
        let bytes = size_of::<Link<Payload>>() + slots * size_of::<Slot<Payload>>();
        print(&format!("link_{slots}_slots"), bytes as f64, "bytes");
    }
}
