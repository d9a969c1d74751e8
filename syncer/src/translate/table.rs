//! The table: from which version on a target takes every form of a command as it is, and what is done below.

use super::{
    Translator, bits, hashes, lists, restore, server, sorted_sets, streams, strings, whole_keys,
};
use crate::target::examine::Since;

/// A command's name, since when it goes as it is, from how many words on it needs a look before, and how it goes then.
type Row = (&'static str, Since, usize, Translator);

/// One row a command. A command without a row goes as it is where the target knows its name.
pub(super) const ROWS: &[Row] = &[
    // Strings.
    ("set", Since::both((8, 4, 0), Since::NEVER), 4, strings::set),
    ("msetex", Since::both((8, 4, 0), (9, 1, 0)), 0, strings::msetex),
    ("delifeq", Since::both(Since::NEVER, (9, 0, 0)), 0, strings::delete),
    ("delex", Since::both((8, 4, 0), Since::NEVER), 0, strings::delete),
    ("bitop", Since::both((8, 2, 0), Since::NEVER), 4, bits::bitop),
    // Lists.
    ("lpop", Since::redis(6, 2), 3, lists::lpop),
    ("rpop", Since::redis(6, 2), 3, lists::rpop),
    ("lmove", Since::redis(6, 2), 0, lists::lmove),
    ("lpushx", Since::redis(4, 0), 4, lists::pushx),
    ("rpushx", Since::redis(4, 0), 4, lists::pushx),
    // Hashes.
    ("hset", Since::redis(4, 0), 5, hashes::hset),
    ("hgetdel", Since::both((8, 0, 0), (9, 1, 0)), 0, hashes::hgetdel),
    ("hsetex", Since::never(), 0, hashes::hsetex),
    ("hpexpireat", Since::both((7, 4, 0), (9, 0, 0)), 0, hashes::expire),
    ("hexpireat", Since::both((7, 4, 0), (9, 0, 0)), 0, hashes::expire),
    ("hpexpire", Since::both((7, 4, 0), (9, 0, 0)), 0, hashes::expire),
    ("hexpire", Since::both((7, 4, 0), (9, 0, 0)), 0, hashes::expire),
    ("hpersist", Since::both((7, 4, 0), (9, 0, 0)), 0, hashes::persist),
    ("hsetc", Since::never(), 0, hashes::hsetc),
    // Sorted sets.
    ("zadd", Since::redis(6, 2), 5, sorted_sets::zadd),
    ("zpopmin", Since::redis(5, 0), 0, sorted_sets::zpopmin),
    ("zpopmax", Since::redis(5, 0), 0, sorted_sets::zpopmax),
    ("zrangestore", Since::redis(6, 2), 0, sorted_sets::zrangestore),
    ("zdiffstore", Since::redis(6, 2), 0, sorted_sets::zdiffstore),
    // Streams.
    ("xadd", Since::never(), 0, streams::xadd),
    ("xtrim", Since::never(), 0, streams::xtrim),
    ("xgroup", Since::redis(7, 0), 0, streams::xgroup),
    ("xsetid", Since::redis(7, 0), 0, streams::xsetid),
    ("xdelex", Since::both((8, 2, 0), Since::NEVER), 0, streams::xdelex),
    ("xackdel", Since::both((8, 2, 0), Since::NEVER), 0, streams::xackdel),
    ("xidmprecord", Since::both((8, 6, 2), Since::NEVER), 0, server::drop),
    // Keys of any type.
    ("unlink", Since::redis(4, 0), 0, whole_keys::unlink),
    ("expire", Since::redis(7, 0), 4, whole_keys::expire),
    ("expireat", Since::redis(7, 0), 4, whole_keys::expire),
    ("pexpire", Since::redis(7, 0), 4, whole_keys::expire),
    ("pexpireat", Since::redis(7, 0), 4, whole_keys::expire),
    ("move", Since::redis(3, 0), 0, whole_keys::to_another_database),
    ("copy", Since::redis(6, 2), 0, whole_keys::copy),
    ("restore", Since::never(), 0, restore::restore),
    ("restore-asking", Since::never(), 0, restore::restore),
    ("flushall", Since::redis(6, 2), 2, whole_keys::flush),
    ("flushdb", Since::redis(6, 2), 2, whole_keys::flush),
    // What is no key.
    ("function", Since::never(), 0, server::function),
    ("script", Since::redis(6, 2), 3, server::script),
    ("spublish", Since::redis(7, 0), 0, server::drop),
    ("pfdebug", Since::never(), 0, server::drop),
    ("trimslots", Since::never(), 0, server::of_a_cluster),
    ("cluster", Since::never(), 0, server::of_a_cluster),
];
