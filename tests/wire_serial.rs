//! Frames over byte streams: the vectors of the specification, and what noise and losses do.

#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test may be blunt")]

use crate::law::proptest_config;
use everlink::error::NoRoom;
use everlink::wire::serial::{Damage, Decoder, Encoder, Event, OVERHEAD, packet_max};
use proptest::prelude::*;

const VECTORS: &str = include_str!("../docs/serial-vectors.txt");

fn bytes(hex: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(digit).collect()
}

fn hex(bytes: &[u8]) -> String {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    if digits.is_empty() { "-".into() } else { digits }
}

/// In the words of the vectors.
fn describe(event: Event<'_>) -> String {
    match event {
        Event::Opened { connection, frame } => format!("opened {connection} {}", hex(frame)),
        Event::Frame(frame) => format!("frame {}", hex(frame)),
        Event::Gap { expected, found } => format!("gap {expected} {found}"),
        Event::Damaged(Damage::TooLong) => "damaged: too long".into(),
        Event::Damaged(Damage::Truncated) => "damaged: truncated".into(),
        Event::Damaged(Damage::Checksum) => "damaged: checksum".into(),
        Event::Damaged(damage) => panic!("{damage:?} is new"),
        Event::Stale { connection } => format!("stale {connection}"),
    }
}

fn read(decoder: &mut Decoder<Vec<u8>>, mut input: &[u8]) -> Vec<String> {
    let mut events = Vec::new();
    while let Some(event) = decoder.read(&mut input) {
        events.push(describe(event));
    }
    assert_eq!(input, b"");
    events
}

fn packet(encoder: &mut Encoder, frame: &[u8]) -> Vec<u8> {
    let mut out = vec![0xEE; packet_max(frame.len())];
    let head = frame.len() / 3;
    let len = encoder.encode(&frame[..head], &frame[head..], &mut out).unwrap();
    out.truncate(len);
    out
}

#[test]
fn the_vectors_hold_whole_and_byte_by_byte() {
    let mut count = 0;
    for line in VECTORS.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (stream, meaning) = line.split_once('\t').unwrap();
        let (role, stream) = stream.split_once(' ').unwrap();
        let decoder = || match role.strip_prefix("client:") {
            Some(connection) => Decoder::client(vec![0; 1024], connection.parse().unwrap()),
            None => Decoder::server(vec![0; 1024]),
        };
        let stream = bytes(stream);
        assert_eq!(read(&mut decoder(), &stream).join(" | "), meaning, "{line}");
        let mut piecemeal = decoder();
        let events: Vec<_> = stream.iter().flat_map(|byte| read(&mut piecemeal, &[*byte])).collect();
        assert_eq!(events.join(" | "), meaning, "{line}");
        count += 1;
    }
    assert!(count > 10);
}

#[test]
fn the_first_packet_is_the_one_in_the_specification() {
    assert_eq!(hex(&packet(&mut Encoder::new(7), &[0x43, 1, 7])), "00020701084301076006645900");
}

#[test]
fn a_lost_packet_is_a_gap_and_then_nothing_comes_until_the_next_connection() {
    let (mut first, mut second) = (Encoder::new(1), Encoder::new(2));
    let packets: Vec<_> = (0..4).map(|byte| packet(&mut first, &[byte])).collect();
    let mut server = Decoder::server(vec![0; 64]);
    assert_eq!(read(&mut server, &packets[0]), ["opened 1 00"]);
    assert_eq!(read(&mut server, &packets[2]), ["gap 1 2"]);
    assert_eq!(read(&mut server, &packets[1]), ["stale 1"]);
    assert_eq!(read(&mut server, &packets[3]), ["stale 1"]);
    assert_eq!(read(&mut server, &packet(&mut second, &[9])), ["opened 2 09"]);
}

#[test]
fn a_client_that_opens_anew_ignores_the_answers_to_its_old_connection() {
    let (mut old, mut new) = (Encoder::new(1), Encoder::new(2));
    let mut client = Decoder::client(vec![0; 64], 2);
    assert_eq!(read(&mut client, &packet(&mut old, &[1])), ["stale 1"]);
    assert_eq!(read(&mut client, &packet(&mut new, &[2])), ["frame 02"]);
    assert_eq!(read(&mut client, &packet(&mut old, &[3])), ["stale 1"]);
    assert_eq!(read(&mut client, &packet(&mut new, &[4])), ["frame 04"]);
}

#[test]
fn an_opening_puts_an_end_to_the_noise_before_it() {
    let mut server = Decoder::server(vec![0; 64]);
    let mut stream = vec![0xA5, 3, 3];
    stream.extend(packet(&mut Encoder::new(5), b"x"));
    assert_eq!(read(&mut server, &stream), ["damaged: truncated", "opened 5 78"]);
}

#[test]
fn numbers_go_round_and_leave_zero_out() {
    let mut client = Encoder::new(1);
    let mut server = Decoder::server(vec![0; 64]);
    assert_eq!(read(&mut server, &packet(&mut client, &[])), ["opened 1 -"]);
    for _ in 0..70_000 {
        assert_eq!(read(&mut server, &packet(&mut client, &[])), ["frame -"]);
    }
}

