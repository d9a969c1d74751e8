//! The back length hazard. Each entry of a listpack ends with its own length, for walking
//! backwards. Of an entry of exactly 16383, 2097151 or 268435455 bytes two forms exist: the *old*
//! one is a byte longer than needed (`00 FF FF`; Redis up to 8.2, Valkey up to 8.1), the *new* one
//! is not (`7F FF`; Valkey 9.1). A server of the old form answers +OK to the new one and crashes
//! when the key is read next; a server of the new form refuses the old one. So a value that holds
//! such an entry is sent only to a target of the same form.

use super::{
    error::Fault,
    event::RdbEntry,
    length::{Text, decode_text},
    packed::listpack,
    skip::walk_whole,
    support::Unsupported,
    value::layout,
};

/// How a server writes the back length of those entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BacklenForm {
    /// A byte longer than needed.
    Old,
    /// As short as can be.
    New,
}

/// Which forms the listpacks of a value hold; mostly none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlens {
    /// Some entry has the old form.
    pub has_old: bool,
    /// Some entry has the new form.
    pub has_new: bool,
}

/// Looks through the listpacks of an entry, each decompressed into `scratch`. Costs a pass over
/// the value: ask only where `has_large_listpack` is set. A listpack that cannot be walked is an
/// error, as its entries might hold either form.
pub fn find_backlens(entry: &RdbEntry<'_>, scratch: &mut Vec<u8>) -> Result<Backlens, Unsupported> {
    const UNREADABLE: Unsupported = Unsupported {
        reason: "a large listpack of the value cannot be read, so its back lengths are unknown",
        remedy: "check the key at the source, or delete it there",
    };
    let mut found = Ok(Backlens::default());
    // The highest version gives the layout of every type; which one the RDB had does not matter,
    // since the decoder has found the value to be well-formed.
    let layout = layout(entry.value_type, u32::MAX).ok_or(UNREADABLE)?;
    let walked = walk_whole(layout, entry.value, &mut |head| {
        if let Ok(backlens) = &mut found {
            let end = head.from as u64 + head.body_len;
            if head.decoded_len() > entry.value_bytes_max || end > entry.value.len() as u64 {
                found = Err(UNREADABLE);
                return;
            }
            let text = Text { form: head.form, from: head.from, to: end as usize };
            let listed = decode_text(entry.value, text, scratch)
                .and_then(|listpack| walk_listpack(listpack, backlens));
            if listed.is_err() {
                found = Err(UNREADABLE);
            }
        }
    });
    if walked.is_err() { Err(UNREADABLE) } else { found }
}

/// Whether a target of this form takes the entry's listpacks.
///
/// A target's form is found without danger by `XADD scratch 1-1 f <16378 bytes>`, `DUMP scratch`
/// and [`find_backlens`] on the value part. Do not probe with RESTORE: the wrong form is answered
/// with +OK and crashes the server later.
pub fn check_backlens(
    target_form: BacklenForm,
    entry: &RdbEntry<'_>,
    scratch: &mut Vec<u8>,
) -> Result<(), Unsupported> {
    if !entry.has_large_listpack {
        return Ok(());
    }
    let found = find_backlens(entry, scratch)?;
    let is_foreign = match target_form {
        BacklenForm::Old => found.has_new,
        BacklenForm::New => found.has_old,
    };
    if is_foreign {
        return Err(Unsupported {
            reason: "the value holds an element of exactly the size (16378, 2097146 or 268435450 \
                     bytes) whose encoding differs between source and target, and which could \
                     crash the target",
            remedy: "make that element a byte longer or shorter at the source, or delete the key",
        });
    }
    Ok(())
}

/// Notes the forms in one listpack.
fn walk_listpack(listpack: &[u8], found: &mut Backlens) -> Result<(), Fault> {
    let mut at = listpack::first(listpack)?;
    while let Some(size) = listpack::entry_bytes(listpack, at)? {
        let backlen_at = at.checked_add(size).ok_or(listpack::CORRUPT)?;
        let width = listpack::backlen_bytes(listpack, backlen_at, size)?;
        if let Some(short) = listpack::short_backlen_bytes(size) {
            found.has_new |= width == short;
            found.has_old |= width > short;
        }
        at = backlen_at.checked_add(width).ok_or(listpack::CORRUPT)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A listpack of one string of `len` bytes and the integer 7.
    fn listpack(len: u32, backlen: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 6];
        bytes.push(0xf0);
        bytes.extend_from_slice(&len.to_le_bytes());
        bytes.resize(bytes.len() + len as usize, b'x');
        bytes.extend_from_slice(backlen);
        bytes.extend_from_slice(&[7, 1, 0xff]);
        let total = bytes.len() as u32;
        bytes[..4].copy_from_slice(&total.to_le_bytes());
        bytes
    }

    #[test]
    fn only_the_three_exact_sizes_have_two_forms() {
        const NONE: Backlens = Backlens { has_old: false, has_new: false };
        const OLD: Backlens = Backlens { has_old: true, has_new: false };
        const NEW: Backlens = Backlens { has_old: false, has_new: true };
        for (len, backlen, expected) in [
            (16_377, &[0x7f, 0xfe][..], NONE),
            (16_378, &[0x00, 0xff, 0xff], OLD),
            (16_378, &[0x7f, 0xff], NEW),
            (16_379, &[0x01, 0x80, 0x80], NONE),
            (2_097_145, &[0x7f, 0xff, 0xfe], NONE),
            (2_097_146, &[0x00, 0xff, 0xff, 0xff], OLD),
            (2_097_146, &[0x7f, 0xff, 0xff], NEW),
            (2_097_147, &[0x01, 0x80, 0x80, 0x80], NONE),
        ] {
            let mut found = Backlens::default();
            walk_listpack(&listpack(len, backlen), &mut found).unwrap();
            assert_eq!(found, expected, "{len} {backlen:?}");
        }
    }

    proptest! {
        #[test]
        fn random_listpacks_never_panic(
            bytes in prop::collection::vec(prop_oneof![any::<u8>(), 0xe0u8..], 0..100),
        ) {
            let _ = walk_listpack(&bytes, &mut Backlens::default());
        }
    }
}
