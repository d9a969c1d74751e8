//! Seeded numbers, so that a run can be told by its seed.

/// xorshift64*: small, quick and good enough to choose commands and keys.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The same seed gives the same numbers. Seeds that differ in one bit give unlike ones.
    pub fn new(seed: u64) -> Self {
        // The step of splitmix64 spreads the seed. The state must not be 0, where xorshift stays for ever.
        let mut state = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        state = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        state = (state ^ (state >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        Self((state ^ (state >> 31)) | 1)
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A number below `bound`, which must not be 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        // The high half is the better one, and the bias of the product is far below what a test could see.
        ((self.next_u64() >> 32) * bound) >> 32
    }

    /// `length` bytes of printable text that does not compress well.
    pub fn text(&mut self, length: usize) -> Vec<u8> {
        let mut text = Vec::with_capacity(length);
        while text.len() < length {
            let mut bits = self.next_u64();
            for _ in 0..10.min(length - text.len()) {
                text.push(
                    b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ+-"
                        [(bits & 63) as usize],
                );
                bits >>= 6;
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_decides_and_neighbours_differ() {
        assert_eq!(Random::new(7).text(40), Random::new(7).text(40));
        assert_ne!(Random::new(7).next_u64(), Random::new(8).next_u64());
        assert_ne!(Random::new(0).next_u64(), 0);
    }

    #[test]
    fn below_reaches_the_whole_range_and_stays_in_it() {
        let mut random = Random::new(1);
        let mut seen = [0u32; 10];
        for _ in 0..10_000 {
            seen[random.below(10) as usize] += 1;
        }
        assert!(seen.iter().all(|&count| count > 800), "{seen:?}");
    }
}
