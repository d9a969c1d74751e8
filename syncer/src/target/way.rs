//! Which way a value of a full copy goes: as it stood in the RDB, or as commands, or not at all. Pure: a table of the
//! value's type and of what the target can take. Before `restore.rs` and `commands.rs`, which write it.

use super::examine::Capabilities;
use crate::rdb::{
    elements::ValueDecoder,
    support::{Unsupported, can_restore},
    value::{Kind, ValueType},
};

/// How a value goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// As the payload of a RESTORE (a string as SET): nothing of it is changed.
    Verbatim,
    /// Decoded, as commands that build it anew.
    Commands,
}

/// The cheapest way that the target can take for a value of this type. Of a hash whose fields expire the value itself
/// has the last word: a field with a time is refused where it is met, if the target has no command for it.
pub fn way(value_type: ValueType, target: &Capabilities) -> Result<Way, Unsupported> {
    if value_type.is_string() {
        return Ok(Way::Verbatim);
    }
    let refusal = match can_restore(target.family, target.rdb_version, value_type) {
        Ok(()) => return Ok(Way::Verbatim),
        Err(refusal) => refusal,
    };
    by_commands(value_type, target).map_err(|found| found.unwrap_or(refusal))
}

/// Whether commands build a value of this type at the target; an empty error leaves the words to the caller.
pub fn by_commands(
    value_type: ValueType,
    target: &Capabilities,
) -> Result<Way, Option<Unsupported>> {
    if !ValueDecoder::knows(value_type) {
        return Err(None);
    }
    match value_type.kind() {
        Some(Kind::Stream) if !target.has_streams() => Err(Some(NO_STREAMS)),
        Some(_) => Ok(Way::Commands),
        None => Err(None),
    }
}

/// Of a stream where there are none.
pub const NO_STREAMS: Unsupported = Unsupported {
    reason: "the target has no streams (they came with Redis 5.0)",
    remedy: "use a target of Redis 5.0 or newer, or delete the streams at the source",
};

/// Of a field whose expiry the target has no command for.
pub const NO_FIELD_EXPIRY: Unsupported = Unsupported {
    reason: "a field of the hash expires, and the target has no expiry of fields",
    remedy: "use a target of Redis 7.4 or Valkey 9.0 or newer, or take the expiry off with HPERSIST",
};

/// Of a value that RESTORE might be wrong for, and that no commands build.
pub const UNCERTAIN_BACKLENS: Unsupported = Unsupported {
    reason: "an element of exactly 16378, 2097146 or 268435450 bytes is encoded in two ways, and it is not known which of \
             them a target of this version reads without a crash",
    remedy: "make that element a byte longer or shorter at the source, or delete the key",
};

/// Of a value whose end in the RDB is not known.
pub const UNREADABLE: Unsupported = Unsupported {
    reason: "this release of the syncer does not know how values of this type are written",
    remedy: "upgrade the syncer to a release that knows it, or delete the keys of that type at the source",
};

/// Of libraries at a target that has none.
pub const NO_FUNCTIONS: Unsupported = Unsupported {
    reason: "the target has no libraries of functions (they came with Redis 7.0)",
    remedy: "use a target of Redis 7.0 or newer, or delete the library at the source",
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rdb::value::Family;

    /// `=` verbatim, `c` as commands, `-` not at all.
    #[test]
    fn each_type_goes_the_cheapest_way_that_each_target_takes() {
        const V: Family = Family::Valkey;
        const R: Family = Family::Redis;
        // 2.8, 3.2, 6.2, 7.0, 7.4 to 8.4, Valkey 8, Valkey 9.
        let targets = [(R, 6), (R, 7), (R, 9), (R, 10), (R, 12), (R, 11), (V, 80)];
        let rows: &[(&[u8], Family, &str)] = &[
            (&[0, 1, 2, 3, 4, 9, 10, 11, 12, 13], R, "======="),
            (&[0, 1, 2, 4], V, "======="),
            (&[5], R, "cc====="),
            (&[14], R, "c======"),
            (&[7], R, "--====="),
            (&[15], R, "--====="),
            (&[16, 17, 18], R, "ccc===="),
            (&[19], R, "--c===="),
            (&[20], R, "cccc==="),
            (&[21], R, "--cc==="),
            (&[22, 24, 25], R, "cccc=cc"),
            (&[23], R, "ccccccc"),
            (&[22], V, "cccccc="),
            (&[26, 27], R, "--ccccc"),
            (&[6, 8, 28, 33], R, "-------"),
        ];
        for &(bytes, family, expected) in rows {
            for &byte in bytes {
                let got: String = targets
                    .iter()
                    .map(|&(family_there, rdb_version)| {
                        let target = Capabilities::for_tests(family_there, rdb_version);
                        match way(ValueType { family, byte }, &target) {
                            Ok(Way::Verbatim) => '=',
                            Ok(Way::Commands) => 'c',
                            Err(_) => '-',
                        }
                    })
                    .collect();
                assert_eq!(got, expected, "type {byte} of {family}");
            }
        }
    }
}
