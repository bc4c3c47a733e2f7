//! A server that breaks the protocol in every way: answered as RFC 6455 says, counted, left, and tried again.

mod rig;

use everlink::link::Cause;
use everlink_tokio::{Action, Message, Options, Outcome, Status};
use rig::{Rig, Stage, ms, quick, soon};
use tokio::io::AsyncReadExt;

/// What the server writes, and the close code that it is answered with.
const CRIMES: &[(&str, &[u8], u16)] = &[
    ("garbage", b"\xFF\xFE\xFD\xFCgarbage", 1002),
    ("HTTP again", b"HTTP/1.1 200 OK\r\nServer: one that has forgotten what it was asked for, and says so at length\r\n\r\n", 1002),
    ("a reserved bit", &[0xC1, 0x01, b'x'], 1002),
    ("a reserved data opcode", &[0x83, 0x00], 1002),
    ("a reserved control opcode", &[0x8B, 0x00], 1002),
    ("a masked frame", &[0x81, 0x81, 1, 2, 3, 4, b'x'], 1002),
    ("a frame of 2^62 bytes", &[0x82, 0x7F, 0x40, 0, 0, 0, 0, 0, 0, 0], 1009),
    ("a frame of 2^63 bytes", &[0x82, 0x7F, 0x80, 0, 0, 0, 0, 0, 0, 0], 1002),
    ("a frame just too long", &[0x82, 0x7F, 0, 0, 0, 0, 0, 1, 0, 1], 1009),
    ("a continuation of nothing", &[0x80, 0x01, b'x'], 1002),
    ("a message inside a message", &[0x01, 0x01, b'x', 0x81, 0x01, b'y'], 1002),
    ("a fragmented ping", &[0x09, 0x01, b'x'], 1002),
    ("a long ping", &[0x89, 0x7E, 0, 126], 1002),
    ("text that is not UTF-8", &[0x81, 0x02, 0xC3, 0x28], 1007),
    ("fragments that are not UTF-8", &[0x01, 0x01, 0xC3, 0x80, 0x01, 0x28], 1007),
    ("close code 999", &[0x88, 0x02, 0x03, 0xE7], 1002),
    ("close code 1005", &[0x88, 0x02, 0x03, 0xED], 1002),
    ("close code 1006", &[0x88, 0x02, 0x03, 0xEE], 1002),
    ("close code 1015", &[0x88, 0x02, 0x03, 0xF7], 1002),
    ("close code 5000", &[0x88, 0x02, 0x13, 0x88], 1002),
    ("half a close code", &[0x88, 0x01, 0x03], 1002),
    ("a close reason that is not UTF-8", &[0x88, 0x04, 0x03, 0xE8, 0xC3, 0x28], 1007),
];

#[tokio::test]
async fn every_violation_is_answered_counted_and_survived() {
    let stage = Stage::new().await;
    let options = Options { config: quick(), max_message: 1 << 16, ..Options::default() };
    let mut rig = Rig::with(&format!("ws://{}", stage.addr()), options);
    for (number, (crime, bytes, code)) in CRIMES.iter().enumerate() {
        let mut wire = stage.wire().await;
        rig.status(Status::Connected).await;
        if bytes.ends_with(&[0, 126]) {
            wire.write(&[bytes, [b'x'; 126].as_slice()].concat()).await;
        } else {
            wire.write(bytes).await;
        }
        assert_eq!(wire.close_code().await, Some(*code), "{crime}");
        let cause = rig
            .action(|action| match action {
                Action::RetryScheduled { cause, .. } => Some(*cause),
                _ => None,
            })
            .await;
        assert_eq!(cause, Cause::Violation(*code), "{crime}");
        // Nothing of the socket is left: after the close frame comes the end, also if the server talks on.
        wire.write(&[0x55; 1000]).await;
        let _ = soon(wire.0.read_to_end(&mut Vec::new())).await;
        assert_eq!(rig.client.report().counts.protocol_violations.get(), number as u64 + 1, "{crime}");
    }
    let mut wire = stage.wire().await;
    wire.write(b"\x81\x05hello").await;
    assert_eq!(rig.text().await, "hello");
}

#[tokio::test]
async fn fragments_with_pings_between_them_are_one_message() {
    let stage = Stage::new().await;
    let mut rig = Rig::new(stage.addr(), quick());
    let mut wire = stage.wire().await;
    wire.write(b"\x01\x03hel\x89\x02hi\x00\x00\x80\x02lo").await;
    assert_eq!(rig.text().await, "hello");
    assert_eq!(wire.frame_of(0xA).await, b"hi");
}

#[tokio::test]
async fn pongs_that_nobody_asked_for_are_signs_of_life_and_no_more() {
    let stage = Stage::new().await;
    let mut rig = Rig::new(stage.addr(), quick());
    let mut wire = stage.wire().await;
    for payload in [&b""[..], b"x", b"\0\0\0\x09", &[0xFF; 4], &[7; 125]] {
        let len = u8::try_from(payload.len()).unwrap();
        wire.write(&[&[0x8A, len], payload].concat()).await;
    }
    wire.write(b"\x81\x02ok").await;
    assert_eq!(rig.text().await, "ok");
    let counts = rig.client.report().counts;
    assert_eq!((counts.pongs_received.get(), counts.protocol_violations.get()), (0, 0));
    assert_eq!(rig.client.report().latency, None);
}

#[tokio::test]
async fn a_flood_of_pings_holds_up_neither_messages_nor_the_close() {
    let stage = Stage::new().await;
    let mut rig = Rig::new(stage.addr(), quick());
    let wire = stage.wire().await;
    rig.status(Status::Connected).await;
    let (mut read, mut write) = wire.0.into_split();
    let flood = tokio::spawn(async move {
        let pings = b"\x89\x04ping".repeat(1000);
        while tokio::io::AsyncWriteExt::write_all(&mut write, &pings).await.is_ok() {}
    });
    let receipt = rig.client.send_tracked(Message::text("through")).unwrap();
    let reader = tokio::spawn(async move {
        let mut bytes = vec![0; 1 << 16];
        let mut total = 0;
        while let Ok(count @ 1..) = read.read(&mut bytes).await {
            total += count;
        }
        total
    });
    assert_eq!(soon(receipt).await, Outcome::Written);
    soon(rig.client.close(ms(100))).await;
    assert!(soon(reader).await.unwrap() > 0);
    flood.abort();
}

#[tokio::test]
async fn a_server_that_floods_after_the_close_frame_is_left_in_time() {
    let stage = Stage::new().await;
    let mut rig = Rig::new(stage.addr(), quick());
    let wire = stage.wire().await;
    rig.status(Status::Connected).await;
    let (mut read, mut write) = wire.0.into_split();
    let flood = tokio::spawn(async move {
        let frames = b"\x82\x08________".repeat(1000);
        while tokio::io::AsyncWriteExt::write_all(&mut write, &frames).await.is_ok() {}
    });
    let waste = tokio::spawn(async move { tokio::io::copy(&mut read, &mut tokio::io::sink()).await });
    soon(rig.client.close(ms(0))).await;
    // The socket is dropped, not leaked: the flood meets a wall.
    soon(flood).await.unwrap();
    let _ = soon(waste).await;
}