#[test]
fn a_buffer_that_is_too_short_uses_up_no_number() {
    let mut client = Encoder::new(1);
    for room in 0..packet_max(3) - 1 {
        assert_eq!(client.encode(&[], &[1, 2, 3], &mut vec![0; room]), Err(NoRoom));
    }
    let mut server = Decoder::server(vec![0; 64]);
    assert_eq!(read(&mut server, &packet(&mut client, &[1, 2, 3])), ["opened 1 010203"]);
}

#[test]
fn a_packet_that_is_too_long_is_told_at_once_and_once() {
    let mut client = Encoder::new(1);
    let (fits, too_long) = (packet(&mut client, &[1; 20]), packet(&mut client, &[1; 21]));
    let mut server = Decoder::server(vec![0; OVERHEAD + 20]);
    assert_eq!(read(&mut server, &fits), [format!("opened 1 {}", hex(&[1; 20]))]);
    assert_eq!(read(&mut server, &too_long[..too_long.len() - 1]), ["damaged: too long"]);
    assert_eq!(read(&mut server, &[9; 5000]), [""; 0]);
    assert_eq!(read(&mut server, &[0]), [""; 0]);
    assert_eq!(read(&mut server, &packet(&mut client, b"x")), ["gap 1 2"]);
}

fn frames() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let byte = prop_oneof![2 => Just(0), 1 => Just(1), 1 => Just(255), 4 => any::<u8>()];
    let short = prop::collection::vec(byte, 0..40);
    // Around the length of a full block.
    let long = (240..270usize, any::<bool>()).prop_map(|(len, zero)| {
        let mut frame = vec![7; len];
        if zero {
            frame[len - 1] = 0;
        }
        frame
    });
    prop::collection::vec(prop_oneof![4 => short, 1 => long], 1..12)
}

proptest! {
    #![proptest_config(proptest_config("proptest-regressions/wire_serial.txt", 300))]

    #[test]
    fn what_was_encoded_is_decoded_however_it_is_split(frames in frames(), splits in prop::collection::vec(1..50usize, 1..20)) {
        let mut client = Encoder::new(3);
        let stream: Vec<u8> = frames.iter().flat_map(|frame| packet(&mut client, frame)).collect();
        let mut expected: Vec<_> = frames.iter().map(|frame| format!("frame {}", hex(frame))).collect();
        expected[0] = format!("opened 3 {}", hex(&frames[0]));
        let mut server = Decoder::server(vec![0; 300]);
        let (mut events, mut rest) = (Vec::new(), &stream[..]);
        for split in splits.iter().cycle() {
            let (now, later) = rest.split_at((*split).min(rest.len()));
            events.extend(read(&mut server, now));
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(events, expected);
    }

    /// Another implementation of COBS takes our packets, and we take its.
    #[test]
    fn the_stuffing_is_cobs(frames in frames()) {
        let mut client = Encoder::new(3);
        let (mut ours, mut theirs) = (Decoder::server(vec![0; 300]), Decoder::server(vec![0; 300]));
        for frame in frames {
            let packet = packet(&mut client, &frame);
            let stuffed: Vec<u8> = packet.iter().copied().filter(|byte| *byte != 0).collect();
            let plain = cobs::decode_vec(&stuffed).unwrap();
            prop_assert_eq!(&plain[3..plain.len() - 4], &frame[..]);
            let mut again = cobs::encode_vec(&plain);
            again.push(0);
            prop_assert_eq!(read(&mut theirs, &again), read(&mut ours, &packet));
        }
    }

    /// Frames arrive in order from the first one on, up to the first that is missing or hit; then nothing does.
    #[test]
    fn a_line_that_loses_and_spoils_packets_delivers_a_prefix(
        frames in frames(),
        faults in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..255u8), 1..4),
    ) {
        let mut client = Encoder::new(3);
        let mut packets: Vec<_> = frames.iter().map(|frame| packet(&mut client, frame)).collect();
        let mut first = packets.len();
        for (which, byte, change) in faults {
            let which = which.index(packets.len());
            if packets[which].is_empty() {
                continue;
            }
            let at = byte.index(packets[which].len());
            // Zeros at both ends stay, or the fault would be in two packets.
            if change == 0 || packets[which][at] == 0 {
                packets[which].clear();
            } else {
                packets[which][at] ^= change;
            }
            first = first.min(which);
        }
        let mut server = Decoder::server(vec![0; 300]);
        let events = read(&mut server, &packets.concat());
        let delivered: Vec<_> = events.iter().filter_map(|event| {
            event.strip_prefix("opened 3 ").or(event.strip_prefix("frame "))
        }).collect();
        let expected: Vec<_> = frames[..first].iter().map(|frame| hex(frame)).collect();
        let gaps = events.iter().filter(|event| event.starts_with("gap")).count();
        prop_assert!(gaps <= 1);
        prop_assert_eq!(delivered, expected);
    }

    #[test]
    fn noise_is_never_a_frame(noise in prop::collection::vec(any::<u8>(), 0..2000), opened: bool) {
        let mut server = Decoder::server(vec![0; 100]);
        if opened {
            read(&mut server, &packet(&mut Encoder::new(1), &[]));
        }
        for event in read(&mut server, &noise) {
            prop_assert!(event.starts_with("damaged"), "{}", event);
        }
    }
}
