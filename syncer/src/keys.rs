//! Which arguments of a command are keys. A table of the write commands, as `COMMAND` of Redis 8 and Valkey 9 has
//! them (`src/commands/*.json`); asked only for the few commands that mention our reserved prefix.

use crate::resp::command::Command;

/// Where a command's keys are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    /// From the first to the last argument index, each `step`-th; a negative last counts from the end.
    Fixed { first: usize, last: isize, step: usize },
    /// Argument `count` says how many keys follow it; `before` is a key of its own (0: none).
    Counted { count: usize, before: usize },
}

/// What is known of a command's keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keys {
    /// The indexes of the arguments that are keys; empty for a command without keys.
    At(Vec<usize>),
    /// Not in the table.
    Unknown,
}

/// The keys of a command of the source's stream.
pub fn keys(command: &Command, buf: &[u8]) -> Keys {
    let name = command.name(buf).to_ascii_uppercase();
    let count = command.argument_count();
    let Some(layout) = layout(&name) else { return Keys::Unknown };
    match layout {
        None => Keys::At(Vec::new()),
        Some(Layout::Fixed { first, last, step }) => {
            let last = if last < 0 { count as isize + last } else { last };
            let last = usize::try_from(last).unwrap_or(0).min(count.saturating_sub(1));
            Keys::At((first..=last).step_by(step).collect())
        }
        Some(Layout::Counted { count: at, before }) => {
            let number = command
                .argument(buf, at)
                .and_then(|text| std::str::from_utf8(text).ok())
                .and_then(|text| text.parse::<usize>().ok())
                .unwrap_or(0);
            let listed = (at + 1..count).take(number);
            Keys::At((before > 0).then_some(before).into_iter().chain(listed).collect())
        }
    }
}

#[expect(clippy::option_option, reason = "outer: in the table; inner: has keys")]
fn layout(name: &[u8]) -> Option<Option<Layout>> {
    let fixed = |first, last, step| Some(Some(Layout::Fixed { first, last, step }));
    match name {
        b"DEL" | b"UNLINK" | b"PFMERGE" | b"SUNIONSTORE" | b"SINTERSTORE" | b"SDIFFSTORE"
        | b"PFCOUNT" => fixed(1, -1, 1),
        b"MSET" | b"MSETNX" => fixed(1, -1, 2),
        b"RENAME" | b"RENAMENX" | b"COPY" | b"SMOVE" | b"RPOPLPUSH" | b"LMOVE" | b"ZRANGESTORE"
        | b"GEOSEARCHSTORE" => fixed(1, 2, 1),
        b"BITOP" => fixed(2, -1, 1),
        b"XGROUP" => fixed(2, 2, 1),
        b"ZUNIONSTORE" | b"ZINTERSTORE" | b"ZDIFFSTORE" => {
            Some(Some(Layout::Counted { count: 2, before: 1 }))
        }
        b"EVAL" | b"EVALSHA" | b"FCALL" => Some(Some(Layout::Counted { count: 2, before: 0 })),
        b"FLUSHALL" | b"FLUSHDB" | b"SWAPDB" | b"FUNCTION" | b"SCRIPT" | b"PUBLISH"
        | b"SPUBLISH" => Some(None),
        b"SET" | b"SETEX" | b"PSETEX" | b"SETNX" | b"GETSET" | b"GETEX" | b"GETDEL" | b"APPEND"
        | b"SETRANGE" | b"SETBIT" | b"BITFIELD" | b"INCR" | b"DECR" | b"INCRBY" | b"DECRBY"
        | b"INCRBYFLOAT" | b"EXPIRE" | b"PEXPIRE" | b"EXPIREAT" | b"PEXPIREAT" | b"PERSIST"
        | b"MOVE" | b"RESTORE" | b"RESTORE-ASKING" | b"SORT" | b"LPUSH" | b"RPUSH" | b"LPUSHX"
        | b"RPUSHX" | b"LPOP" | b"RPOP" | b"LSET" | b"LINSERT" | b"LREM" | b"LTRIM" | b"SADD"
        | b"SREM" | b"SPOP" | b"HSET" | b"HSETNX" | b"HMSET" | b"HDEL" | b"HINCRBY"
        | b"HINCRBYFLOAT" | b"HSETEX" | b"HGETEX" | b"HGETDEL" | b"HPEXPIREAT" | b"HPEXPIRE"
        | b"HEXPIRE" | b"HEXPIREAT" | b"HPERSIST" | b"ZADD" | b"ZINCRBY" | b"ZREM"
        | b"ZREMRANGEBYSCORE" | b"ZREMRANGEBYRANK" | b"ZREMRANGEBYLEX" | b"ZPOPMIN"
        | b"ZPOPMAX" | b"GEOADD" | b"PFADD" | b"XADD" | b"XDEL" | b"XTRIM" | b"XSETID"
        | b"XACK" | b"XCLAIM" => fixed(1, 1, 1),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::encode;

    fn at(arguments: &[&str]) -> Keys {
        let mut buf = Vec::new();
        encode::command(&mut buf, arguments);
        let mut command = Command::default();
        command.parse(&buf, 0).unwrap().unwrap();
        keys(&command, &buf)
    }

    #[test]
    fn keys_are_where_the_command_has_them() {
        assert_eq!(at(&["set", "k", "v"]), Keys::At(vec![1]));
        assert_eq!(at(&["DEL", "a", "b", "c"]), Keys::At(vec![1, 2, 3]));
        assert_eq!(at(&["MSET", "a", "1", "b", "2"]), Keys::At(vec![1, 3]));
        assert_eq!(at(&["BITOP", "AND", "d", "a", "b"]), Keys::At(vec![2, 3, 4]));
        assert_eq!(
            at(&["ZUNIONSTORE", "d", "2", "a", "b", "WEIGHTS", "1", "2"]),
            Keys::At(vec![1, 3, 4])
        );
        assert_eq!(at(&["EVAL", "return 1", "99", "a"]), Keys::At(vec![3]));
        assert_eq!(at(&["FLUSHALL"]), Keys::At(vec![]));
        assert_eq!(at(&["DEL"]), Keys::At(vec![]));
        assert_eq!(at(&["JSON.SET", "k"]), Keys::Unknown);
    }
}
