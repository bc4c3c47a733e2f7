//! Whether bytes are UTF-8, where the processor can look at 32 of them at once.
//!
//! The method is that of Keiser and Lemire, "Validating UTF-8 in less than one instruction per byte" (2021): what two bytes that follow
//! each other may be is a matter of three of their four halves, so each wrong is a bit in three tables of 16, looked up for
//! all bytes at once; what the tables cannot tell (that a third or fourth byte is due) is a comparison.

/// Whether these bytes are UTF-8, as a well-known crate tells it.
pub fn is_utf8(bytes: &[u8]) -> bool {
    if bytes.len() < 64 { str::from_utf8(bytes).is_ok() } else { simdutf8::basic::from_utf8(bytes).is_ok() }
}

/// What two bytes may not be: a set of nibbles for the upper half of the first, one for its lower half, one for the upper half of the
/// second. (Bit `n` of a set is nibble `n`.)
#[cfg(any(target_arch = "x86_64", target_arch = "x86"))]
const WRONGS: [[u16; 3]; 8] = {
    const ANY: u16 = 0xffff;
    const ASCII: u16 = 0x00ff;
    const CONTINUATION: u16 = 0x0f00;
    const LEAD: u16 = 0xf000;
    const C: u16 = 1 << 0xc;
    const E: u16 = 1 << 0xe;
    const F: u16 = 1 << 0xf;
    [
        // A character that ends too early,
        [LEAD, ANY, ASCII | LEAD],
        // or goes on after its end.
        [ASCII, ANY, CONTINUATION],
        // Two bytes for what one would do for (C0, C1),
        [C, 0b11, CONTINUATION],
        // three for two (E0 80 to E0 9F),
        [E, 0b1, 1 << 0x8 | 1 << 0x9],
        // four for three (F0 80 to F0 8F), and with the same second byte: more than there are (F5 80 and on).
        [F, 1 | 0xffe0, 1 << 0x8],
        // Likewise, with other second bytes (F4 90 and on).
        [F, 0xfff0, CONTINUATION & !(1 << 0x8)],
        // A surrogate (ED A0 to ED BF).
        [E, 1 << 0xd, 1 << 0xa | 1 << 0xb],
        // Not wrong by itself: two continuations, which must be where a third or fourth byte is due, and nowhere else.
        [CONTINUATION, ANY, CONTINUATION],
    ]
};

/// The table for one of the three halves: the wrongs that each nibble is in.
#[cfg(any(target_arch = "x86_64", target_arch = "x86"))]
const fn table(half: usize) -> [u8; 16] {
    let mut table = [0; 16];
    let mut nibble = 0;
    while nibble < 16 {
        let mut wrong = 0;
        while wrong < WRONGS.len() {
            if WRONGS[wrong][half] >> nibble & 1 != 0 {
                table[nibble] |= 1 << wrong;
            }
            wrong += 1;
        }
        nibble += 1;
    }
    table
}

#[cfg(any(target_arch = "x86_64", target_arch = "x86"))]
pub mod x86 {
    #[cfg(target_arch = "x86")]
    use core::arch::x86::*;
    #[cfg(target_arch = "x86_64")]
    use core::arch::x86_64::*;

    use crate::blocks::turned;

    /// What a vector holds.
    const WIDTH: usize = 32;

    /// From here on the vector that it may take to align the others is worth it.
    const LONG: usize = 2048;

    const TABLES: [[u8; 16]; 3] = [super::table(0), super::table(1), super::table(2)];

    #[target_feature(enable = "avx2")]
    fn load(bytes: &[u8; WIDTH]) -> __m256i {
        #[expect(unsafe_code, reason = "a read through a pointer")]
        // SAFETY: the pointer is to 32 bytes that may be read, and no alignment is asked for.
        unsafe {
            _mm256_loadu_si256(bytes.as_ptr().cast())
        }
    }

