//! The kept corpus of a target: its inputs in one file, each behind its length in four bytes, little-endian. `.ci/fuzz.sh`
//! writes it.

/// The inputs of a file.
pub fn read(mut file: &[u8]) -> Vec<Vec<u8>> {
    let mut inputs = Vec::new();
    while let Some((length, rest)) = file.split_first_chunk() {
        let (input, rest) = rest.split_at(u32::from_le_bytes(*length) as usize);
        inputs.push(input.to_vec());
        file = rest;
    }
    inputs
}
