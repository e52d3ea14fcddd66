//! A small deterministic mutator: the same seed gives the same inputs, on every machine.

/// A generator of numbers (xorshift64*), good enough to choose places with.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// One that gives the same numbers for the same seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below a bound; 0 when the bound is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 16) as usize % bound.max(1)
    }
}

/// Longest input that is made.
const LONGEST: usize = 4096;
const NUMBERS: &[&str] = &[
    "0",
    "-1",
    "1",
    "255",
    "65536",
    "2147483648",
    "9223372036854775807",
    "1e400",
    "0.1",
];

/// An input with a few changes: bytes, words, pieces of another input.
#[must_use]
pub fn mutate(input: &[u8], other: &[u8], words: &[&str], random: &mut Random) -> Vec<u8> {
    let mut data = input.to_vec();
    for _ in 0..=random.below(4) {
        change(&mut data, other, words, random);
    }
    data.truncate(LONGEST);
    data
}

fn change(data: &mut Vec<u8>, other: &[u8], words: &[&str], random: &mut Random) {
    let at = random.below(data.len() + 1);
    let end = at + random.below((data.len() - at).min(32) + 1);
    match random.below(9) {
        0 if at < data.len() => data[at] ^= 1 << random.below(8),
        1 if at < data.len() => data[at] = random.below(256) as u8,
        2 => drop(data.drain(at..end)),
        3 => {
            let piece = data[at..end].to_vec();
            insert(data, at, &piece);
        }
        4 => {
            let from = random.below(other.len() + 1);
            let to = from + random.below((other.len() - from).min(64) + 1);
            insert(data, at, &other[from..to]);
        }
        5 => drop(data.splice(at..end, NUMBERS[random.below(NUMBERS.len())].bytes())),
        6 => drop(data.splice(at..end, words[random.below(words.len())].bytes())),
        _ => insert(data, at, words[random.below(words.len())].as_bytes()),
    }
}

fn insert(data: &mut Vec<u8>, at: usize, piece: &[u8]) {
    drop(data.splice(at..at, piece.iter().copied()));
}
