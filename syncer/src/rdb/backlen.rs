//! The back length hazard. Each entry of a listpack ends with its own length, for walking
//! backwards. Of an entry of exactly 16383, 2097151 or 268435455 bytes two forms exist: the *old*
//! one is a byte longer than needed (`00 FF FF`; Redis up to 8.2, Valkey up to 8.1), the *new* one
//! is not (`7F FF`; Valkey 9.1). A server of the old form answers +OK to the new one and crashes
//! when the key is read next; a server of the new form refuses the old one. So a value that holds
//! such an entry is rewritten for a target of the other form.

use super::{
    error::Fault,
    event::RdbEntry,
    length::{StringHead, Text, decode_text},
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

const UNREADABLE: Unsupported = Unsupported {
    reason: "a large listpack of the value cannot be read, so its back lengths are unknown",
    remedy: "check the key at the source, or delete it there",
};

/// Looks through the listpacks of an entry, each decompressed into `scratch`. Costs a pass over
/// the value: ask only where `has_large_listpack` is set. A listpack that cannot be walked is an
/// error, as its entries might hold either form.
pub fn find_backlens(entry: &RdbEntry<'_>, scratch: &mut Vec<u8>) -> Result<Backlens, Unsupported> {
    let mut found = Backlens::default();
    each_listpack(entry, scratch, &mut |_, listpack| walk_listpack(listpack, &mut found))?;
    Ok(found)
}

/// The value with its listpacks in the target's form; `None` if they are already.
///
/// A target's form is found without danger by `XADD scratch 1-1 f <16378 bytes>`, `DUMP scratch`
/// and [`find_backlens`] on the value part. Do not probe with RESTORE: the wrong form is answered
/// with +OK and crashes the server later.
pub fn fit_backlens(
    target_form: BacklenForm,
    entry: &RdbEntry<'_>,
    scratch: &mut Vec<u8>,
) -> Result<Option<Vec<u8>>, Unsupported> {
    if !entry.has_large_listpack {
        return Ok(None);
    }
    let found = find_backlens(entry, scratch)?;
    let is_foreign = match target_form {
        BacklenForm::Old => found.has_new,
        BacklenForm::New => found.has_old,
    };
    if !is_foreign {
        return Ok(None);
    }
    let mut fitted = Vec::with_capacity(entry.value.len() + entry.value.len() / 1024);
    let mut copied = 0;
    each_listpack(entry, scratch, &mut |head, listpack| {
        fitted.extend_from_slice(&entry.value[copied..head.start]);
        copied = head.from + head.body_len as usize;
        rewrite_listpack(target_form, listpack, &mut fitted)
    })?;
    fitted.extend_from_slice(&entry.value[copied..]);
    Ok(Some(fitted))
}

/// Shows each listpack of the value, plain, with the place that it has there.
fn each_listpack(
    entry: &RdbEntry<'_>,
    scratch: &mut Vec<u8>,
    look: &mut impl FnMut(StringHead, &[u8]) -> Result<(), Fault>,
) -> Result<(), Unsupported> {
    let mut is_readable = true;
    // The highest version gives the layout of every type; which one the RDB had does not matter,
    // since the decoder has found the value to be well-formed.
    let layout = layout(entry.value_type, u32::MAX).ok_or(UNREADABLE)?;
    let walked = walk_whole(layout, entry.value, &mut |head| {
        let end = head.from as u64 + head.body_len;
        if head.decoded_len() > entry.value_bytes_max || end > entry.value.len() as u64 {
            is_readable = false;
        }
        if is_readable {
            let text = Text { form: head.form, from: head.from, to: end as usize };
            let looked =
                decode_text(entry.value, text, scratch).and_then(|listpack| look(head, listpack));
            is_readable = looked.is_ok();
        }
    });
    if walked.is_err() || !is_readable { Err(UNREADABLE) } else { Ok(()) }
}

/// Appends the listpack in the target's form, as a string that is not compressed.
fn rewrite_listpack(
    target_form: BacklenForm,
    listpack: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    // A length of 32 bits, put in when it is known; a listpack's own is no longer.
    let head = out.len();
    out.extend_from_slice(&[0x80, 0, 0, 0, 0]);
    let start = out.len();
    let mut at = listpack::first(listpack)?;
    out.extend_from_slice(listpack.get(..at).ok_or(listpack::CORRUPT)?);
    while let Some(size) = listpack::entry_bytes(listpack, at)? {
        let backlen_at = at.checked_add(size).ok_or(listpack::CORRUPT)?;
        let width = listpack::backlen_bytes(listpack, backlen_at, size)?;
        let end = backlen_at.checked_add(width).ok_or(listpack::CORRUPT)?;
        let Some(short) = listpack::short_backlen_bytes(size) else {
            out.extend_from_slice(listpack.get(at..end).ok_or(listpack::CORRUPT)?);
            at = end;
            continue;
        };
        out.extend_from_slice(listpack.get(at..backlen_at).ok_or(listpack::CORRUPT)?);
        // Seven bits a byte, the highest first; all but the first are marked.
        let width = if target_form == BacklenForm::New { short } else { short + 1 };
        for byte in 0..width {
            let bits = (size >> (7 * (width - 1 - byte))) as u8 & 0x7f;
            out.push(if byte == 0 { bits } else { bits | 0x80 });
        }
        at = end;
    }
    out.push(0xff);
    let length = u32::try_from(out.len() - start).map_err(|_| listpack::CORRUPT)?;
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
    out[head + 1..start].copy_from_slice(&length.to_be_bytes());
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

    #[test]
    fn a_listpack_is_rewritten_into_either_form_and_back() {
        use BacklenForm::{New, Old};
        for (len, old, new) in [
            (16_378, &[0x00, 0xff, 0xff][..], &[0x7f, 0xff][..]),
            (2_097_146, &[0x00, 0xff, 0xff, 0xff], &[0x7f, 0xff, 0xff]),
        ] {
            let (old, new) = (listpack(len, old), listpack(len, new));
            for (form, from, to) in [(New, &old, &new), (Old, &new, &old), (Old, &old, &old)] {
                let mut out = Vec::new();
                rewrite_listpack(form, from, &mut out).unwrap();
                assert_eq!(&out[5..], &to[..], "{len} {form:?}");
                assert_eq!(out[1..5], (to.len() as u32).to_be_bytes());
            }
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
