//! The names of what a copy keeps at the target beside the data: values under construction, the hash of those, and the
//! list of keys that it left out. All under our prefix, so that filter and sweep pass them by; all removed by us.

/// Slots of a cluster.
const SLOT_COUNT: u16 = 16_384;

/// The hash of values under construction: a database and a key in each field. What a killed process leaves is found
/// there. A hash, so that reading it takes no right that reading the record does not.
pub fn parts_key(record_key: &str) -> String {
    format!("{record_key}:parts")
}

/// The list of keys that a copy left out: database, type, key. It stays until the next copy begins.
pub fn left_out_key(record_key: &str) -> String {
    format!("{record_key}:leftOut")
}

/// The name under which a value is built: in the slot of its key, so that it can be renamed into place in a cluster
/// too. Not the key itself in braces: that may hold braces of its own, or be half a gigabyte long.
pub fn part_key(record_key: &str, key: &[u8]) -> String {
    let wanted = slot(key);
    // One number in 16,384 is in the slot; so many tries fail once in 10^27 keys.
    let tag =
        (0..1_u32 << 20).find(|number| crc16(number.to_string().as_bytes()) % SLOT_COUNT == wanted);
    format!("{record_key}:part:{{{}}}", tag.unwrap_or_default())
}

/// The slot of a key: that of what stands in its first braces, if anything does.
fn slot(key: &[u8]) -> u16 {
    let tag = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let rest = &key[open + 1..];
        let close = rest.iter().position(|byte| *byte == b'}')?;
        rest.get(..close).filter(|tag| !tag.is_empty())
    });
    crc16(tag.unwrap_or(key)) % SLOT_COUNT
}

/// CRC16 of the XMODEM kind, as clusters use it.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_built_in_the_slot_of_its_key() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(slot(b"foo"), 12182);
        for key in [&b"foo"[..], b"{foo}bar", b"a}b", b"{}x", b"{{bar}}zap", b"", b"\xff\0"] {
            let name = part_key("redissync:tools/cart:0", key);
            assert!(name.starts_with("redissync:tools/cart:0:part:{"), "{name}");
            assert_eq!(slot(name.as_bytes()), slot(key), "{name}");
        }
        assert_eq!(slot(b"{foo}bar"), slot(b"foo"));
    }
}
