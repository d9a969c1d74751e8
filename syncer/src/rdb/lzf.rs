//! Decompression of LZF strings into a buffer that is used again. The compressed bytes and the
//! length they announce are the source's word: every step is checked against both.

use super::error::Fault;

/// The most that LZF can expand: three bytes stand for at most 264.
const EXPANSION_MAX: u64 = 88;

/// Appends the `decoded_len` bytes that `compressed` stands for to `out`.
pub(super) fn decompress(
    compressed: &[u8],
    decoded_len: u64,
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    const CORRUPT: Fault = Fault::Corrupt("a compressed string that cannot be decompressed");
    // With this check the allocation is bounded by bytes that have really arrived.
    if decoded_len > (compressed.len() as u64).saturating_mul(EXPANSION_MAX) {
        return Err(CORRUPT);
    }
    let base = out.len();
    let end =
        base.checked_add(usize::try_from(decoded_len).map_err(|_| CORRUPT)?).ok_or(CORRUPT)?;
    out.reserve(end - base);
    let mut rest = compressed;
    while let [control, tail @ ..] = rest {
        let control = usize::from(*control);
        if control < 32 {
            let literal = tail.get(..=control).ok_or(CORRUPT)?;
            if literal.len() > end - out.len() {
                return Err(CORRUPT);
            }
            out.extend_from_slice(literal);
            rest = &tail[literal.len()..];
            continue;
        }
        let (len, low, tail) = match (control >> 5, tail) {
            (7, [more, low, tail @ ..]) => (9 + usize::from(*more), *low, tail),
            (short @ 1..7, [low, tail @ ..]) => (short + 2, *low, tail),
            _ => return Err(CORRUPT),
        };
        let distance = (((control & 0x1f) << 8) | usize::from(low)) + 1;
        if distance > out.len() - base || len > end - out.len() {
            return Err(CORRUPT);
        }
        copy_back(out, distance, len);
        rest = tail;
    }
    if out.len() == end { Ok(()) } else { Err(CORRUPT) }
}

/// Appends `len` bytes from `distance` bytes back; they may overlap what is appended.
fn copy_back(out: &mut Vec<u8>, distance: usize, len: usize) {
    let from = out.len() - distance;
    let mut left = len;
    while left > 0 {
        let piece = left.min(out.len() - from);
        out.extend_from_within(from..from + piece);
        left -= piece;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_compressed_comes_back(
            unit in prop::collection::vec(any::<u8>(), 1..40),
            times in 1usize..400,
            tail in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let mut plain = unit.repeat(times);
            plain.extend_from_slice(&tail);
            if let Ok(compressed) = lzf::compress(&plain) {
                let mut out = b"kept".to_vec();
                decompress(&compressed, plain.len() as u64, &mut out).unwrap();
                prop_assert_eq!(&out[4..], &plain[..]);
                prop_assert!(decompress(&compressed, plain.len() as u64 - 1, &mut out).is_err());
                prop_assert!(decompress(&compressed, plain.len() as u64 + 1, &mut out).is_err());
            }
        }

        #[test]
        fn random_bytes_never_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..200), len in any::<u64>(),
        ) {
            let _ = decompress(&bytes, len, &mut Vec::new());
            let _ = decompress(&bytes, len % 1000, &mut Vec::new());
        }
    }

    #[test]
    fn a_huge_announced_length_allocates_nothing() {
        let mut out = Vec::new();
        assert!(decompress(&[0xff; 100], 1 << 40, &mut out).is_err());
        assert_eq!(out.capacity(), 0);
    }
}
