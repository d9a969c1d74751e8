use super::{facts, *};

const SOURCE: &str = "# Server\r\nredis_version:7.0.15\r\n# Memory\r\nused_memory:1073741824\r\n\
    # Replication\r\nrole:master\r\nrepl_backlog_active:1\r\nrepl_backlog_size:8589934592\r\n\
    # Modules\r\n# Keyspace\r\ndb0:keys=5,expires=0,avg_ttl=0\r\n";
const TARGET: &str = "# Server\r\nredis_version:7.0.15\r\n# Memory\r\nused_memory:1000000\r\nmaxmemory:2147483648\r\n\
    maxmemory_policy:noeviction\r\ntotal_system_memory:8589934592\r\n# Persistence\r\naof_enabled:1\r\n\
    # Replication\r\nrole:master\r\nconnected_slaves:2\r\n# Modules\r\n";

fn told(name: &'static str, value: &str) -> (&'static str, Result<Option<String>, String>) {
    (name, Ok(Some(value.to_owned())))
}

/// Two servers of 7.0 that leave nothing to be wished for.
fn facts() -> Facts {
    let source = NodeFacts {
        address: "a:6379".to_owned(),
        info: Ok(SOURCE.to_owned()),
        settings: vec![
            told(
                "client-output-buffer-limit",
                "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60",
            ),
            told("repl-timeout", "60"),
            told("repl-diskless-sync", "yes"),
        ],
        rights: Rights::Complete,
        database: None,
    };
    let target = NodeFacts {
        address: "b:6379".to_owned(),
        info: Ok(TARGET.to_owned()),
        settings: vec![told("save", ""), told("min-replicas-to-write", "0")],
        rights: Rights::Complete,
        database: Some((0, true)),
    };
    Facts {
        source: Ok(source),
        target: Ok(target),
        sentinels: [Some(Ok(())), None],
        stream_bytes_per_second: Some(1_000_000.0),
        is_attached: true,
        skew_milliseconds: Some(3),
        grace_milliseconds: 3_600_000,
        is_evicting_allowed: false,
        evicted_since_copy: 0,
    }
}

fn source_with(change: impl FnOnce(&mut NodeFacts)) -> Facts {
    let mut facts = facts();
    change(facts.source.as_mut().unwrap());
    facts
}

fn target_with(change: impl FnOnce(&mut NodeFacts)) -> Facts {
    let mut facts = facts();
    change(facts.target.as_mut().unwrap());
    facts
}

/// In `INFO`.
fn replaced(node: &mut NodeFacts, old: &str, new: &str) {
    let info = node.info.clone().unwrap();
    assert!(info.contains(old), "{old}");
    node.info = Ok(info.replace(old, new));
}

fn set(node: &mut NodeFacts, name: &'static str, value: Result<Option<String>, String>) {
    node.settings.retain(|(known, _)| *known != name);
    node.settings.push((name, value));
}

fn refused() -> Result<Option<String>, String> {
    Err("NOPERM".to_owned())
}

#[test]
fn every_check_is_made_and_passes_where_nothing_is_to_be_wished_for() {
    let checks = checks(&facts());
    for check in &checks {
        assert_eq!((check.result, check.advice.as_str()), (CheckResult::Passed, ""), "{check:?}");
    }
    for name in CheckName::ALL {
        assert!(checks.iter().any(|check| check.check == *name), "{name} is not made");
    }
}

