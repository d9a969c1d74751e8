use super::*;
use crate::rdb::value::Family::{self, Redis, Valkey};

/// What a command becomes: its words, `=` for the same, `-` for nothing, `!` for a refusal.
fn sent_to(target: &Capabilities, text: &str) -> String {
    let words: Vec<&[u8]> = text.split(' ').map(str::as_bytes).collect();
    let known = Known::new(target, false);
    let Some((from, translator)) = known.rule(words[0]).translator else { return "=".into() };
    if words.len() < from {
        return "=".into();
    }
    let mut bytes = Vec::new();
    let mut out = Output::new(&mut bytes, target, Grace::NONE);
    match translator(&words, &mut out) {
        Ok(Form::Same) => "=".into(),
        Ok(Form::Dropped) => "-".into(),
        Err(_) => "!".into(),
        Ok(Form::Written) => {
            let count = out.count;
            let lines = readable(&bytes);
            assert_eq!(lines.len(), count, "{text}");
            lines.join("; ")
        }
    }
}

/// Commands as words; a script's body is left out.
fn readable(bytes: &[u8]) -> Vec<String> {
    let mut command = crate::resp::command::Command::default();
    let (mut at, mut lines) = (0, Vec::new());
    while at < bytes.len() {
        at = command.parse(bytes, at).unwrap().unwrap();
        let words = (0..command.argument_count()).map(|i| command.argument(bytes, i).unwrap());
        let is_script = command.name(bytes) == b"EVAL";
        let words = words.enumerate().filter(|(i, _)| !(is_script && *i == 1));
        let words: Vec<_> = words.map(|(_, word)| String::from_utf8_lossy(word)).collect();
        lines.push(words.join(" "));
    }
    lines
}

fn check(family: Family, rdb_version: u16, rows: &[(&str, &str)]) {
    let target = Capabilities::for_tests(family, rdb_version);
    for (text, expected) in rows {
        assert_eq!(sent_to(&target, text), *expected, "{text} to {:?}", target.version);
    }
}

#[test]
fn what_redis_2_8_does_not_know_is_said_in_its_words() {
    check(
        Redis,
        6,
        &[
            ("SET k v", "="),
            ("SET k v PX 9", "="),
            ("set k v XX", "="),
            ("SET k v PXAT 9", "SET k v; PEXPIREAT k 9"),
            ("SET k v EXAT 9", "SET k v; EXPIREAT k 9"),
            ("SET k v KEEPTTL", "EVAL 1 k v"),
            ("SET k v IFEQ old", "SET k v"),
            ("SET k v XX GET", "SET k v"),
            ("SET k v NEW", "="),
            ("SET k v PXAT", "="),
            ("MSETEX 2 a 1 b 2 PXAT 9", "SET a 1; PEXPIREAT a 9; SET b 2; PEXPIREAT b 9"),
            ("MSETEX 9999999999999999999 a 1", "="),
            ("MSETEX 2 a 1", "="),
            ("DELIFEQ k v", "DEL k"),
            ("UNLINK a b", "DEL a b"),
            ("LPOP k", "="),
            ("LPOP k 3", "LTRIM k 3 -1"),
            ("RPOP k 3", "LTRIM k 0 -4"),
            ("LMOVE a b right left", "RPOPLPUSH a b"),
            ("LMOVE a b LEFT RIGHT", "EVAL 2 a b LPOP RPUSH"),
            ("LPUSHX k a", "="),
            ("RPUSHX k a b", "RPUSHX k a; RPUSHX k b"),
            ("HSET h f v", "="),
            ("HSET h f v g w", "HMSET h f v g w"),
            ("HGETDEL h FIELDS 2 f g", "HDEL h f g"),
            ("HSETEX h KEEPTTL FIELDS 1 f v", "HMSET h f v"),
            ("HSETEX h PXAT 9 FIELDS 1 f v", "!"),
            ("HPEXPIREAT h 9 FIELDS 1 f", "!"),
            ("HPERSIST h FIELDS 1 f", "-"),
            ("ZADD z 1 a", "="),
            ("ZADD z CH 1 a", "EVAL 1 z CH 1 a"),
            ("ZADD z GT XX 1 a 2 b", "EVAL 1 z GT XX 1 a 2 b"),
            ("ZADD z INCR 1 a", "ZINCRBY z 1 a"),
            ("ZPOPMIN z", "ZREMRANGEBYRANK z 0 0"),
            ("ZPOPMAX z 2", "ZREMRANGEBYRANK z -2 -1"),
            ("ZPOPMAX z 0", "="),
            ("ZRANGESTORE d z 0 -1 REV", "EVAL 2 d z ZREVRANGE scored 0 -1 WITHSCORES"),
            (
                "ZRANGESTORE d z [a [c BYLEX LIMIT 1 2",
                "EVAL 2 d z ZRANGEBYLEX members [a [c LIMIT 1 2",
            ),
            ("ZDIFFSTORE d 2 a b", "EVAL 3 d a b"),
            ("PEXPIREAT k 9", "="),
            ("PEXPIREAT k 9 GT", "PEXPIREAT k 9"),
            ("MOVE k 3", "EVAL 1 k 3"),
            ("XADD s 1-1 f v", "!"),
            ("XGROUP DESTROY s g", "!"),
            ("COPY a b", "EVAL 2 a b "),
            ("COPY a b DB 3 REPLACE", "EVAL 2 a b 3"),
            ("FLUSHALL ASYNC", "FLUSHALL"),
            ("FUNCTION FLUSH", "!"),
            ("SPUBLISH c m", "-"),
            ("HSETC h f g v w", "DEL h; HMSET h f v g w"),
            ("HSETC h f g v", "!"),
            ("XIDMPRECORD k p i 1-1", "-"),
            ("TRIMSLOTS RANGES 1 0 1", "!"),
            ("CLUSTER SYNCSLOTS FINISH", "!"),
        ],
    );
}

