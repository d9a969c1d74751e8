//! What can be wrong with an RDB. Every variant says what to do about it; that sentence reaches
//! the condition message of the object. A short buffer is never an error here.

use super::value::{Family, ValueType};

/// Why an RDB cannot be read on. The decoder stays failed: it never looks for the next good byte.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RdbError {
    /// The first nine bytes are not a magic.
    #[error(
        "not an RDB: it does not begin with REDIS or VALKEY and a version; check that the source \
         is a Redis or Valkey and that no proxy answers in its place"
    )]
    NotRdb,
    /// A magic of a version whose bytes this release does not know.
    #[error(
        "the RDB is of {family} version {version}, which this release does not know; upgrade the \
         syncer to a release that does"
    )]
    UnsupportedVersion {
        /// From the magic.
        family: Family,
        /// From the magic.
        version: u32,
    },
    /// An opcode that this family and version do not have, or whose layout is not certain.
    #[error(
        "unknown opcode {opcode} in an RDB of {family} version {version} at byte {at}; upgrade \
         the syncer to a release that knows it, or turn off the server feature that writes it"
    )]
    UnknownOpcode {
        /// The byte.
        opcode: u8,
        /// From the magic.
        family: Family,
        /// From the magic.
        version: u32,
        /// Where in the RDB.
        at: u64,
    },
    /// A value type that this family and version do not have, or whose layout is not certain.
    #[error(
        "unknown value type {} in an RDB of {family} version {version} at byte {at}; upgrade the \
         syncer to a release that knows it, or delete the keys of that type at the source",
        .value_type.byte
    )]
    UnknownType {
        /// The byte, with the family.
        value_type: ValueType,
        /// From the magic.
        family: Family,
        /// From the magic.
        version: u32,
        /// Where in the RDB.
        at: u64,
    },
    /// Bytes that no server writes.
    #[error(
        "the RDB is corrupt near byte {at}: {what}; let the copy start again, and check the \
         source's memory and disk if it happens twice"
    )]
    Corrupt {
        /// What was found.
        what: &'static str,
        /// Where in the RDB the record begins.
        at: u64,
    },
    /// A key, value or other record above the configured bound.
    #[error(
        "a record of the RDB at byte {at} is larger than {limit} bytes; raise the limit and the \
         memory of the syncer, or make the key smaller at the source"
    )]
    TooLarge {
        /// The configured bound.
        limit: u64,
        /// Where in the RDB the record begins.
        at: u64,
    },
    /// The bytes are not those which the source sent.
    #[error(
        "the checksum of the RDB is {computed:016x}, its end says {stored:016x}; let the copy \
         start again, and check memory, disk and network if it happens twice"
    )]
    ChecksumMismatch {
        /// As the end of the RDB has it.
        stored: u64,
        /// Over the bytes that were read.
        computed: u64,
    },
    /// There are no more bytes, but the RDB has not ended.
    #[error("the RDB ends early, at byte {at}; let the copy start again")]
    UnexpectedEnd {
        /// How many bytes there were.
        at: u64,
    },
}

/// What the parts of the decoder find; the decoder adds where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Corrupt(&'static str),
    TooLarge,
}
