//! CRC-64/REDIS ("Jones", reflected, no initial value, no final xor), over a whole RDB and over
//! each DUMP payload.

use crc_fast::{CrcAlgorithm, Digest};

/// From this size on the SIMD code wins over the table, its set-up included: on an AVX-512 machine
/// 64 B take 35 ns by the table and 53 ns by SIMD, 112 B take 56 and 74, 128 B take 66 and 32.
const SIMD_FROM_BYTES: usize = 128;

/// The reversed polynomial 0xad93d23594c935a9.
const POLYNOMIAL: u64 = 0x95ac_9329_ac4b_c9b5;

/// `TABLE[i][b]` is the checksum of byte b followed by i zero bytes.
static TABLE: [[u64; 256]; 8] = table();

const fn table() -> [[u64; 256]; 8] {
    let mut table = [[0u64; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u64;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ POLYNOMIAL } else { crc >> 1 };
            bit += 1;
        }
        table[0][byte] = crc;
        byte += 1;
    }
    let mut row = 1;
    while row < 8 {
        let mut byte = 0;
        while byte < 256 {
            let before = table[row - 1][byte];
            table[row][byte] = (before >> 8) ^ table[0][(before & 0xff) as usize];
            byte += 1;
        }
        row += 1;
    }
    table
}

/// A running checksum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Crc64(u64);

impl Crc64 {
    /// Adds bytes.
    #[inline]
    pub fn update(&mut self, bytes: &[u8]) {
        if bytes.len() < SIMD_FROM_BYTES {
            self.0 = update_by_table(self.0, bytes);
        } else {
            let mut digest = Digest::new_with_init_state(CrcAlgorithm::Crc64Redis, self.0);
            digest.update(bytes);
            self.0 = digest.finalize();
        }
    }

    /// The checksum of all bytes so far.
    pub fn value(self) -> u64 {
        self.0
    }
}

fn update_by_table(crc: u64, bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut crc = crc;
    for word in words {
        let [a, b, c, d, e, f, g, h] = (crc ^ u64::from_le_bytes(*word)).to_le_bytes();
        crc = TABLE[7][usize::from(a)]
            ^ TABLE[6][usize::from(b)]
            ^ TABLE[5][usize::from(c)]
            ^ TABLE[4][usize::from(d)]
            ^ TABLE[3][usize::from(e)]
            ^ TABLE[2][usize::from(f)]
            ^ TABLE[1][usize::from(g)]
            ^ TABLE[0][usize::from(h)];
    }
    for byte in rest {
        crc = (crc >> 8) ^ TABLE[0][usize::from(crc as u8 ^ byte)];
    }
    crc
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_check_value_is_that_of_redis() {
        let mut crc = Crc64::default();
        crc.update(b"123456789");
        assert_eq!(crc.value(), 0xe9c6_d914_c4b8_d9ca);
    }

    proptest! {
        #[test]
        fn any_cut_gives_the_same_value(
            bytes in prop::collection::vec(any::<u8>(), 0..2000), cut in any::<usize>(),
        ) {
            let (head, tail) = bytes.split_at(cut % (bytes.len() + 1));
            let mut crc = Crc64::default();
            crc.update(head);
            crc.update(tail);
            prop_assert_eq!(crc.value(), update_by_table(0, &bytes));
        }
    }
}