#[test]
fn streams_lose_what_the_target_cannot_remember_and_no_entry() {
    check(
        Redis,
        9,
        &[
            ("XADD s NOMKSTREAM MAXLEN = 5 1-1 KEEPREF MINID", "="),
            ("XADD s KEEPREF MAXLEN 5 1-1 KEEPREF MINID", "XADD s MAXLEN 5 1-1 KEEPREF MINID"),
            ("XADD s MAXLEN = 5 ACKED 1-1 f v", "!"),
            ("XADD s", "="),
            ("XTRIM s MINID 5 KEEPREF", "XTRIM s MINID 5"),
            ("XGROUP SETID s g 1-1 ENTRIESREAD 4", "XGROUP SETID s g 1-1"),
            ("XGROUP CREATE s g 1-1 MKSTREAM ENTRIESREAD 4", "XGROUP CREATE s g 1-1 MKSTREAM"),
            ("XGROUP CREATECONSUMER s g c", "="),
            ("XSETID s 5-1 ENTRIESADDED 7 MAXDELETEDID 1-1", "XSETID s 5-1"),
            ("XDELEX s IDS 2 1-1 2-1", "XDEL s 1-1 2-1"),
            ("XDELEX s IDS 3 1-1 2-1", "="),
            ("XDELEX s DELREF IDS 1 1-1", "EVAL 1 s 1-1"),
            ("XACKDEL s g ACKED IDS 1 1-1", "EVAL 1 s g 1-1"),
            ("XADD s MAXLEN = 5 LIMIT 9 1-1 LIMIT 9", "XADD s MAXLEN = 5 1-1 LIMIT 9"),
        ],
    );
}