    #[target_feature(enable = "avx2")]
    fn store(bytes: &mut [u8; WIDTH], vector: __m256i) {
        #[expect(unsafe_code, reason = "a write through a pointer")]
        // SAFETY: the pointer is to 32 bytes that are ours to write, and no alignment is asked for.
        unsafe {
            _mm256_storeu_si256(bytes.as_mut_ptr().cast(), vector);
        }
    }

    /// A table twice, since each half of a vector looks up in its own.
    #[target_feature(enable = "avx2")]
    fn twice(table: &[u8; 16]) -> __m256i {
        let (words, _) = table.as_chunks::<8>();
        let [low, high] = [i64::from_le_bytes(words[0]), i64::from_le_bytes(words[1])];
        _mm256_set_epi64x(high, low, high, low)
    }

    #[target_feature(enable = "avx2")]
    fn is_ascii(vector: __m256i) -> bool {
        _mm256_movemask_epi8(vector) == 0
    }

    /// Whether a text may end with these three bytes.
    fn is_complete([a, b, c]: [u8; 3]) -> bool {
        a < 0xf0 && b < 0xe0 && c < 0xc0
    }

    /// A check that goes on from vector to vector.
    struct Check {
        /// The vector before; its last three bytes matter.
        before: __m256i,
        /// Not zero where something is wrong.
        wrong: __m256i,
    }

    impl Check {
        #[target_feature(enable = "avx2")]
        fn new(before: __m256i) -> Check {
            Check { before, wrong: _mm256_setzero_si256() }
        }

        /// The next bytes of the text.
        #[target_feature(enable = "avx2")]
        fn push(&mut self, bytes: __m256i) {
            let low = _mm256_set1_epi8(0x0f);
            let across = _mm256_permute2x128_si256::<0x21>(self.before, bytes);
            let one_before = _mm256_alignr_epi8::<15>(bytes, across);
            let two_before = _mm256_alignr_epi8::<14>(bytes, across);
            let three_before = _mm256_alignr_epi8::<13>(bytes, across);
            let upper = |bytes| _mm256_and_si256(_mm256_srli_epi16::<4>(bytes), low);
            let look = |half: usize, nibbles| _mm256_shuffle_epi8(twice(&TABLES[half]), nibbles);
            let first =
                _mm256_and_si256(look(0, upper(one_before)), look(1, _mm256_and_si256(one_before, low)));
            let pairs = _mm256_and_si256(first, look(2, upper(bytes)));
            // Less 60 and 70, the highest bit is set from E0 and from F0 on: as it is in `pairs` for two continuations.
            let third = _mm256_subs_epu8(two_before, _mm256_set1_epi8(0x60));
            let fourth = _mm256_subs_epu8(three_before, _mm256_set1_epi8(0x70));
            let due = _mm256_and_si256(_mm256_or_si256(third, fourth), _mm256_set1_epi8(i8::MIN));
            self.wrong = _mm256_or_si256(self.wrong, _mm256_xor_si256(due, pairs));
            self.before = bytes;
        }

        #[target_feature(enable = "avx2")]
        fn is_fine(&self) -> bool {
            _mm256_testz_si256(self.wrong, self.wrong) == 1
        }
    }

    /// A vector that ends with the four bytes before `at` (those that there are), under this key.
    #[target_feature(enable = "avx2")]
    fn four_before(bytes: &[u8], at: usize, key: [u8; 4]) -> __m256i {
        let from = at.saturating_sub(4);
        let word = bytes
            .get(from..)
            .and_then(|bytes| bytes.first_chunk())
            .map_or(0, |word| u32::from_le_bytes(*word));
        let clear = u64::from(word ^ u32::from_le_bytes(turned(key, from)));
        _mm256_set_epi32((clear << (8 * (4 - (at - from)))) as i32, 0, 0, 0, 0, 0, 0, 0)
    }

