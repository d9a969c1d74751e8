use super::*;

const GOOD: &str = r#"
pairID: tools/cart
source:
  name: beijing
  standalone: {address: "127.0.0.1:7001"}
  auth: {username: sync, passwordFile: /run/secrets/a}
target:
  name: shanghai
  sentinel:
    masterName: mymaster
    endpoints: ["127.0.0.1:26379", "[::1]:26379"]
    auth: {passwordFile: /run/secrets/s}
fullCopy: {onExistingData: Sweep}
spool: {dir: /var/lib/redissync, maxBytes: 8Gi, retention: {bytes: 1Gi, age: 24h}}
paused: false
server: {listen: "127.0.0.1:9250"}
"#;

const SMALLEST: &str = r#"
source: {name: a, standalone: {address: "a:1"}}
target: {name: b, standalone: {address: "b:1"}}
spool: {dir: /s}
"#;

fn message(text: &str) -> String {
    parse(text.as_bytes()).expect_err(text).to_string()
}

#[test]
fn the_documented_example_is_read() {
    let config = parse(GOOD.as_bytes()).unwrap();
    assert_eq!(config.pair_id, "tools/cart");
    assert_eq!(config.source.endpoint.topology(), Topology::Standalone);
    assert_eq!(config.source.login.auth.as_ref().unwrap().username.as_deref(), Some("sync"));
    assert!(config.target.login.auth.is_none());
    let Endpoint::Sentinel { master_name, endpoints, login } = &config.target.endpoint else {
        panic!("{:?}", config.target.endpoint);
    };
    assert_eq!(master_name, "mymaster");
    assert_eq!(endpoints[1].host(), "::1");
    assert_eq!(login.auth.as_ref().unwrap().password_file, Path::new("/run/secrets/s"));
    assert_eq!(config.on_existing_data, OnExistingData::Sweep);
    assert_eq!(config.spool.retention_age, Duration::from_secs(86_400));
}

#[test]
fn what_is_left_out_has_the_documented_default() {
    let config = parse(SMALLEST.as_bytes()).unwrap();
    assert_eq!(config.pair_id, "default");
    assert_eq!(config.on_existing_data, OnExistingData::Refuse);
    assert_eq!(config.spool.max_bytes, 8 << 30);
    assert_eq!(config.spool.retention_bytes, 1 << 30);
    assert_eq!(config.spool.retention_age, Duration::from_secs(86_400));
    assert_eq!(config.listen, "127.0.0.1:9250".parse().unwrap());
    assert_eq!(config.drain, Duration::from_secs(20));
    assert!(!config.paused);
    let small = SMALLEST.replace("dir: /s", "dir: /s, maxBytes: 512Mi");
    assert_eq!(parse(small.as_bytes()).unwrap().spool.retention_bytes, 256 << 20);
}

