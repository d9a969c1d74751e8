//! A HyperLogLog by its registers. Versions differ in when they go over from the sparse form to the dense one, and each
//! keeps a count of its own in the head, or none.

const MAGIC: &[u8] = b"HYLL";
const HEAD_BYTES: usize = 16;
const REGISTERS: usize = 16_384;

/// The registers of a string that is one; `None` for any other string.
pub(super) fn registers(value: &[u8]) -> Option<Vec<u8>> {
    let (head, body) = value.split_at_checked(HEAD_BYTES)?;
    if !head.starts_with(MAGIC) {
        return None;
    }
    match head.get(MAGIC.len())? {
        0 => dense(body),
        1 => sparse(body),
        _ => None,
    }
}

/// Six bits each, the first in the lowest ones.
fn dense(body: &[u8]) -> Option<Vec<u8>> {
    let byte = |at: usize| body.get(at).map(|byte| u16::from(*byte));
    let register = |number: usize| {
        let bit = number * 6;
        let pair = byte(bit / 8)? | byte(bit / 8 + 1).unwrap_or(0) << 8;
        Some((pair >> (bit % 8) & 63) as u8)
    };
    (0..REGISTERS).map(register).collect()
}

/// `00nnnnnn` and `01nnnnnn nnnnnnnn` are runs of zeros, `1vvvvvnn` a run of a value, each longer by one.
fn sparse(body: &[u8]) -> Option<Vec<u8>> {
    let mut registers = Vec::with_capacity(REGISTERS);
    let mut bytes = body.iter().copied();
    while let Some(byte) = bytes.next() {
        let (value, count) = match byte >> 6 {
            0 => (0, usize::from(byte & 63) + 1),
            1 => (0, (usize::from(byte & 63) << 8 | usize::from(bytes.next()?)) + 1),
            _ => ((byte >> 2 & 31) + 1, usize::from(byte & 3) + 1),
        };
        if registers.len() + count > REGISTERS {
            return None;
        }
        registers.resize(registers.len() + count, value);
    }
    (registers.len() == REGISTERS).then_some(registers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_give_the_same_registers() {
        let mut expected = vec![0; REGISTERS];
        expected[5] = 32;
        expected[6] = 32;
        let mut head = MAGIC.to_vec();
        head.resize(HEAD_BYTES, 0);
        head[4] = 1;
        // Five zeros, two of 32, and the other 16377.
        let sparse: Vec<u8> = [&head[..], &[4, 0xfd, 0x7f, 0xf8]].concat();
        assert_eq!(registers(&sparse).as_ref(), Some(&expected));
        head[4] = 0;
        let mut dense = [&head[..], &[0; REGISTERS * 6 / 8]].concat();
        // The bits from 30 and from 36 on.
        dense[HEAD_BYTES + 4] = 0b1000;
        dense[HEAD_BYTES + 5] = 0b10;
        assert_eq!(registers(&dense), Some(expected));
        assert_eq!(registers(b"HYLL"), None);
        assert_eq!(registers(&sparse[..18]), None);
    }
}
