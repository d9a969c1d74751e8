//! Decompression of LZF strings into a buffer that is used again. The compressed bytes and the
//! length they announce are the source's word: every step is checked against both.

use super::error::Fault;

/// The most that LZF can expand: three bytes stand for at most 264.
const EXPANSION_MAX: u64 = 88;

/// How far back a reference can reach.
pub(super) const DISTANCE_MAX: usize = 1 << 13;

/// Of bytes that LZF does not write.
pub(super) const CORRUPT: Fault = Fault::Corrupt("a compressed string that cannot be decompressed");

/// Appends the `decoded_len` bytes that `compressed` stands for to `out`.
pub(super) fn decompress(
    compressed: &[u8],
    decoded_len: u64,
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    // With this check the allocation is bounded by bytes that have really arrived.
    if decoded_len > (compressed.len() as u64).saturating_mul(EXPANSION_MAX) {
        return Err(CORRUPT);
    }
    let base = out.len();
    let end =
        base.checked_add(usize::try_from(decoded_len).map_err(|_| CORRUPT)?).ok_or(CORRUPT)?;
    out.reserve(end - base);
    let mut rest = compressed;
    while !rest.is_empty() {
        let taken = step(rest, out, base)?.ok_or(CORRUPT)?;
        // One step too many adds a few hundred bytes at most.
        if out.len() > end {
            return Err(CORRUPT);
        }
        rest = &rest[taken..];
    }
    if out.len() == end { Ok(()) } else { Err(CORRUPT) }
}

/// Takes one literal or reference off `compressed` and appends what it stands for; says how many bytes it took,
/// `None` if it is not there whole. A reference reaches back to `base` at most.
#[inline]
pub(super) fn step(
    compressed: &[u8],
    out: &mut Vec<u8>,
    base: usize,
) -> Result<Option<usize>, Fault> {
    let [control, tail @ ..] = compressed else { return Ok(None) };
    let control = usize::from(*control);
    if control < 32 {
        let Some(literal) = tail.get(..=control) else { return Ok(None) };
        out.extend_from_slice(literal);
        return Ok(Some(1 + literal.len()));
    }
    let (len, low, taken) = match (control >> 5, tail) {
        (7, [more, low, ..]) => (9 + usize::from(*more), *low, 3),
        (7, _) => return Ok(None),
        (short, [low, ..]) => (short + 2, *low, 2),
        _ => return Ok(None),
    };
    let distance = (((control & 0x1f) << 8) | usize::from(low)) + 1;
    if distance > out.len() - base {
        return Err(CORRUPT);
    }
    copy_back(out, distance, len);
    Ok(Some(taken))
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