#[test]
fn addresses_of_both_families_can_be_listened_at() {
    for listen in ["0.0.0.0:9250", "[::]:9250", "[::1]:0", "127.0.0.1:9250"] {
        let text = GOOD.replace(r#"listen: "127.0.0.1:9250""#, &format!("listen: '{listen}'"));
        assert_eq!(parse(text.as_bytes()).unwrap().listen, listen.parse().unwrap());
    }
}

#[test]
fn the_contract_is_written_as_it_is_read() {
    let config: SyncerConfig = serde_yaml::from_str(GOOD).unwrap();
    let written = serde_yaml::to_string(&config).unwrap();
    assert_eq!(parse(written.as_bytes()).unwrap(), parse(GOOD.as_bytes()).unwrap());
}

/// What is replaced in [`GOOD`], by what, and what the error must say.
const BAD: &[(&str, &str, &[&str])] = &[
    ("pairID: tools/cart", "pairID: ''", &["pairID", "empty"]),
    ("pairID: tools/cart", "pairID: 'a b'", &["pairID: 'a b' has ' '"]),
    ("pairID: tools/cart", "pairID: 'a:b'", &["pairID: 'a:b' has ':'"]),
    ("pairID: tools/cart", "pairID: 'ä'", &["pairID: 'ä'", "letters, digits"]),
    ("pairID: tools/cart", "pairID: 'a{b}'", &["pairID: 'a{b}'"]),
    ("pairID: tools/cart", "pairID: [a]", &["pairID: invalid type"]),
    ("pairID: tools/cart", "pairId: tools/cart", &["unknown field `pairId`", "`pairID`"]),
    ("pairID: tools/cart", "pairID: a\npairID: b", &["duplicate", "pairID"]),
    ("name: beijing", "name: ''", &["source.name: must not be empty"]),
    ("name: beijing", "name: a/b", &["source.name: 'a/b' has '/'"]),
    ("name: beijing", "name: shanghai", &["target.name: 'shanghai' is the source's name too"]),
    ("name: beijing", "title: beijing", &["source: unknown field `title`"]),
    (r#"standalone: {address: "127.0.0.1:7001"}"#, "", &["source: has no topology", "either"]),
    (
        r#"  standalone: {address: "127.0.0.1:7001"}"#,
        "  standalone: {address: 'a:1'}\n  sentinel: {masterName: m, endpoints: ['a:2']}",
        &["source: has both standalone and sentinel"],
    ),
    (r#"{address: "127.0.0.1:7001"}"#, "{}", &["source.standalone", "missing field `address`"]),
    (r#""127.0.0.1:7001""#, "redis", &["source.standalone.address: \"redis\"", "port is missing"]),
    (r#""127.0.0.1:7001""#, "'redis:0'", &["\"redis:0\"", "from 1 to 65535"]),
    (r#""127.0.0.1:7001""#, "'redis:99999'", &["\"redis:99999\"", "from 1 to 65535"]),
    (r#""127.0.0.1:7001""#, "'fd00::1:6379'", &["\"fd00::1:6379\"", "in brackets"]),
    (r#""127.0.0.1:7001""#, "':6379'", &["\":6379\"", "host is missing"]),
    (r#""127.0.0.1:7001""#, "'red is:6379'", &["\"red is:6379\"", "letters, digits"]),
    (
        r#""127.0.0.1:7001""#,
        "'redis://u:hunter2@redis:6379'",
        &["source.standalone.address: is no plain address", "those go to auth"],
    ),
    ("username: sync", "username: ''", &["source.auth.username", "default user"]),
    ("username: sync", "username: 'a b'", &["source.auth.username", "white space"]),
    (
        "passwordFile: /run/secrets/a",
        "passwordFile: hunter2",
        &["source.auth.passwordFile", "absolute"],
    ),
    (
        "passwordFile: /run/secrets/a",
        "passwordFile: 12345678",
        &["source.auth.passwordFile", "absolute"],
    ),
    (
        "passwordFile: /run/secrets/a",
        "password: hunter2",
        &["unknown field `password`", "name that in passwordFile"],
    ),
    (", passwordFile: /run/secrets/a", "", &["source.auth", "missing field `passwordFile`"]),
    (
        "auth: {passwordFile: /run/secrets/s}",
        "auth: hunter2",
        &["target.sentinel.auth", "AuthConfig"],
    ),
    (
        "auth: {passwordFile: /run/secrets/s}",
        "auth: {passwordFile: ../s}",
        &["target.sentinel.auth.passwordFile"],
    ),
    (
        "auth: {passwordFile: /run/secrets/s}",
        "tls: {caFile: ca.crt}",
        &["target.sentinel.tls.caFile", "absolute"],
    ),
    (
        "auth: {passwordFile: /run/secrets/s}",
        "tls: {certificateFile: /crt}",
        &["target.sentinel.tls.keyFile", "is missing"],
    ),
    (
        "auth: {passwordFile: /run/secrets/s}",
        "tls: {keyFile: /key}",
        &["target.sentinel.tls.certificateFile", "is missing"],
    ),
    (
        "auth: {passwordFile: /run/secrets/s}",
        "tls: {certificateFile: /crt, keyFile: '-----BEGIN hunter2'}",
        &["target.sentinel.tls.keyFile", "absolute"],
    ),
    (
        "auth: {passwordFile: /run/secrets/s}",
        "tls: {serverName: 'a b'}",
        &["target.sentinel.tls.serverName", "\"a b\""],
    ),
    (
        "auth: {passwordFile: /run/secrets/s}",
        "tls: {insecureSkipVerify: true}",
        &["target.sentinel.tls", "unknown field `insecureSkipVerify`"],
    ),
    ("masterName: mymaster", "masterName: ''", &["target.sentinel.masterName", "sentinel monitor"]),
    (
        "masterName: mymaster",
        "masterName: 'my master'",
        &["target.sentinel.masterName", "my master"],
    ),
    (
        r#"["127.0.0.1:26379", "[::1]:26379"]"#,
        "[]",
        &["target.sentinel.endpoints", "has 0 entries"],
    ),
    (
        r#"["127.0.0.1:26379", "[::1]:26379"]"#,
        "'a:1'",
        &["target.sentinel.endpoints", "a sequence"],
    ),
    (
        r#""[::1]:26379""#,
        r#""127.0.0.1:26379""#,
        &["endpoints[1]: '127.0.0.1:26379' stands there twice"],
    ),
    (r#""[::1]:26379""#, r#""::1:26379""#, &["target.sentinel.endpoints[1]", "in brackets"]),
    (
        "onExistingData: Sweep",
        "onExistingData: sweep",
        &["fullCopy.onExistingData", "`Refuse`, `Sweep`, `Keep`"],
    ),
    ("onExistingData: Sweep", "sweep: true", &["fullCopy: unknown field `sweep`"]),
    ("dir: /var/lib/redissync", "dir: spool", &["spool.dir: \"spool\"", "absolute"]),
    ("dir: /var/lib/redissync", "dir: /", &["spool.dir: \"/\"", "of its own"]),
    ("dir: /var/lib/redissync, ", "", &["spool", "missing field `dir`"]),
    (
        "maxBytes: 8Gi",
        "maxBytes: 8GB",
        &["spool.maxBytes: '8GB' is no amount of bytes", "such as 8Gi"],
    ),
    ("maxBytes: 8Gi", "maxBytes: 1.5Gi", &["spool.maxBytes: '1.5Gi'"]),
    ("maxBytes: 8Gi", "maxBytes: -1", &["spool.maxBytes: '-1'"]),
    ("maxBytes: 8Gi", "maxBytes: 1000", &["spool.maxBytes: 1000 is too small", "1Mi"]),
    ("maxBytes: 8Gi", "maxBytes: 99999999Ti", &["spool.maxBytes: '99999999Ti' is too large"]),
    ("bytes: 1Gi", "bytes: 9Gi", &["spool.retention.bytes: 9Gi is more than spool.maxBytes (8Gi)"]),
    ("age: 24h", "age: 90", &["spool.retention.age: '90' lacks a unit", "90s"]),
    ("age: 24h", "age: 1d", &["spool.retention.age: '1d'", "1h30m"]),
    ("age: 24h", "age: 9000h", &["spool.retention.age: 9000h is too long", "8760h"]),
    ("age: 24h", "years: 1", &["spool.retention: unknown field `years`"]),
    ("paused: false", "paused: 'no'", &["paused: invalid type: string \"no\", expected a boolean"]),
    ("paused: false", "paused: false\ndrainSeconds: 0", &["drainSeconds: 0 is out of range"]),
    ("paused: false", "paused: false\ndrainSeconds: -5", &["drainSeconds", "-5"]),
    ("paused: false", "paused: false\ndebug: true", &["unknown field `debug`"]),
    (
        r#"listen: "127.0.0.1:9250""#,
        "listen: ':9250'",
        &["server.listen: \":9250\"", "0.0.0.0:9250"],
    ),
    (r#"listen: "127.0.0.1:9250""#, "listen: 9250", &["server.listen", "9250"]),
    (r#"server: {listen: "127.0.0.1:9250"}"#, "server: [", &["line"]),
    ("name: shanghai", "name: 'x", &["line"]),
    (
        "name: shanghai",
        "name: shanghai\n  addressMap: [{announced: 'fd00::1', dial: a}]",
        &["target.addressMap[0].announced: \"fd00::1\"", "in brackets"],
    ),
    (
        "name: shanghai",
        "name: shanghai\n  addressMap: [{announced: a, dial: 'b:0'}]",
        &["target.addressMap[0].dial: \"b:0\"", "from 1 to 65535"],
    ),
    (
        "name: shanghai",
        "name: shanghai\n  addressMap: [{announced: a, dial: b}, {announced: A, dial: c}]",
        &["target.addressMap[1].announced: 'A' stands there twice"],
    ),
    (
        "name: shanghai",
        "name: shanghai\n  addressMap: [{announced: a, to: b}]",
        &["target.addressMap[0]", "unknown field `to`"],
    ),
];

#[test]
fn each_mistake_names_field_value_and_remedy_and_no_password() {
    assert!(BAD.len() >= 40);
    let mut failures = Vec::new();
    for (good, bad, fragments) in BAD {
        assert!(GOOD.contains(good), "{good} is not in the example");
        let message = message(&GOOD.replacen(good, bad, 1));
        let is_clean = !message.contains("hunter2") && !message.contains("12345678");
        if !is_clean || !fragments.iter().all(|fragment| message.contains(fragment)) {
            failures.push(format!("{bad}: {message:?}, expected {fragments:?}"));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn long_names_and_lists_are_refused() {
    let long = GOOD.replace("tools/cart", &"x".repeat(254));
    assert!(message(&long).contains("pairID: has 254 characters: shorten it to at most 253"));
    parse(GOOD.replace("tools/cart", &"x".repeat(253)).as_bytes()).unwrap();
    let long = GOOD.replace("beijing", &"x".repeat(64));
    assert!(message(&long).contains("source.name: has 64 characters"));
    let many: Vec<String> = (0..33).map(|n| format!("'s{n}:1'")).collect();
    let many = GOOD.replace(r#""127.0.0.1:26379", "[::1]:26379""#, &many.join(", "));
    assert!(message(&many).contains("target.sentinel.endpoints: has 33 entries"));
}

#[test]
fn a_release_names_the_halt_that_it_is_for() {
    let release = |fields: &str| format!("{SMALLEST}release: {{{fields}}}\n");
    let id = "00000000000000ab";
    for (fields, decision) in [
        ("action: SkipUnit, offset: 7".to_owned(), Decision::SkipUnit { offset: 7 }),
        ("action: RetryUnit, offset: 7".to_owned(), Decision::RetryUnit { offset: 7 }),
        ("action: CopyAgain, offset: 7".to_owned(), Decision::copy_again_at(7)),
        (format!("action: CopyAgain, copyID: '{id}'"), Decision::copy_again_after(id)),
        (
            format!("action: AllowSweep, copyID: '{id}'"),
            Decision::AllowSweep { copy_id: id.to_owned() },
        ),
    ] {
        assert_eq!(parse(release(&fields).as_bytes()).unwrap().release, Some(decision));
    }
    for (fields, fragments) in [
        ("action: SkipUnit", ["release.offset: is missing, which SkipUnit", "halt's offset"]),
        ("action: RetryUnit, copyID: 00000000000000ab", ["release.offset", "RetryUnit needs"]),
        ("action: AllowSweep, offset: 7", ["release.copyID: is missing", "halt's copyId"]),
        ("action: SkipUnit, offset: 7, copyID: 00000000000000ab", ["release.copyID", "remove it"]),
        (
            "action: AllowSweep, offset: 7, copyID: 00000000000000ab",
            ["release.offset", "remove it"],
        ),
        ("action: CopyAgain", ["release: names no halt", "offset, or its copyID"]),
        ("action: CopyAgain, offset: 7, copyID: 00000000000000ab", ["release: has both", "keep"]),
        ("action: AllowSweep, copyID: c1", ["release.copyID: \"c1\" is none", "16 hex digits"]),
        ("action: Skip, offset: 7", ["release.action", "`SkipUnit`"]),
        ("action: SkipUnit, offset: -7", ["release.offset", "-7"]),
        ("action: SkipUnit, unit: 7", ["release", "unknown field `unit`"]),
    ] {
        let message = message(&release(fields));
        for fragment in fragments {
            assert!(message.contains(fragment), "{fields}: {message}");
        }
    }
}

#[test]
fn a_file_without_new_fields_is_written_as_an_older_syncer_reads_it() {
    let config: SyncerConfig = serde_yaml::from_str(SMALLEST).unwrap();
    let written = serde_yaml::to_string(&config).unwrap();
    assert!(!written.contains("release") && !written.contains("addressMap"), "{written}");
}

#[test]
fn addresses_are_dialled_as_the_map_says() {
    let mapped = "name: shanghai\n  addressMap: [{announced: redis-0.b, dial: '10.0.0.1'}]";
    let config = parse(GOOD.replace("name: shanghai", mapped).as_bytes()).unwrap();
    assert_eq!(config.target.addresses.peer("redis-0.b:6379").dial, "10.0.0.1:6379");
    assert_eq!(config.source.addresses, AddressMap::default());
    let entries = (0..65).map(|n| format!("{{announced: n{n}, dial: x}}")).collect::<Vec<_>>();
    let many = format!("name: shanghai\n  addressMap: [{}]", entries.join(", "));
    assert!(
        message(&GOOD.replace("name: shanghai", &many))
            .contains("target.addressMap: has 65 entries: give at most 64")
    );
    // The same names in two clusters are two sites, where they are dialled elsewhere.
    let both = "source: {name: a, sentinel: {masterName: m, endpoints: ['s:1']}}\n\
        target: {name: b, sentinel: {masterName: m, endpoints: ['s:1']}, addressMap: [{announced: s, dial: t}]}\n\
        spool: {dir: /s}";
    parse(both.as_bytes()).unwrap();
}

#[test]
fn a_site_is_not_copied_onto_itself() {
    assert!(
        message(&SMALLEST.replace("b:1", "a:1"))
            .contains("target.standalone.address: 'a:1' is the source's address too")
    );
    let sentinel = "{name: NAME, sentinel: {masterName: m, endpoints: ['s1:1', 's2:1']}}";
    let text = format!(
        "source: {}\ntarget: {}\nspool: {{dir: /s}}",
        sentinel.replace("NAME", "a"),
        sentinel.replace("NAME", "b")
    );
    assert!(message(&text).contains("target.sentinel: names the same master 'm'"));
}

#[test]
fn what_is_no_configuration_at_all_is_said_to_be_none() {
    assert!(message("").contains("is empty"));
    assert!(message("# nothing\n\n").contains("is empty"));
    assert!(message("{}").contains("missing field `source`"));
    let pasted = message("hunter2");
    assert!(!pasted.contains("hunter2") && pasted.contains("SyncerConfig"), "{pasted}");
    assert!(matches!(parse(&[0xff]), Err(ConfigError::NotText)));
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.yaml");
    let err = load(&path).expect_err("missing");
    assert!(err.to_string().contains("config.yaml"), "{err}");
    fs::write(&path, vec![b'#'; (1 << 20) + 1]).unwrap();
    assert!(load(&path).expect_err("large").to_string().contains("larger than 1 MiB"));
    fs::write(&path, GOOD).unwrap();
    load(&path).unwrap();
}