    /// Combines `bytes`, at least 32, with `key`; whether they are UTF-8 now.
    ///
    /// The vectors in the middle end where the text does, or, if it is long, begin at a border of 32 bytes. The first (and then the
    /// last) overlap with them, and so are read before and written after them.
    #[target_feature(enable = "avx2")]
    pub fn apply_avx2(bytes: &mut [u8], key: [u8; 4]) -> bool {
        let vector = |key| _mm256_set1_epi32(i32::from_ne_bytes(key));
        let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) else {
            return super::is_utf8(bytes);
        };
        let first = _mm256_xor_si256(load(first), vector(key));
        let last = _mm256_xor_si256(load(last), vector(turned(key, bytes.len())));

        let aligned = bytes.as_ptr().align_offset(WIDTH);
        let border = if bytes.len() < LONG { bytes.len() } else { aligned } % WIDTH;
        let mut check = Check::new(_mm256_setzero_si256());
        if border > 0 && !is_ascii(first) {
            check.push(first);
            check.before = four_before(bytes, border, key);
        }
        let middle = vector(turned(key, border));
        let (pairs, rest) = bytes.get_mut(border..).unwrap_or_default().as_chunks_mut::<{ 2 * WIDTH }>();
        for pair in pairs {
            let ([one, other], _) = pair.as_chunks_mut::<WIDTH>() else { continue };
            let (first, second) =
                (_mm256_xor_si256(load(one), middle), _mm256_xor_si256(load(other), middle));
            store(one, first);
            store(other, second);
            if is_ascii(_mm256_or_si256(check.before, _mm256_or_si256(first, second))) {
                check.before = second;
            } else {
                check.push(first);
                check.push(second);
            }
        }
        if let Some(one) = rest.first_chunk_mut() {
            let vector = _mm256_xor_si256(load(one), middle);
            store(one, vector);
            check.push(vector);
        }
        if let Some(place) = bytes.first_chunk_mut() {
            store(place, first);
        }
        if !(bytes.len() - border).is_multiple_of(WIDTH) {
            check.before = four_before(bytes, bytes.len() - WIDTH, [0; 4]);
            check.push(last);
            if let Some(place) = bytes.last_chunk_mut() {
                store(place, last);
            }
        }
        check.is_fine() && bytes.last_chunk().is_some_and(|last| is_complete(*last))
    }

    /// Whether at most 32 bytes are UTF-8.
    ///
    /// They go into a vector by way of words: what was just written in other pieces is slow to read as a whole.
    #[target_feature(enable = "avx2")]
    pub fn is_utf8_avx2(bytes: &[u8]) -> bool {
        let (low, high) = match (bytes.first_chunk(), bytes.last_chunk()) {
            (Some(first), Some(last)) => {
                (u128::from_le_bytes(*first), behind(u128::from_le_bytes(*last), WIDTH - bytes.len()))
            }
            _ => match (bytes.first_chunk(), bytes.last_chunk()) {
                (Some(first), Some(last)) => {
                    let last = u128::from(u64::from_le_bytes(*last));
                    (u128::from(u64::from_le_bytes(*first)) | last << (8 * (bytes.len() - 8)), 0)
                }
                _ => (bytes.iter().rev().fold(0, |word, byte| word << 8 | u128::from(*byte)), 0),
            },
        };
        let words = [low as i64, (low >> 64) as i64, high as i64, (high >> 64) as i64];
        let mut check = Check::new(_mm256_setzero_si256());
        check.push(_mm256_set_epi64x(words[3], words[2], words[1], words[0]));
        // With less than 32 bytes, the zeros behind them show an end that is not one.
        check.is_fine() && bytes.last_chunk().is_none_or(|last| bytes.len() < WIDTH || is_complete(*last))
    }

    /// The 16 bytes of a word without the first `known`.
    fn behind(word: u128, known: usize) -> u128 {
        word.checked_shr(8 * known as u32).unwrap_or(0)
    }
}
