use std::time::{Duration, Instant};

use redissync_e2e::{
    Load, LoadEndpoint, LoadOptions, Mode, Node, NodeOptions, Proxy, ServerVersion,
    TornPairWatcher, fill, info::databases, wait_until,
};

fn plain_node() -> Node {
    Node::start(ServerVersion::Redis70, &NodeOptions::new()).unwrap()
}

fn wait_for_acknowledged(load: &Load, count: u64) {
    wait_until("the load", Duration::from_secs(20), || {
        Ok((load.counts().acknowledged >= count).then_some(()))
    })
    .unwrap();
}

#[test]
fn load_on_a_quiet_server_is_exact_and_keeps_its_rate() {
    let node = plain_node();
    let begun = Instant::now();
    let load =
        Load::start(LoadOptions::new(LoadEndpoint::fixed(&node.address())).seed(42)).unwrap();
    let watcher = TornPairWatcher::start(&node.address(), None, &[0, 1, 5]).unwrap();
    wait_for_acknowledged(&load, 40_000);
    let rate = load.counts().acknowledged as f64 / begun.elapsed().as_secs_f64();
    let ledger = load.stop().unwrap();
    println!("{ledger}, {rate:.0}/s");
    assert!(rate < 25_000.0, "{rate}");
    assert_eq!(ledger.counts.sent, ledger.counts.acknowledged, "{:?}", ledger.errors);

    let mut connection = node.connect().unwrap();
    let verified = ledger.verify_exact(&mut connection).unwrap();
    println!("{verified}");
    assert_eq!(verified.applied, verified.acknowledged);
    assert!(verified.applied > 10_000);
    assert_eq!(databases(&mut connection).unwrap().into_keys().collect::<Vec<_>>(), [0, 1, 5]);
    let pairs = watcher.stop().unwrap();
    assert_eq!(pairs.torn, 0, "{pairs:?}");
    assert!(pairs.read > 1000, "{pairs:?}");
}

#[test]
fn ledger_sees_one_lost_and_one_repeated_write_of_each_kind() {
    let node = plain_node();
    let load = Load::start(LoadOptions::new(LoadEndpoint::fixed(&node.address()))).unwrap();
    wait_for_acknowledged(&load, 10_000);
    let ledger = load.stop().unwrap();
    let mut connection = node.connect().unwrap();
    ledger.verify_exact(&mut connection).unwrap();
    let mut run = |words: &[&str]| {
        let mut cmd = redis::Cmd::new();
        cmd.arg(words).exec(&mut connection).unwrap();
        let err = ledger.verify_exact(&mut connection).unwrap_err().to_string();
        assert!(err.contains(&format!("db 0 {}:", words[1])), "{words:?}: {err}");
        err
    };
    run(&["INCR", "ledger:incr:0:0:0"]);
    assert!(ledger.verify_not_repeated(&mut node.connect().unwrap()).is_err());
    run(&["DECRBY", "ledger:incr:0:1:0", "1"]);
    // Lost and repeated at once: the count is right.
    run(&["LSET", "ledger:rpush:0:0:0", "0", "000000001;"]);
    run(&["SETRANGE", "ledger:append:0:0:0", "0", "000000001;"]);
    let err = run(&["XADD", "ledger:xadd:0:0:0", "*", "n", "000000001;"]);
    assert!(err.contains("1 of them twice"), "{err}");
}

#[test]
fn load_goes_on_after_cuts_and_knows_what_it_does_not_know() {
    let node = plain_node();
    let proxy = Proxy::start(&node.address()).unwrap();
    let load =
        Load::start(LoadOptions::new(LoadEndpoint::fixed(&proxy.address())).seed(7)).unwrap();
    for cut in 1..=5 {
        wait_for_acknowledged(&load, cut * 4_000);
        proxy.sever();
    }
    wait_for_acknowledged(&load, 24_000);
    proxy.set_mode(Mode::Refuse);
    proxy.set_mode(Mode::Pass);
    wait_for_acknowledged(&load, 28_000);
    let ledger = load.stop().unwrap();
    println!("{ledger}");
    assert!(ledger.counts.connections >= 7, "{ledger}");
    assert!(!ledger.errors.is_empty());
    let verified = ledger.verify_exact(&mut node.connect().unwrap()).unwrap();
    println!("{verified}");
}

#[test]
fn refused_writes_are_neither_acknowledged_nor_unknown() {
    let mut node = plain_node();
    let load = Load::start(LoadOptions::new(LoadEndpoint::fixed(&node.address())).seed(9)).unwrap();
    wait_for_acknowledged(&load, 4_000);
    node.config_set("min-replicas-to-write", "1").unwrap();
    wait_until("a refusal", Duration::from_secs(5), || {
        Ok((load.counts().refused > 100).then_some(()))
    })
    .unwrap();
    node.config_set("min-replicas-to-write", "0").unwrap();
    wait_for_acknowledged(&load, 10_000);
    let ledger = load.stop().unwrap();
    assert_eq!(ledger.counts.unknown, 0, "{ledger} {:?}", ledger.errors);
    assert!(ledger.errors.iter().any(|err| err.contains("NOREPLICAS")), "{:?}", ledger.errors);
    let verified = ledger.verify_exact(&mut node.connect().unwrap()).unwrap();
    assert_eq!(verified.applied, verified.acknowledged);
}

#[test]
fn watcher_sees_a_torn_pair_and_survives_a_change_of_server() {
    let (first, second) = (plain_node(), plain_node());
    let watcher = TornPairWatcher::start(&first.address(), None, &[0, 5]).unwrap();
    let write = |node: &Node, db: u32, words: &[&str]| {
        let mut connection = node.connect().unwrap();
        redis::cmd("SELECT").arg(db).exec(&mut connection).unwrap();
        redis::Cmd::new().arg(words).exec(&mut connection).unwrap();
    };
    write(&first, 0, &["MSET", "pair:a:3", "v", "pair:b:3", "v"]);
    let wait = |what: &str, seen: &dyn Fn() -> bool| {
        wait_until(what, Duration::from_secs(5), || Ok(seen().then_some(()))).unwrap();
    };
    wait("a whole pair", &|| watcher.seen().read > 0);
    assert_eq!(watcher.seen().torn, 0);
    write(&second, 5, &["SET", "pair:a:4", "v"]);
    watcher.set_address(&second.address());
    wait("a torn pair", &|| watcher.seen().torn > 0);
    drop(first);
    let seen = watcher.stop().unwrap();
    assert!(seen.examples[0].contains("db 5 pair 4"), "{seen:?}");
}

#[test]
fn load_and_fill_leave_streams_to_servers_that_know_them() {
    if ServerVersion::Redis28.program().is_err() {
        println!("left out, since Redis 2.8 is not installed");
        return;
    }
    let node = Node::start(ServerVersion::Redis28, &NodeOptions::new()).unwrap();
    fill(&mut node.connect().unwrap(), 1000, 3).unwrap();
    let load = Load::start(LoadOptions::new(LoadEndpoint::fixed(&node.address()))).unwrap();
    wait_for_acknowledged(&load, 5_000);
    let ledger = load.stop().unwrap();
    assert_eq!(ledger.counts.refused, 0, "{:?}", ledger.errors);
    ledger.verify_exact(&mut node.connect().unwrap()).unwrap();
}
