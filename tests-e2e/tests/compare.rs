use std::time::Duration;

use redis::Connection;
use redissync_e2e::{
    CompareOptions, Comparison, Node, NodeOptions, ServerVersion, compare, fill, wait_until,
};

fn run(connection: &mut Connection, line: &str) {
    let words: Vec<&str> = line.split(' ').collect();
    redis::Cmd::new().arg(words).exec(connection).unwrap_or_else(|err| panic!("{line}: {err}"));
}

fn compared(source: &mut Connection, target: &mut Connection) -> Comparison {
    compare(source, target, &CompareOptions::default()).unwrap()
}

/// A copy of the node, made by the server itself.
fn replica_of(master: &Node, version: ServerVersion) -> Node {
    let replica = Node::start(version, &NodeOptions::new().replica_of(&master.address())).unwrap();
    wait_until("the replica's copy", Duration::from_secs(20), || {
        let role: (String, String, u16, String, i64) =
            redis::cmd("ROLE").query(&mut replica.connect()?)?;
        Ok((role.3 == "connected").then_some(()))
    })
    .unwrap();
    run(&mut replica.connect().unwrap(), "REPLICAOF NO ONE");
    replica
}

#[test]
fn many_keys_of_all_types_are_equal_at_a_replica_of_the_same_version() {
    let source = Node::start(ServerVersion::Redis70, &NodeOptions::new()).unwrap();
    let mut here = source.connect().unwrap();
    fill(&mut here, 30_000, 11).unwrap();
    let target = replica_of(&source, ServerVersion::Redis70);
    let found = compared(&mut here, &mut target.connect().unwrap());
    println!("{found}");
    assert!(found.is_equal(), "{found}");
    assert_eq!(found.keys, 30_000);
}

#[test]
fn values_in_other_encodings_are_equal_at_a_replica_of_a_newer_version() {
    for (old, new) in [
        (ServerVersion::Redis62, ServerVersion::Redis74),
        (ServerVersion::Redis70, ServerVersion::Valkey91),
        (ServerVersion::Redis62, ServerVersion::Redis82),
    ] {
        let source = Node::start(old, &NodeOptions::new()).unwrap();
        let mut here = source.connect().unwrap();
        fill(&mut here, 3_000, 12).unwrap();
        let target = replica_of(&source, new);
        let found = compared(&mut here, &mut target.connect().unwrap());
        println!("{old} and {new}: {found}");
        assert!(found.is_equal(), "{old} and {new}: {found}");
        assert_eq!(found.keys, 3_000);
        assert!(found.read_in_full > 100);
    }
}

#[test]
fn one_planted_difference_of_each_kind_is_found_and_named() {
    let planted = [
        ("string", "SET k one", "SET k two", "string"),
        ("list", "RPUSH k a b", "LSET k 1 c", "list"),
        ("longer list", "RPUSH k a b", "RPUSH k c", "only the target has"),
        ("order", "RPUSH k a b", "RPOPLPUSH k k", "list"),
        ("hash", "HSET k f v g w", "HSET k g x", "g: w and x"),
        ("field", "HSET k f v g w", "HDEL k g", "the target lacks g"),
        ("set", "SADD k a b", "SADD k c", "set"),
        ("integers", "SADD k 1 2", "SREM k 2", "set"),
        ("score", "ZADD k 1 a", "ZADD k 1.0000001 a", "zset"),
        ("stream", "XADD k 1-1 f v", "XADD k 2-1 f v", "stream"),
        ("last id", "XADD k 1-1 f v", "XSETID k 5-0", "last-generated-id"),
        ("group", "XADD k 1-1 f v", "XGROUP CREATE k g 0", "group"),
        ("type", "SET k one", "LPUSH k one", "a string at the source, a list at the target"),
        ("time", "SET k one EX 5000", "EXPIRE k 5010", "lives"),
        ("no time", "SET k one EX 5000", "PERSIST k", "-1 ms at the target"),
        ("missing", "SET k one", "DEL k", "missing at the target"),
        ("surplus", "SET j one", "SET k one", "only at the target"),
    ];
    let source = Node::start(ServerVersion::Redis70, &NodeOptions::new()).unwrap();
    let target = Node::start(ServerVersion::Redis70, &NodeOptions::new()).unwrap();
    let (mut here, mut there) = (source.connect().unwrap(), target.connect().unwrap());
    for (name, both, change, expected) in planted {
        for connection in [&mut here, &mut there] {
            run(connection, "FLUSHALL");
            run(connection, "SELECT 5");
            run(connection, both);
        }
        run(&mut here, "SELECT 0");
        run(&mut there, "SELECT 0");
        assert!(compared(&mut here, &mut there).is_equal(), "{name} before");
        run(&mut there, "SELECT 5");
        if name == "type" {
            run(&mut there, "DEL k");
        }
        run(&mut there, change);
        run(&mut there, "SELECT 0");
        let found = compared(&mut here, &mut there);
        assert_eq!(found.difference_count, 1, "{name}: {found}");
        let text = found.differences[0].to_string();
        assert!(text.starts_with("db 5 k: ") && text.contains(expected), "{name}: {text}");
    }
}

#[test]
fn own_keys_do_not_count_and_grace_only_lengthens() {
    let source = Node::start(ServerVersion::Redis70, &NodeOptions::new()).unwrap();
    let target = Node::start(ServerVersion::Redis70, &NodeOptions::new()).unwrap();
    let (mut here, mut there) = (source.connect().unwrap(), target.connect().unwrap());
    run(&mut there, "HSET redissync:cart:0 offset 7");
    run(&mut here, "SET k v EX 1000");
    run(&mut there, "SET k v EX 4600");
    let grace = CompareOptions { expiry_grace_ms: 3_600_000, ..CompareOptions::default() };
    assert!(compare(&mut here, &mut there, &grace).unwrap().is_equal());
    assert!(!compared(&mut here, &mut there).is_equal());
    assert!(!compare(&mut there, &mut here, &grace).unwrap().is_equal());
}

#[test]
fn pending_entries_and_field_expiry_are_part_of_the_value() {
    let source = Node::start(ServerVersion::Redis74, &NodeOptions::new()).unwrap();
    let target = Node::start(ServerVersion::Redis74, &NodeOptions::new()).unwrap();
    let (mut here, mut there) = (source.connect().unwrap(), target.connect().unwrap());
    for connection in [&mut here, &mut there] {
        run(connection, "XADD stream 1-1 f v");
        run(connection, "XGROUP CREATE stream g 0");
        run(connection, "XREADGROUP GROUP g consumer STREAMS stream >");
        run(connection, "XCLAIM stream g consumer 0 1-1 TIME 1700000000000 RETRYCOUNT 1");
        run(connection, "HSET hash f v");
        run(connection, "HPEXPIREAT hash 9999999999999 FIELDS 1 f");
    }
    let found = compared(&mut here, &mut there);
    assert!(found.is_equal(), "{found}");
    run(&mut there, "XCLAIM stream g consumer 0 1-1 TIME 1700000000001 RETRYCOUNT 1");
    assert_eq!(compared(&mut here, &mut there).difference_count, 1);
    run(&mut there, "XACK stream g 1-1");
    run(&mut there, "HPERSIST hash FIELDS 1 f");
    let found = compared(&mut here, &mut there);
    assert_eq!(found.difference_count, 2, "{found}");
}
