//! Which modules the target has loaded, as far as it tells: a value whose module is not there is refused by the module's
//! name before it is sent, since RESTORE answers the same to it as to a corrupt one. A type that this does not know, or a
//! target that does not tell, is left to RESTORE. So is the version: a module refuses what is newer than itself.

use crate::rdb::{event::ModuleId, support::Unsupported};

/// The modules that have these types, as MODULE LIST calls them, the types, and what is said where none is there.
type Row = (&'static [&'static str], &'static [&'static [u8; 9]], Unsupported);

const fn missing(reason: &'static str) -> Unsupported {
    Unsupported {
        reason,
        remedy: "load that module at the target, in the source's version or a newer one, or delete the keys of that type \
                 at the source",
    }
}

static TABLE: [Row; 8] = [
    // Valkey's is called json (valkey-json, src/json/json.cc).
    (
        &["rejson", "json"],
        &[b"ReJSON-RL"],
        missing("the target lacks the module ReJSON (JSON values)"),
    ),
    (
        &["bf"],
        &[b"MBbloom--", b"MBbloomCF", b"CMSk-TYPE", b"TopK-TYPE", b"TDIS-TYPE", b"bloomfltr"],
        missing(
            "the target lacks the module bf (Bloom and cuckoo filters, sketches, top-k, t-digest)",
        ),
    ),
    (&["timeseries"], &[b"TSDB-TYPE"], missing("the target lacks the module timeseries")),
    (
        &["search"],
        &[b"trietype0", b"ft_index0", b"scdtype00"],
        missing("the target lacks the module search (suggestions)"),
    ),
    (
        &["vectorset"],
        &[b"vectorset"],
        missing("the target lacks vector sets (they came with Redis 8.0)"),
    ),
    (&["tairstring"], &[b"exstrtype"], missing("the target lacks the module TairString")),
    (&["tairhash"], &[b"tairhash-"], missing("the target lacks the module TairHash")),
    (&["tairzset"], &[b"tairzset_"], missing("the target lacks the module TairZset")),
];

/// The rows of the table that the target lacks, as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MissingModules(u8);

impl MissingModules {
    /// None is known to be missing.
    pub const NONE: Self = Self(0);

    /// From the names that MODULE LIST gives.
    pub fn beside<'a>(loaded: impl IntoIterator<Item = &'a str>) -> Self {
        let mut bits = u8::MAX;
        for name in loaded {
            let row = TABLE.iter().position(|(modules, ..)| {
                modules.iter().any(|module| name.eq_ignore_ascii_case(module))
            });
            bits &= !row.map_or(0, |row| 1 << row);
        }
        Self(bits)
    }

    /// Whether the target may take a value of this module's type.
    pub fn check(self, module: ModuleId) -> Result<(), Unsupported> {
        let name = module.name();
        match TABLE.iter().position(|(_, types, _)| types.contains(&&name)) {
            Some(row) if self.0 & (1 << row) != 0 => Err(TABLE[row].2),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_refused_only_where_its_module_is_known_to_be_missing() {
        // ReJSON-RL version 3, and one that nobody knows.
        let json = ModuleId(0x45e2_5238_df91_2c03);
        let unknown = ModuleId(7);
        let missing = MissingModules::beside(["bf", "another"]);
        assert_eq!(json.to_string(), "ReJSON-RL version 3");
        assert!(missing.check(json).unwrap_err().reason.contains("ReJSON"));
        assert_eq!(missing.check(unknown), Ok(()));
        assert_eq!(MissingModules::beside(["ReJSON"]).check(json), Ok(()));
        assert_eq!(MissingModules::beside(["json"]).check(json), Ok(()));
        assert_eq!(MissingModules::default().check(json), Ok(()));
    }
}
