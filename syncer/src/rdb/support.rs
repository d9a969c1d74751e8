//! Which values a target understands, as a table: no connection, no question to the target. What
//! is refused here would be answered `Bad data format`, or worse, by a RESTORE.

use super::value::{Family, ValueType};

/// Why a value cannot be sent as a RESTORE payload, and what can be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}; {remedy}")]
pub struct Unsupported {
    /// What the target lacks.
    pub reason: &'static str,
    /// What helps.
    pub remedy: &'static str,
}

/// The highest value type that a target understands; lower ones are not all understood
/// ([`can_restore`]). `None` if it is too old to have RESTORE, or unknown here.
///
/// The version is the one that the target writes into its own DUMP payloads. Where it is 11 or
/// lower the two families are one.
pub fn highest_value_type(target_family: Family, target_rdb_version: u16) -> Option<u8> {
    Some(match (target_family, target_rdb_version) {
        // 2.6 to 3.0.
        (Family::Redis, 6) => 13,
        // 3.2 and 4.0.
        (Family::Redis, 7 | 8) => 14,
        // 5.0 to 6.2.
        (Family::Redis, 9) => 15,
        // 7.0.
        (Family::Redis, 10) => 19,
        // Redis 7.2, Valkey 7.2 to 8.1.
        (_, 11) => 21,
        // 7.4 to 8.4.
        (Family::Redis, 12) => 25,
        // 8.6.
        (Family::Redis, 13) => 26,
        // 8.8. What 8.10 added is refused by the decoder.
        (Family::Redis, 14 | 15) => 28,
        // 9.0 to 9.2. What 9.2 added is refused by the decoder.
        (Family::Valkey, 80 | 81) => 22,
        _ => return None,
    })
}

/// Whether a target takes a value of this type by RESTORE. The family of `value_type` is that of
/// the RDB; the target's is Valkey only if its version is 80 or higher.
///
/// Two things are not decided here. A value of a module (type 7) also needs that module in the
/// target, with the encoding version of the value or a newer one. And a listpack entry of exactly
/// 16383, 2097151 or 268435455 bytes is written in two forms that do not understand each other:
/// entries with `has_large_listpack` go through [`super::backlen::fit_backlens`] as well.
pub fn can_restore(
    target_family: Family,
    target_rdb_version: u16,
    value_type: ValueType,
) -> Result<(), Unsupported> {
    let Some(highest) = highest_value_type(target_family, target_rdb_version) else {
        return Err(Unsupported {
            reason: "the target's RDB version is not known here, or too old for RESTORE",
            remedy: "use a target of Redis 2.8 to 8.10 or Valkey 7.2 to 9.2, or a newer syncer",
        });
    };
    if matches!(value_type.byte, 6 | 8) {
        return Err(Unsupported {
            reason: "no released server takes values of this type",
            remedy: "delete the keys of that type at the source",
        });
    }
    // From 22 on the numbers mean different things to the two families.
    if value_type.byte >= 22 && value_type.family != target_family {
        return Err(Unsupported {
            reason: "source and target write this type differently (Redis and Valkey parted ways)",
            remedy: "use a target of the source's family, or take the expiry off the hash fields",
        });
    }
    // Redis 4.0 brought 5 and 7, which are lower than those of 3.2.
    let is_of_4_0 = matches!(value_type.byte, 5 | 7);
    // 23 of the 7.4 candidates is accepted by nobody who has 24.
    if value_type.byte > highest
        || (is_of_4_0 && target_rdb_version < 8)
        || (value_type.family == Family::Redis && value_type.byte == 23)
    {
        return Err(Unsupported {
            reason: "the target is too old for values of this type",
            remedy: "upgrade the target to the source's version, or delete the keys of that type",
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the servers answered when every type was sent to each of them.
    #[test]
    fn the_table_agrees_with_seven_servers() {
        const V: Family = Family::Valkey;
        const R: Family = Family::Redis;
        // 2.8.19, 6.2.5, 7.0.15, 7.4.1, 8.2.3, Valkey 8.1.8, Valkey 9.1.2.
        let targets = [(R, 6), (R, 9), (R, 10), (R, 12), (R, 12), (R, 11), (V, 80)];
        let rows: &[(&[u8], Family, &str)] = &[
            (&[0, 1, 2, 3, 4, 9, 10, 11, 12, 13], R, "======="),
            (&[0, 1, 2, 3, 4, 11], V, "======="),
            (&[5, 7, 14, 15], R, "B======"),
            (&[16, 17, 18, 19], R, "BB====="),
            (&[20, 21], R, "BBB===="),
            (&[20, 21], V, "BBB===="),
            (&[22, 24, 25], R, "BBB==BB"),
            (&[23], R, "BBBBBBB"),
            (&[22], V, "BBBBBB="),
            (&[6, 8, 26, 27, 28, 33], R, "BBBBBBB"),
        ];
        for &(bytes, family, expected) in rows {
            for &byte in bytes {
                let got: String = targets
                    .iter()
                    .map(|&(target_family, version)| {
                        let value_type = ValueType { family, byte };
                        if can_restore(target_family, version, value_type).is_ok() {
                            '='
                        } else {
                            'B'
                        }
                    })
                    .collect();
                assert_eq!(got, expected, "type {byte} of {family}");
            }
        }
    }

    #[test]
    fn a_target_of_redis_3_2_takes_neither_5_nor_7() {
        let of = |byte| ValueType { family: Family::Redis, byte };
        assert!(can_restore(Family::Redis, 7, of(14)).is_ok());
        assert!(can_restore(Family::Redis, 7, of(5)).is_err());
        assert!(can_restore(Family::Redis, 7, of(7)).is_err());
    }

    #[test]
    fn an_unknown_target_takes_nothing() {
        let string = ValueType { family: Family::Redis, byte: 0 };
        for (family, version) in [(Family::Redis, 5), (Family::Redis, 16), (Family::Valkey, 82)] {
            assert!(can_restore(family, version, string).is_err());
        }
    }
}
