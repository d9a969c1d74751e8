//! A value of the RDB as the payload of a RESTORE: `[type][value][version, CRC64]`. The caller
//! writes the three parts into its output buffer; the value is not copied on the way.

use super::{crc64::Crc64, value::ValueType};

/// The version and the checksum.
pub const TRAILER_LEN: usize = 10;

/// How long the payload of a value is.
pub fn payload_len(value: &[u8]) -> usize {
    1 + value.len() + TRAILER_LEN
}

/// What follows the value. The version is only a label, and every server accepts its own: always
/// pass the target's, whatever the source's is (Valkey 9 refuses 12–79, Redis refuses higher ones
/// than its own, 2.8 refuses lower ones: `verifyDumpPayload` of cluster.c).
#[inline]
pub fn dump_trailer(
    value_type: ValueType,
    value: &[u8],
    target_rdb_version: u16,
) -> [u8; TRAILER_LEN] {
    let mut trailer = [0; TRAILER_LEN];
    trailer[..2].copy_from_slice(&target_rdb_version.to_le_bytes());
    let mut crc = Crc64::default();
    crc.update(&[value_type.byte]);
    crc.update(value);
    crc.update(&trailer[..2]);
    trailer[2..].copy_from_slice(&crc.value().to_le_bytes());
    trailer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rdb::value::Family;

    #[test]
    fn the_payload_equals_the_dump_of_a_real_server() {
        // redis-server 7.0.15: SET k v, DUMP k.
        let dump = b"\x00\x01v\n\x00\x91\x08\xce\xb2\x198\x8a\xce";
        let string = ValueType { family: Family::Redis, byte: 0 };
        assert_eq!(payload_len(b"\x01v"), dump.len());
        assert_eq!(dump_trailer(string, b"\x01v", 10), dump[3..]);
    }
}