#[test]
fn each_check_tells_what_is_wrong_and_the_line_that_puts_it_right() {
    use CheckName::*;
    use CheckResult::{Failed, Unknown, Warning};
    let table: Vec<(Facts, CheckName, CheckResult, &str)> = vec![
        (Facts { source: Err("gone".into()), ..facts() }, Reachable, Failed, "check the node"),
        (
            Facts { sentinels: [Some(Err("NOAUTH".into())), None], ..facts() },
            Sentinels,
            Failed,
            "masterName",
        ),
        (
            source_with(|node| replaced(node, "role:master", "role:slave")),
            Role,
            Warning,
            "name the master",
        ),
        (
            target_with(|node| replaced(node, "role:master", "role:slave")),
            Role,
            Failed,
            "name its master",
        ),
        (source_with(|node| replaced(node, "7.0.15", "2.6.1")), Version, Failed, "upgrade"),
        (source_with(|node| replaced(node, "7.0.15", "8.8.0")), Version, Warning, "try it"),
        (target_with(|node| replaced(node, "7.0.15", "6.2.5")), Version, Warning, "onUnsupported"),
        (
            source_with(|node| node.rights = facts::Rights::Missing(vec!["+psync".into()])),
            Rights,
            Failed,
            "ACL SETUSER <user> +psync",
        ),
        (
            source_with(|node| node.rights = facts::Rights::Unproven("x".into())),
            Rights,
            Unknown,
            "+acl|dryrun",
        ),
        (
            source_with(|node| {
                replaced(node, "repl_backlog_size:8589934592", "repl_backlog_size:1048576");
            }),
            Backlog,
            Failed,
            "CONFIG SET repl-backlog-size 4gb",
        ),
        (
            source_with(|node| {
                replaced(node, "repl_backlog_size:8589934592", "repl_backlog_size:134217728");
            }),
            Backlog,
            Warning,
            "CONFIG SET repl-backlog-size 4gb",
        ),
        (
            // Nothing is written, but the default bridges nothing once something is.
            Facts {
                stream_bytes_per_second: Some(0.0),
                ..source_with(|node| {
                    replaced(node, "repl_backlog_size:8589934592", "repl_backlog_size:1048576");
                })
            },
            Backlog,
            Warning,
            "CONFIG SET repl-backlog-size 64mb",
        ),
        (
            // Never attached to: it counts no offset, but its clients write.
            source_with(|node| {
                replaced(
                    node,
                    "repl_backlog_active:1",
                    "repl_backlog_active:0\r\ninstantaneous_input_kbps:2000.5",
                );
                replaced(node, "repl_backlog_size:8589934592", "repl_backlog_size:1048576");
            }),
            Backlog,
            Failed,
            "CONFIG SET repl-backlog-size 8gb",
        ),
        (source_with(|node| node.info = Err("NOPERM".into())), Backlog, Unknown, "+info"),
        (
            Facts { stream_bytes_per_second: Some(50_000_000.0), ..facts() },
            OutputBuffer,
            Warning,
            "CONFIG SET client-output-buffer-limit \"replica ",
        ),
        (
            source_with(|node| set(node, "client-output-buffer-limit", refused())),
            OutputBuffer,
            Unknown,
            "+config|get",
        ),
        (
            source_with(|node| set(node, "repl-timeout", Ok(Some("10".into())))),
            ReplicationTimeout,
            Warning,
            "CONFIG SET repl-timeout 60",
        ),
        (
            source_with(|node| set(node, "repl-diskless-sync", Ok(Some("no".into())))),
            Diskless,
            Warning,
            "CONFIG SET repl-diskless-sync yes",
        ),
        (
            source_with(|node| {
                replaced(node, "# Modules\r\n", "# Modules\r\nmodule:name=ReJSON,ver=1\r\n");
            }),
            Modules,
            Warning,
            "load them",
        ),
        (
            target_with(|node| node.database = Some((15, false))),
            Databases,
            Failed,
            "`databases 16`",
        ),
        (
            target_with(|node| replaced(node, "maxmemory:2147483648", "maxmemory:805306368")),
            Memory,
            Warning,
            "CONFIG SET maxmemory 1gb",
        ),
        (
            target_with(|node| replaced(node, "maxmemory:2147483648", "maxmemory:1048576")),
            Memory,
            Failed,
            "CONFIG SET maxmemory 1gb",
        ),
        (
            target_with(|node| replaced(node, "noeviction", "allkeys-lru")),
            Eviction,
            Failed,
            "CONFIG SET maxmemory-policy noeviction",
        ),
        (
            Facts {
                is_evicting_allowed: true,
                ..target_with(|node| replaced(node, "noeviction", "volatile-ttl"))
            },
            Eviction,
            Warning,
            "CONFIG SET maxmemory-policy noeviction",
        ),
        (
            Facts { evicted_since_copy: 1234, is_evicting_allowed: true, ..facts() },
            Eviction,
            Failed,
            "CONFIG SET maxmemory-policy noeviction",
        ),
        (
            target_with(|node| {
                replaced(node, "aof_enabled:1", "aof_enabled:0");
                replaced(node, "connected_slaves:2", "connected_slaves:0");
            }),
            Persistence,
            Warning,
            "CONFIG SET appendonly yes",
        ),
        (
            target_with(|node| set(node, "min-replicas-to-write", Ok(Some("1".into())))),
            Replicas,
            Failed,
            "CONFIG SET min-replicas-to-write 0",
        ),
        (Facts { skew_milliseconds: None, ..facts() }, Clocks, Unknown, "+time"),
        (Facts { skew_milliseconds: Some(-90_000), ..facts() }, Clocks, Warning, "NTP"),
        (Facts { skew_milliseconds: Some(3_600_000), ..facts() }, Clocks, Failed, "NTP"),
    ];
    for (facts, name, expected, advice) in table {
        let checks = checks(&facts);
        let found = checks.iter().find(|check| check.check == name && check.result == expected);
        let found = found.unwrap_or_else(|| panic!("no {name} {expected} in {checks:#?}"));
        assert!(found.advice.contains(advice), "{found:?} does not advise {advice}");
    }
}

#[test]
fn each_check_is_explained_to_whoever_is_on_duty() {
    let page = include_str!("../../../docs/operations.md");
    let section = page.split("## Preflight").nth(1).unwrap().split("\n## ").next().unwrap();
    for name in CheckName::ALL {
        assert!(section.contains(&format!("`{name}`")), "{name} is not in docs/operations.md");
    }
}

#[test]
fn only_a_target_that_evicts_is_refused() {
    use EvictingTarget::{Allow, Refuse};
    for (max, policy, allowed, is_refused) in [
        (0, "allkeys-lru", Refuse, false),
        (1 << 30, "noeviction", Refuse, false),
        (1 << 30, "allkeys-lru", Refuse, true),
        (1 << 30, "volatile-lru", Refuse, true),
        (1 << 30, "volatile-lru", Allow, false),
    ] {
        let why = refusal(max, policy, allowed);
        assert_eq!(why.is_some(), is_refused, "{max} {policy} {allowed:?}");
        assert!(why.is_none_or(|why| why.contains("CONFIG SET maxmemory-policy noeviction")));
    }
}

#[test]
fn a_sentence_does_not_change_with_each_look() {
    let with = |rate, skew| Facts {
        stream_bytes_per_second: Some(rate),
        skew_milliseconds: Some(skew),
        ..facts()
    };
    assert_eq!(checks(&with(900_000.0, 3)), checks(&with(1_000_000.0, -8)));
    assert_eq!(at_least(1), "some");
    assert_eq!(at_least(1999), at_least(1000));
}
