//! RFC 1951, read bit by bit: slow, short, and sharing nothing with what it checks.

/// What can be said of a message that was inflated.
#[derive(Clone, Copy, Debug, Default)]
pub struct Inflated {
    /// How many bytes it referred back at most.
    pub farthest: usize,
    /// How many of its blocks said that they are the last.
    pub finals: usize,
}

/// Inflates one message behind what `history` has, and appends it there. The message is its bytes with the tail that is not on
/// the wire. `None` if it is not DEFLATE data, or does not end with a block.
pub fn inflate(message: &[u8], history: &mut Vec<u8>) -> Option<Inflated> {
    let mut bits = Bits { bytes: message, at: 0 };
    let mut inflated = Inflated::default();
    while bits.at < 8 * message.len() {
        let last = bits.take(1)? == 1;
        inflated.farthest = inflated.farthest.max(match bits.take(2)? {
            0 => stored(&mut bits, history)?,
            1 => compressed(&mut bits, history, &fixed())?,
            2 => {
                let codes = dynamic(&mut bits)?;
                compressed(&mut bits, history, &codes)?
            }
            _ => return None,
        });
        if last {
            inflated.finals += 1;
            bits.align();
        }
    }
    Some(inflated)
}

struct Bits<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl Bits<'_> {
    fn take(&mut self, count: usize) -> Option<usize> {
        let mut value = 0;
        for place in 0..count {
            let byte = *self.bytes.get(self.at / 8)?;
            value |= usize::from(byte >> (self.at % 8) & 1) << place;
            self.at += 1;
        }
        Some(value)
    }

    fn align(&mut self) {
        self.at = self.at.next_multiple_of(8);
    }
}

fn stored(bits: &mut Bits<'_>, history: &mut Vec<u8>) -> Option<usize> {
    bits.align();
    let length = bits.take(16)?;
    if bits.take(16)? != length ^ 0xffff {
        return None;
    }
    for _ in 0..length {
        history.push(bits.take(8)? as u8);
    }
    Some(0)
}

/// The symbols with a code, by its length and value: `first[length]` is the first code of that length.
struct Code {
    counts: [usize; 16],
    symbols: Vec<usize>,
}

impl Code {
    /// `None` if the lengths make no code. One that leaves bits unused is none either, but for a single code of one bit.
    fn new(lengths: &[usize], may_be_empty: bool) -> Option<Code> {
        let mut counts = [0; 16];
        let mut symbols = Vec::new();
        for (length, count) in counts.iter_mut().enumerate().skip(1) {
            let before = symbols.len();
            symbols.extend((0..lengths.len()).filter(|symbol| lengths[*symbol] == length));
            *count = symbols.len() - before;
        }
        let mut left = 1_i64;
        for count in &counts[1..] {
            left = 2 * left - *count as i64;
            if left < 0 {
                return None;
            }
        }
        let short = symbols.is_empty() || symbols.len() == 1 && counts[1] == 1;
        (left == 0 || may_be_empty && short).then_some(Code { counts, symbols })
    }

    fn read(&self, bits: &mut Bits<'_>) -> Option<usize> {
        let (mut code, mut first, mut index) = (0, 0, 0);
        for count in &self.counts[1..] {
            code = code << 1 | bits.take(1)?;
            if code < first + count {
                return self.symbols.get(index + code - first).copied();
            }
            index += count;
            first = (first + count) << 1;
        }
        None
    }
}

fn fixed() -> (Code, Code) {
    let mut lengths = [8; 288];
    lengths[144..256].fill(9);
    lengths[256..280].fill(7);
    (Code::new(&lengths, false).unwrap(), Code::new(&[5; 32], false).unwrap())
}

fn dynamic(bits: &mut Bits<'_>) -> Option<(Code, Code)> {
    const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
    let (literals, distances, codes) = (bits.take(5)? + 257, bits.take(5)? + 1, bits.take(4)? + 4);
    if literals > 286 || distances > 30 {
        return None;
    }
    let mut lengths = [0; 19];
    for place in &ORDER[..codes] {
        lengths[*place] = bits.take(3)?;
    }
    let code = Code::new(&lengths, false)?;
    let mut lengths = Vec::new();
    while lengths.len() < literals + distances {
        let (length, times) = match code.read(bits)? {
            16 => (*lengths.last()?, 3 + bits.take(2)?),
            17 => (0, 3 + bits.take(3)?),
            18 => (0, 11 + bits.take(7)?),
            length => (length, 1),
        };
        lengths.extend(std::iter::repeat_n(length, times));
    }
    // The last run must not go beyond, and a block must have an end.
    if lengths.len() > literals + distances || lengths[256] == 0 {
        return None;
    }
    Some((Code::new(&lengths[..literals], true)?, Code::new(&lengths[literals..], true)?))
}

fn compressed(
    bits: &mut Bits<'_>,
    history: &mut Vec<u8>,
    (literals, distances): &(Code, Code),
) -> Option<usize> {
    const LENGTHS: [usize; 29] = [
        3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163,
        195, 227, 258,
    ];
    const DISTANCES: [usize; 30] = [
        1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049,
        3073, 4097, 6145, 8193, 12289, 16385, 24577,
    ];
    let mut farthest = 0;
    loop {
        match literals.read(bits)? {
            literal @ 0..=255 => history.push(literal as u8),
            256 => return Some(farthest),
            symbol => {
                let length = *LENGTHS.get(symbol - 257)?;
                let extra = if symbol == 285 { 0 } else { (symbol.saturating_sub(261)) / 4 };
                let length = length + bits.take(extra)?;
                let symbol = distances.read(bits)?;
                let distance = *DISTANCES.get(symbol)? + bits.take(symbol.saturating_sub(2) / 2)?;
                let from = history.len().checked_sub(distance)?;
                farthest = farthest.max(distance);
                for place in from..from + length {
                    history.push(history[place]);
                }
            }
        }
    }
}