#[test]
fn families_that_parted_are_led_back_to_what_both_know() {
    let to_redis_8 = [
        ("SET k v IFEQ old", "SET k v"),
        ("SET k v KEEPTTL", "="),
        ("MSETEX 1 a 1 KEEPTTL", "SET a 1 KEEPTTL"),
        ("HSETEX h XX FNX PXAT 9 FIELDS 1 f v", "HSETEX h PXAT 9 FIELDS 1 f v"),
        ("HSETEX h FNX PXAT 9 FIELDS 1 f v", "="),
        ("HGETDEL h FIELDS 1 f", "="),
        ("XDELEX s IDS 1 1-1", "="),
        ("XADD s MAXLEN = 5 LIMIT 9 KEEPREF 1-1 f v", "XADD s MAXLEN = 5 KEEPREF 1-1 f v"),
        ("XTRIM s MAXLEN = 5 LIMIT 9", "XTRIM s MAXLEN = 5"),
        ("XADD s 1-1 f v", "="),
    ];
    check(Redis, 12, &to_redis_8);
    let to_valkey_8 = [
        ("SET k v IFEQ old", "="),
        ("XADD s KEEPREF 1-1 f v", "XADD s 1-1 f v"),
        ("HSETEX h KEEPTTL FIELDS 1 f v", "HMSET h f v"),
        (
            "BITOP DIFF d a b c",
            "BITOP OR redissync:bitop:any b c; BITOP AND redissync:bitop:both a redissync:bitop:any; \
             BITOP XOR d a redissync:bitop:both; \
             DEL redissync:bitop:any redissync:bitop:both redissync:bitop:twice",
        ),
        ("BITOP AND d a b", "="),
    ];
    check(Valkey, 11, &to_valkey_8);
    let seven_four = Capabilities { version: (7, 4, 1), ..Capabilities::for_tests(Redis, 12) };
    for (text, expected) in [
        ("HSETEX h KEEPTTL FIELDS 1 f v", "EVAL 1 h f v"),
        ("HSETEX h PXAT 9 FIELDS 2 f v g w", "HMSET h f v g w; HPEXPIREAT h 9 FIELDS 2 f g"),
        ("HSETEX h FIELDS 1 PX v", "HMSET h PX v"),
    ] {
        assert_eq!(sent_to(&seven_four, text), expected);
    }
}

#[test]
fn a_payload_goes_under_the_targets_label_or_as_commands() {
    let target = Capabilities::for_tests(Redis, 6);
    // A list of one element in a quicklist of 7.0, and a string.
    let list = b"\x12\x01\x01\x01v\x0b\0\0\0\0\0\0\0\0\0";
    let string = b"\0\x01v\x0b\0\0\0\0\0\0\0\0\0";
    let array = b"\x1c\x01v\x0e\0\0\0\0\0\0\0\0\0";
    for (payload, expected) in [
        (&string[..], "SET k v; PEXPIREAT k 9"),
        (list, "DEL k; RPUSH k v; PEXPIREAT k 9"),
        (array, "!"),
        (b"short", "!"),
    ] {
        let words = [b"RESTORE".as_slice(), b"k", b"9", payload, b"ABSTTL"];
        let mut bytes = Vec::new();
        let mut out = Output::new(&mut bytes, &target, Grace::NONE);
        let found = restore::restore(&words, &mut out);
        match found {
            Err(_) => assert_eq!(expected, "!"),
            Ok(form) => {
                assert_eq!(form, Form::Written);
                assert_eq!(readable(&bytes).join("; "), expected);
            }
        }
    }
}

#[test]
fn no_words_make_a_translator_panic() {
    for (family, version) in [(Redis, 6), (Redis, 9), (Redis, 12), (Valkey, 11), (Valkey, 80)] {
        let target = Capabilities::for_tests(family, version);
        let known = Known::new(&target, false);
        for &(name, _, from, _) in table::ROWS {
            let Some((_, translator)) = known.rule(name.as_bytes()).translator else {
                continue;
            };
            for word in ["", "1", "FIELDS", "IDS", "LIMIT", "MAXLEN", "KEEPTTL", "RESTORE", "DB"] {
                for count in from.max(1)..8 {
                    let mut words = vec![name.as_bytes()];
                    words.resize(count, word.as_bytes());
                    let mut bytes = Vec::new();
                    let mut out = Output::new(&mut bytes, &target, Grace::NONE);
                    let _ = translator(&words, &mut out);
                }
            }
        }
    }
}
