//! The packed encodings: a whole small collection in one string.

pub(super) mod listpack;
