//! Byte streams: what a line makes of packets, against a receiver that has all of the stream before it and forgets nothing.

use arbitrary::{Arbitrary, Unstructured};
use everlink::wire::serial::{Damage, Decoder, Encoder, Event, packet_max};

/// What is on the line.
#[derive(Arbitrary)]
enum Piece<'a> {
    Frame(&'a [u8]),
    /// A frame of one byte, over and over.
    Long(u8, u16),
    Lost(&'a [u8]),
    Open(u8),
    Noise(&'a [u8]),
    Flip {
        back: u8,
        bit: u8,
    },
}

/// An [`Event`] that owns its frame.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Opened(u8, Vec<u8>),
    Frame(Vec<u8>),
    Gap(u16, u16),
    Damaged(Damage),
    Stale(u8),
}

impl From<Event<'_>> for Seen {
    fn from(event: Event<'_>) -> Seen {
        match event {
            Event::Opened { connection, frame } => Seen::Opened(connection, frame.to_vec()),
            Event::Frame(frame) => Seen::Frame(frame.to_vec()),
            Event::Gap { expected, found } => Seen::Gap(expected, found),
            Event::Damaged(damage) => Seen::Damaged(damage),
            Event::Stale { connection } => Seen::Stale(connection),
        }
    }
}

/// A stream of packets and noise, read in pieces of any length.
pub fn serial(data: &[u8]) {
    let mut bytes = Unstructured::new(data);
    let Ok((client, room, splits)) = <(Option<u8>, u16, [u8; 4])>::arbitrary(&mut bytes) else { return };
    let room = usize::from(room % 700);
    let mut stream = line(&mut bytes);
    stream.push(0);

    let expected = naive(&stream, client, room);
    let decoder = || match client {
        Some(connection) => Decoder::client(vec![0; room], connection),
        None => Decoder::server(vec![0; room]),
    };
    let mut whole = decoder();
    let (mut input, mut seen) = (&stream[..], Vec::new());
    while let Some(event) = whole.read(&mut input) {
        seen.push(Seen::from(event));
    }
    assert_eq!(seen, expected);

    let (mut piecemeal, mut rest, mut seen) = (decoder(), &stream[..], Vec::new());
    for split in splits.iter().cycle() {
        let (mut now, later) = rest.split_at(usize::from(*split).clamp(1, rest.len()));
        while let Some(event) = piecemeal.read(&mut now) {
            seen.push(Seen::from(event));
        }
        rest = later;
        if rest.is_empty() {
            break;
        }
    }
    assert_eq!(seen, expected);
}

fn line(bytes: &mut Unstructured<'_>) -> Vec<u8> {
    let (mut stream, mut encoder) = (Vec::new(), Encoder::new(0));
    let packet = |encoder: &mut Encoder, frame: &[u8]| {
        let mut out = vec![0; packet_max(frame.len())];
        let (head, payload) = frame.split_at(frame.len() / 2);
        let len = encoder.encode(head, payload, &mut out).expect("there is room");
        out.truncate(len);
        out
    };
    while !bytes.is_empty() && stream.len() < 20_000 {
        let Ok(piece) = Piece::arbitrary(bytes) else { break };
        match piece {
            Piece::Frame(frame) => stream.extend(packet(&mut encoder, frame)),
            Piece::Long(byte, len) => {
                stream.extend(packet(&mut encoder, &vec![byte; usize::from(len % 1_000)]));
            }
            Piece::Lost(frame) => drop(packet(&mut encoder, frame)),
            Piece::Open(connection) => encoder = Encoder::new(connection),
            Piece::Noise(noise) => stream.extend(noise),
            Piece::Flip { back, bit } => {
                let at = stream.len().checked_sub(1 + usize::from(back));
                if let Some(byte) = at.and_then(|at| stream.get_mut(at)) {
                    *byte ^= 1 << (bit % 8);
                }
            }
        }
    }
    stream
}

/// What a stream that ends with a zero means, as the specification has it.
fn naive(stream: &[u8], client: Option<u8>, room: usize) -> Vec<Seen> {
    let mut expected = client.map(|connection| (connection, 0));
    let packets = stream.split(|byte| *byte == 0).filter(|packet| !packet.is_empty());
    let mut meaning = |packet: &[u8]| {
        let (connection, number, frame) = match unstuffed(packet, room) {
            Ok(packet) => packet,
            Err(damage) => return Seen::Damaged(damage),
        };
        if client.is_none() && number == 0 {
            expected = Some((connection, 1));
            return Seen::Opened(connection, frame);
        }
        match expected {
            Some((current, next)) if current == connection && next == number => {
                expected = Some((current, if next == u16::MAX { 1 } else { next + 1 }));
                Seen::Frame(frame)
            }
            Some((current, next)) if current == connection => {
                expected = None;
                Seen::Gap(next, number)
            }
            Some(_) | None => Seen::Stale(connection),
        }
    };
    packets.map(&mut meaning).collect()
}

fn unstuffed(mut packet: &[u8], room: usize) -> Result<(u8, u16, Vec<u8>), Damage> {
    let mut plain = Vec::new();
    while let [code, rest @ ..] = packet {
        let block = &rest[..rest.len().min(usize::from(*code) - 1)];
        plain.extend(block);
        packet = &rest[block.len()..];
        if plain.len() > room {
            return Err(Damage::TooLong);
        }
        if block.len() + 1 < usize::from(*code) {
            return Err(Damage::Truncated);
        }
        if *code != 255 && !packet.is_empty() {
            plain.push(0);
        }
    }
    if plain.len() > room {
        return Err(Damage::TooLong);
    }
    let (content, checksum) = plain.split_last_chunk::<4>().ok_or(Damage::Truncated)?;
    let [connection, low, high, frame @ ..] = content else { return Err(Damage::Truncated) };
    if crc32(content) != u32::from_le_bytes(*checksum) {
        return Err(Damage::Checksum);
    }
    Ok((*connection, u16::from_le_bytes([*low, *high]), frame.to_vec()))
}

fn crc32(bytes: &[u8]) -> u32 {
    let rest = bytes.iter().fold(u32::MAX, |rest, byte| {
        (0..8).fold(rest ^ u32::from(*byte), |rest, _| (rest >> 1) ^ ((rest & 1) * 0xEDB8_8320))
    });
    !rest
}
