//! What a server can make this process remember. A process of its own, because all of its memory is looked at.

mod rig;

use everlink::heartbeat::Mode;
use everlink_tokio::{Message, Outcome, Status};
use rig::{Rig, Stage, quick, soon};

#[tokio::test]
async fn a_flood_of_pings_from_a_server_that_reads_nothing_fills_no_memory() {
    let mut config = quick();
    config.outbox.bytes = 64 << 10;
    config.outbox.message_bytes = 64 << 10;
    config.heartbeat.mode = Mode::Off;
    let stage = Stage::new().await;
    let mut rig = Rig::new(stage.addr(), config);
    let mut wire = stage.wire().await;
    rig.status(Status::Connected).await;
    let before = resident();
    // Each is answered with as much, and the answers go nowhere.
    let pings = [&[0x89, 125], [7; 125].as_slice()].concat().repeat(1000);
    for _ in 0..400 {
        wire.write(&pings).await;
    }
    wire.write(b"\x81\x04done").await;
    assert_eq!(rig.text().await, "done");
    let grown = resident().saturating_sub(before);
    assert!(grown < 16 << 20, "50 MB of pings left {grown} bytes behind");
    // Messages are not lost to it.
    let receipt = rig.client.send_tracked(Message::binary(vec![7; 64 << 10])).unwrap();
    let reader = tokio::spawn(async move {
        loop {
            let (opcode, payload) = wire.frame().await.unwrap();
            if opcode == 2 {
                return payload;
            }
        }
    });
    assert_eq!(soon(receipt).await, Outcome::Written);
    assert_eq!(soon(reader).await.unwrap(), vec![7; 64 << 10]);
}

/// Bytes of memory that this process occupies, where that can be asked.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap_or_default() << 10
}
